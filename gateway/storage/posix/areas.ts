/**
 * The directories of a bucket's `.tidegate`, and whose they are.
 *
 * Mostly all belong to the bucket's owner, as whom everything is done there. In a shared bucket (`actAs: requester`) each
 * user stages and keeps uploads in a directory of his own, `.tidegate/requesters/<uid>`, which nobody else can enter; the
 * keeper, to whom `.tidegate` itself belongs, goes on using its own `staging` and `uploads`. `.tidegate` stays closed to
 * all others: they work through descriptors that the gateway opens for them.
 */
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import type { Actor } from '../types.js';
import { acting, as, canSwitch } from './identity.js';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  E,
  errnoError,
  errnoName,
  fchown,
  fstat,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat2,
  RESOLVE_INSIDE,
  readEntries,
  tryMkdirat,
  tryOpenat2,
  tryStatat,
} from './syscalls.js';

/** The directories that a bucket's `.tidegate` has. */
export type Area = 'staging' | 'uploads' | 'locks' | 'meta' | 'bodies';

/** The message of an error that asks the main thread to look whether the bucket still exists, and to prepare it again. */
export const unprepared = 'the bucket has no .tidegate directory';

const REQUESTERS = 'requesters';

const notPrepared = (): S3Error => new S3Error('NoSuchBucket', { cause: new Error(unprepared) });

/**
 * `.tidegate` itself is made with the bucket only: a bucket that is being deleted has lost it, and a write that raced
 * with the deletion must not bring it back.
 */
export const openArea = (bucket: number, name: Area): number => {
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
    if (own === -E.ENOENT) throw notPrepared();
    if (own < 0) throw errnoError(-own, 'openat2');
    const made = tryMkdirat(own, name, 0o700);
    close(own);
    if (made < 0 && made !== -E.EEXIST && made !== -E.ENOENT) throw errnoError(-made, 'mkdir');
  }
};

/**
 * The area of records outside of attributes, in a bucket that its owner alone works in. Whoever may write the bucket's
 * directory can put a `.tidegate` of his own in the place of hers, and by ACLs in it he would have her files.
 */
