/**
 * Files that jobs wrote, digested and given their records, in slices: what a hashing thread does for `sync/hash.ts`. The
 * file stays open in the lane from `stampBegin` to the step that says `done`. In a bucket with `fast` ETags nothing is read
 * (`unread`).
 *
 * The status is the same before the first byte is read and after the last, or the digest is thrown away. Nothing of the
 * file is changed but its attribute, and the ctime with that.
 */
import { type Fingerprint, judge, type Stamp, syntheticEtag } from '../../../acl/metadata/stamp.js';
import { loadRecord, saveRecord } from '../../../acl/metadata/store.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import { readAttribute } from '../../../acl/metadata/xattr.js';
import { S3Error } from '../../errors.js';
import {
  cachedBytes,
  fadvise,
  giveWay,
  isOpenForWriting,
  keepWritersOut,
  POSIX_FADV_DONTNEED,
  POSIX_FADV_SEQUENTIAL,
} from './background.js';
import { filesystemNow, isHot, tickFor } from './clock.js';
import { createHashing, type HashedChecksum, type Hashing } from './hashing.js';
import { newLaneId } from './lane-ids.js';
import { withKeyLock } from './locks.js';
import { examine, findObject, isFile, READ } from './lookup.js';
import { absent } from './parents.js';
import { type BucketDir, type Ground, withBucket } from './paths.js';
import { settle, slackOf } from './staged.js';
import {
  close,
  E,
  errnoName,
  fdatasync,
  fstat,
  fsync,
  isErrno,
  O_NOATIME,
  O_NOFOLLOW,
  pread,
  RESOLVE_INSIDE,
  type Stat,
  touch,
  tryOpenat2,
} from './syscalls.js';

export interface StampHow {
  /** Milliseconds since the last change, by the filesystem's clock. */
  quietMs: number;
  /** Canonical id of the account that a file without an owner gets. */
  owner: string;
  /** The ETag that the caller knows to be that of the content (a file renamed): nothing is read. */
  trusted?: { etag: string };
  checksum?: HashedChecksum | undefined;
}

export type StampResult =
  /** `stat`: as it is now, with the ctime that the record left. `bytes`: read for it. */
  | { outcome: 'stamped'; stat: Fingerprint; etag: string; bytes: number }
  /** The digest is known, and the record could not be stored: S3 goes on with a synthetic ETag. */
  | { outcome: 'unstorable'; stat: Fingerprint; etag: string; bytes: number; reason: string }
  /** Being written, or it was while it was read, or not quiet yet. */
  | { outcome: 'busy'; retryMs: number }
  | { outcome: 'gone' }
  | { outcome: 'failed'; reason: string };

/** `read`: bytes that this call read. `settled`: of `process.hrtime.bigint()`, not to be gone on with before. */
export type StampStep = { read: number; done: StampResult } | { read: number; id: number; settled?: bigint };

interface Stamping {
  ground: Ground;
  key: string;
  how: StampHow;
  fd: number;
  stat: Stat;
  hashing: Hashing;
  position: number;
  /** Bytes read, also those that were read twice. */
  bytes: number;
  /** What is read goes from the page cache again: it was not there before. */
  drop: boolean;
  stored?: { stamp: Stamp; stat: Stat; settled: bigint };
}

const stampings = new Map<number, Stamping>();
let givenWay = false;
/** As much is read at once as the processor's cache holds while three digests pass over it. */
const buffer = Buffer.allocUnsafeSlow(1 << 20);

/** So soon whoever saw another file, or another state of it, may look again. */
const SOON_MS = 50;
const WRITING_MS = 1_000;

const busy = (retryMs: number): StampResult => ({ outcome: 'busy', retryMs: Math.max(1, Math.ceil(retryMs)) });
const fingerprint = ({ size, mtimeNs, ctimeNs, ino }: Fingerprint): Fingerprint => ({ size, mtimeNs, ctimeNs, ino });
const differs = (a: Fingerprint, b: Fingerprint): boolean =>
  a.size !== b.size || a.mtimeNs !== b.mtimeNs || a.ctimeNs !== b.ctimeNs || a.ino !== b.ino;

