/** Samples on the disk, what is made of them, and who writes them when. */
import { appendFileSync, chmodSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Documents } from '../../gateway/storage/types.js';
import type { Catalog } from '../../sync/catalog.js';
import { createCounter } from '../../sync/counter.js';
import {
  HOUR_MS,
  hourOf,
  openSampleWriter,
  readSamples,
  type Sample,
  type Series,
  sweepSamples,
} from '../../sync/samples.js';
import type { SyncState, Totals } from '../../sync/types.js';
import { bills, byDay, hours, sumBy } from '../../sync/usage.js';
import { tempDir } from '../support/temp.js';

const test = suite('usage');
const hour = (text: string): number => hourOf(Date.parse(`${text}:00:00Z`));
const at = (text: string, bytes: number, objects = 1, group = 'g'): Sample => ({
  hour: hour(text),
  objects,
  bytes,
  account: 'u',
  group,
});
const bucket = { name: 'b.x', created: '2026-01-01T00:00:00.000Z' };
const fileOf = (root: string, month: string) =>
  join(root, '.tidegate/usage', month, readdirSync(join(root, '.tidegate/usage', month))[0]!);
const all = (root: string) => [...readSamples(root, hour('2026-01-01T00'), hour('2026-12-31T00'))];

test('a sample an hour: restarts, a second writer and a torn line make no other, and lose no other', () => {
  const root = tempDir();
  const one = openSampleWriter(root, bucket);
  assert.ok(one.write(at('2026-01-31T22', 1)));
  assert.not(one.write(at('2026-01-31T22', 2)));
  assert.ok(one.write(at('2026-01-31T23', 3)));
  assert.ok(one.write(at('2026-02-01T00', 4)));
  const restarted = openSampleWriter(root, bucket);
  assert.not(restarted.write(at('2026-02-01T00', 5)));
  // A leader that was taken over does not know what the other has written.
  assert.ok(restarted.write(at('2026-02-01T01', 6)));
  assert.ok(one.write(at('2026-02-01T01', 7)));
  const february = fileOf(root, '2026-02');
  truncateSync(february, readFileSync(february).length - 5);
  assert.ok(openSampleWriter(root, bucket).write(at('2026-02-01T02', 8)));
  appendFileSync(february, 'garbage\n["2026-02-01T03",-0.5,"x"]\n');
  // The clock was wrong, and was put right.
  assert.ok(openSampleWriter(root, bucket).write(at('2026-01-31T21', 9)));
  assert.equal(
    all(root).map(({ bucket, samples }) => [bucket, samples.map(({ bytes }) => bytes)]),
    [['b.x', [9, 1, 3, 4, 6, 8]]],
  );
  assert.is(readFileSync(february, 'utf8').split('\n')[0], '["2026-02-01T00",1,4,"u","g"]');
});

test('a span has what was known last before it; a bucket made anew under a name is another one', () => {
  const root = tempDir();
  const one = openSampleWriter(root, bucket);
  for (const sample of [at('2026-01-30T00', 1), at('2026-01-31T00', 2), at('2026-03-02T00', 3)]) one.write(sample);
  openSampleWriter(root, { ...bucket, created: '2026-02-20T00:00:00.000Z' }).write(at('2026-02-20T00', 4));
  const read = [...readSamples(root, hour('2026-02-10T00'), hour('2026-03-01T00'))];
  assert.equal(
    read.map(({ id, samples }) => [id, samples.map(({ bytes }) => bytes)]),
    [
      ['b.x.20260101T000000000Z', [2]],
      ['b.x.20260220T000000000Z', [4]],
    ],
  );
});

test('samples are kept for 400 days', () => {
  const root = tempDir();
  const writer = openSampleWriter(root, bucket);
  for (const month of ['2024-12', '2025-01', '2025-02', '2026-01']) writer.write(at(`${month}-10T00`, 1));
  assert.equal(sweepSamples(root, Date.parse('2026-03-10T00:00:00Z')), ['2024-12', '2025-01']);
  assert.equal(readdirSync(join(root, '.tidegate/usage')), ['2025-02', '2026-01']);
  assert.equal(sweepSamples(tempDir(), Date.now()), []);
});

const series = (...samples: Sample[]): Series => ({ bucket: 'b', id: 'b.1', samples });
const GIB = 1024 ** 3;

test('hours nobody counted are carried; a bucket that has gone ends with its last sample', () => {
  const one = series(at('2026-01-01T02', 10), at('2026-01-01T05', 20));
  const seen = (from: string, to: string, stands: boolean) =>
    [...hours(one, hour(from), hour(to), stands)].map(({ hour: h, sample, carried }) => [
      h - hour('2026-01-01T00'),
      sample.bytes,
      carried,
    ]);
  assert.equal(seen('2026-01-01T00', '2026-01-01T07', true), [
    [2, 10, false],
    [3, 10, true],
    [4, 10, true],
    [5, 20, false],
    [6, 20, true],
  ]);
  assert.equal(seen('2026-01-01T04', '2026-01-02T00', false), [
    [4, 10, true],
    [5, 20, false],
  ]);
  assert.equal(seen('2026-01-02T00', '2026-01-02T02', false), []);
});

