/** Two gateways on one root, at the same keys and buckets at the same time. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../../gateway/errors.js';
import { createPosixStorage } from '../../../gateway/storage/posix/index.js';
import type { Storage } from '../../../gateway/storage/types.js';
import { get, keysOf, md5, newUpload, noise, put, putPart, refused } from '../../suites/storage-tools.js';
import { type Bench, me, openBench } from './store.js';

for (const sidecars of [false, true]) {
  const races = suite(`two gateways, ${sidecars ? 'sidecars' : 'attributes'}`);
  let bench: Bench;
  let gateways: Storage[];
  let at: Bench['at'];
  const gateway = (i: number) => gateways[i % 2]!;

  races.before(async () => {
    bench = await openBench({ sidecars });
    at = bench.at;
    gateways = [
      bench.storage,
      await createPosixStorage({ root: bench.root, durability: 'none', workers: 3, sidecars }),
    ];
  });
  races.after(async () => {
    for (const each of gateways) await each.close();
  });

  races('a directory object and the first keys below it, made at once: none is lost', async () => {
    for (let round = 0; round < 150; round++) {
      const keys = [`d${round}/`, `d${round}/x`, `d${round}/y/z`, `d${round}/y/`, `d${round}/w`];
      await Promise.all(keys.map((key, i) => put(gateway(i + round), at, key, key.endsWith('/') ? '' : key)));
      for (const [i, key] of keys.entries()) await gateway(i).head(at, key);
    }
  });

  races('keys that come and go beside one another: what was told last holds', async () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    const client = async (mine: number) => {
      const keys = [`n/${mine}`, `n/m/${mine}`, `n/m/o/${mine}`, `n/m/o/p/${mine}/`, `n/q${mine}/r/s`];
      const stands = new Map<string, string | undefined>();
      for (let step = 0; step < 60; step++) {
        const key = keys[random(keys.length)]!;
        if (random(2)) {
          const text = key.endsWith('/') && random(2) ? '' : `${mine} ${step}`;
          await put(gateway(random(2)), at, key, text);
          stands.set(key, text);
        } else {
          await gateway(random(2)).remove(at, key);
          stands.set(key, undefined);
        }
        const expected = stands.get(key);
        if (expected === undefined) await refused(gateway(random(2)).head(at, key), 'NoSuchKey', key);
        else {
          assert.is((await gateway(random(2)).head(at, key)).meta.etag, md5(expected), key);
          assert.is(String(await get(gateway(random(2)), at, key)), expected);
        }
      }
      for (const key of keys) await gateway(mine).remove(at, key);
    };
    await Promise.all(Array.from({ length: 6 }, (_, i) => client(i)));
    assert.equal(
      (await keysOf(bench.storage, at)).filter((key) => key.startsWith('n')),
      [],
    );
  });

  races('who looks while a key is overwritten is told of one object or the other', async () => {
    const known = new Set(['old', 'new'].map((text) => md5(text)));
    await put(bench.storage, at, 'over', 'old');
    const unknown: string[] = [];
    let done = false;
    const reader = async () => {
      while (!done) {
        // A look at what the kernel has in memory does not wait: the writer would not come to anything.
        await new Promise((resolve) => setImmediate(resolve));
        const { meta } = await gateways[1]!.head(at, 'over');
        if (!known.has(meta.etag)) unknown.push(meta.etag);
      }
    };
    const writer = async () => {
      try {
        for (let i = 0; i < 2000; i++) await put(bench.storage, at, 'over', i % 2 ? 'old' : 'new');
      } finally {
        done = true;
      }
    };
    await Promise.all([writer(), reader(), reader(), reader(), reader()]);
    // A reader waits 200 ms for a writer between two steps: on a busy machine one may stand still for longer.
    assert.ok(unknown.length <= 2, `${unknown}`);
  });

  races('a counter under If-Match counts every success', async () => {
    await put(bench.storage, at, 'counter', '0');
    let successes = 0;
    const client = async (i: number) => {
      for (let tries = 0; tries < 25; tries++) {
        const object = await gateway(i).open(at, 'counter');
        const chunks: Buffer[] = [];
        await object.read(0, object.info.size, (chunk) => void chunks.push(Buffer.from(chunk)));
        await object.close();
        const value = Number(String(Buffer.concat(chunks)));
        const condition = { ifMatch: object.info.meta.etag };
        try {
          await put(gateway(i + tries), at, 'counter', String(value + 1), {}, condition);
          successes++;
        } catch (error) {
          assert.is((error as S3Error).code, 'PreconditionFailed');
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, i) => client(i)));
    assert.is(Number(String(await get(bench.storage, at, 'counter'))), successes);
    assert.ok(successes > 20);
  });

  races('tags of one content never come to stand on another', async () => {
    for (let round = 0; round < 40; round++) {
      await put(bench.storage, at, 'tagged', 'old', { tags: { of: 'old' } });
      await Promise.all([
        put(gateway(round), at, 'tagged', 'new', { tags: { of: 'new' } }),
        gateway(round + 1).updateMeta(at, 'tagged', { tags: { changed: '1' } }),
        gateway(round).updateMeta(at, 'tagged', { tags: { changed: '2' } }),
      ]);
      const { meta } = await gateway(round).head(at, 'tagged');
      assert.is(meta.etag, md5('new'));
      assert.ok(meta.tags?.['of'] === 'new' || meta.tags?.['changed'] !== undefined, JSON.stringify(meta.tags));
    }
  });

  races('of two completions of one upload one publishes; a third finds it done', async () => {
    for (let round = 0; round < 12; round++) {
      const upload = await newUpload(bench.storage, at, `multi/${round}`);
      const numbers = round % 2 ? [1] : [1, 2];
      const parts = [];
      for (const number of numbers) {
        parts.push(await putPart(gateway(number), at, upload, number, noise(100_000, round * 3 + number)));
      }
      const meta = { ...upload.meta, etag: `x-${round}`, uploadId: upload.id };
      const tries = await Promise.allSettled([
        gateway(0).completeUpload(at, upload.key, upload.id, parts, meta),
        gateway(1).completeUpload(at, upload.key, upload.id, parts, meta),
        ...(round % 3 ? [] : [gateway(0).abortUpload(at, upload.key, upload.id)]),
      ]);
      for (const each of tries) {
        if (each.status === 'rejected') assert.is((each.reason as S3Error).code, 'NoSuchUpload', `round ${round}`);
      }
      const completed = tries.slice(0, 2).some(({ status }) => status === 'fulfilled');
      if (!completed) continue;
      const bytes = await get(bench.storage, at, upload.key);
      assert.is(md5(bytes), md5(Buffer.concat(numbers.map((number) => noise(100_000, round * 3 + number)))));
      assert.is((await bench.storage.head(at, upload.key)).meta.etag, `x-${round}`);
    }
    assert.equal(bench.area('uploads'), []);
    assert.equal(bench.area('staging'), []);
  });

  races('a bucket deleted and made at once is whole or gone', async () => {
    for (let round = 0; round < 25; round++) {
      const make = (i: number) => gateway(i).createBucket({ name: 'twice', owner: 'owner' }, me);
      const bucket = await make(round).catch(() => undefined);
      const place = { bucket: bucket ?? (await bench.storage.bucket('twice'))!, actor: me };
      const outcomes = await Promise.allSettled([
        gateway(0).deleteBucket(place),
        make(1),
        put(gateway(0), place, 'a/b', 'content'),
        gateway(1).deleteBucket(place),
      ]);
      const allowed = ['NoSuchBucket', 'BucketNotEmpty', 'BucketAlreadyExists', 'SlowDown', 'ServiceUnavailable'];
      for (const each of outcomes) {
        if (each.status === 'rejected') {
          assert.instance(each.reason, S3Error);
          const { code, message, cause } = each.reason as S3Error;
          assert.ok(allowed.includes(code), `${code} ${message} ${cause}`);
        }
      }
      const now = await gateway(1).bucket('twice');
      if (outcomes[2]!.status === 'fulfilled') {
        assert.ok(now, 'a bucket with an acknowledged object stays');
        assert.is(String(await get(gateway(1), { bucket: now, actor: me }, 'a/b')), 'content');
      }
      if (now) {
        await put(gateway(0), { bucket: now, actor: me }, 'c', 'works');
        for (const key of ['a/b', 'c']) await gateway(1).remove({ bucket: now, actor: me }, key);
        await gateway(0).deleteBucket({ bucket: now, actor: me });
      }
    }
  });

  races('a document of a bucket is in force at the other gateway with the answer', async () => {
    for (let i = 0; i < 50; i++) {
      await gateway(i).putConfig(at.bucket, 'tagging', `v${i}`);
      assert.is((await gateway(i + 1).bucket('bucket'))?.config['tagging'], `v${i}`);
    }
    await Promise.all(Array.from({ length: 20 }, (_, i) => gateway(i).putConfig(at.bucket, `kind${i}`, 'x')));
    const { config } = (await gateway(1).bucket('bucket'))!;
    for (let i = 0; i < 20; i++) assert.is(config[`kind${i}`], 'x');
  });

  races.run();
}
