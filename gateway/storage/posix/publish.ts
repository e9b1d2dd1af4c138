/**
 * Making a file an object: written aside, metadata first, then given its name in one step. A reader sees the old object
 * or the new one, whole; after a crash there is only garbage in `staging/`.
 */
import { requireStorable } from '../../../acl/metadata/codec.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import { S3Error } from '../../errors.js';
import { checkWrite } from '../condition.js';
import type { WriteCondition } from '../types.js';
import { inherit } from './inherit.js';
import { withKeyLock } from './locks.js';
import { milliseconds } from './lookup.js';
import { type Parent, parentFor, removeEmptyParents } from './parents.js';
import { type BucketDir, syncDirectory } from './paths.js';
import { publishDirectory } from './publish-directory.js';
import { restage } from './restage.js';
import { moveInto, type Published, type Staged, stampFile } from './staged.js';
import { current, openStanding, type Standing } from './standing.js';
import { close, closeReplaced, E, errnoError, fdatasync, fsync, isErrno, tryLinkat } from './syscalls.js';

/**
 * Publishes a staged file under its key, if the condition holds for what stands there at this moment. On success the
 * file is closed; on failure it is still there and nothing is changed: call again (`busyNow`), or `discard` it.
 *
 * What stands there is replaced as a whole, as S3 does: nothing of its permissions, owner or metadata goes over.
 */
export const publishStaged = (
  bucket: BucketDir,
  staged: Staged,
  key: string,
  meta: ObjectMeta,
  condition?: WriteCondition,
): Published => {
  requireStorable(meta);
  // The bytes first: after a crash the new name must not show a file without them.
  if (bucket.ground.durability !== 'none') fdatasync(staged.fd);
  try {
    return withKeyLock(bucket, key, () =>
      key.endsWith('/')
        ? publishDirectory(bucket, staged, key, meta, condition)
        : publishFile(bucket, staged, key, meta, condition),
    );
  } catch (error) {
    if (error instanceof Error && staged.fd >= 0) {
      // A directory object may have made its own directory.
      removeEmptyParents(bucket, key.endsWith('/') ? `${key}x` : key);
    }
    throw error;
  }
};

const publishFile = (
  bucket: BucketDir,
  staged: Staged,
  key: string,
  meta: ObjectMeta,
  condition: WriteCondition | undefined,
): Published => {
  for (let attempt = 0; attempt <= 16; attempt++) {
    const parent = parentFor(bucket, key, condition);
    let standing: Standing | undefined;
    try {
      const looked = unlessStale(() => ({ there: openStanding(bucket, parent, key) }));
      if (!looked) continue;
      standing = looked.there;
      checkWrite(condition, current(standing));
      const published = tryPublish(bucket, staged, parent, key, meta, standing, condition);
      if (published) {
        standing?.loaded.forget();
        return published;
      }
    } finally {
      // Open until now: while it is, its inode number cannot be given to another file, whose sidecar we would drop.
      if (standing && standing.fd >= 0) closeReplaced(standing.fd, standing.stat.size);
      parent.close();
    }
    // A DELETE removed the directory that was empty before we came.
  }
  throw new S3Error('SlowDown');
};

/** Undefined for ESTALE, as a network filesystem says it of a directory that is gone, though open. */
const unlessStale = <T>(work: () => T): T | undefined => {
  try {
    return work();
  } catch (error) {
    if (isErrno(error) && error.errno === E.ESTALE) return undefined;
    throw error;
  }
};

/** Undefined: the parent vanished, to be tried again. */
const tryPublish = (
  bucket: BucketDir,
  staged: Staged,
  parent: Parent,
  key: string,
  meta: ObjectMeta,
  standing: Standing | undefined,
  condition: WriteCondition | undefined,
): Published | undefined => {
  // If-None-Match is held by the kernel as well, against jobs that know nothing of our locks.
  const exclusive = condition?.ifNoneMatch !== undefined && !standing;
  let restaged: ReturnType<typeof restage> | undefined;
  try {
    let source: { directory: number; name: string } = { directory: bucket.area('staging'), name: staged.name };
    const inherits = unlessStale(() => inherit(bucket, staged.fd, parent.fd));
    if (inherits === undefined) return undefined;
    if (!inherits) source = restaged = restage(bucket, staged, parent.fd);
    let stamped = stampFile(bucket, staged.fd, meta);
    let result = moveInto(source.directory, source.name, parent.fd, parent.base, exclusive);
    if (result === -E.EXDEV && !restaged) {
      stamped.undo();
      source = restaged = restage(bucket, staged, parent.fd);
      stamped = stampFile(bucket, staged.fd, meta);
      result = moveInto(source.directory, source.name, parent.fd, parent.base, exclusive);
    }
    if (result < 0) {
      stamped.undo();
      const gone = result === -E.ENOENT || result === -E.ESTALE;
      if (gone && isThere(source.directory, source.name)) return undefined;
      if (result === -E.ENOENT) throw new S3Error('NoSuchBucket', { cause: errnoError(E.ENOENT, 'rename') });
      if (result === -E.EEXIST && exclusive)
        throw new S3Error('PreconditionFailed', { fields: { Condition: 'If-None-Match' } });
      throw errnoError(-result, 'rename');
    }
    const settled = stamped.settle();
    if (bucket.ground.durability === 'full') fsync(staged.fd);
    syncDirectory(bucket, parent.fd);
    close(staged.fd);
    staged.fd = -1;
    const { size, mtimeNs } = stamped.stat;
    return { info: { key, size, lastModified: milliseconds(mtimeNs), meta }, settled };
  } finally {
    restaged?.done();
  }
};

const isThere = (directory: number, name: string): boolean => {
  // A link to itself: EEXIST when the name is there, and nothing is made either way.
  return tryLinkat(directory, name, directory, name) === -E.EEXIST;
};
