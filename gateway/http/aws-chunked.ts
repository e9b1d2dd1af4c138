/**
 * The aws-chunked content coding, undone while it arrives.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 *
 *     hex-size[;chunk-signature=hex]\r\n data \r\n … 0[;chunk-signature=hex]\r\n [name:value\r\n …] \r\n
 */
import { createHash, type Hash } from 'node:crypto';
import type { PayloadCheck } from '../auth/types.js';
import { S3Error } from '../errors.js';
import type { Sink } from '../storage/types.js';

/** Bytes of one header or trailer line, and of all trailer lines. */
const maxLine = 4096;
const maxTrailer = 16384;

export interface ChunkDecoderOptions {
  payload: Extract<PayloadCheck, { kind: 'chunks' }>;
  /** `x-amz-decoded-content-length` */
  length: number;
  /** Lower-case names that `x-amz-trailer` announced. */
  announced: readonly string[];
  /** Receives what came in the trailer. */
  trailers: Map<string, string>;
  sink: Sink;
}

export interface ChunkDecoder {
  /** Takes the next piece of the coded body, cut anywhere. Settles when the sink has taken what was in it. */
  write(piece: Uint8Array): void | Promise<void>;
  /** The coded body is over. Throws unless it was complete. */
  end(): void;
}

type State = 'size' | 'data' | 'data-end' | 'trailer';

/**
 * Decodes one body. The sink gets the data of a chunk before the chunk's signature, which covers all of it, could be
 * checked: storage publishes nothing before the whole of `Body.read` has resolved, and holding back a chunk would mean
 * keeping megabytes that the client chooses the size of.
 *
 * Throws SignatureDoesNotMatch, IncompleteBody (other length than declared), InvalidRequest (not this coding),
 * MalformedTrailerError. "Only the last chunk may be smaller than 8 KB" is not insisted on.
 */
export function chunkDecoder(options: ChunkDecoderOptions): ChunkDecoder {
  const { payload, sink, trailers } = options;
  const verify = payload.verify;
  let state: State = 'size';
  let line = '';
  let left = 0;
  let received = 0;
  let signature = '';
  let hash: Hash | undefined;
  let trailerBytes = 0;
  let canonicalTrailer = '';
  let trailerSignature: string | undefined;

  /** Consumes up to and with the next line feed; the line without its end, or undefined when more is needed. */
  let position = 0;
  const takeLine = (piece: Uint8Array): string | undefined => {
    const feed = piece.indexOf(0x0a, position);
    const end = feed < 0 ? piece.length : feed;
    if (line.length + end - position > maxLine) throw malformed('a line is too long');
    line += Buffer.from(piece.buffer, piece.byteOffset + position, end - position).toString('latin1');
    position = feed < 0 ? end : end + 1;
    if (feed < 0) return undefined;
    const whole = line.endsWith('\r') ? line.slice(0, -1) : line;
    line = '';
    return whole;
  };

  const startChunk = (text: string) => {
    const [size, ...extensions] = text.split(';');
    if (!/^[0-9A-Fa-f]{1,12}$/.test(size!.trim())) throw malformed('a chunk size is not a hexadecimal number');
    left = Number.parseInt(size!, 16);
    if (received + left > options.length) throw wrongLength();
    const given = extensions.map((text) => text.trim()).find((text) => text.startsWith('chunk-signature='));
    if (verify !== undefined) {
      if (given === undefined) throw badSignature('');
      signature = given.slice('chunk-signature='.length);
      hash = createHash('sha256');
    }
    if (left > 0) {
      state = 'data';
    } else {
      if (received !== options.length) throw wrongLength();
      endChunk();
      state = 'trailer';
    }
  };

  const endChunk = () => {
    if (verify === undefined) return;
    if (!verify.chunk(signature, hash!.digest())) throw badSignature(signature);
  };

  const takeTrailer = (text: string) => {
    trailerBytes += text.length + 2;
    if (trailerBytes > maxTrailer) throw new S3Error('MalformedTrailerError');
    // The trailer ends with the body. Empty lines stand at its end, and with some clients also behind the last, empty
    // chunk, as behind any other, or before the signature.
    if (text === '') return;
    const colon = text.indexOf(':');
    if (colon < 1 || !payload.trailer) throw new S3Error('MalformedTrailerError');
    const name = text.slice(0, colon).trim().toLowerCase();
    const value = text.slice(colon + 1).trim();
    if (name === 'x-amz-trailer-signature' && verify !== undefined) {
      if (trailerSignature !== undefined) throw new S3Error('MalformedTrailerError');
      trailerSignature = value;
      return;
    }
    // What follows the signature is not covered by it.
    if (trailerSignature !== undefined) throw new S3Error('MalformedTrailerError');
    if (!options.announced.includes(name) || trailers.has(name)) throw new S3Error('MalformedTrailerError');
    trailers.set(name, value);
    canonicalTrailer += `${name}:${value}\n`;
  };

  const finish = () => {
    if (!payload.trailer) return;
    if (options.announced.some((name) => !trailers.has(name))) throw new S3Error('MalformedTrailerError');
    if (verify === undefined) return;
    if (trailerSignature === undefined) throw badSignature('');
    if (!verify.trailer(trailerSignature, canonicalTrailer)) throw badSignature(trailerSignature);
  };

  const run = (piece: Uint8Array): void | Promise<void> => {
    while (position < piece.length) {
      if (state === 'data') {
        const part = piece.subarray(position, position + left);
        position += part.length;
        left -= part.length;
        received += part.length;
        hash?.update(part);
        if (left === 0) {
          endChunk();
          state = 'data-end';
        }
        const taken = sink(part);
        if (taken !== undefined) return taken.then(() => run(piece));
        continue;
      }
      const text = takeLine(piece);
      if (text === undefined) return;
      if (state === 'size') startChunk(text);
      else if (state === 'trailer') takeTrailer(text);
      else if (text !== '') throw malformed('a chunk is longer than it says');
      else state = 'size';
    }
  };

  return {
    write(piece) {
      position = 0;
      return run(piece);
    },
    end() {
      if (state !== 'trailer') throw wrongLength();
      // The end of the body ends an unfinished last line as well.
      if (line !== '') takeTrailer(line.replace(/\r$/, ''));
      finish();
    },
  };
}

function malformed(why: string): S3Error {
  return new S3Error('InvalidRequest', { message: `The aws-chunked body is malformed: ${why}.` });
}

function wrongLength(): S3Error {
  return new S3Error('IncompleteBody', {
    message: 'You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header',
  });
}

function badSignature(provided: string): S3Error {
  return new S3Error('SignatureDoesNotMatch', { fields: { SignatureProvided: provided } });
}
