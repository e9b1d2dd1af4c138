/**
 * Attributes of names in an open directory. Linux has a call for that since 6.13 only (getxattrat); through
 * `/proc/self/fd/N/name` it takes three times as long. So each worker thread has a working directory of its own, and asks
 * from there. The main thread's, which is the process's for everybody who looks, stays where it is.
 */
import { isMainThread } from 'node:worker_threads';
import { bind, cName, nr, outcome, type Placed } from './libc.js';
import { closed, procPath } from './syscalls.js';

export { type Placed, placed } from './libc.js';

const n1 = bind(', long a');
const path = bind(', const char *path');
const pathNameBuf = bind(', long path, long name, long value, long size');

/** include/uapi/linux/sched.h: the working directory, the root and the umask. */
const CLONE_FS = 0x200;

let own = false;
/** Where this thread is, and `closed` when it went there. */
let inside: number | undefined;
let since = 0;

const lgetxattr = (where: string, attribute: Placed, into: Placed): number =>
  outcome(pathNameBuf(nr.lgetxattr, cName(where), attribute.address, into.address, into.bytes.byteLength));

/** Gives this thread a working directory of its own, where the system permits it (containers may forbid unshare). */
export const ownWorkingDirectory = (): void => {
  own ||= !isMainThread && outcome(n1(nr.unshare, CLONE_FS)) === 0;
};

/**
 * As `tryFgetxattr` of what stands under `name`, which is not opened, and not followed if it is a symbolic link.
 * @param name of one segment, its bytes as latin1 @param attribute its name
 */
export const tryGetxattrAt = (directory: number, name: string, attribute: Placed, into: Placed): number => {
  if (!own) return lgetxattr(`${procPath(directory)}/${name}`, attribute, into);
  // What has the same number may be another directory, but not while nothing was closed.
  if (inside !== directory || since !== closed) {
    const moved = outcome(n1(nr.fchdir, directory));
    if (moved < 0) return moved;
    [inside, since] = [directory, closed];
  }
  return lgetxattr(name, attribute, into);
};

/** Nothing shall be kept busy, or alive, because this thread was there last. */
export const leaveDirectory = (): void => {
  if (inside === undefined) return;
  path(nr.chdir, '/');
  inside = undefined;
};
