// timeout: 300
/**
 * What a request costs the kernel, counted and not timed: the same on a busy machine. A budget that is broken by a new
 * feature is raised here on purpose, and one that is kept easily is lowered.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SETTLED_MS } from '../../gateway/storage/posix/clock.js';
import { ask } from '../bench/gateway.js';
import { type Asked, signedCall, type Target } from '../bench/signed.js';
import { drive } from '../bench/wire.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { countCalls, untraceable } from '../support/strace.js';
import { withTimeout } from '../support/time.js';

const reason = await untraceable();
const counting = suite(`system calls of a request${reason === undefined ? '' : ` (not counted: ${reason})`}`);
const test = reason === undefined ? counting : counting.skip;

/** What makes work for the filesystem. The rest is memory, threads, sockets: it depends on who runs when. */
const ofFiles = new Set(
  `openat openat2 close statx newfstatat fgetxattr lgetxattr fsetxattr fremovexattr pread64 preadv2 pwrite64 pwritev getdents64
  renameat2 linkat unlinkat mkdirat flock fsync fdatasync fchdir faccessat2 fchmod fchown fallocate lseek copy_file_range`.split(
    /\s+/,
  ),
);

const perRequest = {
  GET: 6,
  HEAD: 5,
  PUT: 23,
  'PUT, durable': 28,
  'LIST of 1,000': 1012,
  'LIST of 1,000 of jobs': 1012,
  'a part of 5 MiB, durable': 60,
  'ListParts of 40': 180,
};
const headroom = 1.1;
/** Messages between threads: one is a write and a read of an eventfd at most. With the socket's own. */
const mostMessages = 20;

const bucket = '/budget';
let gateway: Gateway | undefined;
let target: Target;

async function start(durability: string): Promise<void> {
  // The sync engine works when it likes; what it does is not a request's.
  gateway = await startGateway({ flags: ['--durability', durability, '--sync', 'off', '--log-level', 'warn'] });
  const { port, accessKey, secretKey } = gateway;
  target = { host: '127.0.0.1', port, accessKey, secretKey };
  await ask(target, 'PUT', bucket);
  // Documents younger than `RACY_NS` (storage/posix/documents-ops.ts) are read anew by every request.
  await sleep(3500);
}

// A budget that is broken must not leave a gateway behind.
counting.after.each(async () => {
  assert.is(await gateway?.stop(), 0);
});

interface Requests {
  count: number;
  /** The request with this number. */
  asked(number: number): Asked;
  body?: Buffer;
}

/** Calls of one request, by name: those of many in turn on one connection, without those of the time that it took. */
async function callsOf({ count, asked, body }: Requests): Promise<Map<string, number>> {
  let number = 0;
  const send = async (times: number) => {
    const calls = Array.from({ length: times }, () => signedCall(target, asked(number++), body));
    await drive(target, calls, { connections: 1 });
  };
  await send(Math.max(5, count >> 2));
  const counted = await countCalls(gateway!.pid, () => send(count));
  const idle = await countCalls(gateway!.pid, () => new Promise((resolve) => setTimeout(resolve, 1000)));
  const calls = [...counted.calls].map(([name, calls]): [string, number] => {
    const ofTime = ((idle.calls.get(name) ?? 0) * counted.seconds) / idle.seconds;
    return [name, Math.max(0, calls - ofTime) / count];
  });
  return new Map(calls);
}

/**
 * What `settle` in storage/posix/staged.ts does depends on the time: a look at the clock of the filesystem sets a time and reads
 * it, another stamp is stored and its time read.
 */
function withoutClock(calls: Map<string, number>): Map<string, number> {
  const of = (name: string) => calls.get(name) ?? 0;
  const again = Math.max(0, of('fsetxattr') - 1);
  const looks = Math.max(0, of('statx') - of('utimensat') - again);
  return new Map(calls).set('statx', looks).set('fsetxattr', of('fsetxattr') - again);
}

