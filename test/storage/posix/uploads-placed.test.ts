/** Multipart uploads whose parts are written where they belong in the object (`slots.ts`): large ones, of one size. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readAttribute } from '../../../acl/metadata/xattr.js';
import type { S3Error } from '../../../gateway/errors.js';
import { createPosixStorage } from '../../../gateway/storage/posix/index.js';
import { borrow } from '../../../gateway/storage/posix/lend.js';
import { isOfLocal } from '../../../gateway/storage/posix/mounts.js';
import { withBucket } from '../../../gateway/storage/posix/paths.js';
import { reapOps } from '../../../gateway/storage/posix/reap.js';
import { openObject } from '../../../gateway/storage/posix/slots.js';
import { stampFile } from '../../../gateway/storage/posix/staged.js';
import { close, fstat, tryFlock } from '../../../gateway/storage/posix/syscalls.js';
import { withUpload } from '../../../gateway/storage/posix/upload-files.js';
import { stampPart } from '../../../gateway/storage/posix/upload-parts.js';
import { turnMemory } from '../../../gateway/storage/posix/write-turns.js';
import type { Body, Part, Place, Storage, Upload } from '../../../gateway/storage/types.js';
import { get, md5, newUpload, noise, owner, put, putPart, refused } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';
import { until } from '../../support/time.js';
import { actor, type Context, complete, leftovers, metaOf, newBucket, openContext, partsOf } from './uploading.js';

const test = suite<Context>('posix uploads in place');
const MiB = 1 << 20;
const SIZE = 5 * MiB;
/** What part `number` has when it is sent for the nth time. */
const bytes = (number: number, nth = 1, size = SIZE) => noise(size, 100 * nth + number);

test.before(openContext);
test.after(({ storage }) => storage.close());
test.before.each(newBucket);

const send = (storage: Storage, at: Place, upload: Upload, numbers: readonly number[]): Promise<Part[]> =>
  Promise.all(numbers.map((number) => putPart(storage, at, upload, number, bytes(number))));

const filesOf = (own: string, { id }: Upload) => readdirSync(join(own, 'uploads', id)).sort();
const inodeOf = (own: string, { id }: Upload, size = SIZE) => statSync(join(own, 'uploads', id, `whole.${size}`)).ino;

const assertRejects = (promise: Promise<unknown>): Promise<void> =>
  promise.then(
    () => assert.unreachable(),
    () => {},
  );

const request = {
  digests: ['md5'],
  seal: ({ digests }: { digests: { md5?: Uint8Array } }) => ({ etag: Buffer.from(digests.md5!).toString('hex') }),
} as const;

/** A part that is being sent: half of it has come, the rest comes, or the client goes, when the test says so. */
function half(storage: Storage, at: Place, { key, id }: Upload, number: number, content: Buffer) {
  let goOn: (how?: Error) => void = () => {};
  let begun: () => void = () => {};
  const arrived = new Promise<void>((resolve) => (begun = resolve));
  const body: Body = {
    length: content.length,
    read: async (sink) => {
      const rest = new Promise<void>((resolve, reject) => (goOn = (how) => (how ? reject(how) : resolve())));
      const middle = content.length / 2;
      await sink(content.subarray(0, middle));
      begun();
      await rest;
      await sink(content.subarray(middle));
    },
  };
  const done = storage.putPart(at, key, id, number, body, request);
  done.catch(() => {});
  return { arrived, done, goOn: (how?: Error) => goOn(how) };
}

