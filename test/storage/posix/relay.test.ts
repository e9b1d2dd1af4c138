/** Two threads that send one file to one connection by turns. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Buffers, createBuffers } from '../../../gateway/storage/posix/buffers.js';
import { createBusy } from '../../../gateway/storage/posix/busy.js';
import type { StoreContext } from '../../../gateway/storage/posix/context.js';
import { deliver } from '../../../gateway/storage/posix/deliver.js';
import type { Sent } from '../../../gateway/storage/posix/objects.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import type { Pool } from '../../../gateway/storage/posix/pool-types.js';
import { awaitTurn, claim, createRelay, endRelay, passTurn, type Relay } from '../../../gateway/storage/posix/relay.js';
import { tempDir } from '../../support/temp.js';
import { until, withTimeout } from '../../support/time.js';
import { pair, sinkTo } from './pair.js';
import type { TestOps } from './pool-worker.js';

const test = suite('posix relay');
const directory = tempDir('tidegate-relay-');
const length = (48 << 20) + 77;
const content = Buffer.alloc(length);
for (let at = 0; at + 4 <= length; at += 4) content.writeUInt32LE(at, at);

const withPool = async (use: (pool: Pool<TestOps>) => Promise<void>): Promise<void> => {
  const pool = createPool<TestOps>({ workers: 3, worker: new URL('./pool-worker.js', import.meta.url) });
  try {
    await until('all threads', 10_000, async () =>
      (await pool.everywhere('thread', [])).length === 3 ? true : undefined,
    );
    await use(pool);
  } finally {
    await pool.close();
  }
};

const chunk = (bytes: number): Buffer => Buffer.from(new SharedArrayBuffer(bytes));
const descriptor = (socket: Socket): number => (socket as unknown as { _handle: { fd: number } })._handle.fd;
/** Delivers all of an open file through a pool. `calls` is what workers are still at. */
const delivery = (pool: object, buffers: Buffers, fd: number, socket: Socket) => {
  const calls = createBusy();
  const context = { poolOf: () => pool, buffers } as unknown as StoreContext;
  const file = { fd, seen: undefined, bucket: { path: directory }, busy: calls };
  const done = deliver(context, undefined as never, file as never, 0, length, sinkTo(socket).sink);
  return { calls, done: withTimeout('a delivery', 20_000, done) };
};
const settled = async (calls: Promise<Sent>[]) => {
  const all = await Promise.allSettled(calls);
  return all.map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as Error)));
};

test('a chunk has its turn when the one before it was sent, and none when it was not', () => {
  const relay = createRelay();
  assert.equal([claim(relay), claim(relay), claim(relay)], [0, 1, 2]);
  assert.ok(awaitTurn(relay, 0));
  passTurn(relay, 0, true);
  assert.ok(awaitTurn(relay, 1));
  passTurn(relay, 1, false);
  assert.not.ok(awaitTurn(relay, 2));
  // It may not bring back to life what has ended.
  passTurn(relay, 2, true);
  assert.not.ok(awaitTurn(relay, 3));
});

test('two threads send all of it in its order, and both do', () =>
  withPool(async (pool) => {
    const path = join(directory, 'whole');
    writeFileSync(path, content);
    const fd = openSync(path, 'r');
    const { ours, theirs, end } = await pair();
    const got: Buffer[] = [];
    theirs.on('data', (piece) => got.push(piece));
    const both = new Set<number>();
    const chunks = [chunk(64 << 10), chunk(64 << 10)];
    // Where the client had no time for 1 ms a call ends: the next two go on behind it.
    for (let at = 0; at < length; ) {
      const relay = createRelay();
      const turn = { ms: 5_000, patient: true };
      const calls = chunks.map((each) =>
        pool.run('sendObject', [fd, descriptor(ours), each, at, length - at, undefined, turn, relay]),
      );
      for (const [index, { sent }] of (await withTimeout('two calls', 20_000, Promise.all(calls))).entries()) {
        at += sent;
        if (sent > 0) both.add(index);
      }
    }
    await until('all bytes', 10_000, () =>
      got.reduce((sum, { length }) => sum + length, 0) >= length ? true : undefined,
    );
    assert.ok(Buffer.concat(got).equals(content));
    assert.is(both.size, 2);
    closeSync(fd);
    end();
  }));

