/**
 * System calls: thin, typed and synchronous; each throws an `ErrnoError` on failure, and where a miss is an everyday
 * answer there is a `try…` variant that returns `-errno` instead (an Error costs more than the call). How they reach the
 * kernel is `libc.ts`'s.
 */
import { readlinkSync, readSync, writeSync } from 'node:fs';
import { letGo, markHeld } from './held.js';
import { bind, cPath, nr, orThrow, outcome, type Path } from './libc.js';
import { AT_EACCESS, AT_EMPTY_PATH, E, errnoError, LOCK_EX, LOCK_NB, LOCK_SH, O_CLOEXEC } from './linux.js';

export type { Path } from './libc.js';
export * from './linux.js';
export * from './status.js';

const n1 = bind(', long a');
const n2 = bind(', long a, long b');
const n3 = bind(', long a, long b, long c');
const n4 = bind(', long a, long b, long c, long d');
const openat2Raw = bind(', long dir, const char *path, void *how, long size');
const pathN = bind(', long dir, const char *path, long a');
const accessRaw = bind(', long dir, const char *path, long mode, long flags');
const twoPaths = bind(', long dirA, const char *a, long dirB, const char *b, long flags');
const fdNameBuf = bind(', long fd, const char *name, void *value, long size');
const fdNameBufFlags = bind(', long fd, const char *name, void *value, long size, long flags');
const fdName = bind(', long fd, const char *name');
const pathNameBuf = bind(', const char *path, const char *name, void *value, long size');
const nBuf = bind(', long a, void *buffer');
const nBufN = bind(', long a, void *buffer, long size');
const utimensatRaw = bind(', long dir, const char *path, void *times, long flags');
const copyRaw = bind(', long in, void *inOffset, long out, void *outOffset, long length, long flags');

/** Bytes of a latin1 "byte string", as `readEntries` hands names out. */
export const rawPath = (latin1: string): Buffer => Buffer.from(latin1, 'latin1');

// ---- opening -----------------------------------------------------------------------------------------------------

const how = new BigUint64Array(3);

/** As `tryOpenat2`, without another attempt: with RESOLVE_CACHED, EAGAIN says that it would have to wait. */
export const tryOpenat2Once = (dirfd: number, path: Path, flags: number, mode = 0, resolve = 0): number => {
  how[0] = BigInt(flags | O_CLOEXEC);
  how[1] = BigInt(mode);
  how[2] = BigInt(resolve);
  return outcome(openat2Raw(nr.openat2, dirfd, cPath(path, 'openat2'), how, 24));
};

/**
 * openat2(2); close-on-exec is always set. Returns a descriptor or -errno.
 * @param resolve RESOLVE_… flags; `RESOLVE_INSIDE` for every path under a bucket
 */
export const tryOpenat2 = (dirfd: number, path: Path, flags: number, mode = 0, resolve = 0): number => {
  // EAGAIN: "the kernel could not ensure that a ".." component didn't escape (due to a race condition …)": may be retried.
  // ESTALE: the file that a network filesystem's client has found was replaced on the server before it was opened there.
  for (let attempt = 0; ; attempt++) {
    const result = tryOpenat2Once(dirfd, path, flags, mode, resolve);
    const passing = result === -E.EAGAIN || result === -E.EINTR || result === -E.ESTALE;
    if (passing && attempt < 16) continue;
    if (result >= 0) markHeld(result);
    return result;
  }
};

export const openat2 = (dirfd: number, path: Path, flags: number, mode = 0, resolve = 0): number => {
  const fd = tryOpenat2(dirfd, path, flags, mode, resolve);
  if (fd < 0) throw errnoError(-fd, 'openat2');
  return fd;
};

/** Throws a clear error where the kernel is older than 5.6: without openat2 no path under a bucket is safe. */
export const requireOpenat2 = (): void => {
  const fd = tryOpenat2(-100, '/', 0o10000000, 0, 0x08 | 0x04); // an absolute path beneath "." is EXDEV where it exists
  if (fd === -E.ENOSYS || fd === -E.EPERM) {
    throw new Error('openat2 is not available: Tidegate needs Linux 5.6 or later (and a sandbox that permits openat2)');
  }
  if (fd >= 0) close(fd);
};

/** How often this thread has closed something: as long as that stays the same, its descriptors lead where they did. */
export let closed = 0;

/** Never throws: the descriptor is gone on Linux whatever close reports. What a delayed write left is told by fsync. */
export const close = (fd: number): void => {
  closed++;
  letGo(fd);
  outcome(n1(nr.close, fd));
};

/** So long a file is that closing is felt when it was the last to hold it. Bytes. */
const LONG = 4 << 20;

