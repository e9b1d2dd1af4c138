/** Objects as a listing shows them: in the everyday case without opening the file, or even reading its record again. */
import { decode } from '../../../acl/metadata/codec.js';
import { believe, judge, syntheticEtag, syntheticEtagOf } from '../../../acl/metadata/stamp.js';
import { type Loaded, loadRecord } from '../../../acl/metadata/store.js';
import { readAttributeAt } from '../../../acl/metadata/xattr.js';
import { S3Error } from '../../errors.js';
import type { ElementWriter } from '../elements.js';
import { fromBytes } from '../keys.js';
import type { ListedObject, ObjectInfo } from '../types.js';
import { isHot, isLongAgo } from './clock.js';
import { createKnown, hasSettled, type Look } from './known.js';
import { directoryObject, findObject, isFile, isPublished, LOOKS, lostItsName, milliseconds, READ } from './lookup.js';
import type { BucketDir } from './paths.js';
import {
  close,
  E,
  fstat,
  isErrno,
  O_NOFOLLOW,
  RESOLVE_INSIDE,
  rawPath,
  type Stat,
  seenMode,
  seenNumbers,
  seenStat,
  tryOpenat2,
} from './syscalls.js';

const listed = ({ key, size, lastModified, meta }: ObjectInfo): ListedObject => {
  const entry: ListedObject = { key, size, lastModified, etag: meta.etag };
  if (meta.owner !== undefined) entry.owner = meta.owner;
  if (meta.checksum) entry.checksum = { algorithm: meta.checksum.algorithm, type: meta.checksum.type };
  return entry;
};

/** What listings remember of a file that has a record. */
type KnownFile = Omit<ListedObject, 'key'>;

/** What listings remember of a directory. */
export interface KnownDirectory {
  /** The length of a file's name in it. */
  file?: number;
  /** It is no object. */
  bare?: boolean;
}

const known = createKnown<KnownFile | KnownDirectory>();

/** For listings: as `Known.lookFor`, for `recallDirectory`. */
export const lookForListed = known.lookFor;

/** Of what was looked at last. A directory may have taken the place of the file. */
const recallFile = (): KnownFile | undefined => {
  const value = known.recall();
  return value && 'etag' in value ? value : undefined;
};

/** The same, of a directory. */
export const recallDirectory = (): KnownDirectory | undefined => {
  const value = known.recall();
  return value && 'etag' in value ? undefined : value;
};

/** What is seen and known of an open directory. */
export const lookForDirectory = known.lookForOpen as (fd: number) => Look<KnownDirectory>;

const shown = (key: string, { size, lastModified, etag, owner, checksum }: KnownFile): ListedObject => {
  const entry: ListedObject = { key, size, lastModified, etag };
  if (owner !== undefined) entry.owner = owner;
  if (checksum) entry.checksum = checksum;
  return entry;
};

/** A file without a record, looked at last: all is in its status. */
const plainFile = (bucket: BucketDir): KnownFile => {
  const seen = seenNumbers();
  if (seen && isLongAgo(seen.changed)) {
    return { size: seen.size, lastModified: seen.modified, etag: syntheticEtagOf(seen.print) };
  }
  const stat = seenStat();
  const etag = syntheticEtag(stat, isHot(bucket, stat));
  return { size: stat.size, lastModified: milliseconds(stat.mtimeNs), etag };
};

/** `value` itself, or what was equal to it last: files of one directory have the same owner, and checksums of one kind. */
const same = <T>(value: T, equal: (a: T, b: T) => boolean, last: { value?: T }): T => {
  if (last.value === undefined || !equal(last.value, value)) last.value = value;
  return last.value;
};
const owners: { value?: string } = {};
const checksums: { value?: NonNullable<ListedObject['checksum']> } = {};

const keep = ({ size, lastModified, etag, owner, checksum }: ListedObject): void => {
  const file: KnownFile = { size, lastModified, etag };
  if (owner !== undefined) file.owner = same(owner, (a, b) => a === b, owners);
  if (checksum) {
    file.checksum = same(checksum, (a, b) => a.algorithm === b.algorithm && a.type === b.type, checksums);
  }
  known.rememberSeen(file);
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
  const file = lookAtFile(bucket, directory, name, keyBytes);
  return file && shown(fromBytes(keyBytes), file);
};

