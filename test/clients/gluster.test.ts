// timeout: 300
/**
 * Two gateways on two clients of a network filesystem, and a compute node on a third: whatever one writes, the others see
 * at their next request, whole.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, watch, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SETTLED_MS } from '../../gateway/storage/posix/clock.js';
import { probe } from '../../gateway/storage/posix/probe.js';
import { createCandidate } from '../../sync/leader.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { haveGluster, startVolume, type Volume } from '../support/gluster.js';
import { fails, sdk } from '../support/sdk.js';
import { until } from '../support/time.js';

const gluster = suite('gateways on GlusterFS');
const have = haveGluster();
const test = have ? gluster : gluster.skip;
const Bucket = 'shared';
const md5 = (data: string | Buffer) => createHash('md5').update(data).digest('hex');
const noise = (size: number, seed: number) => Buffer.alloc(size, createHash('sha256').update(`${seed}`).digest());

let volume: Volume;
let mounts: string[];
let gateways: [Gateway, Gateway];
let clients: [s3.S3Client, s3.S3Client];
/** The bucket as the compute node has it. */
let node: string;

gluster.before(async () => {
  if (!have) return;
  volume = await startVolume();
  mounts = [await volume.mount(), await volume.mount(), await volume.mount()];
  const flags = ['--log-level', 'warn'];
  mkdirSync(join(mounts[0]!, 'root'), { mode: 0o755 });
  const first = await startGateway({ root: join(mounts[0]!, 'root'), flags });
  gateways = [first, await startGateway({ root: join(mounts[1]!, 'root'), key: first, flags })];
  clients = [sdk(gateways[0]), sdk(gateways[1])];
  await clients[0].send(new s3.CreateBucketCommand({ Bucket }));
  node = join(mounts[2]!, relative(mounts[0]!, first.bucketPath(Bucket)));
});
gluster.after(async () => {
  for (const client of clients ?? []) client.destroy();
  const codes = await Promise.all((gateways ?? []).map((gateway) => gateway.stop()));
  await volume?.stop();
  assert.ok(codes.every((code) => code === 0));
});

const put = async (at: number, Key: string, Body: string | Buffer, more: Partial<s3.PutObjectCommandInput> = {}) =>
  (await clients[at]!.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }))).ETag;

async function get(
  at: number,
  Key: string,
): Promise<{ bytes: Buffer; ETag: string; reply: s3.GetObjectCommandOutput }> {
  const reply = await clients[at]!.send(new s3.GetObjectCommand({ Bucket, Key }));
  return { bytes: Buffer.from(await reply.Body!.transformToByteArray()), ETag: reply.ETag!, reply };
}

const list = async (at: number, Prefix: string) =>
  (await clients[at]!.send(new s3.ListObjectsV2Command({ Bucket, Prefix }))).Contents ?? [];

test('what the gateway counts on is there', () => {
  const found = probe(mounts[0]!);
  assert.ok(found.writable && found.openat2 && found.hardLinks && found.flock, JSON.stringify(found));
  assert.ok(found.xattr.supported && found.xattr.maxBytes > 1000, JSON.stringify(found.xattr));
  assert.ok(found.copyFileRange && found.renameNoReplace && !found.tmpfile, JSON.stringify(found));
});

test('a watch on one client does not see what another does', async () => {
  const here = join(mounts[0]!, 'watched');
  mkdirSync(here);
  const seen: string[] = [];
  const watcher = watch(here, (_, name) => seen.push(`${name}`));
  writeFileSync(join(mounts[1]!, 'watched/theirs'), 'x');
  await sleep(300);
  assert.equal(readdirSync(here), ['theirs']);
  assert.equal(seen, []);
  writeFileSync(join(here, 'ours'), 'x');
  await until('our own', 5000, () => seen.includes('ours') || undefined);
  watcher.close();
  assert.not(seen.includes('theirs'));
});

test('written on one, read, listed and deleted on the other', async () => {
  for (let i = 0; i < 12; i++) {
    const Key = `turn/${i}`;
    const [here, there] = [i % 2, (i + 1) % 2];
    const body = noise(i * 50_000, i);
    assert.is(await put(here, Key, body, { Metadata: { of: `${i}` }, ContentType: 'text/x-turn' }), `"${md5(body)}"`);
    const { bytes, ETag, reply } = await get(there, Key);
    assert.ok(bytes.equals(body));
    assert.is(ETag, `"${md5(body)}"`);
    assert.equal([reply.Metadata, reply.ContentType], [{ of: `${i}` }, 'text/x-turn']);
    const listed = await list(there, 'turn/');
    assert.equal(
      listed.map((entry) => [entry.Key, entry.ETag, entry.Size]),
      [[Key, `"${md5(body)}"`, body.length]],
    );
    await clients[there]!.send(new s3.DeleteObjectCommand({ Bucket, Key }));
    await fails(get(here, Key), 'NoSuchKey', 404);
    assert.equal(await list(here, 'turn/'), []);
  }
});

