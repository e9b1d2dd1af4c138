// timeout: 180
/** What gateways write down reaches the leader: all of it, in order, whatever dies. */
import { type ChildProcess, fork } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Bucket } from '../../gateway/storage/types.js';
import { createRecorder, hostHash, openInbox, STALE_MS } from '../../sync/inbox.js';
import { drain, forget, type Positions, parseRecord } from '../../sync/inbox-reader.js';
import { inboxDirectory, syncDirectory } from '../../sync/places.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { change } from './changes.js';

const test = suite('sync/inbox');
const inboxOf = () => join(tempDir(), 'sync', 'inbox');
/** A file of a gateway on another machine. */
const foreign = (directory: string, name: string, content: string) => {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const lines = (...changes: object[]) => changes.map((one) => `${JSON.stringify(one)}\n`).join('');

test('what is recorded is drained, once', async () => {
  const directory = inboxOf();
  assert.equal(drain(directory, {}), { changes: [], removals: [], positions: {}, more: false, garbage: 0 });
  const inbox = openInbox(directory);
  const first = change('日本語/ a+b\n"', { requester: 'anna', sourceIp: '192.0.2.1', requestId: 'R' });
  const removal = change('gone', { name: 'ObjectRemoved:Delete', write: `Delete-${'0'.repeat(32)}` });
  delete removal.size;
  delete removal.etag;
  await inbox.record(first);
  const one = drain(directory, {});
  assert.equal(one.changes, [first]);
  await inbox.record(removal);
  const two = drain(directory, one.positions);
  assert.equal(two.changes, [removal]);
  assert.equal(drain(directory, two.positions).changes, []);
  assert.equal(drain(directory, {}).changes, [first, removal], 'positions that were lost give everything again');
  assert.is(statSync(directory).mode & 0o777, 0o700);
  assert.is(statSync(join(directory, readdirSync(directory)[0]!)).mode & 0o777, 0o600);
  await inbox.close();
});

test('two gateways, one after the other: never the later change before the earlier one', async () => {
  const directory = inboxOf();
  mkdirSync(directory, { recursive: true });
  const count = 30_000;
  const writer = new Worker(
    `const { appendFileSync } = require('node:fs');
     const { directory, count, change } = require('node:worker_threads').workerData;
     for (let i = 0; i < count; i++) {
       const name = ['0123abcd-1-00000000-00000001.jsonl', '0123abcd-2-00000000-00000001.jsonl'][Math.random() < 0.5 ? 0 : 1];
       appendFileSync(directory + '/' + name, JSON.stringify({ ...change, time: 1e12 + i }) + '\\n');
     }`,
    { eval: true, workerData: { directory, count, change: change('k') } },
  );
  const times: number[] = [];
  let positions: Positions = {};
  while (times.length < count) {
    const drained = drain(directory, positions);
    positions = drained.positions;
    times.push(...drained.changes.map(({ time }) => time));
    await nextTurn();
  }
  await writer.terminate();
  const early = times.findIndex((time, at) => time !== 1e12 + at);
  assert.is(early, -1, `after ${times[early - 1]} comes ${times[early]}`);
});

test('a file that is begun while another is read: its change is not read behind a later one', async () => {
  const rounds = 2_000;
  const area = tempDir();
  const turns = new Int32Array(new SharedArrayBuffer(4));
  const writer = new Worker(
    `const { appendFileSync } = require('node:fs');
     const { area, rounds, turns, change } = require('node:worker_threads').workerData;
     for (let round = 0; round < rounds; round++) {
       Atomics.wait(turns, 0, round);
       for (const [i, name] of ['0123abcd-2-00000000-00000001.jsonl', '0123abcd-1-00000000-00000001.jsonl'].entries())
         appendFileSync(area + '/' + round + '/' + name, JSON.stringify({ ...change, time: 1e12 + i }) + '\\n');
     }`,
    { eval: true, workerData: { area, rounds, turns, change: change('k') } },
  );
  let early = 0;
  for (let round = 0; round < rounds; round++) {
    const directory = join(area, `${round}`);
    foreign(directory, '0123abcd-1-00000000-00000001.jsonl', '');
    Atomics.store(turns, 0, round + 1);
    Atomics.notify(turns, 0);
    const times: number[] = [];
    for (let positions: Positions = {}; times.length < 2; ) {
      const drained = drain(directory, positions);
      positions = drained.positions;
      times.push(...drained.changes.map(({ time }) => time));
    }
    if (times[0]! > times[1]!) early++;
  }
  await writer.terminate();
  assert.is(early, 0, `in ${early} of ${rounds} rounds`);
});

test('the changes of one turn are one write', async () => {
  const directory = inboxOf();
  const inbox = openInbox(directory);
  await inbox.record(change('first'));
  const writes = await countWrites(async () => {
    await Promise.all(Array.from({ length: 500 }, (_, at) => inbox.record(change(`k${at}`))));
  });
  assert.is(drain(directory, {}).changes.length, 501);
  assert.ok(writes >= 1 && writes <= 4, `${writes} writes`);
  await inbox.close();
});

/** Write calls of this process, as the kernel counts them; reading them costs none. */
async function countWrites(work: () => Promise<void>): Promise<number> {
  const count = () => Number(/syscw: (\d+)/.exec(readFileSync('/proc/self/io', 'latin1'))?.[1]);
  const before = count();
  await work();
  return count() - before;
}

test('files roll, and are forgotten when they are taken; the current one stays', async () => {
  const directory = inboxOf();
  const inbox = openInbox(directory, { rollBytes: 500 });
  for (let at = 0; at < 20; at++) await inbox.record(change(`k${at}`));
  const names = readdirSync(directory).sort();
  assert.ok(names.length > 3);
  assert.equal(forget(directory, {}), [], 'nothing is taken yet');
  const drained = drain(directory, {});
  assert.equal(
    drained.changes.map(({ key }) => key),
    Array.from({ length: 20 }, (_, at) => `k${at}`),
  );
  assert.equal(forget(directory, drained.positions).sort(), names.slice(0, -1));
  assert.equal(readdirSync(directory), names.slice(-1));
  await inbox.record(change('last'));
  const after = drain(directory, drained.positions);
  assert.equal(
    after.changes.map(({ key }) => key),
    ['last'],
  );
  assert.equal(Object.keys(after.positions).sort(), readdirSync(directory).sort(), 'positions of what is there only');
  await inbox.close();
});

test('across files by time, within one as they stand; no file is taken past what another still holds', async () => {
  const directory = inboxOf();
  const at = (key: string, time: number) => change(key, { time });
  foreign(directory, '00000001-1-00000001-1.jsonl', lines(at('a', 10), at('c', 30), at('d', 5), at('f', 60)));
  foreign(directory, '00000002-1-00000002-1.jsonl', lines(at('b', 20), at('e', 40), at('g', 70)));
  const keys = ({ changes }: { changes: readonly { key: string }[] }) => changes.map(({ key }) => key).join('');
  assert.is(keys(drain(directory, {})), 'abcdefg');
  // In small pieces the order is the same.
  let [all, positions]: [string, Positions] = ['', {}];
  for (let more = true; more; ) {
    const piece = drain(directory, positions, { maxBytes: 300 });
    assert.ok(piece.changes.length > 0 && piece.changes.length < 7, 'a piece');
    all += keys(piece);
    ({ positions, more } = piece);
  }
  assert.is(all, 'abcdefg');
});

test('the files of a long time without a leader are read one after the other, a piece of each gateway at a time', () => {
  const directory = inboxOf();
  const perFile = 12_000;
  const gateways = ['aaaaaaaa-1-00000000', 'bbbbbbbb-2-00000000'];
  const counts = { 'aaaaaaaa-1-00000000': 12, 'bbbbbbbb-2-00000000': 2 } as Record<string, number>;
  let time = 1;
  for (let n = 1; n <= 12; n++) {
    for (const [at, gateway] of gateways.entries()) {
      if (n > counts[gateway]!) continue;
      const write = (i: number) => `Delete-${String(i).padStart(32, '0')}`;
      const all = Array.from({ length: perFile }, (_, i) => ({
        write: write(time + i * 2 + at),
        name: 'ObjectRemoved:Delete',
        key: 'k',
        time: time + i * 2 + at,
      }));
      foreign(directory, `${gateway}-${String(n).padStart(8, '0')}.jsonl`, lines(...all));
    }
    time += 2 * perFile;
  }
  const taken: number[] = [];
  let positions: Positions = {};
  for (let more = true; more; ) {
    const drained = drain(directory, positions);
    assert.ok(drained.changes.length <= 2 * 12_000, `${drained.changes.length} at once`);
    assert.ok(drained.changes.length > 0);
    for (const each of drained.changes) taken.push(each.time);
    ({ positions, more } = drained);
  }
  assert.is(taken.length, 14 * perFile);
  assert.ok(
    taken.every((each, i) => i === 0 || each > taken[i - 1]!),
    'in order',
  );
  assert.is(forget(directory, positions).length, 12, 'all but the last of each');
});

test('garbage is left out and counted, a torn line waits', async () => {
  const directory = inboxOf();
  const [good, next] = [change('good'), change('next')];
  const whole = JSON.stringify(next);
  const bad = ['', 'garbage', '{}', 'null', '[1]', JSON.stringify({ ...good, name: 'ObjectBurnt' })];
  const path = foreign(
    directory,
    '00000001-1-00000001-1.jsonl',
    `${bad.join('\n')}\n${lines(good)}\xff\0\n${whole.slice(0, 40)}`,
  );
  foreign(directory, 'README', lines(good));
  const first = drain(directory, {});
  assert.equal(first.changes, [good]);
  assert.is(first.garbage, bad.length + 1);
  assert.equal(forget(directory, first.positions), [], 'its writer may go on');
  appendFileSync(path, `${whole.slice(40)}\n`);
  const second = drain(directory, first.positions);
  assert.equal(second.changes, [next]);
  // A line without an end does not stop what stands behind it.
  appendFileSync(path, `${'x'.repeat(5000)}\n${lines(good)}`);
  let [found, positions]: [number, Positions] = [0, second.positions];
  for (let more = true; more; ) {
    const piece = drain(directory, positions, { maxBytes: 1000 });
    found += piece.changes.length;
    ({ positions, more } = piece);
  }
  assert.is(found, 1);
});

test('parseRecord takes what it may take only', () => {
  const good = change('k');
  assert.equal(parseRecord(JSON.stringify(good)), good);
  const wrong: object[] = [
    { write: 'Put-1' },
    { write: 7 },
    { key: '' },
    { key: null },
    { time: '2026' },
    { time: null },
    { size: '1' },
    { etag: 5 },
    { requester: {} },
    { name: undefined },
  ];
  for (const one of wrong) assert.is(parseRecord(JSON.stringify({ ...good, ...one })), undefined, JSON.stringify(one));
  const removal = { removal: 'begun', write: `Delete-${'0'.repeat(32)}`, key: 'k', time: 1 };
  assert.equal(parseRecord(JSON.stringify(removal)), removal);
  for (const one of [{ removal: 'done' }, { removal: null }, { write: '' }, { key: 1 }, { time: null }])
    assert.is(parseRecord(JSON.stringify({ ...removal, ...one })), undefined, JSON.stringify(one));
});

test('whose gateway has ended or was silent for long is forgotten, a torn tail included', async () => {
  const directory = inboxOf();
  const dead = `${hostHash}-999999999-00000001-00000001.jsonl`;
  const mine = `${hostHash}-${process.pid}-00000002-00000001.jsonl`;
  const other = '00000001-999999999-00000003-00000001.jsonl';
  const silent = '00000001-1-00000004-00000001.jsonl';
  for (const name of [dead, mine, other, silent]) foreign(directory, name, `${lines(change(name))}{"torn`);
  const old = Date.now() / 1000 - STALE_MS / 1000 - 1;
  utimesSync(join(directory, silent), old, old);
  const { positions, changes } = drain(directory, {});
  assert.is(changes.length, 4);
  assert.equal(forget(directory, { ...positions, [dead]: 0 }), [silent], 'what is not taken stays');
  foreign(directory, silent, lines(change('late')));
  assert.equal(forget(directory, positions).sort(), [dead]);
  assert.equal(readdirSync(directory).sort(), [mine, other, silent].sort());
});

test('a disk that refuses is told; afterwards it goes on in a new file', async () => {
  const directory = inboxOf();
  mkdirSync(join(directory, '..'), { recursive: true });
  writeFileSync(directory, 'no directory');
  const inbox = openInbox(directory);
  const failure = await inbox.record(change('lost')).catch((error: NodeJS.ErrnoException) => error.code);
  assert.is(failure, 'ENOTDIR');
  rmSync(directory);
  await inbox.record(change('kept'));
  assert.equal(
    drain(directory, {}).changes.map(({ key }) => key),
    ['kept'],
  );
  await inbox.close();
});

test('kill -9 at any moment: what was acknowledged is there, once', async () => {
  const directory = inboxOf();
  const acknowledged = new Set<string>();
  const seen: string[] = [];
  let positions: Positions = {};
  const take = () => {
    for (let more = true; more; ) {
      const piece = drain(directory, positions, { maxBytes: 50_000 });
      assert.is(piece.garbage, 0);
      seen.push(...piece.changes.map(({ key }) => key));
      ({ positions, more } = piece);
      forget(directory, positions);
    }
  };
  for (let round = 0; round < 6; round++) {
    const children = [0, 1].map((which) => {
      const path = fileURLToPath(new URL('./inbox-child.js', import.meta.url));
      const child: ChildProcess = fork(path, [directory, `${round}.${which}`]);
      child.on('message', (key: string) => acknowledged.add(key));
      return child;
    });
    const before = acknowledged.size;
    await until('the children write', 20_000, () => (acknowledged.size > before + 200 ? true : undefined));
    for (let look = 0; look < 4; look++) {
      take();
      await sleep((round * 13 + look * 7) % 41);
    }
    for (const child of children) {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await ended;
    }
  }
  take();
  const unique = new Set(seen);
  assert.is(unique.size, seen.length, 'nothing twice');
  for (const key of acknowledged) assert.ok(unique.has(key), `${key} was acknowledged`);
  for (const writer of new Set(seen.map((key) => key.split('/')[0]))) {
    const numbers = seen.filter((key) => key.startsWith(`${writer}/`)).map((key) => Number(key.split('/')[1]));
    assert.equal(
      numbers,
      numbers.toSorted((a, b) => a - b),
      'in the order of each writer',
    );
  }
  take();
  assert.equal(readdirSync(directory), [], 'nothing is left of the dead');
});

test('a recorder for all buckets; deleted ones leave nothing', async () => {
  const root = tempDir();
  const told: string[] = [];
  const recorder = createRecorder({ root, onRecorded: ({ name }) => told.push(name) });
  const bucket = (name: string, created = '2026-01-02T03:04:05.678Z'): Bucket => ({
    name,
    created,
    owner: 'o',
    path: '/x',
    config: {},
  });
  const [one, again, two] = [bucket('b.one'), bucket('b.one', '2026-01-02T03:04:05.679Z'), bucket('two')];
  for (const each of [one, again, two]) await recorder.record(each, change(each.created));
  assert.equal(told, ['b.one', 'b.one', 'two']);
  for (const each of [one, again, two]) {
    const { changes } = drain(inboxDirectory(syncDirectory(root, each)), {});
    assert.equal(
      changes.map(({ key }) => key),
      [each.created],
    );
  }
  const open = (each: Bucket) =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(syncDirectory(root, each));
      } catch {
        return false; // the one that lists them
      }
    }).length;
  assert.is(open(one), 1);
  await recorder.forget(one);
  assert.is(open(one), 0);
  const names = () => readdirSync(join(root, '.tidegate/sync')).sort();
  assert.equal(names(), ['b.one.20260102T030405679Z', 'two.20260102T030405678Z']);
  await recorder.record(one, change('late'));
  assert.is(names().length, 3);
  await recorder.close();
});

test('a file that was taken away while its writer slept is written again', async () => {
  const directory = inboxOf();
  const inbox = openInbox(directory, { rollMs: 1000 });
  await inbox.record(change('b'));
  for (const each of readdirSync(directory)) rmSync(join(directory, each));
  // As for a process that is stopped between its look at the clock and its write.
  const { now } = Date;
  let asked = 0;
  Date.now = () => now() + (asked++ < 3 ? 0 : 5000);
  try {
    await inbox.record(change('c'));
  } finally {
    Date.now = now;
  }
  assert.equal(
    drain(directory, {}).changes.map(({ key }) => key),
    ['c'],
  );
  await inbox.close();
});

test.run();
