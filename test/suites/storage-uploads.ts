/** Multipart uploads. */
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import type { Part, Place, Upload } from '../../gateway/storage/types.js';
import type { Bench, Tests } from './storage.js';
import { bodyOf, get, hex, keysOf, md5, newUpload, noise, put, putPart, refused, wholeList } from './storage-tools.js';

const completed = (upload: Upload, parts: readonly Part[]) => ({
  ...upload.meta,
  etag: `${md5(Buffer.concat(parts.map(({ etag }) => Buffer.from(etag, 'hex'))))}-${parts.length}`,
  parts: parts.map(({ number, size }) => ({ number, size })),
  uploadId: upload.id,
  owner: upload.initiator,
});

const complete = ({ storage }: Bench, at: Place, upload: Upload, parts: readonly Part[]) =>
  storage.completeUpload(at, upload.key, upload.id, parts, completed(upload, parts));

export const uploadTests: Tests = (test, bench) => {
  test('the life of an upload', async () => {
    const at = await bench.place();
    const before = Date.now();
    const upload = await newUpload(bench.storage, at, 'd/big');
    assert.is(upload.key, 'd/big');
    assert.ok(upload.id.length >= 16);
    assert.ok(upload.initiated >= before - 2000 && upload.initiated <= Date.now() + 1000);
    assert.equal(await bench.storage.upload(at, 'd/big', upload.id), upload);
    assert.equal(await keysOf(bench.storage, at), [], 'nothing is visible yet');
    const contents = [noise(1_500_000, 1), noise(70_000, 2), noise(3, 3)];
    const parts: Part[] = [];
    for (const [i, content] of contents.entries()) {
      // Not in order, and with a gap.
      const part = await putPart(bench.storage, at, upload, 30 - i * 10, content);
      assert.is(part.number, 30 - i * 10);
      assert.is(part.size, content.length);
      assert.is(part.etag, md5(content));
      assert.is(part.checksum?.algorithm, 'CRC32');
      assert.ok(Math.abs(part.lastModified - Date.now()) < 10_000);
      parts.unshift(part);
    }
    const listed = await bench.storage.listParts(at, 'd/big', upload.id, 0, 1000);
    assert.equal(listed, { parts, more: false });
    assert.equal(await bench.storage.listParts(at, 'd/big', upload.id, 0, 2), { parts: parts.slice(0, 2), more: true });
    assert.equal(await bench.storage.listParts(at, 'd/big', upload.id, 20, 2), { parts: parts.slice(2), more: false });
    assert.equal(await bench.storage.listParts(at, 'd/big', upload.id, 30, 2), { parts: [], more: false });

    const info = await complete(bench, at, upload, parts);
    const whole = Buffer.concat([contents[2]!, contents[1]!, contents[0]!]);
    assert.is(info.size, whole.length);
    assert.equal(info.meta, completed(upload, parts));
    assert.equal(await bench.storage.head(at, 'd/big'), info);
    assert.ok((await get(bench.storage, at, 'd/big')).equals(whole));
    await refused(bench.storage.upload(at, 'd/big', upload.id), 'NoSuchUpload');
    await refused(complete(bench, at, upload, parts), 'NoSuchUpload');
    await refused(bench.storage.listParts(at, 'd/big', upload.id, 0, 10), 'NoSuchUpload');
    assert.equal((await bench.storage.listUploads(at, wholeList)).uploads, []);
  });

  test('only the parts that are named, the latest of each number', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'k');
    await putPart(bench.storage, at, upload, 1, noise(100_000, 1));
    const second = await putPart(bench.storage, at, upload, 2, noise(100, 2));
    await putPart(bench.storage, at, upload, 3, noise(100, 3));
    const first = await putPart(bench.storage, at, upload, 1, noise(50, 4));
    assert.is((await bench.storage.listParts(at, 'k', upload.id, 0, 10)).parts.length, 3);
    const info = await complete(bench, at, upload, [first, second]);
    assert.is(info.size, 150);
    assert.ok((await get(bench.storage, at, 'k')).equals(Buffer.concat([noise(50, 4), noise(100, 2)])));
  });

  test('one part alone, and an empty one', async () => {
    const at = await bench.place();
    for (const size of [0, 10, 2_000_000]) {
      const upload = await newUpload(bench.storage, at, `k${size}`);
      const part = await putPart(bench.storage, at, upload, 1, noise(size));
      await complete(bench, at, upload, [part]);
      assert.ok((await get(bench.storage, at, `k${size}`)).equals(noise(size)));
    }
  });

  test('parts sent at once', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'k');
    const contents = Array.from({ length: 24 }, (_, i) => noise(20_000 + i * 10_000, i + 1));
    const parts = await Promise.all(contents.map((content, i) => putPart(bench.storage, at, upload, i + 1, content)));
    await complete(bench, at, upload, parts);
    assert.ok((await get(bench.storage, at, 'k')).equals(Buffer.concat(contents)));
  });

  test('an upload ends when it is aborted', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'd/k');
    await putPart(bench.storage, at, upload, 1, noise(100_000));
    await bench.storage.abortUpload(at, 'd/k', upload.id);
    await refused(bench.storage.upload(at, 'd/k', upload.id), 'NoSuchUpload');
    await refused(putPart(bench.storage, at, upload, 2, noise(10)), 'NoSuchUpload');
    await refused(bench.storage.abortUpload(at, 'd/k', upload.id), 'NoSuchUpload');
    assert.equal(await keysOf(bench.storage, at), []);
    await put(bench.storage, at, 'd', 'nothing is in the way');
  });

  test('an id belongs to its key, and comes from nobody else', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'k');
    for (const [key, id] of [
      ['other', upload.id],
      ['k', 'nonsense'],
      ['k', '../../etc'],
      ['k', ''],
      ['k', `${upload.id}/..`],
      ['k', '0'.repeat(300)],
      ['k', '\0'],
    ] as const) {
      const alien = { ...upload, key, id };
      await refused(bench.storage.upload(at, key, id), 'NoSuchUpload', id);
      await refused(putPart(bench.storage, at, alien, 1, noise(5)), 'NoSuchUpload', id);
      await refused(bench.storage.listParts(at, key, id, 0, 5), 'NoSuchUpload', id);
      await refused(complete(bench, at, alien, []), 'NoSuchUpload', id);
      await refused(bench.storage.abortUpload(at, key, id), 'NoSuchUpload', id);
    }
    const elsewhere = await bench.place();
    await refused(bench.storage.upload(elsewhere, 'k', upload.id), 'NoSuchUpload');
    assert.equal(await bench.storage.upload(at, 'k', upload.id), upload);
  });

  test('a part that fails leaves the one before', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'k');
    const part = await putPart(bench.storage, at, upload, 1, noise(1000, 1));
    const fail = { after: 100_000, error: new S3Error('IncompleteBody') };
    const seal = () => {
      throw new S3Error('BadDigest');
    };
    const fine = { digests: ['md5' as const], seal: () => ({ etag: 'x' }) };
    await refused(
      bench.storage.putPart(at, 'k', upload.id, 1, bodyOf(noise(200_000), { fail }), fine),
      'IncompleteBody',
    );
    await refused(bench.storage.putPart(at, 'k', upload.id, 1, bodyOf('x'), { digests: [], seal }), 'BadDigest');
    await refused(bench.storage.putPart(at, 'k', upload.id, 2, bodyOf('x'), { digests: [], seal }), 'BadDigest');
    assert.equal((await bench.storage.listParts(at, 'k', upload.id, 0, 10)).parts, [part]);
    await complete(bench, at, upload, [part]);
    assert.ok((await get(bench.storage, at, 'k')).equals(noise(1000, 1)));
  });

  test('parts copied from ranges of an object', async () => {
    const at = await bench.place();
    const content = noise(3_000_000);
    await put(bench.storage, at, 'source', content);
    const upload = await newUpload(bench.storage, at, 'target');
    const source = await bench.storage.open(at, 'source');
    const request = {
      digests: ['md5' as const],
      seal: ({ digests }: { digests: { md5?: Uint8Array } }) => ({ etag: hex(digests.md5) }),
    };
    const ranges = [
      { start: 2_000_000, length: 1_000_000 },
      { start: 0, length: 1 },
      { start: 1, length: 1_500_001 },
    ];
    const parts: Part[] = [];
    for (const [i, range] of ranges.entries()) {
      const part = await bench.storage.copyPart(source, range, at, 'target', upload.id, i + 1, request);
      assert.is(part.size, range.length);
      assert.is(part.etag, md5(content.subarray(range.start, range.start + range.length)));
      parts.push(part);
    }
    await source.close();
    await bench.storage.remove(at, 'source');
    await complete(bench, at, upload, parts);
    const expected = Buffer.concat(ranges.map(({ start, length }) => content.subarray(start, start + length)));
    assert.ok((await get(bench.storage, at, 'target')).equals(expected));
  });

  test('an upload completes over an object; a conflict leaves the upload', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'k', 'old', { user: { old: 'yes' } });
    const upload = await newUpload(bench.storage, at, 'k');
    const part = await putPart(bench.storage, at, upload, 1, noise(10));
    await complete(bench, at, upload, [part]);
    assert.equal((await bench.storage.head(at, 'k')).meta.user, { colour: 'blue' });

    const late = await newUpload(bench.storage, at, 'd/k');
    const only = await putPart(bench.storage, at, late, 1, noise(10));
    await put(bench.storage, at, 'd', 'in the way');
    await refused(complete(bench, at, late, [only]), 'KeyConflict');
    await bench.storage.remove(at, 'd');
    await complete(bench, at, late, [only]);
    assert.equal(await keysOf(bench.storage, at), ['d/k', 'k']);
  });

  test('two completions at once: one succeeds', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'k');
    const parts = [await putPart(bench.storage, at, upload, 1, noise(300_000))];
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => complete(bench, at, upload, parts)));
    const codes = outcomes.map((outcome) => (outcome.status === 'fulfilled' ? 'ok' : outcome.reason.code));
    assert.equal(codes.sort(), ['NoSuchUpload', 'NoSuchUpload', 'ok']);
    assert.ok((await get(bench.storage, at, 'k')).equals(noise(300_000)));
  });

  test('the uploads of a bucket, in pages', async () => {
    const at = await bench.place();
    const uploads: Upload[] = [];
    for (const key of ['b', 'a/2', 'a/1', 'b', 'c/x/y', 'é', 'b'])
      uploads.push(await newUpload(bench.storage, at, key));
    const whole = await bench.storage.listUploads(at, wholeList);
    assert.equal(
      whole.uploads.map(({ key }) => key),
      ['a/1', 'a/2', 'b', 'b', 'b', 'c/x/y', 'é'],
    );
    assert.equal(whole.next, undefined);
    const byId = (a: Upload, b: Upload) => (a.id < b.id ? -1 : 1);
    assert.equal([...whole.uploads].sort(byId), [...uploads].sort(byId));
    const found: Upload[] = [];
    for (let marker: { key: string; uploadId: string } | undefined = { key: '', uploadId: '' }; marker; ) {
      const page: Awaited<ReturnType<typeof bench.storage.listUploads>> = await bench.storage.listUploads(at, {
        ...wholeList,
        keyMarker: marker.key,
        uploadIdMarker: marker.uploadId,
        limit: 2,
      });
      assert.ok(page.uploads.length <= 2);
      found.push(...page.uploads);
      marker = page.next;
    }
    assert.equal(found, whole.uploads);
    const grouped = await bench.storage.listUploads(at, { ...wholeList, delimiter: '/' });
    assert.equal(grouped.prefixes, ['a/', 'c/']);
    assert.is(grouped.uploads.length, 4);
    assert.is((await bench.storage.listUploads(at, { ...wholeList, prefix: 'a/' })).uploads.length, 2);
    assert.is((await bench.storage.listUploads(at, { ...wholeList, keyMarker: 'b' })).uploads.length, 2);
  });

  test('an upload of a directory object', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'dir/');
    const part = await putPart(bench.storage, at, upload, 1, noise(1000));
    await complete(bench, at, upload, [part]);
    assert.ok((await get(bench.storage, at, 'dir/')).equals(noise(1000)));
    assert.equal(await keysOf(bench.storage, at), ['dir/']);
  });
};
