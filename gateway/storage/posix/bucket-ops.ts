/** What the worker threads do for `buckets.ts`. */
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import type { Actor } from '../types.js';
import { reapTrash, removeBucket } from './bucket-removal.js';
import { canSwitch } from './identity.js';
import { type Ground, prepareBucket } from './paths.js';
import {
  AT_FDCWD,
  close,
  E,
  errnoError,
  fchmod,
  fchown,
  fstat,
  fsync,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat2,
  RESOLVE_INSIDE,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readEntries,
  tryMkdirat,
  tryOpenat2,
} from './syscalls.js';

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/**
 * Makes a directory unless it is there; what was made belongs to `actor`. Answers it open. An empty one that is still the
 * gateway's own was made by a creation that ended before it was given away.
 */
const ensure = (at: number, name: string, mode: number, actor: Actor | undefined): { fd: number; made: boolean } => {
  const made = tryMkdirat(at, name, mode);
  if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
  const fd = openat2(at, name, DIRECTORY, 0, RESOLVE_INSIDE);
  try {
    if (actor && canSwitch) {
      if (made === 0) fchown(fd, actor.uid, actor.gid);
      else if (isNobodysYet(fd)) giveIfPossible(fd, actor);
    }
    if (made === 0) fsync(fd);
  } catch (error) {
    close(fd);
    throw error;
  }
  return { fd, made: made === 0 };
};

const isNobodysYet = (fd: number): boolean => fstat(fd).uid === process.geteuid!() && readEntries(fd).length === 0;

/** There are filesystems on which all belongs to one user: what somebody has made there beforehand serves as it is. */
const giveIfPossible = (fd: number, { uid, gid }: Actor): void => {
  try {
    fchown(fd, uid, gid);
  } catch (error) {
    if (!isErrno(error) || error.code !== 'EPERM') throw error;
  }
};

const makeDirectories = (root: string, owner: string, name: string, actor: Actor, mode: number): boolean => {
  const open: number[] = [];
  const enter = (step: { fd: number; made: boolean }) => {
    open.push(step.fd);
    return step;
  };
  try {
    const top = openat2(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, NO_LINKS);
    open.push(top);
    const home = enter(ensure(top, owner, 0o755, undefined));
    // The owner goes through it as himself: no umask may close it.
    if (home.made && canSwitch) fchmod(home.fd, 0o755);
    if (home.made) fsync(top);
    const bucket = enter(ensure(home.fd, name, mode, actor));
    enter(ensure(bucket.fd, reservedSegment, 0o700, actor));
    fsync(bucket.fd);
    if (bucket.made) fsync(home.fd);
    return bucket.made;
  } finally {
    for (const fd of open) close(fd);
  }
};

export const bucketOps = {
  /**
   * `<root>/<owner>/<name>` with its `.tidegate`, for `actor`; what is there already is taken as it is (a creation that was
   * interrupted). The owner's directory stays the gateway's, so that no user can exchange a bucket for something else.
   * @returns whether the bucket's directory was made now
   */
  makeBucketDirectory(root: string, owner: string, name: string, actor: Actor, mode: number): boolean {
    for (let attempt = 0; ; attempt++) {
      try {
        return makeDirectories(root, owner, name, actor, mode);
      } catch (error) {
        // A deletion under way has taken the bucket's directory between two of our steps.
        if (!isErrno(error) || error.code !== 'ENOENT' || attempt === 8) throw error;
      }
    }
  },

  /** An existing directory, as the actor. InvalidArgument when it is none, or symbolic links lead to it. */
  checkBucketDirectory(path: string): void {
    const fd = tryOpenat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, NO_LINKS);
    if (fd >= 0) {
      close(fd);
      return;
    }
    const reason: Record<number, string> = {
      [E.ENOENT]: 'it does not exist',
      [E.ENOTDIR]: 'it is not a directory',
      [E.ELOOP]: 'a symbolic link is on its path',
    };
    const message = reason[-fd];
    if (!message) throw errnoError(-fd, 'openat2');
    throw new S3Error('InvalidArgument', { message: `The directory ${path} cannot be a bucket: ${message}.` });
  },

  /** See `prepareBucket`. */
  prepareBucket(ground: Ground, requester?: Actor): void {
    prepareBucket(ground, requester);
  },

  /** Whether a bucket's own directory is there. */
  hasDirectory(path: string): boolean {
    const fd = tryOpenat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, NO_LINKS);
    if (fd === -E.ENOENT) return false;
    if (fd < 0) throw errnoError(-fd, 'openat2');
    close(fd);
    return true;
  },

  /** See `removeBucket`. NoSuchBucket when somebody else does it at the same time. */
  removeBucketDirectory(ground: Ground, root: string | undefined): void {
    try {
      removeBucket(ground, root);
    } catch (error) {
      const { cause } = error as { cause?: unknown };
      if (isErrno(cause) && cause.code === 'ENOENT') throw new S3Error('NoSuchBucket', { cause });
      throw error;
    }
  },

  /** See `reapTrash`. */
  reapTrash(root: string): void {
    reapTrash(root);
  },
};
