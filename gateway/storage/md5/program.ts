/**
 * MD5 (RFC 1321) for several streams at once, as WebAssembly. One stream leaves most of a core idle: each of the 64 steps waits
 * for the one before. Two streams in turns cost hardly more than one, and vectors do four in each instruction.
 */
import {
  createModule,
  type Definition,
  type Emit,
  get,
  int,
  integers,
  repeat,
  sequence,
  set,
  shuffle,
  vectors,
  type Words,
} from './wasm.js';

/** Bytes of a block. */
export const BLOCK = 64;
/** What one call takes at most. */
export const MOST = 8;

/**
 * Where things lie behind `base`, in bytes. The state of stream i: its words a, b, c and d at `state(i, 0..3)`, so that those of
 * four streams are a vector each.
 */
export const layout = {
  /** The constant of each step, four times. */
  constants: 0,
  /** The words of a block, of two times four streams. */
  words: 1024,
  state: (stream: number, word: number) => 1536 + 64 * (stream >> 2) + 16 * word + 4 * (stream & 3),
  /** For whoever calls. */
  free: 2048,
};

/** RFC 1321, section 3.4: T[i] = 4294967296 times abs(sin(i)), i from 1. */
export const constants = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));
const SHIFTS = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
] as const;
/** Which word of the block a step takes. */
const wordOf = (step: number): number => [step, 5 * step + 1, 3 * step + 5, 7 * step][step >> 4]! % 16;

interface Step {
  words: Words;
  /** Locals of the state before the step. */
  a: number;
  b: number;
  c: number;
  d: number;
  spare: number;
  constant: Emit;
  word: Emit;
}

/** One step of one stream (or of four): a = b + ((a + f(b, c, d) + word + constant) <<< shift). */
const step = (number: number, { words, a, b, c, d, spare, constant, word }: Step): Emit => {
  const { add, and, or, xor, not } = words;
  const [B, C, D] = [get(b), get(c), get(d)];
  const sum = add(add(get(a), constant), word);
  // `b` is the latest: what needs it comes last. G's two halves have no bit in common, so that their sum will do.
  const mixed = [
    () => add(sum, xor(and(xor(C, D), B), D)),
    () => add(add(sum, and(not(D), C)), and(B, D)),
    () => add(sum, xor(xor(C, D), B)),
    () => add(sum, xor(or(not(D), B), C)),
  ][number >> 4]!();
  return set(a, add(words.rotateLeft(mixed, SHIFTS[number >> 4]![number % 4]!, spare), B));
};

/** Locals a, b, c and d in the roles that they have in a step: they move on by one in each. */
const roles = (state: readonly number[], number: number) => {
  const [a, b, c, d] = [0, 1, 2, 3].map((role) => state[(role + 4 - (number % 4)) % 4]!);
  return { a: a!, b: b!, c: c!, d: d! };
};

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Parameters: base, where the bytes of each stream are, how many blocks (not none). */
const parametersOf = (streams: number) => ({
  base: get(0),
  at: (stream: number) => 1 + stream,
  blocks: 1 + streams,
  parameters: 2 + streams,
});

/** Goes on to the next block; not zero when there is one. */
const onward = (streams: number): { next: Emit; more: Emit } => {
  const { at, blocks } = parametersOf(streams);
  const { add } = integers;
  const ahead = range(streams).map((i) => set(at(i), add(get(at(i)), int(BLOCK))));
  return {
    next: sequence([...ahead, set(blocks, add(get(blocks), int(-1)))]),
    more: get(blocks),
  };
};

/** A few streams, one instruction for each. */
const inTurns = (name: string, streams: number): Definition => {
  const { base, at, parameters } = parametersOf(streams);
  const { add, load, store } = integers;
  const all = range(streams);
  const state = all.map((stream) => range(4).map((word) => parameters + 8 * stream + word));
  const before = all.map((stream) => range(4).map((word) => parameters + 8 * stream + 4 + word));
  const each = (emit: (stream: number, word: number) => Emit) =>
    sequence(all.flatMap((stream) => range(4).map((word) => emit(stream, word))));
  const { next, more } = onward(streams);
  const steps = range(64).flatMap((number) =>
    all.map((stream) =>
      step(number, {
        words: integers,
        ...roles(state[stream]!, number),
        spare: 0,
        constant: int(constants[number]!),
        word: load(get(at(stream)), 4 * wordOf(number)),
      }),
    ),
  );
  const body = sequence([
    each((i, word) => set(state[i]![word]!, load(base, layout.state(i, word)))),
    repeat(
      sequence([
        each((i, word) => set(before[i]![word]!, get(state[i]![word]!))),
        ...steps,
        each((i, word) => set(state[i]![word]!, add(get(state[i]![word]!), get(before[i]![word]!)))),
        next,
      ]),
      more,
    ),
    each((i, word) => store(base, layout.state(i, word), get(state[i]![word]!))),
  ]);
  return { name, parameters, locals: [{ count: 8 * streams, type: integers.type }], body };
};

