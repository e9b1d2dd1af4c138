/**
 * Taking a bucket's directory away. An empty directory is no object, whoever made it, so it goes with the bucket; anything
 * else that is not ours stays, and the bucket with it.
 */
import { randomBytes } from 'node:crypto';
import { loadRecord } from '../../../acl/metadata/store.js';
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import { become, canSwitch } from './identity.js';
import { withKeyLock } from './locks.js';
import { type BucketDir, type Ground, withBucket } from './paths.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  clockGettime,
  close,
  E,
  errnoError,
  fstat,
  fsync,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat2,
  RENAME_NOREPLACE,
  RESOLVE_INSIDE,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  rawPath,
  readEntries,
  S_IFDIR,
  S_IFMT,
  tryMkdirat,
  tryOpenat2,
  tryRenameat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
/** Never onto another filesystem that is mounted in the bucket. */
const HERE = RESOLVE_INSIDE | RESOLVE_NO_XDEV;

/** In the service area: `.tidegate` directories of buckets that are being deleted. */
const TRASH = 'deleted';

/**
 * Takes a bucket's directory away, or only what is ours in it. BucketNotEmpty, naming it, when anything else is there, or
 * comes meanwhile; then nothing is lost, not even an upload.
 *
 * Nothing that was acknowledged can be lost: `.tidegate` is moved out, rmdir decides whether anything was published
 * meanwhile, and if so it is moved back.
 * @param root the store's; undefined for a directory that was there before the bucket, and stays
 */
export const removeBucket = (ground: Ground, root: string | undefined): void =>
  withBucket(ground, 'service', (bucket) => {
    const trash = root === undefined ? undefined : openTrash(root);
    try {
      for (let attempt = 0; attempt < 8; attempt++) {
        // As its owner: the locks that are made here must be his.
        const { uid, gid } = fstat(bucket.fd);
        if (canSwitch) become({ uid, gid, groups: [] });
        prune(bucket, requireDirectories(bucket), root !== undefined);
        become(undefined);
        const moved = trash === undefined ? undefined : moveOut(bucket, trash);
        if (moved === undefined) return removeInPlace(bucket, root === undefined);
        if (removeDirectory(ground.path)) return discard(trash!, moved);
        moveBack(bucket, trash!, moved);
      }
      throw new S3Error('BucketNotEmpty');
    } finally {
      become(undefined);
      if (trash !== undefined) close(trash);
    }
  });

// ---- what is there -----------------------------------------------------------------------------------------------

const notEmpty = (path: string, what: string): S3Error =>
  new S3Error('BucketNotEmpty', {
    message: `The bucket you tried to delete is not empty: ${JSON.stringify(nameOf(path))} is in it${what}.`,
  });

const nameOf = (path: string): string => rawPath(path).toString('utf8');

/**
 * All directories below a bucket's own, as bytes, those above before those below. BucketNotEmpty for the first entry that is
 * no directory, is an object, or cannot be looked into.
 */
const requireDirectories = (bucket: BucketDir): string[] => {
  const found: string[] = [];
  const waiting = [''];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const fd = tryOpenat2(bucket.fd, path === '' ? '.' : rawPath(path), DIRECTORY, 0, HERE);
    if (fd === -E.ENOENT && path !== '') continue;
    if (fd < 0) throw path === '' ? errnoError(-fd, 'openat2') : notEmpty(path, ' and cannot be looked into');
    try {
      if (path !== '' && isMarked(bucket, fd)) throw notEmpty(`${path}/`, '');
      for (const { name } of readEntries(fd)) {
        const below = path === '' ? name : `${path}/${name}`;
        const stat = tryStatat(fd, rawPath(name), AT_SYMLINK_NOFOLLOW);
        if (!stat) continue;
        const directory = (stat.mode & S_IFMT) === S_IFDIR;
        if (!directory) throw notEmpty(below, '');
        if (path === '' && name === reservedSegment) continue;
        found.push(below);
        waiting.push(below);
      }
    } finally {
      close(fd);
    }
  }
  return found;
};

const isMarked = (bucket: BucketDir, fd: number): boolean =>
  loadRecord(bucket, fd, fstat(fd)).packed?.marker !== undefined;

/** Removes directories that are empty, from below; only those that the gateway made unless `all`. */
const prune = (bucket: BucketDir, directories: readonly string[], all: boolean): void => {
  for (const path of directories.toReversed()) {
    const slash = path.lastIndexOf('/');
    const parent = tryOpenat2(bucket.fd, slash < 0 ? '.' : rawPath(path.slice(0, slash)), DIRECTORY, 0, HERE);
    if (parent < 0) continue;
    try {
      // It could become an object between the look and the removal.
      withKeyLock(bucket, nameOf(path), () => removeEmpty(bucket, parent, rawPath(path.slice(slash + 1)), all));
    } finally {
      close(parent);
    }
  }
};

const removeEmpty = (bucket: BucketDir, directory: number, name: Buffer, all: boolean): void => {
  const fd = tryOpenat2(directory, name, DIRECTORY, 0, HERE);
  if (fd < 0) return;
  try {
    const { packed, forget } = loadRecord(bucket, fd, fstat(fd));
    if (packed?.marker || !(all || packed?.made)) return;
    if (tryUnlinkat(directory, name, AT_REMOVEDIR) === 0) forget();
  } finally {
    close(fd);
  }
};

// ---- out of the way, and back ------------------------------------------------------------------------------------