function check(what: keyof typeof perRequest, calls: Map<string, number>, most = mostMessages): void {
  const files = [...withoutClock(calls)].filter(([name]) => ofFiles.has(name));
  const sum = files.reduce((sum, [, count]) => sum + count, 0);
  const list = files
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count.toFixed(1)}`)
    .join(', ');
  const budget = perRequest[what] * headroom;
  assert.ok(sum <= budget, `${what}: ${sum.toFixed(1)} calls, the budget is ${budget.toFixed(1)}: ${list}`);
  // Nothing counted would keep every budget.
  assert.ok(sum > perRequest[what] / 4, `${what}: only ${sum.toFixed(1)} calls were seen: ${list}`);
  for (const name of ['read', 'write']) {
    const messages = calls.get(name) ?? 0;
    assert.ok(messages <= most, `${what}: ${messages.toFixed(1)} calls of ${name} between the threads`);
  }
}

const close = (calls: Map<string, number>, name: string, expected: number) =>
  assert.ok(Math.abs((calls.get(name) ?? 0) - expected) < 0.1, `${name}: ${calls.get(name) ?? 0}, not ${expected}`);

const put = {
  count: 40,
  asked: (i: number) => ({ method: 'PUT', path: `${bucket}/p${i % 4}/k${i}` }),
  body: Buffer.alloc(1024),
};

test('GET, HEAD, PUT without durability, a page of 1,000', () => withTimeout('counting', 250_000, count()));

const MiB = 1 << 20;
const large = {
  count: 4,
  asked: (i: number) => ({ method: 'PUT', path: `${bucket}/large${i}` }),
  body: Buffer.alloc(32 * MiB, 'large'),
};

/** What came past Node, written as it came; `begun`: how often the disk was told to begin with it. */
function checkLarge(calls: Map<string, number>, begun: number): void {
  const expected = large.body.length / MiB;
  for (const name of ['recvfrom', 'pwrite64']) {
    const times = calls.get(name) ?? 0;
    assert.ok(times > expected * 0.7 && times < expected * 4, `${name}: ${times} for ${expected} MiB`);
  }
  close(calls, 'sync_file_range', begun);
}

async function count(): Promise<void> {
  await start('none');
  const keys = Array.from({ length: 1000 }, (_, i) => `${bucket}/list/k${i}`);
  const calls = keys.map((path) => signedCall(target, { method: 'PUT', path }, Buffer.from('content')));
  await drive(target, calls, { connections: 16 });

  const path = `${bucket}/list/k500`;
  // What was found out of a file is remembered from then on.
  await sleep(SETTLED_MS + 100);
  check('GET', await callsOf({ count: 100, asked: () => ({ method: 'GET', path }) }));
  check('HEAD', await callsOf({ count: 100, asked: () => ({ method: 'HEAD', path }) }));
  const uploads = await callsOf(put);
  check('PUT', uploads);
  for (const name of ['fsync', 'fdatasync']) close(uploads, name, 0);
  checkLarge(await callsOf(large), 0);
  const query = `list-type=2&prefix=${encodeURIComponent('list/')}`;
  check('LIST of 1,000', await callsOf({ count: 10, asked: () => ({ method: 'GET', path: bucket, query }) }));
  // Once it is known that they have no record, nobody asks for one.
  const directory = join(gateway!.bucketPath(bucket.slice(1)), 'jobs');
  mkdirSync(directory);
  for (let i = 0; i < 1000; i++) writeFileSync(join(directory, `job-${i}`), '');
  await sleep(SETTLED_MS + 100);
  const ofJobs = `list-type=2&prefix=${encodeURIComponent('jobs/')}`;
  check(
    'LIST of 1,000 of jobs',
    await callsOf({ count: 10, asked: () => ({ method: 'GET', path: bucket, query: ofJobs }) }),
  );
}

test('PUT with durability full: the file before its name, file and directory after it', () =>
  withTimeout('counting', 120_000, countDurable()));

async function countDurable(): Promise<void> {
  await start('full');
  const uploads = await callsOf(put);
  check('PUT, durable', uploads);
  close(uploads, 'fdatasync', 1);
  close(uploads, 'fsync', 2);
  const ahead = large.body.length / (4 * MiB);
  checkLarge(await callsOf(large), ahead);
  await countParts();
}

/** Parts that are written to their places; a listing looks at each of them. */
async function countParts(): Promise<void> {
  const path = `${bucket}/in/parts`;
  const id = /<UploadId>(\w+)</.exec(await ask(target, 'POST', path, 'uploads='))?.[1];
  const uploaded = await callsOf({
    count: 32,
    asked: (i) => ({ method: 'PUT', path, query: `partNumber=${i + 1}&uploadId=${id}` }),
    body: Buffer.alloc(5 * MiB, 'part'),
  });
  // Its chunks go to a thread that makes their MD5, too.
  check('a part of 5 MiB, durable', uploaded, 2 * mostMessages);
  const query = `max-parts=40&uploadId=${id}`;
  check('ListParts of 40', await callsOf({ count: 20, asked: () => ({ method: 'GET', path, query }) }));
}

counting.run();
