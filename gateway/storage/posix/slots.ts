/**
 * Parts that are written where they belong in the object: clients send parts of one size, so the place of a part follows from its
 * number. They lie in one file, `whole.SIZE` in the directory of the upload, which becomes the object when that is completed. Parts
 * of another size, and those that are sent again, are files of their own and copied, as all are where that file cannot be used.
 *
 * The place of a part is written once: who creates `slot.00001` has it, and gives it back when nothing more of his will come. That
 * file gets the size and the record of the part when the part is stored, and stays.
 */
import { readAttribute } from '../../../acl/metadata/xattr.js';
import { S3Error } from '../../errors.js';
import type { Part } from '../types.js';
import { isFile } from './lookup.js';
import { isOfLocal } from './mounts.js';
import type { BucketDir } from './paths.js';
import { copyBytes } from './restage.js';
import type { Staged } from './staged.js';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  closeReplaced,
  E,
  errnoError,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  RESOLVE_INSIDE,
  type Stat,
  tryOpenat2,
  tryPunchHole,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';
import { type UploadDir, withUpload } from './upload-files.js';
import {
  closePart,
  noSuchUpload,
  numbersIn,
  openOwnPart,
  partName,
  requirePart,
  slotName,
  stampPart,
  wholeName,
} from './upload-parts.js';

/** A part of an upload that is about to be sent. */
export interface PartPlace {
  key: string;
  id: string;
  number: number;
}

/** A place in the whole that this process writes to, and nobody else. */
export interface Slot {
  place: PartPlace;
  /** Of `slot.00001`; -1 when the part is stored, or its place given back. */
  fd: number;
  /** Where in the whole it begins, and how long it is. */
  start: number;
  size: number;
}

/** The smallest part that may be followed by another ("Amazon S3 multipart upload limits"), and the largest object. */
const [LEAST, MOST] = [5 << 20, 5 * 2 ** 40];
/** What several gateways write lies in pages of their own: on NFS each keeps those for itself. */
const EVEN = 1 << 20;
/** Copied at most while nobody else may do anything with the upload. */
const COPIED = 64 << 20;

/**
 * The whole, opened, and a place in it for a part that nobody has sent yet; undefined where it has to be a file of its own.
 * NoSuchUpload when the upload has ended: nobody should send gigabytes for that.
 * @param size in bytes, where known
 */
export const claimSlot = (
  bucket: BucketDir,
  place: PartPlace,
  size = 0,
): { staged: Staged; slot: Slot } | undefined => {
  const start = (place.number - 1) * size;
  const fits = size >= LEAST && size % EVEN === 0 && start >= 0 && start + size <= MOST;
  return withUpload(bucket, place.id, place.key, fits ? 'shared' : 'none', (at) => {
    if (!fits || !at.locks) return undefined;
    const whole = openWhole(bucket, at.fd, size);
    let fd = -1;
    try {
      if (!maySlot(bucket, whole)) return undefined;
      const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
      fd = tryOpenat2(at.fd, slotName(place.number), flags, 0o600, RESOLVE_INSIDE);
      if (fd < 0 && fd !== -E.EEXIST) throw errnoError(-fd, 'openat2');
      return fd < 0 ? undefined : { staged: { fd: whole, name: '' }, slot: { place, fd, start, size } };
    } finally {
      if (fd < 0 && whole >= 0) close(whole);
    }
  });
};

/**
 * Made before the first place. When it is not there and places are, it was lost, and a new one would have holes where parts were
 * stored: -1, unless somebody has just made it.
 */
const openWhole = (bucket: BucketDir, directory: number, size: number): number => {
  const open = (more: number): number => {
    const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | more;
    return tryOpenat2(directory, wholeName(size), flags, more && bucket.ground.fileMode, RESOLVE_INSIDE);
  };
  let whole = open(0);
  if (whole === -E.ENOENT) whole = open(numbersIn(directory).slots.length === 0 ? O_CREAT : 0);
  return Math.max(-1, whole);
};

/**
 * A file that has no other name, where records are attributes: filesystems without have no holes either (FAT), and a place far
 * behind would be filled with zeros up to there.
 */
