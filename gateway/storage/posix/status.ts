/**
 * The status of files (statx): as an object, or, for listings, which ask for a thousand of them, as the words that the
 * call left behind.
 */
import { bind, cName, cPath, nr, orThrow, outcome, type Path, placed } from './libc.js';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, E, errnoError } from './linux.js';

const statxRaw = bind(', long dir, const char *path, long flags, long mask, void *buffer');
const statxAt = bind(', long dir, long path, long flags, long mask, long buffer');

export interface Stat {
  /** Type and permissions, as st_mode. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** 64 bits: Lustre's do not fit into a number. */
  ino: bigint;
  /** Bytes. */
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  /** When it was made; 0 where the filesystem does not tell. */
  birthNs: bigint;
  /** `major * 2^20 + minor`, distinguishes filesystems. */
  dev: number;
  /** A filesystem is mounted here. */
  mountRoot: boolean;
}

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const WANTED = STATX_BASIC_STATS | STATX_BTIME;
const { bytes: statBuffer, address: statAddress } = placed(Buffer.allocUnsafeSlow(256).fill(0));
const stat = new DataView(statBuffer.buffer, statBuffer.byteOffset, 256);
const BILLION = 1_000_000_000n;

const [EARLIEST, LATEST] = [-(2n ** 63n), 2n ** 63n - 1n];

/** The years 1677 to 2262: a job may give a file any time, and no date nor 64 bits of nanoseconds hold all of them. */
const time = (offset: number): bigint => {
  const ns = stat.getBigInt64(offset, true) * BILLION + BigInt(stat.getUint32(offset + 8, true));
  return ns > LATEST ? LATEST : ns < EARLIEST ? EARLIEST : ns;
};

/** Offsets of `struct statx` (include/uapi/linux/stat.h). Little-endian: both architectures are. */
const parseStat = (): Stat => ({
  nlink: stat.getUint32(16, true),
  uid: stat.getUint32(20, true),
  gid: stat.getUint32(24, true),
  mode: stat.getUint16(28, true),
  ino: stat.getBigUint64(32, true),
  size: Number(stat.getBigUint64(40, true)),
  ctimeNs: time(96),
  mtimeNs: time(112),
  birthNs: stat.getUint32(0, true) & STATX_BTIME ? time(80) : 0n,
  dev: stat.getUint32(136, true) * 0x100000 + stat.getUint32(140, true),
  mountRoot: (stat.getUint32(8, true) & STATX_ATTR_MOUNT_ROOT) !== 0,
});

/** @param flags AT_STATX_FORCE_SYNC or 0 */
export const fstat = (fd: number, flags = 0): Stat => {
  lookAtOpen(fd, flags);
  return parseStat();
};

/** @param flags AT_SYMLINK_NOFOLLOW or 0. Undefined for ENOENT and ENOTDIR. */
export const tryStatat = (dirfd: number, path: Path, flags: number): Stat | undefined => {
  const result = outcome(statxRaw(nr.statx, dirfd, cPath(path, 'fstatat'), flags, WANTED, statBuffer));
  if (result === 0) return parseStat();
  if (result === -E.ENOENT || result === -E.ENOTDIR) return undefined;
  throw errnoError(-result, 'fstatat');
};

// ---- without an object -------------------------------------------------------------------------------------------

/**
 * Looks at a name in an open directory, which is not followed if it is a symbolic link. What was seen is kept until the
 * next status of any kind, in `seenWords`, and `seenStat` tells it.
 * @param name one segment, its bytes as latin1 @param flags AT_STATX_FORCE_SYNC or 0
 * @returns false for ENOENT and ENOTDIR
 */
export const lookAt = (dirfd: number, name: string, flags = 0): boolean => {
  const result = outcome(statxAt(nr.statx, dirfd, cName(name), AT_SYMLINK_NOFOLLOW | flags, WANTED, statAddress));
  if (result === 0) return true;
  if (result === -E.ENOENT || result === -E.ENOTDIR) return false;
  throw errnoError(-result, 'fstatat');
};

