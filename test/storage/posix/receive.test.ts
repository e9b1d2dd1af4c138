/** What becomes of chunks and descriptors when a worker is late, or none is free. */
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../../gateway/errors.js';
import type { Hasher, Hashing } from '../../../gateway/storage/md5/hasher.js';
import { createBuffers } from '../../../gateway/storage/posix/buffers.js';
import type { StoreContext } from '../../../gateway/storage/posix/context.js';
import { moveBytes } from '../../../gateway/storage/posix/libc.js';
import type { Ground } from '../../../gateway/storage/posix/paths.js';
import type { Pool, RunOptions } from '../../../gateway/storage/posix/pool-types.js';
import { receiveBody } from '../../../gateway/storage/posix/receive.js';
import { transfer } from '../../../gateway/storage/posix/streams.js';
import { closeReplaced } from '../../../gateway/storage/posix/syscalls.js';
import type { Body, Sink } from '../../../gateway/storage/types.js';
import { tempDir } from '../../support/temp.js';

const test = suite('posix receive');
const MiB = 1 << 20;
const actor = { uid: 0, gid: 0, groups: [] };
const path = join(tempDir(), 'connection');

const holders = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  }).length;

type Receive = (into: Uint8Array, options: RunOptions) => Promise<number>;

/** A pool whose workers receive as they are told, and what they have written. */
function createFake(receive: Receive): { pool: Pool; written: () => string } {
  const pieces: Buffer[] = [];
  const run = async (op: string, args: readonly unknown[], options: RunOptions = {}) => {
    if (op === 'receive') return receive(args[1] as Uint8Array, options);
    if (op === 'transferReceive') {
      const [, before, , into] = args as [number, Uint8Array, number, Uint8Array];
      pieces.push(Buffer.from(before));
      const count = await receive(into, options);
      pieces.push(Buffer.from(into.subarray(0, count)));
      return count;
    }
    pieces.push(Buffer.from(args[1] as Uint8Array));
    options.ended?.();
    return undefined;
  };
  return { pool: { size: 4, run } as unknown as Pool, written: () => Buffer.concat(pieces).toString('latin1') };
}

async function bring(receive: Receive, read: Body['read']) {
  const buffers = createBuffers({ tiers: [{ bytes: MiB, limit: 3 }] });
  const { pool, written } = createFake(receive);
  const context = { buffers } as StoreContext;
  const outcome = await receiveBody(context, actor, { length: 4 * MiB, read }, { pool, lane: 0, id: 1 }).then(
    () => 'done',
    (error: unknown) => (error instanceof S3Error ? error.code : String(error)),
  );
  return { outcome, written: written(), free: () => buffers.stats().free };
}

test('what is received stands where it came, and its frames are left out', async () => {
  const fd = openSync(path, 'w');
  const receive: Receive = async (into, { ended }) => {
    Buffer.from(into.buffer, into.byteOffset, into.length).write('[one][two]');
    ended?.();
    return 10;
  };
  const { outcome, written, free } = await bring(receive, async (sink) => {
    await sink(Buffer.from('zero'));
    for (let round = 0; round < 2; round++) {
      const { piece, more } = await sink.receive!(fd, 10);
      assert.is(more, true);
      await sink(piece.subarray(1, 4));
      await sink(piece.subarray(6, 9));
    }
  });
  assert.equal([outcome, written, free()], ['done', 'zeroonetwoonetwo', 3]);
  closeSync(fd);
  assert.is(holders(), 0);
});

test('no worker is free: the bytes come through the sink', async () => {
  const fd = openSync(path, 'w');
  const receive: Receive = async (_into, { ended }) => {
    ended?.();
    throw new S3Error('SlowDown');
  };
  const { outcome, written, free } = await bring(receive, async (sink) => {
    const { piece, more } = await sink.receive!(fd, MiB);
    assert.equal([piece.length, more], [0, false]);
    await sink(Buffer.from('through'));
  });
  assert.equal([outcome, written, free()], ['done', 'through', 3]);
  closeSync(fd);
  assert.is(holders(), 0);
});

for (const how of ['receive', 'keep'] as const) {
  test(`a worker that hangs in ${how}: the upload fails, and nobody gets what the worker may still use`, async () => {
    const fd = openSync(path, 'w');
    let ended: (() => void) | undefined;
    const receive: Receive = async (_into, options) => {
      ended = options.ended;
      throw new S3Error('SlowDown');
    };
    const { outcome, free } = await bring(receive, async (sink) => {
      await sink[how]!(fd, MiB);
    });
    assert.is(outcome, 'SlowDown');
    closeSync(fd);
    assert.equal([free(), holders()], [0, 1]);
    ended!();
    assert.equal([free(), holders()], [3, 0]);
  });
}

test('what is kept as it comes stands behind what came through the sink, each byte once', async () => {
  const fd = openSync(path, 'w');
  const room: number[] = [];
  const receive: Receive = async (into, { ended }) => {
    room.push(into.length);
    // Nothing once, and for the rest as much as there is room for.
    const count = room.length === 2 ? 0 : into.length;
    Buffer.from(into.buffer, into.byteOffset, count).fill('abcdefg'[room.length - 1]!);
    ended?.();
    return count;
  };
  const { outcome, written, free } = await bring(receive, async (sink) => {
    await sink(Buffer.from('one'));
    assert.equal(await sink.keep!(fd, 100), { bytes: 100, more: true });
    assert.equal(await sink.keep!(fd, 100), { bytes: 0, more: false });
    await sink(Buffer.from('two'));
    await sink(Buffer.from('three'));
    assert.equal(await sink.keep!(fd, 3 * MiB), { bytes: MiB - 111, more: true });
    assert.equal(await sink.keep!(fd, 5), { bytes: 5, more: true });
    await sink(Buffer.from('end'));
  });
  const expected = `one${'a'.repeat(100)}twothree${'c'.repeat(MiB - 111)}dddddend`;
  assert.equal([outcome, written.length, free()], ['done', expected.length, 3]);
  assert.ok(written === expected);
  assert.equal(room, [100, 100, MiB - 111, 5]);
  closeSync(fd);
  assert.is(holders(), 0);
});

