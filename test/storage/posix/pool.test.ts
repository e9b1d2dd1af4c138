import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../../gateway/errors.js';
import { canSwitch } from '../../../gateway/storage/posix/identity.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import type { Pool, PoolOptions } from '../../../gateway/storage/posix/pool-types.js';
import { AT_FDCWD, close, O_RDWR, openat2, tryFlock } from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';
import { until, withTimeout } from '../../support/time.js';
import type { TestOps } from './pool-worker.js';

const worker = new URL('./pool-worker.js', import.meta.url);

/** Its first threads are all up. */
const whole = (pool: Pool<TestOps>, count: number) =>
  until('all threads', 10_000, async () => ((await pool.everywhere('thread', [])).length === count ? true : undefined));

const withPool = async (options: Partial<PoolOptions>, use: (pool: Pool<TestOps>) => Promise<void>): Promise<void> => {
  const pool = createPool<TestOps>({ workers: 2, worker, ...options });
  try {
    await withTimeout(
      'pool test',
      20_000,
      pool
        .ready()
        .then(() => whole(pool, options.first ?? options.workers ?? 2))
        .then(() => use(pool)),
    );
  } finally {
    await pool.close();
  }
};

const failure = async (work: Promise<unknown>): Promise<S3Error> => {
  try {
    await work;
  } catch (error) {
    return error as S3Error;
  }
  throw new Error('did not fail');
};

test('results come to their callers, by thousands, from all workers', () =>
  withPool({ workers: 3 }, async (pool) => {
    const results = await Promise.all(Array.from({ length: 5_000 }, (_, i) => pool.run('echo', [{ i }])));
    for (const [i, result] of results.entries()) assert.equal(result, { i });
    const threads = await Promise.all(Array.from({ length: 3 }, () => pool.run('sleep', [50])));
    assert.is(new Set(threads).size, 3);
  }));

test('the threads stand behind the one that answers everybody, which stays where it was', () => {
  const before = getPriority();
  return withPool({ workers: 2 }, async (pool) => {
    const behind = Math.min(19, before + 10);
    assert.equal(await pool.everywhere('priority', []), [behind, behind]);
    assert.is(getPriority(), before);
    // Beside it for a call that asks for that, where that is allowed.
    const two = [pool.run('sleep', [50]), pool.run('priority', [], { beside: true })];
    assert.is((await Promise.all(two))[1], canSwitch ? before : behind);
    assert.equal(await pool.everywhere('priority', []), [behind, behind]);
  });
});

test('a lane is one worker, in the order of the calls; lanes are spread', () =>
  withPool({ workers: 2 }, async (pool) => {
    const lanes = [pool.lane(), pool.lane()];
    assert.is(new Set(lanes).size, 2);
    for (const lane of lanes) {
      await pool.run('keep', ['here'], { lane });
      assert.is(await pool.run('kept', ['here'], { lane }), await pool.run('thread', [], { lane }));
    }
    const lane = lanes[0]!;
    await Promise.all(Array.from({ length: 500 }, (_, i) => pool.run('push', [i], { lane })));
    assert.equal(
      await pool.run('order', [], { lane }),
      Array.from({ length: 500 }, (_, i) => i),
    );
    const busy = pool.run('sleep', [100], { lane });
    assert.is(pool.lane(), lanes[1]);
    await busy;
  }));

test('errors arrive whole: S3Error with its fields, errno by context, bugs as InternalError with the stack', () =>
  withPool({}, async (pool) => {
    const own = await failure(pool.run('s3error', []));
    assert.is(own.code, 'InvalidPart');
    assert.is(own.message, 'part 3');
    assert.equal([own.fields, own.headers], [{ Part: '3' }, { 'x-a': 'b' }]);
    assert.is((await failure(pool.run('errno', [], { context: 'read' }))).code, 'NoSuchKey');
    assert.is((await failure(pool.run('nodeErrno', [], { context: 'read' }))).code, 'NoSuchKey');
    const service = await failure(pool.run('errno', []));
    assert.is(service.code, 'InternalError');
    assert.is((service.cause as { code: string }).code, 'ENOENT');
    const bug = await failure(pool.run('bug', []));
    assert.is(bug.code, 'InternalError');
    assert.match((bug.cause as Error).stack!, /pool-worker/);
    for (const op of ['promise', 'uncloneable'] as const) {
      const others = pool.run('echo', ['unharmed']);
      assert.is((await failure(pool.run(op, []))).code, 'InternalError');
      assert.is(await others, 'unharmed');
    }
    const good = pool.run('echo', ['unharmed']);
    assert.is((await failure(pool.run('echo', [() => {}]))).code, 'InternalError');
    assert.is(await good, 'unharmed');
  }));

