/** What the worker threads do for `buckets.ts`. */
import { judge } from '../../../acl/metadata/stamp.js';
import { loadRecord } from '../../../acl/metadata/store.js';
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import type { Actor } from '../types.js';
import { canSwitch } from './identity.js';
import { withKeyLock } from './locks.js';
import { type BucketDir, type Ground, prepareBucket, withBucket } from './paths.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  close,
  DT_DIR,
  DT_UNKNOWN,
  E,
  errnoError,
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
  RESOLVE_NO_XDEV,
  rawPath,
  readEntries,
  tryMkdirat,
  tryOpenat2,
  tryUnlinkat,
} from './syscalls.js';
import { isEmpty } from './walk.js';

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/** Makes a directory unless it is there; what was made belongs to `actor`. Answers it open. */
const ensure = (at: number, name: string, mode: number, actor: Actor | undefined): { fd: number; made: boolean } => {
  const made = tryMkdirat(at, name, mode);
  if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
  const fd = openat2(at, name, DIRECTORY, 0, RESOLVE_INSIDE);
  try {
    if (made === 0 && actor && canSwitch) fchown(fd, actor.uid, actor.gid);
    if (made === 0) fsync(fd);
  } catch (error) {
    close(fd);
    throw error;
  }
  return { fd, made: made === 0 };
};

