/** Stamping: what a file's record says afterwards. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ObjectMeta } from '../../acl/metadata/types.js';
import { createDigests, loadDigests } from '../../gateway/storage/digest.js';
import { md5, newUpload, noise, put, putPart } from '../suites/storage-tools.js';
import { fingerprintOf, openStamping, type StampBench, stamped } from './stamping.js';

const test = suite('stamping');
let bench: StampBench;
const synthetic = /^[0-9a-f]{32}-0$/;

test.before(async () => {
  bench = await openStamping({ durability: 'full' });
});
test.after(() => bench.close());

const head = async (key: string): Promise<ObjectMeta> => (await bench.storage.head(bench.at, key)).meta;
const write = (key: string, bytes: Uint8Array | string): string => {
  const path = bench.file(key);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, bytes);
  return path;
};
const upload: Partial<ObjectMeta> = {
  headers: { contentType: 'x/y', cacheControl: 'no-store' },
  user: { colour: 'blue' },
  tags: { a: 'b' },
  owner: 'alice',
  acl: '{}',
  write: `Put-${'0'.repeat(32)}`,
};

test("a job's file gets its MD5 and its owner, and nothing else of it changes", async () => {
  const bytes = noise(100_000);
  const path = write('jobs/new.txt', bytes);
  chmodSync(path, 0o640);
  utimesSync(path, 1_600_000_000.5, 1_600_000_001.5);
  assert.match((await head('jobs/new.txt')).etag, synthetic);
  const before = statSync(path, { bigint: true });
  const { etag, stat, bytes: read } = await stamped(bench.stamp('jobs/new.txt'));
  assert.is(etag, md5(bytes));
  assert.is(read, bytes.length);
  const after = statSync(path, { bigint: true });
  for (const field of ['mode', 'mtimeNs', 'atimeNs', 'size', 'ino', 'uid', 'gid'] as const) {
    assert.is(after[field], before[field], field);
  }
  assert.equal(stat, fingerprintOf(path), 'as it is now, with the ctime that the record left');
  assert.ok(readFileSync(path).equals(bytes));
  assert.equal(await head('jobs/new.txt'), { etag: md5(bytes), headers: {}, user: {}, owner: 'job' });
  const page = await bench.storage.list(bench.at, { prefix: 'jobs/new.txt', delimiter: '', after: '', limit: 1 });
  assert.is(page.objects[0]?.etag, md5(bytes));
  assert.is((await stamped(bench.stamp('jobs/new.txt'))).bytes, 0, 'and is not read again');
});

for (const size of [0, 1, (1 << 20) - 1, 1 << 20, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, (9 << 20) + 7]) {
  test(`a file of ${size} bytes`, async () => {
    const bytes = noise(size, size);
    write('sizes', bytes);
    const result = await stamped(bench.stamp('sizes'));
    assert.equal([result.etag, result.bytes], [md5(bytes), size]);
    assert.is((await head('sizes')).etag, md5(bytes));
  });
}

test('a sparse file larger than 2 GiB', async () => {
  const size = 2 ** 31 + 12_345;
  const path = write('sparse', '');
  truncateSync(path, size);
  const result = await stamped(bench.stamp('sparse'));
  rmSync(path);
  assert.equal([result.etag, result.bytes], ['d1d961c56db5bcd01ee33b4ea1995fa5', size], 'md5sum of as many zeros');
});

test('checksums are computed in the same pass', async () => {
  const bytes = noise((5 << 20) + 3);
  await loadDigests();
  for (const checksum of ['CRC64NVME', 'SHA256'] as const) {
    const other = await openStamping({ checksum });
    try {
      writeFileSync(other.file('x'), bytes);
      assert.is((await stamped(other.stamp('x'))).bytes, bytes.length);
      const digests = createDigests([checksum === 'SHA256' ? 'sha256' : 'crc64nvme']);
      digests.update(bytes);
      const value = Buffer.from(Object.values(digests.finish())[0]!).toString('base64');
      const { meta } = await other.storage.head(other.at, 'x');
      assert.equal(meta.checksum, { algorithm: checksum, type: 'FULL_OBJECT', value });
      assert.is(meta.etag, md5(bytes));
      // What a client has chosen is not replaced.
      const mine = { algorithm: 'SHA1', type: 'FULL_OBJECT', value: 'kCGJ1rVqn4wPGtyxC8p0bGlXfTk=' } as const;
      await put(other.storage, other.at, 'mine', 'content', { checksum: mine });
      chmodSync(other.file('mine'), 0o600);
      assert.ok((await stamped(other.stamp('mine'))).bytes > 0);
      assert.equal((await other.storage.head(other.at, 'mine')).meta.checksum, mine);
    } finally {
      await other.close();
    }
  }
});

test('an upload to which nothing has happened is not read', async () => {
  const { meta } = await put(bench.storage, bench.at, 'upload', 'content', upload);
  const result = await stamped(bench.stamp('upload'));
  assert.equal([result.etag, result.bytes], [md5('content'), 0]);
  assert.equal(result.stat, fingerprintOf(bench.file('upload')));
  assert.equal(await head('upload'), meta);
});

const harmless: Record<string, (path: string) => void> = {
  chmod: (path) => chmodSync(path, 0o600),
  link: (path) => linkSync(path, `${path}.other-name`),
  rename: (path) => {
    renameSync(path, `${path}.moved`);
    renameSync(`${path}.moved`, path);
  },
  touch: (path) => utimesSync(path, 1, 2),
};
for (const [what, change] of Object.entries(harmless)) {
  test(`${what}: an upload keeps all that it had`, async () => {
    const key = `kept-${what}`;
    const { meta } = await put(bench.storage, bench.at, key, 'content', upload);
    change(bench.file(key));
    assert.match((await head(key)).etag, synthetic, 'not believed until it was read');
    assert.is((await stamped(bench.stamp(key))).bytes, 7);
    assert.equal(await head(key), meta);
  });
}

test('a multipart upload keeps its ETag over a chmod, its parts and what came with it', async () => {
  const sizes = [5 << 20, 5 << 20, 100];
  const parts = [];
  const made = await newUpload(bench.storage, bench.at, 'multi');
  for (const [i, size] of sizes.entries()) {
    parts.push(await putPart(bench.storage, bench.at, made, i + 1, noise(size, i)));
  }
  const digest = createHash('md5');
  for (const { etag } of parts) digest.update(Buffer.from(etag, 'hex'));
  const etag = `${digest.digest('hex')}-3`;
  const meta: ObjectMeta = {
    ...upload,
    etag,
    headers: {},
    user: { k: 'v' },
    parts: sizes.map((size, i) => ({ number: i + 1, size })),
    uploadId: made.id,
  };
  await bench.storage.completeUpload(bench.at, 'multi', made.id, parts, meta);
  chmodSync(bench.file('multi'), 0o600);
  const size = sizes.reduce((a, b) => a + b, 0);
  const result = await stamped(bench.stamp('multi'));
  assert.equal([result.etag, result.bytes], [etag, size]);
  assert.equal(await head('multi'), meta);

  // Other bytes of the same size at the same times: the parts are no longer what it was made of.
  const path = bench.file('multi');
  const { mtimeNs } = statSync(path, { bigint: true });
  const bytes = noise(size, 99);
  writeFileSync(path, bytes, { flag: 'r+' });
  execFileSync('touch', [
    '-m',
    '-d',
    `@${mtimeNs / 1_000_000_000n}.${`${mtimeNs % 1_000_000_000n}`.padStart(9, '0')}`,
    path,
  ]);
  assert.is(statSync(path, { bigint: true }).mtimeNs, mtimeNs);
  const again = await stamped(bench.stamp('multi'));
  assert.is(again.etag, md5(bytes));
  assert.equal(await head('multi'), {
    etag: md5(bytes),
    headers: {},
    user: {},
    owner: 'alice',
    acl: '{}',
    tags: { a: 'b' },
  });
});

test('other content with the same size and mtime: what spoke of the content goes, owner, ACL and tags stay', async () => {
  await put(bench.storage, bench.at, 'sly', 'content', upload);
  const path = bench.file('sly');
  execFileSync('cp', ['-p', path, `${path}.times`]);
  writeFileSync(path, 'CONTENT');
  execFileSync('touch', ['-r', `${path}.times`, path]);
  assert.is((await stamped(bench.stamp('sly'))).etag, md5('CONTENT'));
  const expected = { etag: md5('CONTENT'), headers: {}, user: {}, tags: { a: 'b' }, owner: 'alice', acl: '{}' };
  assert.equal(await head('sly'), expected);
  writeFileSync(path, 'longer than before');
  assert.is((await stamped(bench.stamp('sly'))).etag, md5('longer than before'));
  assert.equal(await head('sly'), { ...expected, etag: md5('longer than before') });
});

test("a copy that carries the original's attributes gets nothing of them", async () => {
  await put(bench.storage, bench.at, 'original', 'content', upload);
  execFileSync('cp', ['-a', bench.file('original'), bench.file('copy')]);
  assert.is((await stamped(bench.stamp('copy'))).bytes, 7);
  assert.equal(await head('copy'), { etag: md5('content'), headers: {}, user: {}, owner: 'job' });
  assert.equal((await head('original')).user, { colour: 'blue' });
});

test('tags that S3 put on a file before it was stamped stay', async () => {
  write('tagged', 'content');
  await bench.storage.updateMeta(bench.at, 'tagged', { tags: { t: '1' } });
  await stamped(bench.stamp('tagged'));
  assert.equal(await head('tagged'), { etag: md5('content'), headers: {}, user: {}, owner: 'job', tags: { t: '1' } });
});

test('a renamed file is trusted without being read, but only if its record says the same', async () => {
  await put(bench.storage, bench.at, 'old-name', 'content', upload);
  const { meta } = await bench.storage.head(bench.at, 'old-name');
  renameSync(bench.file('old-name'), bench.file('new-name'));
  const result = await stamped(bench.stamp('new-name', { trusted: { etag: md5('content') } }));
  assert.equal([result.etag, result.bytes], [md5('content'), 0]);
  assert.equal(await head('new-name'), meta);

  renameSync(bench.file('new-name'), bench.file('third-name'));
  const wrong = await stamped(bench.stamp('third-name', { trusted: { etag: md5('something else') } }));
  assert.equal([wrong.etag, wrong.bytes], [md5('content'), 7]);

  write('bare', 'content');
  await stamped(bench.stamp('bare', { trusted: { etag: md5('content') } }));
  assert.is((await head('bare')).etag, md5('content'));
});

test('metadata that lies in an overflow file goes along, and its old file goes', async () => {
  const user = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`k${i}`, 'v'.repeat(200)]));
  const { meta } = await put(bench.storage, bench.at, 'big-meta', 'content', { user });
  const files = bench.area('meta');
  assert.is(files.length, 1);
  chmodSync(bench.file('big-meta'), 0o600);
  await stamped(bench.stamp('big-meta'));
  assert.equal(await head('big-meta'), { ...meta, owner: 'job' });
  assert.is(bench.area('meta').length, 1);
  assert.is.not(bench.area('meta')[0], files[0]);
});

test('a directory that is an object needs nothing', async () => {
  await put(bench.storage, bench.at, 'dir/', '');
  const result = await stamped(bench.stamp('dir/'));
  assert.equal([result.etag, result.bytes], [md5(''), 0]);
  await put(bench.storage, bench.at, 'dir-with-body/', 'body');
  assert.is((await stamped(bench.stamp('dir-with-body/'))).etag, md5('body'));
  mkdirSync(bench.file('plain'));
  assert.equal(await bench.stamp('plain/'), { outcome: 'gone' });
});

test('what is no file is gone', async () => {
  const seen = fingerprintOf(write('there', 'x'));
  execFileSync('mkfifo', [bench.file('fifo')]);
  execFileSync('ln', ['-s', 'there', bench.file('symlink')]);
  for (const key of ['absent', 'fifo', 'symlink', 'plain', 'there/below', 'a/../there']) {
    assert.equal(await bench.stamp(key, {}, seen), { outcome: 'gone' }, key);
  }
});

test('a bucket whose user has removed .tidegate gets it again', async () => {
  const other = await openStamping();
  try {
    writeFileSync(other.file('x'), 'content');
    rmSync(other.file('.tidegate'), { recursive: true });
    assert.is((await stamped(other.stamp('x'))).etag, md5('content'));
    assert.is((await other.storage.head(other.at, 'x')).meta.etag, md5('content'));
    rmSync(other.at.bucket.path, { recursive: true });
    const seen = fingerprintOf(other.root);
    assert.equal(await other.stamp('x', {}, seen), { outcome: 'gone' });
  } finally {
    await other.close();
  }
});

test('with sidecar files', async () => {
  const other = await openStamping({ sidecars: true });
  try {
    writeFileSync(other.file('x'), 'content');
    const seen = fingerprintOf(other.file('x'));
    const result = await stamped(other.stamp('x'));
    assert.equal(result.stat, seen, 'nothing of the file itself has changed');
    assert.is((await other.storage.head(other.at, 'x')).meta.etag, md5('content'));
    assert.is((await stamped(other.stamp('x'))).bytes, 0);
    const { meta } = await put(other.storage, other.at, 'up', 'content', upload);
    chmodSync(other.file('up'), 0o600);
    assert.match((await other.storage.head(other.at, 'up')).meta.etag, synthetic);
    assert.is((await stamped(other.stamp('up'))).bytes, 7);
    assert.equal((await other.storage.head(other.at, 'up')).meta, meta);
    assert.is(other.area('meta').length, 2);
    copyFileSync(other.file('up'), other.file('copied'));
    await stamped(other.stamp('copied'));
    assert.equal((await other.storage.head(other.at, 'copied')).meta.user, {});
  } finally {
    await other.close();
  }
});

test('nothing is left in staging', () => assert.equal(bench.area('staging'), []));

test.run();