test('buffers move instead of being copied, both ways', () =>
  withPool({}, async (pool) => {
    const buffer = new ArrayBuffer(1_000_000);
    assert.is(await pool.run('length', [buffer], { transfer: [buffer] }), 1_000_000);
    assert.is(buffer.byteLength, 0);
    const got = await pool.run('bytes', [100_000]);
    assert.is(got.byteLength, 100_000);
    assert.is(new Uint8Array(got)[99_999], 7);
  }));

test('what is slow on one worker does not hold up the others', () =>
  withPool({ workers: 2 }, async (pool) => {
    const slow = pool.run('sleep', [2_000]);
    await sleep(20);
    const others = Promise.all(Array.from({ length: 200 }, () => pool.run('echo', [1]))).then(() => 'others');
    assert.is(await Promise.race([slow, others]), 'others');
    await slow;
  }));

test('a full queue and a long wait are SlowDown; what was refused is not begun later', () =>
  withPool({ workers: 1, queueLimit: 3, waitMs: 500, stillMs: 60_000 }, async (pool) => {
    const mark = join(tempDir(), 'mark');
    const first = pool.run('sleep', [2_000]);
    await sleep(20);
    const waiting = [1, 2, 3].map(() => pool.run('sleep', [0, mark]));
    const order: string[] = [];
    const said = async <T>(name: string, work: Promise<T>): Promise<T> => work.finally(() => order.push(name));
    const ran = said('the first', first);
    const errors = said('those that waited', Promise.all(waiting.map(failure)));
    assert.is((await said('the one too many', failure(pool.run('echo', [1])))).code, 'SlowDown');
    for (const error of await errors) assert.is(error.code, 'SlowDown');
    assert.equal(order, ['the one too many', 'those that waited']);
    assert.type(await ran, 'number'); // it ran, so it was not refused
    assert.is(await pool.run('echo', ['again']), 'again');
    assert.not(existsSync(mark));
  }));

test('what a hanging call has in its hands is free when it has really ended, once', () =>
  withPool({ workers: 1, queueLimit: 1, waitMs: 100, stillMs: 200 }, async (pool) => {
    const ended: string[] = [];
    const options = (name: string) => ({ ended: () => void ended.push(name) });
    const hanging = failure(pool.run('sleep', [800], options('hanging')));
    await sleep(20);
    const waiting = failure(pool.run('sleep', [0], options('waiting')));
    const surplus = failure(pool.run('sleep', [0], options('surplus')));
    for (const each of await Promise.all([hanging, waiting, surplus])) assert.is(each.code, 'SlowDown');
    assert.equal(ended, ['surplus', 'waiting'], 'a worker is still at it');
    await until('the end', 5_000, () => (ended.length === 3 ? true : undefined));
    assert.is(await pool.run('echo', [1], options('good')), 1);
    await failure(pool.run('bug', [], options('bad')));
    assert.equal(ended.slice(3), ['good', 'bad']);
  }));

test('a preferred worker is taken unless it is at something long', () =>
  withPool({ workers: 3 }, async (pool) => {
    const ids = new Set<unknown>();
    for (let i = 0; i < 20; i++) ids.add(await pool.run('sleep', [0], { prefer: 7 }));
    assert.is(ids.size, 1);
    const slow = pool.run('sleep', [2_000], { prefer: 7 }).then(() => 'slow');
    await sleep(100);
    const other = await Promise.race([pool.run('sleep', [0], { prefer: 7 }), slow]);
    assert.not.ok(ids.has(other), 'on another worker');
    assert.is.not(other, 'slow', 'and before the first is done');
    await slow;
  }));

