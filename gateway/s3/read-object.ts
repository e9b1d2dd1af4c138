/** What GetObject and HeadObject share: which bytes of the object are meant, and the reply's status and headers. Pure. */
import type { Checksum } from '../../acl/metadata/types.js';
import { invalidArgument, S3Error } from '../errors.js';
import type { ObjectInfo } from '../storage/types.js';
import { checksumReplyHeaders } from './checksums.js';
import { checkReadConditions } from './conditions.js';
import { encodeHeader, fitsHeader } from './header-text.js';
import { objectReplyHeaders, refuseReadEncryption, requireCurrentVersion } from './object-headers.js';
import { type ByteRange, contentRange, parseRange, rangeStands } from './range.js';
import type { Context } from './types.js';

export interface Reading {
  status: 200 | 206;
  headers: Readonly<Record<string, string>>;
  range: ByteRange;
}

const overrides = {
  'response-content-type': 'content-type',
  'response-cache-control': 'cache-control',
  'response-content-disposition': 'content-disposition',
  'response-content-encoding': 'content-encoding',
  'response-content-language': 'content-language',
  'response-expires': 'expires',
} as const;

/** What is wrong with the request whatever the object is. @throws S3Error InvalidRequest, InvalidArgument, NoSuchVersion */
export function checkReadRequest({ headers, query, key, identity }: Context): void {
  refuseReadEncryption(headers);
  requireCurrentVersion(query, key);
  if (query.has('partNumber')) {
    requestedPart(query.get('partNumber') ?? '');
    if (headers.has('range')) {
      throw new S3Error('InvalidRequest', {
        message: 'Cannot specify both Range header and partNumber query parameter',
      });
    }
  }
  if (query.params.length === 0) return;
  for (const parameter of Object.keys(overrides)) {
    const value = query.get(parameter);
    if (value === undefined) continue;
    // "You must sign the request … They cannot be used with an unsigned (anonymous) request."
    if (!identity.account) {
      throw new S3Error('InvalidRequest', {
        message: 'Request specific response headers cannot be used for anonymous GET requests.',
      });
    }
    if (!fitsHeader(value)) throw invalidArgument(parameter, value);
  }
}

/**
 * Checks the conditions and finds the bytes that are asked for.
 * @throws S3Error NotModified, PreconditionFailed, InvalidRange, InvalidPart
 */
export function planReading({ headers, query }: Context, info: ObjectInfo): Reading {
  const { meta, size } = info;
  let reply = objectReplyHeaders(info);
  const validators = { etag: meta.etag, lastModified: info.lastModified };
  try {
    checkReadConditions(headers, validators);
  } catch (error) {
    throw withCacheHeaders(error, reply);
  }
  for (const [parameter, header] of query.params.length > 0 ? Object.entries(overrides) : []) {
    const value = query.get(parameter);
    if (value) reply = { ...reply, [header]: encodeHeader(value) };
  }

  let range: ByteRange | undefined;
  let checksum: Checksum | undefined = meta.checksum;
  if (query.has('partNumber')) {
    ({ range, checksum } = partOf(info, requestedPart(query.get('partNumber') ?? '')));
    if (meta.parts) reply = { ...reply, 'x-amz-mp-parts-count': String(meta.parts.length) };
  } else if (rangeStands(headers, validators)) {
    range = parseRange(headers.get('range'), size);
    // The stored checksum speaks of the whole: a client that checks what it got would call the range corrupt.
    if (range) checksum = undefined;
  }
  if (headers.get('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED') {
    reply = { ...reply, ...checksumReplyHeaders(checksum) };
  }
  // No bytes cannot be written as Content-Range: an empty part (or object) is a plain 200.
  if (!range?.length) return { status: 200, headers: reply, range: range ?? { start: 0, length: size } };
  return { status: 206, headers: { ...reply, 'content-range': contentRange(range, size) }, range };
}

function requestedPart(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= 10_000) return number;
  throw invalidArgument('partNumber', text, 'Part number must be an integer between 1 and 10000, inclusive');
}

/**
 * One part of a multipart object; part 1 of any other object is the whole. A part that is not there is InvalidPart (400)
 * as ceph/s3-tests has it; AWS has been seen to answer 416 InvalidPartNumber, which no SDK depends on.
 */
function partOf({ meta, size }: ObjectInfo, number: number): { range: ByteRange; checksum: Checksum | undefined } {
  const parts = meta.parts ?? [{ number: 1, size, checksum: meta.checksum?.value }];
  const at = parts.findIndex((part) => part.number === number);
  const part = parts[at];
  if (!part) throw new S3Error('InvalidPart', { fields: { PartNumber: String(number) } });
  const start = parts.slice(0, at).reduce((sum, { size }) => sum + size, 0);
  const checksum =
    meta.checksum && part.checksum !== undefined ? { ...meta.checksum, value: part.checksum } : undefined;
  return { range: { start, length: part.size }, checksum };
}

/** A 304 carries the "Cache-Control, Content-Location, Date, ETag, Expires, and Vary" of the 200 (RFC 9110 15.4.5). */
function withCacheHeaders(error: unknown, reply: Reading['headers']): unknown {
  if (!(error instanceof S3Error) || error.code !== 'NotModified') return error;
  const headers = { ...error.headers };
  for (const name of ['cache-control', 'expires']) {
    const value = reply[name];
    if (value !== undefined) headers[name] = value;
  }
  return new S3Error('NotModified', { headers });
}
