// timeout: 180
/** What listings remember by a file's status is never shown of anything else, nor of anything later. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directoryStamp } from '../../../acl/metadata/stamp.js';
import { clearRecord, saveRecord } from '../../../acl/metadata/store.js';
import { SETTLED_MS } from '../../../gateway/storage/posix/clock.js';
import { as, canSwitch } from '../../../gateway/storage/posix/identity.js';
import { sight } from '../../../gateway/storage/posix/known.js';
import { listObjects, objectsOf } from '../../../gateway/storage/posix/list-ops.js';
import { type Ground, prepareBucket, withBucket } from '../../../gateway/storage/posix/paths.js';
import { lookAt, seenWords, WORD } from '../../../gateway/storage/posix/status.js';
import { fstat, RENAME_EXCHANGE } from '../../../gateway/storage/posix/syscalls.js';
import { walk } from '../../../gateway/storage/posix/walk.js';
import type { ListRequest } from '../../../gateway/storage/types.js';
import { tempDir } from '../../support/temp.js';

/** On a disk, and in memory. */
const roots = [tempDir(), memory()].filter((root) => root !== undefined);
let root = '';

function memory(): string | undefined {
  try {
    const path = mkdtempSync('/dev/shm/tidegate-');
    process.on('exit', () => rmSync(path, { recursive: true, force: true }));
    execFileSync('setfattr', ['-n', 'user.tidegate-test', '-v', '1', path], { stdio: 'ignore' });
    return path;
  } catch {
    return undefined;
  }
}

const groundAt = (path: string): Ground => ({
  path,
  durability: 'none',
  sidecars: false,
  fileMode: 0o644,
  directoryMode: 0o755,
});

function newBucket(): Ground {
  const path = mkdtempSync(join(root, 'bucket-'));
  const ground = groundAt(path);
  prepareBucket(ground);
  return ground;
}

const etagOf = (letter: string) => letter.repeat(32);

/** A file with a record. @param lasting it holds whatever becomes of the ctime */
function object(ground: Ground, key: string, letter: string, content = letter, lasting = true): string {
  const path = join(ground.path, key);
  writeFileSync(path, content);
  record(ground, path, letter, lasting);
  return path;
}

function record(ground: Ground, path: string, letter: string, lasting = true): void {
  withBucket(ground, 'read', (bucket) => {
    const fd = openSync(path, 'r+');
    const { size, mtimeNs, ino } = fstat(fd);
    const stamp = { size, mtimeNs, ino, bound: lasting ? 7n * 2n ** 60n : BigInt(Date.now() + 500) * 1_000_000n };
    saveRecord(bucket, fd, fstat(fd), { stamp, meta: { etag: etagOf(letter), headers: {}, user: {} } });
    closeSync(fd);
  });
}

/** Makes a directory an object. */
function mark(ground: Ground, path: string): void {
  withBucket(ground, 'read', (bucket) => {
    const fd = openSync(path, 'r');
    const stat = fstat(fd);
    saveRecord(bucket, fd, stat, { stamp: directoryStamp(stat), marker: { modified: 1_700_000_000_000 } });
    closeSync(fd);
  });
}

const request = (change: Partial<ListRequest> = {}): ListRequest => ({
  prefix: '',
  delimiter: '',
  after: '',
  limit: 1000,
  ...change,
});

const shown = (ground: Ground) =>
  listObjects(ground, request()).objects.map(({ key, size, etag }) => [key, size, etag] as const);
const prefixes = (ground: Ground) => listObjects(ground, request({ delimiter: '/' })).prefixes;

const settle = () => sleep(SETTLED_MS + 100);
/** Until all is remembered that can be. */
const warm = (ground: Ground) => {
  for (let i = 0; i < 3; i++) {
    shown(ground);
    prefixes(ground);
  }
};