export const stampOps = {
  /** @param slice bytes that one call reads at most; a file of no more is done in this call */
  stampBegin(ground: Ground, key: string, seen: Fingerprint, how: StampHow, slice: number): StampStep {
    if (!givenWay) giveWay();
    givenWay = true;
    const begun = told(() =>
      withBucket(ground, 'read', (bucket) =>
        key.endsWith('/') ? ofDirectory(bucket, key) : begin(bucket, key, seen, how),
      ),
    );
    if ('outcome' in begun) return { read: 0, done: begun };
    const id = newLaneId();
    stampings.set(id, begun);
    if (!begun.hashing.done && begun.stat.size > slice) return { read: 0, id };
    try {
      return step(id, begun, slice);
    } catch {
      // A lock that is taken, for one: called again, this would open the file once more. The next step says it.
      return { read: begun.bytes, id };
    }
  },

  stampStep(id: number, slice: number): StampStep {
    const stamping = stampings.get(id);
    if (!stamping) throw new Error(`no stamping ${id} in this lane`);
    return step(id, stamping, slice);
  },

  stampAbort(id: number): void {
    end(id);
  },
};

const end = (id: number): void => {
  const stamping = stampings.get(id);
  stampings.delete(id);
  if (stamping) close(stamping.fd);
};

const step = (id: number, stamping: Stamping, slice: number): StampStep => {
  const before = stamping.bytes;
  // What is thrown (a lock that is taken, a bucket without `.tidegate`) is tried again by the caller, or aborted.
  const result = told(() => advance(stamping, slice));
  const read = stamping.bytes - before;
  if (result === undefined) return { read, id };
  if ('settled' in result) return { read, id, settled: result.settled };
  end(id);
  return { read, done: result };
};

/** What a user or a job can cause is told as a result. */
const told = <T>(work: () => T): T | StampResult => {
  try {
    return work();
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    return { outcome: 'failed', reason };
  }
};

/** The errno's name; undefined for what is no answer of the filesystem about this file. */
const reasonOf = (error: unknown): string | undefined => {
  if (error instanceof S3Error && error.code === 'NoSuchBucket') return undefined;
  if (error instanceof S3Error) return isErrno(error.cause) ? error.cause.code : error.message;
  return isErrno(error) ? error.code : undefined;
};

// ---- before the first byte ---------------------------------------------------------------------------------------

/** A directory that is an object has its record from S3, and no content that a job could write. */
const ofDirectory = (bucket: BucketDir, key: string): StampResult => {
  const found = findObject(bucket, key);
  if (!found) return { outcome: 'gone' };
  close(found.fd);
  return {
    outcome: 'stamped',
    stat: fingerprint(found.stat),
    etag: found.loaded.packed?.meta?.etag ?? '',
    bytes: 0,
  };
};

const begin = (bucket: BucketDir, key: string, seen: Fingerprint, how: StampHow): Stamping | StampResult => {
  const flags = READ | O_NOFOLLOW;
  let fd = tryOpenat2(bucket.fd, key, flags | O_NOATIME, 0, RESOLVE_INSIDE);
  // Only the owner may leave the time of access as it is.
  if (fd === -E.EPERM) fd = tryOpenat2(bucket.fd, key, flags, 0, RESOLVE_INSIDE);
  if (absent(fd) || fd === -E.ENXIO || fd === -E.ENODEV || fd === -E.EXDEV) return { outcome: 'gone' };
  if (fd < 0) return { outcome: 'failed', reason: errnoName(-fd) };
  let keep = false;
  try {
    const result = examineOpen(bucket, key, fd, seen, how);
    keep = !('outcome' in result);
    return result;
  } finally {
    if (!keep) close(fd);
  }
};

const examineOpen = (
  bucket: BucketDir,
  key: string,
  fd: number,
  seen: Fingerprint,
  how: StampHow,
): Stamping | StampResult => {
  const first = fstat(fd);
  if (!isFile(first)) return { outcome: 'gone' };
  if (differs(first, seen)) return busy(SOON_MS);
  const { stat, whole, info, loaded } = examine(bucket, key, fd, first, false);
  if (differs(stat, seen) || loaded.incomplete) return busy(SOON_MS);
  if (whole) return { outcome: 'stamped', stat: fingerprint(stat), etag: info.meta.etag, bytes: 0 };
  const left = quietIn(bucket, stat, how.quietMs);
  if (left > 0) return busy(left);
  if (isOpenForWriting(fd)) return busy(Math.max(how.quietMs, WRITING_MS));
  const record = loaded.packed;
  const known = record?.meta && judge(record.stamp, stat) !== 'foreign' ? record.meta : undefined;
  let trusted = how.trusted && (known === undefined || known.etag === how.trusted.etag) ? how.trusted : undefined;
  const same = record?.stamp?.size === stat.size ? known : undefined;
  if (bucket.ground.fast && !trusted) {
    const etag = unread(stat);
    // After a chmod or a touch its content may be that of the record, with headers, checksum and MD5, which only reading
    // could confirm: nobody replaces the record who has not read. S3 shows the same ETag without.
    if (same && same.etag !== '') return { outcome: 'stamped', stat: fingerprint(stat), etag, bytes: 0 };
    trusted = { etag };
  }
  const hashing = createHashing({ size: stat.size, known: same, trusted: trusted?.etag, checksum: how.checksum });
  const cached = hashing.done ? undefined : cachedBytes(fd, stat.size);
  const drop = cached === undefined || cached < stat.size / 2;
  if (drop && !hashing.done) fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  return { ground: bucket.ground, key, how, fd, stat, hashing, position: 0, bytes: 0, drop };
};

