/** Metadata files whose object has gone are collected, and no others. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dropSidecar } from '../../gateway/storage/posix/orphan-ops.js';
import * as sys from '../../gateway/storage/posix/syscalls.js';
import { newUpload, noise, put, putPart } from '../suites/storage-tools.js';
import { tempDir } from '../support/temp.js';
import { openStamping, type StampBench } from './stamping.js';

const user = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`k${i}`, 'v'.repeat(200)]));
const nobody = () => false;

for (const sidecars of [false, true]) {
  const test = suite(`orphans${sidecars ? ' among sidecars' : ''}`);
  let bench: StampBench;
  test.before.each(async () => {
    bench = await openStamping({ sidecars });
  });
  test.after.each(() => bench.close());
  const collect = (knows: (ino: bigint) => boolean = nobody, ageMs = 0) =>
    bench.stamper.collectOrphans(bench.at.bucket, knows, ageMs);
  const meta = () => bench.area('meta').length;
  /** One with a record outside of the file, of each kind that there is. */
  const fill = async () => {
    const { storage, at } = bench;
    await put(storage, at, 'a/b/file', 'content', { user });
    await put(storage, at, 'other', 'content', { user });
    await put(storage, at, 'dir/', '', { user });
    await put(storage, at, 'with-body/', 'body', { user });
    const upload = await newUpload(storage, at, 'under way');
    await putPart(storage, at, upload, 1, noise(1000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    return upload;
  };

  test('all that is in use stays, whether the catalog knows of it or not', async () => {
    await fill();
    renameSync(bench.file('a/b'), bench.file('moved'));
    execFileSync('ln', [bench.file('other'), bench.file('other-name')]);
    rmSync(bench.file('other'));
    const before = bench.area('meta').sort();
    const bodies = bench.area('bodies');
    assert.ok(before.length >= 4, `${before}`);
    assert.ok(bodies.length >= 1);
    assert.equal(await collect(), { removed: 0 });
    assert.equal(bench.area('meta').sort(), before);
    assert.equal(bench.area('bodies'), bodies);
    for (const key of ['moved/file', 'other-name', 'dir/', 'with-body/']) {
      const info = await bench.storage.head(bench.at, key);
      if (key.endsWith('/')) assert.equal(info.meta.user, user, key);
      assert.is(info.key, key);
    }
  });

  test('what a job has removed goes, once it is old', async () => {
    const upload = await fill();
    const before = meta();
    for (const gone of ['a', 'other', 'dir', 'with-body']) rmSync(bench.file(gone), { recursive: true });
    assert.equal(await collect(nobody, 60_000), { removed: 0 });
    assert.equal(await collect(() => true), { removed: 0 });
    assert.is(meta(), before);
    const first = await collect();
    assert.ok(first.removed >= 4, `${first.removed}`);
    // The body's own metadata, when the body has gone.
    await collect();
    assert.equal(bench.area('bodies'), []);
    // Of the part of the upload that is under way.
    assert.is(meta(), sidecars ? 1 : 0);
    const page = await bench.storage.listParts(bench.at, upload.key, upload.id, 0, 10);
    assert.is(page.parts.length, 1);
    await bench.storage.abortUpload(bench.at, upload.key, upload.id);
    await collect();
    assert.is(meta(), 0);
  });

  test('nothing is removed beside what cannot be looked into, and foreign files stay', async () => {
    await fill();
    rmSync(bench.file('other'));
    for (const name of ['README', 'i12x', 'new-x']) writeFileSync(bench.file(`.tidegate/meta/${name}`), 'x');
    await collect();
    for (const name of ['README', 'i12x', 'new-x']) assert.ok(bench.area('meta').includes(name), name);
    if (process.getuid!() !== 0) {
      rmSync(bench.file('a'), { recursive: true });
      mkdirSync(bench.file('closed'), { mode: 0 });
      assert.match((await collect()).kept ?? '', /EACCES/);
    }
  });

  test('beside uploads', async () => {
    const { storage, at } = bench;
    let writing = true;
    const collector = (async () => {
      while (writing) await collect(nobody, 5_000);
    })();
    for (let i = 0; i < 60; i++) await put(storage, at, `k${i % 7}`, `${i}`, { user });
    writing = false;
    await collector;
    for (let i = 0; i < 7; i++) assert.equal((await storage.head(at, `k${i}`)).meta.user, user);
  });

  test.run();
}

const test = suite('a sidecar that is another one by now');
test('is put back, unless there is a newer one already', () => {
  const path = tempDir();
  const directory = sys.openat2(sys.AT_FDCWD, path, sys.O_PATH | sys.O_DIRECTORY);
  writeFileSync(join(path, 'i1'), 'new');
  const ino = statSync(join(path, 'i1'), { bigint: true }).ino;
  assert.is(dropSidecar(directory, 'i1', ino + 1n), false);
  assert.equal(readdirSync(path), ['i1']);
  assert.is(dropSidecar(directory, 'i1', ino), true);
  assert.equal(readdirSync(path), []);
  assert.is(dropSidecar(directory, 'i1', ino), false);
  sys.close(directory);
});
test.run();