const maySlot = (bucket: BucketDir, whole: number): boolean => {
  if (whole < 0 || bucket.ground.sidecars) return false;
  const stat = fstat(whole);
  return isFile(stat) && stat.nlink === 1 && readAttribute(whole) !== -E.EOPNOTSUPP;
};

/**
 * What was written before to a place may still come from this machine when another one has written to it, or to the object: elsewhere
 * than on a local disk. When this returns it does not.
 */
const settleBytes = (whole: number): void => {
  if (!isOfLocal(fstat(whole).dev)) fdatasync(whole);
};

/** Stores a part whose bytes are all in their place, and on the disk if they have to be. Shared lock held. */
export const storeSlot = (
  bucket: BucketDir,
  at: UploadDir,
  { staged, slot, size }: { staged: Staged; slot: Slot; size: number },
  sealed: Pick<Part, 'etag' | 'checksum'>,
): Stat => {
  if (size !== slot.size) throw new S3Error('IncompleteBody');
  const { fd, place } = slot;
  if (fstat(fd).nlink === 0) throw noSuchUpload();
  settleBytes(staged.fd);
  ftruncate(fd, size);
  const stamped = stampPart(bucket, fd, sealed);
  // From now on it is there, for everybody and for good.
  slot.fd = -1;
  try {
    stamped.settle();
    if (bucket.ground.durability === 'full') fsync(fd);
  } finally {
    close(fd);
  }
  // One that was sent meanwhile, or before with another size: this is the later one.
  const before = openOwnPart(bucket, at.fd, place.number);
  const gone = tryUnlinkat(at.fd, partName(place.number));
  before?.loaded.forget();
  if (before) closeReplaced(before.fd, before.stat.size);
  if (gone < 0 && gone !== -E.ENOENT) throw errnoError(-gone, 'unlink');
  return stamped.stat;
};

/** Gives a place back whose part was not stored, and its space. No error when the upload has ended, and the place with it. */
export const giveBackSlot = (bucket: BucketDir, { fd: whole }: Staged, slot: Slot): void => {
  const { place, fd, start, size } = slot;
  const { id, number } = place;
  settleBytes(whole);
  const directory = tryOpenat2(bucket.area('uploads'), id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (directory < 0) return;
  try {
    // Nobody else has it as long as this name is there: no lock.
    const stat = tryStatat(directory, slotName(number), AT_SYMLINK_NOFOLLOW);
    if (stat?.ino !== fstat(fd).ino) return;
    tryPunchHole(whole, start, size);
    tryUnlinkat(directory, slotName(number));
  } finally {
    close(directory);
  }
};

/**
 * The whole, when it has become the object: parts 1 to `last` of this size, of which all but the last are in their places, as their
 * listing has said, and nothing else. Undefined: the parts have to be copied. Exclusive lock held.
 */
export const openObject = (
  bucket: BucketDir,
  at: UploadDir,
  size: number,
  last: Part,
): { fd: number; name: string; stat: Stat } | undefined => {
  const { own, slots } = numbersIn(at.fd);
  // A part that somebody is still sending would be written to the object.
  if (slots.length < last.number - 1 || slots.some((number, index) => number !== index + 1 || number > last.number))
    return undefined;
  // Sent again: those count.
  const unplaced = slots.length < last.number ? last.number : 0;
  if (own.some((number) => number <= last.number && number !== unplaced)) return undefined;
  const name = wholeName(size);
  const whole = tryOpenat2(at.fd, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (whole < 0) return undefined;
  const start = (last.number - 1) * size;
  let lent: { fd: number; name: string; stat: Stat } | undefined;
  let copied = false;
  try {
    const stat = fstat(whole);
    if (!isFile(stat) || stat.size < start) return undefined;
    const found = requirePart(bucket, at.fd, last);
    try {
      const placed = found.bytes.fd !== found.fd && last.size === size;
      if (!placed && last.size > COPIED) return undefined;
      copied = !placed;
      if (copied) copyBytes(found.bytes.fd, found.bytes.start, whole, start, last.size);
    } finally {
      closePart(found);
    }
    if (fstat(whole).size < start + last.size) return undefined;
    ftruncate(whole, start + last.size);
    lent = { fd: whole, name, stat: fstat(whole) };
    return lent;
  } finally {
    // Nothing else is there.
    if (!lent && copied) ftruncate(whole, start);
    if (!lent) close(whole);
  }
};