export const openMeta = (bucket: number): number => {
  const fd = openArea(bucket, 'meta');
  const actor = acting();
  if (!canSwitch || actor === undefined || actor.uid === 0) return fd;
  // Of the bucket's own directory too: there are filesystems on which all belongs to one user.
  const own = new Set([actor.uid, process.geteuid!(), fstat(bucket).uid]);
  if (own.has(fstat(fd).uid) && own.has(tryStatat(fd, '..', AT_SYMLINK_NOFOLLOW)?.uid ?? -1)) return fd;
  close(fd);
  throw unusable('meta', E.EACCES);
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

// ---- shared buckets ----------------------------------------------------------------------------------------------

/** To whom a bucket's `.tidegate` belongs: its owner, unless somebody who may write the bucket's directory put another there. */
export const findKeeper = (bucket: number): Actor => {
  const stat = as(undefined, () => tryStatat(bucket, reservedSegment, AT_SYMLINK_NOFOLLOW));
  if (!stat) throw notPrepared();
  return { uid: stat.uid, gid: stat.gid, groups: [] };
};

/** An area for the user as whom this thread works. */
export const openShared = (bucket: number, name: Area, keeper: Actor): number => {
  const actor = acting();
  const own = name === 'staging' || name === 'uploads';
  if (!own || actor === undefined || actor.uid === keeper.uid) return as(keeper, () => openArea(bucket, name));
  const home = openHome(bucket, actor.uid);
  try {
    // Made by himself, in a directory where nobody else can put anything in the way.
    const open = () => tryOpenat2(home, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
    let fd = open();
    if (fd === -E.ENOENT) {
      const made = tryMkdirat(home, name, 0o700);
      if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
      fd = open();
    }
    if (fd < 0) throw unusable(`${REQUESTERS}/${actor.uid}/${name}`, -fd);
    return fd;
  } finally {
    close(home);
  }
};

/** What belongs to the user and is closed to all others holds only what he put there, wherever it may have been moved to. */
const openHome = (bucket: number, uid: number): number => {
  const path = `${reservedSegment}/${REQUESTERS}/${uid}`;
  const fd = as(undefined, () => tryOpenat2(bucket, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE));
  if (fd === -E.ENOENT) throw notPrepared();
  if (fd < 0) throw unusable(`${REQUESTERS}/${uid}`, -fd);
  const stat = fstat(fd);
  if (stat.uid === uid && (stat.mode & 0o077) === 0) return fd;
  close(fd);
  // Not given away yet: another thread is about to do it, or died before it could, see `makeHome`.
  if (stat.uid !== uid && stat.uid === process.geteuid!()) throw notPrepared();
  throw unusable(`${REQUESTERS}/${uid}`, E.EACCES);
};

/** Opens `requesters` for reading, as the gateway itself; undefined when it is not there, or not as the gateway made it. */
const openRequesters = (bucket: number): number | undefined => {
  const path = `${reservedSegment}/${REQUESTERS}`;
  const fd = tryOpenat2(bucket, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (fd === -E.ENOENT) return undefined;
  if (fd < 0) throw unusable(REQUESTERS, -fd);
  const { uid, mode } = fstat(fd);
  if (uid === process.geteuid!() && (mode & 0o022) === 0) return fd;
  close(fd);
  throw unusable(REQUESTERS, E.EACCES);
};

/**
 * Makes a user's own directory in a bucket that has a `.tidegate`; the gateway itself must be at work. In a directory that
 * only root can write, so nobody can have put another thing in its place before it is given away.
 */
export const makeHome = (bucket: number, { uid, gid }: Actor): void => {
  if (findKeeper(bucket).uid === uid) return;
  const own = openat2(bucket, reservedSegment, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  try {
    const made = tryMkdirat(own, REQUESTERS, 0o700);
    if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
  } finally {
    close(own);
  }
  const requesters = openRequesters(bucket);
  if (requesters === undefined) throw notPrepared();
  try {
    const made = tryMkdirat(requesters, `${uid}`, 0o700);
    if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
    const home = openat2(requesters, `${uid}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
    try {
      giveHome(home, uid, gid);
    } finally {
      close(home);
    }
  } finally {
    close(requesters);
  }
};

/**
 * Also where a crash came in between: until then it is root's, and empty. One with something in it is none that was made
 * here: the bucket's owner may have put a directory of root's in the place of `.tidegate`.
 */
const giveHome = (home: number, uid: number, gid: number): void => {
  const isEmpty = readEntries(home).length === 0;
  // Only now: he himself begins to use it as soon as another thread has given it to him.
  const { uid: owner, mode } = fstat(home);
  if (owner === uid) return;
  const refuse = (errno: number) => unusable(`${REQUESTERS}/${uid}`, errno);
  if (!isEmpty || owner !== process.geteuid!() || (mode & 0o077) !== 0) throw refuse(E.EACCES);
  try {
    fchown(home, uid, gid);
  } catch (error) {
    if (isErrno(error) && error.errno === E.EPERM) throw refuse(E.EPERM);
    throw error;
  }
  // There are filesystems on which all belongs to one user, and nothing can be given away.
  if (fstat(home).uid !== uid) throw refuse(E.EPERM);
};

/** All who have a directory of their own in a bucket. */
export const requestersOf = (bucket: number): Actor[] =>
  as(undefined, () => {
    const fd = openRequesters(bucket);
    if (fd === undefined) return [];
    try {
      return readEntries(fd).flatMap(({ name }) => {
        const stat = /^\d+$/.test(name) ? tryStatat(fd, name, AT_SYMLINK_NOFOLLOW) : undefined;
        // Anything else was never given away.
        return stat && `${stat.uid}` === name ? [{ uid: stat.uid, gid: stat.gid, groups: [] }] : [];
      });
    } finally {
      close(fd);
    }
  });
