/**
 * From a key to open directories. Everything below a bucket can be replaced by its user at any moment, by symbolic links
 * too: every step is relative to a descriptor and walked with `RESOLVE_INSIDE`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { judge } from '../../../acl/metadata/stamp.js';
import { loadRecord, saveRecord } from '../../../acl/metadata/store.js';
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import { type ErrnoContext, toS3Error } from './errno.js';
import { withKeyLock } from './locks.js';
import {
  AT_FDCWD,
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
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  tryMkdirat,
  tryOpenat2,
  tryUnlinkat,
} from './syscalls.js';

/** `full`: file and directory are on disk before success is told; `data`: the file's bytes are; `none`: the system's way. */
export type Durability = 'full' | 'data' | 'none';

/** A bucket's directory and how to work in it: what every operation of a worker gets first. */
export interface Ground {
  /** Absolute, without symbolic links. */
  path: string;
  durability: Durability;
  /** Metadata in sidecar files even where the filesystem has attributes. */
  sidecars: boolean;
  /** Permissions of new files and directories, before the process's umask. */
  fileMode: number;
  directoryMode: number;
}

/** The directories that a bucket's `.tidegate` has. */
export type Area = 'staging' | 'uploads' | 'locks' | 'meta' | 'bodies';

/** A bucket while an operation runs in it. */
export interface BucketDir {
  readonly ground: Ground;
  readonly fd: number;
  /** The filesystem of the bucket's own directory. */
  readonly dev: number;
  /** A directory of `.tidegate`, opened (and made, where missing) at first use, closed with the bucket. */
  area(name: Area): number;
}

/** The message of an error that asks the main thread to look whether the bucket still exists, and to prepare it again. */
export const unprepared = 'the bucket has no .tidegate directory';

/**
 * Opens the bucket, runs `work`, closes everything, and turns a failure of the filesystem into the S3 error that it means
 * in this context. NoSuchBucket when its directory is gone.
 */
export const withBucket = <T>(ground: Ground, context: ErrnoContext, work: (bucket: BucketDir) => T): T => {
  const flags = O_PATH | O_DIRECTORY;
  const fd = tryOpenat2(AT_FDCWD, ground.path, flags, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (fd === -E.ENOENT || fd === -E.ENOTDIR) throw new S3Error('NoSuchBucket');
  if (fd < 0) throw toS3Error(errnoError(-fd, 'openat2'), context);
  const areas = new Map<Area, number>();
  let dev: number | undefined;
  try {
    return work({
      ground,
      fd,
      get dev() {
        return (dev ??= fstat(fd).dev);
      },
      area(name) {
        let area = areas.get(name);
        if (area === undefined) areas.set(name, (area = openArea(fd, name)));
        return area;
      },
    });
  } catch (error) {
    // `busyNow` throws what is no error.
    if (!isErrno(error)) throw error;
    if (error.code === 'ENOENT') {
      // A directory without links has been removed: the bucket's, or one of ours in it, by a deletion under way.
      if (fstat(fd).nlink === 0) throw new S3Error('NoSuchBucket', { cause: error });
      const lost = [...areas.values()].some((area) => fstat(area).nlink === 0);
      if (lost) throw new S3Error('NoSuchBucket', { cause: new Error(unprepared) });
    }
    throw toS3Error(error, context);
  } finally {
    for (const area of areas.values()) close(area);
    close(fd);
  }
};

/**
 * `.tidegate` itself is made with the bucket only: a bucket that is being deleted has lost it, and a write that raced
 * with the deletion must not bring it back.
 */
const openArea = (bucket: number, name: Area): number => {
  const path = `${reservedSegment}/${name}`;
  const flags = O_PATH | O_DIRECTORY;
  for (let attempt = 0; ; attempt++) {
    const fd = tryOpenat2(bucket, path, flags, 0, RESOLVE_INSIDE);
    if (fd >= 0) return fd;
    if (fd !== -E.ENOENT || attempt > 2) throw errnoError(-fd, 'openat2');
    const own = tryOpenat2(bucket, reservedSegment, flags, 0, RESOLVE_INSIDE);
    if (own === -E.ENOENT) throw new S3Error('NoSuchBucket', { cause: new Error(unprepared) });
    if (own < 0) throw errnoError(-own, 'openat2');
    const made = tryMkdirat(own, name, 0o700);
    close(own);
    if (made < 0 && made !== -E.EEXIST && made !== -E.ENOENT) throw errnoError(-made, 'mkdir');
  }
};

/** 32 hex digits: nobody can guess where a file will be. */
export const randomName = (): string => randomBytes(16).toString('hex');

/** 8 hex digits, with which the names of this machine's staged files begin. */
export const machine = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

// ---- parents -----------------------------------------------------------------------------------------------------

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
  if (fd === -E.ENOENT || fd === -E.ENOTDIR || fd === -E.ELOOP) return undefined;
  throw errnoError(-fd, 'openat2');
};

/**
 * Makes one directory that says that the gateway made it. 0, -EEXIST or -ENOENT. A crash before the attribute is there
 * leaves a directory that is kept when it becomes empty: the harmless side.
 */
export const makeDirectory = (bucket: BucketDir, at: number, segment: string): number => {
  const made = tryMkdirat(at, segment, bucket.ground.directoryMode);
  if (made === -E.EEXIST || made === -E.ENOENT) return made;
  if (made < 0) throw errnoError(-made, 'mkdir');
  const fd = tryOpenat2(at, segment, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (fd < 0) return 0;
  try {
    const stat = fstat(fd);
    saveRecord(bucket, fd, stat, { made: true, stamp: directoryStamp(stat.ino) });
    if (bucket.ground.durability === 'full') fsync(fd);
  } finally {
    close(fd);
  }
  syncDirectory(bucket, at);
  return 0;
};

/** Of a directory only the inode counts: its size and times change with every entry. */
export const directoryStamp = (ino: bigint) => ({ size: 0, mtimeNs: 0n, ino, bound: 0n });

/** Makes new names in a directory durable, where that is asked for. */
export const syncDirectory = (bucket: BucketDir, directory: number): void => {
  if (bucket.ground.durability !== 'full') return;
  const fd = tryOpenat2(directory, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
  // A directory that may be written but not read cannot be synced: nobody can do more for it.
  if (fd === -E.EACCES) return;
  if (fd === -E.ENOENT) return;
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    fsync(fd);
  } finally {
    close(fd);
  }
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
      if (!packed?.made || packed.marker || judge(packed.stamp, stat) === 'foreign') return false;
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

/** Opens a bucket's `.tidegate`, making it: with the bucket, or again when its user has removed it. */
export const prepareBucket = (ground: Ground): void => {
  const fd = tryOpenat2(AT_FDCWD, ground.path, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (fd === -E.ENOENT) throw new S3Error('NoSuchBucket');
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    const made = tryMkdirat(fd, reservedSegment, 0o700);
    if (made === -E.ENOENT) throw new S3Error('NoSuchBucket');
    if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
  } finally {
    close(fd);
  }
};
