// timeout: 240
/** Buckets with ETag policy `fast`: files of jobs get an ETag, and nobody reads them for it. */
import { chmodSync, linkSync, renameSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ObjectMeta } from '../../acl/metadata/types.js';
import type { FeedEvent } from '../../sync/types.js';
import { md5, put } from '../suites/storage-tools.js';
import { command } from '../support/gateway.js';
import { until } from '../support/time.js';
import { openTwoDoors, type TwoDoors, told } from '../support/two-doors.js';
import { openStamping, type StampBench, stamped } from './stamping.js';

const test = suite('sync of buckets with fast ETags');
const noMd5 = /^[0-9a-f]{32}-0$/;

/** A bench whose bucket has the policy. */
async function openFast(options: Parameters<typeof openStamping>[0] = {}, config = {}): Promise<StampBench> {
  const bench = await openStamping(options);
  bench.at.bucket.config = { ...config, etag: 'fast' };
  return bench;
}
const head = async ({ storage, at }: StampBench, key: string): Promise<ObjectMeta> =>
  (await storage.head(at, key)).meta;
/** The ETag that S3 shows once the times of the file are old enough to tell of any further change. */
const settledEtag = (bench: StampBench, key: string): Promise<string> =>
  until('an ETag that stays', 5_000, async () => {
    const { etag } = await head(bench, key);
    await pause(5);
    return (await head(bench, key)).etag === etag ? etag : undefined;
  });
const MORE = { k: 'another tag' };

for (const sidecars of [false, true]) {
  const where = sidecars ? 'in sidecar files' : 'in attributes';
  test(`a file of a job keeps the ETag that S3 has shown, unread, until its content changes; metadata ${where}`, async () => {
    const bench = await openFast({ sidecars, checksum: 'CRC64NVME' });
    try {
      const { storage, at } = bench;
      writeFileSync(bench.file('out'), 'content');
      const shown = await settledEtag(bench, 'out');
      assert.match(shown, noMd5);
      const { etag, bytes } = await stamped(bench.stamp('out'));
      assert.equal([etag, bytes], [shown, 0]);
      assert.equal(await head(bench, 'out'), { etag: shown, headers: {}, user: {}, owner: 'job' });
      assert.equal(await stamped(bench.stamp('out')).then((again) => [again.etag, again.bytes]), [shown, 0]);
      // "The ETag reflects changes only to the contents of an object, not its metadata."
      await storage.updateMeta(at, 'out', { tags: MORE });
      assert.is((await head(bench, 'out')).etag, shown);
      renameSync(bench.file('out'), bench.file('moved'));
      const moved = await stamped(bench.stamp('moved', { trusted: { etag: shown } }));
      assert.equal([moved.etag, moved.bytes], [shown, 0]);
      assert.equal([(await head(bench, 'moved')).etag, (await head(bench, 'moved')).tags], [shown, MORE]);

      // The same size, and the times put back.
      const { atime, mtime } = statSync(bench.file('moved'));
      writeFileSync(bench.file('moved'), 'CONTENT');
      utimesSync(bench.file('moved'), atime, mtime);
      const other = await stamped(bench.stamp('moved'));
      assert.equal([other.bytes, (await head(bench, 'moved')).etag], [0, other.etag]);
      assert.is.not(other.etag, shown);
      writeFileSync(bench.file('moved'), 'longer than before');
      const longer = await stamped(bench.stamp('moved'));
      assert.match(longer.etag, noMd5);
      assert.is.not(longer.etag, other.etag);
      assert.is((await head(bench, 'moved')).etag, longer.etag);
    } finally {
      await bench.close();
    }
  });
}

test('the size of a file is nothing to it, nor a limit of bytes', async () => {
  const bench = await openFast({ hashers: 1, hashRate: 1024 });
  try {
    writeFileSync(bench.file('sparse'), '');
    // Read at any speed that there is, this takes longer than the test may.
    truncateSync(bench.file('sparse'), 2 ** 40);
    const { etag, bytes } = await stamped(bench.stamp('sparse'));
    assert.equal([bytes, (await head(bench, 'sparse')).etag], [0, etag]);
    assert.match(etag, noMd5);
  } finally {
    rmSync(bench.file('sparse'));
    await bench.close();
  }
});

