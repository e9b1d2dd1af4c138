/** What listings remember on filesystems that tell less than others: without attributes, or without types in directories. */
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SETTLED_MS } from '../../../gateway/storage/posix/clock.js';
import { as } from '../../../gateway/storage/posix/identity.js';
import { listObjects } from '../../../gateway/storage/posix/list-ops.js';
import { type Ground, prepareBucket } from '../../../gateway/storage/posix/paths.js';
import { tempDir } from '../../support/temp.js';
import { openBench } from './store.js';

const mounts = suite('listings of filesystems that tell less');
const settle = () => sleep(SETTLED_MS + 100);

async function mounted(args: readonly string[], work: (point: string) => Promise<void>): Promise<void> {
  const point = tempDir();
  try {
    execFileSync('mount', [...args, point], { stdio: 'ignore' });
  } catch {
    return; // not allowed to mount here
  }
  try {
    await work(point);
  } finally {
    execFileSync('umount', ['-l', point]);
  }
}

mounts('a directory that becomes an object is listed where its record lies in a sidecar', async () => {
  await mounted(['-t', 'ramfs', 'ramfs'], async (root) => {
    const { storage, at, file } = await openBench({ root, workers: 1 });
    try {
      mkdirSync(file('a/b'), { recursive: true });
      const request = { prefix: '', delimiter: '', after: '', limit: 10 };
      const keys = async () => (await storage.list(at, request)).objects.map(({ key }) => key);
      const prefixes = async () => (await storage.list(at, { ...request, delimiter: '/' })).prefixes;
      await settle();
      for (let i = 0; i < 2; i++) assert.equal([await keys(), await prefixes()], [[], []]);
      const seal = () => ({ etag: 'e'.repeat(32), headers: {}, user: {} });
      await storage.put(at, 'a/b/', { length: 0, read: async () => {} }, { digests: [], seal });
      for (let i = 0; i < 2; i++) assert.equal([await keys(), await prefixes()], [['a/b/'], ['a/']]);
      await settle();
      assert.equal([await keys(), await prefixes()], [['a/b/'], ['a/']]);
      await storage.remove(at, 'a/b/');
      assert.equal([await keys(), await prefixes()], [[], []]);
    } finally {
      await storage.close();
    }
  });
});

mounts('what one user may not look at is not left out for another', async () => {
  const image = join(tempDir(), 'image');
  try {
    closeSync(openSync(image, 'w'));
    truncateSync(image, 16 << 20);
    // Its directories do not tell what a name is.
    execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^filetype', image], { stdio: 'ignore' });
  } catch {
    return;
  }
  await mounted(['-o', 'loop', image], async (root) => {
    const path = join(root, 'bucket');
    mkdirSync(path);
    const ground: Ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
    prepareBucket(ground);
    for (let up = path; up.startsWith(root); up = join(up, '..')) chmodSync(up, 0o755);
    mkdirSync(join(path, 'd/e'), { recursive: true });
    for (const name of ['d/f', 'd/e/g']) writeFileSync(join(path, name), '');
    // Others may read its names, and look at none of them.
    chmodSync(join(path, 'd'), 0o744);
    await settle();
    const see = () =>
      listObjects(ground, { prefix: 'd/', delimiter: '', after: '', limit: 10 }).objects.map(({ key }) => key);
    const other = { uid: 60_103, gid: 60_103, groups: [] };
    for (let i = 0; i < 2; i++) {
      assert.equal(as(other, see), []);
      assert.equal(see(), ['d/e/g', 'd/f']);
    }
    rmSync(join(path, 'd'), { recursive: true });
  });
});

if (process.getuid!() === 0) mounts.run();
