import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compare } from './compare.js';
import { figure, type Row, reaches } from './row.js';
import { cells, table } from './table.js';

const row = (load: string, rest: Partial<Row> = {}): Row => ({
  load,
  value: 100,
  unit: 'op/s',
  reference: 200,
  referenceName: 'something',
  ratio: 0.5,
  floor: null,
  aim: null,
  better: 'higher',
  cpu: null,
  cpuUnit: 'us/op',
  rssMiB: null,
  stallMs: null,
  ...rest,
});

const test = suite('bench: comparing and judging');

test('the ratio counts where both runs have one, and better is above zero whichever way is better', () => {
  const [higher, lower, absolute] = compare(
    [
      row('a', { value: 100, ratio: 0.5 }),
      row('b', { better: 'lower', ratio: 2 }),
      row('c', { value: 10, ratio: null, reference: null, better: 'lower', unit: 'ms' }),
    ],
    [
      row('a', { value: 50, ratio: 0.75 }),
      row('b', { better: 'lower', ratio: 2.5 }),
      row('c', { value: 5, ratio: null, reference: null, better: 'lower', unit: 'ms' }),
    ],
  );
  assert.is(Math.round(higher!.gain!), 50);
  assert.is(Math.round(lower!.gain!), -20);
  assert.is(absolute!.of, 'value');
  assert.is(Math.round(absolute!.gain!), 100);
});

test('loads of one run alone are shown and not judged', () => {
  const changes = compare([row('old')], [row('new'), row('none', { value: null, ratio: null })]);
  assert.equal(
    changes.map(({ load, before, after, gain }) => [load, before, after, gain]),
    [
      ['new', null, 100, null],
      ['none', null, null, null],
      ['old', 100, null, null],
    ],
  );
});

test('limits hold for the ratio, without a reference for the value', () => {
  assert.is(reaches(row('a', { floor: 0.45, aim: 0.55 }), 'floor'), true);
  assert.is(reaches(row('a', { floor: 0.45, aim: 0.55 }), 'aim'), false);
  assert.is(reaches(row('a', { better: 'lower', ratio: 3.1, floor: 3 }), 'floor'), false);
  const absolute = { reference: null, ratio: null, better: 'lower', unit: 'ms' } as const;
  assert.is(reaches(row('a', { ...absolute, value: 4, floor: 5, aim: 2 }), 'floor'), true);
  assert.is(reaches(row('a', { ...absolute, value: 4, floor: 5, aim: 2 }), 'aim'), false);
  assert.is(reaches(row('a', { ...absolute, value: null, floor: 5 }), 'floor'), undefined);
  assert.is(reaches(row('a'), 'floor'), undefined);
});

test('work becomes figures', () => {
  const work = { operations: 4, bytes: 8e6, seconds: 2 };
  assert.is(figure(work, 'op/s'), 2);
  assert.is(figure(work, 'MB/s'), 4);
  assert.is(figure(work, 'ms'), 500);
  assert.is(figure(work, 'us'), 500_000);
});

test('the table names what misses its floor', () => {
  const rows = [
    row('good', { floor: 0.4 }),
    row('bad', { floor: 0.6 }),
    row('without', { value: null, note: 'no wrk' }),
  ];
  const text = table({ machine: 'm', commit: 'c', date: 'd', command: 'bench', rows });
  assert.match(text, /1 of 2 floors kept; missed: bad$/m);
  assert.is(cells(rows[1]!)[6], 'MISSED');
  assert.match(text, /\| without +\| – .*no wrk/);
});

test.run();
