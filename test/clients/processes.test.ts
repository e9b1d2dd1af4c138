// timeout: 240
/** `serve --processes`: several processes are one gateway, which does not end with one of them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Agent, get, request } from 'node:http';
import { availableParallelism, getPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { command, createKey, type Gateway, startGateway } from '../support/gateway.js';
import { fails, sdk } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';
import { until, withTimeout } from '../support/time.js';

const test = suite('several processes');

const children = ({ pid }: { pid: number }): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
const isAlive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
const sockets = (pid: number): number =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // closed meanwhile
    }
  }).length;
/** Whoever serves the new connection: the id of a host is made by each process for itself. */
const hostOf = ({ endpoint }: Gateway): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = get(endpoint, { agent: new Agent() }, (reply) => {
      reply.resume();
      resolve(`${reply.headers['x-amz-id-2']}`);
    });
    request.on('error', reject);
  });
const hosts = (gateway: Gateway, count: number): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, () => hostOf(gateway)));
/** Half of an object: `finish` sends the rest, and answers the status. */
async function halfUpload(s3: S3Client): Promise<() => Promise<number>> {
  // By itself the SDK would sign the checksum of no body.
  const url = await getSignedUrl(s3, new PutObjectCommand({ Bucket: 'bucket', Key: 'key' }));
  const upload = request(url, { method: 'PUT', headers: { 'content-length': 200_000 } });
  const answered = once(upload, 'response');
  answered.catch(() => {});
  upload.write(Buffer.alloc(100_000, 1));
  await sleep(300);
  return async () => {
    upload.end(Buffer.alloc(100_000, 2));
    const [{ statusCode }] = await withTimeout('the answer', 20_000, answered);
    return statusCode;
  };
}
const bothServe = (gateway: Gateway) =>
  until('both processes', 60_000, async () => {
    // One that has just died breaks off what has connected to it.
    const all = await hosts(gateway, 8).catch(() => []);
    return new Set(all).size === 2 || undefined;
  });

test("the sync engine's process stands behind the one that serves", async () => {
  const gateway = await startGateway();
  try {
    const [engine] = await until('the engine', 20_000, () => {
      const found = children(gateway);
      return found.length > 0 ? found : undefined;
    });
    const behind = Math.min(19, getPriority() + 10);
    await until('that it stands there', 20_000, () => getPriority(engine) === behind || undefined);
    // Those that compute digests stand further back.
    const niceOf = (thread: string): number => {
      try {
        return getPriority(Number(thread));
      } catch {
        return behind; // it has ended
      }
    };
    assert.ok(readdirSync(`/proc/${engine}/task`).every((thread) => niceOf(thread) >= behind));
    assert.is(getPriority(gateway.pid), getPriority());
  } finally {
    await gateway.stop();
  }
});