test('overwritten on one: never an old ETag, size or content on the other', async () => {
  for (let i = 0; i < 40; i++) {
    // Every second one has the size of the one before it.
    const body = noise(1000 + (i >> 1), i);
    await put(i % 2, 'over', body);
    const { bytes, ETag } = await get((i + 1) % 2, 'over');
    assert.is(ETag, `"${md5(body)}"`, `round ${i}`);
    assert.is(md5(bytes), md5(body), `round ${i}`);
    assert.is((await list((i + 1) % 2, 'over'))[0]!.ETag, ETag);
  }
});

test('readers on one see whole contents while writers on the other overwrite', async () => {
  await put(0, 'hot', noise(10, 0));
  let writing = true;
  let reads = 0;
  const writer = async (at: number) => {
    for (let i = 1; i < 40; i++) await put(at, 'hot', noise([10, 5000, 70_000, 300_000][i % 4]!, i * 2 + at));
  };
  const reader = async (at: number) => {
    for (; writing; reads++) {
      const { bytes, ETag } = await get(at, 'hot');
      assert.is(ETag, `"${md5(bytes)}"`);
      assert.is((await list(at, 'hot')).length, 1);
    }
  };
  const readers = [reader(0), reader(1), reader(1)];
  // Looked at at once: one that fails must not wait for the others unobserved.
  const done = Promise.all(readers);
  await Promise.race([Promise.all([writer(0), writer(1)]), done]);
  writing = false;
  await done;
  assert.ok(reads > 20, `${reads} reads`);
});

test('created by many at once on both: one wins, and it is its content', async () => {
  for (let round = 0; round < 6; round++) {
    const Key = `once/${round}/k`;
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => put(i % 2, Key, `of ${i}`, { IfNoneMatch: '*' })),
    );
    const won = tries.flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []));
    for (const each of tries) {
      if (each.status === 'rejected') assert.is(each.reason.name, 'PreconditionFailed', `${each.reason}`);
    }
    assert.is(won.length, 1, `round ${round}`);
    for (const at of [0, 1]) assert.is(`${(await get(at, Key)).bytes}`, `of ${won[0]}`);
  }
});

test('replaced by many at once on both, if it is the version they saw: one wins', async () => {
  let etag = await put(0, 'cas', 'start');
  for (let round = 0; round < 6; round++) {
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => put(i % 2, 'cas', `${round} ${i}`, { IfMatch: etag! })),
    );
    const won = tries.filter((each) => each.status === 'fulfilled');
    assert.is(won.length, 1, `round ${round}`);
    etag = won[0]!.value;
    assert.is((await get(round % 2, 'cas')).ETag, etag);
  }
});

test('parts on both, completed by both at once', async () => {
  const { UploadId } = await clients[0].send(new s3.CreateMultipartUploadCommand({ Bucket, Key: 'parts' }));
  const bodies = [noise(5 * 1024 * 1024, 1), noise(1000, 2)];
  const Parts = await Promise.all(
    bodies.map(async (Body, i) => {
      const at = { Bucket, Key: 'parts', UploadId, PartNumber: i + 1 };
      return { PartNumber: i + 1, ETag: (await clients[i]!.send(new s3.UploadPartCommand({ ...at, Body }))).ETag };
    }),
  );
  const tries = await Promise.allSettled(
    clients.map((client) =>
      client.send(
        new s3.CompleteMultipartUploadCommand({ Bucket, Key: 'parts', UploadId, MultipartUpload: { Parts } }),
      ),
    ),
  );
  assert.ok(tries.some(({ status }) => status === 'fulfilled'));
  for (const each of tries) if (each.status === 'rejected') assert.is(each.reason.name, 'NoSuchUpload');
  for (const at of [0, 1]) assert.is(md5((await get(at, 'parts')).bytes), md5(Buffer.concat(bodies)));
});

