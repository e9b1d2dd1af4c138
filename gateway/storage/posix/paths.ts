/**
 * A bucket's directory and those of its `.tidegate`, opened. Everything below a bucket can be replaced by its user at any
 * moment, by symbolic links too: every step is relative to a descriptor and walked with `RESOLVE_INSIDE`.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { hostname } from 'node:os';
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import { type ErrnoContext, toS3Error } from './errno.js';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  E,
  errnoError,
  errnoName,
  fstat,
  fsync,
  isErrno,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  RESOLVE_INSIDE,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  tryMkdirat,
  tryOpenat2,
  tryStatat,
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
  /** The lock of a key, while it is held: a file of the bucket's filesystem whose times mean nothing. */
  held?: number;
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
    // EXDEV also when `.tidegate` is moved this moment: looked at again.
    if (fd === -E.EXDEV && attempt < 4) continue;
    if (spoiling.has(fd) || (fd === -E.EACCES && isClosed(bucket))) throw unusable(name, -fd);
    if (fd !== -E.ENOENT || attempt > 4) throw errnoError(-fd, 'openat2');
    const own = tryOpenat2(bucket, reservedSegment, flags, 0, RESOLVE_INSIDE);
    if (own === -E.ENOENT) throw new S3Error('NoSuchBucket', { cause: new Error(unprepared) });
    if (own < 0) throw errnoError(-own, 'openat2');
    const made = tryMkdirat(own, name, 0o700);
    close(own);
    if (made < 0 && made !== -E.EEXIST && made !== -E.ENOENT) throw errnoError(-made, 'mkdir');
  }
};

/** What openat2 says when a job has put something else in the place of `.tidegate` or of a directory in it. */
const spoiling = new Set([-E.ENOTDIR, -E.ELOOP, -E.EXDEV]);

/** A 503 that names what has to be mended: the bucket's own directory belongs to its user, who can do anything to it. */
export const unusable = (name: string, errno: number): S3Error =>
  new S3Error('ServiceUnavailable', {
    message: `The bucket's directory ${reservedSegment}/${name} cannot be used (${errnoName(errno)}).`,
  });

/** Whether its owner has taken the rights on `.tidegate` from himself: no question of who asks, then. */
const isClosed = (bucket: number): boolean => {
  const stat = tryStatat(bucket, reservedSegment, AT_SYMLINK_NOFOLLOW);
  return stat !== undefined && (stat.mode & 0o700) !== 0o700;
};

/** 32 hex digits: nobody can guess where a file will be. */
export const randomName = (): string => {
  if (drawn === pool.length) {
    randomFillSync(pool);
    drawn = 0;
  }
  return pool.toString('hex', drawn, (drawn += 16));
};

/** Drawn in one call for many names, as each call costs as much as a system call. */
const pool = Buffer.alloc(4096);
let drawn = pool.length;

/** 8 hex digits, with which the names of this machine's staged files begin. */
export const machine = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

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
