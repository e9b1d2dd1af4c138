import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../../gateway/errors.js';
import { borrow } from '../../../gateway/storage/posix/lend.js';
import { withBucket } from '../../../gateway/storage/posix/paths.js';
import { reapOps } from '../../../gateway/storage/posix/reap.js';
import { stage } from '../../../gateway/storage/posix/staged.js';
import { close } from '../../../gateway/storage/posix/syscalls.js';
import { decodeUpload, encodeUpload, withUpload } from '../../../gateway/storage/posix/upload-files.js';
import { numbersIn, openPart, partName } from '../../../gateway/storage/posix/upload-parts.js';
import { slices } from '../../../gateway/storage/posix/uploads.js';
import type { Part } from '../../../gateway/storage/types.js';
import {
  get,
  keysOf,
  md5,
  newUpload,
  noise,
  owner,
  put,
  putPart,
  refused,
  wholeList,
} from '../../suites/storage-tools.js';
import { until, withTimeout } from '../../support/time.js';
import {
  actor,
  type Context,
  complete,
  leftovers,
  metaOf,
  newBucket,
  newName,
  openContext,
  partsOf,
} from './uploading.js';

const test = suite<Context>('posix uploads');

test.before(openContext);
test.after(({ storage }) => storage.close());
test.before.each(newBucket);

test('nothing is left of an upload that was completed or aborted', async ({ storage, at, own }) => {
  for (const [count, size] of [
    [1, 10],
    [1, 300_000],
    [3, 200_000],
  ] as const) {
    const upload = await newUpload(storage, at, 'k');
    const parts: Part[] = [];
    for (let i = 1; i <= count; i++) parts.push(await putPart(storage, at, upload, i, noise(size, i)));
    await complete(storage, at, upload, parts);
    assert.equal(leftovers(own), []);
    assert.is((await storage.head(at, 'k')).meta.etag, metaOf(upload, parts).etag);
  }
  const upload = await newUpload(storage, at, 'k');
  await putPart(storage, at, upload, 1, noise(100));
  await storage.abortUpload(at, 'k', upload.id);
  assert.equal(leftovers(own), []);
});

test('a single part becomes the object without a copy, and its ETag holds', async ({ storage, at, own }) => {
  const upload = await newUpload(storage, at, 'd/k');
  const part = await putPart(storage, at, upload, 7, noise(400_000));
  const { ino } = statSync(join(own, 'uploads', upload.id, 'part.00007'));
  const info = await complete(storage, at, upload, [part]);
  const { ino: published, nlink } = statSync(join(at.bucket.path, 'd/k'));
  assert.is(published, ino);
  assert.is(nlink, 1);
  assert.equal(await storage.head(at, 'd/k'), info);
  assert.match(info.meta.etag, /^[0-9a-f]{32}-1$/);
});

test('a condition that fails leaves the upload as it was, of one part and of several', async ({ storage, at, own }) => {
  await put(storage, at, 'k', 'stands');
  for (const count of [1, 3]) {
    const upload = await newUpload(storage, at, 'k');
    const parts: Part[] = [];
    for (let i = 1; i <= count; i++) parts.push(await putPart(storage, at, upload, i, noise(100_000, i)));
    await refused(complete(storage, at, upload, parts, { ifNoneMatch: '*' }), 'PreconditionFailed');
    await refused(complete(storage, at, upload, parts, { ifMatch: 'no' }), 'PreconditionFailed');
    assert.is((await get(storage, at, 'k')).toString(), 'stands');
    assert.equal(readdirSync(join(own, 'staging')), []);
    assert.equal(
      (await partsOf(storage, at, upload)).map(({ number, etag, size }) => [number, etag, size]),
      parts.map(({ number, etag, size }) => [number, etag, size]),
    );
    await complete(storage, at, upload, parts, { ifMatch: md5('stands') });
    await put(storage, at, 'k', 'stands');
  }
});

