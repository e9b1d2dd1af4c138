/** System calls for work that must not be in anybody's way: whether a file is being written, the page cache, priorities. */

import { readdirSync } from 'node:fs';
import { standBehind } from '../priority.js';
import { bind, nr, outcome } from './libc.js';
import { E } from './linux.js';
import { clockGettime } from './syscalls.js';

const n3 = bind(', long a, long b, long c');
const n4 = bind(', long a, long b, long c, long d');
const nnBuf = bind(', long a, long b, void *c');
const nBufBufN = bind(', long fd, void *range, void *result, long flags');

// ---- who writes --------------------------------------------------------------------------------------------------

const [F_SETSIG, F_SETLEASE] = [10, 1024];
const [F_RDLCK, F_UNLCK] = [0, 2];
const SIGURG = 23;

/**
 * Keeps everybody on this machine from opening a regular file for writing, until the descriptor is closed: who tries waits
 * that long. False when somebody has it open for writing already, or writable in his memory; undefined where that cannot be
 * told (not our file and no CAP_LEASE, NFS, FUSE, Lustre).
 *
 * "A read lease can be placed only on a file descriptor that is opened read-only", and only while there is no writer
 * (fcntl(2)). When somebody waits, we are sent a signal, which would end the process if it were the default SIGIO: so it is
 * one that is ignored by default.
 * @param fd open for reading only
 */
export const keepWritersOut = (fd: number): boolean | undefined => {
  if (outcome(n3(nr.fcntl, fd, F_SETSIG, SIGURG)) < 0) return undefined;
  const result = outcome(n3(nr.fcntl, fd, F_SETLEASE, F_RDLCK));
  if (result === -E.EAGAIN) return false;
  return result < 0 ? undefined : true;
};

/** Whether somebody has the file open for writing: as `keepWritersOut`, and lets them in with the next system call. */
export const isOpenForWriting = (fd: number): boolean | undefined => {
  const alone = keepWritersOut(fd);
  if (alone) n3(nr.fcntl, fd, F_SETLEASE, F_UNLCK);
  return alone === undefined ? undefined : !alone;
};

// ---- the page cache ----------------------------------------------------------------------------------------------

export const POSIX_FADV_SEQUENTIAL = 2;
export const POSIX_FADV_DONTNEED = 4;

/** Only advice: what the filesystem says to it is of no interest. @param length 0: to the end */
export const fadvise = (fd: number, offset: number, length: number, advice: number): void => {
  n4(nr.fadvise64, fd, offset, length, advice);
};

const range = new BigUint64Array(2);
const cached = new BigUint64Array(5);

/** Bytes of a file that are in the page cache; undefined where that cannot be told (cachestat: Linux 6.5). */
export const cachedBytes = (fd: number, size: number): number | undefined => {
  range[0] = 0n;
  range[1] = BigInt(size);
  if (outcome(nBufBufN(nr.cachestat, fd, range, cached, 0)) < 0) return undefined;
  return Number(cached[0]!) * 4096;
};

// ---- priorities --------------------------------------------------------------------------------------------------

const [IOPRIO_WHO_PROCESS, IOPRIO_CLASS_BE] = [1, 2];

/**
 * Makes the calling thread give way, also to the others of its process: five steps behind, and the last of the eight best-effort
 * levels for the disk. Not the class "idle": under a disk that is always busy it would get nothing, and the files would never
 * get their ETags.
 */
export const giveWay = (): void => {
  standBehind(5);
  setDiskLevel(0, 7);
};

/**
 * Makes this process with all its threads give way to others: ten steps behind, and on the last but one of the disk's
 * levels. By itself that would follow from `runWhenIdle`, and be the class "idle" (ioprio_set(2)).
 */
export const giveWayAsProcess = (): void => {
  const threads = readdirSync('/proc/self/task').map(Number);
  standBehind(undefined, threads);
  for (const thread of threads) setDiskLevel(thread, 6);
};

/** @param thread 0: the calling one. @param level of the eight of "best effort" */
const setDiskLevel = (thread: number, level: number): void => {
  n3(nr.ioprioSet, IOPRIO_WHO_PROCESS, thread, (IOPRIO_CLASS_BE << 13) | level);
};

const [SCHED_OTHER, SCHED_IDLE] = [0, 5];
/** `struct sched_param`: these policies have none. */
const noParameter = new Int32Array(1);

/**
 * Whether a thread runs only where no other of its session or control group wants to, and leaves its core to whoever of those is
 * woken, at once (SCHED_IDLE, sched(7)): with a nice value alone it may stay to the end of its slice. That value holds again
 * afterwards. Without effect for a thread that has ended, or where the kernel does not allow it.
 */
export const runWhenIdle = (thread: number, idle: boolean): void => {
  nnBuf(nr.schedSetscheduler, thread, idle ? SCHED_IDLE : SCHED_OTHER, noParameter);
};

/** What all threads of a process have run so far, in nanoseconds; those that have ended too. Its clock is clock_getcpuclockid(3)'s. */
export const cpuTime = (pid: number): number => Number(clockGettime((~pid << 3) | CPUCLOCK_SCHED));
const CPUCLOCK_SCHED = 2;