/**
 * The ETag of a content that nobody reads: the one that S3 has shown of it until now. Stored, it outlasts what is no change of
 * the content though it changes the ctime: storing it, and other tags. For a file that has come to rest: every later change
 * has another time.
 */
const unread = (stat: Stat): string => syntheticEtag(stat);

/** A clock that is further behind a ctime than this was set back: nobody has to wait until it catches up. */
const AHEAD_MS = 10_000;

/** Milliseconds until a file has been quiet for long enough, and its times would tell of any further change; 0: now. */
const quietIn = (bucket: BucketDir, stat: Stat, quietMs: number): number => {
  const ageMs = Number(filesystemNow(bucket, stat.dev) - stat.ctimeNs) / 1e6;
  // Any change sets the ctime; the mtime is whatever a job says.
  if (quietMs > 0 && ageMs < quietMs && ageMs > -AHEAD_MS) return quietMs - ageMs;
  return isHot(bucket, stat) ? Number(2n * tickFor(bucket, stat.dev)) / 1e6 : 0;
};

// ---- reading -----------------------------------------------------------------------------------------------------

/** Undefined: there is more to read. */
const advance = (stamping: Stamping, slice: number): StampResult | { settled: bigint } | undefined => {
  if (stamping.stored) return confirm(stamping);
  if (!stamping.hashing.done) {
    if (!readSlice(stamping, slice) || differs(fstat(stamping.fd), stamping.stat)) return changed(stamping);
    if (stamping.position < stamping.stat.size) return undefined;
    // The parts of an upload are not those that the record tells of: once more, as one file.
    if (!stamping.hashing.finish()) {
      stamping.position = 0;
      return undefined;
    }
  }
  return store(stamping);
};

/** False: the file has become shorter. */
const readSlice = (stamping: Stamping, slice: number): boolean => {
  const { fd, stat, hashing, position: start } = stamping;
  const until = Math.min(stat.size, start + slice);
  while (stamping.position < until) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, until - stamping.position));
    const got = pread(fd, chunk, stamping.position);
    hashing.update(chunk.subarray(0, got));
    stamping.position += got;
    stamping.bytes += got;
    if (got < chunk.length) return false;
  }
  if (stamping.drop && until > start) fadvise(fd, start, until - start, POSIX_FADV_DONTNEED);
  return true;
};

/** Whether it is still there under this name is for the next look to tell. */
const changed = ({ how }: Stamping): StampResult => busy(Math.max(how.quietMs, SOON_MS));

// ---- storing -----------------------------------------------------------------------------------------------------

const store = (stamping: Stamping): StampResult | { settled: bigint } => {
  const { ground, key, fd, bytes, hashing } = stamping;
  try {
    const refused = withBucket(ground, 'write', (bucket) => {
      // The bytes first: after a crash the record must not be there without what it speaks of.
      if (ground.durability !== 'none') syncData(fd);
      return withKeyLock(bucket, key, () => save(bucket, stamping));
    });
    return refused ?? confirm(stamping);
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined || reason === 'EIO') throw error;
    return { outcome: 'unstorable', stat: fingerprint(fstat(fd)), etag: hashing.etag(), bytes, reason };
  }
};

const syncData = (fd: number): void => {
  try {
    fdatasync(fd);
  } catch (error) {
    // A filesystem that is mounted read-only has nothing to write.
    if (!isErrno(error) || (error.code !== 'EROFS' && error.code !== 'EINVAL')) throw error;
  }
};

/**
 * As `stampFile` stamps, but for a file that others have: what they do between the last look before the record and the
 * first one after it would pass for our own change if it also put the mtime back, so nothing else happens in between.
 */