test('a crash while a single part is being published gives the part back', async ({ storage, at, own, ground }) => {
  const upload = await newUpload(storage, at, 'k');
  const part = await putPart(storage, at, upload, 1, noise(200_000));
  // What a process that dies at that moment leaves: the part in staging/, with the object's metadata on it or not.
  withBucket(ground, 'write', (bucket) =>
    withUpload(bucket, upload.id, 'k', 'exclusive', (dir) => {
      const found = openPart(bucket, dir.fd, 1)!;
      borrow(bucket, dir, { name: partName(1), part: found.part, stat: found.stat }, randomBytes(16).toString('hex'));
      close(found.fd);
    }),
  );
  assert.not(existsSync(join(own, 'uploads', upload.id, 'part.00001')));
  // A reaper that passes by must not take it for garbage, however old it is.
  await sleep(20);
  const reaped = reapOps.reapBucket(ground, { stagingAgeMs: 1 });
  assert.equal(reaped, { uploads: 0, staged: 0 });
  const [again] = await partsOf(storage, at, upload);
  assert.equal([again!.etag, again!.size, again!.checksum], [part.etag, part.size, part.checksum]);
  await complete(storage, at, upload, [again!]);
  assert.ok((await get(storage, at, 'k')).equals(noise(200_000)));
  assert.equal(leftovers(own), []);
});

test('a crash after publishing, before the upload was removed: a retry finds the object', async (context) => {
  const { storage, at, own } = context;
  for (const count of [1, 2]) {
    const upload = await newUpload(storage, at, `k${count}`);
    const parts: Part[] = [];
    for (let i = 1; i <= count; i++) parts.push(await putPart(storage, at, upload, i, noise(100_000, i)));
    const dir = join(own, 'uploads', upload.id);
    const text = readFileSync(join(dir, 'upload.json'));
    const info = await complete(storage, at, upload, parts);
    mkdirSync(dir);
    writeFileSync(join(dir, 'upload.json'), text);
    assert.equal(await complete(storage, at, upload, parts, { ifNoneMatch: '*' }), info);
    await refused(storage.upload(at, upload.key, upload.id), 'NoSuchUpload');
    assert.equal(leftovers(own), []);
  }
});

test('a part that was replaced or changed since the caller looked is InvalidPart, and nothing happens', async (context) => {
  const { storage, at, own } = context;
  const upload = await newUpload(storage, at, 'k');
  const one = await putPart(storage, at, upload, 1, noise(100_000, 1));
  const two = await putPart(storage, at, upload, 2, noise(100_000, 2));
  const newer = await putPart(storage, at, upload, 2, noise(100_000, 3));
  await refused(complete(storage, at, upload, [one, two]), 'InvalidPart');
  await refused(complete(storage, at, upload, [two]), 'InvalidPart');
  const file = join(own, 'uploads', upload.id, 'part.00002');
  writeFileSync(file, noise(100_000, 9));
  assert.equal(await partsOf(storage, at, upload), [one]);
  await refused(complete(storage, at, upload, [one, newer]), 'InvalidPart');
  rmSync(file);
  await refused(complete(storage, at, upload, [one, newer]), 'InvalidPart');
  await refused(storage.head(at, 'k'), 'NoSuchKey');
  assert.equal(readdirSync(join(own, 'staging')), []);
  await complete(storage, at, upload, [one]);
});