const nothing = placed('');

/** As `lookAt`, at what is open. */
export const lookAtOpen = (fd: number, flags = 0): void => {
  orThrow(statxAt(nr.statx, fd, nothing.address, AT_EMPTY_PATH | flags, WANTED, statAddress), 'fstat');
};

export const seenStat = parseStat;

/** `struct statx` as words of 32 bits; `WORD` says where what lies. */
export const seenWords = new Uint32Array(statBuffer.buffer, statBuffer.byteOffset, 64);

/** Numbers of 64 bits have their lower half first. */
export const WORD = { mode: 7, ino: 8, size: 10, ctime: 24, ctimeNs: 26, mtime: 28, mtimeNs: 30, dev: 34 } as const;

/** `Stat.dev` of what was seen. */
export const seenDev = (): number => seenWords[WORD.dev]! * 0x100000 + seenWords[WORD.dev + 1]!;

/** `Stat.mode` of what was seen. */
export const seenMode = (): number => seenWords[WORD.mode]! & 0xffff;

/** Upper halves from here on make numbers that are not exact. */
const EXACT = 1 << 21;

/** Four numbers of up to 16, 16, 19 and 19 digits, and what stands between them. */
const text = Buffer.allocUnsafeSlow(80);
/** A view costs as much as to put a print together. */
const prints = Array.from({ length: text.length + 1 }, (_, length) => text.subarray(0, length));
const colon = 0x3a;

/** Writes so many digits of a number (below 2^31). @returns where they end */
const digits = (number: number, at: number, count: number): number => {
  let left = number;
  for (let i = at + count - 1; i >= at; i--) {
    const tenth = (left / 10) | 0;
    text[i] = 0x30 + left - tenth * 10;
    left = tenth;
  }
  return at + count;
};

/** Writes a number as it is commonly written. @returns where it ends */
const decimal = (number: number, at: number): number => {
  const upper = Math.floor(number / 1e9);
  const lower = number - upper * 1e9;
  let [count, power] = [1, 10];
  for (const first = upper || lower; first >= power; power *= 10) count++;
  return upper === 0 ? digits(lower, at, count) : digits(lower, digits(upper, at, count), 9);
};

/**
 * What was seen, without a BigInt: bytes, and milliseconds since the epoch.
 * @returns undefined for what is out of the ordinary (times before 1970 or after 2106, a billion nanoseconds): `seenStat` tells
 * it. `print` is `ino:size:mtimeNs:ctimeNs`, good until the next call.
 */
export const seenNumbers = (): { size: number; modified: number; changed: number; print: Buffer } | undefined => {
  const [mtime, ctime] = [seenWords[WORD.mtime]!, seenWords[WORD.ctime]!];
  if (mtime === 0 || ctime === 0 || seenWords[WORD.mtime + 1] !== 0 || seenWords[WORD.ctime + 1] !== 0)
    return undefined;
  const [inoHigh, sizeHigh] = [seenWords[WORD.ino + 1]!, seenWords[WORD.size + 1]!];
  if (inoHigh >= EXACT || sizeHigh >= EXACT) return undefined;
  const [mtimeNs, ctimeNs] = [seenWords[WORD.mtimeNs]!, seenWords[WORD.ctimeNs]!];
  if (mtimeNs >= 1e9 || ctimeNs >= 1e9) return undefined;
  const size = seenWords[WORD.size]! + sizeHigh * 2 ** 32;
  let end = decimal(seenWords[WORD.ino]! + inoHigh * 2 ** 32, 0);
  text[end++] = colon;
  end = decimal(size, end);
  text[end++] = colon;
  end = digits(mtimeNs, decimal(mtime, end), 9);
  text[end++] = colon;
  end = digits(ctimeNs, decimal(ctime, end), 9);
  return {
    size,
    modified: mtime * 1000 + Math.floor(mtimeNs / 1e6),
    changed: ctime * 1000 + Math.floor(ctimeNs / 1e6),
    print: prints[end]!,
  };
};
