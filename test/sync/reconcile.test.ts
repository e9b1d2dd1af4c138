// timeout: 240
/** In which order things are told when a look and the record of a request meet: each change once, as whose it was. */
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RECORD_MS } from '../../sync/reconcile.js';
import { until } from '../support/time.js';
import { md5 } from '../support/two-doors.js';
import { change, event } from './changes.js';
import { openReconciling, type Reconciling } from './reconciling.js';

const test = suite('reconcile');

const open: Reconciling[] = [];
const openWorld = async (...args: Parameters<typeof openReconciling>): Promise<Reconciling> => {
  const world = await openReconciling(...args);
  open.push(world);
  return world;
};
test.after.each(async () => {
  for (const world of open.splice(0)) await world.close();
});

const short = (content: string): string => md5(content).slice(0, 8);
const put = (door: string, key: string, content: string): string => `${door} Created:Put ${key} ${short(content)}`;

test('what a job does to an upload is told after it, and once, whoever is read first', async () => {
  const world = await openWorld();
  await world.put('k', 'uploaded');
  appendFileSync(world.file('k'), ' and more');
  // The look comes before the leader has read what the gateway wrote down.
  world.look('k');
  await world.finish();
  await world.settle();
  assert.equal(world.events(), [put('s3', 'k', 'uploaded'), put('filesystem', 'k', 'uploaded and more')]);
});

test('what is digested at about the same time is written down together', async () => {
  const world = await openWorld();
  const names = Array.from({ length: 200 }, (_, i) => `f${i}`);
  for (const name of names) writeFileSync(world.file(name), name);
  await sleep(50);
  const before = world.commits();
  for (const name of names) world.look(name);
  await world.finish();
  assert.equal(world.events().sort(), names.map((name) => put('filesystem', name, name)).sort());
  const commits = world.commits() - before;
  assert.ok(commits <= 25, `${commits} commits of ${names.length} files`);
});

test('a file that a job puts in the place of a deleted object is told after the deletion, and once', async () => {
  const world = await openWorld();
  await world.put('k', 'uploaded');
  await world.settle();
  await world.remove('k');
  writeFileSync(world.file('k'), 'by a job');
  world.look('k');
  await world.finish();
  await world.settle();
  assert.equal(world.events(), [put('s3', 'k', 'uploaded'), 's3 Removed:Delete k', put('filesystem', 'k', 'by a job')]);
});

test('a name that was missed, stood again and is being deleted through S3: that is the request’s doing', async () => {
  const world = await openWorld();
  writeFileSync(world.file('k'), 'one');
  world.look('k');
  await world.settle();
  renameSync(world.file('k'), world.file('away'));
  world.look('k');
  await sleep(RECORD_MS + 10);
  renameSync(world.file('away'), world.file('k'));
  const release = world.holdRecords((record) => !('removal' in record));
  const removed = world.remove('k');
  await until('it is gone', 10_000, () => !existsSync(world.file('k')) || undefined);
  // The wait for what was missed first is over now, and the gateway has only begun.
  for (let times = 0; times < 3; times++) world.tick();
  assert.equal(world.events(), [put('filesystem', 'k', 'one')]);
  release();
  await removed;
  await world.settle();
  assert.equal(world.events(), [put('filesystem', 'k', 'one'), 's3 Removed:Delete k']);
});

test('where nothing was written down before a deletion, it has as long to be told as ever', async () => {
  const world = await openWorld();
  writeFileSync(world.file('k'), 'one');
  world.look('k');
  await world.settle();
  rmSync(world.file('k'));
  world.look('k');
  await sleep(RECORD_MS + 10);
  await world.put('k', 'two');
  world.takeRecords();
  const release = world.holdRecords(() => true);
  rmSync(world.file('k'));
  world.tick();
  world.tick();
  assert.equal(world.events(), [put('filesystem', 'k', 'one'), put('s3', 'k', 'two')]);
  release();
  await world.settle();
  assert.is(world.events().at(-1), 'filesystem Removed:Delete k');
  assert.is(world.events().length, 3);
});

test('a gateway that dies in a deletion keeps nobody waiting for ever; one that deletes nothing not at all', async () => {
  const world = await openWorld();
  for (const key of ['k', 'other']) {
    writeFileSync(world.file(key), key);
    world.look(key);
  }
  await world.settle();
  await world.remove('never there');
  world.holdRecords((record) => !('removal' in record));
  void world.remove('k');
  await until('it is gone', 10_000, () => !existsSync(world.file('k')) || undefined);
  rmSync(world.file('other'));
  const begun = performance.now();
  world.look('k');
  world.look('other');
  await world.settle();
  assert.ok(performance.now() - begun > 2_500);
  assert.equal(world.events().slice(2), ['filesystem Removed:Delete other', 'filesystem Removed:Delete k']);
});