test('behind what cannot be read nothing is sent', () =>
  withPool(async (pool) => {
    const short = (3 << 20) + 5;
    const path = join(directory, 'short');
    writeFileSync(path, content.subarray(0, short));
    const fd = openSync(path, 'r');
    const { ours, theirs, end } = await pair();
    const got: Buffer[] = [];
    theirs.on('data', (piece) => got.push(piece));
    const relay = createRelay();
    const turn = { ms: 5_000, patient: true };
    const calls = [chunk(1 << 20), chunk(1 << 20)].map((each) =>
      pool.run('sendObject', [fd, descriptor(ours), each, 0, length, undefined, turn, relay]),
    );
    const all = await withTimeout('two calls', 20_000, settled(calls));
    ours.end();
    await withTimeout('the end', 5_000, new Promise((resolve) => theirs.once('end', resolve)));
    const bytes = Buffer.concat(got);
    assert.ok(bytes.length <= 3 << 20, `${bytes.length} bytes`);
    assert.ok(bytes.equals(content.subarray(0, bytes.length)));
    // Unless a busy machine had ended both before it.
    const failed = all.some((one) => one instanceof Error);
    assert.ok(failed || bytes.length < 3 << 20, `${all.map(String)}`);
    closeSync(fd);
    end();
  }));

test('who waits for one that was lost is let go, and what was lent comes back', () =>
  withPool(async (pool) => {
    const path = join(directory, 'lost');
    writeFileSync(path, content);
    const fd = openSync(path, 'r');
    const relay = createRelay();
    claim(relay);
    const { ours, end } = await pair();
    const turn = { ms: 5_000, patient: true };
    const waits = pool.run('sendObject', [fd, descriptor(ours), chunk(4096), 0, length, undefined, turn, relay]);
    await sleep(50);
    endRelay(relay);
    assert.is((await withTimeout('the other one', 5_000, waits)).sent, 0);

    // One of the two is never heard of again, with a chunk that was his.
    let refused = 0;
    const losing = {
      ...pool,
      size: pool.size,
      free: 2,
      idle: true,
      run: async (op: never, args: readonly unknown[], options: { beside?: boolean; ended?: () => void }) => {
        if (op === 'sendObject' && options.beside && refused++ % 2 === 0) {
          claim(args[7] as Relay);
          options.ended?.();
          await sleep(50);
          throw new Error('lost');
        }
        return pool.run(op, args as never, options);
      },
    };
    const buffers = createBuffers();
    await until('a relay', 20_000, async () => {
      const client = await pair();
      client.theirs.resume();
      const { calls, done } = delivery(losing, buffers, fd, client.ours);
      const answer = await done.catch(({ message }) => message);
      await withTimeout('the end of its calls', 5_000, new Promise<void>((resolve) => calls.after(resolve)));
      client.end();
      if (refused > 0) assert.is(answer, 'lost');
      return refused > 0 ? true : undefined;
    });
    const { made, free } = buffers.stats();
    assert.is(free, made);
    closeSync(fd);
    end();
  }));

test('two send where nothing else is sent and the main thread has little to do', () =>
  withPool(async (pool) => {
    const path = join(directory, 'alone');
    writeFileSync(path, content);
    const fd = openSync(path, 'r');
    let running = 0;
    let most = 0;
    const counted = {
      ...pool,
      size: pool.size,
      get free() {
        return pool.free;
      },
      get idle() {
        return pool.idle;
      },
      run: async (op: never, args: never, options: never) => {
        if (op !== 'sendObject') return pool.run(op, args, options);
        most = Math.max(most, ++running);
        return pool.run(op, args, options).finally(() => running--);
      },
    };
    const buffers = createBuffers();
    /** @param late so many milliseconds the client does not read at first */
    const send = async (late = 0): Promise<void> => {
      const { ours, theirs, end } = await pair();
      const got: Buffer[] = [];
      setTimeout(() => theirs.on('data', (piece) => got.push(piece)), late);
      await delivery(counted, buffers, fd, ours).done;
      ours.end();
      await new Promise((resolve) => theirs.once('end', resolve));
      assert.ok(Buffer.concat(got).equals(content));
      end();
    };
    // The client is the main thread here: where it has no time for a moment, one sends alone.
    await until('two at once', 20_000, async () => {
      await sleep(100);
      await send();
      return most === 2 ? true : undefined;
    });
    // What one of the two could not send goes out behind what both have sent.
    for (let round = 0; round < 8; round++) await sleep(60).then(() => send(20));
    // The main thread is at something for half of its time.
    const work = setInterval(() => {
      for (const stop = performance.now() + 10; performance.now() < stop; );
    }, 20);
    try {
      await sleep(200);
      await send();
      for (let round = 0; round < 3; round++) {
        most = 0;
        await send();
        assert.is(most, 1);
      }
    } finally {
      clearInterval(work);
    }
    closeSync(fd);
  }));

test.run();
