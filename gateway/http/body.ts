/**
 * The payload of a request as a `Body`: straight from the socket's stream by pause and resume. No Web streams and no
 * Transform stand between, and plain bodies are passed on without a copy.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { PayloadCheck } from '../auth/types.js';
import { S3Error } from '../errors.js';
import type { Body, Sink } from '../storage/types.js';
import { chunkDecoder } from './aws-chunked.js';
import { connectionBehind } from './connection.js';
import type { Headers } from './types.js';

export interface BodyOptions {
  payload: PayloadCheck;
  headers: Headers;
  /** Milliseconds without a byte from the client after which it is given up; absent: for ever. */
  idleMs?: number;
}

/** With less to come a store is not asked to take it itself. */
const DIRECT_BYTES = 1 << 20;
/** Node reads 64 KiB at once: when it got so much there is more. */
const FULL_BYTES = 32 << 10;

/**
 * The decoded payload, and the trailers that came with it (complete once `body.read` has resolved).
 * Throws MissingContentLength and InvalidArgument when the length that aws-chunked needs is missing or no number, and
 * NotImplemented for a transfer coding but `chunked`.
 *
 * `read` rejects with IncompleteBody when the connection breaks or the length differs, RequestTimeout when it stalls,
 * and what `chunkDecoder` throws. After that the stream stays paused: whoever replies decides between draining it and
 * closing the connection. A `sha256` of the whole payload is the store's to compare, which hashes anyway.
 */
