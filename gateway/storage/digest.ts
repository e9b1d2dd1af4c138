/** Digests of a payload while it passes, and the CRC of joined pieces from the CRCs of the pieces. Thread-local, no I/O. */
import { createHash } from 'node:crypto';
import { crc32, crc32c } from '@node-rs/crc32';
import { createCRC64, type IHasher } from 'hash-wasm';
import type { Digest } from './types.js';

export interface Digests {
  /** The chunk may be reused at once; memory shared between threads is fine. */
  update(chunk: Uint8Array): void;
  /** Raw bytes, CRCs big-endian. Once; `update` must not follow. */
  finish(): Partial<Record<Digest, Uint8Array>>;
}

interface Running {
  update(chunk: Uint8Array): void;
  finish(): Uint8Array;
}

/** The polynomial of CRC-64/NVME in reflected (right-shifting) form, as hash-wasm wants it. */
const nvmePolynomial = '9a6c9329ac4bc9b5';

/**
 * The one WASM instance of this thread. Making one is asynchronous, but its state is 12 bytes, so streams take turns on
 * it: whoever comes next puts the former's state aside and its own in (2 µs).
 */
let engine: IHasher | undefined;
let inEngine: { state: Uint8Array | undefined } | undefined;

/** Must have resolved, once in each thread, before `createDigests` is asked for `crc64nvme`. */
export async function loadDigests(): Promise<void> {
  engine ??= await createCRC64(nvmePolynomial);
}

function running64(): Running {
  const hasher = engine;
  if (!hasher) throw new Error('loadDigests() has not run in this thread');
  const mine: { state: Uint8Array | undefined } = { state: undefined };
  const enter = () => {
    if (inEngine === mine) return;
    if (inEngine) inEngine.state = hasher.save();
    if (mine.state) hasher.load(mine.state);
    else hasher.init();
    inEngine = mine;
  };
  return {
    update(chunk) {
      enter();
      hasher.update(chunk);
    },
    finish() {
      enter();
      inEngine = undefined;
      return hasher.digest('binary');
    },
  };
}

function running32(step: (chunk: Uint8Array, state: number) => number): Running {
  let state = 0;
  return {
    update(chunk) {
      if (chunk.length > 0) state = step(chunk, state);
    },
    finish() {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, state);
      return bytes;
    },
  };
}

function runningHash(name: 'md5' | 'sha1' | 'sha256'): Running {
  const hash = createHash(name);
  return {
    update(chunk) {
      hash.update(chunk);
    },
    finish: () => new Uint8Array(hash.digest()),
  };
}

function start(digest: Digest): Running {
  switch (digest) {
    case 'crc32':
      return running32(crc32);
    case 'crc32c':
      return running32(crc32c);
    case 'crc64nvme':
      return running64();
    default:
      return runningHash(digest);
  }
}

/** Starts the digests named; a name given twice counts once. */
export function createDigests(names: readonly Digest[]): Digests {
  const all = [...new Set(names)].map((name) => ({ name, running: start(name) }));
  return {
    update(chunk) {
      for (const { running } of all) running.update(chunk);
    },
    finish() {
      const result: Partial<Record<Digest, Uint8Array>> = {};
      for (const { name, running } of all) result[name] = running.finish();
      return result;
    },
  };
}

// ---- the CRC of a concatenation -----------------------------------------------------------------------------------

export type CrcAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME';

interface Field {
  width: bigint;
  polynomial: bigint;
  /** x^(8·2^i) mod P, grown as longer pieces come. */
  powers: bigint[];
  /** The last length and its x^(8·length): parts of an upload are of one size but for the last. */
  length: number;
  shift: bigint;
}

const field = (width: bigint, polynomial: bigint): Field => ({ width, polynomial, powers: [], length: -1, shift: 0n });

/** Reflected: the highest bit is x^0. */
const fields: Record<CrcAlgorithm, Field> = {
  CRC32: field(32n, 0xedb88320n),
  CRC32C: field(32n, 0x82f63b78n),
  CRC64NVME: field(64n, BigInt(`0x${nvmePolynomial}`)),
};

/** a·b mod P over GF(2). */
function multiply({ width, polynomial }: Field, a: bigint, b: bigint): bigint {
  let product = 0n;
  for (let bit = 1n << (width - 1n); bit > 0n; bit >>= 1n) {
    if (a & bit) product ^= b;
    b = b & 1n ? (b >> 1n) ^ polynomial : b >> 1n;
  }
  return product;
}

/** x^(8·length) mod P: what `length` further bytes do to a CRC. */
function shiftOf(f: Field, length: number): bigint {
  if (length === f.length) return f.shift;
  let result = 1n << (f.width - 1n);
  let rest = BigInt(length);
  for (let i = 0; rest > 0n; i++, rest >>= 1n) {
    // x^8, then each the square of the one before.
    f.powers[i] ??= i === 0 ? 1n << (f.width - 9n) : multiply(f, f.powers[i - 1]!, f.powers[i - 1]!);
    if (rest & 1n) result = multiply(f, result, f.powers[i]!);
  }
  f.length = length;
  f.shift = result;
  return result;
}

/**
 * The CRC of A followed by B, from the CRCs of both (raw, big-endian) and the length of B in bytes: how S3 makes a
 * `FULL_OBJECT` checksum of a multipart upload. CRC(AB) = CRC(A)·x^(8·|B|) + CRC(B), since initial value and final
 * inversion of these CRCs are all ones and cancel.
 */
export function combineCrc(algorithm: CrcAlgorithm, crcA: Uint8Array, crcB: Uint8Array, lengthB: number): Uint8Array {
  const f = fields[algorithm];
  const bytes = Number(f.width / 8n);
  if (crcA.length !== bytes || crcB.length !== bytes) throw new RangeError(`a ${algorithm} has ${bytes} bytes`);
  if (!Number.isSafeInteger(lengthB) || lengthB < 0) throw new RangeError(`not a length: ${lengthB}`);
  const value = multiply(f, shiftOf(f, lengthB), read(crcA)) ^ read(crcB);
  return new Uint8Array(Buffer.from(value.toString(16).padStart(bytes * 2, '0'), 'hex'));
}

const read = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
