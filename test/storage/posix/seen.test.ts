/** Whether an open file still has the content that was looked at, while jobs work on it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, linkSync, openSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decode } from '../../../acl/metadata/codec.js';
import { saveRecord } from '../../../acl/metadata/store.js';
import { readAttribute } from '../../../acl/metadata/xattr.js';
import { type Ground, prepareBucket, withBucket } from '../../../gateway/storage/posix/paths.js';
import { AGAIN, isUnchanged, type Seen } from '../../../gateway/storage/posix/seen.js';
import { fstat } from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';

const test = suite('posix seen');
const root = tempDir();
const path = join(root, 'file');

const ground: Ground = { path: root, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
const see = (fd: number) => ({ etag: '', digest: false, ...fstat(fd) });
const holds = (fd: number, seen: Seen) => isUnchanged(fd, seen, AGAIN);

test('one that is appended to has what was there, at every moment', async () => {
  writeFileSync(path, 'x');
  const appends = `const { openSync, writeSync } = require('node:fs');
    const [fd, bytes] = [openSync(process.argv[1], 'a'), Buffer.alloc(1 << 20)];
    for (let i = 0; i < 400; i++) writeSync(fd, bytes);`;
  const job = spawn(process.execPath, ['-e', appends, path], { stdio: 'inherit' });
  let ended = false;
  const exit = once(job, 'exit').finally(() => (ended = true));
  const fd = openSync(path, 'r');
  let [looks, changed] = [0, 0];
  while (!ended) {
    for (let i = 0; i < 5_000; i++, looks++) if (!holds(fd, see(fd))) changed++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.is((await exit)[0], 0);
  closeSync(fd);
  unlinkSync(path);
  assert.is(changed, 0, `${changed} of ${looks} looks`);
});

test('one whose record is stamped has it, also while its first stamp does not hold', async () => {
  writeFileSync(path, 'x');
  const fd = openSync(path, 'r');
  const seen = { ...see(fd), digest: true, etag: 'told' };
  // Another worker, at work on the tags: what it stamps first is too early, as where others have the processor in between.
  const tags = `
    const [path, root, ...modules] = process.argv.slice(1);
    const [{ prepareBucket, withBucket }, { saveRecord }, { fstat }] = await Promise.all(modules.map((each) => import(each)));
    const fd = (await import('node:fs')).openSync(path, 'r+');
    const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    const ground = { path: root, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
    prepareBucket(ground);
    withBucket(ground, 'read', (bucket) => {
      const stat = fstat(fd);
      const { size, mtimeNs, ino } = stat;
      const meta = { etag: 'told', headers: {}, user: {} };
      const early = { size, mtimeNs, ino, bound: stat.ctimeNs };
      for (let i = 0; i < 40; i++) {
        const saved = saveRecord(bucket, fd, stat, { stamp: early, meta });
        pause(1);
        saved.restamp({ ...early, bound: BigInt(Date.now() + 1_000) * 1_000_000n });
        pause(2);
      }
    });`;
  const modules = ['posix/paths', '../../acl/metadata/store', 'posix/syscalls'].map(
    (name) => new URL(`../../../gateway/storage/${name}.js`, import.meta.url).href,
  );
  const job = spawn(process.execPath, ['--input-type=module', '-e', tags, path, root, ...modules], {
    stdio: 'inherit',
  });
  let ended = false;
  const exit = once(job, 'exit').finally(() => (ended = true));
  let [looks, changed, met] = [0, 0, 0];
  while (!ended) {
    for (let i = 0; i < 50; i++, looks++) {
      if (!isUnchanged(fd, seen, 0)) met++;
      if (!isUnchanged(fd, seen, 2_000)) changed++;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.is((await exit)[0], 0);
  closeSync(fd);
  unlinkSync(path);
  assert.ok(met > 0, `${met} of ${looks} looks met a stamp that does not hold`);
  assert.is(changed, 0, `${changed} of ${looks} looks`);
});

test('one that was written to in place has not', () => {
  writeFileSync(path, 'x');
  const fd = openSync(path, 'r');
  const seen = see(fd);
  assert.ok(holds(fd, seen));
  utimesSync(path, 1, 1);
  assert.not.ok(holds(fd, seen));
  closeSync(fd);
});

test('nor has one whose mtime was put back after a write, with a digest or without', async () => {
  for (const digest of [false, true]) {
    writeFileSync(path, 'before');
    const { atime, mtime } = { atime: new Date(1e12), mtime: new Date(1e12) };
    utimesSync(path, atime, mtime);
    const fd = openSync(path, 'r');
    const seen = { ...see(fd), digest };
    // Beyond a tick of the filesystem's clock.
    await new Promise((resolve) => setTimeout(resolve, 30));
    writeFileSync(path, 'behind', { flag: 'r+' });
    utimesSync(path, atime, mtime);
    assert.is(fstat(fd).mtimeNs, seen.mtimeNs);
    assert.not.ok(holds(fd, seen), `digest: ${digest}`);
    closeSync(fd);
  }
});

test('a record speaks of its content also where its metadata is too long for the attribute', async () => {
  writeFileSync(path, 'x');
  const fd = openSync(path, 'r');
  const seen = { ...see(fd), digest: true, etag: 'told' };
  await new Promise((resolve) => setTimeout(resolve, 30));
  const { size, mtimeNs, ino } = seen;
  const stamp = { size, mtimeNs, ino, bound: BigInt(Date.now() + 60_000) * 1_000_000n };
  const meta = { etag: 'told', headers: {}, user: { long: 'x'.repeat(70_000) } };
  prepareBucket(ground);
  withBucket(ground, 'read', (bucket) => saveRecord(bucket, fd, seen, { stamp, meta }));
  assert.is.not(fstat(fd).ctimeNs, seen.ctimeNs);
  assert.ok(decode(readAttribute(fd) as Buffer)?.overflow, 'it lies in a file of its own');
  assert.ok(holds(fd, seen));
  assert.not.ok(holds(fd, { ...seen, etag: 'another' }));
  closeSync(fd);
});

test('one that lost a name has, and one that a record was stored for; one that got a name may not', async () => {
  writeFileSync(path, 'x');
  linkSync(path, `${path}.2`);
  const fd = openSync(path, 'r');
  const seen = see(fd);
  await new Promise((resolve) => setTimeout(resolve, 30));
  unlinkSync(`${path}.2`);
  assert.is.not(fstat(fd).ctimeNs, seen.ctimeNs);
  assert.ok(holds(fd, seen));
  await new Promise((resolve) => setTimeout(resolve, 30));
  const one = see(fd);
  await new Promise((resolve) => setTimeout(resolve, 30));
  linkSync(path, `${path}.2`);
  assert.not.ok(holds(fd, one));
  unlinkSync(`${path}.2`);
  const anew = see(fd);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const { size, mtimeNs, ino } = anew;
  const bound = Date.now() + 400;
  const stamp = { size, mtimeNs, ino, bound: BigInt(bound) * 1_000_000n };
  prepareBucket(ground);
  withBucket(ground, 'read', (bucket) =>
    saveRecord(bucket, fd, anew, { stamp, meta: { etag: 'told', headers: {}, user: {} } }),
  );
  assert.is.not(fstat(fd).ctimeNs, anew.ctimeNs);
  assert.ok(holds(fd, anew));
  assert.ok(holds(fd, { ...anew, digest: true, etag: 'told' }));
  // It may speak of what was written before it was stored.
  assert.not.ok(holds(fd, { ...anew, digest: true, etag: 'another' }));
  // What the record speaks of ends with what happens behind its bound.
  await new Promise((resolve) => setTimeout(resolve, bound + 50 - Date.now()));
  chmodSync(path, 0o600);
  for (const digest of [false, true]) {
    assert.not.ok(holds(fd, { ...anew, digest, etag: 'told' }), `digest: ${digest}`);
    // Where nobody may wait nobody does.
    const times = [1, 2, 3, 4, 5].map(() => {
      const from = performance.now();
      isUnchanged(fd, { ...anew, digest, etag: 'told' }, 0);
      return performance.now() - from;
    });
    assert.ok(Math.min(...times) < AGAIN / 2, `${times} ms`);
  }
  closeSync(fd);
});

test.run();