test('a call that hangs is answered SlowDown, and its late result goes to the one who closes what it holds', () =>
  withPool({ workers: 2, waitMs: 100, stillMs: 200 }, async (pool) => {
    let orphan: unknown;
    const hanging = pool.run('sleep', [2_000], { orphan: (value) => (orphan = value) });
    assert.is((await failure(hanging)).code, 'SlowDown');
    assert.is(orphan, undefined, 'answered before it ends');
    assert.is(await pool.run('echo', [1]), 1);
    assert.type(await until('the late result', 10_000, () => orphan), 'number');
  }));

test('what goes on is not what stands still, however long it takes', () =>
  withPool({ workers: 1, waitMs: 400 }, async (pool) => {
    const ends: string[] = [];
    const going = pool.run('churn', [2_500]).finally(() => ends.push('going'));
    await going;
    const still = await failure(pool.run('sleep', [2_500]));
    assert.is(still.code, 'SlowDown');
    const forLong = await failure(pool.run('sleep', [0]));
    assert.is(forLong.code, 'SlowDown', 'nothing can be run meanwhile');
    assert.is(await until('the worker', 10_000, () => pool.run('echo', [1]).catch(() => undefined)), 1);
    // 8 MiB are half a second more.
    assert.type(await pool.run('sleep', [700], { bytes: 8 << 20 }), 'number');
  }));

test('when no worker moves only a few more may wait; what releases something is run in the end', () =>
  withPool({ workers: 2, waitMs: 4_000, stillMs: 3_000 }, async (pool) => {
    const mark = join(tempDir(), 'mark');
    const hanging = [0, 1].map(() => failure(pool.run('sleep', [6_000])));
    await sleep(50);
    const early = Array.from({ length: 100 }, () => failure(pool.run('echo', [1])));
    const since = performance.now();
    let refused = 0;
    for (const each of early) void each.then(() => refused++);
    await until('the surplus to be refused', 3_000, () => (refused > 0 ? true : undefined));
    assert.ok(performance.now() - since < 3_000, 'before its time');
    assert.is(refused, 100 - 64);
    const late = performance.now();
    assert.is((await failure(pool.run('echo', [1]))).message, 'The filesystem does not answer. Please try again.');
    assert.throws(() => pool.lane(), /does not answer/);
    assert.ok(performance.now() - late < 100, 'at once');
    const released = pool.run('sleep', [0, mark], { surely: true }).catch(() => {});
    for (const each of hanging) assert.is((await each).code, 'SlowDown');
    await Promise.all(early);
    await until('the release', 10_000, () => (existsSync(mark) ? true : undefined));
    await released;
    assert.is(await pool.run('echo', ['again']), 'again');
    assert.type(pool.lane(), 'number');
  }));

test('more workers are started when calls have to wait, up to the limit', () =>
  withPool({ workers: 4, first: 1 }, async (pool) => {
    const threads = new Set<unknown>();
    for (let i = 0; i < 5; i++) threads.add(await pool.run('sleep', [20]));
    assert.is(threads.size, 1, 'one is enough for one after the other');
    assert.is(pool.lane(), 0);
    const many = await Promise.all(Array.from({ length: 40 }, () => pool.run('sleep', [100])));
    assert.is(new Set(many).size, 4);
    assert.ok(pool.idle);
  }));

test('a pool is ready with its first thread; the others follow by themselves', async () => {
  const pool = createPool<TestOps>({ workers: 3, worker });
  try {
    await pool.ready();
    assert.is((await pool.everywhere('thread', [])).length, 1);
    assert.is(await pool.run('echo', ['at once']), 'at once');
    await whole(pool, 3);
    assert.is(pool.free, 3);
    const busy = [pool.run('sleep', [100]), pool.run('sleep', [100])];
    assert.is(pool.free, 1);
    await Promise.all(busy);
    assert.is(pool.free, 3);
    const still = pool.run('sleep', [1_500]);
    assert.is(pool.free, 2);
    await sleep(1_200);
    assert.is(pool.free, 0, 'one stands still');
    await still;
    assert.is(pool.free, 3);
  } finally {
    await pool.close();
  }
});