test('both serve, agree, tell each change once, and are started again when they die', async () => {
  const gateway = await startGateway({ flags: ['--processes', '2', '--sync-quiet', '1s'] });
  // A connection for each request: they go round.
  const requestHandler = { httpAgent: new Agent({ keepAlive: false }) };
  const s3 = sdk(gateway, { requestHandler });
  try {
    await bothServe(gateway);
    assert.is(children(gateway).length, 2);
    await s3.send(new CreateBucketCommand({ Bucket: 'bucket' }));
    const keys = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(2, '0')}`);
    await Promise.all(keys.map((Key) => s3.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body: Key }))));
    const listed = await s3.send(new ListObjectsV2Command({ Bucket: 'bucket' }));
    assert.equal(
      listed.Contents?.map(({ Key }) => Key),
      keys,
    );
    for (const Key of keys) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: 'bucket', Key }));
      assert.is(await Body!.transformToString(), Key);
    }
    // One writer at a time wins, whichever process has it.
    const race = (n: number) =>
      s3.send(new PutObjectCommand({ Bucket: 'bucket', Key: 'once', Body: `${n}`, IfNoneMatch: '*' }));
    const won = await Promise.allSettled(Array.from({ length: 12 }, (_, n) => race(n)));
    assert.is(won.filter(({ status }) => status === 'fulfilled').length, 1);

    // A key that is disabled is so at once, in both.
    const key = await createKey(gateway.root);
    const other = sdk(gateway, { key, requestHandler });
    for (let i = 0; i < 4; i++) await fails(other.send(new ListObjectsV2Command({ Bucket: 'bucket' })), 'AccessDenied');
    await command('tidegate', ['key', 'disable', key.accessKey], gateway.root);
    for (let i = 0; i < 8; i++)
      await fails(other.send(new ListObjectsV2Command({ Bucket: 'bucket' })), 'InvalidAccessKeyId');

    /** The keys of the first events, when there are so many. */
    const told = async (limit: number) => {
      const args = ['events', 'follow', '-b', 'bucket', '--from', 'oldest', '--limit', `${limit}`, '--json'];
      const lines = (await command('tidegate', args, gateway.root)).trim().split('\n');
      return lines.map((line) => JSON.parse(line).s3.object.key as string).sort();
    };
    const expected = [...keys, 'once'];
    assert.equal(await told(expected.length), expected);

    const victims = children(gateway);
    for (const victim of victims) {
      process.kill(victim, 'SIGKILL');
      await until('its end', 10_000, () => !isAlive(victim) || undefined);
      // The other one goes on meanwhile. A connection may be handed to one that dies: clients try again.
      await until('an answer', 10_000, () =>
        hostOf(gateway).then(
          () => true,
          () => undefined,
        ),
      );
      await bothServe(gateway);
      assert.is(children(gateway).length, 2);
      await s3.send(new PutObjectCommand({ Bucket: 'bucket', Key: `after-${victim}`, Body: 'x' }));
    }
    // Whoever keeps the root now: what requests record is told.
    const later = victims.map((victim) => `after-${victim}`);
    assert.equal(await told(expected.length + 2), [...later, ...expected].sort());
  } finally {
    const all = children(gateway);
    assert.is(await gateway.stop(), 0);
    for (const pid of all) assert.not.ok(isAlive(pid), `${pid} is left`);
  }
});

test('what connects at once is shared out among them', async () => {
  const gateway = await startGateway({ flags: ['--processes', '2'] });
  try {
    await bothServe(gateway);
    for (let round = 0; round < 5; round++) {
      const all = await hosts(gateway, 64);
      const first = all.filter((host) => host === all[0]).length;
      // Each falls on one or the other by chance: fewer than 10 are one in some hundred millions.
      assert.ok(first >= 10 && first <= 54, `${first} of 64 are served by one process`);
    }
  } finally {
    await gateway.stop();
  }
});

test('an upload that has begun is finished without the process that looks after the others', async () => {
  const gateway = await startGateway({ flags: ['--processes', '2'] });
  const s3 = sdk(gateway, { requestChecksumCalculation: 'WHEN_REQUIRED' });
  await s3.send(new CreateBucketCommand({ Bucket: 'bucket' }));
  const all = children(gateway);
  const finish = await halfUpload(s3);
  await gateway.kill9();
  await until('the end of what listens', 10_000, () =>
    hostOf(gateway).then(
      () => undefined,
      () => true,
    ),
  );
  assert.is(await finish(), 200);
  const [one, two] = [Buffer.alloc(100_000, 1), Buffer.alloc(100_000, 2)];
  assert.ok(readFileSync(join(gateway.bucketPath('bucket'), 'key')).equals(Buffer.concat([one, two])));
  for (const pid of all) await until(`the end of ${pid}`, 10_000, () => !isAlive(pid) || undefined);
});

test('what connects goes to those that take it: not to one that finishes, nor to one that is not there for a while', async () => {
  const gateway = await startGateway({ flags: ['--processes', '2'] });
  const s3 = sdk(gateway, { requestChecksumCalculation: 'WHEN_REQUIRED' });
  /** Who answers. What has connected to one, and was not accepted yet when it stopped to listen, is broken off. */
  const answers = async (what: string): Promise<number | undefined> => {
    const all = await withTimeout(what, 10_000, Promise.allSettled(Array.from({ length: 16 }, () => hostOf(gateway))));
    const told = all.map((one) => (one.status === 'fulfilled' ? one.value : undefined));
    return told.includes(undefined) ? undefined : new Set(told).size;
  };
  try {
    await bothServe(gateway);
    await s3.send(new CreateBucketCommand({ Bucket: 'bucket' }));
    await sleep(200); // the connections before are gone
    const before = new Map(children(gateway).map((pid) => [pid, sockets(pid)]));
    const finish = await halfUpload(s3);
    const [busy] = [...before].find(([pid, count]) => sockets(pid) > count)!;
    process.kill(busy, 'SIGTERM');
    const otherOnly = async () => ((await answers('beside one that finishes')) === 1 ? true : undefined);
    await until('that it takes no more', 10_000, otherOnly);
    assert.ok(isAlive(busy));
    assert.is(await finish(), 200);
    await bothServe(gateway);

    // What dies again and again is waited for, the third time five seconds.
    let [victim, other] = children(gateway);
    for (let death = 0; death < 3; death++) {
      const dead = victim!;
      process.kill(dead, 'SIGKILL');
      await until('its end', 10_000, () => !existsSync(`/proc/${dead}`) || undefined);
      if (death === 2) break;
      victim = await until('another', 10_000, () => children(gateway).find((pid) => pid !== other && pid !== dead));
    }
    const otherAtOnce = until('answers', 4_000, () => answers('beside one that is not there'));
    assert.is(await withTimeout('that the other answers', 4_000, otherAtOnce), 1);
    await bothServe(gateway);
  } finally {
    await gateway.stop();
  }
});

test('they share what threads the cores have work for, and end with the one that looks after them', async () => {
  const gateway = await startGateway({ flags: ['--processes', '2'] });
  let all: number[] = [];
  try {
    await bothServe(gateway);
    all = children(gateway);
    assert.is(all.length, 2);
    const threads = (pid: number) => readdirSync(`/proc/${pid}/task`).length;
    const working = () => all.map((pid) => threads(pid) - threads(gateway.pid));
    const share = Math.max(2, availableParallelism());
    await until('their threads', 20_000, () => working().every((count) => count >= share) || undefined);
    await sleep(500);
    // The one that looks after the root may have needed more.
    assert.is(Math.min(...working()), share);
  } finally {
    await gateway.kill9();
  }
  for (const pid of all) await until(`the end of ${pid}`, 10_000, () => !isAlive(pid) || undefined);
});

test('what cannot start says so once, and ends', async () => {
  const flags = ['--processes', '2'];
  const gateway = await startGateway({ flags });
  try {
    const second = startGateway({ root: gateway.root, key: gateway, port: gateway.port, flags });
    const error = await second.then(
      () => undefined,
      (reason: Error) => reason,
    );
    assert.match(error?.message ?? '', /ended at once/);
    assert.is(error?.message.match(/cannot listen on .*EADDRINUSE|cannot listen on/g)?.length, 1, error?.message);
  } finally {
    await gateway.stop();
  }
});

test('of two that are started at the same time, one has the port', async () => {
  const { port, root, stop } = await startGateway();
  await stop();
  const cli = join(import.meta.dirname, '../../gateway/cli/tidegate.js');
  const start = async (home: string) => {
    const args = [cli, 'serve', '--port', `${port}`, '--processes', '2', '--root', home, '--log-level', 'error'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const listens = once(child.stdout, 'data').then(() => 'listens');
    const ended = once(child, 'exit').then(([code]) => code as number);
    return { child, ended, first: await Promise.race([listens, ended]) };
  };
  const both = await Promise.all([start(root), sleep(300).then(() => start(tempDir()))]);
  for (const { child } of both) child.kill('SIGTERM');
  assert.equal(both.map(({ first }) => first).sort(), [1, 'listens']);
  await Promise.all(both.map(({ ended }) => withTimeout('its end', 20_000, ended)));
});

test('SIGTERM while the first process starts is no failure', async () => {
  const cli = join(import.meta.dirname, '../../gateway/cli/tidegate.js');
  const args = [cli, 'serve', '--port', '0', '--processes', '2', '--root', tempDir(), '--log-level', 'error'];
  // Early, and when it is about to listen or does so just now.
  for (const ms of [0, 200, 300, 400, 500]) {
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    const begun = () => children({ pid: child.pid! }).length > 0 || undefined;
    await until('its first process', 20_000, begun);
    await sleep(ms);
    child.kill('SIGTERM');
    try {
      assert.equal(await withTimeout(`its end after ${ms} ms`, 10_000, ended), [0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  }
});

test.run();
