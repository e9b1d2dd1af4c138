// timeout: 240
/** The engine in a real gateway: what jobs and S3 clients do becomes ETags, events and counts, each once. */
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { keepingTime } from '../support/times.js';
import { md5, type TwoDoors, told, worldsOf } from '../support/two-doors.js';

const test = suite('engine');

const openWorld = worldsOf(test);

const etagOf = async ({ client, bucket: Bucket }: TwoDoors, Key: string): Promise<string> =>
  (await client.send(new s3.HeadObjectCommand({ Bucket, Key }))).ETag!.replaceAll('"', '');
const catalogDirectory = async ({ gateway: { root } }: TwoDoors): Promise<string> => {
  const [name] = (await readdir(join(root, '.tidegate/sync'))).filter((each) => !each.startsWith('.'));
  return join(root, '.tidegate/sync', name!);
};
/** What has been told when so many events are there, and no more come for a while. */
const quiet = async (world: TwoDoors, count: number, ms = 1500): Promise<string[]> => {
  await world.eventsAfter(count);
  let before = -1;
  await until('no more events', 30_000, async () => {
    const now = world.events().length;
    if (now === before) return true;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, ms));
    return undefined;
  });
  return world.events().map(told);
};

test('each change through S3 is one event with its name, its requester and its ETag', async () => {
  const world = await openWorld();
  const { client, bucket: Bucket, gateway } = world;
  await world.put('a', 'one');
  await world.put('a', 'two');
  await client.send(new s3.CopyObjectCommand({ Bucket, Key: 'b', CopySource: `${Bucket}/a` }));
  const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: 'm' }));
  const part = { Bucket, Key: 'm', UploadId, PartNumber: 1 };
  const { ETag } = await client.send(new s3.UploadPartCommand({ ...part, Body: 'part' }));
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
  await client.send(new s3.CompleteMultipartUploadCommand({ Bucket, Key: 'm', UploadId, MultipartUpload }));
  await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'a' }));
  await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'never-there' }));
  await client.send(new s3.PutObjectCommand({ Bucket, Key: 'dir/', Body: '' }));
  await client.send(
    new s3.PutObjectTaggingCommand({ Bucket, Key: 'b', Tagging: { TagSet: [{ Key: 'k', Value: 'v' }] } }),
  );
  await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'm' }, { Key: 'dir/' }] } }));
  assert.equal((await quiet(world, 8)).sort(), [
    's3 Created:CompleteMultipartUpload m',
    's3 Created:Copy b',
    's3 Created:Put a',
    's3 Created:Put a',
    's3 Created:Put dir/',
    's3 Removed:Delete a',
    's3 Removed:Delete dir/',
    's3 Removed:Delete m',
  ]);
  const events = world.events();
  const [first, second] = events;
  assert.equal([first!.etag, second!.etag], [md5('one'), md5('two')]);
  assert.equal([first!.size, first!.requester, first!.sourceIp], [3, gateway.uuid, '127.0.0.1']);
  assert.equal(
    events.map(({ seq }) => seq),
    events.map((_, i) => i + 1),
  );
  await until('the counts', 20_000, () => {
    const { objects, bytes } = world.state().totals ?? {};
    return (objects === 1 && bytes === 3) || undefined;
  });
});

test('what a job writes gets its MD5, a content type and one event; what it rewrites, removes and renames, too', async () => {
  const world = await openWorld();
  world.write('results/run1/answer.txt', '42');
  let events = await world.eventsAfter(1);
  assert.equal(events.map(told), ['filesystem Created:Put results/run1/answer.txt']);
  assert.is(events[0]!.etag, md5('42'));
  const before = statSync(world.file('results/run1/answer.txt'));
  assert.is(await etagOf(world, 'results/run1/answer.txt'), md5('42'));

  appendFileSync(world.file('results/run1/answer.txt'), '\n');
  events = await world.eventsAfter(2);
  assert.is(events[1]!.etag, md5('42\n'));
  assert.is(await etagOf(world, 'results/run1/answer.txt'), md5('42\n'));

  renameSync(world.file('results/run1/answer.txt'), world.file('results/run1/final.txt'));
  await world.eventsAfter(4);
  renameSync(world.file('results'), world.file('archive'));
  await world.eventsAfter(6);
  rmSync(world.file('archive'), { recursive: true });
  const all = await quiet(world, 7);
  assert.equal(all.slice(2).sort(), [
    'filesystem Created:Put archive/run1/final.txt from results/run1/final.txt',
    'filesystem Created:Put results/run1/final.txt from results/run1/answer.txt',
    'filesystem Removed:Delete archive/run1/final.txt',
    'filesystem Removed:Delete results/run1/answer.txt',
    'filesystem Removed:Delete results/run1/final.txt',
  ]);
  assert.is(before.mode & 0o777, 0o644);
  await until('the counts', 20_000, () => world.state().totals?.objects === 0 || undefined);
});

