/** Publishing: atomic, conditional, without litter. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Saved } from '../../../acl/metadata/files.js';
import type { Stamp } from '../../../acl/metadata/stamp.js';
import { S3Error } from '../../../gateway/errors.js';
import { type BucketDir, type Ground, withBucket } from '../../../gateway/storage/posix/paths.js';
import { restage } from '../../../gateway/storage/posix/restage.js';
import { discard, settle, stage } from '../../../gateway/storage/posix/staged.js';
import { fstat, pwrite } from '../../../gateway/storage/posix/syscalls.js';
import { bodyOf, md5, metaOf, noise, put, readFrom, refused, request } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';
import { type Bench, openBench } from './store.js';

const publish = suite('publishing');
let bench: Bench;
const isRoot = process.getuid!() === 0;

publish.before(async () => {
  bench = await openBench({ durability: 'full' });
});
publish.after(() => bench.storage.close());
publish.after.each(() => assert.equal(bench.area('staging'), [], 'nothing is left in staging'));

publish('readers see whole contents while writers overwrite', async () => {
  const { storage, at } = bench;
  const sizes = [10, 1000, 70_000, 300_000];
  await put(storage, at, 'hot', noise(sizes[0]!, 1));
  let writing = true;
  let reads = 0;
  const writer = async (seed: number) => {
    for (let i = 0; i < 25; i++) await put(storage, at, 'hot', noise(sizes[(i + seed) % 4]!, i * 7 + seed));
  };
  const reader = async () => {
    while (writing) {
      const object = await storage.open(at, 'hot');
      assert.is(md5(await readFrom(object)), object.info.meta.etag);
      await object.close();
      const page = await storage.list(at, { prefix: 'hot', delimiter: '', after: '', limit: 1 });
      assert.match(page.objects[0]!.etag, /^[0-9a-f]{32}$/);
      reads++;
    }
  };
  const readers = [reader(), reader(), reader()];
  await Promise.all([writer(1), writer(2), writer(3)]);
  writing = false;
  await Promise.all(readers);
  assert.ok(reads > 10);
});

publish('one of many creators wins', async () => {
  const { storage, at } = bench;
  const tries = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => put(storage, at, 'once/x', `${i}`, {}, { ifNoneMatch: '*' })),
  );
  assert.is(tries.filter(({ status }) => status === 'fulfilled').length, 1);
});

publish('one of many that replace the same version wins', async () => {
  const { storage, at } = bench;
  const { meta } = await put(storage, at, 'cas', 'start');
  const tries = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => put(storage, at, 'cas', `${i}`, {}, { ifMatch: meta.etag })),
  );
  assert.is(tries.filter(({ status }) => status === 'fulfilled').length, 1);
});

publish('what is refused leaves neither bytes nor directories', async () => {
  const { storage, at } = bench;
  const veto = {
    ...request(),
    seal: () => {
      throw new S3Error('BadDigest');
    },
  };
  for (const size of [10, 1 << 20]) {
    await refused(storage.put(at, 'no/way/x', bodyOf(Buffer.alloc(size)), veto), 'BadDigest');
    const broken = bodyOf(Buffer.alloc(size), { fail: { after: size / 2, error: new S3Error('IncompleteBody') } });
    await refused(storage.put(at, 'no/way/x', broken, request()), 'IncompleteBody');
    await refused(storage.put(at, 'no/way/x', bodyOf(Buffer.alloc(size)), request({}, { ifMatch: 'e' })), 'NoSuchKey');
    const evil = { ...request(), seal: () => ({ etag: 'e', headers: { contentType: 'a\r\nb' }, user: {} }) };
    await refused(storage.put(at, 'no/way/x', bodyOf(Buffer.alloc(size)), evil), 'InvalidArgument');
  }
  assert.not.ok(existsSync(bench.file('no')));
});

publish('a file against a directory, both ways', async () => {
  const { storage, at } = bench;
  await put(storage, at, 'c/d', 'x');
  await refused(put(storage, at, 'c', 'x'), 'KeyConflict');
  await refused(put(storage, at, 'c/d/e', 'x'), 'KeyConflict');
  await refused(put(storage, at, 'c/d/', ''), 'KeyConflict');
  await storage.remove(at, 'c/d');
  await put(storage, at, 'c', 'now a file');
});

publish('parents are removed only if the gateway made them', async () => {
  const { storage, at } = bench;
  mkdirSync(bench.file('theirs'));
  await put(storage, at, 'theirs/ours/deep/x', 'x');
  await put(storage, at, 'theirs/ours/y', 'y');
  await storage.remove(at, 'theirs/ours/deep/x');
  assert.equal(readdirSync(bench.file('theirs/ours')), ['y']);
  await storage.remove(at, 'theirs/ours/y');
  assert.equal(readdirSync(bench.file('theirs')), []);
});

publish('puts and deletes in one directory do not trip over each other', async () => {
  const { storage, at } = bench;
  const worker = async (n: number) => {
    for (let i = 0; i < 30; i++) {
      await put(storage, at, `churn/a/b/${n}`, `${n} ${i}`);
      await storage.remove(at, `churn/a/b/${n}`);
    }
  };
  await Promise.all([1, 2, 3, 4, 5, 6].map(worker));
  assert.not.ok(existsSync(bench.file('churn')));
});

publish('metadata that the attribute has no room for lies in one overflow file, and goes with its object', async () => {
  const { storage, at } = bench;
  const user = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`k${i}`, `${i}`.repeat(100)]));
  const parts = Array.from({ length: 10_000 }, (_, i) => ({ number: i + 1, size: 5 << 20, checksum: md5(`${i}`) }));
  const base = bench.area('meta').length;
  await put(storage, at, 'large', 'one', { user, parts });
  assert.is(bench.area('meta').length, base + 1);
  const { meta } = await storage.head(at, 'large');
  assert.equal([meta.user, meta.parts, meta.etag], [user, parts, md5('one')]);
  await storage.updateMeta(at, 'large', { tags: { a: 'b' } });
  assert.is(bench.area('meta').length, base + 1);
  assert.is((await storage.head(at, 'large')).meta.etag, md5('one'));
  await put(storage, at, 'large', 'two', { user });
  assert.is(bench.area('meta').length, base + 1);
  // A copy that carries the attribute may be removed without harm to the original.
  execFileSync('cp', ['-a', bench.file('large'), bench.file('large-copy')]);
  await storage.remove(at, 'large-copy');
  assert.equal((await storage.head(at, 'large')).meta.user, user);
  await storage.remove(at, 'large');
  assert.is(bench.area('meta').length, base);
});

publish('a forged overflow file is not believed', async () => {
  const { storage, at } = bench;
  const before = new Set(bench.area('meta'));
  await put(storage, at, 'forged', 'x', { user: { a: 'x'.repeat(30_000) } });
  const name = bench.area('meta').find((each) => !before.has(each));
  if (name === undefined) return; // a filesystem with room for it
  writeFileSync(join(bench.at.bucket.path, '.tidegate/meta', name), '\x01{"e":"forged"}');
  assert.match((await storage.head(at, 'forged')).meta.etag, /-0$/);
  await storage.remove(at, 'forged');
});

publish('a full disk: an error that says so, nothing left, and reading goes on', async () => {
  if (!isRoot) return;
  const disk = tempDir();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    return; // not allowed here
  }
  const small = await openBench({ root: disk });
  try {
    await put(small.storage, small.at, 'fits', noise(100_000));
    for (const unknown of [false, true]) {
      const body = bodyOf(Buffer.alloc(8 << 20), { unknown, chunk: 1 << 16 });
      await refused(small.storage.put(small.at, 'large', body, request()), 'InsufficientStorage');
      assert.equal(small.area('staging'), []);
    }
    const tries = await Promise.allSettled(
      Array.from({ length: 60 }, (_, i) => put(small.storage, small.at, `many/${i}`, noise(100_000))),
    );
    const failed = tries.filter((each) => each.status === 'rejected');
    assert.ok(failed.length > 0);
    for (const each of failed) assert.is((each.reason as S3Error).code, 'InsufficientStorage');
    assert.equal(small.area('staging'), []);
    assert.is((await small.storage.head(small.at, 'fits')).meta.etag, md5(noise(100_000)));
  } finally {
    await small.storage.close();
    execFileSync('umount', [disk]);
  }
});

publish('another filesystem mounted inside the bucket', async () => {
  if (!isRoot) return;
  const { storage, at } = bench;
  mkdirSync(bench.file('mounted'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', bench.file('mounted')], { stdio: 'ignore' });
  } catch {
    return;
  }
  try {
    for (const [key, size] of [
      ['mounted/a', 10],
      ['mounted/b/c', 2 << 20],
    ] as const) {
      const { meta } = await put(storage, at, key, noise(size));
      assert.is(meta.etag, md5(noise(size)));
      assert.is((await storage.head(at, key)).meta.etag, meta.etag);
      const object = await storage.open(at, key);
      assert.is(md5(await readFrom(object)), meta.etag);
      await object.close();
    }
    await refused(put(storage, at, 'mounted/a', 'x', {}, { ifNoneMatch: '*' }), 'PreconditionFailed');
    assert.equal(readdirSync(bench.file('mounted')).sort(), ['a', 'b']);
    await storage.remove(at, 'mounted/b/c');
    assert.equal(readdirSync(bench.file('mounted')), ['a']);
  } finally {
    execFileSync('umount', [bench.file('mounted')]);
  }
});

publish('what was copied beside its target and not published is what it was made of again', () => {
  mkdirSync(bench.file('target'));
  const { path } = bench.at.bucket;
  const ground: Ground = { path, durability: 'full', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
  withBucket(ground, 'write', (bucket) => {
    const staged = stage(bucket);
    pwrite(staged.fd, noise(100_000), 0);
    const { fd, name } = staged;
    const parent = openSync(bench.file('target'), 'r');
    const { ino } = fstat(fd);
    const { done } = restage(bucket, staged, parent);
    assert.is.not(fstat(staged.fd).ino, ino);
    done();
    closeSync(parent);
    assert.equal([staged.fd, staged.name, fstat(fd).nlink], [fd, name, 1]);
    assert.equal([bench.area('staging'), readdirSync(bench.file('target'))], [[name], []]);
    discard(bucket, staged);
  });
});

publish('on a filesystem without attributes nothing is lost, however large the metadata', async () => {
  if (!isRoot) return;
  const root = tempDir();
  try {
    execFileSync('mount', ['-t', 'ramfs', 'ramfs', root], { stdio: 'ignore' });
  } catch {
    return; // not allowed to mount here
  }
  try {
    const { storage, at } = await openBench({ root });
    for (const size of [10, 5_000, 70_000]) {
      const user = { big: 'x'.repeat(size) };
      await put(storage, at, 'd/k', `content ${size}`, { user });
      await storage.updateMeta(at, 'd/k', { tags: { a: `${size}` } });
      const { meta } = await storage.head(at, 'd/k');
      assert.equal([meta.etag, meta.user, meta.tags], [md5(`content ${size}`), user, { a: `${size}` }]);
    }
    await storage.remove(at, 'd/k');
    assert.equal(readdirSync(at.bucket.path), ['.tidegate']);
    assert.equal(readdirSync(join(at.bucket.path, '.tidegate/meta')), []);
    await storage.deleteBucket(at);
    await storage.close();
  } finally {
    execFileSync('umount', ['-l', root]);
  }
});

publish('files belong to the actor, directories too', async () => {
  if (!isRoot) return;
  const { storage } = bench;
  const actor = { uid: 4321, gid: 4322, groups: [4323] };
  execFileSync('chmod', ['755', bench.root]);
  const bucket = await storage.createBucket({ name: 'theirs', owner: 'someone' }, actor);
  const at = { bucket, actor };
  await put(storage, at, 'd/x', 'x', { tags: { a: 'b' } });
  for (const path of ['', 'd', 'd/x', '.tidegate', '.tidegate/staging']) {
    const { uid, gid } = statSync(join(bucket.path, path));
    assert.equal([uid, gid], [4321, 4322], path);
  }
  assert.is(statSync(join(bucket.path, 'd/x')).mode & 0o777, 0o644 & ~process.umask());
  writeFileSync(join(bucket.path, 'private'), 'x', { mode: 0o600 });
  await refused(storage.head(at, 'private'), 'AccessDenied');
  await put(storage, at, 'private', 'replaced');
  await storage.remove(at, 'd/x');
  await storage.remove(at, 'private');
  await storage.deleteBucket(at);
  rmSync(join(bench.root, 'someone'), { recursive: true });
});

publish('deleting a bucket never loses what was acknowledged', async () => {
  const { storage, at } = bench;
  for (let round = 0; round < 15; round++) {
    const bucket = await storage.createBucket({ name: `brief-${round}`, owner: 'owner' }, at.actor);
    const place = { bucket, actor: at.actor };
    const sizes = [10, 200_000, 10, 10];
    const puts = sizes.map((size, i) => put(storage, place, `k/${i}`, noise(size, i)));
    const deletions = Promise.allSettled([storage.deleteBucket(place), storage.deleteBucket(place)]);
    const done = await Promise.allSettled(puts);
    await deletions;
    for (const [i, each] of done.entries()) {
      if (each.status === 'rejected') {
        assert.instance(each.reason, S3Error);
        assert.is((each.reason as S3Error).code, 'NoSuchBucket', `${(each.reason as Error).cause}`);
      } else assert.is((await storage.head(place, `k/${i}`)).meta.etag, md5(noise(sizes[i]!, i)));
    }
    for (let i = 0; i < 4; i++) await storage.remove(place, `k/${i}`).catch(() => undefined);
    await storage.deleteBucket(place).catch((error: S3Error) => assert.is(error.code, 'NoSuchBucket'));
  }
});

publish('a bucket over an existing directory', async () => {
  const { storage, at } = bench;
  const data = tempDir();
  writeFileSync(join(data, 'there'), 'before');
  const make = (directory: string) => storage.createBucket({ name: 'given', owner: 'owner', directory }, at.actor);
  for (const bad of [
    'relative',
    `${data}/../x`,
    '/',
    bench.root,
    `${bench.root}/.tidegate`,
    at.bucket.path,
    join(at.bucket.path, 'c'),
    join(data, 'there'),
    join(data, 'none'),
  ]) {
    await refused(make(bad), 'InvalidArgument', bad);
  }
  const bucket = await make(data);
  const place = { bucket, actor: at.actor };
  await refused(storage.createBucket({ name: 'second', owner: 'owner', directory: data }, at.actor), 'InvalidArgument');
  assert.is((await storage.head(place, 'there')).size, 6);
  await refused(storage.deleteBucket(place), 'BucketNotEmpty');
  await storage.remove(place, 'there');
  await storage.deleteBucket(place);
  assert.equal(readdirSync(data), [], 'the directory stays, without anything of ours');
});

publish('sizes and digests of a copy in the kernel and through the hashes', async () => {
  const { storage, at } = bench;
  await put(storage, at, 'source', noise(5_000_000));
  const source = await storage.open(at, 'source');
  const plain = await storage.copy(source, at, 'copied/plain', {
    digests: [],
    seal: ({ size }) => ({ etag: `size-${size}`, headers: {}, user: {} }),
  });
  assert.is(plain.meta.etag, 'size-5000000');
  const hashed = await storage.copy(source, at, 'copied/hashed', {
    digests: ['md5'],
    seal: (received) => metaOf(received),
  });
  assert.is(hashed.meta.etag, md5(noise(5_000_000)));
  await source.close();
  execFileSync('cmp', [bench.file('source'), bench.file('copied/plain')]);
  execFileSync('cmp', [bench.file('source'), bench.file('copied/hashed')]);
});

publish('a rename that took long makes success wait no longer where each stamp has a time of its own', () => {
  const fd = openSync(join(tempDir(), 'renamed'), 'w');
  const { size, mtimeNs, ctimeNs, ino } = fstat(fd);
  const stamps: Stamp[] = [];
  const saved = { restamp: (stamp: Stamp) => void stamps.push(stamp), undo: () => {} };
  // The last change came 10 ms after the stamp, and the bound has passed.
  const early = { size, mtimeNs, ino, bound: ctimeNs - 9_000_000n };
  settle({} as BucketDir, fd, saved as unknown as Saved, early, 0n, ctimeNs - 10_000_000n);
  closeSync(fd);
  assert.equal(
    stamps.map(({ bound }) => bound - ctimeNs < 1_000_000n && bound > ctimeNs),
    [true],
  );
});

publish.run();