test('parts in any order, the last one shorter: the object is the file that they were written to', async (context) => {
  const { storage, at, own } = context;
  for (const last of [SIZE, 2 * MiB, 6 * MiB - 1, 17, 0]) {
    const size = 6 * MiB;
    const upload = await newUpload(storage, at, 'd/k');
    const content = [1, 2, 3, 4].map((number) => bytes(number, 1, number === 4 ? last : size));
    const parts: Part[] = [];
    for (const number of [3, 1, 4, 2]) parts.push(await putPart(storage, at, upload, number, content[number - 1]!));
    parts.sort((a, b) => a.number - b.number);
    for (const name of ['slot.00001', 'slot.00002', 'slot.00003']) assert.ok(filesOf(own, upload).includes(name), name);
    assert.equal(
      (await partsOf(storage, at, upload)).map((part) => [part.number, part.size, part.etag, part.checksum]),
      content.map((each, index) => [index + 1, each.length, md5(each), parts[index]!.checksum]),
    );
    const ino = inodeOf(own, upload, size);
    const info = await complete(storage, at, upload, parts);
    assert.ok((await get(storage, at, 'd/k')).equals(Buffer.concat(content)));
    assert.equal([info.size, statSync(join(at.bucket.path, 'd/k')).ino], [3 * size + last, ino]);
    assert.equal(await storage.head(at, 'd/k'), info);
    assert.equal(leftovers(own), []);
  }
});

test('parts that come at the same time all lie in their places', async ({ storage, at, own }) => {
  for (let round = 0; round < 12; round++) {
    const upload = await newUpload(storage, at, 'k');
    const parts = await send(storage, at, upload, [1, 2, 3, 4]);
    assert.equal(
      filesOf(own, upload).filter((name) => name.startsWith('part.')),
      [],
    );
    const ino = inodeOf(own, upload);
    await complete(storage, at, upload, parts);
    assert.is(statSync(join(at.bucket.path, 'k')).ino, ino);
  }
});

const locally = ((fd) => {
  const local = isOfLocal(fstat(fd).dev);
  close(fd);
  return local ? test : test.skip;
})(openSync(tmpdir(), 'r'));

locally('their writers take turns, and wait for nobody who has died', async ({ storage, at, own }) => {
  const upload = await newUpload(storage, at, 'in turns');
  const [, , alone] = [1, 2, 3].map((number) => bytes(number));
  // As if somebody died with the turn of every file, again and again.
  const turns = new Int32Array(turnMemory());
  const dead = -7;
  let waited = 0;
  const hold = setInterval(() => {
    for (let cell = 1; cell < turns.length; cell++) {
      waited += Atomics.notify(turns, cell);
      Atomics.store(turns, cell, dead);
    }
  }, 1);
  turns.fill(dead, 1);
  try {
    await put(storage, at, 'alone', alone!);
    assert.is(waited, 0, 'where one alone writes');
    const sent = await send(storage, at, upload, [1, 2]);
    assert.ok(waited > 0);
    await complete(storage, at, upload, sent);
  } finally {
    clearInterval(hold);
    turns.fill(0, 1);
  }
  assert.equal(leftovers(own), []);
  assert.ok((await get(storage, at, 'in turns')).equals(Buffer.concat([bytes(1), bytes(2)])));
});

test('one part alone; and parts copied from other objects', async ({ storage, at, own }) => {
  const one = await newUpload(storage, at, 'one');
  const part = await putPart(storage, at, one, 1, bytes(1));
  const ino = inodeOf(own, one);
  await complete(storage, at, one, [part]);
  assert.is(statSync(join(at.bucket.path, 'one')).ino, ino);
  assert.ok((await get(storage, at, 'one')).equals(bytes(1)));

  const source = randomBytes(11 * MiB);
  await put(storage, at, 'source', source);
  const upload = await newUpload(storage, at, 'copy');
  const object = await storage.open(at, 'source');
  try {
    const ranges = [0, 1].map((index) => ({ start: index * SIZE, length: SIZE }));
    const copied = await Promise.all(
      ranges.map((range, index) => storage.copyPart(object, range, at, 'copy', upload.id, index + 1, request)),
    );
    assert.ok(filesOf(own, upload).includes('slot.00002'));
    await complete(storage, at, upload, copied);
  } finally {
    await object.close();
  }
  assert.ok((await get(storage, at, 'copy')).equals(source.subarray(0, 2 * SIZE)));
  assert.equal(leftovers(own), []);
});