/** As `listedFile`, and writes it down. */
export const writeFile = (
  bucket: BucketDir,
  directory: number,
  name: string,
  keyBytes: string,
  out: ElementWriter,
): true | undefined => {
  const file = lookAtFile(bucket, directory, name, keyBytes);
  if (!file) return undefined;
  out.object(keyBytes, file);
  return true;
};

const lookAtFile = (bucket: BucketDir, directory: number, name: string, keyBytes: string): KnownFile | undefined => {
  if (!known.lookFor(directory, name)) return undefined;
  const { sidecars, synced } = bucket.ground;
  const file = sidecars ? undefined : recallFile();
  if (file) return file;
  if (!isFile({ mode: seenMode() })) return undefined;
  // A record names its inode. That there is none may have been told of another file, which had the name for a moment.
  if (!sidecars && known.recallPlain() === 2) return synced ? undefined : plainFile(bucket);
  const settled = hasSettled();
  // Two names are looked up, so the attribute may be another file's than the status: then the inode tells.
  const value = sidecars ? undefined : readAttributeAt(directory, name);
  // What jobs write has no attribute: as for an open file without one, at half the cost.
  if (value === -E.ENODATA) {
    if (synced) return undefined;
    if (settled) known.rememberPlain();
    return plainFile(bucket);
  }
  const key = fromBytes(keyBytes);
  const stat = seenStat();
  if (value !== undefined) {
    const packed = typeof value === 'number' ? undefined : decode(value);
    if (packed?.meta && packed.meta.etag !== '' && judge(packed.stamp, stat) === 'whole') {
      const entry = listed({ key, size: stat.size, lastModified: milliseconds(stat.mtimeNs), meta: packed.meta });
      if (settled) keep(entry);
      return entry;
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
  if (!bucket.ground.sidecars) {
    const there = known.lookFor(directory, name);
    if (there && recallFile()) return true;
    if (there && known.recallPlain() === 2) return false;
    const stat = there ? seenStat() : undefined;
    const value = readAttributeAt(directory, name);
    if (value === -E.ENODATA) return false;
    const stamp = typeof value === 'number' ? undefined : decode(value)?.stamp;
    if (stamp && stat && isFile(stat) && isPublished(stamp, stat)) return true;
  }
  const raw = rawPath(name);
  // Two names were looked up, and may have been two files: of one that is open both are told for certain.
  for (let attempt = 0; attempt < LOOKS; attempt++) {
    const fd = tryOpenat2(directory, raw, READ | O_NOFOLLOW, 0, RESOLVE_INSIDE);
    if (fd < 0) return false;
    try {
      const stat = fstat(fd);
      if (!isFile(stat)) return false;
      if (isPublished(loadRecord(bucket, fd, stat).packed?.stamp, stat)) return true;
      if (!lostItsName(directory, raw, stat)) return false;
    } finally {
      close(fd);
    }
  }
  return false;
};

/** Adds to what is known of a directory. */
export const keepDirectory = (look: Look<KnownDirectory>, more: KnownDirectory): void => {
  look.known = { ...look.known, ...more };
  if (look.seen) known.remember(look.seen, look.known);
};

/**
 * The object that an open directory is; undefined when it is none.
 * @param directory not opened with O_PATH @param look of a moment ago @param keyBytes ends in `/`, latin1
 */
export const listedMarker = (
  bucket: BucketDir,
  directory: number,
  look: Look<KnownDirectory>,
  keyBytes: string,
): ListedObject | undefined => {
  if (!bucket.ground.sidecars && look.known?.bare) return undefined;
  const { stat } = look;
  const loaded = loadRecord(bucket, directory, stat);
  if (!loaded.packed?.marker) {
    if (!loaded.beside && !loaded.incomplete && !loaded.unread) keepDirectory(look, { bare: true });
    return undefined;
  }
  const info = markerInfo(bucket, fromBytes(keyBytes), { fd: directory, stat, loaded });
  return info && listed(info);
};

const markerInfo = (
  bucket: BucketDir,
  key: string,
  opened: { fd: number; stat: Stat; loaded: Loaded },
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
