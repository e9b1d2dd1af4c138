/** MD5 of many streams in one thread: each stream's state, and up to eight of them at once through the program. */
import { instantiate, PAGE, type SharedMemory } from './memory.js';
import { BLOCK, constants, layout, MOST, md5Module, md5ModuleOfIntegers, type Program } from './program.js';

/** One MD5 on its way. */
export interface Md5 {
  /** A, B, C and D of RFC 1321. */
  state: Uint32Array;
  /** Bytes so far. */
  length: number;
  /** The last of them, which do not fill a block: `length` modulo its size. */
  rest: Uint8Array;
}

/** Bytes of the shared memory that a stream goes on with. `at` and `left` move on. */
export interface Span {
  at: number;
  left: number;
}

export interface Engine {
  begin(): Md5;
  /**
   * Goes on with each of up to `MOST` streams, as far as the shortest allows, at most so many blocks; those with less than a
   * block left come to their end.
   */
  advance(streams: readonly { md5: Md5; span: Span }[], blocks: number): void;
  /** 16 bytes. Nothing may follow. */
  finish(md5: Md5): Uint8Array;
}

/**
 * An engine over a memory.
 * @param page one that this engine has for itself
 * @param vectors whether it may use them, where the machine has them; without, it is slower with many streams
 */
export const createEngine = (memory: SharedMemory, page: number, vectors = true): Engine => {
  const base = page * PAGE;
  const bytes = new Uint8Array(memory.buffer);
  const words = new Uint32Array(memory.buffer, base, PAGE / 4);
  const program = instantiate<Program>(memory, vectors ? [md5Module, md5ModuleOfIntegers] : [md5ModuleOfIntegers]);
  for (const [step, constant] of constants.entries()) words.fill(constant, 4 * step, 4 * step + 4);
  /** A block that is put together of pieces. */
  const block = base + layout.free;

  const run = (all: readonly Md5[], at: readonly number[], blocks: number): void => {
    const { one, two, four, eight } = program;
    const count = all.length;
    if (count > 2 && !(four && eight)) {
      for (let i = 0; i < count; i += 2) run(all.slice(i, i + 2), at.slice(i, i + 2), blocks);
      return;
    }
    for (let i = 0; i < count; i++) {
      for (let word = 0; word < 4; word++) words[layout.state(i, word) / 4] = all[i]!.state[word]!;
    }
    // Lanes that nobody needs work on what the first one does, and nobody looks.
    const [a, b = a!, c = a!, d = a!, e = a!, f = a!, g = a!, h = a!] = at;
    if (count === 1) one(base, a!, blocks);
    else if (count === 2) two(base, a!, b, blocks);
    else if (count <= 4) four!(base, a!, b, c, d, blocks);
    else eight!(base, a!, b, c, d, e, f, g, h, blocks);
    for (let i = 0; i < count; i++) {
      for (let word = 0; word < 4; word++) all[i]!.state[word] = words[layout.state(i, word) / 4]!;
    }
  };

  const runBlock = (md5: Md5): void => {
    bytes.set(md5.rest, block);
    run([md5], [block], 1);
  };

  /** Into the stream's incomplete block, until that is full or the span ends. */
  const fill = (md5: Md5, span: Span): void => {
    const held = md5.length % BLOCK;
    const count = Math.min(BLOCK - held, span.left);
    md5.rest.set(bytes.subarray(span.at, span.at + count), held);
    md5.length += count;
    span.at += count;
    span.left -= count;
    if (held + count === BLOCK) runBlock(md5);
  };

  return {
    begin: () => ({
      state: Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476),
      length: 0,
      rest: new Uint8Array(BLOCK),
    }),
    advance: (streams, most) => {
      if (streams.length > MOST) throw new RangeError(`${streams.length} streams at once`);
      const whole: (typeof streams)[number][] = [];
      let count = most;
      for (const stream of streams) {
        if (stream.md5.length % BLOCK > 0) fill(stream.md5, stream.span);
        const blocks = Math.floor(stream.span.left / BLOCK);
        if (blocks === 0) continue;
        whole.push(stream);
        count = Math.min(count, blocks);
      }
      if (whole.length === 0) count = 0;
      else {
        const at = whole.map(({ span }) => span.at);
        run(
          whole.map(({ md5 }) => md5),
          at,
          count,
        );
      }
      for (const { md5, span } of whole) {
        md5.length += count * BLOCK;
        span.at += count * BLOCK;
        span.left -= count * BLOCK;
      }
      for (const { md5, span } of streams) if (span.left > 0 && span.left < BLOCK) fill(md5, span);
    },
    finish: (md5) => {
      const bits = new DataView(new ArrayBuffer(8));
      bits.setBigUint64(0, BigInt(md5.length) * 8n, true);
      const held = md5.length % BLOCK;
      md5.rest.fill(0, held);
      md5.rest[held] = 0x80;
      if (held + 1 > BLOCK - 8) {
        runBlock(md5);
        md5.rest.fill(0);
      }
      md5.rest.set(new Uint8Array(bits.buffer), BLOCK - 8);
      runBlock(md5);
      const digest = new DataView(new ArrayBuffer(16));
      for (let word = 0; word < 4; word++) digest.setUint32(4 * word, md5.state[word]!, true);
      return new Uint8Array(digest.buffer);
    },
  };
};
