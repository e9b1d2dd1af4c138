/**
 * inotify(7), as the thread of `sync/watch.ts` uses it: directly, because Node's own watchers hide the mask, the cookie
 * that joins the two halves of a rename, and `IN_Q_OVERFLOW`.
 */
import { writeSync } from 'node:fs';
import { bind, nr, orThrow, outcome } from './libc.js';
import { E, errnoError, isErrno } from './linux.js';

// include/uapi/linux/inotify.h
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_ONLYDIR = 0x1000000;
export const IN_EXCL_UNLINK = 0x4000000;
export const IN_ISDIR = 0x40000000;

const n1 = bind(', long a');
const n2 = bind(', long a, long b');
const nBufN = bind(', long a, void *buffer, long size');
const addWatch = bind(', long fd, const char *path, long mask');
const ppollRaw = bind(', void *fds, long count, void *time, void *mask, long size');

const NONBLOCK_CLOEXEC = 0o2004000;

/** A new inotify instance that never blocks. EMFILE where `fs.inotify.max_user_instances` is reached. */
export const inotifyInit = (): number => orThrow(n1(nr.inotifyInit1, NONBLOCK_CLOEXEC), 'inotify_init1');

/**
 * Watches an open directory: the very one, whatever its path leads to by now. The same directory has the same watch
 * descriptor again. Returns it, or -errno: ENOSPC where `fs.inotify.max_user_watches` is reached.
 */
export const tryWatchDirectory = (inotify: number, directory: number, mask: number): number =>
  outcome(addWatch(nr.inotifyAddWatch, inotify, `/proc/self/fd/${directory}`, mask | IN_ONLYDIR));

/** Ends a watch; one that has ended by itself is none. */
export const removeWatch = (inotify: number, wd: number): void => {
  n2(nr.inotifyRmWatch, inotify, wd);
};

/** Bytes read of a descriptor that does not block, 0 when there is nothing. Without the Error that Node makes of that. */
export const readAvailable = (fd: number, into: Buffer): number => {
  const got = outcome(nBufN(nr.read, fd, into, into.byteLength));
  if (got >= 0) return got;
  if (got === -E.EAGAIN || got === -E.EINTR) return 0;
  throw errnoError(-got, 'read');
};

/**
 * Calls `each` for every event in what was read from an inotify instance.
 * `name`: its bytes as latin1; '' for an event of the watched directory itself.
 */
export const parseEvents = (
  buffer: Buffer,
  used: number,
  each: (wd: number, mask: number, cookie: number, name: string) => void,
): void => {
  for (let at = 0; at < used; ) {
    const length = buffer.readUInt32LE(at + 12);
    const start = at + 16;
    // Filled up with NULs.
    let end = start;
    while (end < start + length && buffer[end] !== 0) end++;
    const name = end === start ? '' : buffer.toString('latin1', start, end);
    each(buffer.readInt32LE(at), buffer.readUInt32LE(at + 4), buffer.readUInt32LE(at + 8), name);
    at = start + length;
  }
};

/** A descriptor by which another thread wakes one that waits in `waitReadable`. */
export const wakeDescriptor = (): number => orThrow(n2(nr.eventfd2, 0, NONBLOCK_CLOEXEC), 'eventfd2');

const one = new Uint8Array(BigUint64Array.of(1n).buffer);

/** Wakes whoever waits for it. */
export const wake = (fd: number): void => {
  try {
    writeSync(fd, one);
  } catch (error) {
    // Full: it is awake already.
    if (!isErrno(error) || error.code !== 'EAGAIN') throw error;
  }
};

const POLLIN = 1;

/**
 * Blocks the thread until one of the descriptors can be read, or for `ms` milliseconds at most. A native call cannot be
 * broken off by `worker.terminate()` or the end of the process: whoever calls this gives a limit.
 */
export const waitReadable = (descriptors: readonly number[], ms: number): void => {
  const fds = new Int32Array(descriptors.length * 2);
  descriptors.forEach((fd, i) => {
    fds[i * 2] = fd;
    fds[i * 2 + 1] = POLLIN; // events; the upper half, revents, is the kernel's
  });
  const wait = Math.max(0, Math.ceil(ms));
  const time = BigInt64Array.of(BigInt(Math.floor(wait / 1000)), BigInt((wait % 1000) * 1_000_000));
  ppollRaw(nr.ppoll, fds, descriptors.length, time, null, 0);
};
