/** Removes what dead processes left in a bucket, and uploads that nobody has touched for long. */
import { NEW } from '../../../acl/metadata/sidecar.js';
import { loadRecord } from '../../../acl/metadata/store.js';
import { S3Error } from '../../errors.js';
import { reservedSegment } from '../keys.js';
import { type Area, requestersOf } from './areas.js';
import { become, canSwitch } from './identity.js';
import { borrowedName } from './lend.js';
import { isFile } from './lookup.js';
import { asRequester, type BucketDir, type Ground, machine, withBucket } from './paths.js';
import {
  AT_SYMLINK_NOFOLLOW,
  clockGettime,
  close,
  fstat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  openat2,
  RESOLVE_INSIDE,
  rawPath,
  readEntries,
  type Stat,
  tryFlock,
  tryOpenat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';
import { isUploadId, withUpload } from './upload-files.js';
import { removeUpload, UPLOAD_FILE } from './upload-parts.js';

export interface ReapAges {
  /** A staged file that nobody has open and that was not touched for so long is garbage. Milliseconds. */
  stagingAgeMs: number;
  /** An upload without a new part for so long is aborted; undefined: never. */
  uploadAgeMs?: number;
}

export interface Reaped {
  staged: number;
  uploads: number;
}

export const reapOps = {
  /**
   * Safe beside other gateways: what they have open is locked, and where locks do not work it is young. Uploads first:
   * looking at one gives back the part that a crash has left in `staging/`.
   */
  reapBucket: (ground: Ground, { stagingAgeMs, uploadAgeMs }: ReapAges): Reaped =>
    withBucket(ground, 'service', (bucket) => {
      const own = statOfOwn(bucket, 'uploads') ?? statOfOwn(bucket, 'staging') ?? statOfOwn(bucket, 'meta');
      const reaped = { uploads: 0, staged: 0 };
      const reapOwn = (his: BucketDir) => {
        const borrowed = new Set<string>();
        reaped.uploads += reapUploads(his, stagingAgeMs, uploadAgeMs, borrowed);
        reaped.staged += reapStaging(his, stagingAgeMs, borrowed);
      };
      if (own) {
        // As the one to whom all of it belongs: what is made meanwhile must be his as well.
        become({ uid: own.uid, gid: own.gid, groups: [] });
        reapOwn(bucket);
        reaped.staged += reapMeta(bucket, stagingAgeMs);
      }
      // Also in a bucket that is not shared any more.
      for (const requester of canSwitch ? requestersOf(bucket.fd) : []) asRequester(bucket, requester, reapOwn);
      return reaped;
    }),
};

/** Without making it. */
const statOfOwn = (bucket: BucketDir, area: Area): Stat | undefined => {
  const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
  const fd = tryOpenat2(bucket.fd, `${reservedSegment}/${area}`, flags, 0, RESOLVE_INSIDE);
  if (fd < 0) return undefined;
  try {
    return fstat(fd);
  } finally {
    close(fd);
  }
};

const entriesOf = (directory: number) => {
  const fd = openat2(directory, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
  try {
    return readEntries(fd);
  } finally {
    close(fd);
  }
};

/** By both times: a restore sets the one back, a rename does not touch the other. */
const isOlder = ({ mtimeNs, ctimeNs }: Stat, ageMs: number): boolean => {
  const touched = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  return clockGettime() - touched > BigInt(Math.round(ageMs)) * 1_000_000n;
};

/** @param borrowed gets the names of staged files that are parts of uploads which somebody completes at the moment */
const reapUploads = (
  bucket: BucketDir,
  garbageAgeMs: number,
  uploadAgeMs: number | undefined,
  borrowed: Set<string>,
): number => {
  const uploads = bucket.area('uploads');
  let reaped = 0;
  for (const { name } of entriesOf(uploads)) {
    if (!isUploadId(name)) continue;
    try {
      withUpload(bucket, name, undefined, 'exclusive', (at) => {
        if (uploadAgeMs === undefined || !isOlder(fstat(at.fd), uploadAgeMs)) return;
        removeUpload(bucket, name, at.fd);
        reaped++;
      });
    } catch (error) {
      const staged = borrowedName(bucket, name);
      if (staged !== undefined) borrowed.add(staged);
      // In use by somebody: then it is not stale. Anything else concerns this entry only.
      if (error instanceof S3Error && error.code === 'NoSuchUpload') reaped += reapRemains(bucket, name, garbageAgeMs);
    }
  }
  return reaped;
};

/** A directory without an upload: its creation or removal was interrupted. */
const reapRemains = (bucket: BucketDir, name: string, ageMs: number): number => {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  const fd = tryOpenat2(bucket.area('uploads'), name, flags, 0, RESOLVE_INSIDE);
  if (fd < 0) return 0;
  try {
    if (!isOlder(fstat(fd), ageMs)) return 0;
    // Damaged, not absent: somebody may want to look at it. It goes with the age of an upload's parts, not of garbage.
    if (tryStatat(fd, UPLOAD_FILE, AT_SYMLINK_NOFOLLOW) && !isOlder(fstat(fd), Math.max(ageMs, DAMAGED_AGE_MS)))
      return 0;
    removeUpload(bucket, name, fd);
    return 1;
  } finally {
    close(fd);
  }
};

const DAMAGED_AGE_MS = 7 * 86_400_000;

/** Locks of this very machine are seen whatever the filesystem: the age covers the moment before a file is locked. */
const OWN_AGE_MS = 1_000;

const reapStaging = (bucket: BucketDir, ageMs: number, borrowed: ReadonlySet<string>): number => {
  const staging = bucket.area('staging');
  let reaped = 0;
  for (const { name } of entriesOf(staging)) {
    // Nothing but what a gateway has named: whoever may write the bucket's directory may have put a user's own in its place.
    if (!/^[0-9a-f]{32}$/.test(name) || borrowed.has(name)) continue;
    const path = rawPath(name);
    // For writing, because NFS locks exclusively for writers only; a file of somebody else's may be readable at least.
    let fd = tryOpenat2(staging, path, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
    if (fd < 0) fd = tryOpenat2(staging, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
    if (fd < 0) continue;
    try {
      const stat = fstat(fd);
      const age = name.startsWith(machine) ? Math.min(ageMs, OWN_AGE_MS) : ageMs;
      if (!isFile(stat) || !isOlder(stat, age) || !isAbandoned(fd)) continue;
      // What lies outside of the file goes with it (not when it has another name: then it is an object).
      const { forget } = loadRecord(bucket, fd, stat);
      if (tryUnlinkat(staging, path) < 0) continue;
      forget();
      reaped++;
    } catch {
      // This entry stays; the others are looked at.
    } finally {
      close(fd);
    }
  }
  return reaped;
};

/**
 * Sidecars that were never finished. Whole overflow files and sidecars whose object has gone (a crash between two steps, a job's
 * `rm`) are told from others only by a look at every file of the bucket: that is for whoever scans it.
 */
const reapMeta = (bucket: BucketDir, ageMs: number): number => {
  const meta = bucket.area('meta');
  let reaped = 0;
  for (const { name } of entriesOf(meta)) {
    if (!name.startsWith(NEW) || !/^[0-9a-f]{32}$/.test(name.slice(NEW.length))) continue;
    const stat = tryStatat(meta, rawPath(name), AT_SYMLINK_NOFOLLOW);
    if (stat && isOlder(stat, ageMs) && tryUnlinkat(meta, rawPath(name)) === 0) reaped++;
  }
  return reaped;
};

/** Whoever works on a staged file holds its lock. */
const isAbandoned = (fd: number): boolean => {
  try {
    return tryFlock(fd);
  } catch {
    return true; // no flock here: the age has to do
  }
};
