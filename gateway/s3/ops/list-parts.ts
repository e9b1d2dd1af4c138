import { timestamp } from '../../reply-text.js';
import { checksumElement } from '../checksums.js';
import { quoteEtag } from '../etag.js';
import { integerParameter } from '../listing-reply.js';
import { ownerOf } from '../owner.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html */
export const listParts: Handler = async (context) => {
  const { storage, place, key, bucketName, query } = context;
  const id = query.get('uploadId') ?? '';
  const bounds = { min: 0, max: 2_147_483_647 };
  const limit = Math.min(integerParameter(query, 'max-parts', { ...bounds, fallback: 1000 }), 1000);
  const after = integerParameter(query, 'part-number-marker', { ...bounds, fallback: 0 });
  const upload = await storage.upload(place, key, id);
  const { parts, more } =
    limit === 0 ? { parts: [], more: false } : await storage.listParts(place, key, id, after, limit);
  const [initiator, owner] = await Promise.all([
    ownerOf(context, upload.initiator),
    ownerOf(context, upload.meta.owner),
  ]);
  return {
    body: {
      xml: {
        ListPartsResult: {
          Bucket: bucketName,
          Key: key,
          UploadId: id,
          Initiator: { ...initiator },
          Owner: { ...owner },
          StorageClass: 'STANDARD',
          PartNumberMarker: after,
          NextPartNumberMarker: parts.at(-1)?.number ?? 0,
          MaxParts: limit,
          IsTruncated: more,
          ChecksumAlgorithm: upload.checksum?.algorithm,
          ChecksumType: upload.checksum?.type,
          Part: parts.map(({ number, lastModified, etag, size, checksum }) => ({
            PartNumber: number,
            LastModified: timestamp(lastModified),
            ETag: quoteEtag(etag),
            Size: size,
            ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
          })),
        },
      },
    },
  };
};
