/**
 * A file of an upload that becomes the object without a copy: of its only part, or the whole with all parts in their places. It goes to
 * `staging/` and is published. The journal says what it was, so that a failure or a crash in between gives it back.
 */
import { judge } from '../../../acl/metadata/stamp.js';
import { clearRecord, loadRecord } from '../../../acl/metadata/store.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import type { Part, WriteCondition } from '../types.js';
import { findObject, isFile } from './lookup.js';
import { type BucketDir, randomName } from './paths.js';
import { publishStaged } from './publish.js';
import { readSmall, writeSmall } from './small-files.js';
import { type Published, type Staged, stampFile } from './staged.js';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  errnoError,
  fstat,
  fsync,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  RESOLVE_INSIDE,
  type Stat,
  tryFlock,
  tryOpenat2,
  tryRenameat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';
import type { UploadDir } from './upload-files.js';
import {
  closePart,
  isPartEtag,
  missing,
  noSuchUpload,
  partName,
  removeUpload,
  requirePart,
  stampPart,
} from './upload-parts.js';

export const JOURNAL = 'single.json';

interface Journal {
  /** Its name in the directory of the upload. */
  name: string;
  /** Undefined: the whole. */
  part?: Part;
  size: number;
  staged: string;
  /** Decimal. */
  ino: string;
}

/** A file that becomes the object. */
export type Lent = Pick<Journal, 'name' | 'part'> & { stat: Stat };

/** Moves the file to `staging/`; until `recoverLent` the upload is without it. Exclusive lock held. */
export const borrow = (bucket: BucketDir, at: UploadDir, { name, part, stat }: Lent, staged: string): void => {
  const journal: Journal = { name, ...(part && { part }), size: stat.size, staged, ino: String(stat.ino) };
  writeSmall(bucket, at.fd, JOURNAL, Buffer.from(JSON.stringify(journal)));
  if (bucket.ground.durability === 'full') fsync(at.fd);
  const result = tryRenameat2(at.fd, name, bucket.area('staging'), staged);
  if (result < 0) {
    tryUnlinkat(at.fd, JOURNAL);
    throw errnoError(-result, 'rename');
  }
};

/**
 * Gives back what was borrowed, a part with the metadata of a part. Where it became the object, the upload is done: it is removed,
 * and NoSuchUpload says so, as after every completion. Exclusive lock held.
 */
export const recoverLent = (bucket: BucketDir, at: UploadDir): void => {
  const journal = readJournal(at.fd);
  const returned = journal !== undefined && giveBack(bucket, at.fd, journal);
  if (!returned && isCompleted(bucket, at, journal)) {
    removeUpload(bucket, at.upload.id, at.fd);
    throw noSuchUpload();
  }
  tryUnlinkat(at.fd, JOURNAL);
};

