import type { PartSummary } from '../../../acl/metadata/types.js';
import { invalidArgument, S3Error } from '../../errors.js';
import type { Headers } from '../../http/types.js';
import type { ObjectInfo } from '../../storage/types.js';
import { checksumElement, checksumElements } from '../checksums.js';
import { refuseReadEncryption, requireCurrentVersion } from '../object-headers.js';
import type { Handler, XmlValue } from '../types.js';

const attributes = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'] as const;
type Attribute = (typeof attributes)[number];

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html */
export const getObjectAttributes: Handler = async ({ storage, place, key, headers, query }) => {
  refuseReadEncryption(headers);
  requireCurrentVersion(query, key);
  const wanted = requested(headers);
  const limit = Math.min(headerInteger(headers, 'x-amz-max-parts', 1000), 1000);
  const after = headerInteger(headers, 'x-amz-part-number-marker', 0);
  const info = await storage.head(place, key);
  const { meta } = info;
  return {
    headers: { 'last-modified': new Date(info.lastModified).toUTCString() },
    body: {
      xml: {
        GetObjectAttributesResponse: {
          // Without quotes here, unlike everywhere else.
          ETag: wanted.has('ETag') ? meta.etag : undefined,
          Checksum: wanted.has('Checksum') && meta.checksum ? checksumElements(meta.checksum) : undefined,
          ObjectParts: wanted.has('ObjectParts') ? objectParts(info, after, limit) : undefined,
          StorageClass: wanted.has('StorageClass') ? 'STANDARD' : undefined,
          ObjectSize: wanted.has('ObjectSize') ? info.size : undefined,
        },
      },
    },
  };
};

function requested(headers: Headers): Set<Attribute> {
  const value = headers.get('x-amz-object-attributes')?.trim() ?? '';
  if (value === '') {
    throw new S3Error('InvalidRequest', {
      message:
        'The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty',
    });
  }
  const names = value.split(',').map((name) => name.trim());
  const known = names.map((name) => attributes.find((each) => each === name));
  if (known.includes(undefined)) {
    throw invalidArgument('x-amz-object-attributes', value, 'Invalid attribute name specified.');
  }
  return new Set(known as Attribute[]);
}

function headerInteger(headers: Headers, name: string, fallback: number): number {
  const text = headers.get(name);
  if (text === undefined || text === '') return fallback;
  if (!/^\d{1,9}$/.test(text)) {
    throw invalidArgument(name, text, `Provided ${name} not an integer or within integer range`);
  }
  return Number(text);
}

/** Only an object of a multipart upload has parts. */
function objectParts({ meta }: ObjectInfo, after: number, limit: number): XmlValue {
  if (!meta.parts) return undefined;
  const behind = meta.parts.filter(({ number }) => number > after);
  const page = behind.slice(0, limit);
  const element = meta.checksum && checksumElement(meta.checksum.algorithm);
  const part = ({ number, size, checksum }: PartSummary): XmlValue => ({
    PartNumber: number,
    Size: size,
    ...(element && checksum !== undefined && { [element]: checksum }),
  });
  return {
    // The API reference calls it TotalPartsCount; on the wire it is PartsCount.
    PartsCount: meta.parts.length,
    PartNumberMarker: after,
    NextPartNumberMarker: page.at(-1)?.number ?? 0,
    MaxParts: limit,
    IsTruncated: limit > 0 && behind.length > limit,
    Part: page.map(part),
  };
}
