/** What a worker thread had open when it died: descriptors are the process's, and nobody else would close them. */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createHeld, heldIn, holdIn, letGo, markHeld } from '../../../gateway/storage/posix/held.js';
import { type Ground, prepareBucket } from '../../../gateway/storage/posix/paths.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import type { Pool } from '../../../gateway/storage/posix/pool-types.js';
import { tempDir } from '../../support/temp.js';
import { until, withTimeout } from '../../support/time.js';
import type { TestOps } from './pool-worker.js';

const test = suite('what a dead thread had open');
const codeOf = (error: { code?: string }) => error.code;

/** Descriptors of this process that lead below a directory. */
const openBelow = (directory: string): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return [];
    }
  });

interface Bench {
  pool: Pool<TestOps>;
  ground: Ground;
  path: string;
  /** Lets the worker of a lane die, and waits for the one that takes its place. */
  lose(lane: number, how?: () => Promise<unknown>): Promise<void>;
}

const withWorkers = async (workers: number, use: (bench: Bench) => Promise<void>): Promise<void> => {
  const pool = createPool<TestOps>({ workers, worker: new URL('./pool-worker.js', import.meta.url) });
  const path = mkdtempSync(join(tempDir(), 'bucket-'));
  const ground: Ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
  prepareBucket(ground);
  const lose: Bench['lose'] = async (lane, how = () => pool.run('exit', [], { lane })) => {
    assert.is(await how().catch(codeOf), 'InternalError');
    await until('another worker', 10_000, () => pool.run('thread', [], { lane }).catch(() => undefined));
  };
  const work = async () => {
    await until('all workers', 20_000, async () =>
      (await pool.everywhere('thread', [])).length === workers ? true : undefined,
    );
    await use({ pool, ground, path, lose });
  };
  await withTimeout('workers', 60_000, work()).finally(() => pool.close());
};

test('what it had staged is closed, and reaped', () =>
  withWorkers(1, async ({ pool, ground, path, lose }) => {
    const staging = join(path, '.tidegate/staging');
    const reap = () => pool.run('reapBucket', [ground, { stagingAgeMs: 0 }]);
    for (const size of [10, 100_000]) {
      const id = await pool.run('transferOpen', [ground, [], undefined], { lane: 0 });
      await pool.run('transferWrite', [id, Buffer.alloc(size)], { lane: 0 });
    }
    assert.is(readdirSync(staging).length, 2);
    assert.equal(await reap(), { staged: 0, uploads: 0 }, 'somebody is at work on them');
    assert.is(openBelow(path).length, 2);
    await lose(0);
    assert.equal(openBelow(path), []);
    assert.equal(await reap(), { staged: 2, uploads: 0 });
    assert.equal(readdirSync(staging), []);
  }));

test('the lock of a key that it held is free', () =>
  withWorkers(1, async ({ pool, ground, path, lose }) => {
    await lose(0, () => pool.run('exitLocked', [ground, 'a/key'], { lane: 0 }));
    assert.equal(openBelow(path), []);
    const meta = { etag: '900150983cd24fb0d6963f7d28e17f72', headers: {}, user: {} };
    await pool.run('putSmall', [ground, 'a/key', Buffer.from('abc'), meta, undefined]);
    assert.is(readFileSync(join(path, 'a/key'), 'utf8'), 'abc');
  }));

test('an object that it has opened for others stays open', () =>
  withWorkers(2, async ({ pool, ground, path, lose }) => {
    writeFileSync(join(path, 'object'), 'of a job');
    const { fd } = await pool.run('openObject', [ground, 'object', 0], { lane: 0 });
    await lose(0);
    const into = Buffer.from(new SharedArrayBuffer(8));
    await pool.run('readObject', [fd, into, 0, undefined], { lane: 1 });
    assert.is(into.toString(), 'of a job');
    await pool.run('closeObject', [fd], { lane: 1 });
    assert.equal(openBelow(path), []);
  }));

test("the lock of a document that another worker gives back stays, and its number is nobody's afterwards", () =>
  withWorkers(2, async ({ pool, path, lose }) => {
    const area = join(path, 'area');
    mkdirSync(area);
    assert.ok(await pool.run('documentCreate', [area, 'keys', 'one', '1']));
    const take = (lane: number) => pool.run('documentLock', [area, 'keys', 'one'], { lane });
    const found = await take(0);
    assert.ok(found && found.text === '1');
    await lose(0);
    assert.is(await take(1), false, 'somebody else has it');
    await pool.run('documentReplace', [area, 'keys', 'one', found.lock, '2'], { lane: 1 });
    const next = await take(0);
    assert.ok(next && next.text === '2');
    await pool.run('documentReplace', [area, 'keys', 'one', next.lock, undefined], { lane: 1 });
    const ours: number[] = [];
    while (ours.length < 64) ours.push(openSync('/dev/null', 'r'));
    assert.ok(ours.includes(next.lock), `${next.lock} is used again`);
    const { ino } = fstatSync(ours[0]!);
    await lose(0);
    for (const each of ours) assert.is(fstatSync(each).ino, ino);
    for (const each of ours) closeSync(each);
  }));

test('a number that has become the descriptor of somebody else is never closed', () =>
  withWorkers(2, async ({ pool, ground, path, lose }) => {
    writeFileSync(join(path, 'object'), 'of a job');
    const foreign = join(tempDir(), 'foreign');
    writeFileSync(foreign, '');
    const id = await pool.run('transferOpen', [ground, [], undefined], { lane: 0 });
    const { fd } = await pool.run('openObject', [ground, 'object', 0], { lane: 0 });
    await pool.run('closeObject', [fd], { lane: 1 });
    await pool.run('transferAbort', [id], { lane: 0 });
    // The kernel gives the lowest number that is free.
    const ours: number[] = [];
    while (ours.length < 64) ours.push(openSync(foreign, 'r'));
    assert.ok(ours.includes(fd), `${fd} is used again`);
    const { ino } = fstatSync(ours[0]!);
    await lose(0);
    await lose(1);
    for (const each of ours) assert.is(fstatSync(each).ino, ino);
    for (const each of ours) closeSync(each);
  }));

test('marks: of each number, and of those beyond them none', () => {
  const table = createHeld();
  assert.equal(heldIn(table), []);
  markHeld(7);
  assert.equal(heldIn(table), [], 'a thread that nobody looks after keeps none');
  holdIn(table);
  const most = table.byteLength * 8;
  const numbers = [0, 1, 30, 31, 32, 63, 64, 1000, most - 1];
  for (const fd of [...numbers, most, most + 31, 2 ** 30]) markHeld(fd);
  assert.equal(heldIn(table), numbers);
  for (const fd of [31, 1000, 5, most, -1]) letGo(fd);
  assert.equal(
    heldIn(table),
    numbers.filter((fd) => fd !== 31 && fd !== 1000),
  );
});

test.run();
