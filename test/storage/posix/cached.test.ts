/** What is in memory is looked at without a worker; what is not, or is not plain, is left to one. */
import {
  appendFileSync,
  chmodSync,
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encode, encodeReference, nameFor, type Packed } from '../../../acl/metadata/codec.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import { fadvise, POSIX_FADV_DONTNEED } from '../../../gateway/storage/posix/background.js';
import { canLookCached, lookCached } from '../../../gateway/storage/posix/cached.js';
import { SETTLED_MS, tickOf } from '../../../gateway/storage/posix/clock.js';
import { acting, as } from '../../../gateway/storage/posix/identity.js';
import { listObjects } from '../../../gateway/storage/posix/list-ops.js';
import { createMounts, isLocal } from '../../../gateway/storage/posix/mounts.js';
import { type Opened, objectOps } from '../../../gateway/storage/posix/objects.js';
import type { Ground } from '../../../gateway/storage/posix/paths.js';
import { close, fsetxattr, fstat } from '../../../gateway/storage/posix/syscalls.js';
import type { Actor, ListRequest } from '../../../gateway/storage/types.js';
import { mustRun } from '../../support/programs.js';
import { tempDir } from '../../support/temp.js';
import { type Bench, me, openBench } from './store.js';

const { types } = createMounts().at(tempDir());
const able = canLookCached() && types.every(isLocal);
const all = suite(`posix cached${able ? '' : ` (not possible here: ${types})`}`);
const test = able ? all : all.skip;

const small = Buffer.from('what the tide brings');
const large = Buffer.alloc(100_000, 'x');
const meta = { etag: 'd41d8cd98f00b204e9800998ecf8427e', headers: { contentType: 'text/plain' }, user: { a: 'b' } };

const putInto = ({ storage, at }: Bench, key: string, bytes: Buffer) =>
  storage.put(at, key, { length: bytes.length, read: async (sink) => sink(bytes) }, { digests: [], seal: () => meta });

const groundOf = ({ at }: Bench): Ground => ({
  path: at.bucket.path,
  durability: 'none',
  sidecars: false,
  fileMode: 0o644,
  directoryMode: 0o755,
});

const withBench = (work: (bench: Bench) => Promise<void>) => async (): Promise<void> => {
  const bench = await openBench();
  try {
    await work(bench);
  } finally {
    await bench.storage.close();
  }
};

test(
  'an object is what the workers say that it is, with its bytes where it is small',
  withBench(async (bench) => {
    const { storage, at } = bench;
    await putInto(bench, 'a/small', small);
    await putInto(bench, 'a/empty', Buffer.alloc(0));
    const seen = await lookCached(groundOf(bench), me, 'a/small', 65_536);
    assert.equal(seen?.info, await storage.head(at, 'a/small'));
    assert.equal(Buffer.from(seen!.bytes!).toString(), small.toString());
    assert.is(seen!.fd, -1);
    assert.equal((await lookCached(groundOf(bench), me, 'a/small', undefined))?.info, seen!.info);
    assert.is((await lookCached(groundOf(bench), me, 'a/empty', 65_536))?.bytes?.length, 0);
    // The bytes of one answer are not those of the next.
    await putInto(bench, 'a/other', Buffer.alloc(small.length, '!'));
    await lookCached(groundOf(bench), me, 'a/other', 65_536);
    assert.equal(Buffer.from(seen!.bytes!).toString(), small.toString());
  }),
);

test(
  'a large one is handed out open',
  withBench(async (bench) => {
    await putInto(bench, 'large', large);
    const seen = (await lookCached(groundOf(bench), me, 'large', 65_536))!;
    assert.is(seen.bytes, undefined);
    assert.ok(seen.fd >= 0);
    close(seen.fd);
    const object = await bench.storage.open(bench.at, 'large');
    const got: Buffer[] = [];
    await object.read(0, large.length, (chunk) => void got.push(Buffer.from(chunk)));
    await object.close();
    assert.ok(Buffer.concat(got).equals(large));
  }),
);

test(
  'what a listing in the same thread remembers is another thing, and so the other way round',
  withBench(async (bench) => {
    const { storage, at } = bench;
    const request: ListRequest = { prefix: '', delimiter: '', after: '', limit: 10 };
    for (const key of ['listed first', 'looked at first']) await putInto(bench, key, small);
    await delay(SETTLED_MS + 100);
    const look = async (key: string) => (await lookCached(groundOf(bench), me, key, undefined))?.info;
    const list = () => as(me, () => listObjects(groundOf(bench), request)).objects;
    const expected = (await storage.list(at, request)).objects;
    assert.equal(await look('looked at first'), await storage.head(at, 'looked at first'));
    for (let turn = 0; turn < 2; turn++) {
      assert.equal(list(), expected);
      assert.equal(await look('listed first'), await storage.head(at, 'listed first'));
    }
  }),
);