/** The staged file that was borrowed from an upload, if one is at the moment. */
export const borrowedName = (bucket: BucketDir, id: string): string | undefined => {
  const fd = tryOpenat2(bucket.area('uploads'), id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (fd < 0) return undefined;
  try {
    return readJournal(fd)?.staged;
  } finally {
    close(fd);
  }
};

const readJournal = (directory: number): Journal | undefined => {
  const fd = tryOpenat2(directory, JOURNAL, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (fd < 0) return undefined;
  try {
    const { part, staged, ino, ...rest } = JSON.parse(readSmall(fd)?.toString('utf8') ?? 'null') as Journal;
    if (!/^[0-9a-f]{32}$/.test(staged) || !/^\d{1,20}$/.test(ino)) return undefined;
    if (part) {
      const sound = Number.isInteger(part.number) && part.number >= 1 && part.number <= 10_000 && isPartEtag(part.etag);
      return sound ? { name: partName(part.number), part, size: part.size, staged, ino } : undefined;
    }
    const { name, size } = rest;
    return /^whole\.\d+$/.test(name) && Number.isSafeInteger(size) ? { name, size, staged, ino } : undefined;
  } catch {
    return undefined;
  } finally {
    close(fd);
  }
};

const giveBack = (bucket: BucketDir, directory: number, { name, part, size, staged, ino }: Journal): boolean => {
  const staging = bucket.area('staging');
  const fd = tryOpenat2(staging, staged, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (missing(fd)) return false;
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    const stat = fstat(fd);
    if (!isFile(stat) || String(stat.ino) !== ino || stat.size !== size) return false;
    // What the completion had stored already (its metadata may lie in an overflow file) is replaced.
    const { supersede } = loadRecord(bucket, fd, stat);
    const stamped = part && stampPart(bucket, fd, part);
    if (!part) clearRecord(bucket, fd, stat);
    const result = tryRenameat2(staging, staged, directory, name);
    if (result < 0) throw errnoError(-result, 'rename');
    supersede();
    stamped?.settle();
    if (bucket.ground.durability === 'full') fsync(fd);
    return true;
  } finally {
    close(fd);
  }
};

/** Between the journal and the last change that is ours, at most. Nanoseconds. */
const PUBLISHING = 5_000_000_000n;

/**
 * Whether the object that stands there was made by this very upload: its record says so, or it is the file that was borrowed. Where the
 * process died before the record was settled, that is done now: if nothing has changed since, as the ctime tells.
 */
const isCompleted = (bucket: BucketDir, at: UploadDir, journal: Journal | undefined): boolean => {
  const { id, key } = at.upload;
  const found = findObject(bucket, key, false, true);
  if (!found) return false;
  const { fd, stat, loaded, info } = found;
  try {
    if (info.meta.uploadId === id) return true;
    if (String(stat.ino) !== journal?.ino) return false;
    const { stamp, meta } = loaded.packed ?? {};
    const begun = tryStatat(at.fd, JOURNAL, AT_SYMLINK_NOFOLLOW)?.mtimeNs ?? 0n;
    const ours = meta?.uploadId === id && judge(stamp, stat) === 'suspect' && stat.ctimeNs - begun < PUBLISHING;
    if (ours) stampFile(bucket, fd, meta).settle();
    return true;
  } finally {
    if (fd >= 0) close(fd);
  }
};

/** The file of the only part. */
export const openOnly = (bucket: BucketDir, at: UploadDir, part: Part): (Lent & { fd: number }) | undefined => {
  const found = requirePart(bucket, at.fd, part);
  if (found.bytes.fd === found.fd)
    return { fd: found.fd, name: partName(part.number), part: found.part, stat: found.stat };
  closePart(found);
  return undefined;
};

/** Publishes it and ends the upload. On failure both are as they were. Exclusive lock held. */
export const publishLent = (
  bucket: BucketDir,
  at: UploadDir,
  lent: Lent & { fd: number },
  key: string,
  meta: ObjectMeta,
  condition: WriteCondition | undefined,
): Published => {
  const staged: Staged = { fd: lent.fd, name: randomName() };
  try {
    tryLock(staged.fd);
    borrow(bucket, at, lent, staged.name);
    let published: Published;
    try {
      published = publishStaged(bucket, staged, key, meta, condition);
    } catch (error) {
      try {
        recoverLent(bucket, at);
      } catch {
        // The journal stays: whoever comes next tries again.
      }
      throw error;
    }
    end(bucket, at);
    return published;
  } finally {
    if (staged.fd >= 0) close(staged.fd);
  }
};

/** The object stands: whatever keeps the upload from being removed must not make a failure of it. */
export const end = (bucket: BucketDir, at: UploadDir): void => {
  try {
    removeUpload(bucket, at.upload.id, at.fd);
  } catch {
    // A repeated completion finds the object, the reaper finds the rest.
  }
};

const tryLock = (fd: number): void => {
  try {
    tryFlock(fd);
  } catch {
    // Without flock reapers go by the age alone.
  }
};