/** So many of them are kept open a little longer. */
const MOST_REPLACED = 64;
const replaced: number[] = [];
/** One after the other: calls that wait for this thread come in between. */
const closeNext = (): void => {
  close(replaced.shift()!);
  if (replaced.length > 0) setImmediate(closeNext);
};

/** Closes a file that has perhaps no name any more. To free a long one takes milliseconds: nobody waits for that. */
export const closeReplaced = (fd: number, size: number): void => {
  if (size < LONG || replaced.length === MOST_REPLACED) close(fd);
  else if (replaced.push(fd) === 1) setImmediate(closeNext);
};

// ---- status: see also status.ts ------------------------------------------------------------------------------------

/** Whether this thread may do that to an open file (W_OK), as whom it works: 0 or -errno. */
export const tryAccess = (fd: number, mode: number): number =>
  outcome(accessRaw(nr.faccessat2, fd, '', mode, AT_EACCESS | AT_EMPTY_PATH));

export interface FsStat {
  /** Magic number, see `filesystemName`. */
  type: number;
  blockSize: number;
  blocks: number;
  blocksAvailable: number;
}

const fsBuffer = Buffer.alloc(256);

export const fstatfs = (fd: number): FsStat => {
  orThrow(nBuf(nr.fstatfs, fd, fsBuffer), 'fstatfs');
  return {
    type: Number(fsBuffer.readBigInt64LE(0)),
    blockSize: Number(fsBuffer.readBigInt64LE(8)),
    blocks: Number(fsBuffer.readBigUInt64LE(16)),
    blocksAvailable: Number(fsBuffer.readBigUInt64LE(32)),
  };
};

// ---- extended attributes -----------------------------------------------------------------------------------------

/** Length of the value read into `into`, or -errno: ENODATA when absent, ERANGE when it is longer than `into`. */
export const tryFgetxattr = (fd: number, name: string, into: Uint8Array): number =>
  outcome(fdNameBuf(nr.fgetxattr, fd, name, into, into.byteLength));

/** Returns 0 or -errno. @param flags XATTR_CREATE, XATTR_REPLACE or 0 */
export const tryFsetxattr = (fd: number, name: string, value: Uint8Array, flags = 0): number =>
  outcome(fdNameBufFlags(nr.fsetxattr, fd, name, value, value.byteLength, flags));

export const fsetxattr = (fd: number, name: string, value: Uint8Array, flags = 0): void => {
  orThrow(fdNameBufFlags(nr.fsetxattr, fd, name, value, value.byteLength, flags), 'fsetxattr');
};

/** Returns 0 or -errno (ENODATA when absent). */
export const tryFremovexattr = (fd: number, name: string): number => outcome(fdName(nr.fremovexattr, fd, name));

/** By path, not following a last symbolic link; with `procPath(fd)` plus `/name` also beneath a directory. */
export const tryLgetxattr = (path: Path, name: string, into: Uint8Array): number =>
  outcome(pathNameBuf(nr.lgetxattr, cPath(path, 'lgetxattr'), name, into, into.byteLength));

/** The name by which a descriptor of this process can be opened or linked again. */
export const procPath = (fd: number): string => `/proc/self/fd/${fd}`;

/** Where what a descriptor stands for lies at the moment; its bytes, latin1. */
export const pathOf = (fd: number): string => readlinkSync(procPath(fd), 'latin1');

// ---- names -------------------------------------------------------------------------------------------------------

/** Returns 0 or -errno. @param flags RENAME_NOREPLACE, RENAME_EXCHANGE or 0 (plain rename) */
export const tryRenameat2 = (fromDir: number, from: Path, toDir: number, to: Path, flags = 0): number =>
  outcome(twoPaths(nr.renameat2, fromDir, cPath(from, 'rename'), toDir, cPath(to, 'rename'), flags));

export const renameat = (fromDir: number, from: Path, toDir: number, to: Path): void => {
  orThrow(twoPaths(nr.renameat2, fromDir, cPath(from, 'rename'), toDir, cPath(to, 'rename'), 0), 'rename');
};

/** Returns 0 or -errno (EEXIST). @param flags AT_SYMLINK_FOLLOW with `procPath(fd)`, else 0 */
export const tryLinkat = (fromDir: number, from: Path, toDir: number, to: Path, flags = 0): number =>
  outcome(twoPaths(nr.linkat, fromDir, cPath(from, 'link'), toDir, cPath(to, 'link'), flags));

/** Returns 0 or -errno. @param flags AT_REMOVEDIR to remove a directory */
export const tryUnlinkat = (dirfd: number, path: Path, flags = 0): number =>
  outcome(pathN(nr.unlinkat, dirfd, cPath(path, 'unlink'), flags));

export const unlinkat = (dirfd: number, path: Path, flags = 0): void => {
  orThrow(pathN(nr.unlinkat, dirfd, cPath(path, 'unlink'), flags), 'unlink');
};

