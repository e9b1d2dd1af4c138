// timeout: 400
/**
 * Two network filesystems, one of which hangs: its server is stopped, and whoever asks it waits. Requests for buckets on the
 * other one go on as before, those on it are answered 503 within the time that was set, nothing leaks, and all is well again
 * when it comes back. The gateway can be stopped meanwhile.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { Agent, get as httpGet, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import * as s3 from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, startGateway } from '../support/gateway.js';
import { haveGluster, startVolume, type Volume } from '../support/gluster.js';
import { fails, sdk } from '../support/sdk.js';
import { until, withTimeout } from '../support/time.js';

const gluster = suite('a network filesystem that hangs');
const have = haveGluster();
const test = have ? gluster : gluster.skip;

const TIMEOUT_MS = 3_000;
/** Looks at what hangs happen once a second; the machine may be busy with other tests. */
const SLACK_MS = 4_000;
const flags = ['--log-level', 'error', '--io-timeout', '3s', '--workers', '4', '--sync-quiet', '0s'];

let volumes: [Volume, Volume];
let places: { well: string; ill: string };
let gateway: Gateway;
let client: s3.S3Client;
const large = Buffer.alloc(24 << 20, 'large');

const begin = async (processes = 1) => {
  gateway = await startGateway({ root: places.well, key: gateway, flags: [...flags, `--processes=${processes}`] });
  client = sdk(gateway, { requestHandler: { httpAgent: { maxSockets: 200 }, connectionTimeout: 2000 } });
};

gluster.before(async () => {
  if (!have) return;
  volumes = [await startVolume(), await startVolume()];
  const [a, b] = [await volumes[0].mount(), await volumes[1].mount()];
  places = { well: join(a, 'root'), ill: b };
  mkdirSync(places.well, { mode: 0o755 });
  for (const name of ['ill', 'more', 'below']) mkdirSync(join(b, name));
  const key = await createKey(places.well, 'test', ['--fsuid', '0:0', '--fspaths', b]);
  gateway = { ...key } as Gateway;
  await begin();
  await client.send(new s3.CreateBucketCommand({ Bucket: 'well' }));
  await client.send(new s3.CreateBucketCommand({ Bucket: 'mixed' }));
  await publish('ill');
  mkdirSync(join(gateway.bucketPath('mixed'), 'below'));
  execFileSync('mount', ['--bind', join(b, 'below'), join(gateway.bucketPath('mixed'), 'below')]);
  await sleep(1_100); // mounts are looked at once a second
  for (const Bucket of ['well', 'ill', 'mixed']) {
    await client.send(new s3.PutObjectCommand({ Bucket, Key: 'small', Body: 'small', Metadata: { of: Bucket } }));
    await client.send(new s3.PutObjectCommand({ Bucket, Key: 'large', Body: large }));
  }
  await client.send(new s3.PutObjectCommand({ Bucket: 'mixed', Key: 'below/small', Body: 'small' }));
});
gluster.after(async () => {
  if (!have) return;
  for (const volume of volumes ?? []) volume.goOn();
  client?.destroy();
  await gateway?.kill9?.();
  execFileSync('umount', ['-l', join(gateway.bucketPath('mixed'), 'below')]);
  await Promise.all((volumes ?? []).map((volume) => volume.stop()));
});

/** A bucket of a directory of the second filesystem. */
async function publish(name: string): Promise<void> {
  const command = new s3.CreateBucketCommand({ Bucket: name });
  command.middlewareStack.add(
    (next) => (args) => {
      (args.request as { headers: Record<string, string> }).headers['x-ddn-specified-directory'] = join(
        places.ill,
        name,
      );
      return next(args);
    },
    { step: 'build' },
  );
  await client.send(command);
}

