/**
 * The files of unfinished multipart uploads: `<bucket>/.tidegate/uploads/<id>/` with `upload.json` and the parts (`upload-parts.ts`).
 * The bucket's user can write all of them: what is read here is input.
 *
 * `upload.json` is the upload: it exists as long as it stands, and flock on it orders what several gateways do with it:
 * shared to put a part, exclusive to finish. Whoever gets the lock of a file that has no name any more came too late.
 */
import { decodeMeta, encodeMeta } from '../../../acl/metadata/codec.js';
import { clearRecord, loadRecord } from '../../../acl/metadata/store.js';
import type { ChecksumAlgorithm, ChecksumType } from '../../../acl/metadata/types.js';
import { isStorableKey } from '../keys.js';
import type { NewUpload, Part, Upload } from '../types.js';
import { busyNow } from './failures.js';
import { findObject, isFile } from './lookup.js';
import type { BucketDir } from './paths.js';
import { type StampedFile, stampFile } from './staged.js';
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  close,
  closeReplaced,
  E,
  errnoError,
  fstat,
  fsync,
  isErrno,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openat2,
  pread,
  pwrite,
  RESOLVE_INSIDE,
  rawPath,
  readEntries,
  type Stat,
  tryFlock,
  tryOpenat2,
  tryRenameat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';
import { isPartEtag, missing, noSuchUpload, openRecorded, partName, UPLOAD_FILE } from './upload-parts.js';

const JOURNAL = 'single.json';
const MAX_FILE = 1 << 20;

/** 12 digits of the time, so that ids sort by age, and 20 that nobody guesses. */
export const isUploadId = (id: unknown): id is string => typeof id === 'string' && /^[0-9a-f]{32}$/.test(id);

/** An upload while an operation looks at it. */
export interface UploadDir {
  /** Open for reading. */
  fd: number;
  upload: Upload;
  /** False where the filesystem has no flock. */
  locks: boolean;
}

// ---- upload.json -------------------------------------------------------------------------------------------------

const algorithms: readonly unknown[] = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] satisfies ChecksumAlgorithm[];
const types: readonly unknown[] = ['COMPOSITE', 'FULL_OBJECT'] satisfies ChecksumType[];

export const encodeUpload = (key: string, initiated: number, { meta, checksum, initiator }: NewUpload): Buffer => {
  const packed = encodeMeta({ ...meta, etag: '' }).toString('base64');
  return Buffer.from(
    JSON.stringify({
      version: 1,
      key,
      initiated,
      initiator,
      checksum: checksum && [checksum.algorithm, checksum.type],
      meta: packed,
    }),
  );
};

/** Undefined for anything that `encodeUpload` does not write. */
export const decodeUpload = (id: string, bytes: Uint8Array): Upload | undefined => {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as typeof value;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || value['version'] !== 1) return undefined;
  const { key, initiated, initiator, checksum, meta: packed } = value;
  if (typeof key !== 'string' || !isStorableKey(key) || typeof initiator !== 'string') return undefined;
  if (!Number.isSafeInteger(initiated) || (initiated as number) < 0 || (initiated as number) > 8.64e15)
    return undefined;
  if (typeof packed !== 'string') return undefined;
  const whole = decodeMeta(Buffer.from(packed, 'base64'));
  if (!whole) return undefined;
  const { headers, user, tags, owner, acl } = whole;
  const upload: Upload = { key, id, initiated: initiated as number, initiator, meta: { headers, user } };
  if (tags) upload.meta.tags = tags;
  if (owner !== undefined) upload.meta.owner = owner;
  if (acl !== undefined) upload.meta.acl = acl;
  if (checksum !== undefined && checksum !== null) {
    const [algorithm, type] = Array.isArray(checksum) ? checksum : [];
    if (!algorithms.includes(algorithm) || !types.includes(type)) return undefined;
    upload.checksum = { algorithm, type };
  }
  return upload;
};

/** The whole of a small regular file; undefined when it is not there, too large or something else. */
const readSmall = (fd: number): Buffer | undefined => {
  const stat = fstat(fd);
  if (!isFile(stat) || stat.size > MAX_FILE) return undefined;
  const bytes = Buffer.allocUnsafe(stat.size);
  return bytes.subarray(0, pread(fd, bytes, 0));
};

/** A new small file, on disk where that is asked for. */
export const writeSmall = (bucket: BucketDir, directory: number, name: string, bytes: Uint8Array): void => {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const fd = openat2(directory, name, flags, 0o600, RESOLVE_INSIDE);
  try {
    pwrite(fd, bytes, 0);
    if (bucket.ground.durability !== 'none') fsync(fd);
  } catch (error) {
    tryUnlinkat(directory, name);
    throw error;
  } finally {
    close(fd);
  }
};

const lockFile = (fd: number, exclusive: boolean): 'held' | 'taken' | 'none' => {
  try {
    return tryFlock(fd, exclusive) ? 'held' : 'taken';
  } catch (error) {
    // Lustre mounted without `flock`: two gateways that finish one upload at once are kept apart by the key's state only.
    if (isErrno(error) && (error.errno === E.ENOSYS || error.errno === E.EOPNOTSUPP)) return 'none';
    throw error;
  }
};