test('a chmod, a touch back in time and a hard link are no new content; a quiet overwrite of the same size is', async () => {
  const world = await openWorld();
  await world.put('a', 'same size');
  world.write('b', 'other one');
  await world.eventsAfter(2);
  chmodSync(world.file('b'), 0o600);
  linkSync(world.file('b'), world.file('c'));
  let events = await world.eventsAfter(3);
  assert.is(told(events[2]!), 'filesystem Created:Put c');
  assert.is(events[2]!.etag, md5('other one'));
  await quiet(world, 3);
  assert.is(await etagOf(world, 'b'), md5('other one'));

  keepingTime(world.file('a'), () => writeFileSync(world.file('a'), 'same sizE'));
  assert.is.not(await etagOf(world, 'a'), md5('same size'));
  events = await world.eventsAfter(4);
  assert.equal([told(events[3]!), events[3]!.etag], ['filesystem Created:Put a', md5('same sizE')]);
  assert.is((await quiet(world, 4)).length, 4);
});

test('BucketSync: three forms, counts of what it found, and nothing for an unknown operation', async () => {
  const world = await openWorld({ flags: ['--sync-watch', 'off', '--sync-quick-scan', 'never'] });
  for (const [key, text] of [
    ['a', '1'],
    ['b', '22'],
    ['d/c', '333'],
  ] as const)
    world.write(key, text);
  await world.put('s3', 'x');
  const dry = await world.sync({ query: '&dry-run' });
  assert.equal([dry['State'], dry['Added'], dry['BytesHashed'], dry['DryRun']], ['done', '3', '0', 'true']);
  assert.match(await etagOf(world, 'a'), /-0$/);

  let run = await world.sync({ ops: 'WRITE,UPDATE,DELETE' });
  const counts = () =>
    ['Added', 'Updated', 'Deleted', 'Renamed', 'Unchanged', 'Errors', 'Unsettled'].map((name) => Number(run[name]));
  assert.equal([run['status'], run['State'], ...counts()], ['200', 'done', 3, 0, 0, 0, 1, 0, 0]);
  assert.is(run['BytesHashed'], '6');
  assert.is(await etagOf(world, 'd/c'), md5('333'));

  appendFileSync(world.file('a'), '1');
  rmSync(world.file('b'));
  renameSync(world.file('d/c'), world.file('d/e'));
  run = await world.sync({
    body: '<operation><operationTypes>WRITE</operationTypes><prefix>nothing</prefix></operation>',
  });
  assert.equal(counts(), [0, 0, 0, 0, 0, 0, 0]);
  run = await world.sync({ ops: 'UPDATE' });
  assert.equal(counts(), [0, 1, 0, 0, 1, 0, 0], 'only what changed');
  run = await world.sync();
  assert.equal(counts(), [0, 0, 1, 1, 2, 0, 0], 'the bare form does all');
  run = await world.sync();
  assert.equal(counts(), [0, 0, 0, 0, 3, 0, 0]);

  for (const bad of ['WRITE,FOO', 'write', '', 'WRITE UPDATE'])
    assert.is((await world.sync({ ops: bad })).status, '400', bad);
  assert.is((await world.sync({ body: '<operation><foo/></operation>' })).status, '400');
  assert.is((await world.sync({ body: '<operation>' })).status, '400');
  assert.is(
    (await world.sync({ ops: 'WRITE', body: '<operation><operationTypes>WRITE</operationTypes></operation>' })).status,
    '400',
  );
  const state = await world.sync({ method: 'GET' });
  assert.equal([state['status'], state['Objects'], state['Bytes']], ['200', '3', '6']);
  assert.equal((await quiet(world, 8)).sort(), [
    'filesystem Created:Put a',
    'filesystem Created:Put a',
    'filesystem Created:Put b',
    'filesystem Created:Put d/c',
    'filesystem Created:Put d/e from d/c',
    'filesystem Removed:Delete b',
    'filesystem Removed:Delete d/c',
    's3 Created:Put s3',
  ]);
});