test('a lane takes calls before its thread has started, whichever it is', async () => {
  const pool = createPool<TestOps>({ workers: 3, worker });
  try {
    const lanes = [pool.lane(), 0, 1, 2];
    const threads = await Promise.all(lanes.map((lane) => pool.run('thread', [], { lane })));
    assert.is(threads[0], threads[lanes[0]! + 1]);
    assert.is(new Set(threads).size, 3);
  } finally {
    await pool.close();
  }
});

test('a pool ends although a call hangs', async () => {
  const pool = createPool<TestOps>({ workers: 1, worker, waitMs: 200 });
  await pool.ready();
  const hanging = failure(pool.run('sleep', [6_000]));
  await sleep(50);
  const since = performance.now();
  await pool.close();
  assert.is((await hanging).code, 'SlowDown');
  assert.ok(performance.now() - since < 5_000, `after ${performance.now() - since} ms`);
});

test('a process ends with its own code although a call of it hangs', async () => {
  const script = `
    const { createPool } = await import(${JSON.stringify(new URL('../../../gateway/storage/posix/pool.js', import.meta.url).href)});
    const pool = createPool({ workers: 1, worker: new URL(${JSON.stringify(worker.href)}), waitMs: 200 });
    await pool.ready();
    const hanging = pool.run('openFifo', [process.argv[2]]).catch((error) => console.log(error.code));
    process.exitCode = 3;
    await hanging;
    if (process.argv[3] === 'closed') await pool.close();
    else process.exit(4);
  `;
  const dir = tempDir();
  const fifo = join(dir, 'fifo');
  writeFileSync(join(dir, 'script.mjs'), script);
  execFileSync('mkfifo', [fifo]);
  for (const [how, status] of [
    ['closed', 3],
    ['at once', 4],
  ] as const) {
    const ran = spawnSync(process.execPath, [join(dir, 'script.mjs'), fifo, how], { timeout: 15_000 });
    assert.equal([`${ran.stdout}`, ran.status], ['SlowDown\n', status], `${how}: ${ran.stderr}`);
  }
});

test('a worker that dies fails its calls with InternalError and is replaced', () =>
  withPool({ workers: 2 }, async (pool) => {
    for (const op of ['exit', 'crash'] as const) {
      const lane = pool.lane();
      const calls = [pool.run('sleep', [50], { lane }), pool.run(op, [], { lane }), pool.run('sleep', [50], { lane })];
      const results = await Promise.allSettled(calls);
      const failed = results.filter((result) => result.status === 'rejected');
      // `crash` throws after its answer, between the batches: calls may have been answered before.
      if (op === 'exit') assert.ok(failed.length > 0);
      await sleep(50);
      for (const { reason } of failed) assert.is(reason.code, 'InternalError');
      // On a busy machine the crash itself may come later than that.
      const threads = await until('both workers', 10_000, () =>
        Promise.all([0, 1].map((each) => pool.run('thread', [], { lane: each }))).catch(() => undefined),
      );
      assert.is(new Set(threads).size, 2);
    }
  }));

test('a worker that cannot start is told by ready(), not tried in a loop', async () => {
  const pool = createPool({ workers: 1, worker: new URL('./no-such-worker.js', import.meta.url) });
  const error = await failure(withTimeout('ready', 10_000, pool.ready()));
  assert.match(String(error), /no-such-worker/);
  await pool.close();
});

test('busyNow: called again until it can, SlowDown after a while', () =>
  withPool({ busyMs: 1_000 }, async (pool) => {
    const path = join(tempDir(), 'lock');
    writeFileSync(path, '');
    const fd = openat2(AT_FDCWD, path, O_RDWR);
    assert.ok(tryFlock(fd));
    setTimeout(() => close(fd), 100);
    assert.is(await pool.run('lockOrBusy', [path]), 'locked');
    const other = openat2(AT_FDCWD, path, O_RDWR);
    assert.ok(tryFlock(other));
    assert.is((await failure(pool.run('lockOrBusy', [path]))).code, 'SlowDown');
    close(other);
  }));

