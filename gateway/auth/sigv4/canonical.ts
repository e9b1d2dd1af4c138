/**
 * Signature version 4, task 1 and 2: the canonical request and the string to sign. Pure text over text.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 *
 * All strings hold bytes, one per character (latin1), because that is how the wire delivers them and what is hashed.
 */
import { hash } from 'node:crypto';
import { decodeBytes } from '../../http/target.js';
import type { Headers, Query } from '../../http/types.js';

/** SHA-256 of nothing. */
export const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** SHA-256 in hex over the bytes of a latin1 string. */
export function sha256Hex(text: string): string {
  // An ASCII string has the same bytes in UTF-8, which spares the copy.
  return hash('sha256', Buffer.byteLength(text) === text.length ? text : Buffer.from(text, 'latin1'), 'hex');
}

const escapes: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  return /[A-Za-z0-9\-._~]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

const unreservedPath = /^[A-Za-z0-9\-._~/]*$/;
const unreserved = /^[A-Za-z0-9\-._~]*$/;

/** AWS's UriEncode: everything but the unreserved characters becomes `%XX` with upper-case digits. */
export function uriEncode(bytes: Uint8Array, keepSlash: boolean): string {
  let out = '';
  for (const byte of bytes) out += keepSlash && byte === 0x2f ? '/' : escapes[byte]!;
  return out;
}

/**
 * The path, decoded once and encoded by AWS's rules. S3 does not normalise: "do not normalize URI paths for requests
 * to Amazon S3", so `//`, `.` and `..` stay.
 */
export function canonicalPath(rawPath: string): string {
  if (rawPath === '') return '/';
  return unreservedPath.test(rawPath) ? rawPath : uriEncode(decodeBytes(rawPath, false, false), true);
}

function canonicalValue(raw: string): string {
  return unreserved.test(raw) ? raw : uriEncode(decodeBytes(raw, true, false), false);
}

/** Parameters sorted by name, then value, in the encoded form; `without` leaves one out (X-Amz-Signature). */
export function canonicalQuery(query: Query, options: { without?: string; asSent?: boolean } = {}): string {
  if (query.params.length === 0) return '';
  const pairs: [string, string][] = [];
  for (const param of query.params) {
    if (param.name === options.without) continue;
    const value = param.rawValue ?? '';
    if (options.asSent === true) pairs.push([param.rawName, value]);
    else pairs.push([canonicalValue(param.rawName), canonicalValue(value)]);
  }
  pairs.sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1]));
  return pairs.map(([name, value]) => `${name}=${value}`).join('&');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `name:value\n` of each signed header: trimmed, and inner white space collapsed unless `keepSpaces`. */
export function canonicalHeaders(headers: Headers, signed: readonly string[], keepSpaces = false): string {
  let out = '';
  for (const name of signed) {
    const value = trimSpaces(headers.get(name) ?? '');
    out += `${name}:${keepSpaces ? value : value.replace(/[ \t\r\n]+/g, ' ')}\n`;
  }
  return out;
}

/**
 * Not `trim()`: that also takes the byte A0, with which UTF-8 sequences like that of `à` end. Nor a regular expression:
 * looking for spaces before an end takes the square of the time where there are many spaces elsewhere.
 */
export function trimSpaces(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && isSpace(value.charCodeAt(start))) start++;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a;
}

/** How a text is put together that the client may have put together in one of several ways. */
export interface CanonicalForm {
  path: string;
  query: string;
  headers: string;
}

export interface CanonicalInput {
  method: string;
  rawPath: string;
  query: Query;
  headers: Headers;
  /** Lower-case names as the client listed them. */
  signedHeaders: readonly string[];
  payloadHash: string;
  /** A query parameter that is not part of the text. */
  without?: string;
}

/** The canonical request. */
export function canonicalRequest(input: CanonicalInput, form: CanonicalForm = standardForm(input)): string {
  return `${input.method}\n${form.path}\n${form.query}\n${form.headers}\n${input.signedHeaders.join(';')}\n${input.payloadHash}`;
}

export function standardForm(input: CanonicalInput): CanonicalForm {
  return {
    path: canonicalPath(input.rawPath),
    query: canonicalQuery(input.query, { without: input.without }),
    headers: canonicalHeaders(input.headers, input.signedHeaders),
  };
}

/**
 * Further canonical requests that real clients sign for this same request. Each is a function of the wire form whose
 * decoding is the decoding of the wire form, so that no two requests of different meaning share one:
 * - the path, the query, or both exactly as sent (clients that leave `(`, `!`, `*` or `+` unescaped, or write `%e3`),
 * - header values with their inner spaces (clients that trim only),
 * - header values of which each byte was taken for a character and encoded as UTF-8 again (clients that sign the text
 *   `é` as UTF-8 and send it as latin1).
 */
export function* tolerantRequests(input: CanonicalInput): Generator<string> {
  const standard = standardForm(input);
  const paths = distinct(standard.path, input.rawPath === '' ? '/' : input.rawPath);
  const queries = distinct(standard.query, canonicalQuery(input.query, { without: input.without, asSent: true }));
  const headers = distinct(
    standard.headers,
    canonicalHeaders(input.headers, input.signedHeaders, true),
    Buffer.from(standard.headers, 'utf8').toString('latin1'),
  );
  for (const path of paths) {
    for (const query of queries) {
      for (const text of headers) {
        if (path !== standard.path || query !== standard.query || text !== standard.headers) {
          yield canonicalRequest(input, { path, query, headers: text });
        }
      }
    }
  }
}

function distinct(...forms: string[]): string[] {
  return [...new Set(forms)];
}

/** Date, region and service that a signature is bound to. */
export interface Scope {
  /** `yyyymmdd` */
  date: string;
  region: string;
  service: string;
}

export function scopeText(scope: Scope): string {
  return `${scope.date}/${scope.region}/${scope.service}/aws4_request`;
}

/** `timestamp` is ISO 8601 basic (`20130524T000000Z`). */
export function stringToSign(timestamp: string, scope: Scope, canonical: string): string {
  return `AWS4-HMAC-SHA256\n${timestamp}\n${scopeText(scope)}\n${sha256Hex(canonical)}`;
}