test('a part that is sent again counts, whichever of them was in its place', async ({ storage, at, own }) => {
  for (const again of [1, 2, 3]) {
    const upload = await newUpload(storage, at, 'k');
    const parts = await send(storage, at, upload, [1, 2, 3]);
    const first = parts[again - 1]!;
    parts[again - 1] = await putPart(storage, at, upload, again, bytes(again, 2));
    assert.equal(await partsOf(storage, at, upload), parts);
    await refused(complete(storage, at, upload, parts.with(again - 1, first)), 'InvalidPart');
    await complete(storage, at, upload, parts);
    const expected = Buffer.concat([1, 2, 3].map((number) => bytes(number, number === again ? 2 : 1)));
    assert.ok((await get(storage, at, 'k')).equals(expected));
    assert.equal(leftovers(own), []);
  }
});

test('of two that send one part at a time the later one counts', async ({ storage, at }) => {
  for (const placedLast of [true, false]) {
    const upload = await newUpload(storage, at, 'k');
    const [one] = await send(storage, at, upload, [1]);
    const slow = half(storage, at, upload, 2, bytes(2));
    await slow.arrived;
    let two: Part;
    if (placedLast) {
      await putPart(storage, at, upload, 2, bytes(2, 2));
      slow.goOn();
      two = await slow.done;
    } else {
      const other = half(storage, at, upload, 2, bytes(2, 2));
      await other.arrived;
      slow.goOn();
      await slow.done;
      other.goOn();
      two = await other.done;
    }
    assert.equal(
      (await partsOf(storage, at, upload)).map(({ etag }) => etag),
      [one!.etag, two.etag],
    );
    await complete(storage, at, upload, [one!, two]);
    assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([bytes(1), bytes(2, placedLast ? 1 : 2)])));
  }
});

test('a part that is stored in its place after it was listed is not taken for the one that was listed', async (context) => {
  const { storage, at } = context;
  const upload = await newUpload(storage, at, 'k');
  const slow = half(storage, at, upload, 1, bytes(1));
  await slow.arrived;
  await putPart(storage, at, upload, 1, bytes(1, 2));
  await send(storage, at, upload, [2]);
  const listed = await partsOf(storage, at, upload);
  slow.goOn();
  await slow.done;
  await refused(complete(storage, at, upload, listed), 'InvalidPart');
  const now = await partsOf(storage, at, upload);
  assert.equal(
    [listed, now].map((parts) => parts.map(({ placed }) => placed === true)),
    [
      [false, true],
      [true, true],
    ],
  );
  await complete(storage, at, upload, now);
  assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([bytes(1), bytes(2)])));
});

test('a client that goes in the middle gives its place back', async ({ storage, at, own }) => {
  const upload = await newUpload(storage, at, 'k');
  const gone = half(storage, at, upload, 2, bytes(2, 9));
  await gone.arrived;
  assert.ok(filesOf(own, upload).includes('slot.00002'));
  assert.equal(await partsOf(storage, at, upload), []);
  gone.goOn(new Error('gone'));
  await assertRejects(gone.done);
  await until('it is free', 5_000, () => !filesOf(own, upload).includes('slot.00002') || undefined);
  assert.ok(statSync(join(own, 'uploads', upload.id, `whole.${SIZE}`)).blocks * 512 < MiB, 'its space is');
  const parts = await send(storage, at, upload, [1, 2, 3]);
  const ino = inodeOf(own, upload);
  await complete(storage, at, upload, parts);
  assert.is(statSync(join(at.bucket.path, 'k')).ino, ino, 'nothing was copied');
  assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([1, 2, 3].map((number) => bytes(number)))));
});

test('what came of a part that was given up is not behind the object', async ({ storage, at, own }) => {
  for (const last of [SIZE, 1000]) {
    const upload = await newUpload(storage, at, 'k');
    const gone = half(storage, at, upload, 3, bytes(3, 9));
    await gone.arrived;
    gone.goOn(new Error('gone'));
    await gone.done.catch(() => {});
    await until('it is free', 5_000, () => !filesOf(own, upload).includes('slot.00003') || undefined);
    const parts = [
      await putPart(storage, at, upload, 1, bytes(1)),
      await putPart(storage, at, upload, 2, bytes(2, 1, last)),
    ];
    await complete(storage, at, upload, parts);
    assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([bytes(1), bytes(2, 1, last)])));
  }
});

