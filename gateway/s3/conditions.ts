/** Conditions on reading, and on the source of a copy (RFC 9110 section 13). Pure. */
import { S3Error } from '../errors.js';
import type { Headers } from '../http/types.js';

export interface Validators {
  /** Without quotes. */
  etag: string;
  /** Milliseconds since the epoch. */
  lastModified: number;
}

/**
 * Evaluates the four conditions in the order of section 13.2.2. `If-Match` that holds outweighs `If-Unmodified-Since`,
 * and `If-None-Match` that does not hold outweighs `If-Modified-Since`, which is what S3 documents for GetObject too.
 * @throws S3Error PreconditionFailed (412), NotModified (304, with the headers that section 15.4.5 asks for)
 */
export function checkReadConditions(headers: Headers, current: Validators): void {
  check(headers, '', current, () => {
    throw new S3Error('NotModified', {
      headers: { etag: `"${current.etag}"`, 'last-modified': new Date(current.lastModified).toUTCString() },
    });
  });
}

/**
 * The same for `x-amz-copy-source-if-*`; where a read answers 304, a copy fails with 412 (API_CopyObject).
 * @throws S3Error PreconditionFailed
 */
export function checkCopyConditions(headers: Headers, source: Validators): void {
  check(headers, 'x-amz-copy-source-', source, failed);
}

function check(headers: Headers, prefix: string, current: Validators, unchanged: (condition: string) => never): void {
  const seconds = Math.floor(current.lastModified / 1000);
  const date = (name: string) => {
    const parsed = parseHttpDate(headers.get(prefix + name));
    return parsed === undefined ? undefined : Math.floor(parsed / 1000);
  };
  const match = headers.get(`${prefix}if-match`);
  const unmodified = date('if-unmodified-since');
  if (match !== undefined) {
    if (!matchesEtag(match, current.etag)) failed(`${prefix}If-Match`);
  } else if (unmodified !== undefined && seconds > unmodified) {
    failed(`${prefix}If-Unmodified-Since`);
  }
  const none = headers.get(`${prefix}if-none-match`);
  const modified = date('if-modified-since');
  if (none !== undefined) {
    if (matchesEtag(none, current.etag)) unchanged(`${prefix}If-None-Match`);
  } else if (modified !== undefined && seconds <= modified) {
    unchanged(`${prefix}If-Modified-Since`);
  }
}

function failed(condition: string): never {
  throw new S3Error('PreconditionFailed', { fields: { Condition: condition } });
}

/**
 * Whether a list of ETags names this one. `W/` is not looked at: of an object there is only one representation, and
 * proxies weaken what they compress. Clients leave the quotes out: taken as S3 takes it.
 */
export function matchesEtag(list: string, etag: string): boolean {
  if (list.trim() === '*') return true;
  for (const [, quoted, bare] of list.matchAll(/(?:W\/)?(?:"([^"]*)"|([^\s,"]+))/g)) {
    if ((quoted ?? bare) === etag) return true;
  }
  return false;
}

// The three forms of section 5.6.7, and ISO 8601, which SDKs have sent. `Date.parse` alone takes "5" for a date.
const dateForm =
  /^(?:[a-z]{3,9},? .*\d{1,2}:\d{2}:\d{2}.*|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)$/i;

/** Milliseconds since the epoch; undefined for what is no date ("MUST ignore", sections 13.1.3 and 13.1.4). */
export function parseHttpDate(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  if (!dateForm.test(trimmed)) return undefined;
  // asctime-date names no zone and means UTC.
  const asctime = /^[a-z]{3} [a-z]{3} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/i.test(trimmed);
  const parsed = Date.parse(asctime ? `${trimmed} GMT` : trimmed);
  return Number.isNaN(parsed) ? undefined : parsed;
}