export const bucketOps = {
  /**
   * `<root>/<owner>/<name>` with its `.tidegate`, for `actor`; what is there already is taken as it is (a creation that was
   * interrupted). The owner's directory stays the gateway's, so that no user can exchange a bucket for something else.
   * @returns whether the bucket's directory was made now
   */
  makeBucketDirectory(root: string, owner: string, name: string, actor: Actor, mode: number): boolean {
    const open: number[] = [];
    const enter = (step: { fd: number; made: boolean }) => {
      open.push(step.fd);
      return step;
    };
    try {
      const top = openat2(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, NO_LINKS);
      open.push(top);
      const home = enter(ensure(top, owner, 0o755, undefined));
      if (home.made) fsync(top);
      const bucket = enter(ensure(home.fd, name, mode, actor));
      enter(ensure(bucket.fd, reservedSegment, 0o700, actor));
      fsync(bucket.fd);
      if (bucket.made) fsync(home.fd);
      return bucket.made;
    } finally {
      for (const fd of open) close(fd);
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

  /** Makes `.tidegate` again where a user removed it. */
  prepareBucket(ground: Ground): void {
    prepareBucket(ground);
  },

  /**
   * Takes a bucket's directory away, or (with `keep`) only what is ours in it. BucketNotEmpty when anything else is
   * there, or comes meanwhile.
   *
   * Nothing that was acknowledged can be lost: every publish needs a staged file. First all staged files go, and the
   * directory for new ones; what was published before that is found by the second look, and rmdir refuses to remove a
   * directory that is not empty, whatever comes after.
   */
  removeBucketDirectory(ground: Ground, keep: boolean): void {
    try {
      withBucket(ground, 'service', (bucket) => removeBucket(bucket, keep));
    } catch (error) {
      // Somebody else removes it at the same time.
      const { cause } = error as { cause?: unknown };
      if (isErrno(cause) && cause.code === 'ENOENT') throw new S3Error('NoSuchBucket', { cause });
      throw error;
    }
  },
};

const removeBucket = (bucket: BucketDir, keep: boolean): void => {
  const { ground } = bucket;
  pruneMade(bucket, '');
  if (!isEmpty(ground)) throw new S3Error('BucketNotEmpty');
  drain(bucket, `${reservedSegment}/staging`);
  if (!isEmpty(ground)) throw new S3Error('BucketNotEmpty');
  drain(bucket, reservedSegment);
  const removed = tryUnlinkat(bucket.fd, reservedSegment, AT_REMOVEDIR);
  if (removed < 0 && removed !== -E.ENOENT && removed !== -E.ENOTEMPTY) throw errnoError(-removed, 'rmdir');
  const above = ground.path.slice(0, ground.path.lastIndexOf('/')) || '/';
  const fd = openat2(AT_FDCWD, above, DIRECTORY, 0, NO_LINKS);
  try {
    const kept = () => (isEmpty(ground) ? 0 : -E.ENOTEMPTY);
    const gone = keep ? kept() : tryUnlinkat(fd, baseOf(ground.path), AT_REMOVEDIR);
    if (gone === -E.ENOTEMPTY || gone === -E.EEXIST) throw new S3Error('BucketNotEmpty');
    if (gone < 0 && gone !== -E.ENOENT) throw errnoError(-gone, 'rmdir');
    if (!keep) fsync(fd);
  } finally {
    close(fd);
  }
};

const baseOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Removes everything in one of our directories, and the directories below it. Never leaves the filesystem. */
const drain = (bucket: BucketDir, path: string): void => {
  const fd = tryOpenat2(bucket.fd, path, DIRECTORY, 0, RESOLVE_INSIDE | RESOLVE_NO_XDEV);
  if (fd === -E.ENOENT) return;
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    empty(fd);
    // With it goes the place for new staged files, for those that hold it open.
    if (path !== reservedSegment) {
      const own = tryOpenat2(bucket.fd, reservedSegment, DIRECTORY, 0, RESOLVE_INSIDE);
      if (own < 0) return;
      tryUnlinkat(own, baseOf(path), AT_REMOVEDIR);
      close(own);
    }
  } finally {
    close(fd);
  }
};

const empty = (directory: number): void => {
  for (const { name, type } of readEntries(directory)) {
    const raw = rawPath(name);
    const result = type === DT_DIR ? -E.EISDIR : tryUnlinkat(directory, raw);
    if (result === 0 || result === -E.ENOENT) continue;
    if (result !== -E.EISDIR && result !== -E.EPERM) throw errnoError(-result, 'unlink');
    const fd = tryOpenat2(directory, raw, DIRECTORY, 0, RESOLVE_INSIDE | RESOLVE_NO_XDEV);
    if (fd < 0) throw errnoError(-fd, 'openat2');
    try {
      empty(fd);
    } finally {
      close(fd);
    }
    tryUnlinkat(directory, raw, AT_REMOVEDIR);
  }
};

/** Removes empty directories that the gateway made: a crash may leave them, and no S3 client could ever remove them. */
const pruneMade = (bucket: BucketDir, path: string): void => {
  const flags = DIRECTORY;
  const fd = tryOpenat2(bucket.fd, path === '' ? '.' : rawPath(path), flags, 0, RESOLVE_INSIDE | RESOLVE_NO_XDEV);
  if (fd < 0) return;
  try {
    for (const { name, type } of readEntries(fd)) {
      if (name === reservedSegment) continue;
      // Anything else makes the bucket not empty: no need to look at the rest.
      if (type !== DT_DIR && type !== DT_UNKNOWN) return;
      const below = path === '' ? name : `${path}/${name}`;
      pruneMade(bucket, below);
      withKeyLock(bucket, Buffer.from(below, 'latin1').toString(), () => removeMade(bucket, fd, rawPath(name)));
    }
  } finally {
    close(fd);
  }
};

const removeMade = (bucket: BucketDir, directory: number, name: Buffer): void => {
  const fd = tryOpenat2(directory, name, DIRECTORY, 0, RESOLVE_INSIDE | RESOLVE_NO_XDEV);
  if (fd < 0) return;
  try {
    const stat = fstat(fd);
    const { packed } = loadRecord(bucket, fd, stat);
    if (!packed?.made || packed.marker || judge(packed.stamp, stat) === 'foreign') return;
    tryUnlinkat(directory, name, AT_REMOVEDIR);
  } finally {
    close(fd);
  }
};