/** Returns 0 or -errno (EEXIST). */
export const tryMkdirat = (dirfd: number, path: Path, mode: number): number =>
  outcome(pathN(nr.mkdirat, dirfd, cPath(path, 'mkdir'), mode));

export interface Entry {
  /** The name's bytes, one per character (latin1): sorts in byte order, `rawPath` makes a path of it. */
  name: string;
  /** DT_…; DT_UNKNOWN where the filesystem does not tell. */
  type: number;
}

/**
 * Fills `buffer` with the next entries of an open directory (getdents64).
 * @returns bytes used; 0 at the end. `parseEntries` reads them.
 */
export const getdents64 = (fd: number, buffer: Buffer): number =>
  orThrow(nBufN(nr.getdents64, fd, buffer, buffer.byteLength), 'getdents64');

/** Where an entry of what `getdents64` left has its name, which ends at a NUL, and its type (DT_…), as bytes from its beginning. */
export const ENTRY_NAME = 19;
export const ENTRY_TYPE = 18;

/** Where the entry behind the one at `at` begins. For directories in which a string for each name would be too much. */
export const nextEntry = (buffer: Buffer, at: number): number => at + buffer[at + 16]! + buffer[at + 17]! * 256;

/**
 * Calls `each` for every entry but `.` and `..` in what `getdents64` left.
 * @param skip told where a name's bytes begin and end: no string is made of it when true
 */
export const parseEntries = (
  buffer: Buffer,
  used: number,
  each: (name: string, type: number) => void,
  skip?: (start: number, end: number) => boolean,
): void => {
  for (let at = 0; at < used; ) {
    const length = buffer[at + 16]! + buffer[at + 17]! * 256;
    const start = at + 19;
    // A name ends at the first NUL; the record is filled up behind it, to 8 bytes.
    let end = Math.max(start, at + length - 8);
    while (buffer[end] !== 0) end++;
    const hidden = buffer[start] === 0x2e && (end === start + 1 || (end === start + 2 && buffer[start + 1] === 0x2e));
    if (!hidden && !skip?.(start, end)) each(buffer.toString('latin1', start, end), buffer[at + 18]!);
    at += length;
  }
};

/** All entries of an open directory from its current position, in the filesystem's order. */
export const readEntries = (fd: number): Entry[] => {
  const entries: Entry[] = [];
  const buffer = Buffer.allocUnsafe(32_768);
  for (let used: number; (used = getdents64(fd, buffer)) > 0; ) {
    parseEntries(buffer, used, (name, type) => entries.push({ name, type }));
  }
  return entries;
};

// ---- changing an open file ---------------------------------------------------------------------------------------

export const fchmod = (fd: number, mode: number): void => {
  orThrow(n2(nr.fchmod, fd, mode), 'fchmod');
};

/** Gives a file to a group; returns 0 or -errno (EPERM: not a group of whom this thread works as). */
export const tryFchgrp = (fd: number, gid: number): number => outcome(n3(nr.fchown, fd, -1, gid));

/** -1 leaves the uid or gid as it is. */
export const fchown = (fd: number, uid: number, gid: number): void => {
  orThrow(n3(nr.fchown, fd, uid, gid), 'fchown');
};

const BILLION = 1_000_000_000n;
const times = new BigInt64Array(4);
const UTIME_OMIT = 0x3ffffffen;

/** Sets mtime (nanoseconds since the epoch), leaves atime. */
export const futimens = (fd: number, mtimeNs: bigint): void => {
  let seconds = mtimeNs / BILLION;
  let rest = mtimeNs % BILLION;
  if (rest < 0n) [seconds, rest] = [seconds - 1n, rest + BILLION];
  times[0] = 0n;
  times[1] = UTIME_OMIT;
  times[2] = seconds;
  times[3] = rest;
  orThrow(utimensatRaw(nr.utimensat, fd, null, times, 0), 'futimens');
};

/** Sets both times to now: whoever may write the file may do that. */
export const touch = (fd: number): void => {
  orThrow(utimensatRaw(nr.utimensat, fd, null, null, 0), 'futimens');
};

const FALLOC_FL_PUNCH_HOLE = 2 | 1; // with FALLOC_FL_KEEP_SIZE, as it has to be (fallocate(2))

/** Gives the space of a stretch of a file back, which reads as zeros then: 0, or -errno (EOPNOTSUPP where there are no holes). */
export const tryPunchHole = (fd: number, from: number, length: number): number =>
  outcome(n4(nr.fallocate, fd, FALLOC_FL_PUNCH_HOLE, from, length));

export const ftruncate = (fd: number, size: number): void => {
  orThrow(n2(nr.ftruncate, fd, size), 'ftruncate');
};