export function createBody(
  incoming: IncomingMessage,
  options: BodyOptions,
): { body: Body; trailers: Map<string, string> } {
  const trailers = new Map<string, string>();
  const { payload, headers, idleMs } = options;
  const wireLength = declaredLength(headers);
  // A socket that breaks between two reads must not become an uncaught exception.
  incoming.on('error', ignore);
  let started = false;
  const once = () => {
    if (started) throw new Error('a body can be read only once');
    started = true;
  };
  if (payload.kind !== 'chunks') {
    const read = async (sink: Sink) => {
      once();
      let received = 0;
      const take: Sink = (piece) => {
        received += piece.length;
        return sink(piece);
      };
      const keep =
        sink.keep &&
        (async (descriptor: number, most: number) => {
          const kept = await sink.keep!(descriptor, most);
          received += kept.bytes;
          return kept;
        });
      const { receive } = sink;
      const takes = keep ? { keep } : receive && { receive };
      await pump(incoming, { idleMs, length: wireLength, takes }, take);
      if (wireLength !== undefined && received !== wireLength) throw new S3Error('IncompleteBody');
    };
    return { body: { length: wireLength, read }, trailers };
  }
  const length = decodedLength(headers);
  const announced = (headers.get('x-amz-trailer') ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  const read = async (sink: Sink) => {
    once();
    const decoder = chunkDecoder({ payload, length, announced, trailers, sink });
    const takes = sink.receive && { receive: sink.receive };
    await pump(incoming, { idleMs, length: wireLength, takes }, decoder.write);
    decoder.end();
  };
  return { body: { length, read }, trailers };
}

function ignore(): void {}

/** Undefined when the sender does not say (chunked transfer coding). */
function declaredLength(headers: Headers): number | undefined {
  const coding = headers.get('transfer-encoding');
  if (coding !== undefined) {
    // RFC 9112 section 6.1: "A server that receives a request message with a transfer coding it does not understand
    // SHOULD respond with 501". What was compressed on the way would be stored compressed.
    if (coding.trim().toLowerCase() === 'chunked') return undefined;
    throw new S3Error('NotImplemented', { message: `The transfer coding ${coding} is not implemented` });
  }
  const text = headers.get('content-length');
  // RFC 9112 section 6.3: without either header a request has no body.
  if (text === undefined || text === '') return 0;
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function decodedLength(headers: Headers): number {
  const text = headers.get('x-amz-decoded-content-length');
  if (text === undefined || text === '') throw new S3Error('MissingContentLength');
  if (!/^\d{1,15}$/.test(text)) {
    throw new S3Error('InvalidArgument', {
      message: 'The value of x-amz-decoded-content-length must be a number of bytes',
      fields: { ArgumentName: 'x-amz-decoded-content-length', ArgumentValue: text },
    });
  }
  return Number(text);
}

interface PumpOptions extends Pick<BodyOptions, 'idleMs'> {
  /** Bytes that will come, where known. */
  length: number | undefined;
  /** How the store takes bytes from the connection itself. */
  takes: Required<Pick<Sink, 'receive'>> | Required<Pick<Sink, 'keep'>> | undefined;
}

/** Hands every piece to `sink`, waiting where it gives a promise; rejects when the stream does not end properly. */
function pump(incoming: IncomingMessage, { idleMs, length, takes }: PumpOptions, sink: Sink): Promise<void> {
  let left = length ?? 0;
  const direct = takes && left >= DIRECT_BYTES ? connectionBehind(incoming) : undefined;
  return new Promise((resolve, reject) => {
    let busy = false;
    let ended = false;
    let settled = false;
    // While we are the slow one, the client's silence is no idleness.
    const onIdle = () => (busy ? idle?.refresh() : fail(new S3Error('RequestTimeout')));
    const idle = idleMs === undefined ? undefined : setTimeout(onIdle, idleMs);

    const settle = () => {
      settled = true;
      clearTimeout(idle);
      incoming.off('data', onData);
      incoming.off('end', onEnd);
      incoming.off('close', onClose);
      incoming.off('error', onError);
    };
    const fail = (error: unknown) => {
      if (settled) return;
      settle();
      incoming.pause();
      reject(error);
    };
    const finish = () => {
      if (settled) return;
      // Node ends the stream of a broken chunked transfer as well; only `complete` tells that the message was whole.
      if (!incoming.complete) return fail(new S3Error('IncompleteBody'));
      settle();
      resolve();
    };
    /** The store takes what the connection has, as long as there is much of it. Waiting for it is Node's. */
    const takeDirectly = async (): Promise<void> => {
      const fd = direct!.hold();
      if (fd === undefined) return;
      try {
        for (let more = true; more && left > 0 && !settled; ) {
          const taken = 'keep' in takes! ? await takes.keep(fd, left) : await takes!.receive(fd, left);
          const bytes = 'bytes' in taken ? taken.bytes : taken.piece.length;
          if (settled || bytes === 0) return;
          left -= bytes;
          direct!.consume(bytes);
          idle?.refresh();
          if ('piece' in taken) await sink(taken.piece);
          more = taken.more;
        }
      } finally {
        direct!.release();
      }
    };
    const worthIt = (piece: Buffer) => direct && piece.length >= FULL_BYTES && left >= DIRECT_BYTES;
    const onData = (piece: Buffer) => {
      if (busy) {
        // The stream was paused, and somebody set it going to drain it: the request is over.
        settle();
        return reject(new S3Error('IncompleteBody'));
      }
      idle?.refresh();
      left -= piece.length;
      let taken: void | Promise<void>;
      try {
        taken = sink(piece);
      } catch (error) {
        return fail(error);
      }
      if (worthIt(piece)) taken = taken ? taken.then(takeDirectly) : takeDirectly();
      if (taken === undefined) return;
      busy = true;
      incoming.pause();
      taken.then(() => {
        busy = false;
        if (settled) return;
        if (ended) return finish();
        idle?.refresh();
        incoming.resume();
      }, fail);
    };
    const onEnd = () => {
      ended = true;
      // Nothing more is awaited of the client. A sink that never settles, that of a form whose file nobody reads, must not
      // be kept by a timer.
      clearTimeout(idle);
      if (!busy) finish();
    };
    const onClose = () => {
      if (ended) return;
      fail(new S3Error('IncompleteBody', { cause: incoming.errored ?? undefined }));
    };
    const onError = (cause: Error) => fail(new S3Error('IncompleteBody', { cause }));

    if (incoming.readableEnded || (incoming.destroyed && incoming.complete)) {
      ended = true;
      return finish();
    }
    if (incoming.destroyed) return onClose();
    incoming.on('end', onEnd);
    incoming.on('close', onClose);
    incoming.on('error', onError);
    incoming.on('data', onData);
    incoming.resume();
  });
}

/**
 * The whole of a small body (XML). More than `maxBytes` is MaxMessageLengthExceeded; `sha256` (hex), when given, is held
 * against it: XAmzContentSHA256Mismatch.
 */
export async function readAll(
  body: Body,
  maxBytes: number,
  options: { sha256?: string | undefined } = {},
): Promise<Buffer> {
  const tooLarge = () =>
    new S3Error('MaxMessageLengthExceeded', { fields: { MaxMessageLengthBytes: String(maxBytes) } });
  if (body.length !== undefined && body.length > maxBytes) throw tooLarge();
  const pieces: Buffer[] = [];
  let size = 0;
  await body.read((piece) => {
    size += piece.length;
    if (size > maxBytes) throw tooLarge();
    // A copy: the piece belongs to the sender again as soon as this returns.
    pieces.push(Buffer.from(piece));
  });
  const whole = Buffer.concat(pieces, size);
  if (options.sha256 !== undefined) checkSha256(options.sha256, createHash('sha256').update(whole).digest('hex'));
  return whole;
}

/**
 * The same payload, held to the signed SHA-256 of the whole: for a form, of which the store sees the file alone. `read`
 * rejects with XAmzContentSHA256Mismatch at the end.
 */
export function checkedBody(body: Body, payload: PayloadCheck | undefined): Body {
  if (payload?.kind !== 'sha256') return body;
  return {
    length: body.length,
    async read(sink) {
      const hash = createHash('sha256');
      await body.read((piece) => {
        hash.update(piece);
        return sink(piece);
      });
      checkSha256(payload.hex, hash.digest('hex'));
    },
  };
}

/** Throws XAmzContentSHA256Mismatch unless the two (hex) are the same. */
export function checkSha256(promised: string, computed: string): void {
  if (promised === computed) return;
  throw new S3Error('XAmzContentSHA256Mismatch', {
    fields: { ClientComputedContentSHA256: promised, S3ComputedContentSHA256: computed },
  });
}
