/** Buckets that show files only once they are published. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Place } from '../../../gateway/storage/types.js';
import { listBoth } from '../../suites/element-page.js';
import { get, keysOf, md5, newUpload, noise, put, putPart, refused } from '../../suites/storage-tools.js';
import { openStamping, type StampBench, stamped } from '../../sync/stamping.js';

const synthetic = /^[0-9a-f]{32}-0$/;

for (const sidecars of [false, true]) {
  const test = suite(`visibility: synced${sidecars ? ', with sidecars' : ''}`);
  let bench: StampBench;
  let at: Place;

  test.before.each(async () => {
    bench = await openStamping({ sidecars });
    const { storage } = bench;
    await storage.putConfig(bench.at.bucket, 'visibility', 'synced');
    at = { ...bench.at, bucket: (await storage.bucket('bucket'))! };
  });
  test.after.each(() => bench.close());

  const write = (key: string, bytes: string | Uint8Array = 'by a job') => {
    const path = bench.file(key);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, bytes);
    return path;
  };
  const list = (prefix = '', delimiter = '') =>
    listBoth(bench.storage, at, { prefix, delimiter, after: '', limit: 1000 });
  const keys = async () => (await list()).objects.map(({ key }) => key);

  test("a job's file is absent for all that read, until it is stamped", async () => {
    const { storage } = bench;
    write('a/job');
    await refused(storage.head(at, 'a/job'), 'NoSuchKey');
    await refused(storage.open(at, 'a/job'), 'NoSuchKey');
    await refused(storage.updateMeta(at, 'a/job', { tags: { a: '1' } }), 'NoSuchKey');
    assert.equal(await keys(), []);
    await put(storage, at, 'b/upload', 'by S3');
    assert.equal(await keys(), ['b/upload']);
    assert.equal((await list('', '/')).prefixes, ['b/']);
    assert.equal((await list('', 'o')).prefixes, ['b/uplo'], 'nor as a group by another delimiter');
    assert.equal((await list('a/')).objects, []);
    await stamped(bench.stamp('a/job'));
    assert.is((await storage.head(at, 'a/job')).meta.etag, md5('by a job'));
    assert.equal(await get(storage, at, 'a/job'), Buffer.from('by a job'));
    assert.equal((await list('', '/')).prefixes, ['a/', 'b/']);
    assert.equal(await keys(), ['a/job', 'b/upload']);
  });

  test('uploads are seen at once: small, large, in parts, copied, directories', async () => {
    const { storage } = bench;
    await put(storage, at, 'small', 'x');
    await put(storage, at, 'large', noise(1 << 20));
    await put(storage, at, 'dir/', '');
    await put(storage, at, 'dir2/', 'body');
    const upload = await newUpload(storage, at, 'parts');
    const part = await putPart(storage, at, upload, 1, noise(100_000));
    await storage.completeUpload(at, 'parts', upload.id, [part], {
      etag: `${'a'.repeat(32)}-1`,
      headers: {},
      user: {},
    });
    const source = await storage.open(at, 'large');
    await storage.copy(source, at, 'copied', {
      digests: [],
      seal: () => ({ etag: source.info.meta.etag, headers: {}, user: {} }),
    });
    await source.close();
    assert.equal(await keys(), ['copied', 'dir/', 'dir2/', 'large', 'parts', 'small']);
    assert.equal((await list('', '/')).prefixes, ['dir/', 'dir2/']);
    await storage.updateMeta(at, 'small', { tags: { a: '1' } });
    chmodSync(bench.file('small'), 0o600);
    assert.equal((await storage.head(at, 'small')).meta.tags, { a: '1' });
  });

  test('published, then written in place: still there, under an ETag that claims nothing', async () => {
    const { storage } = bench;
    await put(storage, at, 'x', 'by S3');
    appendFileSync(bench.file('x'), ', and a job');
    if (sidecars) {
      // An inode number alone may be another file's by now: not to be told from one that a job put in its place.
      await refused(storage.head(at, 'x'), 'NoSuchKey');
    } else {
      assert.match((await storage.head(at, 'x')).meta.etag, synthetic);
      assert.equal(await get(storage, at, 'x'), Buffer.from('by S3, and a job'));
      assert.match((await list()).objects[0]!.etag, synthetic);
    }
    await stamped(bench.stamp('x'));
    assert.is((await storage.head(at, 'x')).meta.etag, md5('by S3, and a job'));
  });

  test('published, then replaced by another file: absent until that is published', async () => {
    const { storage } = bench;
    await put(storage, at, 'x', 'by S3');
    renameSync(write('new'), bench.file('x'));
    await put(storage, at, 'y', 'by S3');
    execFileSync('cp', ['-a', bench.file('y'), bench.file('copy')]);
    renameSync(bench.file('y'), bench.file('moved'));
    assert.equal(await keys(), ['moved'], 'a rename takes along what was published, a copy does not');
    await refused(storage.head(at, 'x'), 'NoSuchKey');
    await refused(storage.head(at, 'copy'), 'NoSuchKey');
    await stamped(bench.stamp('x'));
    assert.is((await storage.head(at, 'x')).meta.etag, md5('by a job'));
  });

  test('writes meet what stands there all the same', async () => {
    const { storage } = bench;
    write('x');
    await refused(put(storage, at, 'x', 'by S3', {}, { ifNoneMatch: '*' }), 'PreconditionFailed');
    await put(storage, at, 'x', 'by S3');
    assert.equal(await get(storage, at, 'x'), Buffer.from('by S3'));
    write('y');
    await storage.remove(at, 'y');
    assert.not.ok((await list()).objects.some(({ key }) => key === 'y'));
    await stamped(bench.stamp('x'));
    assert.equal(await bench.stamp('y', {}, { size: 1, mtimeNs: 0n, ctimeNs: 0n, ino: 1n }), { outcome: 'gone' });
    write('d/e');
    await refused(put(storage, at, 'd', 'x'), 'KeyConflict');
    rmSync(bench.file('x'));
    await refused(storage.deleteBucket(at), 'BucketNotEmpty');
  });

  test('pages are whole, whatever is hidden between', async () => {
    const { storage } = bench;
    const shown: string[] = [];
    for (let i = 0; i < 60; i++) {
      const key = `${'abc'[i % 3]}/${`${i}`.padStart(3, '0')}`;
      if (i % 4 === 0) {
        await put(storage, at, key);
        shown.push(key);
      } else write(key);
    }
    shown.sort();
    const got: string[] = [];
    for (let after = ''; ; ) {
      const page = await listBoth(storage, at, { prefix: '', delimiter: '', after, limit: 4 });
      got.push(...page.objects.map(({ key }) => key));
      assert.ok(page.objects.length === 4 || page.next === undefined);
      if (page.next === undefined) break;
      after = page.next;
    }
    assert.equal(got, shown);
  });

  test('a listing beside uploads over a key never misses it', async () => {
    const { storage } = bench;
    await put(storage, at, 'hot', '0');
    let writing = true;
    const writer = (async () => {
      for (let i = 0; i < 150; i++) await put(storage, at, 'hot', `${i}`);
      writing = false;
    })();
    let looks = 0;
    for (; writing; looks++) assert.equal(await keysOf(storage, at), ['hot']);
    await writer;
    assert.ok(looks > 5);
  });

  test('live again: everything is seen', async () => {
    const { storage } = bench;
    write('x');
    await storage.putConfig(at.bucket, 'visibility', undefined);
    assert.equal(await keysOf(storage, { ...at, bucket: (await storage.bucket('bucket'))! }), ['x']);
    await storage.putConfig(at.bucket, 'visibility', 'what is this');
    assert.equal(await keysOf(storage, { ...at, bucket: (await storage.bucket('bucket'))! }), []);
  });

  test.run();
}
