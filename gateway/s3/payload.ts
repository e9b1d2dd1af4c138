/** What a request promises of its payload (Content-MD5, signed SHA-256, checksum), and whether it held. */
import type { Checksum } from '../../acl/metadata/types.js';
import { S3Error } from '../errors.js';
import { createDigests, loadDigests } from '../storage/digest.js';
import type { Body, Digest, Received } from '../storage/types.js';
import {
  badChecksum,
  type ChecksumDemand,
  checkMd5,
  checkPayloadSha256,
  checksumDemand,
  checksumHeader,
  contentMd5,
  digestOf,
  receivedChecksum,
  requireWellFormed,
} from './checksums.js';
import type { Context } from './types.js';
import { maxXmlBytes } from './xml/read.js';

/** "You can upload objects up to 5 GB in size" with one PUT or as one part. */
export const maxPutBytes = 5 * 1024 ** 3;

export interface PayloadPromise {
  checksum: ChecksumDemand | undefined;
  /** The digests that `verify` needs. */
  digests: Digest[];
  /**
   * Checks what arrived; the checksum that the client named, calculated. Call it when the payload, and so its trailer,
   * has been read. Throws BadDigest, XAmzContentSHA256Mismatch, MalformedTrailerError.
   */
  verify(received: Received): Checksum | undefined;
}

/** @throws S3Error InvalidDigest, InvalidRequest, BadDigest for what can be told wrong before a byte is read */
export function payloadPromise(context: Context, headers = context.headers): PayloadPromise {
  const checksum = checksumDemand(headers);
  const md5 = contentMd5(headers);
  const { payloadSha256 } = context;
  const digests: Digest[] = [];
  if (md5) digests.push('md5');
  if (payloadSha256 !== undefined) digests.push('sha256');
  if (checksum) digests.push(digestOf(checksum.algorithm));
  return {
    checksum,
    digests,
    verify(received) {
      checkPayloadSha256(payloadSha256, received.digests.sha256);
      checkMd5(md5, received.digests.md5);
      if (!checksum) return undefined;
      const calculated = receivedChecksum(checksum.algorithm, received);
      if (calculated.value !== expected(context, checksum)) throw badChecksum(checksum.algorithm);
      return calculated;
    },
  };
}

function expected(context: Context, { algorithm, value }: ChecksumDemand): string {
  if (value !== undefined) return value;
  const trailer = context.trailers.get(checksumHeader(algorithm))?.trim();
  if (trailer === undefined) throw new S3Error('MalformedTrailerError');
  requireWellFormed(algorithm, trailer);
  return trailer;
}

/**
 * The payload of PutObject, UploadPart or PostObject: its length must be known or its end be marked (`Transfer-Encoding:
 * chunked`), and it ends at 5 GiB. Throws MissingContentLength, EntityTooLarge.
 */
export function objectBody(context: Context): Body {
  const { body, headers, form } = context;
  if (!headers.has('content-length') && !headers.has('transfer-encoding') && !form) {
    throw new S3Error('MissingContentLength');
  }
  if (body.length !== undefined && body.length > maxPutBytes) throw tooLarge(body.length);
  if (body.length !== undefined) return body;
  return {
    length: undefined,
    read(sink) {
      let size = 0;
      return body.read((chunk) => {
        size += chunk.length;
        if (size > maxPutBytes) throw tooLarge(size);
        return sink(chunk);
      });
    },
  };
}

function tooLarge(size: number): S3Error {
  return new S3Error('EntityTooLarge', {
    fields: { ProposedSize: String(size), MaxSizeAllowed: String(maxPutBytes) },
  });
}

/** A request body that is a document: whole in memory, and what it promised checked. Throws MaxMessageLengthExceeded. */
export async function readDocument(context: Context, maxBytes = maxXmlBytes): Promise<Uint8Array> {
  const tooLong = () =>
    new S3Error('MaxMessageLengthExceeded', { fields: { MaxMessageLengthBytes: String(maxBytes) } });
  if ((context.body.length ?? 0) > maxBytes) throw tooLong();
  const promise = payloadPromise(context);
  // CRC64NVME needs its module before the first byte.
  await loadDigests();
  const digests = createDigests(promise.digests);
  const chunks: Buffer[] = [];
  let size = 0;
  await context.body.read((chunk) => {
    size += chunk.length;
    if (size > maxBytes) throw tooLong();
    digests.update(chunk);
    // A copy: the sender of the chunk reuses it.
    chunks.push(Buffer.from(chunk));
  });
  promise.verify({ size, digests: digests.finish() });
  return Buffer.concat(chunks, size);
}
