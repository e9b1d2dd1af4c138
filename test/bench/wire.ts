/**
 * A client that costs little: requests are bytes made and signed beforehand, replies are counted and thrown away. Raw
 * sockets, because what http.request costs would be measured with the gateway.
 */
import { connect, type Socket } from 'node:net';
import type { Work } from './row.js';

export interface Address {
  host: string;
  port: number;
}

/** One request as it goes over the wire. */
export interface Call {
  /** Head, and the body of a small request. */
  bytes: Buffer;
  /** A HEAD: its reply has no body whatever its headers say. */
  head?: boolean;
  /** The pieces of a large body, made anew each time. */
  body?: () => Iterable<Buffer>;
  /** The body of its reply is wanted: it may be chunked then. */
  keep?: boolean;
}

export interface Answer {
  status: number;
  /** Of the body. */
  bytes: number;
  /** Empty unless it was wanted. */
  body: Buffer;
}

export interface Connection {
  call(call: Call): Promise<Answer>;
  close(): void;
}

const headEnd = Buffer.from('\r\n\r\n');
const chunksEnd = Buffer.from('0\r\n\r\n');
const nothing: Buffer = Buffer.alloc(0);

/** What chunks hold (RFC 9112, 7.1), without the lines in between; undefined while the last one is missing. */
function joined(chunks: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = chunks.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(chunks.toString('latin1', at, line), 16);
    if (!(size >= 0)) return undefined;
    if (size === 0) return Buffer.concat(parts);
    parts.push(chunks.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}

/** Opens one connection. Several may read through one buffer: what is read is thrown away, or copied. */
export function open({ host, port }: Address, buffer = Buffer.allocUnsafe(1 << 20)): Promise<Connection> {
  return new Promise((opened, failed) => {
    let waiting:
      | { head: boolean; keep: boolean; resolve: (answer: Answer) => void; reject: (error: Error) => void }
      | undefined;
    let kept: Buffer = nothing;
    let head = Buffer.alloc(0);
    let status = 0;
    let bytes = 0;
    let left = -1;
    let sample = '';

    const done = () => {
      const { resolve, reject } = waiting!;
      waiting = undefined;
      left = -1;
      if (status < 300) resolve({ status, bytes, body: kept });
      else reject(new Error(`answered ${status}: ${sample.slice(0, 500)}`));
    };
    const body = (piece: Buffer) => {
      if (status >= 300) sample += piece.toString('latin1');
      if (left === Number.POSITIVE_INFINITY) {
        if (kept.length < bytes + piece.length) {
          const larger = Buffer.allocUnsafe(2 * (bytes + piece.length));
          kept.copy(larger, 0, 0, bytes);
          kept = larger;
        }
        piece.copy(kept, bytes);
        bytes += piece.length;
        const chunks = kept.subarray(0, bytes);
        const all = chunks.subarray(-chunksEnd.length).equals(chunksEnd) ? joined(chunks) : undefined;
        if (!all) return;
        kept = all;
        bytes = kept.length;
        return done();
      }
      if (kept.length > 0) piece.copy(kept, bytes - left);
      left -= piece.length;
      if (left < 0) return socket.destroy(new Error('more came than the reply announced'));
      if (left === 0) done();
      return undefined;
    };
    const read = (size: number): boolean => {
      let piece = buffer.subarray(0, size);
      if (!waiting) {
        socket.destroy(new Error('a reply that nobody asked for'));
        return false;
      }
      if (left < 0) {
        const whole = head.length === 0 ? piece : Buffer.concat([head, piece]);
        const end = whole.indexOf(headEnd);
        if (end < 0) {
          head = Buffer.from(whole);
          return true;
        }
        head = Buffer.alloc(0);
        const text = whole.toString('latin1', 0, end);
        status = Number(text.slice(9, 12));
        const length = /\r\ncontent-length: *(\d+)/i.exec(text);
        const none = waiting.head || status === 204 || status === 304;
        const chunked = waiting.keep && /\r\ntransfer-encoding: *chunked/i.test(text);
        if (!none && !length && !chunked) {
          socket.destroy(new Error(`a reply without a length: ${text}`));
          return false;
        }
        bytes = none || chunked ? 0 : Number(length?.[1]);
        left = chunked ? Number.POSITIVE_INFINITY : bytes;
        kept = waiting.keep ? Buffer.allocUnsafe(bytes) : nothing;
        sample = '';
        piece = whole.subarray(end + 4);
      }
      body(piece);
      return true;
    };

    const socket: Socket = connect({
      host,
      port,
      noDelay: true,
      onread: { buffer, callback: read },
    });
    let broken: Error | undefined;
    socket.once('connect', () => opened({ call, close: () => socket.destroy() }));
    socket.on('error', (error) => {
      broken = error;
    });
    socket.on('close', () => {
      const error = broken ?? new Error('the server closed the connection');
      failed(error);
      waiting?.reject(error);
    });

    const send = async ({ bytes: first, body: pieces }: Call) => {
      if (!pieces) {
        socket.write(first);
        return;
      }
      socket.write(first);
      for (const piece of pieces()) {
        // An error was answered in the middle: whoever waits has it.
        if (!waiting) return;
        if (!socket.write(piece)) {
          await new Promise<void>((resolve) => {
            const go = () => {
              socket.off('drain', go);
              socket.off('close', go);
              resolve();
            };
            socket.on('drain', go);
            socket.on('close', go);
          });
        }
      }
    };
    function call(request: Call): Promise<Answer> {
      return new Promise((resolve, reject) => {
        waiting = { head: request.head === true, keep: request.keep === true, resolve, reject };
        if (socket.destroyed) reject(broken ?? new Error('the connection is closed'));
        else send(request).catch(reject);
      });
    }
  });
}

export interface Limits {
  connections: number;
  /** No call begins after so long; without it every call is made once. */
  seconds?: number;
}

/**
 * Makes calls on several connections, one after the other on each. With `seconds` the calls go round. Anything but 2xx
 * is an error: a benchmark of refusals would be a fast one.
 */
export async function drive(address: Address, calls: readonly Call[], { connections, seconds }: Limits): Promise<Work> {
  const buffer = Buffer.allocUnsafe(1 << 20);
  const open_ = await Promise.all(Array.from({ length: connections }, () => open(address, buffer)));
  let at = 0;
  let operations = 0;
  let bytes = 0;
  const from = performance.now();
  const end = seconds === undefined ? Number.POSITIVE_INFINITY : from + seconds * 1000;
  try {
    await Promise.all(
      open_.map(async (connection) => {
        // Every connection works at least once.
        for (let first = true; first || performance.now() < end; first = false) {
          if (seconds === undefined && at >= calls.length) return;
          const answer = await connection.call(calls[at++ % calls.length]!);
          operations++;
          bytes += answer.bytes;
        }
      }),
    );
    return { operations, bytes, seconds: (performance.now() - from) / 1000 };
  } finally {
    for (const connection of open_) connection.close();
  }
}