test('what still comes after the completion never gets into the object', async ({ storage, at, own }) => {
  // A part behind the last, one that was sent again meanwhile, and the last itself.
  for (const late of [4, 2, 3]) {
    const upload = await newUpload(storage, at, 'k');
    const slow = half(storage, at, upload, late, bytes(late, 9));
    await slow.arrived;
    const parts = await send(storage, at, upload, [1, 2, 3]);
    await complete(storage, at, upload, parts);
    const expected = Buffer.concat([1, 2, 3].map((number) => bytes(number)));
    const before = await storage.head(at, 'k');
    slow.goOn();
    await refused(slow.done, 'NoSuchUpload');
    assert.ok((await get(storage, at, 'k')).equals(expected), `${late}`);
    assert.equal(await storage.head(at, 'k'), before);
    assert.equal(leftovers(own), []);
  }
});

test('parts that are not listed, gaps, several sizes: every byte where it belongs', async ({ storage, at, own }) => {
  const cases: { numbers: number[]; listed?: number[]; sizes?: Record<number, number> }[] = [
    { numbers: [1, 2, 3], listed: [1, 2] },
    { numbers: [1, 2, 3], listed: [2, 3] },
    { numbers: [1, 2, 3], listed: [1, 3] },
    { numbers: [3, 5, 9] },
    { numbers: [7] },
    { numbers: [1, 2, 3], sizes: { 1: 6 * MiB } },
    { numbers: [2, 1, 3], sizes: { 2: 7 * MiB } },
    { numbers: [1, 2, 3], sizes: { 1: 6 * MiB, 2: 6 * MiB, 3: 5 * MiB + 1 } },
    { numbers: [3, 1, 2], sizes: { 1: 6 * MiB, 2: 6 * MiB } },
  ];
  for (const { numbers, listed = numbers, sizes = {} } of cases) {
    const upload = await newUpload(storage, at, 'k');
    const content = (number: number) => bytes(number, 1, sizes[number] ?? SIZE);
    const parts = new Map<number, Part>();
    for (const number of numbers) parts.set(number, await putPart(storage, at, upload, number, content(number)));
    const order = [...listed].sort((a, b) => a - b);
    await complete(
      storage,
      at,
      upload,
      order.map((number) => parts.get(number)!),
    );
    const what = JSON.stringify({ numbers, listed, sizes });
    assert.ok((await get(storage, at, 'k')).equals(Buffer.concat(order.map(content))), what);
    assert.equal(leftovers(own), [], what);
  }
});

test('a condition that fails leaves all of it, also for another list of parts', async ({ storage, at, own }) => {
  await put(storage, at, 'k', 'stands');
  const upload = await newUpload(storage, at, 'k');
  const parts = await send(storage, at, upload, [1, 2, 3]);
  const files = filesOf(own, upload);
  for (const list of [parts, parts.slice(0, 2)]) {
    await refused(complete(storage, at, upload, list, { ifNoneMatch: '*' }), 'PreconditionFailed');
    assert.equal(filesOf(own, upload), files);
    assert.equal(await partsOf(storage, at, upload), parts);
  }
  assert.equal(readdirSync(join(own, 'staging')), []);
  await complete(storage, at, upload, parts, { ifMatch: md5('stands') });
  assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([1, 2, 3].map((number) => bytes(number)))));
});