test('a sync waits for what is being written, and returns when all is taken up', async () => {
  const world = await openWorld({ flags: ['--sync-quiet', '1s'] });
  for (let i = 0; i < 300; i++) world.write(`many/${i % 7}/${i}`, `file ${i}`);
  const run = await world.sync();
  assert.equal([run['State'], run['Errors'], run['Unsettled']], ['done', '0', '0']);
  for (const i of [0, 150, 299]) assert.is(await etagOf(world, `many/${i % 7}/${i}`), md5(`file ${i}`));
  const created = world.events().map(told);
  assert.is(created.length, 300);
  assert.is(new Set(created).size, 300);
});

test('changes while the gateway is down are found at its start, once; a kill takes nothing', async () => {
  const world = await openWorld();
  world.write('old', 'old');
  world.write('gone', 'gone');
  await world.put('kept', 'kept');
  await world.eventsAfter(3);
  await world.restart('kill9', () => {
    world.write('new/one', 'new');
    rmSync(world.file('gone'));
    appendFileSync(world.file('old'), '!');
  });
  await world.eventsAfter(6);
  const since = new Date().toISOString();
  await world.restart('stop');
  await until('another look at everything', 30_000, () => (world.state().lastFullScan ?? '') > since || undefined);
  assert.equal((await quiet(world, 6)).slice(3).sort(), [
    'filesystem Created:Put new/one',
    'filesystem Created:Put old',
    'filesystem Removed:Delete gone',
  ]);
});

test('a catalog that is lost is made again without an event, and counts are right again', async () => {
  const world = await openWorld();
  for (let i = 0; i < 50; i++) world.write(`d${i % 5}/${i}`, `${i}`);
  await world.put('up', 'load');
  await world.eventsAfter(51);
  const { bytes } = (await until('the counts', 20_000, () => {
    const { totals } = world.state();
    return totals?.objects === 51 ? totals : undefined;
  }))!;
  await world.restart('stop', async () => {
    for (const name of ['catalog.mdb', 'catalog.mdb-lock'])
      await rm(join(await catalogDirectory(world), name), { force: true });
    // What happens meanwhile cannot be told from what was there before.
    world.write('d0/0', 'zero');
  });
  await until('the counts', 20_000, () => world.state().totals?.bytes === bytes + 3 || undefined);
  world.write('fresh', 'fresh');
  assert.equal((await quiet(world, 52)).slice(51), ['filesystem Created:Put fresh']);
  assert.is(await etagOf(world, 'd0/0'), md5('zero'));
  assert.is(await etagOf(world, 'up'), md5('load'));
  assert.is(readFileSync(world.file('up'), 'utf8'), 'load');
});

test('a feed that somebody else has written to is opened anew, and goes on', async () => {
  const world = await openWorld();
  world.write('first', '1');
  await world.eventsAfter(1);
  const feed = join(await catalogDirectory(world), 'feed');
  // As a leader does that was stopped before this write, and woke up when another had taken over.
  appendFileSync(join(feed, (await readdir(feed))[0]!), '\n');
  world.write('second', '2');
  await world.eventsAfter(2);
  await world.put('third', '3');
  assert.equal(
    (await world.eventsAfter(3)).map(({ seq, key }) => [seq, key]),
    [
      [1, 'first'],
      [2, 'second'],
      [3, 'third'],
    ],
  );
});

test('a tree that is moved in among many files is told with all that is in it', async () => {
  const world = await openWorld();
  const outside = tempDir();
  mkdirSync(join(outside, 'tree/below'), { recursive: true });
  writeFileSync(join(outside, 'tree/below/f'), 'moved');
  const keys = Array.from({ length: 100 }, (_, i) => `f${i}`);
  renameSync(join(outside, 'tree'), world.file('tree'));
  for (const key of keys) writeFileSync(world.file(key), key);
  const events = await world.eventsAfter(101);
  assert.equal(events.map(({ key }) => key).sort(), [...keys, 'tree/below/f'].sort());
});

test.run();
