/** Conditional writes, also when many come at once. */
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import type { Tests } from './storage.js';
import { bodyOf, get, keysOf, md5, newUpload, noise, put, putPart, refused, request } from './storage-tools.js';

export const conditionTests: Tests = (test, bench) => {
  test('If-None-Match: *', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'k', 'first', {}, { ifNoneMatch: '*' });
    const error = await refused(put(bench.storage, at, 'k', 'second', {}, { ifNoneMatch: '*' }), 'PreconditionFailed');
    assert.is(error.fields['Condition'], 'If-None-Match');
    await put(bench.storage, at, 'dir/', '', {}, { ifNoneMatch: '*' });
    await refused(put(bench.storage, at, 'dir/', '', {}, { ifNoneMatch: '*' }), 'PreconditionFailed');
    assert.is(String(await get(bench.storage, at, 'k')), 'first');
  });

  test('If-Match', async () => {
    const at = await bench.place();
    await refused(put(bench.storage, at, 'k', 'x', {}, { ifMatch: '*' }), 'NoSuchKey');
    await refused(put(bench.storage, at, 'new/k', 'x', {}, { ifMatch: md5('x') }), 'NoSuchKey');
    assert.equal(await keysOf(bench.storage, at), []);
    await put(bench.storage, at, 'k', 'one');
    const error = await refused(put(bench.storage, at, 'k', 'x', {}, { ifMatch: md5('other') }), 'PreconditionFailed');
    assert.is(error.fields['Condition'], 'If-Match');
    await put(bench.storage, at, 'k', 'two', {}, { ifMatch: md5('one') });
    await put(bench.storage, at, 'k', 'three', {}, { ifMatch: '*' });
    assert.is(String(await get(bench.storage, at, 'k')), 'three');
    await put(bench.storage, at, 'new', 'no directory is left in the way');
  });

  test('a delete with conditions', async () => {
    const at = await bench.place();
    const info = await put(bench.storage, at, 'k', 'one');
    const seconds = Math.floor(info.lastModified / 1000);
    await refused(bench.storage.remove(at, 'k', { ifMatch: md5('x') }), 'PreconditionFailed');
    await refused(bench.storage.remove(at, 'k', { ifMatchSize: 4 }), 'PreconditionFailed');
    await refused(bench.storage.remove(at, 'k', { ifMatchLastModified: seconds - 1 }), 'PreconditionFailed');
    assert.equal(await keysOf(bench.storage, at), ['k']);
    await bench.storage.remove(at, 'k', { ifMatch: md5('one'), ifMatchSize: 3, ifMatchLastModified: seconds });
    // "If the ETag matches or if the object doesn't exist, the operation will return 204" (DeleteObject).
    await bench.storage.remove(at, 'k', { ifMatch: md5('one') });
    await bench.storage.remove(at, 'k', { ifMatch: '*' });
    await put(bench.storage, at, 'dir/', '');
    await refused(bench.storage.remove(at, 'dir/', { ifMatch: md5('x') }), 'PreconditionFailed');
    await bench.storage.remove(at, 'dir/', { ifMatch: md5('') });
    assert.equal(await keysOf(bench.storage, at), []);
  });

  test('50 creators at once: just one makes it', async () => {
    const at = await bench.place();
    for (const size of [100, 300_000]) {
      const key = `d/${size}`;
      const contents = Array.from({ length: 50 }, (_, i) => noise(size, i + 1));
      const outcomes = await Promise.allSettled(
        contents.map((content) => bench.storage.put(at, key, bodyOf(content), request({}, { ifNoneMatch: '*' }))),
      );
      const winners = outcomes.flatMap((outcome, i) => (outcome.status === 'fulfilled' ? [i] : []));
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') continue;
        assert.instance(outcome.reason, S3Error);
        assert.is(outcome.reason.code, 'PreconditionFailed', outcome.reason.message);
      }
      assert.is(winners.length, 1);
      assert.is((await bench.storage.head(at, key)).meta.etag, md5(contents[winners[0]!]!));
      assert.ok((await get(bench.storage, at, key)).equals(contents[winners[0]!]!));
    }
  });

  test('compare and swap: no increment is lost', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'counter', '0');
    const increment = async () => {
      for (;;) {
        const object = await bench.storage.open(at, 'counter');
        const chunks: Buffer[] = [];
        await object.read(0, object.info.size, (chunk) => void chunks.push(Buffer.from(chunk)));
        await object.close();
        const next = String(Number(Buffer.concat(chunks).toString()) + 1);
        try {
          await put(bench.storage, at, 'counter', next, {}, { ifMatch: object.info.meta.etag });
          return;
        } catch (error) {
          if (!(error instanceof S3Error) || error.code !== 'PreconditionFailed') throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: 12 }, increment));
    assert.is(String(await get(bench.storage, at, 'counter')), '12');
  });

  test('conditions of a completed upload', async () => {
    const at = await bench.place();
    const before = await put(bench.storage, at, 'k', 'there');
    const upload = await newUpload(bench.storage, at, 'k');
    const part = await putPart(bench.storage, at, upload, 1, Buffer.from('new'));
    const meta = { ...upload.meta, etag: `${md5('x')}-1`, uploadId: upload.id };
    const complete = (condition: { ifMatch?: string; ifNoneMatch?: string }) =>
      bench.storage.completeUpload(at, 'k', upload.id, [part], meta, condition);
    await refused(complete({ ifNoneMatch: '*' }), 'PreconditionFailed');
    await refused(complete({ ifMatch: 'other' }), 'PreconditionFailed');
    assert.equal(await bench.storage.head(at, 'k'), before);
    await complete({ ifMatch: before.meta.etag });
    assert.is(String(await get(bench.storage, at, 'k')), 'new');
  });
};