test('close finishes what was accepted, then refuses', async () => {
  const pool = createPool<TestOps>({ workers: 2, worker });
  const results = Promise.all(Array.from({ length: 50 }, (_, i) => pool.run('sleep', [5, undefined]).then(() => i)));
  const closed = pool.close();
  assert.is((await failure(pool.run('echo', [1]))).code, 'ServiceUnavailable');
  assert.is((await results).length, 50);
  await closed;
});

test('descriptors that are not opened by Node leave no trace in its bookkeeping', () =>
  withPool({ workers: 1 }, async (pool) => {
    const warnings: Error[] = [];
    const heard = (warning: Error): void => void warnings.push(warning);
    process.on('warning', heard);
    await pool.run('openMany', ['/', 5_000]);
    await sleep(20);
    process.off('warning', heard);
    assert.equal(warnings, []);
  }));

test('each call runs as its actor: files, groups and permissions; the gateway and libuv stay who they are', () =>
  withPool({ workers: 2 }, async (pool) => {
    const dir = tempDir();
    chmodSync(dir, 0o755);
    const own = { fsuid: process.geteuid!(), fsgid: process.getegid!() };
    // The kernel looks for the fsgid as well.
    const ownGroups = process.getgroups!().filter((group) => group !== own.fsgid);
    const actors = [1234, 1235].map((uid) => ({ uid, gid: uid + 1000, groups: [uid + 2000, uid + 3000] }));
    if (!canSwitch) {
      const { fsuid, fsgid } = await pool.run('whoami', [], { actor: actors[0] });
      assert.equal({ fsuid, fsgid }, own);
      return;
    }
    for (const { uid } of actors) {
      mkdirSync(join(dir, `${uid}`), { mode: 0o700 });
      chownSync(join(dir, `${uid}`), uid, uid);
    }
    const shared = join(dir, 'group-readable');
    writeFileSync(shared, 'for the group', { mode: 0o040 });
    chownSync(shared, 0, 1234 + 2000);
    await Promise.all(
      Array.from({ length: 400 }, async (_, i) => {
        const actor = actors[i % 3]; // undefined every third time: the gateway itself
        const lane = i % 2;
        const who = await pool.run('whoami', [], { actor, lane });
        assert.is(who.fsuid, actor?.uid ?? own.fsuid);
        assert.is(who.fsgid, actor?.gid ?? own.fsgid);
        if (actor) assert.equal(who.groups, actor.groups);
        else assert.equal(who.groups, ownGroups);
        if (!actor) return;
        const made = await pool.run('touch', [join(dir, `${actor.uid}`, `${i}`)], { actor, lane, context: 'write' });
        assert.equal(made, { uid: actor.uid, gid: actor.gid });
        const foreign = join(dir, `${actors[(i + 1) % 3]?.uid ?? actors[i % 3 === 0 ? 1 : 0]!.uid}`, `x${i}`);
        const denied = await failure(pool.run('touch', [foreign], { actor, lane, context: 'write' }));
        assert.is(denied.code, 'AccessDenied');
        if (actor.uid === 1234) assert.is(await pool.run('read', [shared], { actor, lane }), 'for the group');
        else
          assert.is((await failure(pool.run('read', [shared], { actor, lane, context: 'read' }))).code, 'AccessDenied');
      }),
    );
    assert.is(statSync(join(dir, '1234', '0')).uid, 1234);
    // Asynchronous calls of the main thread run on libuv's threads: they must not have caught an actor's identity.
    mkdirSync(join(dir, 'private'), { mode: 0o700 });
    writeFileSync(join(dir, 'private', 'f'), '');
    await Promise.all(Array.from({ length: 32 }, () => stat(join(dir, 'private', 'f'))));
    const capabilities = BigInt(`0x${await pool.run('capabilities', [])}`);
    assert.is(capabilities & ~0b100_1100_1011n, 0n, 'no more than is needed: CAP_SYS_RESOURCE would pass the quota');
    assert.is((capabilities >> 1n) & 1n, 1n, 'the file capabilities are back once the gateway is itself again');
  }));

test.run();
