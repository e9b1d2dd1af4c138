/**
 * The parts of an unfinished multipart upload, in its directory: `part.00001` is a file of its own, `slot.00001` one that lies in its
 * place in `whole.SIZE` (`slots.ts`). The bucket's user can write all of them: what is read here is input.
 */
import { judge } from '../../../acl/metadata/stamp.js';
import { type Loaded, loadRecord } from '../../../acl/metadata/store.js';
import { S3Error } from '../../errors.js';
import type { Part } from '../types.js';
import { isFile, milliseconds } from './lookup.js';
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
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  openat2,
  RESOLVE_INSIDE,
  rawPath,
  readEntries,
  type Stat,
  tryOpenat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';

/** The upload itself: as long as it exists. */
export const UPLOAD_FILE = 'upload.json';

const padded = (number: number): string => String(number).padStart(5, '0');
export const partName = (number: number): string => `part.${padded(number)}`;
/** See `slots.ts`. */
export const slotName = (number: number): string => `slot.${padded(number)}`;
export const wholeName = (size: number): string => `whole.${size}`;

export const noSuchUpload = (): S3Error => new S3Error('NoSuchUpload');

export const missing = (result: number): boolean =>
  result === -E.ENOENT || result === -E.ENOTDIR || result === -E.ELOOP || result === -E.ENXIO;

export const isPartEtag = (etag: string): boolean => /^[0-9a-f]{32}(-0)?$/.test(etag);

export interface FoundPart {
  fd: number;
  stat: Stat;
  loaded: Loaded;
  part: Part;
  /** Where its bytes are: in its own file, or in the whole. */
  bytes: { fd: number; start: number };
}

export const closePart = ({ fd, bytes }: FoundPart): void => {
  close(fd);
  if (bytes.fd !== fd) close(bytes.fd);
};

/** Opens a part; undefined when there is none, or it is not what was stored. The caller closes it (`closePart`). */
export const openPart = (bucket: BucketDir, directory: number, number: number): FoundPart | undefined =>
  openOwnPart(bucket, directory, number) ?? openSlot(bucket, directory, number);

/** One that was sent as a file of its own: that is the later one. */
export const openOwnPart = (bucket: BucketDir, directory: number, number: number): FoundPart | undefined =>
  openRecorded(bucket, directory, partName(number), number);