test('a crash while the whole is being published gives it back', async ({ storage, at, own, ground }) => {
  const upload = await newUpload(storage, at, 'k');
  const parts = await send(storage, at, upload, [1, 2]);
  parts.push(await putPart(storage, at, upload, 3, bytes(3, 1, 1000)));
  const files = filesOf(own, upload);
  withBucket(ground, 'write', (bucket) =>
    withUpload(bucket, upload.id, 'k', 'exclusive', (dir) => {
      const whole = openObject(bucket, dir, SIZE, parts[2]!)!;
      borrow(bucket, dir, whole, randomBytes(16).toString('hex'));
      // That of the object.
      stampPart(bucket, whole.fd, { etag: '0'.repeat(32) });
      close(whole.fd);
    }),
  );
  assert.not(existsSync(join(own, 'uploads', upload.id, `whole.${SIZE}`)));
  await until('it is older than that', 1_000, () => {
    assert.equal(reapOps.reapBucket(ground, { stagingAgeMs: 1 }), { uploads: 0, staged: 0 });
    return true;
  });
  assert.equal(await partsOf(storage, at, upload), parts);
  assert.equal(filesOf(own, upload), files);
  const fd = openSync(join(own, 'uploads', upload.id, `whole.${SIZE}`), 'r');
  assert.type(readAttribute(fd), 'number');
  close(fd);
  await complete(storage, at, upload, parts);
  assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([bytes(1), bytes(2), bytes(3, 1, 1000)])));
  assert.equal(leftovers(own), []);
});

test('a completion that fails after it had to copy leaves all of it', async ({ storage, at, own }) => {
  if (process.getuid!() !== 0) return;
  // On another filesystem a name is given by a copy beside it; and where that fails, nothing may be lost.
  for (const count of [1, 3]) {
    const upload = await newUpload(storage, at, 'mounted/k');
    const parts = await send(storage, at, upload, [1, 2, 3].slice(0, count));
    const files = filesOf(own, upload);
    const bound = join(at.bucket.path, 'mounted');
    mkdirSync(bound);
    // The same device: only the rename tells.
    execFileSync('mount', ['--bind', bound, bound]);
    try {
      execFileSync('mount', ['-o', 'remount,bind,ro', bound]);
      await assertRejects(complete(storage, at, upload, parts));
      execFileSync('mount', ['-o', 'remount,bind,rw', bound]);
      assert.equal(filesOf(own, upload), files);
      assert.equal(await partsOf(storage, at, upload), parts);
      writeFileSync(join(bound, 'k'), 'a job was here');
      await refused(complete(storage, at, upload, parts, { ifNoneMatch: '*' }), 'PreconditionFailed');
      assert.equal(await partsOf(storage, at, upload), parts);
      await complete(storage, at, upload, parts);
      const expected = Buffer.concat(parts.map(({ number }) => bytes(number)));
      assert.ok((await get(storage, at, 'mounted/k')).equals(expected));
      assert.equal([leftovers(own), readdirSync(bound)], [[], ['k']]);
    } finally {
      // The last reader closes a moment later.
      execFileSync('umount', ['-l', bound]);
    }
    rmSync(bound, { recursive: true });
  }
});

test('who gives a whole back has the upload for himself', async ({ storage, at, own, ground }) => {
  const upload = await newUpload(storage, at, 'k');
  const parts = await send(storage, at, upload, [1, 2]);
  withBucket(ground, 'write', (bucket) => {
    withUpload(bucket, upload.id, 'k', 'exclusive', (dir) => {
      const whole = openObject(bucket, dir, SIZE, parts[1]!)!;
      borrow(bucket, dir, whole, randomBytes(16).toString('hex'));
      close(whole.fd);
    });
    withUpload(bucket, upload.id, 'k', 'shared', () => {
      // Between two locks there would be a moment without one.
      const other = openSync(join(own, 'uploads', upload.id, 'upload.json'), 'r+');
      assert.not(tryFlock(other, false));
      close(other);
    });
  });
  await complete(storage, at, upload, parts);
});

test('a crash after the whole has its name, before its record is settled: the upload is done', async (context) => {
  const { storage, at, own, ground } = context;
  const upload = await newUpload(storage, at, 'k');
  const parts = await send(storage, at, upload, [1, 2]);
  withBucket(ground, 'write', (bucket) =>
    withUpload(bucket, upload.id, 'k', 'exclusive', (dir) => {
      const whole = openObject(bucket, dir, SIZE, parts[1]!)!;
      const staged = randomBytes(16).toString('hex');
      borrow(bucket, dir, whole, staged);
      stampFile(bucket, whole.fd, metaOf(upload, parts));
      close(whole.fd);
      // The time within which its own changes are expected.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      renameSync(join(own, 'staging', staged), join(at.bucket.path, 'k'));
    }),
  );
  assert.match((await storage.head(at, 'k')).meta.etag, /-0$/);
  await refused(complete(storage, at, upload, parts), 'NoSuchUpload');
  assert.equal(leftovers(own), []);
  const { etag, uploadId } = (await storage.head(at, 'k')).meta;
  assert.equal([etag, uploadId], [metaOf(upload, parts).etag, upload.id]);
  assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([bytes(1), bytes(2)])));
});

