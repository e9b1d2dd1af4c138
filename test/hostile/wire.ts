/** Raw requests to the built gateway: every byte of the head is the test's own. */
import { connect, type Socket } from 'node:net';
import { presignV4, signV2, signV4 } from '../auth/signer.js';
import type { Gateway, Key } from '../support/gateway.js';
import { withTimeout } from '../support/time.js';

export interface Answer {
  /** Undefined when the connection was closed without one. */
  status: number | undefined;
  /** Head and body, latin1. */
  text: string;
  body: string;
  /** Of the error document. */
  code: string | undefined;
}

export interface Request {
  method?: string;
  /** What is signed. */
  url: string;
  /** The request target on the wire, where it is not `url`. */
  target?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Null: anonymous. Default: the first account. */
  as?: Key | null;
  /** Added to the head and not signed: whole lines. */
  lines?: string[];
  /** Head lines are changed at last: what is sent is what this answers. */
  change?: (lines: string[]) => string[];
  version?: 2 | 4;
}

const open = new Set<Socket>();
export const closeSockets = (): void => {
  for (const socket of open) socket.destroy();
};

/** The whole head and the body, ready to be written. */
export function compose(gateway: Gateway, request: Request): { head: string; body: Buffer } {
  const { method = 'GET', url, headers = {}, as = gateway, lines = [], change = (all) => all, version = 4 } = request;
  const body = Buffer.from(request.body ?? '');
  const all: Record<string, string> = { host: `127.0.0.1:${gateway.port}`, ...headers };
  const keys = as && { accessKey: as.accessKey, secret: as.secretKey };
  const unsigned = { method, url, headers: all };
  const signed = !keys ? all : version === 2 ? signV2(unsigned, keys) : signV4(unsigned, keys, body).headers;
  const carries = body.length > 0 || ['PUT', 'POST'].includes(method);
  const head = change([
    `${method} ${request.target ?? url} HTTP/1.1`,
    ...Object.entries(signed).map(([name, value]) => `${name}: ${value}`),
    ...(carries ? [`content-length: ${body.length}`] : []),
    ...lines,
    'connection: close',
  ]);
  return { head: `${head.join('\r\n')}\r\n\r\n`, body };
}

export const presigned = (
  gateway: Gateway,
  method: string,
  url: string,
  headers: Record<string, string> = {},
): string =>
  presignV4(
    { method, url, headers: { host: `127.0.0.1:${gateway.port}`, ...headers } },
    { accessKey: gateway.accessKey, secret: gateway.secretKey },
    600,
  );

/** Writes bytes on a connection of their own; everything that comes back until it closes. */
export async function exchange(
  gateway: Gateway,
  bytes: string | Buffer,
  more?: (socket: Socket) => Promise<void>,
): Promise<Answer> {
  const socket = connect(gateway.port, '127.0.0.1');
  open.add(socket);
  const pieces: Buffer[] = [];
  socket.on('data', (piece) => pieces.push(piece));
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  await more?.(socket);
  await withTimeout('an answer', 20_000, closed);
  open.delete(socket);
  const text = Buffer.concat(pieces).toString('latin1');
  const at = text.indexOf('\r\n\r\n');
  return {
    status: /^HTTP\/1\.1 \d/.test(text) ? Number(text.slice(9, 12)) : undefined,
    text,
    body: at < 0 ? '' : text.slice(at + 4),
    code: /<Code>([^<]*)<\/Code>/.exec(text)?.[1],
  };
}

export async function send(gateway: Gateway, request: Request): Promise<Answer> {
  const { head, body } = compose(gateway, request);
  return exchange(gateway, Buffer.concat([Buffer.from(head, 'latin1'), body]));
}