/** The service area is there, and only the gateway can enter it: buckets are registered in it. */
const openTrash = (root: string): number => {
  const area = openat2(AT_FDCWD, `${root}/${reservedSegment}`, DIRECTORY, 0, NO_LINKS);
  try {
    const made = tryMkdirat(area, TRASH, 0o700);
    if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
    return openat2(area, TRASH, DIRECTORY, 0, RESOLVE_INSIDE);
  } finally {
    close(area);
  }
};

/** The name in the trash; undefined when `.tidegate` is not there, or on another filesystem than the trash. */
const moveOut = (bucket: BucketDir, trash: number): string | undefined => {
  const name = randomBytes(16).toString('hex');
  const result = tryRenameat2(bucket.fd, reservedSegment, trash, name);
  if (result === 0) return name;
  if (result === -E.ENOENT || result === -E.EXDEV) return undefined;
  throw errnoError(-result, 'rename');
};

/** A writer may have found `.tidegate` missing and made a new one: then each thing goes back to its place. */
const moveBack = (bucket: BucketDir, trash: number, name: string): void => {
  if (tryRenameat2(trash, name, bucket.fd, reservedSegment, RENAME_NOREPLACE) === 0) return;
  const [from, to] = [
    tryOpenat2(trash, name, DIRECTORY, 0, HERE),
    tryOpenat2(bucket.fd, reservedSegment, DIRECTORY, 0, HERE),
  ];
  try {
    if (from < 0 || to < 0) return;
    for (const area of readEntries(from)) {
      const raw = rawPath(area.name);
      if (tryRenameat2(from, raw, to, raw, RENAME_NOREPLACE) === 0) continue;
      const [source, target] = [tryOpenat2(from, raw, DIRECTORY, 0, HERE), tryOpenat2(to, raw, DIRECTORY, 0, HERE)];
      if (source >= 0 && target >= 0) {
        for (const entry of readEntries(source)) {
          tryRenameat2(source, rawPath(entry.name), target, rawPath(entry.name), RENAME_NOREPLACE);
        }
      }
      for (const fd of [source, target]) if (fd >= 0) close(fd);
    }
  } finally {
    for (const fd of [from, to]) if (fd >= 0) close(fd);
    discard(trash, name);
  }
};

/** False when something is in it. */
const removeDirectory = (path: string): boolean => {
  const slash = path.lastIndexOf('/');
  const above = openat2(AT_FDCWD, path.slice(0, slash) || '/', DIRECTORY, 0, NO_LINKS);
  try {
    const result = tryUnlinkat(above, path.slice(slash + 1), AT_REMOVEDIR);
    if (result === -E.ENOTEMPTY || result === -E.EEXIST) return false;
    if (result < 0 && result !== -E.ENOENT) throw errnoError(-result, 'rmdir');
    fsync(above);
    return true;
  } finally {
    close(above);
  }
};

/**
 * Where `.tidegate` cannot be moved out. First the staged files go, and the place for new ones, so nothing can be published
 * any more; what was published before that is found by the second look.
 */
const removeInPlace = (bucket: BucketDir, keep: boolean): void => {
  const own = tryOpenat2(bucket.fd, reservedSegment, DIRECTORY, 0, HERE);
  if (own < 0 && own !== -E.ENOENT) throw errnoError(-own, 'openat2');
  try {
    if (own >= 0) discard(own, 'staging');
    requireDirectories(bucket);
    if (own >= 0) empty(own);
  } finally {
    if (own >= 0) close(own);
  }
  const removed = tryUnlinkat(bucket.fd, reservedSegment, AT_REMOVEDIR);
  if (removed < 0 && removed !== -E.ENOENT && removed !== -E.ENOTEMPTY) throw errnoError(-removed, 'rmdir');
  if (keep || removeDirectory(bucket.ground.path)) return;
  requireDirectories(bucket);
  throw new S3Error('BucketNotEmpty');
};

/** Removes a directory with all that is in it. Never leaves the filesystem, never follows a link. */
const discard = (at: number, name: string): void => {
  const fd = tryOpenat2(at, name, DIRECTORY, 0, HERE);
  if (fd < 0) {
    if (fd !== -E.ENOENT) tryUnlinkat(at, name);
    return;
  }
  try {
    empty(fd);
  } finally {
    close(fd);
  }
  tryUnlinkat(at, name, AT_REMOVEDIR);
};

const empty = (directory: number): void => {
  for (const { name } of readEntries(directory)) {
    const raw = rawPath(name);
    const result = tryUnlinkat(directory, raw);
    if (result === 0 || result === -E.ENOENT) continue;
    if (result !== -E.EISDIR && result !== -E.EPERM) throw errnoError(-result, 'unlink');
    const fd = tryOpenat2(directory, raw, DIRECTORY, 0, HERE);
    if (fd < 0) throw errnoError(-fd, 'openat2');
    try {
      empty(fd);
    } finally {
      close(fd);
    }
    tryUnlinkat(directory, raw, AT_REMOVEDIR);
  }
};

const TRASH_AGE_NS = 3_600_000_000_000n;

/** Removes what deletions that died have left in the trash. */
export const reapTrash = (root: string): void => {
  const trash = tryOpenat2(AT_FDCWD, `${root}/${reservedSegment}/${TRASH}`, DIRECTORY, 0, NO_LINKS);
  // Nothing was ever deleted, or not even made.
  if (trash === -E.ENOENT) return;
  if (trash < 0) throw errnoError(-trash, 'openat2');
  try {
    for (const { name } of readEntries(trash)) {
      const stat = tryStatat(trash, rawPath(name), AT_SYMLINK_NOFOLLOW);
      if (stat && clockGettime() - stat.ctimeNs > TRASH_AGE_NS) discard(trash, name);
    }
  } finally {
    close(trash);
  }
};