/** One that was stored in its place in the whole. */
const openSlot = (bucket: BucketDir, directory: number, number: number): FoundPart | undefined => {
  const found = openStored(bucket, directory, number);
  if (!found) return undefined;
  const { size } = found.part;
  const whole = tryOpenat2(directory, wholeName(size), O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  try {
    if (whole >= 0 && holds(whole, number * size))
      return { ...found, bytes: { fd: whole, start: (number - 1) * size } };
  } catch (error) {
    close(whole);
    close(found.fd);
    throw error;
  }
  if (whole >= 0) close(whole);
  close(found.fd);
  return undefined;
};

/** As `openSlot`, but for the bytes. */
const openStored = (bucket: BucketDir, directory: number, number: number): FoundPart | undefined => {
  const found = openRecorded(bucket, directory, slotName(number), number);
  return found && { ...found, part: { ...found.part, placed: true } };
};

/** Whether this is a file with so many bytes. */
const holds = (whole: number, bytes: number): boolean => {
  const stat = fstat(whole);
  return bytes > 0 && isFile(stat) && stat.size >= bytes;
};

const openRecorded = (bucket: BucketDir, directory: number, name: string, number: number): FoundPart | undefined => {
  const fd = tryOpenat2(directory, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (missing(fd)) return undefined;
  if (fd < 0) throw errnoError(-fd, 'openat2');
  let found: FoundPart | undefined;
  try {
    const stat = fstat(fd);
    if (!isFile(stat)) return undefined;
    const loaded = loadRecord(bucket, fd, stat);
    const { meta, stamp } = loaded.packed ?? {};
    const belief = judge(stamp, stat);
    // A later ctime alone (a backup, a chmod) does not make a part invalid: its size and mtime are the stored ones.
    if (!meta || (belief !== 'whole' && belief !== 'suspect') || !isPartEtag(meta.etag)) return undefined;
    const part: Part = { number, size: stat.size, lastModified: milliseconds(stat.mtimeNs), etag: meta.etag };
    if (meta.checksum) part.checksum = meta.checksum;
    found = { fd, stat, loaded, part, bytes: { fd, start: 0 } };
    return found;
  } finally {
    if (!found) close(fd);
  }
};

/** Whether a part that was found is the one that the caller has seen. */
const isSame = (found: Part, part: Part): boolean =>
  found.etag === part.etag && found.size === part.size && found.checksum?.value === part.checksum?.value;

/** Opens the part that the caller has seen; InvalidPart when it has been sent again since, or was changed. */
export const requirePart = (bucket: BucketDir, directory: number, part: Part): FoundPart => {
  const found = openPart(bucket, directory, part.number);
  if (found && isSame(found.part, part)) return found;
  if (found) closePart(found);
  // Its file goes first when an upload ends, and the parts go with it: then this part is not what is wrong.
  if (!tryStatat(directory, UPLOAD_FILE, AT_SYMLINK_NOFOLLOW)) throw noSuchUpload();
  throw new S3Error('InvalidPart', { fields: { PartNumber: String(part.number), ETag: part.etag } });
};

/** What lies in the directory of an upload, by number and in order: parts that are files of their own, and places in the whole. */
export interface Numbers {
  own: number[];
  /** Stored or not. */
  slots: number[];
}

export const numbersIn = (directory: number): Numbers => {
  const fd = openat2(directory, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
  try {
    const names = readEntries(fd).map(({ name }) => name);
    const numbers = (pattern: RegExp): number[] =>
      names
        .map((name) => Number(pattern.exec(name)?.[1] ?? 0))
        .filter((number) => number > 0)
        .sort((a, b) => a - b);
    return { own: numbers(/^part\.(\d{5})$/), slots: numbers(/^slot\.(\d{5})$/) };
  } finally {
    close(fd);
  }
};

/** Those with a greater number, in order. Each takes a few calls, and there may be 10,000: the whole is looked at once for all. */
export function* partsAfter(bucket: BucketDir, directory: number, after: number): Generator<Part> {
  const { own, slots } = numbersIn(directory);
  const sent = new Set(own);
  const wholes = new Map<number, Stat | undefined>();
  const whole = (size: number): Stat | undefined => {
    if (!wholes.has(size)) wholes.set(size, tryStatat(directory, wholeName(size), AT_SYMLINK_NOFOLLOW));
    return wholes.get(size);
  };
  for (const number of [...new Set([...own, ...slots])].sort((a, b) => a - b)) {
    if (number <= after) continue;
    const found =
      (sent.has(number) ? openOwnPart(bucket, directory, number) : undefined) ?? openStored(bucket, directory, number);
    if (!found) continue;
    close(found.fd);
    const { part } = found;
    const stat = part.placed ? whole(part.size) : undefined;
    if (!part.placed || (stat && isFile(stat) && stat.size >= number * part.size)) yield part;
  }
}

/** Removes an upload whose exclusive lock the caller holds, or which is no upload (any more). */
export const removeUpload = (bucket: BucketDir, id: string, directory: number): void => {
  // First: without it there is no upload, whatever happens in between. What is left then is reaped.
  tryUnlinkat(directory, UPLOAD_FILE);
  const fd = openat2(directory, '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
  try {
    for (const { name } of readEntries(fd)) {
      if (/^whole\.\d+$/.test(name)) {
        removeWhole(directory, name);
        continue;
      }
      // The record of a place is in its file.
      const number = Number(/^part\.(\d{5})$/.exec(name)?.[1] ?? 0);
      const found = number > 0 ? openOwnPart(bucket, directory, number) : undefined;
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

/** Stores what is to be known of a part with its file. */
export const stampPart = (
  bucket: BucketDir,
  fd: number,
  { etag, checksum }: Pick<Part, 'etag' | 'checksum'>,
): StampedFile => stampFile(bucket, fd, { etag, headers: {}, user: {}, ...(checksum && { checksum }) });