test('a client that deletes what is not there, all the time, keeps nobody waiting for ever', async () => {
  const world = await openWorld();
  writeFileSync(world.file('k'), 'one');
  world.look('k');
  await world.settle();
  rmSync(world.file('k'));
  world.look('k');
  await until('it is told', 20_000, async () => {
    const write = `Delete-${randomBytes(16).toString('hex')}`;
    await world.record({ removal: 'begun', write, key: 'k', time: Date.now() });
    world.tick();
    world.takeRecords();
    return world.events().length > 1 || undefined;
  });
  assert.is(world.events()[1], 'filesystem Removed:Delete k');
});

test('an upload over a file that was waited for long has its own time to be told', async () => {
  const world = await openWorld();
  const fd = openSync(world.file('k'), 'w');
  world.look('k');
  // Longer than a record is waited for.
  await sleep(3_200);
  const tick = async (ms: number) => {
    for (const until = performance.now() + ms; performance.now() < until; await sleep(10)) world.tick();
  };
  await tick(100);
  const release = world.holdRecords(({ write }) => write.startsWith('Put-'));
  const uploaded = world.put('k', 'uploaded');
  // It is tried again every second.
  await tick(1_500);
  assert.is(readFileSync(world.file('k'), 'utf8'), 'uploaded');
  assert.equal(world.events(), []);
  closeSync(fd);
  release();
  await uploaded;
  await world.settle();
  assert.equal(world.events(), [put('s3', 'k', 'uploaded')]);
  assert.equal(world.requests(), ['R']);
});

test('a renamed file whose content changed with its size and its times put back is told with what is in it', async () => {
  const world = await openWorld();
  // As a job sets it: a time that can be put back to the very nanosecond.
  const time = new Date(1_600_000_000_000);
  const write = (key: string, content: string) => {
    writeFileSync(world.file(key), content);
    utimesSync(world.file(key), time, time);
  };
  for (const key of ['k', 'same']) {
    write(key, 'one');
    world.look(key);
  }
  await world.settle();
  renameSync(world.file('k'), world.file('renamed'));
  write('renamed', 'two');
  renameSync(world.file('same'), world.file('moved'));
  for (const key of ['renamed', 'k', 'moved', 'same']) world.look(key);
  await world.settle();
  assert.equal(world.events().slice(2).sort(), [
    `filesystem Created:Put moved from same ${short('one')}`,
    `filesystem Created:Put renamed from k ${short('two')}`,
    'filesystem Removed:Delete k',
    'filesystem Removed:Delete same',
  ]);
});

test('a file that loses one of its names has its ETag under the others', async () => {
  const world = await openWorld();
  const losses: Record<string, () => Promise<void> | void> = {
    unlinked: () => rmSync(world.file('unlinked')),
    replaced: () => {
      writeFileSync(world.file('new'), 'another');
      renameSync(world.file('new'), world.file('replaced'));
    },
    uploaded: () => world.put('uploaded', 'another'),
    deleted: () => world.remove('deleted'),
  };
  for (const key of Object.keys(losses)) {
    writeFileSync(world.file(`${key}.stays`), key);
    linkSync(world.file(`${key}.stays`), world.file(key));
    world.look(`${key}.stays`);
    await world.settle();
    world.look(key);
  }
  await world.settle();
  for (const [key, lose] of Object.entries(losses)) {
    await lose();
    assert.match(await world.etag(`${key}.stays`), /-0$/);
    world.look(key);
    await world.settle();
    assert.is(await world.etag(`${key}.stays`), md5(key), key);
  }
  const events = world.events().filter((event) => event.includes('stays'));
  assert.is(events.length, 4, 'and nothing is told of that');
});

test('a deletion that the leader before this one has told is not told again by its late record', async () => {
  const time = Date.now();
  const told = (key: string) => event(1, { name: 'ObjectRemoved:Delete', key, door: 'filesystem', time });
  const world = await openWorld([told('k'), told('again'), event(2, { key: 'again', write: `Put-${'1'.repeat(32)}` })]);
  const name = 'ObjectRemoved:Delete';
  await world.record(change('k', { name, write: `Delete-${'2'.repeat(32)}`, time: time - 10 }));
  await world.record(change('again', { name, write: `Delete-${'3'.repeat(32)}`, time: time - 10 }));
  await world.settle();
  assert.equal(world.events(), ['s3 Removed:Delete again eeeeeeee']);
});

test.run();
