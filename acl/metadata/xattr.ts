/** The record in the attribute `user.tidegate`, and metadata that is too large for it in an overflow file. */
import { createHash } from 'node:crypto';
import {
  E,
  errnoError,
  fsetxattr,
  isErrno,
  tryFgetxattr,
  tryFremovexattr,
  tryFsetxattr,
  tryUnlinkat,
  XATTR_CREATE,
} from '../../gateway/storage/posix/syscalls.js';
import { type Placed, placed, tryGetxattrAt } from '../../gateway/storage/posix/working-directory.js';
import { decodeMeta, encode, encodeMeta, encodeReference, nameFor, type Overflow, type Packed } from './codec.js';
import { type MetaGround, readWhole, type Saved, writeWhole } from './files.js';
import type { Stamp } from './stamp.js';
import type { ObjectMeta } from './types.js';

export const ATTRIBUTE = 'user.tidegate';
const attribute = placed(ATTRIBUTE);

/** XATTR_SIZE_MAX: no attribute of any filesystem is larger. */
const whole = placed(Buffer.allocUnsafeSlow(65_536));
const buffer = whole.bytes;
/** Most are smaller. The kernel clears as much memory as is offered, which for 64 KiB costs more than all the rest. */
const start = placed(buffer.subarray(0, 1024));

/** Nearly all of them are of a few lengths, and a view costs as much as the call. */
const views = new Map<number, Buffer>();
const view = (length: number): Buffer => {
  let known = views.get(length);
  if (!known) views.set(length, (known = buffer.subarray(0, length)));
  return known;
};

const read = (get: (into: Placed) => number): Buffer | number => {
  let length = get(start);
  if (length === -E.ERANGE) length = get(whole);
  return length < 0 ? length : length < start.bytes.length ? view(length) : buffer.subarray(0, length);
};

/** A view of the value, good until the next call; or -errno (ENODATA: there is none). */
export const readAttribute = (fd: number): Buffer | number => read((into) => tryFgetxattr(fd, ATTRIBUTE, into.bytes));

/** As `readAttribute`, of a name (latin1) in an open directory; a symbolic link is not followed. */
export const readAttributeAt = (directory: number, name: string): Buffer | number =>
  read((into) => tryGetxattrAt(directory, name, attribute, into));

export const removeAttribute = (fd: number): number => tryFremovexattr(fd, ATTRIBUTE);

/**
 * Ways of filesystems to say that a value is too long: ENOSPC (ext4: about 4 KiB in all, but also when it is full),
 * E2BIG (the kernel, Lustre), ERANGE (Lustre), EDQUOT (a block of its own over the quota).
 */
const tooLarge = new Set([-E.ENOSPC, -E.E2BIG, -E.ERANGE, -122 /* EDQUOT */]);

/**
 * Stores the record; undefined where there are no attributes.
 * @param fresh only where there is none: what somebody has stored meanwhile stays
 */
export const writeAttribute = (
  bucket: MetaGround,
  fd: number,
  ino: bigint,
  packed: Packed,
  fresh: boolean,
): Saved | undefined => {
  const value = encode(packed);
  const result =
    value.byteLength > buffer.byteLength ? -E.E2BIG : tryFsetxattr(fd, ATTRIBUTE, value, fresh ? XATTR_CREATE : 0);
  if (result === -E.EOPNOTSUPP) return undefined;
  if (result === 0 || (fresh && result === -E.EEXIST)) {
    return { undo: () => undefined, restamp: (stamp) => fsetxattr(fd, ATTRIBUTE, encode({ ...packed, stamp })) };
  }
  if (!tooLarge.has(result) || !packed.meta) throw errnoError(-result, 'fsetxattr');
  const overflow = writeOverflow(bucket, ino, packed.meta);
  const undo = () => removeOverflow(bucket, overflow);
  const restamp = (stamp: Stamp | undefined) =>
    fsetxattr(fd, ATTRIBUTE, encodeReference(stamp ? { ...packed, stamp } : packed, overflow));
  try {
    // A disk that is full has no room for this either, and says so.
    restamp(packed.stamp);
  } catch (error) {
    undo();
    if (isErrno(error) && error.errno === E.EOPNOTSUPP) return undefined;
    throw error;
  }
  return { undo, restamp };
};

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** On disk before the attribute that names it. */
const writeOverflow = (bucket: MetaGround, ino: bigint, meta: ObjectMeta): Overflow => {
  const bytes = encodeMeta(meta);
  const name = nameFor(ino);
  writeWhole(bucket, name, bytes);
  return { name, hash: hashOf(bytes), etag: meta.etag };
};

/** Undefined when it is not there, or not what the attribute was written with. */
export const readOverflow = (bucket: MetaGround, { name, hash }: Overflow): ObjectMeta | undefined => {
  const bytes = readWhole(bucket, name);
  return bytes && hashOf(bytes) === hash ? decodeMeta(bytes) : undefined;
};

export const removeOverflow = (bucket: MetaGround, { name }: Overflow): void => {
  bucket.asGateway(() => tryUnlinkat(bucket.area('meta'), name));
};
