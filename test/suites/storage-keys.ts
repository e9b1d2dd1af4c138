/** Keys: which can be stored, which stand in each other's way, directories as objects. */
import * as assert from 'uvu/assert';
import type { Tests } from './storage.js';
import { bodyOf, get, keysOf, md5, newUpload, noise, put, refused, request } from './storage-tools.js';

export const keyTests: Tests = (test, bench) => {
  test('keys of all kinds', async () => {
    const at = await bench.place();
    const keys = [
      '日本語/ファイル名.txt',
      '😀/😀',
      'with space + plus % percent & amp ? question # hash',
      'new\nline\ttab',
      '.hidden',
      '...',
      'a..b',
      '-dash',
      'back\\slash',
      'quote"\'`',
      'e\u0301 and \u00e9',
      `${'x'.repeat(255)}/${'y'.repeat(255)}`,
      'é'.repeat(127),
      '\uffff',
      '.tidegate-not',
      'Case',
      'case',
    ];
    for (const key of keys) await put(bench.storage, at, key);
    for (const key of keys) {
      assert.is((await bench.storage.head(at, key)).key, key);
      assert.is(String(await get(bench.storage, at, key)), key);
    }
    const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.equal(await keysOf(bench.storage, at), sorted);
    for (const key of keys) await bench.storage.remove(at, key);
    assert.equal(await keysOf(bench.storage, at), []);
  });

  const invalid = ['', '/', '/a', 'a//b', 'a//', '.', '..', 'a/../b', './a', 'a/.', 'a\0b', '.tidegate', '.tidegate/x'];
  invalid.push('a/.tidegate/b', 'a/.tidegate', '.tidegate/', 'x'.repeat(256), 'é'.repeat(128), '\ud800', 'a/\udfff');

  test('keys that a path cannot hold', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'a/b');
    const source = await bench.storage.open(at, 'a/b');
    const long = `${'a'.repeat(200)}/`.repeat(5) + 'b'.repeat(20);
    for (const key of [...invalid, long]) {
      const code = key === long ? 'KeyTooLongError' : 'InvalidArgument';
      const what = JSON.stringify(key);
      const error = await refused(put(bench.storage, at, key), code, what);
      assert.is(error.status, 400);
      await refused(bench.storage.copy(source, at, key, request()), code, what);
      await refused(newUpload(bench.storage, at, key), code, what);
      await refused(bench.storage.head(at, key), 'NoSuchKey', what);
      await refused(bench.storage.open(at, key), 'NoSuchKey', what);
      await refused(bench.storage.updateMeta(at, key, { tags: {} }), 'NoSuchKey', what);
      await bench.storage.remove(at, key);
    }
    await source.close();
    assert.equal(await keysOf(bench.storage, at), ['a/b']);
    assert.is(String(await get(bench.storage, at, 'a/b')), 'a/b');
  });

  test('a longest key', async () => {
    const at = await bench.place();
    const key = `${'a'.repeat(204)}/`.repeat(4) + 'b'.repeat(204);
    assert.is(key.length, 1024);
    await put(bench.storage, at, key);
    assert.is(String(await get(bench.storage, at, key)), key);
    assert.equal(await keysOf(bench.storage, at), [key]);
  });

  test('`a` against `a/b`', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'a', 'file');
    for (const key of ['a/b', 'a/b/c', 'a/']) {
      const error = await refused(put(bench.storage, at, key, ''), 'KeyConflict', key);
      assert.is(error.status, 409);
      assert.match(error.message, /file stands where the key needs a directory/i);
      await refused(bench.storage.head(at, key), 'NoSuchKey');
      await bench.storage.remove(at, key);
    }
    assert.is(String(await get(bench.storage, at, 'a')), 'file');
    await put(bench.storage, at, 'd/e/f', 'deep');
    for (const key of ['d', 'd/e']) {
      const error = await refused(put(bench.storage, at, key), 'KeyConflict', key);
      assert.match(error.message, /directory with objects stands at this name/i);
      await refused(bench.storage.head(at, key), 'NoSuchKey');
      await bench.storage.remove(at, key);
    }
    assert.equal(await keysOf(bench.storage, at), ['a', 'd/e/f']);
    // Neither is in the way once the other has gone.
    await bench.storage.remove(at, 'a');
    await put(bench.storage, at, 'a/b');
    await bench.storage.remove(at, 'd/e/f');
    await put(bench.storage, at, 'd');
    assert.equal(await keysOf(bench.storage, at), ['a/b', 'd']);
  });

  test('a directory as an object', async () => {
    const at = await bench.place();
    const info = await put(bench.storage, at, 'dir/', '', { headers: { contentType: 'httpd/unix-directory' } });
    assert.is(info.key, 'dir/');
    assert.is(info.size, 0);
    assert.is(info.meta.etag, md5(''));
    const head = await bench.storage.head(at, 'dir/');
    assert.equal(head, info);
    assert.is((await get(bench.storage, at, 'dir/')).length, 0);
    await refused(bench.storage.head(at, 'dir'), 'NoSuchKey');
    await refused(put(bench.storage, at, 'dir'), 'KeyConflict');
    await put(bench.storage, at, 'dir/x');
    assert.equal(await keysOf(bench.storage, at), ['dir/', 'dir/x']);
    assert.is((await bench.storage.head(at, 'dir/')).lastModified, info.lastModified, 'an entry is no change of it');
    assert.equal((await bench.storage.updateMeta(at, 'dir/', { tags: { a: 'b' } })).meta.tags, { a: 'b' });
    await bench.storage.remove(at, 'dir/x');
    assert.equal(await keysOf(bench.storage, at), ['dir/'], 'a marker outlives what was in it');
    await put(bench.storage, at, 'dir/y');
    assert.is(await bench.storage.remove(at, 'dir/'), true, 'the object went, the directory stays');
    assert.is(await bench.storage.remove(at, 'dir/'), false);
    assert.equal(await keysOf(bench.storage, at), ['dir/y']);
    await refused(bench.storage.head(at, 'dir/'), 'NoSuchKey');
    await bench.storage.remove(at, 'dir/y');
    await put(bench.storage, at, 'dir', 'now a file');
  });

  test('a directory above others is no object until somebody says so', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'a/b/c');
    await refused(bench.storage.head(at, 'a/'), 'NoSuchKey');
    await refused(bench.storage.open(at, 'a/b/'), 'NoSuchKey');
    await put(bench.storage, at, 'a/', '');
    assert.equal(await keysOf(bench.storage, at), ['a/', 'a/b/c']);
    await bench.storage.remove(at, 'a/');
    assert.equal(await keysOf(bench.storage, at), ['a/b/c']);
  });

  test('a directory object with a body', async () => {
    const at = await bench.place();
    const content = noise(200_000);
    const info = await bench.storage.put(at, 'dir/', bodyOf(content), request({ user: { a: 'b' } }));
    assert.is(info.size, content.length);
    assert.equal(await bench.storage.head(at, 'dir/'), info);
    assert.ok((await get(bench.storage, at, 'dir/')).equals(content));
    const page = await bench.storage.list(at, { prefix: '', delimiter: '', after: '', limit: 10 });
    assert.is(page.objects[0]?.size, content.length);
    assert.is(page.objects[0]?.etag, md5(content));
    await put(bench.storage, at, 'dir/', 'short', {});
    assert.is(String(await get(bench.storage, at, 'dir/')), 'short');
    const copied = await bench.storage.open(at, 'dir/');
    await bench.storage.copy(copied, at, 'file', request());
    await copied.close();
    assert.is(String(await get(bench.storage, at, 'file')), 'short');
    await put(bench.storage, at, 'dir/', '');
    assert.is((await bench.storage.head(at, 'dir/')).size, 0);
    await bench.storage.remove(at, 'dir/');
    await refused(bench.storage.head(at, 'dir/'), 'NoSuchKey');
    assert.equal(await keysOf(bench.storage, at), ['file']);
  });

  test('a delete and a write of neighbours at once', async () => {
    const at = await bench.place();
    // The directory that the delete empties is the one that the write needs.
    for (let round = 0; round < 30; round++) {
      await put(bench.storage, at, 'p/q/old');
      await Promise.all([bench.storage.remove(at, 'p/q/old'), put(bench.storage, at, 'p/q/new')]);
      assert.equal(await keysOf(bench.storage, at), ['p/q/new']);
      await bench.storage.remove(at, 'p/q/new');
    }
  });
};
