/**
 * Parts that are written where they belong in the object: clients send parts of one size, so the place of a part follows from its
 * number. They lie in one file, `whole.SIZE` in the directory of the upload, which becomes the object when that is completed. Parts
 * of another size, and those that are sent again, are files of their own and copied, as all are where that file cannot be used.
 *
 * The place of a part is written once: who creates `slot.00001` has it, and gives it back when nothing more of his will come. That
 * file gets the size and the record of the part when the part is stored, and stays.
 */
import { S3Error } from '../../errors.js';
import type { Part } from '../types.js';
import { isFile } from './lookup.js';
import type { BucketDir } from './paths.js';
import { copyBytes } from './restage.js';
import type { Staged } from './staged.js';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  E,
  errnoError,
  fstat,
  fsync,
  ftruncate,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDWR,
  RESOLVE_INSIDE,
  type Stat,
  tryOpenat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';
import { stampPart, type UploadDir, withUpload } from './upload-files.js';
import { closePart, namesOf, numbersOf, requirePart, slotName, wholeName } from './upload-parts.js';

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
 * NoSuchUpload when the upload has ended.
 */
export const claimSlot = (
  bucket: BucketDir,
  place: PartPlace,
  size: number,
): { staged: Staged; slot: Slot } | undefined => {
  const start = (place.number - 1) * size;
  if (size < LEAST || size % EVEN !== 0 || start + size > MOST || bucket.ground.sidecars) return undefined;
  return withUpload(bucket, place.id, place.key, 'shared', (at) => {
    if (!at.locks) return undefined;
    const name = slotName(place.number);
    const fd = tryOpenat2(at.fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600, RESOLVE_INSIDE);
    if (fd === -E.EEXIST) return undefined;
    if (fd < 0) throw errnoError(-fd, 'openat2');
    let whole = -1;
    try {
      whole = openWhole(bucket, at.fd, size);
    } finally {
      if (whole < 0) {
        close(fd);
        tryUnlinkat(at.fd, name);
      }
    }
    return whole < 0 ? undefined : { staged: { fd: whole, name: '' }, slot: { place, fd, start, size } };
  });
};

/** Made with the first part. -1 when it is no file, or parts of another size came first: then this is the last one. */
const openWhole = (bucket: BucketDir, directory: number, size: number): number => {
  const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK;
  let whole = tryOpenat2(directory, wholeName(size), flags, 0, RESOLVE_INSIDE);
  if (whole === -E.ENOENT) {
    if (namesOf(directory).some((name) => name.startsWith('whole.'))) return -1;
    whole = tryOpenat2(directory, wholeName(size), flags | O_CREAT, bucket.ground.fileMode, RESOLVE_INSIDE);
  }
  if (whole < 0) throw errnoError(-whole, 'openat2');
  if (isFile(fstat(whole))) return whole;
  close(whole);
  return -1;
};

/** Stores a part whose bytes are all in their place, and on the disk if they have to be. Shared lock held. */
export const storeSlot = (bucket: BucketDir, slot: Slot, sealed: Pick<Part, 'etag' | 'checksum'>): Stat => {
  const { fd, size } = slot;
  if (fstat(fd).nlink === 0) throw new S3Error('NoSuchUpload');
  ftruncate(fd, size);
  const stamped = stampPart(bucket, fd, sealed);
  // From now on it is there, for everybody and for good.
  slot.fd = -1;
  try {
    stamped.settle();
    if (bucket.ground.durability === 'full') fsync(fd);
    return stamped.stat;
  } finally {
    close(fd);
  }
};

/** Gives a place back whose part was not stored: nothing more is written to it. No error when the upload has ended. */
export const giveBackSlot = (bucket: BucketDir, { place, fd }: Slot): void => {
  try {
    // Nobody else has it as long as this name is there, and with the upload it goes as well: no lock.
    withUpload(bucket, place.id, place.key, 'none', (at) => {
      const name = slotName(place.number);
      if (tryStatat(at.fd, name, AT_SYMLINK_NOFOLLOW)?.ino === fstat(fd).ino) tryUnlinkat(at.fd, name);
    });
  } catch (error) {
    if (!(error instanceof S3Error && error.code === 'NoSuchUpload')) throw error;
  }
};

/** Whether all of these parts are in their places. InvalidPart when one is not any more what the caller has seen. */
export const arePlaced = (bucket: BucketDir, directory: number, parts: readonly Part[]): boolean =>
  parts.every((part) => {
    const found = requirePart(bucket, directory, part);
    closePart(found);
    return found.bytes.fd !== found.fd;
  });

/**
 * The whole, when it has become the object: parts 1 to `last` of this size, of which all but the last are in their places, as
 * `arePlaced` has said, and nothing else. Undefined: the parts have to be copied. Exclusive lock held.
 */
export const openObject = (
  bucket: BucketDir,
  at: UploadDir,
  size: number,
  last: Part,
): { fd: number; name: string; stat: Stat } | undefined => {
  const slots = numbersOf(at.fd, 'slot');
  // A part that somebody is still sending would be written to the object.
  if (slots.length < last.number - 1 || slots.some((number, index) => number !== index + 1 || number > last.number))
    return undefined;
  // Sent again: those count.
  if (
    numbersOf(at.fd, 'part').some(
      (number) => number < last.number || (number === last.number && slots.length === number),
    )
  )
    return undefined;
  const name = wholeName(size);
  const whole = tryOpenat2(at.fd, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (whole < 0) return undefined;
  let complete = false;
  try {
    if (!isFile(fstat(whole))) return undefined;
    const start = (last.number - 1) * size;
    const found = requirePart(bucket, at.fd, last);
    try {
      const placed = found.bytes.fd !== found.fd && last.size === size;
      if (!placed && last.size > COPIED) return undefined;
      if (!placed) copyBytes(found.bytes.fd, found.bytes.start, whole, start, last.size);
    } finally {
      closePart(found);
    }
    if (fstat(whole).size < start + last.size) return undefined;
    ftruncate(whole, start + last.size);
    complete = true;
    return { fd: whole, name, stat: fstat(whole) };
  } finally {
    if (!complete) close(whole);
  }
};
