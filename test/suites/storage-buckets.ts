/** Buckets and their configuration documents. */
import * as assert from 'uvu/assert';
import type { Tests } from './storage.js';
import { get, keysOf, newUpload, owner, put, putPart, refused } from './storage-tools.js';

export const bucketTests: Tests = (test, bench) => {
  test('a bucket from making to deleting', async () => {
    const before = Date.now();
    const bucket = await bench.storage.createBucket({ name: 'first.bucket', owner }, bench.actor);
    assert.is(bucket.name, 'first.bucket');
    assert.is(bucket.owner, owner);
    assert.equal(bucket.config, {});
    assert.ok(bucket.path.startsWith('/'));
    assert.ok(Math.abs(Date.parse(bucket.created) - before) < 10_000);
    assert.match(bucket.created, /Z$/);
    assert.equal(await bench.storage.bucket('first.bucket'), bucket);
    assert.is(await bench.storage.bucket('second'), undefined);
    await refused(bench.storage.createBucket({ name: 'first.bucket', owner: 'x' }, bench.actor), 'BucketAlreadyExists');
    assert.equal(await bench.storage.bucket('first.bucket'), bucket);
    await bench.storage.deleteBucket({ bucket, actor: bench.actor });
    assert.is(await bench.storage.bucket('first.bucket'), undefined);
    const again = await bench.storage.createBucket({ name: 'first.bucket', owner: 'other-owner' }, bench.actor);
    assert.is(again.owner, 'other-owner');
    assert.equal(again.config, {});
    assert.equal(await keysOf(bench.storage, { bucket: again, actor: bench.actor }), []);
    await bench.storage.deleteBucket({ bucket: again, actor: bench.actor });
  });

  test('creators of one name at once: just one makes it', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => bench.storage.createBucket({ name: 'raced', owner: `o${i}` }, bench.actor)),
    );
    const winners = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    assert.is(winners.length, 1);
    assert.equal(await bench.storage.bucket('raced'), winners[0]);
  });

  test('buckets are listed by name', async () => {
    for (const name of ['zz-1', 'zz.1', 'zz1']) await bench.storage.createBucket({ name, owner }, bench.actor);
    const names = (await bench.storage.listBuckets()).map(({ name }) => name);
    assert.equal(
      names.filter((name) => name.startsWith('zz')),
      ['zz-1', 'zz.1', 'zz1'],
    );
    assert.equal([...names].sort(), names);
  });

  test('a bucket with an object in it is not deleted', async () => {
    const at = await bench.place();
    for (const key of ['k', 'a/b/c', 'dir/']) {
      await put(bench.storage, at, key, '');
      await refused(bench.storage.deleteBucket(at), 'BucketNotEmpty', key);
      assert.equal(await keysOf(bench.storage, at), [key]);
      await bench.storage.remove(at, key);
    }
    await bench.storage.deleteBucket(at);
    assert.is(await bench.storage.bucket(at.bucket.name), undefined);
  });

  test('unfinished uploads go with their bucket', async () => {
    const at = await bench.place();
    const upload = await newUpload(bench.storage, at, 'd/k');
    await putPart(bench.storage, at, upload, 1, Buffer.from('x'));
    await bench.storage.deleteBucket(at);
    assert.is(await bench.storage.bucket(at.bucket.name), undefined);
  });

  test('a bucket that has gone is NoSuchBucket for everything', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'k');
    await bench.storage.remove(at, 'k');
    await bench.storage.deleteBucket(at);
    await refused(put(bench.storage, at, 'k'), 'NoSuchBucket');
    await refused(bench.storage.head(at, 'k'), 'NoSuchBucket');
    await refused(bench.storage.list(at, { prefix: '', delimiter: '', after: '', limit: 1 }), 'NoSuchBucket');
    await refused(newUpload(bench.storage, at, 'k'), 'NoSuchBucket');
  });

  test('buckets are apart', async () => {
    const [one, other] = [await bench.place(), await bench.place()];
    await put(bench.storage, one, 'k', 'one');
    await put(bench.storage, other, 'k', 'other');
    await bench.storage.remove(one, 'k');
    assert.is(String(await get(bench.storage, other, 'k')), 'other');
    assert.equal(await keysOf(bench.storage, one), []);
  });

  test('a bucket has its configuration from the first moment', async () => {
    const config = { tagging: '{"a":"日本"}' };
    const bucket = await bench.storage.createBucket({ name: 'configured', owner, config }, bench.actor);
    assert.equal(bucket.config, config);
    assert.equal((await bench.storage.bucket('configured'))?.config, config);
    await bench.storage.putConfig(bucket, 'cors', 'x');
    assert.equal(config, { tagging: '{"a":"日本"}' });
  });

  test('configuration documents', async () => {
    const { bucket } = await bench.place();
    await bench.storage.putConfig(bucket, 'tagging', '<Tagging>日本</Tagging>');
    await bench.storage.putConfig(bucket, 'cors', 'x');
    assert.equal((await bench.storage.bucket(bucket.name))?.config, { tagging: '<Tagging>日本</Tagging>', cors: 'x' });
    await bench.storage.putConfig(bucket, 'tagging', undefined);
    await bench.storage.putConfig(bucket, 'never', undefined);
    assert.equal((await bench.storage.bucket(bucket.name))?.config, { cors: 'x' });
    await Promise.all(['a', 'b', 'c', 'd'].map((kind) => bench.storage.putConfig(bucket, kind, kind)));
    assert.is(Object.keys((await bench.storage.bucket(bucket.name))?.config ?? {}).length, 5);
  });

  test('a configuration document is changed by a function without losing what others change', async () => {
    const { bucket } = await bench.place();
    const add = (n: number) =>
      bench.storage.putConfig(bucket, 'roles', (text) => JSON.stringify([...JSON.parse(text ?? '[]'), n]));
    await Promise.all([1, 2, 3, 4, 5, 6].map(add));
    const list = async () => JSON.parse((await bench.storage.bucket(bucket.name))?.config['roles'] ?? 'null');
    assert.equal((await list()).sort(), [1, 2, 3, 4, 5, 6]);
    const refusal = () => {
      throw new Error('no');
    };
    assert.is(await bench.storage.putConfig(bucket, 'roles', refusal).catch(({ message }) => message), 'no');
    assert.is((await list()).length, 6);
    await bench.storage.putConfig(bucket, 'roles', () => undefined);
    assert.equal((await bench.storage.bucket(bucket.name))?.config, {});
  });
};