test('what the compute node does to files, both show', async () => {
  mkdirSync(join(node, 'job/out'), { recursive: true });
  writeFileSync(join(node, 'job/out/a.nc'), 'first');
  const seen = new Set<string>();
  const same = async (text: string) => {
    const replies = [await get(0, 'job/out/a.nc'), await get(1, 'job/out/a.nc')];
    for (const { bytes, ETag } of replies) {
      assert.is(`${bytes}`, text);
      assert.match(ETag, /-/);
    }
    assert.is(replies[0]!.ETag, replies[1]!.ETag);
    assert.not(seen.has(replies[0]!.ETag), 'a content of its own has an ETag of its own');
    seen.add(replies[0]!.ETag);
  };
  await same('first');
  writeFileSync(join(node, 'job/out/a.nc'), 'other');
  await same('other');
  appendFileSync(join(node, 'job/out/a.nc'), ' and more');
  await same('other and more');

  // Over an uploaded object, in place, with the same size.
  await put(0, 'job/up', 'uploaded');
  writeFileSync(join(node, 'job/up'), 'replaced');
  for (const at of [0, 1]) {
    const { bytes, ETag } = await get(at, 'job/up');
    assert.is(`${bytes}`, 'replaced');
    assert.not.equal(ETag, `"${md5('uploaded')}"`);
  }
  renameSync(join(node, 'job'), join(node, 'moved'));
  for (const at of [0, 1]) {
    await fails(get(at, 'job/up'), 'NoSuchKey', 404);
    assert.equal(
      (await list(at, '')).map(({ Key }) => Key).filter((key) => /^(job|moved)\//.test(key!)),
      ['moved/out/a.nc', 'moved/up'],
    );
  }
  await put(1, 'moved/out/b.nc', 'of S3');
  assert.is(readFileSync(join(node, 'moved/out/b.nc'), 'utf8'), 'of S3');
});

test('what listings remember is asked of the server, also where the client of the filesystem would not ask', async () => {
  const lazy = await volume.mount({ attributeTimeout: 600, entryTimeout: 600 });
  const root = join(lazy, 'root');
  // One thread, which lists all the time; and no engine, whose looks would tell the client of the filesystem what is new.
  const flags = ['--sync', 'off', '--workers', '1', '--log-level', 'warn'];
  const gateway = await startGateway({ root, key: gateways[0], flags });
  const client = sdk(gateway);
  const shown = async (more: Partial<s3.ListObjectsV2CommandInput> = {}) => {
    const page = await client.send(new s3.ListObjectsV2Command({ Bucket, Prefix: 'lazy/', ...more }));
    const below = (page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix);
    return [...(page.Contents ?? []).map(({ Key, Size }) => `${Key} ${Size}`), ...below];
  };
  try {
    mkdirSync(join(node, 'lazy/below'), { recursive: true });
    writeFileSync(join(node, 'lazy/file'), 'one');
    writeFileSync(join(node, 'lazy/below/file'), 'two');
    await sleep(SETTLED_MS + 500);
    for (let times = 0; times < 3; times++) {
      assert.equal(await shown(), ['lazy/below/file 3', 'lazy/file 3']);
      assert.equal(await shown({ Delimiter: '/' }), ['lazy/file 3', 'lazy/below/']);
    }
    appendFileSync(join(node, 'lazy/file'), ', more');
    renameSync(join(node, 'lazy/below/file'), join(node, 'lazy/moved'));
    assert.equal(await shown(), ['lazy/file 9', 'lazy/moved 3']);
    assert.equal(await shown({ Delimiter: '/' }), ['lazy/file 9', 'lazy/moved 3']);
  } finally {
    client.destroy();
    assert.is(await gateway.stop(), 0);
  }
});

test('one leads a bucket, on whichever client', async () => {
  const [here, there] = mounts.map((mount) => join(mount, 'root/.tidegate/sync/test'));
  const who = { host: 'here', pid: process.pid };
  const times = { beatMs: 100, settleMs: 500, ttlMs: 2000, graceMs: 100 };
  const [first, second] = [createCandidate(here!, who, times), createCandidate(there!, who, times)];
  const lease = first.tryLead()!;
  assert.is(lease.lock, 'flock');
  for (const end = performance.now() + 3000; performance.now() < end; await sleep(50)) {
    assert.is(second.tryLead(), undefined);
  }
  assert.ok(lease.held());
  lease.release();
  const next = second.tryLead()!;
  assert.is(next.epoch, 2);
  assert.is(first.tryLead(), undefined);
  second.withdraw();
  first.withdraw();
});

gluster.run();
