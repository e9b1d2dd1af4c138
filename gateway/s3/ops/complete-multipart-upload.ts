import type { Checksum, ObjectMeta } from '../../../acl/metadata/types.js';
import { S3Error } from '../../errors.js';
import type { ObjectInfo, Part, Upload } from '../../storage/types.js';
import {
  badChecksum,
  checksumDemand,
  checksumElements,
  checksumMismatch,
  compositeChecksum,
  fullObjectChecksum,
} from '../checksums.js';
import { multipartEtag, quoteEtag } from '../etag.js';
import { writeCondition } from '../object-headers.js';
import { ownUpload } from '../own-upload.js';
import { readDocument } from '../payload.js';
import type { Context, Handler, XmlValue } from '../types.js';
import { maxListBytes } from '../xml/read.js';
import { type CompletedPart, readCompleteMultipartUpload } from '../xml/shapes.js';

/** "Your proposed upload is smaller than the minimum allowed object size. Each part must be at least 5 MB, except the last." */
const minPartBytes = 5 * 1024 ** 2;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
export const completeMultipartUpload: Handler = async (context) => {
  const { storage, place, key, query } = context;
  const id = query.get('uploadId') ?? '';
  const condition = writeCondition(context.headers);
  const listed = inOrder(await readCompleteMultipartUpload(await readPlainDocument(context)));

  let upload: Upload;
  let parts: Part[];
  try {
    upload = await ownUpload(context, id);
    parts = matchParts(upload, listed, await partsThere(context, id, listed));
  } catch (error) {
    return { body: { xml: result(context, await completedBefore(context, id, error)) } };
  }
  const meta = completedMeta(context, upload, parts);
  const work = storage
    .completeUpload(place, key, id, parts, meta, condition)
    // Another request, or the first try of a client that lost its connection, has completed it meanwhile.
    .catch((error: unknown) => completedBefore(context, id, error))
    .then((info) => result(context, info));
  return { body: { slowXml: work } };
};

/** `x-amz-checksum-*` of this request speaks of the object, not of the XML. */
function readPlainDocument(context: Context): Promise<Uint8Array> {
  const headers = new Map([...context.headers].filter(([name]) => !/^x-amz-(checksum-|sdk-checksum)/.test(name)));
  return readDocument({ ...context, headers }, maxListBytes);
}

/**
 * The parts in ascending order. A number given twice in a row counts once, as the client has it last: it was sent again.
 * @throws S3Error InvalidPartOrder
 */
function inOrder(listed: readonly CompletedPart[]): CompletedPart[] {
  const ordered: CompletedPart[] = [];
  for (const part of listed) {
    const last = ordered.at(-1);
    if (last && part.number < last.number) throw new S3Error('InvalidPartOrder');
    if (last?.number === part.number) ordered.pop();
    ordered.push(part);
  }
  return ordered;
}

/** Of an upload that has ended; its parts go one after the other, so that some of them may have been there still. */
const ended = new Set<string>(['NoSuchUpload', 'InvalidPart']);

/** The object that this very upload has become, else the error that led here. */
async function completedBefore({ storage, place, key }: Context, id: string, error: unknown): Promise<ObjectInfo> {
  if (!(error instanceof S3Error) || !ended.has(error.code) || id === '') throw error;
  const info = await storage.head(place, key).catch((second: unknown) => {
    if (second instanceof S3Error && second.code === 'NoSuchKey') return undefined;
    throw second;
  });
  if (info?.meta.uploadId !== id) throw error;
  return info;
}

/** Stretches of a long list of parts that are looked at side by side, and how long they are at least. */
const [STRETCHES, SHORTEST] = [4, 32];

/** Those that are there: each takes the filesystem some calls, and the client hears nothing until all have been looked at. */
async function partsThere(
  { storage, place, key }: Context,
  id: string,
  listed: readonly CompletedPart[],
): Promise<Map<number, Part>> {
  const found = new Map<number, Part>();
  const look = async (first: number, last: number) => {
    for (let after = first - 1; after < last; ) {
      const { parts, more } = await storage.listParts(place, key, id, after, Math.min(1000, last - after));
      for (const part of parts) found.set(part.number, part);
      if (!more) return;
      after = parts.at(-1)?.number ?? last;
    }
  };
  const each = Math.max(SHORTEST, Math.ceil(listed.length / STRETCHES));
  const looks: Promise<void>[] = [];
  for (let from = 0; from < listed.length; from += each) {
    const stretch = listed.slice(from, from + each);
    looks.push(look(stretch[0]!.number, stretch.at(-1)!.number));
  }
  await Promise.all(looks);
  return found;
}