test("the bill of the provider's own example: 30 GiB for 1 hour, later for 2 hours", () => {
  const samples = [
    at('2026-01-01T00', 30 * GIB),
    at('2026-01-01T01', 0),
    at('2026-01-05T10', 30 * GIB),
    at('2026-01-05T12', 0),
  ];
  const span = { from: hour('2026-01-01T00'), to: hour('2026-02-01T00') };
  const [bill] = bills(
    [series(...samples)],
    span,
    () => true,
    () => 'x',
  );
  assert.is(bill!.byteHours / GIB, 90);
  assert.equal([bill!.counted, bill!.carried, bill!.peak / GIB], [4, 31 * 24 - 4, 30]);
});

test('a bill goes to the group that was charged in each hour, and its peak is of all buckets at once', () => {
  const one = series(at('2026-01-01T00', 5), at('2026-01-01T01', 5, 1, 'h'));
  const two = { ...series(at('2026-01-01T00', 7)), bucket: 'c', id: 'c.1' };
  const span = { from: hour('2026-01-01T00'), to: hour('2026-01-01T02') };
  const of = bills(
    [one, two],
    span,
    () => true,
    (_, { group }) => (group === 'none' ? undefined : group),
  );
  assert.equal(
    of.map(({ name, byteHours, peak }) => [name, byteHours, peak]),
    [
      ['g', 19, 12],
      ['h', 5, 5],
    ],
  );
});

test('a day is what there was at its end', () => {
  const one = series(at('2026-01-01T03', 5, 2), at('2026-01-01T20', 6, 3), at('2026-01-02T01', 7, 4));
  const two = { ...series(at('2026-01-01T23', 100, 1, 'h')), id: 'c.1' };
  const day = hour('2026-01-01T00') / 24;
  const found = byDay([one, two], { from: day, to: day + 2, now: hour('2026-01-02T05') }, ({ id }) => id === 'b.1');
  assert.equal(found, [
    { day, group: 'g', objects: 3, bytes: 6 },
    { day, group: 'h', objects: 1, bytes: 100 },
    { day: day + 1, group: 'g', objects: 4, bytes: 7 },
  ]);
});

test('sums: the oldest count, and how many were never counted', () => {
  const row = { path: '/', account: 'u', accountName: 'n', group: 'g', objects: 1, bytes: 2 };
  const rows = [
    { ...row, bucket: 'a', counted: '2026-01-02' },
    { ...row, bucket: 'b', counted: '2026-01-01' },
    { ...row, bucket: 'c', objects: undefined, bytes: undefined, counted: undefined },
    { ...row, bucket: 'd', group: 'f', counted: '2026-01-03' },
  ];
  assert.equal(
    sumBy(rows, ({ group }) => group),
    [
      { name: 'f', buckets: 1, objects: 1, bytes: 2, counted: '2026-01-03', uncounted: 0 },
      { name: 'g', buckets: 3, objects: 2, bytes: 4, counted: '2026-01-01', uncounted: 1 },
    ],
  );
});

test('the leader writes a sample when it has seen everything, and counts when they change or an hour has passed', async () => {
  const root = tempDir();
  let state: SyncState = { bucketCreated: bucket.created, queued: [], ended: [] };
  const writes: number[] = [];
  const documents = {
    async update(_kind: string, _id: string, change: (state: SyncState) => SyncState) {
      state = change(state);
      writes.push(time);
      return state;
    },
  } as unknown as Documents;
  let time = Date.parse('2026-01-01T10:59:00Z');
  let complete = false;
  let totals: Totals = { objects: 1, bytes: 10 };
  const errors: unknown[] = [];
  const counter = createCounter({
    documents,
    bucket: { ...bucket, owner: 'u', path: '/', config: {} },
    catalog: { totals: () => totals } as Catalog,
    samples: openSampleWriter(root, bucket),
    charged: () => ({ account: 'u', group: 'g' }),
    complete: () => complete,
    failed: (error) => errors.push(error),
    now: () => time,
  });
  await counter.tell();
  await counter.tell();
  assert.equal([writes.length, state.totals], [1, { objects: 1, bytes: 10, at: '2026-01-01T10:59:00.000Z' }]);
  assert.equal(all(root), []);
  complete = true;
  await counter.tell();
  totals = { objects: 2, bytes: 30 };
  await counter.tell();
  assert.equal([writes.length, state.totals!.bytes], [2, 30]);
  time += 60_000;
  await counter.tell();
  assert.equal([writes.length, state.totals!.at], [3, '2026-01-01T11:00:00.000Z']);
  assert.equal(
    all(root)[0]!.samples.map(({ bytes }) => bytes),
    [10, 30],
  );
  // It cannot be written: the counts are told all the same, and it is tried again.
  time += HOUR_MS;
  const file = fileOf(root, '2026-01');
  const text = readFileSync(file);
  const area = join(root, '.tidegate/usage/2026-01');
  await import('node:fs/promises').then(({ rm }) => rm(area, { recursive: true }));
  writeFileSync(area, '');
  await counter.tell();
  await counter.tell();
  assert.equal([errors.length, state.totals!.at], [1, '2026-01-01T12:00:00.000Z']);
  await import('node:fs/promises').then(({ rm }) => rm(area));
  mkdirSync(area);
  chmodSync(area, 0o700);
  writeFileSync(file, text);
  time += 120_000;
  await counter.tell();
  assert.is(all(root)[0]!.samples.length, 3);
});

test.run();
