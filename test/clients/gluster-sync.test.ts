// timeout: 300
/**
 * The sync engine on a network filesystem: gateways on two clients, a compute node on a third that nobody can watch. One
 * gateway leads the bucket; when it dies, the other goes on where it was.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFeedReader } from '../../sync/feed-reader.js';
import { feedDirectory } from '../../sync/places.js';
import type { SyncState } from '../../sync/types.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { haveGluster, startVolume, type Volume } from '../support/gluster.js';
import { sdk } from '../support/sdk.js';
import { until } from '../support/time.js';
import { syncBucket, told } from '../support/two-doors.js';

const gluster = suite('sync on GlusterFS');
const have = haveGluster();
const test = have ? gluster : gluster.skip;
const Bucket = 'shared';
const md5 = (text: string) => createHash('md5').update(text).digest('hex');

/** Changes of the compute node are found by the next quick scan, and the file must have come to rest before. */
const flags = ['--log-level', 'warn', '--sync-quick-scan', '10s', '--sync-quiet', '1s'];
/** The lease's 13 s, a try every second, and the scan that a new leader begins with. */
const TAKEOVER_MS = 30_000;

let volume: Volume;
let mounts: string[];
let gateways: [Gateway, Gateway];
let clients: [s3.S3Client, s3.S3Client];
/** The bucket as the compute node has it, and the service area as it has that. */
let node: string;
let area: string;

gluster.before(async () => {
  if (!have) return;
  volume = await startVolume();
  mounts = [await volume.mount(), await volume.mount(), await volume.mount()];
  mkdirSync(join(mounts[0]!, 'root'), { mode: 0o755 });
  const first = await startGateway({ root: join(mounts[0]!, 'root'), flags });
  gateways = [first, await startGateway({ root: join(mounts[1]!, 'root'), key: first, flags })];
  clients = [sdk(gateways[0]), sdk(gateways[1])];
  await clients[0].send(new s3.CreateBucketCommand({ Bucket }));
  node = join(mounts[2]!, relative(mounts[0]!, first.bucketPath(Bucket)));
  area = join(mounts[2]!, 'root/.tidegate');
});
gluster.after(async () => {
  for (const client of clients ?? []) client.destroy();
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop().catch(() => gateway.kill9())));
  await volume?.stop();
});

const put = (at: number, Key: string, Body: string) =>
  clients[at]!.send(new s3.PutObjectCommand({ Bucket, Key, Body }));
const state = (): SyncState => JSON.parse(readFileSync(join(area, 'syncs', `${Bucket}.json`), 'utf8'));
const events = () => {
  const [name] = readdirSync(join(area, 'sync')).filter((each) => each.startsWith(`${Bucket}.`));
  return openFeedReader(feedDirectory(join(area, 'sync', name!))).read(0, 10_000).events;
};
const eventsAfter = (count: number, ms = 30_000) =>
  until(`${count} events`, ms, () => (events().length >= count ? events() : undefined));

test('what both gateways and the compute node do is one feed, each change once', async () => {
  const leader = await until('a leader', 20_000, () => {
    try {
      return state().leader;
    } catch {
      return undefined;
    }
  });
  assert.ok(gateways.some(({ pid }) => pid === leader.pid));
  await put(0, 'by/first', 'one');
  await put(1, 'by/second', 'two');
  mkdirSync(join(node, 'job'));
  writeFileSync(join(node, 'job/out.nc'), 'result');
  const found = await eventsAfter(3);
  assert.equal(found.map(told).sort(), [
    'filesystem Created:Put job/out.nc',
    's3 Created:Put by/first',
    's3 Created:Put by/second',
  ]);
  for (const at of [0, 1]) {
    const { ETag } = await clients[at]!.send(new s3.HeadObjectCommand({ Bucket, Key: 'job/out.nc' }));
    assert.is(ETag, `"${md5('result')}"`, 'the digest that the leader stored is seen by both');
  }
  renameSync(join(node, 'job'), join(node, 'done'));
  appendFileSync(join(node, 'by/second'), '!');
  await clients[0].send(new s3.DeleteObjectCommand({ Bucket, Key: 'by/first' }));
  // An append in place changes no directory: only a look at every file finds it, and this asks for one.
  const run = await syncBucket(gateways[1], Bucket);
  assert.equal([run['status'], run['State'], run['Errors']], ['200', 'done', '0']);
  const all = await eventsAfter(7);
  assert.equal(all.slice(3).map(told).sort(), [
    'filesystem Created:Put by/second',
    'filesystem Created:Put done/out.nc from job/out.nc',
    'filesystem Removed:Delete job/out.nc',
    's3 Removed:Delete by/first',
  ]);
});

test('when the leader dies the other goes on: nothing lost, nothing twice', async () => {
  const before = events().length;
  const { pid } = state().leader!;
  const dies = gateways[0].pid === pid ? 0 : 1;
  const lives = 1 - dies;
  const writes = Promise.all(Array.from({ length: 20 }, (_, i) => put(lives, `while/${i}`, `${i}`)));
  await put(dies, 'last', 'words');
  await gateways[dies]!.kill9();
  const since = performance.now();
  writeFileSync(join(node, 'orphan'), 'written while nobody leads');
  rmSync(join(node, 'done'), { recursive: true });
  await writes;
  await until('another leader', TAKEOVER_MS, () => (state().leader?.pid === gateways[lives]!.pid ? true : undefined));
  const found = await eventsAfter(before + 23, TAKEOVER_MS - (performance.now() - since) + 15_000);
  const news = found.slice(before).map(told);
  assert.equal(
    news.sort(),
    [
      'filesystem Created:Put orphan',
      'filesystem Removed:Delete done/out.nc',
      's3 Created:Put last',
      ...Array.from({ length: 20 }, (_, i) => `s3 Created:Put while/${i}`),
    ].sort(),
  );
  const { Contents = [] } = await clients[lives]!.send(new s3.ListObjectsV2Command({ Bucket }));
  await until('the counts', 10_000, () => state().totals?.objects === Contents.length || undefined);
  // The one that died comes back as a follower.
  gateways[dies] = await startGateway({ root: gateways[dies]!.root, key: gateways[dies]!, flags });
  clients[dies]!.destroy();
  clients[dies] = sdk(gateways[dies]!);
  await put(dies, 'back', 'again');
  const all = await eventsAfter(before + 24);
  assert.equal(all.slice(before + 23).map(told), ['s3 Created:Put back']);
  assert.equal(
    all.map(({ seq }) => seq),
    all.map((_, i) => i + 1),
  );
  assert.is(state().leader?.pid, gateways[lives]!.pid);
});

gluster.run();