test('so many files a second is a limit for these, too', async () => {
  const bench = await openFast({ hashIops: 50 });
  try {
    const names = Array.from({ length: 60 }, (_, i) => `${i}`);
    for (const name of names) writeFileSync(bench.file(name), name);
    const begun = performance.now();
    await Promise.all(names.map((name) => stamped(bench.stamp(name))));
    const took = performance.now() - begun;
    assert.ok(took > 900, `60 files at 50 a second took ${took} ms`);
  } finally {
    await bench.close();
  }
});

const upload: Partial<ObjectMeta> = {
  headers: { contentType: 'x/y' },
  user: { colour: 'blue' },
  tags: { a: 'b' },
  owner: 'alice',
  checksum: { algorithm: 'SHA1', type: 'FULL_OBJECT', value: 'kCGJ1rVqn4wPGtyxC8p0bGlXfTk=' },
};

for (const [what, change, keeps] of [
  ['chmod', (path: string) => chmodSync(path, 0o600), { headers: upload.headers!, user: upload.user! }],
  ['link', (path: string) => linkSync(path, `${path}.other`), { headers: upload.headers!, user: upload.user! }],
  ['touch', (path: string) => utimesSync(path, 1, 2), { headers: {}, user: {} }],
] as const) {
  test(`${what}: nobody knows whether an upload is what it was, and nobody throws away what its record says`, async () => {
    const bench = await openFast();
    try {
      const { meta } = await put(bench.storage, bench.at, 'up', 'content', upload);
      assert.equal(await stamped(bench.stamp('up')).then(({ etag, bytes }) => [etag, bytes]), [meta.etag, 0]);
      change(bench.file('up'));
      const { etag, bytes, stat } = await stamped(bench.stamp('up'));
      assert.is(bytes, 0);
      assert.match(etag, noMd5);
      const { tags, owner } = meta;
      assert.equal(await head(bench, 'up'), { etag, ...keeps, tags, owner });
      assert.is(statSync(bench.file('up'), { bigint: true }).ctimeNs, stat.ctimeNs);
      bench.at.bucket.config = {};
      assert.is((await stamped(bench.stamp('up'))).bytes, 7);
      assert.equal(await head(bench, 'up'), meta, 'as soon as MD5s are wanted again');
    } finally {
      await bench.close();
    }
  });
}

test("tags that S3 put on a job's file stay, and its ETag with them from then on", async () => {
  const bench = await openFast();
  try {
    writeFileSync(bench.file('tagged'), 'content');
    await bench.storage.updateMeta(bench.at, 'tagged', { tags: { a: 'b' } });
    const { etag, bytes } = await stamped(bench.stamp('tagged'));
    assert.is(bytes, 0);
    assert.equal(await head(bench, 'tagged'), { etag, headers: {}, user: {}, owner: 'job', tags: { a: 'b' } });
    await bench.storage.updateMeta(bench.at, 'tagged', { tags: MORE });
    assert.equal([(await head(bench, 'tagged')).etag, (await head(bench, 'tagged')).tags], [etag, MORE]);
  } finally {
    await bench.close();
  }
});

test('where visibility is synced, a file is published unread', async () => {
  const bench = await openFast({}, { visibility: 'synced' });
  try {
    const keys = async () => {
      const page = await bench.storage.list(bench.at, { prefix: '', delimiter: '', after: '', limit: 10 });
      return page.objects.map(({ key, etag }) => [key, etag]);
    };
    writeFileSync(bench.file('out'), 'content');
    assert.equal(await keys(), []);
    const { etag, bytes } = await stamped(bench.stamp('out'));
    assert.is(bytes, 0);
    assert.equal(await keys(), [['out', etag]]);
  } finally {
    await bench.close();
  }
});

// ---- the engine of a real gateway --------------------------------------------------------------------------------

const open: TwoDoors[] = [];
test.after.each(async () => {
  for (const world of open.splice(0)) await world.end();
});
const shown = async ({ client, bucket: Bucket }: TwoDoors, Key: string): Promise<string> =>
  (await client.send(new s3.HeadObjectCommand({ Bucket, Key }))).ETag!.replaceAll('"', '');
/** The last event of a key. */
const eventOf = (world: TwoDoors, key: string): Promise<FeedEvent> =>
  until(`an event of ${key}`, 20_000, () => world.events().findLast((event) => event.key === key));

