/** What jobs do to the files behind the gateway's back. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  cpSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ListedObject } from '../../../gateway/storage/types.js';
import { get, md5, noise, put, refused } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';
import { withTimeout } from '../../support/time.js';
import { type Bench, openBench } from './store.js';

const synthetic = /^[0-9a-f]{32}-0$/;

for (const sidecars of [false, true]) {
  const foreign = suite(`files that jobs touch, ${sidecars ? 'sidecars' : 'attributes'}`);
  let bench: Bench;
  const listed = async (key: string): Promise<ListedObject | undefined> => {
    const page = await bench.storage.list(bench.at, { prefix: key, delimiter: '', after: '', limit: 1000 });
    return page.objects.find((object) => object.key === key);
  };
  /** All doors say the same. */
  const look = async (key: string) => {
    const info = await bench.storage.head(bench.at, key);
    const object = await bench.storage.open(bench.at, key);
    await object.close();
    assert.equal(object.info, info);
    const entry = await listed(key);
    assert.is(entry?.etag, info.meta.etag);
    assert.is(entry?.owner, info.meta.owner);
    return info;
  };
  const tagged = { user: { a: 'b' }, headers: { contentType: 'text/x' }, tags: { t: '1' }, owner: 'me' };

  foreign.before(async () => {
    bench = await openBench({ sidecars });
  });
  foreign.after(() => bench.storage.close());

  foreign('an in-place write of the same size, at once, never leaves a stale ETag', async () => {
    for (let i = 0; i < 300; i++) {
      await put(bench.storage, bench.at, 'w', 'first content', tagged);
      const fd = openSync(bench.file('w'), 'r+');
      writeSync(fd, 'other content');
      closeSync(fd);
      const { meta } = await bench.storage.head(bench.at, 'w');
      assert.match(meta.etag, synthetic, `round ${i}`);
      // Of an inode number alone it cannot be told whether this is still the same file.
      const kept = sidecars ? {} : { tags: tagged.tags, owner: tagged.owner };
      assert.equal({ ...meta, etag: '' }, { etag: '', headers: {}, user: {}, ...kept });
    }
    assert.match((await look('w')).meta.etag, synthetic);
  });

  foreign('nor does one whose times are put back', async () => {
    for (let i = 0; i < 300; i++) {
      await put(bench.storage, bench.at, 'u', 'first content', tagged);
      // With all nanoseconds, as `touch -r` does it; Node's own call has microseconds only.
      if (i % 100 === 0) {
        execFileSync('sh', [
          '-c',
          'touch -r "$0" "$0.ref"; printf "other content" 1<>"$0"; touch -r "$0.ref" "$0"',
          bench.file('u'),
        ]);
        assert.is(
          statSync(bench.file('u'), { bigint: true }).mtimeNs,
          statSync(`${bench.file('u')}.ref`, { bigint: true }).mtimeNs,
        );
      } else {
        const { atime, mtime } = statSync(bench.file('u'));
        const fd = openSync(bench.file('u'), 'r+');
        writeSync(fd, 'other content');
        closeSync(fd);
        utimesSync(bench.file('u'), atime, mtime);
      }
      assert.match((await bench.storage.head(bench.at, 'u')).meta.etag, synthetic, `round ${i}`);
    }
  });

  foreign('the ETag of an untouched object stays', async () => {
    const infos = await Promise.all(
      Array.from({ length: 200 }, (_, i) => put(bench.storage, bench.at, `s/${i}`, `content ${i}`, tagged)),
    );
    for (const info of infos) assert.equal(await look(info.key), info);
  });

  foreign('a copy has no identity of its original', async () => {
    await put(bench.storage, bench.at, 'original', 'content', tagged);
    execFileSync('cp', ['-a', bench.file('original'), bench.file('copy')]);
    const { meta } = await look('copy');
    assert.match(meta.etag, synthetic);
    assert.equal({ ...meta, etag: '' }, { etag: '', headers: {}, user: {} });
    assert.is((await look('original')).meta.etag, md5('content'));
    // Tagging the copy does not touch the original's.
    await bench.storage.updateMeta(bench.at, 'copy', { tags: { mine: '1' } });
    assert.equal((await look('original')).meta.tags, { t: '1' });
    assert.equal((await look('copy')).meta.tags, { mine: '1' });
    await bench.storage.remove(bench.at, 'copy');
    assert.equal((await look('original')).meta.user, { a: 'b' });
  });

  foreign('chmod, rename and link cost the ETag, not the headers', async () => {
    await put(bench.storage, bench.at, 'm', 'content', tagged);
    chmodSync(bench.file('m'), 0o600);
    const { meta } = await look('m');
    assert.match(meta.etag, synthetic);
    assert.equal({ ...meta, etag: '' }, { etag: '', ...tagged });
    await put(bench.storage, bench.at, 'm', 'content', tagged);
    renameSync(bench.file('m'), bench.file('n'));
    assert.equal((await look('n')).meta.headers, tagged.headers);
    await refused(bench.storage.head(bench.at, 'm'), 'NoSuchKey');
    linkSync(bench.file('n'), bench.file('o'));
    assert.equal((await look('o')).meta.user, tagged.user);
  });

  foreign('what is stored of a file stands while one of its names does', async () => {
    const before = bench.area('meta').length;
    // With so much, part of it lies outside of the attribute.
    const much = {
      ...tagged,
      user: Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`n${i}`, noise(250, i).toString('hex')])),
    };
    for (const key of ['two/a', 'two/b']) await put(bench.storage, bench.at, key, 'content', much);
    for (const key of ['a', 'b']) linkSync(bench.file(`two/${key}`), bench.file(`two/${key} too`));
    await put(bench.storage, bench.at, 'two/a', 'other');
    await bench.storage.remove(bench.at, 'two/b');
    for (const key of ['two/a too', 'two/b too']) {
      const { meta } = await look(key);
      assert.equal({ user: meta.user, tags: meta.tags }, { user: much.user, tags: much.tags }, key);
      await bench.storage.remove(bench.at, key);
    }
    await bench.storage.remove(bench.at, 'two/a');
    // And goes with the last one.
    assert.is(bench.area('meta').length, before);
  });

  foreign('a change that only its ctime tells of is seen at once, every time', async () => {
    for (let round = 0; round < 1500; round++) {
      await put(bench.storage, bench.at, 'c', 'content');
      statSync(bench.file('c'));
      chmodSync(bench.file('c'), round % 2 ? 0o600 : 0o640);
      assert.match((await bench.storage.head(bench.at, 'c')).meta.etag, synthetic, `round ${round}`);
    }
  });

  foreign('a directory that was removed and made again is no object, though it has the same inode number', async () => {
    const { storage, at } = bench;
    for (let round = 0; round < 20; round++) {
      await put(storage, at, `reuse${round}/`, '');
      await put(storage, at, `reuse${round}/x`, 'x');
      execFileSync('rm', ['-r', bench.file(`reuse${round}`)]);
      for (const name of [`reuse${round}`, `other${round}`]) {
        mkdirSync(bench.file(name));
        await refused(storage.head(at, `${name}/`), 'NoSuchKey');
        // Nor is it the gateway's, to be removed with its last object.
        await put(storage, at, `${name}/y`, 'y');
        await storage.remove(at, `${name}/y`);
        assert.ok(statSync(bench.file(name)).isDirectory());
      }
    }
  });

  foreign("a job's file is an object with a validator that changes with it", async () => {
    mkdirSync(bench.file('job'));
    writeFileSync(bench.file('job/out.nc'), 'result');
    const first = await look('job/out.nc');
    assert.match(first.meta.etag, synthetic);
    assert.is(first.size, 6);
    assert.is(first.lastModified, Math.floor(statSync(bench.file('job/out.nc')).mtimeMs));
    assert.is(String(await get(bench.storage, bench.at, 'job/out.nc')), 'result');
    appendFileSync(bench.file('job/out.nc'), '!');
    assert.is.not((await look('job/out.nc')).meta.etag, first.meta.etag);
    await bench.storage.remove(bench.at, 'job/out.nc');
    assert.ok(statSync(bench.file('job')).isDirectory(), "a job's directory stays");
  });

  foreign('garbage in the attribute is no metadata, and breaks nothing', async () => {
    if (sidecars) return;
    for (const value of [
      '',
      '\x01',
      '\x01{}',
      '\x01{"m":{"e":"\\r\\n"}}',
      `\x01{"s":[1,"1","1","1"],"x":["${'a'.repeat(32)}","${'b'.repeat(64)}"]}`,
      'x'.repeat(1000),
    ]) {
      writeFileSync(bench.file('garbage'), 'content');
      execFileSync('python3', [
        '-c',
        'import os,sys; os.setxattr(sys.argv[1], "user.tidegate", sys.argv[2].encode())',
        bench.file('garbage'),
        value,
      ]);
      assert.match((await look('garbage')).meta.etag, synthetic);
      await put(bench.storage, bench.at, 'garbage', 'mine');
      assert.is((await look('garbage')).meta.etag, md5('mine'));
      await bench.storage.remove(bench.at, 'garbage');
    }
  });

  foreign('what is no file is no object, is never followed, and never hangs', async () => {
    const outside = tempDir();
    writeFileSync(join(outside, 'secret'), 'secret');
    mkdirSync(bench.file('real'));
    writeFileSync(bench.file('real/x'), 'inside');
    execFileSync('mkfifo', [bench.file('z-fifo')]);
    execFileSync('python3', [
      '-c',
      'import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])',
      bench.file('z-sock'),
    ]);
    symlinkSync(join(outside, 'secret'), bench.file('z-out'));
    symlinkSync('real/x', bench.file('z-in'));
    symlinkSync('nowhere', bench.file('z-dangling'));
    symlinkSync('z-loop', bench.file('z-loop'));
    for (const key of ['z-fifo', 'z-sock', 'z-out', 'z-in', 'z-dangling', 'z-loop', 'real']) {
      await withTimeout(key, 5000, refused(bench.storage.head(bench.at, key), 'NoSuchKey', key));
      await withTimeout(key, 5000, refused(bench.storage.open(bench.at, key), 'NoSuchKey', key));
      await withTimeout(key, 5000, refused(put(bench.storage, bench.at, key, 'x'), 'KeyConflict', key));
      await bench.storage.remove(bench.at, key);
      assert.is(await listed(key), undefined);
    }
    symlinkSync(outside, bench.file('z-dir'));
    symlinkSync('real', bench.file('z-dir-in'));
    for (const key of ['z-dir/secret', 'z-dir-in/x', 'z-dir/']) {
      await refused(bench.storage.head(bench.at, key), 'NoSuchKey', key);
      await refused(put(bench.storage, bench.at, key, 'x'), 'KeyConflict', key);
      await bench.storage.remove(bench.at, key);
    }
    await refused(put(bench.storage, bench.at, 'z-dir/new/deep', 'x'), 'KeyConflict');
    assert.is(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    assert.equal(bench.area('staging'), []);
  });

  foreign('a tree copied with its attributes: neither markers nor the right to remove directories', async () => {
    await put(bench.storage, bench.at, 'tree/', '');
    await put(bench.storage, bench.at, 'tree/sub/x', 'x');
    execFileSync('cp', ['-a', bench.file('tree'), bench.file('twin')]);
    await refused(bench.storage.head(bench.at, 'twin/'), 'NoSuchKey');
    await bench.storage.remove(bench.at, 'twin/sub/x');
    assert.ok(statSync(bench.file('twin/sub')).isDirectory());
    cpSync(bench.file('tree/sub/x'), bench.file('plain'));
    assert.match((await look('plain')).meta.etag, synthetic);
  });

  foreign('a file that shrinks while it is read fails the read', async () => {
    await put(bench.storage, bench.at, 'shrink', Buffer.alloc(3 << 20));
    const object = await bench.storage.open(bench.at, 'shrink');
    truncateSync(bench.file('shrink'), 1 << 20);
    let failed = false;
    try {
      await object.read(0, 3 << 20, () => undefined);
    } catch {
      failed = true;
    }
    await object.close();
    assert.ok(failed);
  });

  foreign('.tidegate removed by its user is made again', async () => {
    execFileSync('rm', ['-rf', bench.file('.tidegate')]);
    await put(bench.storage, bench.at, 'again', 'x');
    assert.is((await look('again')).meta.etag, md5('x'));
    execFileSync('rm', ['-rf', bench.file('.tidegate')]);
    await put(bench.storage, bench.at, 'again2', Buffer.alloc(1 << 20));
    assert.is((await bench.storage.head(bench.at, 'again2')).size, 1 << 20);
  });

  foreign.run();
}