/** Four streams in each vector; two vectors in turns do eight. */
const inLanes = (name: string, groups: number): Definition => {
  const streams = 4 * groups;
  const { base, at, parameters } = parametersOf(streams);
  const { add, load, store } = vectors;
  const all = range(groups);
  const state = all.map((group) => range(4).map((word) => parameters + 4 * group + word));
  const spare = range(8).map((i) => parameters + streams + i);
  const wordAt = (group: number, word: number) => layout.words + 256 * group + 16 * word;
  const stateAt = (group: number, word: number) => layout.state(4 * group, word);
  const each = (emit: (group: number, word: number) => Emit) =>
    sequence(all.flatMap((group) => range(4).map((word) => emit(group, word))));
  const { next, more } = onward(streams);

  /** Four words of each of four streams become four vectors of a word of each. */
  const transposed = (group: number, quarter: number): Emit => {
    const [p, q, r, s, lowPQ, lowRS, highPQ, highRS] = spare as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const word = (number: number, x: number, y: number, of: readonly [number, number, number, number]) =>
      store(base, wordAt(group, 4 * quarter + number), shuffle(get(x), get(y), of));
    return sequence([
      ...[p, q, r, s].map((local, i) => set(local, load(get(at(4 * group + i)), 16 * quarter))),
      set(lowPQ, shuffle(get(p), get(q), [0, 4, 1, 5])),
      set(lowRS, shuffle(get(r), get(s), [0, 4, 1, 5])),
      set(highPQ, shuffle(get(p), get(q), [2, 6, 3, 7])),
      set(highRS, shuffle(get(r), get(s), [2, 6, 3, 7])),
      word(0, lowPQ, lowRS, [0, 1, 4, 5]),
      word(1, lowPQ, lowRS, [2, 3, 6, 7]),
      word(2, highPQ, highRS, [0, 1, 4, 5]),
      word(3, highPQ, highRS, [2, 3, 6, 7]),
    ]);
  };
  const steps = range(64).flatMap((number) =>
    all.map((group) =>
      step(number, {
        words: vectors,
        ...roles(state[group]!, number),
        spare: spare[0]!,
        constant: load(base, layout.constants + 16 * number),
        word: load(base, wordAt(group, wordOf(number))),
      }),
    ),
  );
  const body = sequence([
    each((group, word) => set(state[group]![word]!, load(base, stateAt(group, word)))),
    repeat(
      sequence([
        ...all.flatMap((group) => range(4).map((quarter) => transposed(group, quarter))),
        ...steps,
        // What it was before the block still lies in memory.
        each((group, word) =>
          set(state[group]![word]!, add(get(state[group]![word]!), load(base, stateAt(group, word)))),
        ),
        each((group, word) => store(base, stateAt(group, word), get(state[group]![word]!))),
        next,
      ]),
      more,
    ),
  ]);
  return { name, parameters, locals: [{ count: streams + spare.length, type: vectors.type }], body };
};

/** Functions by how many streams they take. Parameters: base, where the bytes of each are, how many blocks (not none). */
export interface Program {
  one(base: number, a: number, blocks: number): void;
  two(base: number, a: number, b: number, blocks: number): void;
  four(base: number, ...atAndBlocks: number[]): void;
  eight(base: number, ...atAndBlocks: number[]): void;
}

/** The bytes of a module that exports a `Program`, over the shared memory `env.memory` of so many pages. */
export const md5Module = (pages: number): Uint8Array =>
  createModule(pages, [inTurns('one', 1), inTurns('two', 2), inLanes('four', 1), inLanes('eight', 2)]);