test(
  'bytes that are not in memory are not waited for',
  withBench(async (bench) => {
    // Behind a short file the next one is read before its status is known.
    await putInto(bench, 'short', small);
    await lookCached(groundOf(bench), me, 'short', 65_536);
    await putInto(bench, 'cold', small);
    const handle = await open(bench.file('cold'));
    await handle.sync();
    fadvise(handle.fd, 0, 0, POSIX_FADV_DONTNEED);
    await handle.close();
    // tmpfs has nothing but memory.
    if (types[0] !== 'tmpfs') assert.is(await lookCached(groundOf(bench), me, 'cold', 65_536), undefined);
    const object = await bench.storage.open(bench.at, 'cold');
    assert.equal(Buffer.from(object.bytes!).toString(), small.toString());
    await object.close();
    assert.ok(await lookCached(groundOf(bench), me, 'cold', 65_536), 'now they are');
  }),
);

test(
  'what a job wrote, changed or put in the way is left to the workers',
  withBench(async (bench) => {
    const look = (key: string, more: Partial<Ground> = {}) =>
      lookCached({ ...groundOf(bench), ...more }, me, key, 65_536);
    await putInto(bench, 'd/plain', small);
    assert.ok(await look('d/plain'));
    assert.is(await look('d/plain', { sidecars: true }), undefined);
    assert.is(await look('d/plain', { shared: true }), undefined);
    assert.is(await look('missing'), undefined);
    assert.is(await look('d'), undefined);
    assert.is(await look('d/'), undefined);
    assert.is(await look('../bucket/d/plain'), undefined);

    writeFileSync(bench.file('d/job'), small);
    assert.is(await look('d/job'), undefined);
    await putInto(bench, 'd/changed', small);
    writeFileSync(bench.file('d/changed'), 'what the job brings!');
    assert.is(await look('d/changed'), undefined);
    await putInto(bench, 'd/touched', small);
    utimesSync(bench.file('d/touched'), 1, 1);
    assert.is(await look('d/touched'), undefined);

    symlinkSync('plain', bench.file('d/link'));
    assert.is(await look('d/link'), undefined);
    mkdirSync(bench.file('real'));
    renameSync(bench.file('d/plain'), bench.file('real/plain'));
    symlinkSync('real', bench.file('way'));
    assert.is(await look('way/plain'), undefined);
    assert.is((await bench.storage.head(bench.at, 'd/changed')).meta.etag.endsWith('-0'), true);
  }),
);

/** What anybody may have stored, how far its fingerprint is from the truth, what it holds besides, and what came after. */
const world = fc.record({
  size: fc.constantFrom(0, 1, 300, 65_536, 65_537, 100_000),
  etag: fc.constantFrom(meta.etag, `${meta.etag}-3`, `${meta.etag}-0`, ''),
  more: fc.constantFrom<Partial<ObjectMeta>>(
    {},
    { owner: 'someone', acl: '{}', tags: { a: 'b' } },
    { parts: [{ number: 1, size: 7 }], uploadId: 'u' },
    { checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'AAAAAA==' } },
    { user: { long: 'x'.repeat(3000) }, headers: { contentType: 'a/b', expires: 'never' } },
  ),
  off: fc.oneof(
    { weight: 4, arbitrary: fc.constant({ size: 0, mtimeNs: 0n, ino: 0n, bound: 60n }) },
    fc.record({
      size: fc.constantFrom(0, 1),
      mtimeNs: fc.constantFrom(0n, 1n),
      ino: fc.constantFrom(0n, 1n),
      bound: fc.constantFrom(60n, -60n),
    }),
  ),
  shell: fc.constantFrom<Partial<Packed>>({}, {}, { marker: { modified: 5 } }, { made: true }),
  form: fc.constantFrom('whole', 'whole', 'whole', 'whole', 'whole', 'reference', 'unstamped', 'broken', 'none'),
  broken: fc.nat(),
  job: fc.constantFrom(
    'nothing',
    'nothing',
    'nothing',
    'nothing',
    'appends',
    'cuts',
    'writes',
    'touches',
    'links',
    'replaces',
  ),
  synced: fc.boolean(),
  /** It was looked at before the job came, so long after it was made that this was remembered. */
  known: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true)),
  inline: fc.constantFrom(65_536, 0, undefined),
});
type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