const still: Record<string, (sink: Sink, fd: number) => unknown> = {
  'a piece': (sink) => sink(Buffer.from('late')),
  'what a worker should take': (sink, fd) => sink.receive!(fd, MiB),
  'what a worker should keep': (sink, fd) => sink.keep!(fd, MiB),
};
for (const [what, bring] of Object.entries(still)) {
  test(`a body breaks off while ${what} waits for a chunk: it goes nowhere`, async () => {
    const fd = openSync(path, 'w');
    const buffers = createBuffers({ tiers: [{ bytes: MiB, limit: 3 }] });
    const calls: { op: string; ended: () => void; resolve: (value?: unknown) => void }[] = [];
    const run = (op: string, _args: unknown, { ended }: RunOptions) =>
      new Promise((resolve) => calls.push({ op, ended: ended!, resolve }));
    const pool = { size: 4, run } as unknown as Pool;
    let waiting: unknown;
    const read: Body['read'] = async (sink) => {
      for (let i = 0; i < 3; i++) await sink(Buffer.alloc(MiB, 'a'));
      waiting = bring(sink, fd);
      throw new S3Error('IncompleteBody');
    };
    const where = { pool, lane: 0, id: 1 };
    const outcome = await receiveBody({ buffers } as StoreContext, actor, { length: 4 * MiB, read }, where).catch(
      (error) => error.code,
    );
    assert.is(outcome, 'IncompleteBody');
    assert.equal(
      calls.map(({ op }) => op),
      ['transferWrite', 'transferWrite', 'transferWrite'],
    );
    const others = buffers.acquire(3);
    for (const { ended } of calls) ended();
    const chunks = await others;
    for (const chunk of chunks) chunk.fill('z');
    for (const { resolve } of calls.splice(0)) resolve();
    const end = await (waiting as Promise<unknown>).then(
      () => 'taken',
      (error) => error.code,
    );
    assert.is(end, 'IncompleteBody');
    assert.equal(calls, [], 'no worker is told to do anything');
    for (const chunk of chunks) assert.ok(chunk.every((byte) => byte === 0x7a));
    closeSync(fd);
    assert.is(holders(), 0);
  });
}

test('a chunk that is not digested fails the upload, though all is written and there is a digest', async () => {
  const done: string[] = [];
  const run = async (op: string, _args: unknown, { ended }: RunOptions = {}) => {
    done.push(op);
    ended?.();
    return { transferOpen: 7, transferFinish: { size: 4 * MiB, digests: {} } }[op];
  };
  const pool = { size: 4, lane: () => 0, run } as unknown as Pool;
  let updates = 0;
  const hashing: Hashing = {
    update: async (_bytes, ended) => {
      const last = ++updates === 4;
      if (last) await new Promise((resolve) => setTimeout(resolve, 20));
      ended();
      if (last) throw new S3Error('InternalError');
    },
    finish: async () => new Uint8Array(16),
    drop: async () => void done.push('drop'),
  };
  const hasher = { begin: () => hashing } as Hasher;
  const context = { buffers: createBuffers({ tiers: [{ bytes: MiB, limit: 3 }] }) } as StoreContext;
  const body: Body = {
    length: 4 * MiB,
    read: async (sink) => {
      for (let i = 0; i < 4; i++) await sink(Buffer.alloc(MiB, 'a'));
    },
  };
  const into = { ground: {} as Ground, pool, actor, hasher };
  const options = { digests: ['md5'] as const, length: body.length, chunked: true };
  const outcome = await transfer(into, options, (where) => receiveBody(context, actor, body, where)).catch(
    (error) => error.code,
  );
  assert.is(outcome, 'InternalError');
  assert.is(updates, 4);
  assert.equal(done.slice(-3).sort(), ['drop', 'transferAbort', 'transferFinish']);
  assert.is(context.buffers.stats().free, 3);
});

test('bytes are moved within shared memory, and never beyond', () => {
  const chunk = Buffer.from(new SharedArrayBuffer(64));
  chunk.write('0123456789');
  moveBytes(chunk.subarray(2), chunk.subarray(0, 8));
  assert.is(chunk.toString('latin1', 0, 10), '0101234567');
  moveBytes(chunk, chunk.subarray(4, 4));
  assert.throws(() => moveBytes(chunk.subarray(60), Buffer.alloc(5)), /room/);
});

test('a long file that was replaced is closed soon, a short one at once', async () => {
  closeReplaced(openSync(path, 'w'), 1);
  assert.is(holders(), 0);
  closeReplaced(openSync(path, 'w'), 1 << 30);
  assert.is(holders(), 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(holders(), 0);
});

test('of many long files one is closed in each turn, and not too many wait', async () => {
  for (let i = 0; i < 70; i++) closeReplaced(openSync(path, 'w'), 1 << 30);
  assert.is(holders(), 64);
  for (let left = 63; left >= 0; left--) {
    await new Promise((resolve) => setImmediate(resolve));
    assert.is(holders(), left);
  }
});

test.run();