test('a part that is sent again while others complete: the object is one or the other, whole', async (context) => {
  const { storage, at } = context;
  for (let round = 0; round < 5; round++) {
    const upload = await newUpload(storage, at, 'k');
    const parts = [
      await putPart(storage, at, upload, 1, noise(1_000_000, 1)),
      await putPart(storage, at, upload, 2, noise(1_000_000, 2)),
    ];
    const outcomes = await Promise.allSettled([
      putPart(storage, at, upload, 2, noise(1_000_000, 3)),
      complete(storage, at, upload, parts),
      complete(storage, at, upload, parts),
    ]);
    const codes = outcomes.slice(1).map((each) => (each.status === 'fulfilled' ? 'ok' : each.reason.code));
    for (const code of codes) assert.ok(['ok', 'NoSuchUpload', 'InvalidPart'].includes(code), code);
    if (!codes.includes('ok')) continue;
    assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([noise(1_000_000, 1), noise(1_000_000, 2)])));
    await storage.remove(at, 'k');
  }
});

test('an upload whose directory is removed while its parts are looked for is none any more', async (context) => {
  const { storage, at, own, ground } = context;
  const upload = await newUpload(storage, at, 'k');
  const look = () =>
    withBucket(ground, 'write', (bucket) =>
      withUpload(bucket, upload.id, 'k', 'none', ({ fd }) => {
        rmSync(join(own, 'uploads', upload.id), { recursive: true });
        return numbersIn(fd);
      }),
    );
  assert.throws(look, (error: S3Error) => error.code === 'NoSuchUpload');
});

test('an abort and a completion at once: one wins, nothing is left', async ({ storage, at, own }) => {
  for (let round = 0; round < 8; round++) {
    const upload = await newUpload(storage, at, `r${round}`);
    const parts = [await putPart(storage, at, upload, 1, noise(300_000))];
    if (round % 2) parts.push(await putPart(storage, at, upload, 2, noise(10)));
    const [completed, aborted] = await Promise.allSettled([
      complete(storage, at, upload, parts),
      storage.abortUpload(at, upload.key, upload.id),
    ]);
    assert.ok(completed.status !== aborted.status || completed.status === 'fulfilled');
    assert.equal((await keysOf(storage, at)).includes(`r${round}`), completed.status === 'fulfilled');
    assert.equal(leftovers(own), []);
  }
});

test('what is in uploads/ is input: damaged, foreign and hostile files are no uploads', async ({
  storage,
  at,
  own,
}) => {
  const upload = await newUpload(storage, at, 'k');
  const dir = join(own, 'uploads', upload.id);
  const good = readFileSync(join(dir, 'upload.json'));
  const json = JSON.parse(good.toString()) as Record<string, unknown>;
  const spoilt: (string | Buffer)[] = [
    '',
    'null',
    '[]',
    good.subarray(0, 30),
    Buffer.alloc(2 << 20, 0x20),
    JSON.stringify({ ...json, key: '../../etc/passwd' }),
    JSON.stringify({ ...json, key: '.tidegate/x' }),
    JSON.stringify({ ...json, initiated: 'now' }),
    JSON.stringify({ ...json, initiated: 9e15 }),
    JSON.stringify({ ...json, initiator: 5 }),
    JSON.stringify({ ...json, checksum: ['CRC99', 'FULL_OBJECT'] }),
    JSON.stringify({ ...json, meta: 'AAAA' }),
    JSON.stringify({ ...json, version: 2 }),
  ];
  for (const bytes of spoilt) {
    writeFileSync(join(dir, 'upload.json'), bytes);
    await refused(storage.upload(at, 'k', upload.id), 'NoSuchUpload');
    assert.equal((await storage.listUploads(at, wholeList)).uploads, []);
  }
  writeFileSync(join(dir, 'upload.json'), JSON.stringify({ ...json, key: 'other' }));
  await refused(storage.upload(at, 'k', upload.id), 'NoSuchUpload');
  assert.is((await storage.upload(at, 'other', upload.id)).key, 'other');
  rmSync(join(dir, 'upload.json'));
  symlinkSync('/etc/passwd', join(dir, 'upload.json'));
  await refused(storage.upload(at, 'k', upload.id), 'NoSuchUpload');
  rmSync(join(dir, 'upload.json'));
  writeFileSync(join(dir, 'upload.json'), good);
  // A part that is a link to another file, and a journal that names one.
  await put(storage, at, 'victim', 'secret');
  symlinkSync(join(at.bucket.path, 'victim'), join(dir, 'part.00001'));
  linkSync(join(at.bucket.path, 'victim'), join(dir, 'part.00002'));
  writeFileSync(join(dir, 'part.00003'), 'no metadata');
  for (const journal of ['{', '{"staged":"../../victim","ino":"1","part":{"number":1,"etag":"x","size":6}}']) {
    writeFileSync(join(dir, 'single.json'), journal);
    const parts = await partsOf(storage, at, upload);
    assert.ok(parts.every(({ number }) => number === 2));
    assert.not(existsSync(join(dir, 'single.json')));
  }
  await storage.abortUpload(at, 'k', upload.id);
  assert.is((await get(storage, at, 'victim')).toString(), 'secret');
});

