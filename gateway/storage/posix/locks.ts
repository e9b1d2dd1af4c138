/**
 * One writer of a key at a time, between threads, processes and gateways: flock on one of 256 files of the bucket. What
 * a job does to the same file is not held up by it, of course.
 */
import { hash } from 'node:crypto';
import { reservedSegment } from '../keys.js';
import { unusable } from './areas.js';
import { busyNow } from './failures.js';
import type { BucketDir } from './paths.js';
import {
  close,
  E,
  errnoError,
  isErrno,
  O_CREAT,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDWR,
  RESOLVE_INSIDE,
  tryFlock,
  tryOpenat2,
} from './syscalls.js';

/** Most holders need less; a longer one may be syncing, and then this worker has better things to do. */
const PATIENCE_MS = 1;

/** `a` and `a/` stand at the same name: one lock for both. */
const shardOf = (key: string): string => hash('md5', key.endsWith('/') ? key.slice(0, -1) : key).slice(0, 2);

const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Runs `work` while nobody else publishes, removes or changes this key. Never held across messages, and no two are held
 * at once, so there is no deadlock. When somebody else keeps it, the whole operation is run again a little later
 * (`busyNow`), so nothing may have been left behind before.
 */
export const withKeyLock = <T>(bucket: BucketDir, key: string, work: () => T): T => {
  const fd = openLock(bucket, key);
  try {
    if (!acquire(fd, PATIENCE_MS)) busyNow();
    bucket.held = fd;
    return work();
  } finally {
    delete bucket.held;
    close(fd);
  }
};

/**
 * For readers, who take the lock only to see what a writer leaves behind: runs `work` if the lock can be had at once.
 * A job that keeps it, or has spoilt its file, must not keep anybody from reading.
 * @returns whether it was run
 */
export const underLockIfFree = (bucket: BucketDir, key: string, work: () => void): boolean => {
  let fd: number;
  try {
    fd = openLock(bucket, key);
  } catch {
    return false;
  }
  try {
    if (!acquire(fd, 0)) return false;
    work();
    return true;
  } finally {
    close(fd);
  }
};

const openLock = (bucket: BucketDir, key: string): number => {
  const flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
  const name = shardOf(key);
  // In one step where it is there, which is nearly always; otherwise the directory says what is wrong, or is made.
  const fd = bucket.asKeeper(() => {
    const there = tryOpenat2(bucket.fd, `${reservedSegment}/locks/${name}`, flags, 0o600, RESOLVE_INSIDE);
    return there < 0 ? tryOpenat2(bucket.area('locks'), name, flags, 0o600, RESOLVE_INSIDE) : there;
  });
  if (fd >= 0) return fd;
  const spoilt = fd === -E.ELOOP || fd === -E.EISDIR || fd === -E.ENXIO || fd === -E.ENODEV || fd === -E.EACCES;
  throw spoilt ? unusable(`locks/${name}`, -fd) : errnoError(-fd, 'openat2');
};

const acquire = (fd: number, patienceMs: number): boolean => {
  const end = performance.now() + patienceMs;
  try {
    while (!tryFlock(fd)) {
      if (performance.now() > end) return false;
      Atomics.wait(pause, 0, 0, 0.05);
    }
  } catch (error) {
    // Lustre mounted without `flock`: create-only stays atomic, the other conditions lose their guard between gateways.
    if (!isErrno(error) || error.errno !== E.ENOSYS) throw error;
  }
  return true;
};