let probes = 0;
/** Sets the policy, and waits until the leader has seen it, which looks once in a second. */
async function setPolicy(world: TwoDoors, policy: 'md5' | 'fast'): Promise<void> {
  await command('tidegate', ['bucket', 'set', world.bucket, '--etag', policy], world.gateway.root);
  await until(`policy ${policy}`, 20_000, async () => {
    const key = `probe${++probes}`;
    world.write(key, key);
    return noMd5.test((await eventOf(world, key)).etag!) === (policy === 'fast') || undefined;
  });
}

test('events carry the ETag that S3 shows, and another policy leaves what is there alone', async () => {
  const world = await openTwoDoors();
  open.push(world);
  world.write('before', 'with an MD5');
  assert.is((await eventOf(world, 'before')).etag, md5('with an MD5'));

  await setPolicy(world, 'fast');
  world.write('run1/out.bin', 'x'.repeat(100_000));
  world.write('run1/small', 'y');
  for (const key of ['run1/out.bin', 'run1/small']) {
    const { etag } = await eventOf(world, key);
    assert.match(etag!, noMd5, key);
    assert.is(await shown(world, key), etag, key);
  }
  await world.put('upload', 'content');
  const upload = await eventOf(world, 'upload');
  assert.equal([told(upload), upload.etag], ['s3 Created:Put upload', await shown(world, 'upload')]);
  assert.match(upload.etag!, noMd5);

  const small = await shown(world, 'run1/small');
  renameSync(world.file('run1/small'), world.file('run1/renamed'));
  const renamed = await eventOf(world, 'run1/renamed');
  assert.equal([renamed.renamedFrom, renamed.etag], ['run1/small', await shown(world, 'run1/renamed')]);
  // Written to and its times put back, or not: only its ctime is another now.
  assert.is.not(renamed.etag, small);
  renameSync(world.file('run1'), world.file('archive'));
  const moved = await eventOf(world, 'archive/renamed');
  assert.equal([moved.renamedFrom, moved.etag], ['run1/renamed', renamed.etag]);
  assert.is(await shown(world, 'archive/renamed'), renamed.etag);
  assert.is(await shown(world, 'before'), md5('with an MD5'), 'what was there keeps its ETag');

  await setPolicy(world, 'md5');
  const before = world.events().length;
  await world.sync();
  assert.is(await shown(world, 'archive/renamed'), renamed.etag);
  assert.is(await shown(world, 'upload'), upload.etag);
  assert.is(world.events().length, before, 'nothing has happened to them');
});

test('a sync takes up files without reading them', async () => {
  const world = await openTwoDoors({ flags: ['--sync-watch', 'off'] });
  open.push(world);
  const { gateway, bucket } = world;
  await command('tidegate', ['bucket', 'set', bucket, '--etag', 'fast'], gateway.root);
  await until('the policy', 20_000, async () => {
    world.write(`probe${++probes}`, 'x');
    if ((await world.sync())['BytesHashed'] === '0') return true;
    await pause(100);
    return undefined;
  });
  world.write('a', '1');
  world.write('b', '22');
  let run = await world.sync();
  // Not how many it added: behind its first run the engine scans the bucket once more, and may come upon one of them before.
  assert.equal([run['State'], run['BytesHashed'], run['Errors']], ['done', '0', '0']);
  const etags = [await shown(world, 'a'), await shown(world, 'b')];
  for (const etag of etags) assert.match(etag, noMd5);
  run = await world.sync();
  assert.equal([run['Added'], run['Updated'], run['BytesHashed']], ['0', '0', '0']);
  // Whether it was written is not known: its ETag is another, and who goes by it hears of that.
  chmodSync(world.file('a'), 0o600);
  const seen = world.events().length;
  run = await world.sync();
  assert.equal([run['Updated'], run['BytesHashed']], ['1', '0']);
  const [event] = world.events().slice(seen);
  assert.equal([event?.key, event?.etag], ['a', await shown(world, 'a')]);
  assert.equal([await shown(world, 'a'), await shown(world, 'b')].indexOf(etags[0]!), -1);
  // Nor does a gateway that is started again.
  await world.restart('stop');
  await world.scanned();
  run = await world.sync();
  assert.equal([run['Added'], run['Updated'], run['BytesHashed']], ['0', '0', '0']);
});

test.run();
