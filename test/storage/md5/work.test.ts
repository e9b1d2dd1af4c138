import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createEngine } from '../../../gateway/storage/md5/engine.js';
import { createMemory, PAGE } from '../../../gateway/storage/md5/memory.js';
import { type Answer, createWork, type Order } from '../../../gateway/storage/md5/work.js';

const test = suite('md5 work');
const memory = createMemory(8 * PAGE);
const engine = createEngine(memory, 0);
const bytes = Buffer.from(memory.buffer);
for (let i = PAGE; i < bytes.length; i++) bytes[i] = (i * 131) ^ (i >> 7);

const hex = (digest: Uint8Array | undefined) => Buffer.from(digest ?? []).toString('hex');

/** Lengths of some bytes, and of more than a step takes. */
const length = fc.oneof(fc.nat(200), fc.nat(5 * PAGE));
const moves = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('bytes' as const), stream: fc.nat(11), at: fc.nat(PAGE), length }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('finish' as const, 'drop' as const), stream: fc.nat(11) }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('step' as const) }) },
  ),
  { maxLength: 60 },
);

test('every order is answered once, those of a stream in turn, with the digest of its own bytes', () => {
  fc.assert(
    fc.property(moves, (all) => {
      const work = createWork(engine);
      let last = 0;
      const hashes = new Map<number, ReturnType<typeof createHash>>();
      const orders: Order[] = [];
      const expected = new Map<number, string>();
      const answers: Answer[] = [];
      // A number that has ended is never another stream's.
      const ended = new Map<number, number>();
      for (const one of all) {
        if (one.kind === 'step') {
          answers.push(...work.step());
          continue;
        }
        const times = ended.get(one.stream) ?? 0;
        const move = { ...one, stream: one.stream + times * 12 };
        if (one.kind !== 'bytes') ended.set(one.stream, times + 1);
        const call = ++last;
        const hash = hashes.get(move.stream) ?? createHash('md5');
        if (move.kind === 'bytes') {
          const at = PAGE + move.at;
          hashes.set(move.stream, hash.update(bytes.subarray(at, at + move.length)));
          orders.push({ ...move, at, call });
        } else {
          hashes.delete(move.stream);
          if (move.kind === 'finish') expected.set(call, hash.digest('hex'));
          orders.push({ ...move, call });
        }
        work.accept(orders.at(-1)!);
      }
      for (let steps = 0; work.waits; steps++) {
        assert.ok(steps < 10_000, 'it comes to its end');
        answers.push(...work.step());
      }
      assert.equal(work.step(), []);
      const calls = answers.map(({ call }) => call);
      assert.equal(
        [...calls].sort((a, b) => a - b),
        orders.map(({ call }) => call),
      );
      for (const { call, digest } of answers) assert.is(hex(digest), expected.get(call) ?? '');
      for (const stream of new Set(orders.map((order) => order.stream))) {
        const own = new Set(orders.filter((order) => order.stream === stream).map(({ call }) => call));
        const answered = calls.filter((call) => own.has(call));
        assert.equal(
          answered,
          [...answered].sort((a, b) => a - b),
        );
      }
    }),
    { numRuns: 300 },
  );
});

test('who waits is served soon, however much the others have', () => {
  const work = createWork(engine);
  for (let stream = 1; stream <= 20; stream++) {
    work.accept({ kind: 'bytes', stream, call: stream, at: PAGE, length: 6 * PAGE });
  }
  work.step();
  work.accept({ kind: 'bytes', stream: 21, call: 21, at: PAGE, length: 64 });
  const before: number[] = [];
  for (let steps = 0; steps < 3; steps++) before.push(...work.step().map(({ call }) => call));
  assert.equal(before, [21]);
});

test('what ends takes its turns with the others until then', () => {
  const work = createWork(engine);
  for (const stream of [1, 2]) work.accept({ kind: 'bytes', stream, call: stream, at: PAGE, length: 3 * PAGE });
  work.accept({ kind: 'finish', stream: 1, call: 3 });
  const turns: number[][] = [];
  while (work.waits) turns.push(work.step().map(({ call }) => call));
  assert.equal(turns, [[], [], [1, 3, 2]]);
});

test.run();
