/**
 * The files of unfinished multipart uploads: `<bucket>/.tidegate/uploads/<id>/` with `upload.json` and the parts (`upload-parts.ts`).
 * The bucket's user can write all of them: what is read here is input.
 *
 * `upload.json` is the upload: it exists as long as it stands, and flock on it orders what several gateways do with it:
 * shared to put a part, exclusive to finish. Whoever gets the lock of a file that has no name any more came too late.
 */
import { decodeMeta, encodeMeta } from '../../../acl/metadata/codec.js';
import type { ChecksumAlgorithm, ChecksumType } from '../../../acl/metadata/types.js';
import { isStorableKey } from '../keys.js';
import type { NewUpload, Upload } from '../types.js';
import { busyNow } from './failures.js';
import { JOURNAL, recoverLent } from './lend.js';
import type { BucketDir } from './paths.js';
import { readSmall } from './small-files.js';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  E,
  errnoError,
  fstat,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  RESOLVE_INSIDE,
  tryFlock,
  tryOpenat2,
  tryStatat,
} from './syscalls.js';
import { missing, noSuchUpload, UPLOAD_FILE } from './upload-parts.js';

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
    const stat = fstat(file);
    const bytes = stat.nlink > 0 ? readSmall(file, stat) : undefined; // unlinked: it ended while we waited
    const upload = bytes && decodeUpload(id, bytes);
    if (!upload || (key !== undefined && upload.key !== key)) throw noSuchUpload();
    const at: UploadDir = { fd, upload, locks: held === 'held' };
    if (tryStatat(fd, JOURNAL, AT_SYMLINK_NOFOLLOW)) {
      // Who borrowed it is dead, or it would have the lock. Not given back: between two locks flock(2) has a moment without one.
      if (lockFile(file, true) !== 'held') busyNow();
      recoverLent(bucket, at);
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