/**
 * Runs `work` with an upload of this id and, if given, this key; NoSuchUpload when there is none.
 * @param lock held while `work` runs; the whole operation comes again when somebody else has it (`busyNow`)
 */
export const withUpload = <T>(
  bucket: BucketDir,
  id: string,
  key: string | undefined,
  lock: 'none' | 'shared' | 'exclusive',
  work: (at: UploadDir) => T,
): T => {
  if (!isUploadId(id)) throw noSuchUpload();
  const fd = tryOpenat2(bucket.area('uploads'), id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (missing(fd)) throw noSuchUpload();
  if (fd < 0) throw errnoError(-fd, 'openat2');
  let file = -1;
  try {
    // For writing: NFS gives an exclusive lock to nobody else.
    file = tryOpenat2(fd, UPLOAD_FILE, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
    if (missing(file)) throw noSuchUpload();
    if (file < 0) throw errnoError(-file, 'openat2');
    const held = lock === 'none' ? 'none' : lockFile(file, lock === 'exclusive');
    if (held === 'taken') busyNow();
    const bytes = fstat(file).nlink > 0 ? readSmall(file) : undefined; // unlinked: it ended while we waited
    const upload = bytes && decodeUpload(id, bytes);
    if (!upload || (key !== undefined && upload.key !== key)) throw noSuchUpload();
    const at: UploadDir = { fd, upload, locks: held === 'held' };
    if (tryStatat(fd, JOURNAL, AT_SYMLINK_NOFOLLOW)) {
      // Who borrowed the part is dead, or it would have the lock.
      if (lockFile(file, true) !== 'held') busyNow();
      recoverLent(bucket, at);
      if (lock === 'shared') lockFile(file, false);
    }
    return work(at);
  } catch (error) {
    // It ended since we opened its directory: what is read there then has no name, or, on a network filesystem, is stale.
    const gone = isErrno(error) && (error.errno === E.ENOENT || error.errno === E.ESTALE);
    if (gone && !tryStatat(bucket.area('uploads'), id, AT_SYMLINK_NOFOLLOW)) throw noSuchUpload();
    throw error;
  } finally {
    if (file >= 0) close(file);
    close(fd);
  }
};

/** Removes an upload whose exclusive lock the caller holds, or which is no upload (any more). */
export const removeUpload = (bucket: BucketDir, id: string, directory: number): void => {
  // First: without it there is no upload, whatever happens in between. What is left then is reaped.
  tryUnlinkat(directory, UPLOAD_FILE);
  const fd = openat2(directory, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
  try {
    for (const { name } of readEntries(fd)) {
      const number = Number(/^(?:part|slot)\.(\d{5})$/.exec(name)?.[1] ?? 0);
      const found = number > 0 ? openRecorded(bucket, directory, name, number) : undefined;
      if (/^whole\.\d+$/.test(name)) removeWhole(directory, name);
      tryUnlinkat(directory, rawPath(name));
      if (!found) continue;
      found.loaded.forget();
      closeReplaced(found.fd, found.stat.size);
    }
  } finally {
    close(fd);
  }
  tryUnlinkat(bucket.area('uploads'), id, AT_REMOVEDIR);
};

/** So large a file is not freed while others wait. */
const removeWhole = (directory: number, name: string): void => {
  const fd = tryOpenat2(directory, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  tryUnlinkat(directory, name);
  if (fd >= 0) closeReplaced(fd, fstat(fd).size);
};

// ---- what becomes the object ----------------------------------------------------------------------------------------

/**
 * An upload of one part, or one whose parts are in their places, becomes an object without a copy: its file goes to `staging/` and
 * is published. The journal says what it was, so that a failure or a crash in between gives it back.
 */
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
  if (!returned && isCompleted(bucket, at.upload)) {
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
  if (fd < 0) return false;
  try {
    const stat = fstat(fd);
    if (!isFile(stat) || String(stat.ino) !== ino || stat.size !== size) return false;
    // What the completion had stored already (its metadata may lie in an overflow file) is replaced.
    const { supersede } = loadRecord(bucket, fd, stat);
    const stamped = part && stampPart(bucket, fd, part);
    if (!part) clearRecord(bucket, fd, stat);
    if (tryRenameat2(staging, staged, directory, name) < 0) return false;
    supersede();
    stamped?.settle();
    if (bucket.ground.durability === 'full') fsync(fd);
    return true;
  } finally {
    close(fd);
  }
};

/** Stores what is to be known of a part with its file. */
export const stampPart = (
  bucket: BucketDir,
  fd: number,
  { etag, checksum }: Pick<Part, 'etag' | 'checksum'>,
): StampedFile => stampFile(bucket, fd, { etag, headers: {}, user: {}, ...(checksum && { checksum }) });

/** Whether the object that stands there was made by this very upload. */
export const isCompleted = (bucket: BucketDir, upload: Upload): boolean => {
  const found = findObject(bucket, upload.key);
  if (!found) return false;
  if (found.fd >= 0) close(found.fd);
  return found.info.meta.uploadId === upload.id;
};