/** Descriptors of the gateway that lead to one of the filesystems; others come and go with its threads. */
const opened = () =>
  readdirSync(`/proc/${gateway.pid}/fd`).flatMap((fd) => {
    try {
      const to = readlinkSync(`/proc/${gateway.pid}/fd/${fd}`);
      return [join(places.well, '..'), places.ill].some((mount) => to.startsWith(mount)) ? [to] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
const descriptors = () => opened().length;
const threads = () => readdirSync(`/proc/${gateway.pid}/task`).length;

async function timed<T>(work: Promise<T>): Promise<{ ms: number; result: T }> {
  const since = performance.now();
  const result = await work;
  return { ms: performance.now() - since, result };
}

async function read(Bucket: string, Key: string): Promise<Uint8Array> {
  const { Body } = await client.send(new s3.GetObjectCommand({ Bucket, Key }));
  return Body!.transformToByteArray();
}

/** What is asked of a bucket, each kind of request once. */
const requests = (Bucket: string, n = 0) => [
  () => client.send(new s3.HeadObjectCommand({ Bucket, Key: 'small' })),
  () => read(Bucket, 'small'),
  () => read(Bucket, 'large'),
  () => client.send(new s3.ListObjectsV2Command({ Bucket })),
  () => client.send(new s3.PutObjectCommand({ Bucket, Key: `new/${n}`, Body: 'new' })),
  () => client.send(new s3.PutObjectCommand({ Bucket, Key: `new/large-${n}`, Body: large })),
  () => client.send(new s3.DeleteObjectCommand({ Bucket, Key: `gone/${n}` })),
  () => client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: `parts/${n}` })),
  () => client.send(new s3.ListMultipartUploadsCommand({ Bucket })),
  () => client.send(new s3.PutObjectTaggingCommand({ Bucket, Key: 'small', Tagging: { TagSet: [] } })),
  () => client.send(new s3.CopyObjectCommand({ Bucket, Key: `copy/${n}`, CopySource: `${Bucket}/large` })),
];

/** 503 in time. A reply to HEAD has no body that could name the code. */
async function refused(work: Promise<unknown>, what: string): Promise<number> {
  const { ms, result } = await timed(work.then(String, (error: s3.S3ServiceException) => error));
  const status = typeof result === 'string' ? result : result.$metadata?.httpStatusCode;
  assert.is(status, 503, `${what}: ${result}`);
  assert.match((result as Error).name, /^(SlowDown|Unknown|UnknownError)$/, what);
  assert.ok(ms < TIMEOUT_MS + SLACK_MS, `${what}: after ${Math.round(ms)} ms`);
  return ms;
}

/** Milliseconds of some requests on the healthy filesystem, sorted. */
async function latencies(count: number): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < count; i++) {
    const turn = i % 4;
    const work =
      turn === 0
        ? client.send(new s3.PutObjectCommand({ Bucket: 'well', Key: `turn/${i % 16}`, Body: 'x' }))
        : turn === 1
          ? client.send(new s3.ListObjectsV2Command({ Bucket: 'well', Prefix: 'turn/' }))
          : client.send(new s3.HeadObjectCommand({ Bucket: 'well', Key: 'small' }));
    all.push((await timed(work)).ms);
  }
  return all.sort((a, b) => a - b);
}
const median = (sorted: number[]) => sorted[sorted.length >> 1]!;

/** Whether a job's file that says "result" has got its ETag from the sync engine. */
async function hasDigest(Bucket: string, Key: string): Promise<true | undefined> {
  const { ETag } = await client.send(new s3.HeadObjectCommand({ Bucket, Key }));
  return ETag === `"${createHash('md5').update('result').digest('hex')}"` || undefined;
}

/** A GET of the large object of which only the beginning is taken. */
async function halfRead(Bucket: string): Promise<IncomingMessage> {
  const url = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key: 'large' }));
  const reply = await new Promise<IncomingMessage>((resolve, reject) => {
    httpGet(url, { agent: false }, resolve).on('error', reject);
  });
  assert.is(reply.statusCode, 200);
  reply.on('error', () => {});
  await new Promise<void>((resolve) => reply.once('readable', () => resolve()));
  reply.read(1000);
  return reply;
}

