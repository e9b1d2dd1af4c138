/** How the catalog stores what it knows of an object: fixed numbers first, so that a scan compares without decoding. Pure. */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import { Damaged } from './catalog-check.js';
import type { DirBytes, Entry, KeyBytes } from './types.js';

/**
 * Where an object stands in the catalog: its directory, NUL, its name. So the entries of one directory are neighbours, and
 * those below it are two ranges. `a/b/c` is `a/b` NUL `c`; the directory object `a/b/` is `a/b` NUL.
 */
export const placeOf = (key: KeyBytes): Buffer => {
  const slash = key.lastIndexOf('/');
  const text = slash < 0 ? `\0${key}` : `${key.slice(0, slash)}\0${key.slice(slash + 1)}`;
  return Buffer.from(text, 'latin1');
};

/** Undoes `placeOf`. */
export const keyOf = (place: Buffer): KeyBytes => {
  const nul = place.indexOf(0);
  const dir = place.toString('latin1', 0, nul);
  return dir === '' ? place.toString('latin1', 1) : `${dir}/${place.toString('latin1', nul + 1)}`;
};

/** The range of what stands in a directory itself, from inclusive to exclusive. */
export const inDirectory = (dir: DirBytes): [Buffer, Buffer] => {
  const name = dir.slice(0, -1);
  return [Buffer.from(`${name}\0`, 'latin1'), Buffer.from(`${name}\x01`, 'latin1')];
};

/** The range of what stands in directories below a directory; `0` is the character behind `/`. */
export const belowDirectory = (dir: DirBytes): [Buffer, Buffer] =>
  dir === ''
    ? [Buffer.from('\x01'), Buffer.from('\xff'.repeat(4), 'latin1')]
    : [Buffer.from(dir, 'latin1'), Buffer.from(`${dir.slice(0, -1)}0`, 'latin1')];

const FIXED = 32;

export const encodeEntry = ({ size, mtimeNs, ctimeNs, ino, etag, write }: Entry): Buffer => {
  const digest = /^[0-9a-f]{32}$/.test(etag);
  // One that is longer than any of ours was written by whoever may write the file, and says nothing.
  const tag = etag.length > 0x7f ? Buffer.alloc(0) : Buffer.from(etag, digest ? 'hex' : 'latin1');
  const value = Buffer.allocUnsafe(FIXED + 1 + tag.length + write.length);
  value.writeBigUInt64LE(BigInt(size), 0);
  value.writeBigInt64LE(mtimeNs, 8);
  value.writeBigInt64LE(ctimeNs, 16);
  value.writeBigUInt64LE(ino, 24);
  // The highest bit says that the tag is 16 bytes of a digest.
  value[FIXED] = tag.length | (digest ? 0x80 : 0);
  tag.copy(value, FIXED + 1);
  value.write(write, FIXED + 1 + tag.length, 'latin1');
  return value;
};

export const decodeEntry = (value: Buffer): Entry => {
  if (value.length <= FIXED) throw new Damaged('an entry is too short');
  const digest = (value[FIXED]! & 0x80) !== 0;
  const end = FIXED + 1 + (value[FIXED]! & 0x7f);
  return {
    size: Number(value.readBigUInt64LE(0)),
    mtimeNs: value.readBigInt64LE(8),
    ctimeNs: value.readBigInt64LE(16),
    ino: value.readBigUInt64LE(24),
    etag: value.toString(digest ? 'hex' : 'latin1', FIXED + 1, end),
    write: value.toString('latin1', end),
  };
};

/** No digest of the content is known. */
export const isUnhashed = (value: Buffer): boolean => value[FIXED] === 0;

/** Whether nothing has happened to the file since the entry was made: the everyday case of a scan. */
export const isSame = (value: Buffer, stat: Fingerprint): boolean =>
  value.length > FIXED &&
  value.readBigInt64LE(16) === stat.ctimeNs &&
  value.readBigUInt64LE(24) === stat.ino &&
  value.readBigInt64LE(8) === stat.mtimeNs &&
  Number(value.readBigUInt64LE(0)) === stat.size;
