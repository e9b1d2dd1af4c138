/** Objects: bytes in, bytes out, metadata, copies. */
import { createHash } from 'node:crypto';
import * as assert from 'uvu/assert';
import type { ObjectMeta } from '../../acl/metadata/types.js';
import { S3Error } from '../../gateway/errors.js';
import type { Digest, OpenObject, Received } from '../../gateway/storage/types.js';
import type { Tests } from './storage.js';
import { bodyOf, get, hex, keysOf, md5, metaOf, noise, put, readFrom, refused, request } from './storage-tools.js';

const everything: Omit<ObjectMeta, 'etag'> = {
  headers: {
    contentType: 'text/plain; charset=utf-8',
    cacheControl: 'no-cache',
    contentDisposition: 'attachment; filename="å.txt"',
    contentEncoding: 'gzip',
    contentLanguage: 'ja',
    expires: 'whenever',
    websiteRedirectLocation: '/x',
  },
  user: { colour: 'blue', 'x-y_z.1': 'v\xe4rde with spaces', ['__proto__']: 'harmless' },
  tags: { project: 'ABCI', empty: '' },
  checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'y/Q5Jg==' },
  owner: 'someone',
  acl: '[1,"someone","gAllUsers","READ"]',
};

export const objectTests: Tests = (test, bench) => {
  test('an object comes back as it was put', async () => {
    const at = await bench.place();
    const before = Date.now();
    const info = await put(bench.storage, at, 'a/b.txt', 'hello', everything);
    assert.is(info.key, 'a/b.txt');
    assert.is(info.size, 5);
    assert.ok(info.lastModified >= before - 2000 && info.lastModified <= Date.now() + 1000, 'lastModified is now');
    assert.equal(info.meta, { etag: md5('hello'), ...everything });
    assert.equal(await bench.storage.head(at, 'a/b.txt'), info);
    const object = await bench.storage.open(at, 'a/b.txt');
    assert.equal(object.info, info);
    assert.is(String(await readFrom(object)), 'hello');
    await object.close();
  });

  for (const size of [0, 1, 65_535, 65_536, 65_537, 131_072, 131_073, 1 << 20, (1 << 20) + 1, 3_333_333]) {
    for (const unknown of [false, true]) {
      test(`${size} bytes, length ${unknown ? 'not ' : ''}told: all digests`, async () => {
        const at = await bench.place();
        const content = noise(size, size + 1);
        const digests: Digest[] = ['md5', 'sha1', 'sha256', 'crc32', 'crc32c', 'crc64nvme'];
        let received: Received | undefined;
        const info = await bench.storage.put(at, 'k', bodyOf(content, { chunk: 10_007, unknown }), {
          digests,
          seal(what) {
            received = { size: what.size, digests: { ...what.digests } };
            return metaOf(what);
          },
        });
        assert.is(info.size, size);
        assert.is(received?.size, size);
        assert.equal(Object.keys(received?.digests ?? {}).sort(), [...digests].sort());
        for (const name of ['md5', 'sha1', 'sha256'] as const) {
          assert.is(hex(received?.digests[name]), createHash(name).update(content).digest('hex'));
        }
        assert.is(received?.digests.crc64nvme?.length, 8);
        const back = await get(bench.storage, at, 'k');
        assert.is(back.length, size);
        assert.ok(back.equals(content), 'the same bytes');
      });
    }
  }

  test('any range of an open object', async () => {
    const at = await bench.place();
    const content = noise(2_500_000);
    await put(bench.storage, at, 'k', content);
    const object = await bench.storage.open(at, 'k');
    for (const [start, length] of [
      [0, 0],
      [0, 1],
      [0, 2_500_000],
      [1, 65_536],
      [65_535, 2],
      [1_048_575, 2],
      [999_999, 1_100_000],
      [2_499_999, 1],
      [2_500_000, 0],
    ] as const) {
      const part = await readFrom(object, start, length);
      assert.ok(part.equals(content.subarray(start, start + length)), `${length} bytes from ${start}`);
    }
    // Several readers of one open object do not disturb each other.
    const parts = await Promise.all([0, 1, 2, 3, 4].map((i) => readFrom(object, i * 400_000, 400_000)));
    assert.ok(Buffer.concat(parts).equals(content.subarray(0, 2_000_000)));
    await object.close();
  });

  test('a sink that throws ends the reading with its error, and the object can be read again', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'k', noise(3_000_000));
    const object = await bench.storage.open(at, 'k');
    const gone = new Error('the client has gone');
    let calls = 0;
    const reading = object.read(0, 3_000_000, async () => {
      if (++calls === 2) throw gone;
    });
    assert.is(await reading.then(String, (error) => error), gone);
    assert.is((await readFrom(object, 0, 10)).length, 10);
    await object.close();
  });

  test('an open object stays what it was, whatever happens to its name', async () => {
    const at = await bench.place();
    const old = noise(1_500_000, 5);
    await put(bench.storage, at, 'k', old);
    const objects: OpenObject[] = [await bench.storage.open(at, 'k')];
    await put(bench.storage, at, 'k', noise(1_500_000, 6));
    assert.ok((await readFrom(objects[0]!)).equals(old), 'after an overwrite');
    objects.push(await bench.storage.open(at, 'k'));
    await bench.storage.remove(at, 'k');
    assert.ok((await readFrom(objects[0]!)).equals(old), 'after a delete');
    assert.ok((await readFrom(objects[1]!)).equals(noise(1_500_000, 6)));
    for (const object of objects) await object.close();
    await refused(bench.storage.head(at, 'k'), 'NoSuchKey');
  });

  test('an overwrite replaces bytes and all metadata', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'k', 'first', everything);
    const second = await put(bench.storage, at, 'k', 'the second', { headers: { contentType: 'x/y' } });
    assert.equal(await bench.storage.head(at, 'k'), second);
    assert.equal(second.meta, { etag: md5('the second'), headers: { contentType: 'x/y' }, user: {} });
    assert.is(String(await get(bench.storage, at, 'k')), 'the second');
  });

  test('a seal that throws leaves nothing, and what was there before', async () => {
    const at = await bench.place();
    const veto = new S3Error('BadDigest');
    const failing = {
      digests: ['md5'] as Digest[],
      seal(): ObjectMeta {
        throw veto;
      },
    };
    for (const size of [5, 300_000, 3_000_000]) {
      await refused(bench.storage.put(at, 'new/k', bodyOf(noise(size)), failing), 'BadDigest');
    }
    await refused(bench.storage.put(at, 'dir/', bodyOf(''), failing), 'BadDigest');
    assert.equal(await keysOf(bench.storage, at), []);
    const before = await put(bench.storage, at, 'old', 'stays', everything);
    await refused(bench.storage.put(at, 'old', bodyOf('x'), failing), 'BadDigest');
    assert.equal(await bench.storage.head(at, 'old'), before);
    assert.is(String(await get(bench.storage, at, 'old')), 'stays');
    // No directory was left in the way of other keys.
    await put(bench.storage, at, 'new', 'a file now');
    await put(bench.storage, at, 'dir', 'a file now');
  });

  test('a body that breaks off leaves nothing, and what was there before', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'old', 'stays');
    for (const [after, size] of [
      [0, 100],
      [100_000, 200_000],
      [2_000_000, 4_000_000],
    ] as const) {
      for (const unknown of [false, true]) {
        const error = new S3Error('IncompleteBody');
        for (const key of ['old', 'new/k']) {
          const body = bodyOf(noise(size), { unknown, fail: { after, error } });
          await refused(bench.storage.put(at, key, body, request()), 'IncompleteBody', `${key} after ${after}`);
        }
      }
    }
    assert.equal(await keysOf(bench.storage, at), ['old']);
    assert.is(String(await get(bench.storage, at, 'old')), 'stays');
    await put(bench.storage, at, 'new', 'a file now');
  });

  test('writers of one key at once: one of them wins, whole', async () => {
    const at = await bench.place();
    const contents = Array.from({ length: 20 }, (_, i) => noise(i % 2 ? 1000 : 400_000, i + 1));
    const infos = await Promise.all(
      contents.map((content, i) => put(bench.storage, at, 'd/k', content, { user: { n: String(i) } })),
    );
    const winner = await bench.storage.head(at, 'd/k');
    const n = Number(winner.meta.user['n']);
    assert.is(winner.meta.etag, md5(contents[n]!));
    assert.equal(winner, infos[n]);
    assert.ok((await get(bench.storage, at, 'd/k')).equals(contents[n]!));
  });

  test('readers beside a writer see one version or the other, whole', async () => {
    const at = await bench.place();
    const versions = [noise(200_000, 1), noise(150_000, 2)];
    const known = new Map(versions.map((bytes) => [md5(bytes), bytes]));
    await put(bench.storage, at, 'k', versions[0]!);
    let done = false;
    const writing = (async () => {
      for (let i = 0; i < 25; i++) await put(bench.storage, at, 'k', versions[i % 2]!);
      done = true;
    })();
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve));
      const object = await bench.storage.open(at, 'k');
      const bytes = await readFrom(object);
      await object.close();
      const expected = known.get(object.info.meta.etag);
      assert.ok(expected, `a known ETag: ${object.info.meta.etag}`);
      assert.ok(bytes.equals(expected!), 'the bytes of its ETag');
    }
    await writing;
  });

  test('deletes', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'a/b/c');
    assert.is(await bench.storage.remove(at, 'a/b/c'), true);
    await refused(bench.storage.head(at, 'a/b/c'), 'NoSuchKey');
    await refused(bench.storage.open(at, 'a/b/c'), 'NoSuchKey');
    for (const key of ['a/b/c', 'never/was', 'dir/', 'no//key']) {
      assert.is(await bench.storage.remove(at, key), false, `there was no ${key}`);
    }
    // The directories that the gateway made are no obstacle.
    await put(bench.storage, at, 'a', 'now a file');
    assert.equal(await keysOf(bench.storage, at), ['a']);
  });

  test('tags change without anything else', async () => {
    const at = await bench.place();
    const first = await put(bench.storage, at, 'k', 'content', everything);
    const tagged = await bench.storage.updateMeta(at, 'k', { tags: { new: 'ü', 'k y': '' } });
    assert.equal(tagged.meta, { ...first.meta, tags: { new: 'ü', 'k y': '' } });
    assert.is(tagged.lastModified, first.lastModified);
    assert.equal(await bench.storage.head(at, 'k'), tagged);
    const bare = await bench.storage.updateMeta(at, 'k', { tags: null });
    assert.is(bare.meta.tags, undefined);
    assert.is(bare.meta.etag, md5('content'));
    assert.equal(await bench.storage.head(at, 'k'), bare);
    assert.is(String(await get(bench.storage, at, 'k')), 'content');
    await refused(bench.storage.updateMeta(at, 'nowhere', { tags: { a: '1' } }), 'NoSuchKey');
  });

  test('an object with other tags than were meant is left alone, where they matter', async () => {
    const at = await bench.place();
    const { meta } = await put(bench.storage, at, 'k', 'content', { tags: { a: '1' }, owner: 'someone' });
    const change = (tags: Record<string, string> | undefined) =>
      bench.storage.updateMeta(at, 'k', { tags: { b: '2' }, of: { owner: 'someone', ...(tags && { tags }) } });
    const others: Record<string, string>[] = [{}, { a: '2' }, { a: '1', b: '2' }];
    for (const tags of others) await refused(change(tags), 'OperationAborted');
    assert.equal((await bench.storage.head(at, 'k')).meta, meta);
    assert.equal((await change({ a: '1' })).meta.tags, { b: '2' });
    await bench.storage.updateMeta(at, 'k', { tags: null });
    assert.equal((await change({})).meta.tags, { b: '2' });
    assert.equal((await change(undefined)).meta.tags, { b: '2' });
  });

  test('the ACL changes without anything else', async () => {
    const at = await bench.place();
    const first = await put(bench.storage, at, 'k', 'content', { tags: { a: '1' }, owner: 'someone' });
    const acl = '[1,"someone","gAuthenticatedUsers","READ"]';
    const open = await bench.storage.updateMeta(at, 'k', { acl });
    assert.equal(open.meta, { ...first.meta, acl });
    assert.equal(await bench.storage.head(at, 'k'), open);
    assert.is((await bench.storage.updateMeta(at, 'k', { tags: null })).meta.acl, acl);
    const closed = await bench.storage.updateMeta(at, 'k', { acl: null });
    assert.is(closed.meta.acl, undefined);
    assert.is(closed.meta.etag, md5('content'));
    await bench.storage.updateMeta(at, 'k', { acl });
    await put(bench.storage, at, 'k', 'another');
    assert.is((await bench.storage.head(at, 'k')).meta.acl, undefined, 'a new object begins closed');
  });

  test('metadata larger than any attribute', async () => {
    const at = await bench.place();
    const parts = Array.from({ length: 10_000 }, (_, i) => ({
      number: i + 1,
      size: 5 << 20,
      checksum: md5(String(i)),
    }));
    const large = { user: { a: 'x'.repeat(2000) }, parts, tags: { t: 'v'.repeat(256) } };
    const info = await put(bench.storage, at, 'k', 'content', large);
    assert.equal(await bench.storage.head(at, 'k'), info);
    assert.is(info.meta.parts?.length, 10_000);
    assert.is((await bench.storage.updateMeta(at, 'k', { tags: null })).meta.parts?.length, 10_000);
    await put(bench.storage, at, 'k', 'small again');
    assert.is((await bench.storage.head(at, 'k')).meta.parts, undefined);
    await bench.storage.remove(at, 'k');
  });

  test('a copy has bytes of its own', async () => {
    const at = await bench.place();
    const other = await bench.place();
    const content = noise(1_234_567);
    const first = await put(bench.storage, at, 'source', content, everything);
    for (const digests of [[], ['md5', 'crc64nvme']] as Digest[][]) {
      const source = await bench.storage.open(at, 'source');
      const info = await bench.storage.copy(source, other, 'deep/copy', {
        digests,
        seal({ size, digests: found }) {
          assert.is(size, content.length);
          assert.equal(Object.keys(found).sort(), [...digests].sort());
          return { ...source.info.meta, user: { copied: 'yes' } };
        },
      });
      await source.close();
      assert.is(info.size, content.length);
      assert.equal(info.meta, { ...first.meta, user: { copied: 'yes' } });
      assert.equal(await bench.storage.head(other, 'deep/copy'), info);
      assert.ok((await get(bench.storage, other, 'deep/copy')).equals(content));
    }
    await put(bench.storage, at, 'source', 'changed');
    assert.ok((await get(bench.storage, other, 'deep/copy')).equals(content));
    await bench.storage.remove(at, 'source');
    assert.ok((await get(bench.storage, other, 'deep/copy')).equals(content));
  });

  test('a copy onto itself changes the metadata', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'k', 'same', everything);
    const source = await bench.storage.open(at, 'k');
    await bench.storage.copy(source, at, 'k', {
      digests: [],
      seal: () => ({ etag: source.info.meta.etag, headers: { contentType: 'new/type' }, user: {} }),
    });
    await source.close();
    assert.equal((await bench.storage.head(at, 'k')).meta.headers, { contentType: 'new/type' });
    assert.is(String(await get(bench.storage, at, 'k')), 'same');
  });

  test('a copy that is refused leaves nothing', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'k', 'content');
    const source = await bench.storage.open(at, 'k');
    const veto = () => {
      throw new S3Error('BadDigest');
    };
    await refused(bench.storage.copy(source, at, 'd/x', { digests: [], seal: veto }), 'BadDigest');
    await refused(bench.storage.copy(source, at, 'a//x', request()), 'InvalidArgument');
    await refused(bench.storage.copy(source, at, 'k', request({}, { ifNoneMatch: '*' })), 'PreconditionFailed');
    await source.close();
    assert.equal(await keysOf(bench.storage, at), ['k']);
    await put(bench.storage, at, 'd');
  });
};