test('one hangs: the other goes on, requests for the first are refused in time, and all comes back', async () => {
  const [, sick] = volumes;
  const before = await latencies(80);
  await until('descriptors at rest', 10_000, () => {
    const count = descriptors();
    return sleep(300).then(() => (descriptors() === count ? true : undefined));
  });
  const open = descriptors();

  // In the middle of their work when it hangs: a download, and an upload that waits for its client.
  const reading = await halfRead('ill');
  let more: () => void = () => {};
  const pausing = new Promise<void>((resolve) => (more = resolve));
  const body = Readable.from(
    (async function* () {
      yield large.subarray(0, 8 << 20);
      await pausing;
      yield large.subarray(8 << 20);
    })(),
  );
  const uploading = client.send(
    new s3.PutObjectCommand({ Bucket: 'ill', Key: 'midway', Body: body, ContentLength: large.length }),
  );
  const uploaded = uploading.then(
    () => 'stored',
    (error: Error) => error.name,
  );
  await sleep(1_000);

  // The engine may find it now or later.
  writeFileSync(join(places.ill, 'ill', 'job.nc'), 'result');
  sick.hang();
  more();
  const first = [...requests('ill', 1), ...requests('mixed', 1).slice(0, 1)];
  const all = Array.from({ length: 5 }, (_, i) => requests('ill', i)).flat();
  // Looked at in the end, or earlier.
  process.on('unhandledRejection', () => {});
  const refusals = all.map((ask, i) => refused(ask(), `request ${i % first.length}`));
  // A bucket of the healthy filesystem into which the other is mounted counts with that one.
  const mixed = client.send(new s3.HeadObjectCommand({ Bucket: 'mixed', Key: 'below/small' }));
  refusals.push(refused(mixed, 'what is mounted in a bucket'));
  const during = await latencies(80);
  await Promise.all(refusals);
  assert.is(await withTimeout('the upload', 20_000, uploaded), 'SlowDown');
  const rest = withTimeout('the download', 20_000, new Promise((resolve) => reading.once('close', resolve)));
  reading.resume();
  await rest;
  assert.not(reading.complete, 'it was cut off, not ended');

  // All its threads hang by now: nobody else has to wait to be told so.
  assert.ok(
    (await refused(client.send(new s3.HeadObjectCommand({ Bucket: 'ill', Key: 'small' })), 'one more')) < 2_000,
  );
  await refused(publish('more'), 'a new bucket there');
  await fails(client.send(new s3.DeleteBucketCommand({ Bucket: 'ill' })), 'SlowDown', 503);
  assert.ok((await client.send(new s3.ListBucketsCommand({}))).Buckets!.length >= 3);
  const still = await latencies(80);
  for (const [when, times] of Object.entries({ during, still })) {
    const [middle, slow] = [median(times), times[Math.floor(times.length * 0.95)]!];
    const text = `${when}: ${middle.toFixed(1)}, p95 ${slow.toFixed(1)} ms; before ${median(before).toFixed(1)} ms`;
    assert.ok(middle < 3 * median(before) + 20, text);
    assert.ok(slow < 1_000, text);
  }
  // A job's file on the healthy filesystem is synced all the same.
  writeFileSync(join(gateway.bucketPath('well'), 'job.nc'), 'result');
  await until('the digest', 20_000, () => hasDigest('well', 'job.nc'));

  sick.goOn();
  await until('the return', 10_000, () =>
    client.send(new s3.HeadObjectCommand({ Bucket: 'ill', Key: 'small' })).then(
      ({ Metadata }) => Metadata,
      () => undefined,
    ),
  );
  for (const ask of [...requests('ill', 9), ...requests('mixed', 9)]) await ask();
  assert.ok(large.equals(await read('ill', 'new/large-9')));
  await until('the digest of what came meanwhile', 30_000, () => hasDigest('ill', 'job.nc'));
  await fails(client.send(new s3.HeadObjectCommand({ Bucket: 'ill', Key: 'midway' })), 'NotFound', 404);
  client.destroy();
  await until('the descriptors to be closed', 20_000, () => (descriptors() <= open + 4 ? true : undefined)).catch(
    () => {
      const links = execFileSync('ls', ['-l', `/proc/${gateway.pid}/fd`], { encoding: 'utf8' });
      assert.unreachable(`${open} before, ${descriptors()} now\n${links}`);
    },
  );
  assert.ok(threads() > 0);
  client = sdk(gateway);
});

test('hung again and again, the same', async () => {
  const [, sick] = volumes;
  let [open, count] = [0, 0];
  for (let round = 0; round < 3; round++) {
    sick.hang();
    const asked = requests('ill', 20 + round).map((ask) => refused(ask(), `round ${round}`));
    await Promise.all(asked);
    sick.goOn();
    await until('the return', 10_000, () =>
      client.send(new s3.HeadObjectCommand({ Bucket: 'ill', Key: 'small' })).catch(() => undefined),
    );
    for (const ask of requests('ill', 30 + round)) await ask();
    await sleep(1_500);
    if (round === 0) [open, count] = [descriptors(), threads()];
  }
  assert.ok(descriptors() <= open, `${open} descriptors, ${descriptors()} in the end`);
  assert.is(threads(), count);
});

const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false)).on('connect', () => socket.destroy());
  });
/** Whether nothing of it is left but what the kernel cannot take away. */
const isDead = (pid = gateway.pid) =>
  !existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
/** What a new connection is answered. */
const live = (agent: Agent): Promise<number> =>
  new Promise((resolve, reject) => {
    const asking = httpGet(`${gateway.endpoint}/.tidegate/live`, { agent }, (reply) =>
      resolve(reply.resume().statusCode!),
    );
    asking.on('error', reject);
  });

