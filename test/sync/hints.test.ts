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
  let settled = 0;
  for (let i = 0; i < 600; i++) {
    hints.add({ dir: 'large/', name: `f${i}`, deep: i % 300 === 7, ...(i < 2 && { settled: () => settled++ }) });
  }
  hints.add({ dir: 'other/', name: 'x' });
  pass(200);
  const rounds: HintBatch[][] = [];
  for (let taken = hints.due(10); taken.length > 0; taken = hints.due(10)) {
    rounds.push(taken);
    // What comes meanwhile waits for itself.
    if (rounds.length === 2) for (let i = 0; i < 300; i++) hints.add({ dir: 'large/', name: `late${i}` });
    if (rounds.length < 4) assert.is(hints.wait(), 0);
  }
  assert.equal(
    rounds.map((taken) => taken.map(({ dir, names }) => [dir, names!.size])),
    [[['other/', 1]], [['large/', 250]], [['large/', 250]], [['large/', 100]]],
  );
  const large = rounds.flat().filter(({ dir }) => dir === 'large/');
  const names = large.flatMap((each) => [...each.names!]);
  assert.equal(names.sort(), Array.from({ length: 600 }, (_, i) => `f${i}`).sort());
  assert.equal(
    large.map(({ deep }) => [...(deep as Set<string>)]),
    [['f7'], ['f307'], []],
  );
  // All of them have to be settled, in whatever order.
  for (const { settled: parts } of [large[2]!, large[0]!]) for (const part of parts) part();
  assert.is(settled, 0);
  for (const part of large[1]!.settled) part();
  assert.is(settled, 2);
  pass(200);
  assert.is(hints.due(10).flatMap(({ names }) => [...names!]).length, 250);
  assert.is(hints.due(10).flatMap(({ names }) => [...names!]).length, 50);
  assert.equal([hints.size, hints.wait()], [0, Number.POSITIVE_INFINITY]);
});

test('pieces and other directories take turns, and one directory is in pieces at a time', () => {
  const { hints, pass } = stage();
  const add = (dir: string, many: number, from = 0) => {
    for (let i = from; i < from + many; i++) hints.add({ dir, name: `f${i}` });
  };
  add('a/', 1_000);
  add('b/', 600);
  add('c/', 250);
  pass(1_000);
  const shape = () => hints.due(8).map(({ dir, names }) => `${dir} ${names!.size}`);
  const rounds = [shape()];
  add('b/', 100, 600);
  add('d/', 1);
  pass(1_000);
  for (let round = shape(); round.length > 0; round = shape()) rounds.push(round);
  const all = rounds.flat();
  assert.equal(
    all.filter((each) => /^[ab]/.test(each)),
    ['a/ 250', 'a/ 250', 'a/ 250', 'a/ 250', 'b/ 250', 'b/ 250', 'b/ 200'],
  );
  for (const other of ['c/ 250', 'd/ 1']) assert.ok(all.indexOf(other) >= 0 && all.indexOf(other) < 4, all.join());
  // Where there are always as many others as are taken at once.
  add('a/', 1_000);
  pass(1_000);
  let pieces = 0;
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 8; i++) add(`${round}-${i}/`, 1);
    pass(1_000);
    pieces += hints.due(8).filter(({ dir }) => dir === 'a/').length;
  }
  assert.is(pieces, 4);
});

test('who waits for names of a directory in which there is always more does not wait for what comes later', () => {
  const { hints, pass } = stage();
  let settled = 0;
  for (let i = 0; i < 2_000; i++) hints.add({ dir: '', name: `f${i}`, ...(i === 0 && { settled: () => settled++ }) });
  pass(1_000);
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 250; i++) hints.add({ dir: '', name: `late${round}-${i}` });
    for (const batch of hints.due(8)) for (const part of batch.settled) part();
    pass(10);
  }
  assert.is(settled, 1);
});

test('a piece that could not be followed is as it was, for who waits, too', () => {
  const { hints, pass } = stage();
  let settled = 0;
  for (let i = 0; i < 500; i++) hints.add({ dir: '', name: `f${i}`, settled: () => settled++ });
  pass(200);
  const first = hints.due(10);
  hints.putBack(first);
  for (const part of hints.due(10).flatMap((batch) => batch.settled)) part();
  assert.is(settled, 0);
  pass(200);
  const again = hints.due(10);
  assert.equal(again.map(shown), first.map(shown));
  for (const part of again.flatMap((batch) => batch.settled)) part();
  assert.is(settled, 500);
});

test('the directory with the most names is the one that becomes a directory', () => {
  const { hints, pass } = stage();
  for (let i = 0; i < 99_999; i++) hints.add({ dir: 'big/', name: `f${i}` });
  for (const dir of ['a/', 'b/', 'c/']) for (const name of ['x', 'y']) hints.add({ dir, name });
  pass(200);
  assert.equal(
    hints.due(10).map(({ dir, names }) => [dir, names?.size]),
    [
      ['big/', undefined],
      ['a/', 2],
      ['b/', 2],
      ['c/', 2],
    ],
  );
});

test('names that are not remembered any more do not count', () => {
  const namesOf = (dir: string, { hints, pass }: ReturnType<typeof stage>) => {
    pass(200);
    let sum = 0;
    for (let taken = hints.due(10); taken.length > 0; taken = hints.due(10))
      for (const each of taken) if (each.dir === dir) sum += each.names?.size ?? 0;
    return sum;
  };
  const world = stage();
  for (const dir of ['one/', 'two/']) {
    for (let i = 0; i < 60_000; i++) world.hints.add({ dir, name: `f${i}` });
    if (dir === 'one/') world.hints.add({ dir });
  }
  assert.is(namesOf('two/', world), 60_000);
  const crowd = stage();
  for (let i = 0; i <= 20_000; i++) crowd.hints.add({ dir: `${i}/`, name: 'x' });
  for (let i = 0; i < 90_000; i++) crowd.hints.add({ dir: 'large/', name: `f${i}` });
  assert.is(namesOf('large/', crowd), 90_000);
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
