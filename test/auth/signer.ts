/**
 * A small signer for tests, written from the specification and not from the verifier: the two check each other.
 * URLs are request targets (`/bucket/key?query`) as they go over the wire.
 */
import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { parseWire } from '../../gateway/http/target.js';
import type { WireRequest } from '../../gateway/http/types.js';

export interface SignerKeys {
  accessKey: string;
  secret: string;
  region?: string;
  service?: string;
  /** Milliseconds since the epoch; now when absent. */
  now?: number;
}

export interface Unsigned {
  method: string;
  url: string;
  /** Must have `host`. Names in lower case. */
  headers: Record<string, string>;
}

const sha256 = (data: string | Uint8Array) =>
  createHash('sha256')
    .update(typeof data === 'string' ? Buffer.from(data, 'latin1') : data)
    .digest('hex');
const hmac = (key: string | Uint8Array, text: string) =>
  createHmac('sha256', key).update(Buffer.from(text, 'latin1')).digest();

/** `20130524T000000Z` */
export function amzDate(now: number): string {
  return `${new Date(now)
    .toISOString()
    .replace(/[-:]|\.\d+/g, '')
    .replace(/Z?$/, 'Z')}`;
}

function encode(raw: string, isPath: boolean): string {
  const bytes = Buffer.from(
    raw.replace(/%([0-9a-fA-F]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16))),
    'latin1',
  );
  return [...bytes]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      if (/[A-Za-z0-9_.~-]/.test(char) || (isPath && char === '/')) return char;
      return `%${byte.toString(16).padStart(2, '0').toUpperCase()}`;
    })
    .join('');
}

function split(url: string): { path: string; pairs: [string, string][] } {
  const [path, query = ''] = url.split(/\?(.*)/s) as [string, string?];
  const pairs = query
    .split('&')
    .filter((piece) => piece !== '')
    .map((piece): [string, string] => {
      const [name, value = ''] = piece.split(/=(.*)/s) as [string, string?];
      return [encode(name, false), encode(value, false)];
    });
  return { path, pairs };
}

interface Signing {
  signature: string;
  key: Buffer;
  scope: string;
  date: string;
}

function sign(
  request: Unsigned,
  signed: string[],
  payloadHash: string,
  keys: SignerKeys & { now: number },
  asSent = false,
): Signing {
  const date = amzDate(keys.now);
  const scope = `${date.slice(0, 8)}/${keys.region ?? 'us-east-1'}/${keys.service ?? 's3'}/aws4_request`;
  const { path, pairs } = split(request.url);
  const query = pairs
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join('&');
  const canonical = [
    request.method,
    asSent ? path : encode(path, true),
    query,
    ...signed.map((name) => `${name}:${request.headers[name]!.replace(/ +/g, ' ')}`),
    '',
    signed.join(';'),
    payloadHash,
  ].join('\n');
  const key = scope.split('/').reduce<Buffer | string>((k, part) => hmac(k, part), `AWS4${keys.secret}`) as Buffer;
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
  return { signature: hmac(key, text).toString('hex'), key, scope, date };
}

export interface SignedV4 {
  headers: Record<string, string>;
  signing: Signing;
}

/**
 * Adds what a version 4 request needs. `payload`: bytes to hash, or a literal value of x-amz-content-sha256.
 * `asSent`: signs the path as it goes over the wire. `plainDate`: the Date header given is the only one.
 */
export function signV4(
  request: Unsigned,
  keys: SignerKeys,
  payload: Uint8Array | string = 'UNSIGNED-PAYLOAD',
  options: { asSent?: boolean; plainDate?: boolean } = {},
): SignedV4 {
  const hash = typeof payload === 'string' ? payload : sha256(payload);
  const { now = Date.now() } = keys;
  const headers: Record<string, string> = {
    ...request.headers,
    ...(options.plainDate === true ? {} : { 'x-amz-date': amzDate(now) }),
    'x-amz-content-sha256': hash,
  };
  const signed = Object.keys(headers).sort();
  const signing = sign({ ...request, headers }, signed, hash, { ...keys, now }, options.asSent);
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${keys.accessKey}/${signing.scope}, SignedHeaders=${signed.join(';')}, Signature=${signing.signature}`;
  return { headers, signing };
}

/** The presigned URL (a request target). All headers given are signed. */
export function presignV4(request: Unsigned, keys: SignerKeys, expires: number): string {
  const { now = Date.now() } = keys;
  const date = amzDate(now);
  const scope = `${date.slice(0, 8)}/${keys.region ?? 'us-east-1'}/s3/aws4_request`;
  const signed = Object.keys(request.headers).sort();
  const parameters = {
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${keys.accessKey}/${scope}`,
    'X-Amz-Date': date,
    'X-Amz-Expires': String(expires),
    'X-Amz-SignedHeaders': signed.join(';'),
  };
  const added = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  const url = `${request.url}${request.url.includes('?') ? '&' : '?'}${added.join('&')}`;
  const { signature } = sign({ ...request, url }, signed, 'UNSIGNED-PAYLOAD', { ...keys, now });
  return `${url}&X-Amz-Signature=${signature}`;
}

