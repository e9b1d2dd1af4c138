/** What is in memory is looked at without a worker; what is not, or is not plain, is left to one. */
import { chmodSync, mkdirSync, readFileSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fadvise, POSIX_FADV_DONTNEED } from '../../../gateway/storage/posix/background.js';
import { canLookCached, lookCached } from '../../../gateway/storage/posix/cached.js';
import { acting } from '../../../gateway/storage/posix/identity.js';
import { createMounts, isLocal } from '../../../gateway/storage/posix/mounts.js';
import type { Ground } from '../../../gateway/storage/posix/paths.js';
import { close } from '../../../gateway/storage/posix/syscalls.js';
import type { Actor } from '../../../gateway/storage/types.js';
import { tempDir } from '../../support/temp.js';
import { type Bench, me, openBench } from './store.js';

const { types } = createMounts().at(tempDir());
const able = canLookCached() && types.every(isLocal);
const all = suite(`posix cached${able ? '' : ` (not possible here: ${types})`}`);
const test = able ? all : all.skip;

const small = Buffer.from('what the tide brings');
const large = Buffer.alloc(100_000, 'x');
const meta = { etag: 'd41d8cd98f00b204e9800998ecf8427e', headers: { contentType: 'text/plain' }, user: { a: 'b' } };

const putInto = ({ storage, at }: Bench, key: string, bytes: Buffer) =>
  storage.put(at, key, { length: bytes.length, read: async (sink) => sink(bytes) }, { digests: [], seal: () => meta });

const groundOf = ({ at }: Bench): Ground => ({
  path: at.bucket.path,
  durability: 'none',
  sidecars: false,
  fileMode: 0o644,
  directoryMode: 0o755,
});

const withBench = (work: (bench: Bench) => Promise<void>) => async (): Promise<void> => {
  const bench = await openBench();
  try {
    await work(bench);
  } finally {
    await bench.storage.close();
  }
};

test(
  'an object is what the workers say that it is, with its bytes where it is small',
  withBench(async (bench) => {
    const { storage, at } = bench;
    await putInto(bench, 'a/small', small);
    await putInto(bench, 'a/empty', Buffer.alloc(0));
    const seen = lookCached(groundOf(bench), me, 'a/small', 65_536);
    assert.equal(seen?.info, await storage.head(at, 'a/small'));
    assert.equal(Buffer.from(seen!.bytes!).toString(), small.toString());
    assert.is(seen!.fd, -1);
    assert.equal(lookCached(groundOf(bench), me, 'a/small', undefined)?.info, seen!.info);
    assert.is(lookCached(groundOf(bench), me, 'a/empty', 65_536)?.bytes?.length, 0);
    // The bytes of one answer are not those of the next.
    await putInto(bench, 'a/other', Buffer.alloc(small.length, '!'));
    lookCached(groundOf(bench), me, 'a/other', 65_536);
    assert.equal(Buffer.from(seen!.bytes!).toString(), small.toString());
  }),
);

test(
  'a large one is handed out open',
  withBench(async (bench) => {
    await putInto(bench, 'large', large);
    const seen = lookCached(groundOf(bench), me, 'large', 65_536)!;
    assert.is(seen.bytes, undefined);
    assert.ok(seen.fd >= 0);
    close(seen.fd);
    const object = await bench.storage.open(bench.at, 'large');
    const got: Buffer[] = [];
    await object.read(0, large.length, (chunk) => void got.push(Buffer.from(chunk)));
    await object.close();
    assert.ok(Buffer.concat(got).equals(large));
  }),
);

test(
  'bytes that are not in memory are not waited for',
  withBench(async (bench) => {
    await putInto(bench, 'cold', small);
    const handle = await open(bench.file('cold'));
    await handle.sync();
    fadvise(handle.fd, 0, 0, POSIX_FADV_DONTNEED);
    await handle.close();
    // tmpfs has nothing but memory.
    if (types[0] !== 'tmpfs') assert.is(lookCached(groundOf(bench), me, 'cold', 65_536), undefined);
    const object = await bench.storage.open(bench.at, 'cold');
    assert.equal(Buffer.from(object.bytes!).toString(), small.toString());
    await object.close();
    assert.ok(lookCached(groundOf(bench), me, 'cold', 65_536), 'now they are');
  }),
);

test(
  'what a job wrote, changed or put in the way is left to the workers',
  withBench(async (bench) => {
    const look = (key: string, more: Partial<Ground> = {}) =>
      lookCached({ ...groundOf(bench), ...more }, me, key, 65_536);
    await putInto(bench, 'd/plain', small);
    assert.ok(look('d/plain'));
    assert.is(look('d/plain', { sidecars: true }), undefined);
    assert.is(look('d/plain', { shared: true }), undefined);
    assert.is(look('missing'), undefined);
    assert.is(look('d'), undefined);
    assert.is(look('d/'), undefined);
    assert.is(look('../bucket/d/plain'), undefined);

    writeFileSync(bench.file('d/job'), small);
    assert.is(look('d/job'), undefined);
    await putInto(bench, 'd/changed', small);
    writeFileSync(bench.file('d/changed'), 'what the job brings!');
    assert.is(look('d/changed'), undefined);
    await putInto(bench, 'd/touched', small);
    utimesSync(bench.file('d/touched'), 1, 1);
    assert.is(look('d/touched'), undefined);

    symlinkSync('plain', bench.file('d/link'));
    assert.is(look('d/link'), undefined);
    mkdirSync(bench.file('real'));
    renameSync(bench.file('d/plain'), bench.file('real/plain'));
    symlinkSync('real', bench.file('way'));
    assert.is(look('way/plain'), undefined);
    assert.is((await bench.storage.head(bench.at, 'd/changed')).meta.etag.endsWith('-0'), true);
  }),
);

const asRoot = able && process.getuid!() === 0 ? all : all.skip;

asRoot('the kernel checks as the user, and the thread is itself again', async () => {
  const root = tempDir();
  chmodSync(root, 0o711);
  const bench = await openBench({ root, fileMode: 0o640 });
  const { storage } = bench;
  try {
    const as = (uid: number, groups: number[] = []) => ({ uid, gid: uid, groups });
    const anna = as(60_101);
    const bucket = await storage.createBucket({ name: 'hers', owner: 'anna' }, anna);
    chmodSync(bucket.path, 0o755);
    await putInto({ ...bench, at: { bucket, actor: anna } }, 'private', small);
    const ground = { ...groundOf(bench), path: bucket.path };
    const look = (actor: Actor) => {
      const seen = lookCached(ground, actor, 'private', 65_536);
      assert.is(acting(), undefined);
      assert.equal(identity(), own, 'all of it is back');
      return seen !== undefined;
    };
    const own = identity();
    assert.equal([anna, as(60_102), as(60_102, [60_101]), as(60_102, [60_103]), anna].map(look), [
      true,
      false,
      true,
      false,
      true,
    ]);
  } finally {
    await storage.close();
  }
});

/** Real, effective, saved and filesystem ids, and groups, of the main thread. */
const identity = (): string[] =>
  readFileSync(`/proc/self/task/${process.pid}/status`, 'utf8')
    .split('\n')
    .filter((line) => /^(Uid|Gid|Groups|CapEff):/.test(line));

all.run();
