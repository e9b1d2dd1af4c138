/**
 * The additional checksums of S3: which headers name them, what they may hold, how they are checked. Pure.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
 */
import type { Checksum, ChecksumAlgorithm, ChecksumType } from '../../acl/metadata/types.js';
import { S3Error } from '../errors.js';
import type { Headers } from '../http/types.js';
import { type CrcAlgorithm, combineCrc, createDigests } from '../storage/digest.js';
import type { Digest, Received } from '../storage/types.js';

/** Bytes of the raw value, the digest that yields it, the checksum types that S3 allows for multipart uploads. */
const table: Record<ChecksumAlgorithm, { digest: Digest; bytes: number; types: readonly ChecksumType[] }> = {
  CRC32: { digest: 'crc32', bytes: 4, types: ['COMPOSITE', 'FULL_OBJECT'] },
  CRC32C: { digest: 'crc32c', bytes: 4, types: ['COMPOSITE', 'FULL_OBJECT'] },
  CRC64NVME: { digest: 'crc64nvme', bytes: 8, types: ['FULL_OBJECT'] },
  SHA1: { digest: 'sha1', bytes: 20, types: ['COMPOSITE'] },
  SHA256: { digest: 'sha256', bytes: 32, types: ['COMPOSITE'] },
};

export const checksumAlgorithms = Object.keys(table) as ChecksumAlgorithm[];

export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`;
}

/** Name of the XML element, e.g. `ChecksumCRC32`. */
export function checksumElement(algorithm: ChecksumAlgorithm): `Checksum${ChecksumAlgorithm}` {
  return `Checksum${algorithm}`;
}

export function digestOf(algorithm: ChecksumAlgorithm): Digest {
  return table[algorithm].digest;
}

/** The algorithm of this name, in any case, or undefined. */
export function checksumAlgorithm(name: string): ChecksumAlgorithm | undefined {
  const upper = name.toUpperCase();
  return checksumAlgorithms.find((algorithm) => algorithm === upper);
}

/** What a request says of the checksum of its payload. */
export interface ChecksumDemand {
  algorithm: ChecksumAlgorithm;
  /** Base64; undefined when it follows in the trailer. */
  value: string | undefined;
}

/** `x-amz-checksum-*` headers that are no values. */
const notValues = new Set(['x-amz-checksum-algorithm', 'x-amz-checksum-type', 'x-amz-checksum-mode']);

/**
 * Reads `x-amz-checksum-*`, `x-amz-trailer` and `x-amz-sdk-checksum-algorithm` of a request (or of a POST form) with a
 * payload. Undefined when the client sent no checksum. We do not add a CRC64NVME then, as AWS does since 2024: it is
 * invisible to clients unless they ask, and costs every PUT of an older client a pass over its bytes.
 * Throws InvalidRequest, BadDigest.
 */
export function checksumDemand(headers: Headers): ChecksumDemand | undefined {
  const given: { header: string; value: string | undefined }[] = [];
  for (const [header, value] of headers) {
    if (header.startsWith('x-amz-checksum-') && !notValues.has(header)) given.push({ header, value: value.trim() });
  }
  for (const name of (headers.get('x-amz-trailer') ?? '').split(',')) {
    const header = name.trim().toLowerCase();
    if (header.startsWith('x-amz-checksum-')) given.push({ header, value: undefined });
  }
  if (given.length > 1) {
    throw new S3Error('InvalidRequest', {
      message: 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    });
  }
  const announced = headers.get('x-amz-sdk-checksum-algorithm');
  const one = given[0];
  if (!one) {
    if (announced === undefined) return undefined;
    throw new S3Error('InvalidRequest', {
      message:
        'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    });
  }
  const algorithm = checksumAlgorithm(one.header.slice('x-amz-checksum-'.length));
  if (!algorithm) {
    throw new S3Error('InvalidRequest', {
      message: 'The algorithm type you specified in x-amz-checksum- header is invalid.',
    });
  }
  if (announced !== undefined && announced.toUpperCase() !== algorithm) {
    throw new S3Error('InvalidRequest', { message: 'Value for x-amz-sdk-checksum-algorithm header is invalid.' });
  }
  if (one.value !== undefined) requireWellFormed(algorithm, one.value);
  return { algorithm, value: one.value };
}

/**
 * A value that is no base64 is InvalidRequest; base64 of another length than the algorithm's can never be the digest
 * and is answered like a wrong one, before a byte is read.
 */
export function requireWellFormed(algorithm: ChecksumAlgorithm, value: string): void {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value === '') {
    throw new S3Error('InvalidRequest', { message: `Value for ${checksumHeader(algorithm)} header is invalid.` });
  }
  if (Buffer.from(value, 'base64').length !== table[algorithm].bytes || value.length % 4 !== 0) {
    throw badChecksum(algorithm);
  }
}

export function badChecksum(algorithm: ChecksumAlgorithm): S3Error {
  return new S3Error('BadDigest', {
    message: `The ${algorithm} you specified did not match the calculated checksum.`,
  });
}

/** "Checksum Type mismatch": the upload was begun with another algorithm than the one of this request. */
export function checksumMismatch(
  expected: ChecksumAlgorithm | undefined,
  actual: ChecksumAlgorithm | undefined,
): S3Error {
  const name = (algorithm: ChecksumAlgorithm | undefined) => algorithm?.toLowerCase() ?? 'null';
  return new S3Error('InvalidRequest', {
    message: `Checksum Type mismatch occurred, expected checksum Type: ${name(expected)}, actual checksum Type: ${name(actual)}`,
  });
}

/** The calculated checksum, from the digests that a store delivered. */
export function receivedChecksum(algorithm: ChecksumAlgorithm, received: Received): Checksum {
  const raw = received.digests[digestOf(algorithm)];
  if (!raw) throw new Error(`the store delivered no ${algorithm}`);
  return { algorithm, type: 'FULL_OBJECT', value: Buffer.from(raw).toString('base64') };
}

/**
 * Algorithm and type of a new multipart upload from `x-amz-checksum-algorithm` and `x-amz-checksum-type`; undefined
 * when no checksum is wanted. Throws InvalidRequest for a combination that S3 does not have.
 */
export function uploadChecksum(headers: Headers): { algorithm: ChecksumAlgorithm; type: ChecksumType } | undefined {
  const algorithm = requestedAlgorithm(headers);
  const type = headers.get('x-amz-checksum-type')?.toUpperCase();
  if (!algorithm) {
    if (type === undefined) return undefined;
    throw new S3Error('InvalidRequest', {
      message: 'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    });
  }
  const { types } = table[algorithm];
  if (type === undefined) return { algorithm, type: types[0]! };
  if (type !== 'COMPOSITE' && type !== 'FULL_OBJECT') {
    throw new S3Error('InvalidRequest', { message: 'Value for x-amz-checksum-type header is invalid.' });
  }
  if (!types.includes(type)) {
    throw new S3Error('InvalidRequest', {
      message: `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    });
  }
  return { algorithm, type };
}