/** The parts that the client means. @throws S3Error InvalidPart, EntityTooSmall */
function matchParts(upload: Upload, listed: readonly CompletedPart[], there: ReadonlyMap<number, Part>): Part[] {
  return listed.map(({ number, etag, checksums }, at) => {
    const part = there.get(number);
    const fields = { UploadId: upload.id, PartNumber: String(number), ETag: etag };
    if (!part || part.etag !== etag) throw new S3Error('InvalidPart', { fields });
    const { checksum } = part;
    for (const [algorithm, value] of Object.entries(checksums)) {
      // A checksum that the part does not have was checked when the part came, or never: it cannot be here.
      if (checksum?.algorithm === algorithm ? checksum.value !== value : upload.checksum !== undefined) {
        throw new S3Error('InvalidPart', { fields });
      }
    }
    if (part.size < minPartBytes && at < listed.length - 1) {
      throw new S3Error('EntityTooSmall', {
        fields: {
          ProposedSize: String(part.size),
          MinSizeAllowed: String(minPartBytes),
          PartNumber: String(number),
          ETag: etag,
        },
      });
    }
    return part;
  });
}

function completedMeta({ headers }: Context, upload: Upload, parts: readonly Part[]): ObjectMeta {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const stated = headers.get('x-amz-mp-object-size');
  if (stated !== undefined && (!/^\d+$/.test(stated) || Number(stated) !== size)) {
    throw new S3Error('InvalidRequest', {
      message: `The provided 'x-amz-mp-object-size' header value ${stated} does not match what was computed: ${size}`,
    });
  }
  const checksum = objectChecksum(upload, parts);
  requireChecksum(headers, checksum);
  return {
    ...upload.meta,
    etag: multipartEtag(parts.map(({ etag }) => etag)),
    checksum,
    // Numbered anew: readers ask for partNumber 1 to x-amz-mp-parts-count, whatever the uploader left out.
    parts: parts.map((part, at) => ({
      number: at + 1,
      size: part.size,
      checksum: checksum && part.checksum?.value,
    })),
    uploadId: upload.id,
  };
}

function objectChecksum({ id, checksum }: Upload, parts: readonly Part[]): Checksum | undefined {
  if (!checksum) return undefined;
  const { algorithm, type } = checksum;
  const pieces = parts.map((part) => {
    if (part.checksum?.algorithm !== algorithm) {
      throw new S3Error('InvalidPart', { fields: { UploadId: id, PartNumber: String(part.number), ETag: part.etag } });
    }
    return { value: part.checksum.value, size: part.size };
  });
  if (type === 'FULL_OBJECT' && algorithm !== 'SHA1' && algorithm !== 'SHA256') {
    return fullObjectChecksum(algorithm, pieces);
  }
  return compositeChecksum(
    algorithm,
    pieces.map(({ value }) => value),
  );
}

/** The checksum of the whole object that the client gives, `-N` of a composite one included or not. */
function requireChecksum(headers: Context['headers'], checksum: Checksum | undefined): void {
  const given = new Map<string, string>();
  let count: string | undefined;
  for (const [name, value] of headers) {
    if (!name.startsWith('x-amz-checksum-')) continue;
    const composite = /^(.*?)-(\d+)$/.exec(value.trim());
    if (composite) count = composite[2];
    given.set(name, composite?.[1] ?? value);
  }
  const type = headers.get('x-amz-checksum-type')?.toUpperCase();
  if (type !== undefined && type !== checksum?.type) {
    throw new S3Error('InvalidRequest', {
      message: `The upload was created using the ${checksum?.type ?? 'null'} checksum mode. The complete request must use the same checksum mode.`,
    });
  }
  const demand = checksumDemand(given);
  if (!demand) return;
  if (demand.algorithm !== checksum?.algorithm) throw checksumMismatch(checksum?.algorithm, demand.algorithm);
  const [value, parts] = checksum.value.split('-');
  if (demand.value !== value || (count !== undefined && count !== parts)) throw badChecksum(demand.algorithm);
}

function result({ objectUrl, bucketName, key }: Context, info: ObjectInfo): { [root: string]: XmlValue } {
  return {
    CompleteMultipartUploadResult: {
      Location: objectUrl(key),
      Bucket: bucketName,
      Key: key,
      ETag: quoteEtag(info.meta.etag),
      ...checksumElements(info.meta.checksum),
    },
  };
}
