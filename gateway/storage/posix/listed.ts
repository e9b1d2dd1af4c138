/** Objects as a listing shows them: without opening the file in the everyday case. */
import { decode } from '../../../acl/metadata/codec.js';
import { believe, judge } from '../../../acl/metadata/stamp.js';
import { loadRecord } from '../../../acl/metadata/store.js';
import { readAttributeAt } from '../../../acl/metadata/xattr.js';
import { S3Error } from '../../errors.js';
import { fromBytes } from '../keys.js';
import type { ListedObject, ObjectInfo } from '../types.js';
import { isHot } from './clock.js';
import {
  directoryObject,
  findObject,
  isFile,
  isPublished,
  LOOKS,
  lostItsName,
  milliseconds,
  openDirectory,
  READ,
} from './lookup.js';
import type { BucketDir } from './paths.js';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  E,
  fstat,
  isErrno,
  O_NOFOLLOW,
  RESOLVE_INSIDE,
  rawPath,
  tryOpenat2,
  tryStatat,
} from './syscalls.js';

const listed = ({ key, size, lastModified, meta }: ObjectInfo): ListedObject => {
  const entry: ListedObject = { key, size, lastModified, etag: meta.etag };
  if (meta.owner !== undefined) entry.owner = meta.owner;
  if (meta.checksum) entry.checksum = { algorithm: meta.checksum.algorithm, type: meta.checksum.type };
  return entry;
};

/**
 * A file of a directory that is being listed; undefined when it is no object, or none any more.
 * @param name its bytes, latin1 @param keyBytes the whole key's bytes, latin1
 */
export const listedFile = (
  bucket: BucketDir,
  directory: number,
  name: string,
  keyBytes: string,
): ListedObject | undefined => {
  const raw = rawPath(name);
  const stat = tryStatat(directory, raw, AT_SYMLINK_NOFOLLOW);
  if (!stat || !isFile(stat)) return undefined;
  const key = fromBytes(keyBytes);
  if (!bucket.ground.sidecars) {
    // Two names are looked up, so the attribute may be another file's than the status: then the inode tells.
    const value = readAttributeAt(directory, raw);
    // What jobs write has no attribute: as for an open file without one, at half the cost.
    if (value === -E.ENODATA) {
      if (bucket.ground.synced) return undefined;
      const meta = believe(undefined, undefined, stat, isHot(bucket, stat));
      return listed({ key, size: stat.size, lastModified: milliseconds(stat.mtimeNs), meta });
    }
    const packed = typeof value === 'number' ? undefined : decode(value);
    if (packed?.meta && packed.meta.etag !== '' && judge(packed.stamp, stat) === 'whole') {
      return listed({ key, size: stat.size, lastModified: milliseconds(stat.mtimeNs), meta: packed.meta });
    }
  }
  try {
    const found = findObject(bucket, key);
    if (!found) return undefined;
    close(found.fd);
    return listed(found.info);
  } catch (error) {
    // A file that may not be read is there all the same, and so is one whose record lies in a `.tidegate` that is spoilt.
    const closed = isErrno(error) && (error.code === 'EACCES' || error.code === 'EPERM');
    if (!closed && !isSpoilt(error)) throw error;
    const meta = believe(undefined, undefined, stat);
    return listed({ key, size: stat.size, lastModified: milliseconds(stat.mtimeNs), meta });
  }
};

/** Whether a bucket that shows only published files shows this one. Nobody can say so of a file that he may not read. */
export const isShown = (bucket: BucketDir, directory: number, name: string): boolean => {
  const raw = rawPath(name);
  if (!bucket.ground.sidecars) {
    const value = readAttributeAt(directory, raw);
    if (value === -E.ENODATA) return false;
    const stamp = typeof value === 'number' ? undefined : decode(value)?.stamp;
    const stat = stamp && tryStatat(directory, raw, AT_SYMLINK_NOFOLLOW);
    if (stat && isFile(stat) && isPublished(stamp, stat)) return true;
  }
  // Two names were looked up, and may have been two files: of one that is open both are told for certain.
  for (let attempt = 0; attempt < LOOKS; attempt++) {
    const fd = tryOpenat2(directory, raw, READ | O_NOFOLLOW, 0, RESOLVE_INSIDE);
    if (fd < 0) return false;
    try {
      const stat = fstat(fd);
      if (!isFile(stat)) return false;
      if (isPublished(loadRecord(bucket, fd, stat).packed?.stamp, stat)) return true;
      if (!lostItsName(fd)) return false;
    } finally {
      close(fd);
    }
  }
  return false;
};

/**
 * The object that an open directory is, told when asked for; undefined when it is none.
 * @param keyBytes ends in `/`, latin1
 */
export const listedMarker = (
  bucket: BucketDir,
  directory: number,
  keyBytes: string,
): (() => ListedObject | undefined) | undefined => {
  if (directory < 0) return undefined;
  const opened = openDirectory(bucket, directory, '.');
  if (!opened) return undefined;
  const { fd } = opened;
  try {
    const key = fromBytes(keyBytes);
    const info = markerInfo(bucket, key, opened);
    if (!info) return undefined;
    const entry = listed(info);
    return () => entry;
  } finally {
    close(fd);
  }
};

const markerInfo = (
  bucket: BucketDir,
  key: string,
  opened: NonNullable<ReturnType<typeof openDirectory>>,
): ObjectInfo | undefined => {
  try {
    const found = directoryObject(bucket, key, opened, false);
    if (found && found.fd !== opened.fd) close(found.fd);
    return found?.info;
  } catch (error) {
    const marker = opened.loaded.packed?.marker;
    if (!marker || !isSpoilt(error)) throw error;
    return { key, size: 0, lastModified: marker.modified, meta: believe(undefined, undefined, opened.stat) };
  }
};

const isSpoilt = (error: unknown): boolean => error instanceof S3Error && error.code === 'ServiceUnavailable';
