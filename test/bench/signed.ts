/** Requests signed beforehand: a signature is good for 15 minutes, and making it is no work of the server. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { crc32 } from '@node-rs/crc32';
import { amzDate, presignV4 } from '../auth/signer.js';
import type { Address, Call } from './wire.js';

export interface Target extends Address {
  accessKey: string;
  secretKey: string;
}

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Uint8Array, text: string) => createHmac('sha256', key).update(text).digest();

const keys = new Map<string, Buffer>();

function signingKey(secret: string, date: string): Buffer {
  const id = `${secret} ${date}`;
  let key = keys.get(id);
  if (!key) {
    key = hmac(hmac(hmac(hmac(`AWS4${secret}`, date), 'us-east-1'), 's3'), 'aws4_request');
    keys.set(id, key);
  }
  return key;
}

export interface Asked {
  method: string;
  /** `/bucket/key`, of characters that need no encoding. */
  path: string;
  /** Encoded and sorted. */
  query?: string;
  /** Names in lower case. */
  headers?: Record<string, string>;
  /** Value of x-amz-content-sha256. */
  payload?: string;
}

/** The headers of a request with its version 4 signature. `http.request` takes them, and `headOf` makes bytes of them. */
export function signedHeaders(target: Target, asked: Asked): Record<string, string> {
  const { method, path, query = '', payload = 'UNSIGNED-PAYLOAD' } = asked;
  const date = amzDate(Date.now());
  const day = date.slice(0, 8);
  const headers: Record<string, string> = {
    ...asked.headers,
    host: `${target.host}:${target.port}`,
    'x-amz-content-sha256': payload,
    'x-amz-date': date,
  };
  // Content-Length is not signed by common clients.
  const names = Object.keys(headers)
    .filter((name) => name !== 'content-length')
    .sort();
  const list = names.join(';');
  const canonical = `${method}\n${path}\n${query}\n${names.map((name) => `${name}:${headers[name]}\n`).join('')}\n${list}\n${payload}`;
  const scope = `${day}/us-east-1/s3/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
  const signature = hmac(signingKey(target.secretKey, day), text).toString('hex');
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${target.accessKey}/${scope}, SignedHeaders=${list}, Signature=${signature}`;
  return headers;
}

function headOf(method: string, url: string, headers: Record<string, string>): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`);
}

/** A signed request without a body, or with a small one. */
export function signedCall(target: Target, asked: Asked, body?: Buffer): Call {
  const headers = body ? { ...asked.headers, 'content-length': `${body.length}` } : asked.headers;
  const all = signedHeaders(target, { ...asked, headers: headers ?? {} });
  const url = asked.query ? `${asked.path}?${asked.query}` : asked.path;
  const head = headOf(asked.method, url, all);
  return { bytes: body ? Buffer.concat([head, body]) : head, head: asked.method === 'HEAD' };
}

/** A GET by a presigned URL. */
export function presignedCall(target: Target, path: string): Call {
  const host = `${target.host}:${target.port}`;
  const signer = { accessKey: target.accessKey, secret: target.secretKey };
  return { bytes: headOf('GET', presignV4({ method: 'GET', url: path, headers: { host } }, signer, 900), { host }) };
}

/** A GET that nobody signed. */
export function plainCall({ host, port }: Address, path: string, method = 'GET'): Call {
  return { bytes: headOf(method, path, { host: `${host}:${port}` }), head: method === 'HEAD' };
}

// ---- large bodies ------------------------------------------------------------------------------------------------

const MiB = 1 << 20;
const pattern = randomBytes(MiB);

/** How the payload of an upload is protected. */
export type Protection = 'plain' | 'signed' | 'chunked';

function* repeated(piece: Buffer, times: number, last?: Buffer): Iterable<Buffer> {
  for (let i = 0; i < times; i++) yield piece;
  if (last) yield last;
}

const hashes = new Map<number, string>();

/** SHA-256 of so many times the pattern. */
function hashOf(mib: number): string {
  let known = hashes.get(mib);
  if (known === undefined) {
    const hash = createHash('sha256');
    for (let i = 0; i < mib; i++) hash.update(pattern);
    hashes.set(mib, (known = hash.digest('hex')));
  }
  return known;
}

const chunkSize = 65536;
const frame = (piece: Buffer) => [Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')];
const framed = Buffer.concat(
  Array.from({ length: MiB / chunkSize }, (_, i) => frame(pattern.subarray(i * chunkSize, (i + 1) * chunkSize))).flat(),
);

/** The last chunk and the trailer with the CRC32 of so many times the pattern. */
function trailerOf(mib: number): Buffer {
  let sum = 0;
  for (let i = 0; i < mib; i++) sum = crc32(pattern, sum);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(sum);
  return Buffer.from(`0\r\nx-amz-checksum-crc32:${bytes.toString('base64')}\r\n\r\n`);
}

/** An upload of so many MiB: `asked` has method, path and query. */
export function upload(target: Target, asked: Asked, mib: number, protection: Protection = 'plain'): Call {
  const url = asked.query ? `${asked.path}?${asked.query}` : asked.path;
  const call = (headers: Record<string, string>, payload: string, body: () => Iterable<Buffer>): Call => ({
    bytes: headOf(asked.method, url, signedHeaders(target, { ...asked, headers, payload })),
    body,
  });
  if (protection !== 'chunked') {
    const payload = protection === 'signed' ? hashOf(mib) : 'UNSIGNED-PAYLOAD';
    return call({ 'content-length': `${mib * MiB}` }, payload, () => repeated(pattern, mib));
  }
  const trailer = trailerOf(mib);
  return call(
    {
      'content-encoding': 'aws-chunked',
      'content-length': `${mib * framed.length + trailer.length}`,
      'x-amz-decoded-content-length': `${mib * MiB}`,
      'x-amz-trailer': 'x-amz-checksum-crc32',
    },
    'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    () => repeated(framed, mib, trailer),
  );
}

/** One core's MD5 or SHA-256, in this thread: seconds for so many MiB. */
export function hashSeconds(algorithm: 'md5' | 'sha256', mib: number): number {
  const from = performance.now();
  const hash = createHash(algorithm);
  for (let i = 0; i < mib; i++) hash.update(pattern);
  hash.digest();
  return (performance.now() - from) / 1000;
}
