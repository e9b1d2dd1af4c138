/** Hints, coalesced, in a time that the test tells. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createHints, type HintBatch } from '../../sync/hints.js';

const test = suite('sync/hints');

/** @returns hints of a clock that stands, and how to move it */
function stage() {
  let time = 0;
  const hints = createHints({ restMs: 200, mostMs: 1000, now: () => time });
  return { hints, pass: (ms: number) => (time += ms) };
}
const shown = ({ dir, names, deep, settled }: HintBatch) => [
  dir,
  names && [...names].sort(),
  typeof deep === 'object' ? [...deep].sort() : deep,
  settled.length,
];

test('a directory is looked at once, when it has come to rest or not for long', () => {
  const { hints, pass } = stage();
  assert.is(hints.wait(), Number.POSITIVE_INFINITY);
  hints.add({ dir: 'a/', name: 'x' });
  pass(150);
  hints.add({ dir: 'a/', name: 'y', deep: true });
  hints.add({ dir: 'a/', name: 'x' });
  pass(150);
  assert.equal(hints.due(10), []);
  assert.is(hints.wait(), 50);
  pass(50);
  assert.equal(hints.due(10).map(shown), [['a/', ['x', 'y'], ['y'], 0]]);
  assert.equal([hints.due(10), hints.size], [[], 0]);
  for (let i = 0; i < 10; i++) {
    hints.add({ dir: 'b/', name: 'log' });
    pass(100);
  }
  assert.equal(hints.due(10).map(shown), [['b/', ['log'], false, 0]], 'although it never rests');
});

test('at most so many are taken, and the others stay due', () => {
  const { hints, pass } = stage();
  for (let i = 0; i < 5; i++) hints.add({ dir: `${i}/`, name: 'x' });
  pass(200);
  assert.equal(
    hints.due(3).map(({ dir }) => dir),
    ['0/', '1/', '2/'],
  );
  assert.is(hints.wait(), 0);
  assert.is(hints.due(3).length, 2);
});

test('more names than are remembered become the directory; trees among them stay trees', () => {
  const { hints, pass } = stage();
  hints.add({ dir: '', name: 'early', deep: true });
  for (let i = 0; i < 150_000; i++) hints.add({ dir: '', name: `f${i}` });
  hints.add({ dir: '', name: 'late', deep: true });
  pass(200);
  assert.equal(hints.due(10).map(shown), [['', undefined, ['early', 'late'], 0]]);
  hints.add({ dir: '', name: 'early', deep: true });
  hints.add({ dir: '', deep: true });
  hints.add({ dir: '', name: 'late', deep: true });
  pass(200);
  assert.equal(hints.due(10).map(shown), [['', undefined, true, 0]]);
});

test('the rest of a directory is due, however many others that are not wait', () => {
  const { hints, pass } = stage();
  for (let i = 0; i < 300; i++) hints.add({ dir: 'large/', name: `f${i}` });
  pass(200);
  for (let i = 0; i < 40; i++) hints.add({ dir: `${i}/`, name: 'x' });
  assert.is(hints.due(10).length, 1);
  assert.is(hints.wait(), 0);
});

test('so do names of many directories, and what was taken counts no more', () => {
  const { hints, pass } = stage();
  const name = (many: number) => {
    for (let i = 0; i < many; i++) hints.add({ dir: `${i % 150}/`, name: `f${i}` });
  };
  const takeAll = (): HintBatch[] => {
    pass(200);
    const all: HintBatch[] = [];
    for (let taken = hints.due(10); taken.length > 0; taken = hints.due(10)) all.push(...taken);
    return all;
  };
  const named = (all: HintBatch[]) => all.reduce((sum, { names }) => sum + (names?.size ?? 0), 0);
  for (let round = 0; round < 3; round++) {
    name(90_000);
    assert.is(named(takeAll()), 90_000, `round ${round}`);
  }
  name(120_000);
  const all = takeAll();
  assert.ok(all.some(({ names }) => names === undefined));
  assert.ok(named(all) <= 100_000, `${named(all)} names`);
  assert.is(hints.size, 0);
});

