/** The directories that a key lies in: found, made as needed, removed again when they become empty. */
import { directoryStamp } from '../../../acl/metadata/stamp.js';
import { loadRecord, saveRecord } from '../../../acl/metadata/store.js';
import { S3Error } from '../../errors.js';
import { checkWrite } from '../condition.js';
import { reservedSegment } from '../keys.js';
import type { WriteCondition } from '../types.js';
import { withKeyLock } from './locks.js';
import { type BucketDir, syncDirectory } from './paths.js';
import {
  AT_REMOVEDIR,
  close,
  E,
  errnoError,
  fstat,
  fsync,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_INSIDE,
  tryMkdirat,
  tryOpenat2,
  tryUnlinkat,
} from './syscalls.js';

export interface Parent {
  /** An O_PATH descriptor of the directory. */
  fd: number;
  /** The last segment of the key. */
  base: string;
  close(): void;
}

/** `a/b/c` and `a/b/c/` are `c` in `a/b`. */
export const splitKey = (key: string): { directory: string; base: string } => {
  const end = key.endsWith('/') ? key.length - 1 : key.length;
  const slash = key.lastIndexOf('/', end - 1);
  return { directory: key.slice(0, Math.max(slash, 0)), base: key.slice(slash + 1, end) };
};

/** The directory that a key lies in; undefined when it is not there or not a directory. */
export const findParent = (bucket: BucketDir, key: string): Parent | undefined => {
  const { directory, base } = splitKey(key);
  if (directory === '') return { fd: bucket.fd, base, close: () => undefined };
  const fd = tryOpenat2(bucket.fd, directory, O_PATH | O_DIRECTORY, 0, RESOLVE_INSIDE);
  if (fd >= 0) return { fd, base, close: () => close(fd) };
  if (absent(fd)) return undefined;
  throw errnoError(-fd, 'openat2');
};

/** Results of openat2 that mean: no object can be there. */
export const absent = (result: number): boolean =>
  result === -E.ENOENT || result === -E.ENOTDIR || result === -E.ELOOP || result === -E.ENAMETOOLONG;

/** As `findParent`, making what is missing. Throws KeyConflict when something else stands in the way. */
export const makeParent = (bucket: BucketDir, key: string): Parent => {
  const { directory, base } = splitKey(key);
  if (directory === '') return { fd: bucket.fd, base, close: () => undefined };
  for (let attempt = 0; ; attempt++) {
    const fd = tryOpenat2(bucket.fd, directory, O_PATH | O_DIRECTORY, 0, RESOLVE_INSIDE);
    if (fd >= 0) return { fd, base, close: () => close(fd) };
    if (fd === -E.ENOTDIR) throw conflict('a file stands where the key needs a directory');
    if (fd === -E.ELOOP) throw conflict('a symbolic link stands where the key needs a directory');
    // A directory that we made may be removed again by a DELETE before we use it: from the beginning, then.
    if (fd !== -E.ENOENT || attempt === 16) throw errnoError(-fd, 'openat2');
    makeDirectories(bucket, directory.split('/'));
  }
};

export const conflict = (message: string): S3Error =>
  new S3Error('KeyConflict', { message: `${message[0]!.toUpperCase()}${message.slice(1)}.` });

/** Makes parents only when the condition leaves a chance that there will be something in them. */
export const parentFor = (bucket: BucketDir, key: string, condition: WriteCondition | undefined): Parent => {
  if (condition) {
    const there = findParent(bucket, key);
    if (there) return there;
    checkWrite(condition, undefined);
  }
  return makeParent(bucket, key);
};

const makeDirectories = (bucket: BucketDir, segments: string[]): void => {
  let at = bucket.fd;
  try {
    for (const segment of segments) {
      const next = enterOrMake(bucket, at, segment);
      if (at !== bucket.fd) close(at);
      if (next === undefined) {
        at = bucket.fd;
        return;
      }
      at = next;
    }
  } finally {
    if (at !== bucket.fd) close(at);
  }
};

/** Undefined when the way vanished under us: the caller begins again. */
const enterOrMake = (bucket: BucketDir, at: number, segment: string): number | undefined => {
  const open = () => tryOpenat2(at, segment, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  let fd = open();
  if (fd === -E.ENOENT) {
    const made = makeDirectory(bucket, at, segment);
    if (made === -E.ENOENT) return undefined;
    fd = open();
  }
  if (fd >= 0) return fd;
  // ESTALE: `at` was removed; the caller finds out whether anything is left.
  if (fd === -E.ENOENT || fd === -E.ESTALE || fd === -E.ENOTDIR || fd === -E.ELOOP) return undefined;
  throw errnoError(-fd, 'openat2');
};

/**
 * Makes one directory that says that the gateway made it. 0, -EEXIST or -ENOENT. A crash before the attribute is there
 * leaves a directory that is kept when it becomes empty: the harmless side.
 */
export const makeDirectory = (bucket: BucketDir, at: number, segment: string): number => {
  const made = tryMkdirat(at, segment, bucket.ground.directoryMode);
  if (made === -E.ESTALE) return -E.ENOENT;
  if (made === -E.EEXIST || made === -E.ENOENT) return made;
  if (made < 0) throw errnoError(-made, 'mkdir');
  const fd = tryOpenat2(at, segment, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (fd < 0) return 0;
  try {
    const stat = fstat(fd);
    // Somebody may have made an object of it already.
    saveRecord(bucket, fd, stat, { made: true, stamp: directoryStamp(stat) }, true);
    if (bucket.ground.durability === 'full') fsync(fd);
  } catch (error) {
    // A DELETE has removed it already: the caller finds it gone, and begins again.
    if (!isErrno(error) || error.errno !== E.ESTALE) throw error;
  } finally {
    close(fd);
  }
  syncDirectory(bucket, at);
  return 0;
};

/**
 * Removes the directory of a key and those above it while they are empty, were made by the gateway and are no objects
 * themselves. Never fails: what cannot be removed stays. Not to be called with a key's lock held.
 */
export const removeEmptyParents = (bucket: BucketDir, key: string): void => {
  for (let { directory } = splitKey(key); directory !== ''; { directory } = splitKey(directory)) {
    try {
      // The lock of the key `directory/`: it could become an object between the look and the removal.
      if (!withKeyLock(bucket, directory, () => removeIfEmpty(bucket, directory))) return;
    } catch {
      return;
    }
  }
};

const removeIfEmpty = (bucket: BucketDir, directory: string): boolean => {
  const parent = findParent(bucket, directory);
  if (!parent) return false;
  try {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    const fd = tryOpenat2(parent.fd, parent.base, flags, 0, RESOLVE_INSIDE);
    if (fd < 0) return false;
    try {
      const stat = fstat(fd);
      const { packed, forget } = loadRecord(bucket, fd, stat);
      if (!packed?.made || packed.marker) return false;
      // Left by a publish onto another filesystem; not empty while one is at work.
      tryUnlinkat(fd, reservedSegment, AT_REMOVEDIR);
      // The kernel refuses to remove a directory that is not empty, also when an entry came this moment.
      if (tryUnlinkat(parent.fd, parent.base, AT_REMOVEDIR) < 0) return false;
      forget();
      return true;
    } finally {
      close(fd);
    }
  } finally {
    parent.close();
  }
};