for (const where of roots) {
  const test = suite(`what listings remember of files in ${where}`);
  test.before.each(() => {
    root = where;
  });

  test('a file that is changed, by whatever means, shows at once what it is now', async () => {
    const ground = newBucket();
    const names = ['attribute', 'content', 'gone', 'link', 'other', 'plain', 'replaced', 'same'];
    const [attribute, content, gone, link, other, plain, replaced] = names.map((name) =>
      object(ground, name, 'a', 'a', name !== 'content'),
    );
    const bare = join(ground.path, 'bare');
    writeFileSync(bare, 'job');
    await settle();
    warm(ground);
    const before = new Map(shown(ground).map(([key, ...rest]) => [key, rest]));
    for (const name of ['content', 'same']) assert.equal(before.get(name), [1, etagOf('a')]);
    assert.match(String(before.get('bare')![1]), /-0$/);

    record(ground, attribute!, 'b');
    // In place, and its time put back.
    const { atime, mtime } = statSync(content!);
    writeFileSync(content!, 'z');
    utimesSync(content!, atime, mtime);
    rmSync(gone!);
    rmSync(link!);
    symlinkSync('same', link!);
    object(ground, 'new', 'c');
    renameSync(join(ground.path, 'new'), other!);
    execFileSync('setfattr', ['-x', 'user.tidegate', plain!]);
    execFileSync('cp', ['-a', join(ground.path, 'same'), replaced!]);
    record(ground, bare, 'd');

    const after = new Map(shown(ground).map(([key, ...rest]) => [key, rest]));
    assert.equal([...after.keys()], ['attribute', 'bare', 'content', 'other', 'plain', 'replaced', 'same']);
    assert.equal(after.get('attribute'), [1, etagOf('b')]);
    assert.equal(after.get('other'), [1, etagOf('c')]);
    assert.equal(after.get('bare'), [3, etagOf('d')]);
    assert.equal(after.get('same'), [1, etagOf('a')]);
    assert.match(String(after.get('plain')![1]), /-0$/);
    assert.is(after.get('content')![0], 1);
    assert.match(String(after.get('content')![1]), /-0$/);
    appendFileSync(content!, 'more');
    assert.is(new Map(shown(ground).map(([key, ...rest]) => [key, rest])).get('content')![0], 5);
  });

  test('what changed a moment ago is not remembered where the clock is not known; what has settled is', async () => {
    // As if it had been seen on a filesystem that is not mounted on this machine's disks.
    const changed = (ms: number) => {
      [seenWords[WORD.dev], seenWords[WORD.dev + 1]] = [0, 0xfffff];
      [seenWords[WORD.ctime], seenWords[WORD.ctime + 1]] = [Math.floor(ms / 1000), 0];
      seenWords[WORD.ctimeNs] = (ms % 1000) * 1e6;
    };
    changed(Date.now());
    assert.is(sight(), undefined);
    changed(Date.now() - SETTLED_MS - 1);
    assert.ok(sight());
    const ground = newBucket();
    object(ground, 'k', 'a');
    await settle();
    const directory = openSync(ground.path, 'r');
    assert.ok(lookAt(directory, 'k'));
    assert.ok(sight());
    closeSync(directory);
  });

  test('changes that follow one another at once show, each of them', () => {
    const ground = newBucket();
    const file = object(ground, 'k', 'a');
    mkdirSync(join(ground.path, 'd'));
    for (let i = 0; i < 500; i++) {
      const letter = 'abcdef'[i % 6]!;
      record(ground, file, letter);
      if (i % 2) writeFileSync(join(ground.path, 'd/f'), '');
      else rmSync(join(ground.path, 'd/f'), { force: true });
      for (let look = 0; look < 3; look++) {
        assert.is(shown(ground).find(([key]) => key === 'k')![2], etagOf(letter), `round ${i}`);
        assert.is(
          shown(ground).some(([key]) => key === 'd/f'),
          i % 2 === 1,
          `round ${i}`,
        );
        assert.equal(prefixes(ground), i % 2 ? ['d/'] : [], `round ${i}`);
      }
    }
  });

  test('a common prefix is there as long as a key is below it', async () => {
    const ground = newBucket();
    const names = ['emptied', 'exchanged', 'kept', 'linked', 'moved', 'removed'];
    for (const name of names) {
      mkdirSync(join(ground.path, name));
      writeFileSync(join(ground.path, name, 'file'), '');
    }
    mkdirSync(join(ground.path, 'filled'));
    await settle();
    warm(ground);
    assert.equal(
      prefixes(ground),
      names.map((name) => `${name}/`),
    );
    const at = (name: string) => join(ground.path, name);
    rmSync(at('emptied/file'));
    mkdirSync(at('empty'));
    renameSync(at('exchanged'), join(mkdtempSync(join(root, 'aside-')), 'away'));
    renameSync(at('empty'), at('exchanged'));
    rmSync(at('linked/file'));
    symlinkSync('../kept/file', at('linked/file'));
    renameSync(at('moved'), at('renamed'));
    symlinkSync('renamed', at('moved'));
    rmSync(at('removed'), { recursive: true });
    writeFileSync(at('filled/file'), '');
    assert.equal(prefixes(ground), ['filled/', 'kept/', 'renamed/']);
  });

  for (const sidecars of [false, true]) {
    test(`a directory that becomes an object, and a record that is replaced${sidecars ? ', in sidecars' : ''}`, async () => {
      const ground = { ...newBucket(), sidecars };
      const file = object(ground, 'k', 'a');
      const directory = join(ground.path, 'd');
      mkdirSync(directory);
      const see = () => [shown(ground).map(([key, , etag]) => (key === 'k' ? etag : key)), prefixes(ground)];
      await settle();
      for (let i = 0; i < 3; i++) assert.equal(see(), [[etagOf('a')], []]);
      record(ground, file, 'b');
      mark(ground, directory);
      for (let i = 0; i < 3; i++) assert.equal(see(), [['d/', etagOf('b')], ['d/']]);
      await settle();
      for (let i = 0; i < 3; i++) assert.equal(see(), [['d/', etagOf('b')], ['d/']]);
      withBucket(ground, 'write', (bucket) => {
        const fd = openSync(directory, 'r');
        clearRecord(bucket, fd, fstat(fd));
        closeSync(fd);
      });
      assert.equal(see(), [[etagOf('b')], []]);
    });
  }

  test('a directory moved to where its keys are too long is no prefix any more', async () => {
    const ground = newBucket();
    const deep = `${'x'.repeat(200)}/`.repeat(4);
    mkdirSync(join(ground.path, deep), { recursive: true });
    mkdirSync(join(ground.path, 'top/inner'), { recursive: true });
    writeFileSync(join(ground.path, 'top/inner', 'f'.repeat(230)), '');
    const inner = (prefix: string) => listObjects(ground, request({ prefix, delimiter: '/' })).prefixes;
    await settle();
    for (let i = 0; i < 3; i++) assert.equal(inner('top/'), ['top/inner/']);
    // Its own times stay: it is the directory above that moves.
    renameSync(join(ground.path, 'top'), join(ground.path, deep, 'top'));
    assert.equal(inner(`${deep}top/`), []);
  });

  (canSwitch ? test : test.skip)('what one user may read is not told to another', async () => {
    const ground = newBucket();
    const [owner, other] = [60_101, 60_102].map((uid) => ({ uid, gid: uid, groups: [] }));
    for (let path = ground.path; path !== '/'; path = dirname(path))
      if (path.includes('tidegate')) chmodSync(path, 0o755);
    const file = object(ground, 'private', 'a');
    mkdirSync(join(ground.path, 'closed'));
    writeFileSync(join(ground.path, 'closed/file'), '');
    for (const [path, mode] of [
      [file, 0o600],
      [join(ground.path, 'closed'), 0o700],
    ] as const) {
      chownSync(path, owner!.uid, owner!.gid);
      chmodSync(path, mode);
    }
    await settle();
    const see = () => [shown(ground).find(([key]) => key === 'private')![2], prefixes(ground)];
    for (let i = 0; i < 3; i++) {
      assert.equal(as(owner, see), [etagOf('a'), ['closed/']]);
      const [etag, below] = as(other, see);
      assert.match(String(etag), /-0$/);
      assert.equal(below, []);
    }
  });

  test('names that become something else after they were read', async () => {
    const ground = newBucket();
    object(ground, 'a', 'a', 'short');
    object(ground, 'b', 'b', 'longer than that');
    symlinkSync('a', join(ground.path, 'to-a'));
    await settle();
    warm(ground);
    withBucket(ground, 'read', (bucket) => {
      const cursor = walk(bucket, '', false);
      try {
        cursor.seek('', true);
        assert.is(cursor.next(), 'a');
        const { load } = objectsOf(bucket, cursor);
        rmSync(join(ground.path, 'a'));
        renameSync(join(ground.path, 'to-a'), join(ground.path, 'a'));
        assert.is(load(), undefined);
        rmSync(join(ground.path, 'a'));
        renameSync(join(ground.path, 'b'), join(ground.path, 'a'));
        assert.is(load()!.size, 'longer than that'.length);
        assert.is(load()!.etag, etagOf('b'));
      } finally {
        cursor.close();
      }
    });
  });

  test('the record of one file is never shown with the status of another', async () => {
    const ground = newBucket();
    const count = 20;
    for (let i = 0; i < count; i++) {
      object(ground, `x${i}`, 'a', 'short');
      object(ground, `y${i}`, 'b', 'longer than that');
    }
    // Another thread exchanges the two of each pair all the time.
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.module).then(({ AT_FDCWD, tryRenameat2 }) => {
        for (let n = 0; Atomics.load(workerData.stop, 0) === 0; n++) {
          const [a, b] = ['x', 'y'].map((name) => workerData.path + '/' + name + (n % workerData.count));
          if (tryRenameat2(AT_FDCWD, a, AT_FDCWD, b, ${RENAME_EXCHANGE}) === 0) Atomics.add(workerData.stop, 1, 1);
        }
      });`;
    const stop = new Int32Array(new SharedArrayBuffer(8));
    const module = new URL('../../../gateway/storage/posix/syscalls.js', import.meta.url).href;
    const worker = new Worker(code, { eval: true, workerData: { module, stop, count, path: ground.path } });
    try {
      for (const until = Date.now() + 20_000; Atomics.load(stop, 1) === 0 && Date.now() < until; ) await sleep(10);
      const from = Atomics.load(stop, 1);
      const etags = new Set<string>();
      for (const until = Date.now() + 3_000; Date.now() < until; ) {
        for (const [key, size, etag] of shown(ground)) {
          etags.add(etag);
          if (etag === etagOf('a')) assert.is(size, 'short'.length, key);
          if (etag === etagOf('b')) assert.is(size, 'longer than that'.length, key);
        }
      }
      assert.ok(etags.has(etagOf('a')) && etags.has(etagOf('b')), 'no record was seen');
      assert.ok(Atomics.load(stop, 1) > from + 1000, 'nothing was exchanged meanwhile');
    } finally {
      Atomics.store(stop, 0, 1);
      await worker.terminate();
    }
  });

  test.run();
}
