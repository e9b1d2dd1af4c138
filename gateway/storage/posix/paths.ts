/**
 * A bucket's directory and those of its `.tidegate`, opened. Everything below a bucket can be replaced by its user at any
 * moment, by symbolic links too: every step is relative to a descriptor and walked with `RESOLVE_INSIDE`.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { hostname } from 'node:os';
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import type { Actor } from '../types.js';
import { type Area, findKeeper, makeHome, openArea, openMeta, openShared, requestersOf, unprepared } from './areas.js';
import { type ErrnoContext, toS3Error } from './errno.js';
import { acting, as, canSwitch } from './identity.js';
import {
  AT_FDCWD,
  close,
  E,
  errnoError,
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
} from './syscalls.js';
import { leaveDirectory } from './working-directory.js';

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
  /** Several users work in it, each as himself (`actAs: requester`): see `areas.ts`. */
  shared?: boolean;
  /** Only published files are seen (`visibility.ts`). */
  synced?: boolean;
  /** Files of jobs are not read for an ETag (`etag-policy.ts`). */
  fast?: boolean;
}

/** A bucket while an operation runs in it. */
export interface BucketDir {
  readonly ground: Ground;
  readonly fd: number;
  /** The filesystem of the bucket's own directory. */
  dev(): number;
  /** A directory of `.tidegate`, opened (and made, where missing) at first use, closed with the bucket. */
  area(name: Area): number;
  /** Where several users share the bucket: `staging` and `uploads` are the actor's own, the rest is nobody's of them. */
  readonly shared: boolean;
  /** Runs what opens or touches a lock: in a shared bucket as the one to whom `.tidegate` belongs. */
  asKeeper<T>(work: () => T): T;
  /**
   * Runs what opens, names or removes files in `meta` and `bodies`: in a shared bucket as the gateway itself, because what
   * one user writes there belongs to an object of his that others may read, and none may reach the files any other way.
   */
  asGateway<T>(work: () => T): T;
  /** Where the keeper is at work, those who have, or had, a `staging` and `uploads` of their own; nobody for all others. */
  requesters(): Actor[];
  /** The lock of a key, while it is held: a file of the bucket's filesystem whose times mean nothing. */
  held?: number;
}

/**
 * Opens the bucket, runs `work`, closes everything, and turns a failure of the filesystem into the S3 error that it means
 * in this context. NoSuchBucket when its directory is gone.
 */
export const withBucket = <T>(ground: Ground, context: ErrnoContext, work: (bucket: BucketDir) => T): T => {
  const flags = O_PATH | O_DIRECTORY;
  const fd = tryOpenat2(AT_FDCWD, ground.path, flags, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (fd === -E.ENOENT || fd === -E.ENOTDIR) throw new S3Error('NoSuchBucket');
  if (fd < 0) throw toS3Error(errnoError(-fd, 'openat2'), context);
  const { bucket, opened, closeAreas } = bucketDir(ground, fd);
  try {
    return work(bucket);
  } catch (error) {
    // `busyNow` throws what is no error.
    if (!isErrno(error)) throw error;
    if (error.code === 'ENOENT') {
      // A directory without links has been removed: the bucket's, or one of ours in it, by a deletion under way.
      if (fstat(fd).nlink === 0) throw new S3Error('NoSuchBucket', { cause: error });
      const lost = opened().some((area) => fstat(area).nlink === 0);
      if (lost) throw new S3Error('NoSuchBucket', { cause: new Error(unprepared) });
    }
    throw toS3Error(error, context);
  } finally {
    leaveDirectory();
    closeAreas();
    close(fd);
  }
};

const bucketDir = (ground: Ground, fd: number): { bucket: BucketDir; opened(): number[]; closeAreas(): void } => {
  const areas = new Map<Area, number>();
  const shared = ground.shared === true && canSwitch;
  let dev: number | undefined;
  let keeper: Actor | undefined;
  const keeperOf = (): Actor => (keeper ??= findKeeper(fd));
  const open = (name: Area): number => {
    if (shared) return openShared(fd, name, keeperOf());
    return name === 'meta' ? openMeta(fd) : openArea(fd, name);
  };
  const bucket: BucketDir = {
    ground,
    fd,
    shared,
    dev: () => (dev ??= fstat(fd).dev),
    area(name) {
      let area = areas.get(name);
      if (area === undefined) areas.set(name, (area = open(name)));
      return area;
    },
    asKeeper: (work) => (shared ? as(keeperOf(), work) : work()),
    asGateway: (work) => (shared ? as(undefined, work) : work()),
    requesters: () => (canSwitch && acting()?.uid === keeperOf().uid ? requestersOf(fd) : []),
  };
  return {
    bucket,
    opened: () => [...areas.values()],
    closeAreas: () => {
      for (const area of areas.values()) close(area);
      areas.clear();
    },
  };
};

/**
 * Runs `work` as another of the users who share the bucket, with his `staging` and `uploads`: for what the bucket's keeper
 * and the reaper may do to all.
 */
export const asRequester = <T>(bucket: BucketDir, requester: Actor, work: (his: BucketDir) => T): T =>
  as(requester, () => {
    const { bucket: his, closeAreas } = bucketDir({ ...bucket.ground, shared: true }, bucket.fd);
    try {
      return work(his);
    } finally {
      closeAreas();
    }
  });

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
  // It has been removed meanwhile, here or by another client of its server.
  if (fd === -E.ENOENT || fd === -E.ESTALE) return;
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    fsync(fd);
  } catch (error) {
    if (!isErrno(error) || error.errno !== E.ESTALE) throw error;
  } finally {
    close(fd);
  }
};

/**
 * Makes a bucket's `.tidegate`, with the bucket, or again when its user has removed it; in a shared bucket, as the gateway
 * itself, also what `requester` needs of his own in it.
 */
export const prepareBucket = (ground: Ground, requester?: Actor): void => {
  const fd = tryOpenat2(AT_FDCWD, ground.path, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (fd === -E.ENOENT) throw new S3Error('NoSuchBucket');
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    const make = () => tryMkdirat(fd, reservedSegment, 0o700);
    const { uid, gid } = fstat(fd);
    const made = requester && canSwitch ? as({ uid, gid, groups: [] }, make) : make();
    if (made === -E.ENOENT) throw new S3Error('NoSuchBucket');
    if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
    if (requester && canSwitch) makeHome(fd, requester);
  } finally {
    close(fd);
  }
};