/** `x-amz-checksum-algorithm` of CreateMultipartUpload and CopyObject. */
export function requestedAlgorithm(headers: Headers): ChecksumAlgorithm | undefined {
  const name = headers.get('x-amz-checksum-algorithm');
  if (name === undefined || name === '') return undefined;
  const algorithm = checksumAlgorithm(name);
  if (algorithm) return algorithm;
  throw new S3Error('InvalidRequest', {
    message: `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${checksumAlgorithms.join(', ')}]`,
  });
}

/** The checksum of checksums (base64, in order of the parts): the algorithm over their raw values, `-`, how many. */
export function compositeChecksum(algorithm: ChecksumAlgorithm, parts: readonly string[]): Checksum {
  const running = createDigests([digestOf(algorithm)]);
  running.update(Buffer.concat(parts.map((value) => Buffer.from(value, 'base64'))));
  const { value } = receivedChecksum(algorithm, { size: 0, digests: running.finish() });
  return { algorithm, type: 'COMPOSITE', value: `${value}-${parts.length}` };
}

/** The checksum of the joined bytes, out of the CRCs of the parts (base64) and their sizes. */
export function fullObjectChecksum(
  algorithm: CrcAlgorithm,
  parts: readonly { value: string; size: number }[],
): Checksum {
  let joined: Uint8Array | undefined;
  for (const { value, size } of parts) {
    const raw = Buffer.from(value, 'base64');
    joined = joined ? combineCrc(algorithm, joined, raw, size) : raw;
  }
  return { algorithm, type: 'FULL_OBJECT', value: Buffer.from(joined ?? []).toString('base64') };
}

/** `x-amz-checksum-crc32: …` and `x-amz-checksum-type: …`, for replies. */
export function checksumReplyHeaders(checksum: Checksum | undefined): Record<string, string> {
  if (!checksum) return {};
  return { [checksumHeader(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type };
}

/** `ChecksumCRC32` and `ChecksumType`, for XML. */
export function checksumElements(checksum: Checksum | undefined): Record<string, string> {
  if (!checksum) return {};
  return { [checksumElement(checksum.algorithm)]: checksum.value, ChecksumType: checksum.type };
}

/** Raw `Content-MD5` (RFC 1864). Throws InvalidDigest when it is no base64 of 16 bytes. */
export function contentMd5(headers: Headers): Buffer | undefined {
  const text = headers.get('content-md5');
  if (text === undefined) return undefined;
  const raw = Buffer.from(text.trim(), 'base64');
  if (raw.length !== 16 || raw.toString('base64') !== text.trim()) throw new S3Error('InvalidDigest');
  return raw;
}

/** BadDigest unless the MD5 is the one that the client gave. */
export function checkMd5(expected: Buffer | undefined, calculated: Uint8Array | undefined): void {
  if (!expected || (calculated && expected.equals(calculated))) return;
  throw new S3Error('BadDigest', {
    fields: {
      ExpectedDigest: expected.toString('base64'),
      CalculatedDigest: Buffer.from(calculated ?? []).toString('base64'),
    },
  });
}

/** XAmzContentSHA256Mismatch unless the payload is the one that was signed. */
export function checkPayloadSha256(expected: string | undefined, calculated: Uint8Array | undefined): void {
  if (expected === undefined) return;
  const hex = Buffer.from(calculated ?? []).toString('hex');
  if (hex === expected.toLowerCase()) return;
  throw new S3Error('XAmzContentSHA256Mismatch', {
    fields: { ClientComputedContentSHA256: expected, S3ComputedContentSHA256: hex },
  });
}
