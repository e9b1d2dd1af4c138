/**
 * From the raw request line and raw headers to a `WireRequest`, and from that to what it is about.
 *
 * Nothing is normalised: `/b/%2e%2e/c`, `/b//x` and `/b/./x` are the keys `../c`, `/x` and `./x` of bucket `b`. Signatures
 * are made over the wire form, and an address that were resolved here would name another object than the one signed.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { S3Error } from '../errors.js';
import type { Headers, Query, QueryParam, Target, WireRequest } from './types.js';

/** A name or an address, perhaps with a port. Nothing of it may be taken for a piece of a path or for two hosts. */
const hostForm = /^(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?$/;
const absoluteForm = /^https?:\/\/([^/?#]*)/i;

/**
 * What came over the wire. Header values keep the bytes of the wire, one per character (latin1); a header that came
 * several times is joined with `,`, as RFC 9110 section 5.3 allows and the signatures demand.
 * Throws BadRequest for a Host that is none: "A server MUST respond with a 400 (Bad Request) status code […] to any request
 * message that contains more than one Host header field line or a Host header field with an invalid field value" (RFC 9112
 * section 3.2). Version 2 does not sign it, but it takes part in what version 2 signs.
 */
export function parseWire(incoming: IncomingMessage): WireRequest {
  const headers = collectHeaders(incoming.rawHeaders);
  let url = incoming.url ?? '/';
  const absolute = url.charCodeAt(0) === 0x2f ? null : absoluteForm.exec(url);
  if (absolute !== null) {
    url = url.slice(absolute[0].length);
    if (url.charCodeAt(0) !== 0x2f) url = `/${url}`;
    // RFC 9112 section 3.2.2: the host of an absolute-form target replaces the Host header.
    if (absolute[1] !== '') headers.set('host', absolute[1]!);
  }
  if (!hostForm.test(headers.get('host') ?? '')) {
    throw new S3Error('BadRequest', { message: 'The Host header is not the name or address of one host.' });
  }
  const mark = url.indexOf('?');
  const rawQuery = mark < 0 ? '' : url.slice(mark + 1);
  return {
    method: incoming.method ?? 'GET',
    rawPath: mark < 0 ? url : url.slice(0, mark),
    rawQuery,
    headers,
    query: parseQuery(rawQuery),
    remoteAddress: incoming.socket?.remoteAddress ?? '',
    secure: (incoming.socket as TLSSocket | undefined)?.encrypted === true,
  };
}

function collectHeaders(raw: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    const before = headers.get(name);
    headers.set(name, before === undefined ? raw[i + 1]! : `${before},${raw[i + 1]!}`);
  }
  return headers;
}

/**
 * Query parameters in wire order. `+` is a space and an escape that is none stands for itself, as in S3. Empty pieces
 * (`a&&b`) are no parameters.
 */
export function parseQuery(rawQuery: string): Query {
  if (rawQuery === '') return noQuery;
  const params: QueryParam[] = [];
  for (const piece of rawQuery.split('&')) {
    if (piece === '') continue;
    const equals = piece.indexOf('=');
    const rawName = equals < 0 ? piece : piece.slice(0, equals);
    const rawValue = equals < 0 ? undefined : piece.slice(equals + 1);
    params.push({
      name: decodeLenient(rawName),
      value: rawValue === undefined ? '' : decodeLenient(rawValue),
      rawName,
      rawValue,
    });
  }
  return {
    params,
    get: (name) => params.find((param) => param.name === name)?.value,
    has: (name) => params.some((param) => param.name === name),
  };
}

const noQuery: Query = { params: Object.freeze([]), get: () => undefined, has: () => false };

const plain = /^[\x21-\x24\x26-\x2a\x2c-\x7e]*$/;

function decodeLenient(raw: string): string {
  return plain.test(raw) ? raw : decodeBytes(raw, true, false).toString('utf8');
}

/**
 * The bytes that a percent-encoded text stands for. Characters are taken as bytes of the wire.
 * `strict`: a `%` without two hex digits throws InvalidURI, otherwise it stands for itself.
 */
export function decodeBytes(raw: string, plusIsSpace: boolean, strict: boolean): Buffer {
  const out = Buffer.allocUnsafe(raw.length);
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i);
    if (code === 0x25) {
      const high = hexDigit(raw.charCodeAt(i + 1));
      const low = hexDigit(raw.charCodeAt(i + 2));
      if (high >= 0 && low >= 0) {
        out[length++] = high * 16 + low;
        i += 2;
        continue;
      }
      if (strict) throw new S3Error('InvalidURI', { fields: { URI: raw } });
    }
    out[length++] = plusIsSpace && code === 0x2b ? 0x20 : code;
  }
  return out.subarray(0, length);
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x41 && code <= 0x46) return code - 0x37;
  if (code >= 0x61 && code <= 0x66) return code - 0x57;
  return -1;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const plainPath = /^[\x21-\x24\x26-\x7e]*$/;

/** A piece of the path, percent-decoded once, as UTF-8 (`+` is a plus). Throws InvalidURI. */
export function decodePath(raw: string): string {
  if (plainPath.test(raw)) return raw;
  try {
    return strictUtf8.decode(decodeBytes(raw, false, true));
  } catch (cause) {
    if (cause instanceof S3Error) throw cause;
    throw new S3Error('InvalidURI', { cause, fields: { URI: raw } });
  }
}

/**
 * What the request is about. A Host of `BUCKET.DOMAIN` for one of `hostDomains` is virtual-host style (the port and
 * the case do not matter, the bucket may have dots), everything else path style.
 * Throws InvalidURI for a path that is no percent-encoded UTF-8, InvalidBucketName for one that begins with `//`.
 */
export function parseTarget(wire: WireRequest, hostDomains: readonly string[]): Target {
  const path = wire.rawPath === '' ? '/' : wire.rawPath;
  if (path.charCodeAt(0) !== 0x2f) throw new S3Error('InvalidURI', { fields: { URI: path } });
  const bucket = bucketOfHost(wire.headers, hostDomains);
  if (bucket !== undefined) {
    return { bucket, key: path === '/' ? undefined : decodePath(path.slice(1)), style: 'host' };
  }
  if (path === '/') return { bucket: undefined, key: undefined, style: 'path' };
  const slash = path.indexOf('/', 1);
  const name = decodePath(slash < 0 ? path.slice(1) : path.slice(1, slash));
  // A bucket's name becomes part of paths further in: what could leave its directory goes no further than here.
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new S3Error('InvalidBucketName', { fields: { BucketName: name } });
  }
  const rest = slash < 0 ? '' : path.slice(slash + 1);
  return { bucket: name, key: rest === '' ? undefined : decodePath(rest), style: 'path' };
}

function bucketOfHost(headers: Headers, hostDomains: readonly string[]): string | undefined {
  if (hostDomains.length === 0) return undefined;
  const host = hostName(headers.get('host') ?? '');
  let best: string | undefined;
  for (const domain of hostDomains) {
    const suffix = `.${domain.toLowerCase()}`;
    // The domain itself is the service, also when it lies below another domain of the list.
    if (host === suffix.slice(1)) return undefined;
    if (host.length <= suffix.length || !host.endsWith(suffix)) continue;
    const bucket = host.slice(0, -suffix.length);
    if (best === undefined || bucket.length < best.length) best = bucket;
  }
  return best;
}

/** The name of a Host header: in lower case, without port. */
export function hostName(host: string): string {
  return host.replace(/:\d*$/, '').toLowerCase();
}