test('when the whole is lost, so are its parts, whatever is sent then', async ({ storage, at, own }) => {
  const upload = await newUpload(storage, at, 'k');
  const parts = await send(storage, at, upload, [1, 2, 3]);
  rmSync(join(own, 'uploads', upload.id, `whole.${SIZE}`));
  assert.equal(await partsOf(storage, at, upload), []);
  const four = await putPart(storage, at, upload, 4, bytes(4));
  assert.equal(await partsOf(storage, at, upload), [four]);
  await refused(complete(storage, at, upload, [...parts, four]), 'InvalidPart');
  const again = await send(storage, at, upload, [1, 2, 3]);
  await complete(storage, at, upload, [...again, four]);
  assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([1, 2, 3, 4].map((number) => bytes(number)))));
});

test('while the whole is lent the parts are asked for again', async ({ storage, at, own }) => {
  const upload = await newUpload(storage, at, 'k');
  const parts = await send(storage, at, upload, [1, 2]);
  const directory = join(own, 'uploads', upload.id);
  const lock = openSync(join(directory, 'upload.json'), 'r+');
  assert.ok(tryFlock(lock, true));
  renameSync(join(directory, `whole.${SIZE}`), join(own, 'aside'));
  const [listed, completed] = [partsOf(storage, at, upload), complete(storage, at, upload, parts)];
  for (const each of [listed, completed]) each.catch(() => {});
  await sleep(100);
  renameSync(join(own, 'aside'), join(directory, `whole.${SIZE}`));
  close(lock);
  const [first] = await Promise.allSettled([listed, completed]);
  await completed;
  if (first.status === 'fulfilled') assert.equal(first.value, parts);
  else assert.is((first.reason as S3Error).code, 'NoSuchUpload');
});

test('a disk without room for the last part: all parts stay, and what was copied does not', async () => {
  if (process.getuid!() !== 0) return;
  const root = tempDir();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', root]);
  const storage = await createPosixStorage({ root, workers: 1 });
  try {
    const bucket = await storage.createBucket({ name: 'full', owner }, actor);
    const at = { bucket, actor };
    const upload = await newUpload(storage, at, 'k');
    const parts = await send(storage, at, upload, [1, 2]);
    parts.push(await putPart(storage, at, upload, 3, bytes(3, 1, 4 * MiB)));
    await refused(complete(storage, at, upload, parts), 'InsufficientStorage');
    const own = join(bucket.path, '.tidegate');
    assert.is(statSync(join(own, 'uploads', upload.id, `whole.${SIZE}`)).size, 2 * SIZE);
    assert.equal(await partsOf(storage, at, upload), parts);
    execFileSync('mount', ['-o', 'remount,size=32m', root]);
    await complete(storage, at, upload, parts);
    assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([bytes(1), bytes(2), bytes(3, 1, 4 * MiB)])));
  } finally {
    await storage.close();
    execFileSync('umount', [root]);
  }
});

test('an abort leaves nothing, also under parts that are being sent', async ({ storage, at, own }) => {
  const upload = await newUpload(storage, at, 'k');
  await send(storage, at, upload, [1, 2]);
  const slow = half(storage, at, upload, 3, bytes(3));
  await slow.arrived;
  await storage.abortUpload(at, 'k', upload.id);
  assert.equal(leftovers(own), []);
  slow.goOn();
  await refused(slow.done, 'NoSuchUpload');
  assert.equal(leftovers(own), []);
});