for (const processes of [1, 2]) {
  test(`a gateway of ${processes} is stopped while one hangs, and started`, async () => {
    if (processes > 1) {
      await gateway.stop();
      client.destroy();
      await begin(processes);
    }
    const [, sick] = volumes;
    sick.hang();
    const asked = requests('ill', 40).map((ask) => ask().catch((error: Error) => error.name));
    await sleep(500);
    const stopped = gateway.stop();
    await until('the end of the process', 30_000, () => isDead() || undefined);
    assert.not(await answers(gateway.port));
    assert.ok(
      (await Promise.all(asked)).every(
        (name) => typeof name === 'string' && /SlowDown|ServiceUnavailable|Unknown/.test(name),
      ),
    );
    client.destroy();
    const old = gateway;
    // Another one serves what can be served, before the mount has let go of the first.
    await begin();
    await client.send(new s3.HeadObjectCommand({ Bucket: 'well', Key: 'small' }));
    await refused(client.send(new s3.HeadObjectCommand({ Bucket: 'ill', Key: 'small' })), 'after the start');
    sick.goOn();
    assert.is(await withTimeout('the exit code', 20_000, stopped), 0, old.output());
    await until('the return', 10_000, () =>
      client.send(new s3.HeadObjectCommand({ Bucket: 'ill', Key: 'small' })).catch(() => undefined),
    );
  });
}

test('processes that die while one hangs are replaced, though it keeps what is left of them', async () => {
  const [, sick] = volumes;
  await gateway.stop();
  client.destroy();
  await begin(2);
  const serving = () => {
    const { pid } = gateway;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    return children.filter((child) => !isDead(child));
  };
  await until('both', 20_000, () => serving().length === 2 || undefined);
  await sleep(2_000); // both listen
  sick.hang();
  let asked: Promise<unknown>[] = [];
  let before: number[] = [];
  try {
    asked = requests('ill', 70).map((ask) => ask().catch(() => 'refused'));
    await sleep(500);
    before = serving();
    for (const pid of before) process.kill(pid, 'SIGKILL');
    await until('others', 20_000, () => {
      const now = serving();
      return now.length === 2 && !now.some((pid) => before.includes(pid)) ? true : undefined;
    });
    assert.ok(
      before.some((pid) => existsSync(`/proc/${pid}`)),
      'the mount has kept none',
    );
    // Each connection falls on one of the two, by chance.
    const agent = new Agent({ keepAlive: false });
    // That they are there does not mean that they listen.
    await until('an answer', 20_000, async () => (await live(agent).catch(() => 0)) === 200 || undefined);
    const all = Array.from({ length: 16 }, () => live(agent));
    assert.ok((await withTimeout('answers', 10_000, Promise.all(all))).every((status) => status === 200));
  } finally {
    sick.goOn();
  }
  // Their connections are kept too.
  await Promise.all(asked);
  await until('their end', 20_000, () => before.every((pid) => !existsSync(`/proc/${pid}`)) || undefined);
  await sleep(500);
  assert.is(serving().length, 2);
  client.destroy();
  await gateway.stop();
  await begin();
});

for (const processes of [1, 2]) {
  test(`a gateway of ${processes} that is told twice to stop ends at once while one hangs`, async () => {
    const [, sick] = volumes;
    await gateway.stop();
    client.destroy();
    await begin(processes);
    sick.hang();
    const asked = requests('ill', 50).map((ask) => ask().catch(() => 'refused'));
    await sleep(500);
    process.kill(gateway.pid, 'SIGTERM');
    await sleep(700);
    const stopped = gateway.stop();
    await until('the end of the process', 5_000, () => isDead() || undefined);
    sick.goOn();
    await withTimeout('the exit code', 20_000, stopped);
    await Promise.all(asked);
    client.destroy();
    await begin();
  });
}

test('that of the root hangs: the process lives, refuses in time, and all comes back', async () => {
  const [well] = volumes;
  const live = async () => (await withTimeout('an answer', 2_000, fetch(`${gateway.endpoint}/.tidegate/live`))).status;
  await read('well', 'small');
  for (let round = 0; round < 3; round++) {
    well.hang();
    const asked = requests('well', 60 + round).map((ask, n) => refused(ask(), `round ${round}, request ${n}`));
    for (let i = 0; i < 10; i++) {
      await sleep(100);
      assert.is(await live(), 200);
    }
    await Promise.all(asked);
    well.goOn();
    await until('the return', 10_000, () => read('well', 'small').catch(() => undefined));
  }
});

gluster.run();