export const fsync = (fd: number): void => {
  orThrow(n1(nr.fsync, fd), 'fsync');
};

export const fdatasync = (fd: number): void => {
  orThrow(n1(nr.fdatasync, fd), 'fdatasync');
};

const [SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WAIT_AFTER] = [1, 2, 4];

/** Lets the kernel begin to write a range to the disk, and does not wait. A hint: what goes wrong is told by fdatasync. */
export const beginWriting = (fd: number, offset: number, length: number): void => {
  outcome(n4(nr.sync_file_range, fd, offset, length, SYNC_FILE_RANGE_WRITE));
};

/**
 * Waits until a range is written. That it stays, only a later fdatasync says.
 * @throws what could not be written: the later fdatasync tells it no more
 */
export const awaitWritten = (fd: number, offset: number, length: number): void => {
  const flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  const result = outcome(n4(nr.sync_file_range, fd, offset, length, flags));
  // Sandboxes know not all system calls.
  if (result === -E.ENOSYS || result === -E.EPERM) fdatasync(fd);
  else if (result < 0) throw errnoError(-result, 'sync_file_range');
};

// ---- bytes -------------------------------------------------------------------------------------------------------

/** Fills `into` from `position` on; fewer bytes only at the end of the file. Shared memory may be given. */
export const pread = (fd: number, into: Uint8Array, position: number): number => {
  let done = 0;
  while (done < into.byteLength) {
    const got = readSync(fd, into, done, into.byteLength - done, position + done);
    if (got === 0) break;
    done += got;
  }
  return done;
};

/** Writes all of `from` at `position`. */
export const pwrite = (fd: number, from: Uint8Array, position: number): void => {
  for (let done = 0; done < from.byteLength; ) {
    done += writeSync(fd, from, done, from.byteLength - done, position + done);
  }
};

const offsets = [new BigInt64Array(1), new BigInt64Array(1)] as const;

/**
 * Copies within the kernel, at most `length` bytes (fewer are common). Returns the count, 0 at the end of the source, or
 * -errno: EXDEV, EINVAL, ENOSYS, EOPNOTSUPP say "copy it yourself".
 */
export const tryCopyFileRange = (
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): number => {
  offsets[0][0] = BigInt(fromOffset);
  offsets[1][0] = BigInt(toOffset);
  return outcome(copyRaw(nr.copyFileRange, from, offsets[0], to, offsets[1], length, 0));
};

const FICLONE = 0x40049409;

/** Shares the blocks of `from` with `to` (reflink). Returns 0 or -errno. */
export const tryClone = (to: number, from: number): number => outcome(n3(nr.ioctl, to, FICLONE, from));

// ---- locks, clock ------------------------------------------------------------------------------------------------

/** flock(2) without waiting: false when another open file description holds it. */
export const tryFlock = (fd: number, exclusive = true): boolean => {
  const result = outcome(n2(nr.flock, fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB));
  if (result === 0) return true;
  if (result === -E.EAGAIN || result === -E.EINTR) return false;
  throw errnoError(-result, 'flock');
};

const timespec = new BigInt64Array(2);

/** Nanoseconds since the epoch. @param clock CLOCK_REALTIME (0) or CLOCK_REALTIME_COARSE (5) */
export const clockGettime = (clock = 0): bigint => {
  orThrow(nBuf(nr.clockGettime, clock, timespec), 'clock_gettime');
  return timespec[0]! * BILLION + timespec[1]!;
};

const RUSAGE_THREAD = 1;
const usage = new BigInt64Array(18);

/** How often this thread has waited in the kernel (`ru_nvcsw`), and blocks of 512 bytes that it has read from disks (`ru_inblock`). */
export const threadUsage = (): { waits: number; blocks: number } => {
  orThrow(nBuf(nr.getrusage, RUSAGE_THREAD, usage), 'getrusage');
  return { waits: Number(usage[16]), blocks: Number(usage[11]) };
};

// ---- identity of the calling thread ------------------------------------------------------------------------------

/** Sets the uid for file access of this thread and returns the one before; -1 only asks. Never reports failure. */
export const setfsuid = (uid: number): number => n1(nr.setfsuid, uid);

/** As setfsuid, for the gid. */
export const setfsgid = (gid: number): number => n1(nr.setfsgid, gid);

/** NGROUPS_MAX. */
const groupIds = new Uint32Array(65_536);

/** Supplementary groups of this thread. */
export const setgroups = (groups: readonly number[]): void => {
  // Not one of their own for each call: to make it takes half as long as the call.
  if (groups.length > groupIds.length) throw errnoError(E.EINVAL, 'setgroups');
  groupIds.set(groups);
  orThrow(nBuf(nr.setgroups, groups.length, groupIds), 'setgroups');
};
