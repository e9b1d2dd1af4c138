/** Deleting buckets: what a job left in them, what others do to them meanwhile. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../../gateway/errors.js';
import type { Place } from '../../../gateway/storage/types.js';
import { get, newUpload, noise, put, putPart, refused, wholeList } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';
import { type Bench, me, openBench } from './store.js';

const removal = suite('deleting buckets');
const isRoot = process.getuid!() === 0;
let bench: Bench;
let serial = 0;
const make = async (actor = me): Promise<Place> => ({
  bucket: await bench.storage.createBucket({ name: `gone-${serial++}`, owner: 'owner' }, actor),
  actor,
});

removal.before(async () => {
  bench = await openBench();
});
removal.after(() => bench.storage.close());
removal.after.each(() => assert.equal(readdirSync(join(bench.root, '.tidegate/deleted')), [], 'nothing in the trash'));

removal("a job's empty directories are no objects, and go", async () => {
  const place = await make();
  mkdirSync(join(place.bucket.path, 'a/b/c/d'), { recursive: true });
  mkdirSync(join(place.bucket.path, 'e'));
  mkdirSync(join(place.bucket.path, `deep/${'d/'.repeat(1500)}`), { recursive: true });
  const page = await bench.storage.list(place, { prefix: '', delimiter: '/', after: '', limit: 1000 });
  assert.equal([page.objects, page.prefixes], [[], []]);
  await bench.storage.deleteBucket(place);
  assert.not.ok(existsSync(place.bucket.path));
});

removal('anything else keeps the bucket, and is named', async () => {
  const outside = tempDir();
  const make_ = {
    'x/hidden': (path: string) => writeFileSync(path, ''),
    'x/fifo': (path: string) => void execFileSync('mkfifo', [path]),
    'x/link': (path: string) => symlinkSync(outside, path),
    'x/.tidegate': (path: string) => writeFileSync(path, ''),
  };
  for (const [name, create] of Object.entries(make_)) {
    const place = await make();
    const path = join(place.bucket.path, name);
    mkdirSync(join(place.bucket.path, 'empty/one'), { recursive: true });
    mkdirSync(join(place.bucket.path, 'x'));
    create(path);
    const upload = await newUpload(bench.storage, place, 'u');
    const { message } = await refused(bench.storage.deleteBucket(place), 'BucketNotEmpty');
    assert.match(message, `"${name}"`);
    assert.ok(statSync(join(place.bucket.path, 'empty/one')).isDirectory(), 'nothing is touched');
    assert.is((await bench.storage.listUploads(place, wholeList)).uploads[0]?.id, upload.id);
    rmSync(path);
    await bench.storage.deleteBucket(place);
    assert.not.ok(existsSync(place.bucket.path));
  }
  const place = await make();
  await put(bench.storage, place, 'dir/', '');
  assert.match((await refused(bench.storage.deleteBucket(place), 'BucketNotEmpty')).message, '"dir/"');
});

removal('.tidegate that is something else is not ours', async () => {
  const outside = tempDir();
  writeFileSync(join(outside, 'precious'), '');
  for (const create of [(path: string) => symlinkSync(outside, path), (path: string) => writeFileSync(path, '')]) {
    const place = await make();
    const own = join(place.bucket.path, '.tidegate');
    rmSync(own, { recursive: true });
    create(own);
    await refused(bench.storage.deleteBucket(place), 'BucketNotEmpty');
    rmSync(own);
    mkdirSync(own);
    symlinkSync(outside, join(own, 'staging'));
    symlinkSync(outside, join(own, 'odd'));
    await bench.storage.deleteBucket(place);
    assert.equal(readdirSync(outside), ['precious']);
  }
});

removal('a deletion that loses to a job or to a PUT costs neither uploads nor the PUT', async () => {
  for (let round = 0; round < 60; round++) {
    const place = await make();
    const upload = await newUpload(bench.storage, place, 'up');
    const part = await putPart(bench.storage, place, upload, 1, noise(1000));
    const writing = Promise.allSettled(round % 2 ? [] : [put(bench.storage, place, 'p/big', noise(300_000, round))]);
    const path = join(place.bucket.path, 'job');
    const job = new Promise<boolean>((resolve) =>
      setTimeout(() => {
        try {
          writeFileSync(path, 'result');
          resolve(true);
        } catch {
          resolve(false);
        }
      }, round % 4),
    );
    const [deleted] = await Promise.allSettled([bench.storage.deleteBucket(place)]);
    const [written] = await writing;
    const jobWrote = await job;
    if (deleted.status === 'fulfilled') {
      assert.not.ok(existsSync(place.bucket.path));
      if (written?.status === 'rejected') assert.is((written.reason as S3Error).code, 'NoSuchBucket');
      else assert.is(written, undefined, 'an acknowledged object is not deleted with its bucket');
      continue;
    }
    assert.is((deleted.reason as S3Error).code, 'BucketNotEmpty');
    assert.ok(jobWrote || written?.status === 'fulfilled');
    if (written) assert.is(written.status, 'fulfilled', String((written as PromiseRejectedResult).reason));
    const { etag } = await bench.storage
      .completeUpload(place, 'up', upload.id, [part], {
        ...upload.meta,
        etag: 'done',
      })
      .then(({ meta }) => meta);
    assert.is(etag, 'done');
    assert.equal(await get(bench.storage, place, 'up'), noise(1000));
  }
});

removal('a bucket of another user stays usable after a deletion that was refused', async () => {
  if (!isRoot) return;
  execFileSync('chmod', ['755', bench.root]);
  const actor = { uid: 1234, gid: 1234, groups: [] };
  const place = await make(actor);
  for (let i = 0; i < 40; i++) mkdirSync(join(place.bucket.path, `d${i}`));
  execFileSync('chown', ['-R', '1234:1234', place.bucket.path]);
  writeFileSync(join(place.bucket.path, 'd0/x'), '');
  await refused(bench.storage.deleteBucket(place), 'BucketNotEmpty');
  rmSync(join(place.bucket.path, 'd0/x'));
  // One that the owner may not remove.
  mkdirSync(join(place.bucket.path, 'd1/root'));
  execFileSync('chmod', ['700', join(place.bucket.path, 'd1/root')]);
  await refused(bench.storage.deleteBucket(place), 'BucketNotEmpty');
  rmSync(join(place.bucket.path, 'd1/root'), { recursive: true });
  for (let i = 0; i < 40; i++)
    await put(bench.storage, place, `d${i}`, 'x').catch((error: S3Error) => assert.is(error.code, 'KeyConflict'));
  for (let i = 0; i < 40; i++) await put(bench.storage, place, `e${i}/x`, 'x');
  for (let i = 0; i < 40; i++) await bench.storage.remove(place, `e${i}/x`);
  execFileSync('find', [join(place.bucket.path, '.tidegate'), '-uid', '0'], { encoding: 'utf8' });
  assert.is(execFileSync('find', [join(place.bucket.path, '.tidegate'), '-uid', '0'], { encoding: 'utf8' }), '');
  await bench.storage.deleteBucket(place);
});

removal.run();