test('upload.json holds everything of a new upload, __proto__ and all', () => {
  const upload = {
    meta: {
      headers: { contentType: 'text/plain', contentDisposition: 'attachment; filename="データ"' },
      user: { colour: 'bl\xe5', ['__proto__']: 'x' },
      tags: { 'a b': '1' },
      owner: 'someone',
    },
    checksum: { algorithm: 'SHA256' as const, type: 'COMPOSITE' as const },
    initiator: 'somebody',
  };
  const id = '0'.repeat(32);
  assert.equal(decodeUpload(id, encodeUpload('a/b', 5, upload)), { ...upload, key: 'a/b', id, initiated: 5 });
});

test('parts of more than a slice become the object, and leave nothing', async ({ storage, at, own }) => {
  const upload = await newUpload(storage, at, 'long');
  const contents = [50, 5, 20].map((mib, i) =>
    noise(1 << 20, i + 1)
      .toString('latin1')
      .repeat(mib),
  );
  const parts: Part[] = [];
  const whole = createHash('md5');
  for (const [i, text] of contents.entries()) {
    const content = Buffer.concat([Buffer.from(text, 'latin1'), Buffer.from(`end ${i}`)]);
    whole.update(content);
    const part = await putPart(storage, at, upload, i + 1, content);
    assert.is(part.etag, md5(content));
    parts.push(part);
  }
  await complete(storage, at, upload, parts);
  assert.is(md5(await get(storage, at, 'long')), whole.digest('hex'));
  assert.equal(leftovers(own), []);
});

test('slices: every byte of every part once, in order, bounded', () => {
  const part = (number: number, size: number): Part => ({ number, size, lastModified: 0, etag: '' });
  for (const sizes of [[], [0], [1], [64 << 20], [(64 << 20) + 1], [200 << 20, 5, 70 << 20, 0], Array(2_500).fill(3)]) {
    const parts = sizes.map((size: number, i: number) => part(i + 1, size));
    const at = new Map<number, number>();
    for (const pieces of slices(parts)) {
      assert.ok(pieces.reduce((sum, { length }) => sum + length, 0) <= 64 << 20);
      assert.ok(pieces.length <= 1_001);
      for (const {
        part: { number },
        start,
        length,
      } of pieces) {
        assert.is(start, at.get(number) ?? 0);
        at.set(number, start + length);
      }
    }
    assert.equal(
      [...at],
      parts.map(({ number, size }) => [number, size]),
    );
  }
});

