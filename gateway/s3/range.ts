/** Range requests (RFC 9110 section 14). Pure. */
import { S3Error } from '../errors.js';
import type { Headers } from '../http/types.js';
import { parseHttpDate, type Validators } from './conditions.js';

export interface ByteRange {
  /** Bytes from the beginning. */
  start: number;
  /** At least 1. */
  length: number;
}

/**
 * The one range of a `Range` header within `size` bytes. Undefined for the whole: none, several ("a server MAY ignore
 * the Range header field"), another unit, or not in the form.
 * @throws S3Error InvalidRange when it begins at or behind the end, with the header `content-range` of section 15.5.17
 */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes[ \t]*=[ \t]*(\d*)[ \t]*-[ \t]*(\d*)[ \t]*$/i.exec(header?.trim() ?? '');
  if (!match || header === undefined) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    // The last bytes; all of them when there are fewer.
    const length = Math.min(Number(last), size);
    if (length === 0) throw invalidRange(header, size);
    return { start: size - length, length };
  }
  const start = Number(first);
  // "An int-range is invalid if the last-pos value is present and less than first-pos": not unsatisfiable but ignored.
  if (last !== '' && Number(last) < start) return undefined;
  if (start >= size) throw invalidRange(header, size);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  return { start, length: end - start + 1 };
}

function invalidRange(requested: string, size: number): S3Error {
  return new S3Error('InvalidRange', {
    fields: { RangeRequested: requested, ActualObjectSize: String(size) },
    headers: { 'content-range': `bytes */${size}` },
  });
}

/** The value of `content-range` for a 206. */
export function contentRange(range: ByteRange, size: number): string {
  return `bytes ${range.start}-${range.start + range.length - 1}/${size}`;
}

/**
 * Whether `If-Range`, if there, lets the range stand (section 13.1.5): a strong ETag equal, or exactly the date.
 * Otherwise the whole object is to be sent.
 */
export function rangeStands(headers: Headers, { etag, lastModified }: Validators): boolean {
  const value = headers.get('if-range')?.trim();
  if (!value) return true;
  const date = parseHttpDate(value);
  if (date !== undefined) return Math.floor(lastModified / 1000) === Math.floor(date / 1000);
  return !value.startsWith('W/') && value.replace(/^"(.*)"$/, '$1') === etag;
}