const prepare = (path: string, { size, etag, more, off, shell, form, broken }: World): void => {
  writeFileSync(path, Buffer.alloc(size, 'c'));
  // Not within the tick of what a job does next.
  utimesSync(path, 1_000_000_000, 1_000_000_000);
  const fd = openSync(path, 'r+');
  try {
    const stat = fstat(fd);
    const bound = stat.ctimeNs + off.bound * 1_000_000_000n;
    const stamp = { size: size + off.size, mtimeNs: stat.mtimeNs + off.mtimeNs, ino: stat.ino + off.ino, bound };
    const packed: Packed = { ...shell, ...(form !== 'unstamped' && { stamp }), meta: { ...meta, etag, ...more } };
    const overflow = { name: nameFor(stat.ino), hash: '0'.repeat(64) };
    const value = form === 'reference' ? encodeReference({ ...shell, stamp }, overflow) : encode(packed);
    if (form === 'broken') value[broken % value.length]! ^= 1 + (broken % 255);
    if (form !== 'none') fsetxattr(fd, 'user.tidegate', value);
  } finally {
    closeSync(fd);
  }
};

const act = (path: string, job: string): void => {
  if (job === 'appends') appendFileSync(path, '!');
  if (job === 'cuts') truncateSync(path, 0);
  if (job === 'writes') writeFileSync(path, 'j', { flag: 'r+' });
  if (job === 'touches') utimesSync(path, 1, 1);
  if (job === 'links') linkSync(path, `${path}-link`);
  if (job === 'replaces') {
    copyFileSync(path, `${path}-new`);
    renameSync(`${path}-new`, path);
  }
};

/** All that is told of an object, and what is compared later; the descriptor is closed. */
const told = (opened: Opened | undefined) => {
  if (!opened) return undefined;
  const { info, bytes, fd, seen } = opened;
  if (fd >= 0) close(fd);
  return { info, bytes: bytes && Buffer.from(bytes), open: fd >= 0, seen };
};

test(
  'whatever stands there, it is what a worker would tell, or is left to one',
  withBench(async (bench) => {
    let [number, seen] = [0, 0];
    const check = async (one: World) => {
      const key = `d/${number++}`;
      const path = bench.file(key);
      mkdirSync(bench.file('d'), { recursive: true });
      prepare(path, one);
      const ground = { ...groundOf(bench), synced: one.synced };
      if (one.known) {
        learnClock(path);
        await delay(20);
        told(await lookCached(ground, me, key, one.inline));
      }
      act(path, one.job);
      const cached = told(await lookCached(ground, me, key, one.inline));
      if (!cached) return;
      seen++;
      const { inline } = one;
      if (inline === undefined) assert.equal(cached.info, objectOps.headObject(ground, key));
      else assert.equal(cached, told(objectOps.openObject(ground, key, inline)));
      // The bytes of what no job has touched, under the ETag of just these.
      if (cached.bytes) assert.ok(cached.bytes.equals(Buffer.alloc(one.size, 'c')) && one.off.size === 0);
      assert.is(cached.info.meta.etag, one.form === 'broken' ? cached.info.meta.etag : one.etag);
      const idle = one.job === 'cuts' && one.size === 0;
      assert.ok(idle || ['nothing', 'links'].includes(one.job), `a job ${one.job}`);
    };
    await fc.assert(fc.asyncProperty(world, check), { numRuns: 600 });
    assert.ok(seen > 60, `${seen} of ${number} were looked at`);
  }),
);

test(
  'those of one turn look together: each is told of its own, in its own bucket, and only the one that fails is left to a worker',
  withBench(async (bench) => {
    const other = await bench.storage.createBucket({ name: 'other', owner: 'me' }, me);
    const keys = Array.from({ length: 20 }, (_, at) => `d/${at}`);
    for (const key of keys) await putInto(bench, key, Buffer.from(key));
    await putInto({ ...bench, at: { ...bench.at, bucket: other } }, 'd/3', Buffer.from('of the other bucket'));
    writeFileSync(bench.file('d/7'), 'of a job');
    const elsewhere = { ...groundOf(bench), path: other.path };
    const all = [
      ...keys.map((key) => lookCached(groundOf(bench), me, key, 65_536)),
      lookCached(elsewhere, me, 'd/3', 65_536),
      lookCached({ ...elsewhere, path: `${other.path}-gone` }, me, 'd/3', 65_536),
      lookCached(elsewhere, { ...me }, 'd/3', undefined),
    ];
    const told = (await Promise.all(all)).map((seen) => seen && (seen.bytes ? `${seen.bytes}` : seen.info.size));
    assert.equal(told, [
      ...keys.map((key) => (key === 'd/7' ? undefined : key)),
      'of the other bucket',
      undefined,
      'of the other bucket'.length,
    ]);
  }),
);