test('many names of a directory come in pieces, each once, and other directories in between', () => {
  const { hints, pass } = stage();
  const told: string[] = [];
  for (let i = 0; i < 600; i++) {
    const settled = i === 0 ? () => told.push('settled') : undefined;
    hints.add({ dir: 'large/', name: `f${i}`, deep: i % 300 === 7, ...(settled && { settled }) });
  }
  hints.add({ dir: 'other/', name: 'x' });
  pass(200);
  const pieces: HintBatch[][] = [];
  // A hint that comes meanwhile makes nothing of this wait longer.
  for (let taken = hints.due(10); taken.length > 0; taken = hints.due(10)) {
    if (pieces.push(taken) === 1) hints.add({ dir: 'large/', name: 'f599' });
    if (pieces.length < 3) assert.is(hints.wait(), 0);
  }
  const sizes = pieces.map((taken) => taken.map(({ dir, names }) => [dir, names!.size]));
  assert.equal(sizes, [
    [['large/', 250]],
    [
      ['other/', 1],
      ['large/', 249],
    ],
    [['large/', 101]],
  ]);
  const large = pieces.flat().filter(({ dir }) => dir === 'large/');
  const names = large.flatMap((each) => [...each.names!]);
  assert.equal(names.sort(), Array.from({ length: 600 }, (_, i) => `f${i}`).sort());
  assert.equal(
    large.map(({ deep }) => deep && [...(deep as Set<string>)]),
    [['f7'], ['f307'], []],
  );
  assert.equal(
    large.map(({ settled }) => settled.length),
    [0, 0, 1],
    'with the last',
  );
  assert.equal([hints.size, hints.wait()], [0, Number.POSITIVE_INFINITY]);
});

test('more directories than are remembered become everything, and nobody who waits is forgotten', () => {
  const { hints, pass } = stage();
  let settled = 0;
  for (let i = 0; i <= 20_000; i++)
    hints.add({ dir: `${i}/`, name: 'x', ...(i % 10_000 === 0 && { settled: () => settled++ }) });
  assert.is(hints.size, 1);
  pass(200);
  const [all] = hints.due(10);
  assert.equal(shown(all!), ['', undefined, true, 3]);
  for (const each of all!.settled) each();
  assert.is(settled, 3);
});

test('what could not be followed is as it was', () => {
  const { hints, pass } = stage();
  const settled = () => {};
  const before = () => {
    hints.add({ dir: 'names/', name: 'x', settled });
    hints.add({ dir: 'names/', name: 'tree', deep: true, settled });
    hints.add({ dir: 'whole/', settled });
    hints.add({ dir: 'deep/', deep: true });
    hints.add({ dir: 'mixed/', name: 'tree', deep: true });
    hints.add({ dir: 'mixed/' });
  };
  before();
  pass(200);
  const taken = hints.due(10);
  const want = [
    ['names/', ['tree', 'x'], ['tree'], 2],
    ['whole/', undefined, false, 1],
    ['deep/', undefined, true, 0],
    ['mixed/', undefined, ['tree'], 0],
  ];
  assert.equal(taken.map(shown), want);
  hints.putBack(taken);
  assert.equal(hints.due(10), [], 'a little later');
  pass(200);
  assert.equal(hints.due(10).map(shown), want);
});

const opened = () => {
  let time = 0;
  const hints = createHints({ restMs: 10, mostMs: 30, now: () => time });
  const due = (ms: number) => {
    time += ms;
    return hints
      .due(100)
      .map(({ dir, names, deep }) => [
        dir,
        names && [...names].sort(),
        typeof deep === 'object' ? [...deep].sort() : deep,
      ]);
  };
  return { hints, due };
};

test('names of a directory come together when it rests, and not for ever later', () => {
  const { hints, due } = opened();
  hints.add({ dir: 'a/', name: 'x' });
  assert.equal(due(9), []);
  hints.add({ dir: 'a/', name: 'y' });
  assert.equal(due(9), []);
  hints.add({ dir: 'a/', name: 'x', deep: true });
  assert.equal(due(9), []);
  hints.add({ dir: 'a/', name: 'z' });
  assert.equal(due(3), [['a/', ['x', 'y', 'z'], ['x']]]);
  assert.is(hints.wait(), Number.POSITIVE_INFINITY);
});

test('what is to be looked at with everything below stays so beside the whole directory, in either order', () => {
  const { hints, due } = opened();
  hints.add({ dir: 'a/', name: 'tree', deep: true });
  hints.add({ dir: 'a/' });
  hints.add({ dir: 'b/' });
  hints.add({ dir: 'b/', name: 'tree', deep: true });
  assert.equal(due(10), [
    ['a/', undefined, ['tree']],
    ['b/', undefined, ['tree']],
  ]);
  for (let i = 0; i < 100_001; i++) hints.add({ dir: 'c/', name: `n${i}`, deep: i === 7 });
  assert.equal(due(10), [['c/', undefined, ['n7']]]);
});

test('too many trees become the directory with everything below', () => {
  const { hints, due } = opened();
  hints.add({ dir: 'a/' });
  for (let i = 0; i < 1001; i++) hints.add({ dir: 'a/', name: `n${i}`, deep: true });
  assert.equal(due(10), [['a/', undefined, true]]);
});

test.run();
