/**
 * MD5 (RFC 1321) for several streams at once, as WebAssembly. One stream leaves most of a core idle: each of the 64 steps waits
 * for the one before. Two streams in turns cost hardly more than one, and vectors do four in each instruction.
 */
import {
  createModule,
  type Definition,
  INTEGER,
  int,
  integers,
  type Output,
  repeat,
  shuffle,
  VECTOR,
  vectors,
  type Words,
} from './wasm.js';

/** Bytes of a block. */
export const BLOCK = 64;
/** Streams that one call takes at most. */
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

/** Locals that hold A, B, C and D, in the order that they have before the first step. */
type State = readonly [number, number, number, number];

/**
 * One step: a = b + ((a + f(b, c, d) + constant + word) <<< shift).
 * @param constant puts it on the stack, as `word` does
 */
const step = (number: number, w: Words, state: State, spare: number, constant: () => void, word: () => void): void => {
  // The roles go round by one in each step.
  const role = (index: number): number => state[(index + 64 - number) % 4]!;
  const [a, b, c, d] = [role(0), role(1), role(2), role(3)];
  w.get(a);
  constant();
  w.add();
  word();
  w.add();
  // `b` is the latest: what needs it comes last. The two halves of G have no bit in common, so that their sum will do.
  const round = number >> 4;
  if (round === 0) w.get(c).get(d).xor().get(b).and().get(d).xor().add();
  else if (round === 1) w.get(d).not().get(c).and().add().get(b).get(d).and().add();
  else if (round === 2) w.get(c).get(d).xor().get(b).xor().add();
  else w.get(d).not().get(b).or().get(c).xor().add();
  w.rotateLeft(SHIFTS[round]![number % 4]!, spare)
    .get(b)
    .add()
    .set(a);
};

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const stateFrom = (local: number): State => [local, local + 1, local + 2, local + 3];

/** The parameters: base, where the bytes of each stream are, how many blocks (not none). */
const base = 0;
const at = (stream: number): number => 1 + stream;

/** Goes on to the next block, and leaves how many there are. */
const onward = (out: Output, streams: number): void => {
  const w = integers(out);
  const add = (local: number, value: number): void => {
    w.get(local);
    int(out, value);
    w.add().set(local);
  };
  for (let i = 0; i < streams; i++) add(at(i), BLOCK);
  const blocks = at(streams);
  add(blocks, -1);
  w.get(blocks);
};

/** A few streams, one instruction for each. */
const inTurns = (name: string, streams: number): Definition => {
  const parameters = streams + 2;
  const states = range(streams).map((i) => stateFrom(parameters + 8 * i));
  /** What a state was before the block. */
  const before = range(streams).map((i) => stateFrom(parameters + 8 * i + 4));
  const body = (out: Output): void => {
    const w = integers(out);
    const each = (work: (stream: number, word: number) => void): void => {
      for (let i = 0; i < streams; i++) for (let word = 0; word < 4; word++) work(i, word);
    };
    each((i, word) => w.get(base).load(layout.state(i, word)).set(states[i]![word]!));
    repeat(out, () => {
      each((i, word) => w.get(states[i]![word]!).set(before[i]![word]!));
      for (let number = 0; number < 64; number++) {
        for (const [i, state] of states.entries()) {
          const constant = () => int(out, constants[number]!);
          step(number, w, state, 0, constant, () => w.get(at(i)).load(4 * wordOf(number)));
        }
      }
      each((i, word) => w.get(states[i]![word]!).get(before[i]![word]!).add().set(states[i]![word]!));
      onward(out, streams);
    });
    each((i, word) => w.get(base).get(states[i]![word]!).store(layout.state(i, word)));
  };
  return { name, parameters, locals: { count: 8 * streams, type: INTEGER }, body };
};

/** Four streams in each vector; two vectors in turns do eight. */
const inLanes = (name: string, groups: number): Definition => {
  const streams = 4 * groups;
  const parameters = streams + 2;
  const states = range(groups).map((group) => stateFrom(parameters + 4 * group));
  const spare = parameters + 4 * groups;
  const wordAt = (group: number, word: number) => layout.words + 256 * group + 16 * word;
  const stateAt = (group: number, word: number) => layout.state(4 * group, word);
  const body = (out: Output): void => {
    const w = vectors(out);
    const each = (work: (group: number, word: number) => void): void => {
      for (let group = 0; group < groups; group++) for (let word = 0; word < 4; word++) work(group, word);
    };
    /** Four words of each of four streams become four vectors of a word of each. */
    const transpose = (group: number, quarter: number): void => {
      const [p, q, r, s] = stateFrom(spare);
      const [lowPQ, lowRS, highPQ, highRS] = stateFrom(spare + 4);
      for (const [i, local] of [p, q, r, s].entries()) {
        w.get(at(4 * group + i))
          .load(16 * quarter)
          .set(local);
      }
      const pairs = (x: number, y: number, words: readonly [number, number, number, number], into: number) => {
        w.get(x).get(y);
        shuffle(out, words);
        w.set(into);
      };
      pairs(p, q, [0, 4, 1, 5], lowPQ);
      pairs(r, s, [0, 4, 1, 5], lowRS);
      pairs(p, q, [2, 6, 3, 7], highPQ);
      pairs(r, s, [2, 6, 3, 7], highRS);
      const four = (x: number, y: number, words: readonly [number, number, number, number], word: number) => {
        w.get(base).get(x).get(y);
        shuffle(out, words);
        w.store(wordAt(group, 4 * quarter + word));
      };
      four(lowPQ, lowRS, [0, 1, 4, 5], 0);
      four(lowPQ, lowRS, [2, 3, 6, 7], 1);
      four(highPQ, highRS, [0, 1, 4, 5], 2);
      four(highPQ, highRS, [2, 3, 6, 7], 3);
    };
    each((group, word) => w.get(base).load(stateAt(group, word)).set(states[group]![word]!));
    repeat(out, () => {
      each(transpose);
      for (let number = 0; number < 64; number++) {
        for (const [group, state] of states.entries()) {
          const constant = () => w.get(base).load(layout.constants + 16 * number);
          step(number, w, state, spare, constant, () => w.get(base).load(wordAt(group, wordOf(number))));
        }
      }
      // What it was before the block still lies in memory.
      each((group, word) =>
        w.get(states[group]![word]!).get(base).load(stateAt(group, word)).add().set(states[group]![word]!),
      );
      each((group, word) => w.get(base).get(states[group]![word]!).store(stateAt(group, word)));
      onward(out, streams);
    });
  };
  return { name, parameters, locals: { count: 4 * groups + 8, type: VECTOR }, body };
};

/** Functions by how many streams they take. Parameters: base, where the bytes of each are, how many blocks (not none). */
export interface Program {
  one(base: number, a: number, blocks: number): void;
  two(base: number, a: number, b: number, blocks: number): void;
  four?(base: number, ...atAndBlocks: number[]): void;
  eight?(base: number, ...atAndBlocks: number[]): void;
}

/** The bytes of a module that exports a `Program`, over the shared memory `env.memory` of so many pages. */
export const md5Module = (pages: number): Uint8Array =>
  createModule(pages, [inTurns('one', 1), inTurns('two', 2), inLanes('four', 1), inLanes('eight', 2)]);

/** The same for machines without vectors (on x64 those before SSE 4.1, which virtual ones like to be). */
export const md5ModuleOfIntegers = (pages: number): Uint8Array =>
  createModule(pages, [inTurns('one', 1), inTurns('two', 2)]);