/** Base64 HMAC-SHA1 over the UTF-8 of a text: the signature of version 2. */
export function hmacV2(secret: string, text: string): string {
  return createHmac('sha1', secret).update(text, 'utf8').digest('base64');
}

/**
 * Adds Date and Authorization of version 2. `resource` is what the client takes for the CanonicalizedResource: the
 * request target by default.
 */
export function signV2(request: Unsigned, keys: SignerKeys, resource = request.url): Record<string, string> {
  const headers = { ...request.headers };
  if (headers['x-amz-date'] === undefined) headers['date'] ??= new Date(keys.now ?? Date.now()).toUTCString();
  const dateLine = headers['x-amz-date'] === undefined ? headers['date'] : '';
  const text = `${request.method}\n${headers['content-md5'] ?? ''}\n${headers['content-type'] ?? ''}\n${dateLine}\n${amzLines(headers)}${resource}`;
  headers['authorization'] = `AWS ${keys.accessKey}:${hmacV2(keys.secret, text)}`;
  return headers;
}

function amzLines(headers: Record<string, string>): string {
  return Object.keys(headers)
    .filter((name) => name.startsWith('x-amz-'))
    .sort()
    .map((name) => `${name}:${headers[name]}\n`)
    .join('');
}

/** The presigned URL of version 2; `expires` in seconds since the epoch. */
export function presignV2(request: Unsigned, keys: SignerKeys, expires: number, resource = request.url): string {
  const text = `${request.method}\n${request.headers['content-md5'] ?? ''}\n${request.headers['content-type'] ?? ''}\n${expires}\n${amzLines(request.headers)}${resource}`;
  const signature = encodeURIComponent(hmacV2(keys.secret, text));
  return `${request.url}${request.url.includes('?') ? '&' : '?'}AWSAccessKeyId=${keys.accessKey}&Expires=${expires}&Signature=${signature}`;
}

/**
 * The aws-chunked coding of a payload. `signing` (of `signV4`): chunks and trailer are signed.
 * `trailers`: the trailing headers; their names belong into `x-amz-trailer`.
 */
export function chunkedBody(
  payload: Uint8Array,
  options: { chunkSize?: number; signing?: Signing; trailers?: Record<string, string> } = {},
): Buffer {
  const { chunkSize = 65536, signing, trailers } = options;
  const out: Buffer[] = [];
  let previous = signing?.signature ?? '';
  const chain = (kind: string, ...lines: string[]) => {
    const text = [`AWS4-HMAC-SHA256-${kind}`, signing!.date, signing!.scope, previous, ...lines].join('\n');
    previous = hmac(signing!.key, text).toString('hex');
    return previous;
  };
  const chunk = (data: Uint8Array, last: boolean) => {
    const extension =
      signing === undefined ? '' : `;chunk-signature=${chain('PAYLOAD', sha256(new Uint8Array()), sha256(data))}`;
    out.push(Buffer.from(`${data.length.toString(16)}${extension}\r\n`), Buffer.from(data));
    if (!last) out.push(Buffer.from('\r\n'));
  };
  for (let at = 0; at < payload.length; at += chunkSize) chunk(payload.subarray(at, at + chunkSize), false);
  chunk(new Uint8Array(), true);
  if (trailers !== undefined) {
    const entries = Object.entries(trailers);
    for (const [name, value] of entries) out.push(Buffer.from(`${name}:${value}\r\n`));
    if (signing !== undefined) {
      const text = entries.map(([name, value]) => `${name}:${value}\n`).join('');
      out.push(Buffer.from(`x-amz-trailer-signature:${chain('TRAILER', sha256(text))}\r\n`));
    }
  }
  out.push(Buffer.from('\r\n'));
  return Buffer.concat(out);
}

/** A request as it would come from the wire. */
export function wireRequest(method: string, url: string, headers: Record<string, string> | string[]): WireRequest {
  const rawHeaders = Array.isArray(headers) ? headers : Object.entries(headers).flat();
  return parseWire({ method, url, rawHeaders, socket: {} } as unknown as IncomingMessage);
}