test('reaping: old garbage goes, what is open, young, or in use stays', async ({ storage, at, own, ground }) => {
  const reap = (uploadAgeMs?: number) =>
    reapOps.reapBucket(ground, { stagingAgeMs: 40, ...(uploadAgeMs !== undefined && { uploadAgeMs }) });
  assert.equal(reap(), { uploads: 0, staged: 0 });
  const upload = await newUpload(storage, at, 'k');
  const part = await putPart(storage, at, upload, 1, noise(10));
  const live = withBucket(ground, 'write', stage);
  const [old, young] = ['0'.repeat(32), '1'.repeat(32)];
  writeFileSync(join(own, 'staging', old), 'x');
  mkdirSync(join(own, 'uploads', 'f'.repeat(32)));
  await sleep(60);
  writeFileSync(join(own, 'staging', young), 'x');
  writeFileSync(join(own, 'staging', 'of a user'), 'x');
  assert.equal(reap(60_000), { uploads: 1, staged: 1 });
  assert.equal(readdirSync(join(own, 'staging')).sort(), [live.name, young, 'of a user'].sort());
  assert.equal(await partsOf(storage, at, upload), [part]);
  // Once its process has closed it, it is nobody's any more.
  close(live.fd);
  await sleep(60);
  assert.equal(reap(60_000), { uploads: 0, staged: 2 });
  assert.equal(reap(10), { uploads: 1, staged: 0 });
  await refused(storage.upload(at, 'k', upload.id), 'NoSuchUpload');
  // Only what a gateway has named can be garbage of one.
  unlinkSync(join(own, 'staging', 'of a user'));
  assert.equal(leftovers(own), []);
});

test('reaping never takes the metadata of an object along with another name of its file', async (context) => {
  const { storage, at, own, ground } = context;
  await put(storage, at, 'k', 'content', { user: { large: 'x'.repeat(6_000) } });
  const before = await storage.head(at, 'k');
  assert.is(before.meta.user['large']?.length, 6_000);
  linkSync(join(at.bucket.path, 'k'), join(own, 'staging', 'a'.repeat(32)));
  await sleep(30);
  assert.is(reapOps.reapBucket(ground, { stagingAgeMs: 1 }).staged, 1);
  assert.is((await storage.head(at, 'k')).meta.user['large']?.length, 6_000);
});

/** Of a key of `uploads-killed.ts`. */
const partsIn = (key: string): { count: number; size: number } => {
  const [count, size] = key.split('-').slice(-2).map(Number);
  return { count: count!, size: size! };
};

test('kill -9 in the middle of completions: the upload can be completed again, or the object is there', async (context) => {
  const { root } = context;
  const script = fileURLToPath(new URL('./uploads-killed.js', import.meta.url));
  const name = newName('killed');
  const bucket = await context.storage.createBucket({ name, owner }, actor);
  const at = { bucket, actor };
  for (let round = 0; round < 6; round++) {
    const child = spawn(process.execPath, [script, root, name, `${round}`], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    let told = '';
    child.stdout.on('data', (data) => {
      told += String(data);
    });
    try {
      await withTimeout(
        'the child',
        30_000,
        until('completing', 30_000, () => told.includes('go') || undefined),
      );
      await sleep(5 + round * 7);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
    const acknowledged = new Set([...told.matchAll(/done (\S+)/g)].map(([, key]) => key!));
    const { uploads } = await context.storage.listUploads(at, wholeList);
    for (const upload of uploads) {
      if (!upload.key.startsWith(`r${round}-`)) continue;
      const parts = await partsOf(context.storage, at, upload);
      const { count } = partsIn(upload.key);
      if (parts.length < count) continue; // it was not complete before
      await complete(context.storage, at, upload, parts);
      acknowledged.add(upload.key);
    }
    for (const key of acknowledged) {
      const { count, size } = partsIn(key);
      const whole = Buffer.concat(Array.from({ length: count }, (_, i) => noise(size, i + 1)));
      assert.ok((await get(context.storage, at, key)).equals(whole), key);
      assert.match((await context.storage.head(at, key)).meta.etag, new RegExp(`^[0-9a-f]{32}-${count}$`));
    }
    assert.ok(acknowledged.size > 0);
  }
  const listed = await keysOf(context.storage, at);
  for (const key of listed) {
    const { count, size } = partsIn(key);
    assert.is((await context.storage.head(at, key)).size, count * size);
  }
});

test.run();