/** So that what was looked at is remembered after milliseconds. */
const learnClock = (path: string): void => {
  const fd = openSync(path, 'r+');
  tickOf(fd, fstat(fd).dev);
  closeSync(fd);
};

test(
  'what is known of a file holds as long as nothing of it changes',
  withBench(async (bench) => {
    const { storage, at } = bench;
    await putInto(bench, 'd/f', small);
    learnClock(bench.file('d/f'));
    const tags = async () => (await lookCached(groundOf(bench), me, 'd/f', undefined))?.info.meta.tags;
    for (let change = 0; change < 20; change++) {
      await storage.updateMeta(at, 'd/f', { tags: { n: `${change}` } });
      // Looked at within the tick of the clock as well as behind it.
      for (const ms of [0, change, 20]) {
        await delay(ms);
        assert.equal(await tags(), { n: `${change}` }, `after ${ms} ms`);
      }
    }
    const [first, second] = [await lookCached(groundOf(bench), me, 'd/f', 65_536), await storage.head(at, 'd/f')];
    assert.equal(first?.info, second);
    assert.ok(Object.isFrozen(first!.info.meta.tags), 'nobody can change what others are told');
    writeFileSync(bench.file('d/f'), 'of a job, as long..');
    assert.is(await tags(), undefined);
  }),
);

const asRoot = able && process.getuid!() === 0 ? all : all.skip;

asRoot('the kernel checks as the user, and the thread is itself again', async () => {
  const root = tempDir();
  chmodSync(root, 0o711);
  const bench = await openBench({ root, fileMode: 0o640 });
  const { storage } = bench;
  try {
    const as = (uid: number, groups: number[] = []) => ({ uid, gid: uid, groups });
    const anna = as(60_101);
    const bucket = await storage.createBucket({ name: 'hers', owner: 'anna' }, anna);
    chmodSync(bucket.path, 0o755);
    await putInto({ ...bench, at: { bucket, actor: anna } }, 'private', small);
    const ground = { ...groundOf(bench), path: bucket.path };
    const look = async (actor: Actor) => {
      const seen = await lookCached(ground, actor, 'private', 65_536);
      assert.is(acting(), undefined);
      assert.equal(identity(), own, 'all of it is back');
      return seen !== undefined;
    };
    const own = identity();
    const users = [anna, as(60_102), as(60_102, [60_101]), as(60_102, [60_103]), anna];
    const expected = [true, false, true, false, true];
    for (const [at, user] of users.entries()) assert.is(await look(user), expected[at], `${at}`);
    // Of one turn: each as himself all the same, whoever looks with him.
    const together = [...users, ...users.reverse()];
    assert.equal(await Promise.all(together.map(look)), [...expected, ...expected.reverse()]);
  } finally {
    await storage.close();
  }
});

asRoot(
  'what was mounted below a moment ago is left to the workers: it may be none that answers from memory',
  withBench(async (bench) => {
    await putInto(bench, 'd/plain', small);
    await mustRun('mount', ['--bind', bench.file('d'), bench.file('d')]);
    try {
      assert.is(await lookCached(groundOf(bench), me, 'd/plain', undefined), undefined);
      assert.equal((await bench.storage.head(bench.at, 'd/plain')).meta, meta);
    } finally {
      await mustRun('umount', [bench.file('d')]);
    }
    assert.ok(await lookCached(groundOf(bench), me, 'd/plain', undefined));
  }),
);

/** Real, effective, saved and filesystem ids, and groups besides them, of the main thread. */
const identity = (): string[] =>
  readFileSync(`/proc/self/task/${process.pid}/status`, 'utf8')
    .split('\n')
    .filter((line) => /^(Uid|Gid|Groups|CapEff):/.test(line))
    .map((line) =>
      line.startsWith('Groups:') ? line.replace(new RegExp(`\\s${process.getgid!()}(?!\\d)`), '').trim() : line,
    );

all.run();