test('what lies there is input: a whole that is a link, a directory or too short, places that are none', async (context) => {
  const { storage, at, own } = context;
  await put(storage, at, 'victim', randomBytes(3 * SIZE));
  const victim = readFileSync(join(at.bucket.path, 'victim'));
  const hostile: ((dir: string) => void)[] = [
    (dir) => symlinkSync(join(at.bucket.path, 'victim'), join(dir, `whole.${SIZE}`)),
    (dir) => linkSync(join(at.bucket.path, 'victim'), join(dir, `whole.${SIZE}`)),
    (dir) => mkdirSync(join(dir, `whole.${SIZE}`)),
    (dir) => symlinkSync(join(at.bucket.path, 'victim'), join(dir, 'slot.00001')),
    (dir) => mkdirSync(join(dir, 'slot.00002')),
    (dir) => writeFileSync(join(dir, 'slot.00003'), 'no record'),
    (dir) => linkSync(join(at.bucket.path, 'victim'), join(dir, 'slot.00001')),
  ];
  for (const [index, plant] of hostile.entries()) {
    const upload = await newUpload(storage, at, `k${index}`);
    plant(join(own, 'uploads', upload.id));
    const sent = await Promise.allSettled([1, 2].map((number) => putPart(storage, at, upload, number, bytes(number))));
    const parts = sent.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    if (parts.length === 2) {
      await complete(storage, at, upload, parts);
      assert.ok((await get(storage, at, upload.key)).equals(Buffer.concat([bytes(1), bytes(2)])), `${index}`);
    }
    assert.ok(readFileSync(join(at.bucket.path, 'victim')).equals(victim), `${index}`);
  }
  const spoils: [spoil: (path: string) => void, left: number[]][] = [
    [rmSync, []],
    [(path) => truncateSync(path, 2 * SIZE - 1), [1]],
  ];
  for (const [spoil, left] of spoils) {
    const upload = await newUpload(storage, at, 'short');
    const parts = await send(storage, at, upload, [1, 2]);
    spoil(join(own, 'uploads', upload.id, `whole.${SIZE}`));
    assert.equal(
      (await partsOf(storage, at, upload)).map(({ number }) => number),
      left,
    );
    await refused(complete(storage, at, upload, parts), 'InvalidPart');
    await refused(storage.head(at, 'short'), 'NoSuchKey');
  }
});

test('who completes what others complete as well is not told that a part is wrong', async ({ root, storage, at }) => {
  const other = await createPosixStorage({ root, workers: 2 });
  try {
    for (let round = 0; round < 12; round++) {
      const upload = await newUpload(storage, at, 'k');
      const parts = await send(storage, at, upload, [1, 2]);
      const stores = [storage, other, storage, other];
      const ends = await Promise.allSettled(stores.map((each) => complete(each, at, upload, parts)));
      const codes = ends.map((each) => (each.status === 'fulfilled' ? 'ok' : each.reason.code));
      assert.ok(codes.includes('ok'));
      for (const code of codes) assert.ok(['ok', 'NoSuchUpload'].includes(code), code);
    }
  } finally {
    await other.close();
  }
});

test('two gateways, each with half of the parts, and both complete', async ({ root, storage, at, own }) => {
  const other = await createPosixStorage({ root, workers: 2 });
  try {
    for (let round = 0; round < 4; round++) {
      const upload = await newUpload(storage, at, 'k');
      const parts = await Promise.all(
        [1, 2, 3, 4].map((number) => putPart(number % 2 ? storage : other, at, upload, number, bytes(number))),
      );
      const ends = await Promise.allSettled([
        complete(storage, at, upload, parts),
        complete(other, at, upload, parts),
        putPart(storage, at, upload, 2, bytes(2, 3)),
      ]);
      const codes = ends.slice(0, 2).map((each) => (each.status === 'fulfilled' ? 'ok' : each.reason.code));
      for (const code of codes) assert.ok(['ok', 'NoSuchUpload', 'InvalidPart'].includes(code), code);
      if (codes.includes('ok')) {
        assert.ok((await get(other, at, 'k')).equals(Buffer.concat([1, 2, 3, 4].map((number) => bytes(number)))));
        await storage.remove(at, 'k');
      } else await storage.abortUpload(at, 'k', upload.id);
      assert.equal(leftovers(own), []);
    }
  } finally {
    await other.close();
  }
});

test.run();