const save = (bucket: BucketDir, stamping: Stamping): StampResult | undefined => {
  const { fd, stat, how, ground } = stamping;
  const tick = tickFor(bucket, stat.dev);
  const base = clockOf(bucket, stat.dev);
  // Until `confirm`: what is written in between with the mtime put back would be served under our digest until then.
  if (keepWritersOut(fd) === false) return busy(Math.max(how.quietMs, WRITING_MS));
  const loaded = loadRecord(bucket, fd, stat);
  const { packed } = loaded;
  const meta = metaFor(packed?.meta, packed?.stamp, stamping);
  const { size, mtimeNs, ino } = stat;
  // A sidecar leaves the file's times alone: there any change at all is somebody else's.
  const beside = ground.sidecars || readAttribute(fd) === -E.EOPNOTSUPP;
  const bound = beside ? stat.ctimeNs : (base ?? stat.ctimeNs) + slackOf(stat.dev);
  const stamp: Stamp = { size, mtimeNs, ino, bound };
  if (differs(fstat(fd), stat)) return changed(stamping);
  const saved = saveRecord(bucket, fd, stat, { stamp, meta });
  const settled = beside ? process.hrtime.bigint() : settle(bucket, fd, saved, stamp, tick, base);
  const after = beside ? stat : fstat(fd);
  // A record that a crash takes back is made again, so nobody waits for the disk; but the old one must not come back without
  // its overflow file.
  if (loaded.overflows && ground.durability === 'full') fsync(fd);
  loaded.supersede();
  if (after.size !== size || after.mtimeNs !== mtimeNs) return changed(stamping);
  stamping.stored = { stamp, stat: after, settled };
  return undefined;
};

/** The filesystem's clock at this moment, from the lock's file, whose times mean nothing; undefined on another filesystem. */
const clockOf = ({ held, asKeeper }: BucketDir, dev: number): bigint | undefined => {
  if (held === undefined) return undefined;
  asKeeper(() => touch(held));
  const stat = fstat(held);
  return stat.dev === dev ? stat.ctimeNs : undefined;
};

/** The record for the content as it is now. Its type is told by the name, so also after a rename. */
const metaFor = (
  before: ObjectMeta | undefined,
  stamp: Stamp | undefined,
  { stat, hashing, how }: Stamping,
): ObjectMeta => {
  const belief = before ? judge(stamp, stat) : 'foreign';
  const etag = hashing.etag();
  const checksum = hashing.checksum();
  if (!before || belief === 'foreign') {
    return { etag, headers: {}, user: {}, owner: how.owner, ...(checksum && { checksum }) };
  }
  // chmod, rename, link, touch: the bytes are those that the record was made for.
  if (before.etag === etag && stamp?.size === stat.size) {
    return { ...before, owner: before.owner ?? how.owner, ...(!before.checksum && checksum && { checksum }) };
  }
  const meta: ObjectMeta = { etag, headers: {}, user: {}, owner: before.owner ?? how.owner };
  if (before.tags) meta.tags = before.tags;
  if (before.acl !== undefined) meta.acl = before.acl;
  if (checksum) meta.checksum = checksum;
  // No digest was known that could have been another one: as `believe` has it.
  if (before.etag === '' && belief !== 'changed') Object.assign(meta, { headers: before.headers, user: before.user });
  return meta;
};

/** Once every later change shows: whether there was one since the record was stored. */
const confirm = (stamping: Stamping): StampResult | { settled: bigint } => {
  const { fd, stored, hashing, bytes, ground, key } = stamping;
  const { stamp, stat, settled } = stored!;
  if (process.hrtime.bigint() < settled) return { settled };
  const now = fstat(fd);
  if (!differs(now, stat)) return { outcome: 'stamped', stat: fingerprint(stat), etag: hashing.etag(), bytes };
  const hidden = now.ctimeNs <= stamp.bound && now.size === stamp.size && now.mtimeNs === stamp.mtimeNs;
  // A later look would believe it: the record is made one that nobody believes.
  if (hidden) withBucket(ground, 'write', (bucket) => withKeyLock(bucket, key, () => doubt(bucket, fd, stamp)));
  return changed(stamping);
};

const doubt = (bucket: BucketDir, fd: number, ours: Stamp): void => {
  const stat = fstat(fd);
  const { packed } = loadRecord(bucket, fd, stat);
  // Somebody else's record by now speaks of what he saw.
  if (packed?.stamp?.bound !== ours.bound) return;
  saveRecord(bucket, fd, stat, { ...packed, stamp: { ...ours, bound: 0n } });
};
