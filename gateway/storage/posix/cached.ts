/**
 * Objects of which the kernel has everything in memory are looked at on the main thread: a message to a worker and back takes
 * longer than the system calls themselves. Whatever might wait (a name, bytes that are not cached) or needs more than a look
 * (no record, a record that does not hold any more, an overflow file, a directory object) is left to the workers.
 *
 * Local filesystems only: openat2 and preadv2 can be told not to wait, reading an attribute cannot. There it mostly comes
 * with the inode, which openat2 has found in memory. Where it has a block of its own (ext4, from some 100 bytes on), and that
 * comes from a slow disk, looks rest for a while.
 */
import { decode } from '../../../acl/metadata/codec.js';
import { judge } from '../../../acl/metadata/stamp.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import { readAttribute } from '../../../acl/metadata/xattr.js';
import { freeze } from '../frozen.js';
import type { Actor } from '../types.js';
import { as } from './identity.js';
import { createKnown, sight } from './known.js';
import { bind, nr, outcome, type Path, placed } from './libc.js';
import { isFile, milliseconds } from './lookup.js';
import type { Opened } from './objects.js';
import type { Ground } from './paths.js';
import { createRest } from './rest.js';
import { isUnchanged } from './seen.js';
import { seenStat } from './status.js';
import {
  AT_FDCWD,
  close,
  E,
  isErrno,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  RESOLVE_CACHED,
  RESOLVE_INSIDE,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  type Stat,
  tryOpenat2Once,
} from './syscalls.js';

const preadv2 = bind(', long fd, void *iov, long count, long low, long high, long flags');

const openCached = (directory: number, path: Path, flags: number, resolve: number): number =>
  tryOpenat2Once(directory, path, flags, 0, resolve | RESOLVE_CACHED);

/** include/uapi/linux/fs.h: EAGAIN when bytes are not in memory. */
const RWF_NOWAIT = 0x08;
/** Bytes that are looked for in memory at most; more is as cheap by way of a worker. */
const MOST = 64 * 1024;
const content = placed(Buffer.alloc(MOST));
/** `struct iovec`. */
const vector = BigUint64Array.of(BigInt(content.address), 0n);

/** Reads the first bytes of a file into `content`. @returns how many there are, or -errno: EAGAIN when not all are in memory */
const readCached = (fd: number, length: number): number => {
  if (length === 0) return 0;
  vector[1] = BigInt(length);
  return outcome(preadv2(nr.preadv2, fd, vector, 1, 0, 0, RWF_NOWAIT));
};

const copied = (length: number): Uint8Array => Buffer.from(content.bytes.subarray(0, length));

const rest = createRest();

interface Look {
  ground: Ground;
  actor: Actor | undefined;
  key: string;
  inline: number | undefined;
  resolve(opened: Opened | undefined): void;
  reject(error: unknown): void;
}
let waiting: Look[] = [];

/**
 * As `headObject` and `openObject` of the workers, of what needs no more than a look; undefined for all else, also when nothing
 * is there or it may not be read: then ask a worker. Requests that go on in one turn look together (`turn.ts`): to become
 * another costs as much as the rest.
 * @param inline as for `openObject`; undefined: nothing is to be read, and nothing stays open
 */
export const lookCached = (
  ground: Ground,
  actor: Actor | undefined,
  key: string,
  inline: number | undefined,
): Promise<Opened | undefined> => {
  if (ground.shared || ground.sidecars || key.endsWith('/') || rest.resting) return nothing;
  return new Promise((resolve, reject) => {
    // Behind all that goes on in this turn without waiting.
    if (waiting.push({ ground, actor, key, inline, resolve, reject }) === 1) process.nextTick(lookAll);
  });
};
const nothing = Promise.resolve(undefined);

const lookAll = (): void => {
  let left = waiting;
  waiting = [];
  while (left.length > 0) {
    const { actor, ground } = left[0]!;
    const alike: Look[] = [];
    const others: Look[] = [];
    for (const one of left) (one.actor === actor && one.ground.path === ground.path ? alike : others).push(one);
    try {
      rest.during(() => as(actor, () => lookIn(ground.path, alike)));
    } catch (error) {
      // As whoever it was to be, that was refused: a worker says so to each.
      for (const { resolve, reject } of alike) isErrno(error) ? resolve(undefined) : reject(error);
    }
    left = others;
  }
};

const lookIn = (path: string, looks: readonly Look[]): void => {
  const bucket = openCached(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  try {
    for (const { key, inline, resolve, reject } of looks) {
      try {
        resolve(bucket < 0 ? undefined : look(bucket, key, inline));
      } catch (error) {
        if (isErrno(error)) resolve(undefined);
        else reject(error);
      }
    }
  } finally {
    if (bucket >= 0) close(bucket);
  }
};

const look = (bucket: number, key: string, inline: number | undefined): Opened | undefined => {
  // What is mounted below may be no local filesystem: whether it is, is known of a moment ago.
  const fd = openCached(bucket, key, O_RDONLY | O_NONBLOCK, RESOLVE_INSIDE | RESOLVE_NO_XDEV);
  if (fd < 0) return undefined;
  let kept = false;
  try {
    const opened = examine(fd, key, inline);
    kept = opened?.fd === fd;
    return opened;
  } finally {
    if (!kept) close(fd);
  }
};

/** A file with a record that holds for its status. */
interface Recorded {
  stat: Stat;
  lastModified: number;
  meta: ObjectMeta;
}

/** Those that were looked at here. */
const records = createKnown<Recorded>();
/** Longer records are not worth their place. Bytes. */
const SHORT = 1024;

/** An open file as it was seen just now; undefined where a worker has to look. */
const recordOf = (fd: number): Recorded | undefined => {
  const stat = seenStat();
  if (!isFile(stat) || stat.nlink === 0) return undefined;
  const seen = sight();
  const value = readAttribute(fd);
  const packed = typeof value === 'number' ? undefined : decode(value);
  if (!packed?.meta || packed.overflow || packed.meta.etag === '') return undefined;
  if (judge(packed.stamp, stat) !== 'whole') return undefined;
  const recorded = { stat, lastModified: milliseconds(stat.mtimeNs), meta: packed.meta };
  if (seen && (value as Buffer).length <= SHORT) {
    freeze(packed.meta);
    records.remember(seen, recorded);
  }
  return recorded;
};

/** So many bytes are read before it is known how long the file is. */
const EARLY = 4096;
/** The last file was not longer. Of a long one that is not in memory a disk would be asked for bytes that nobody may want. */
let short = true;

const examine = (fd: number, key: string, inline: number | undefined): Opened | undefined => {
  // Before the status: when that is a known one, nobody has written before it was seen (he sets the ctime first), and these bytes
  // are those that the record speaks of. That saves the second look at a short file.
  const early = inline !== undefined && short ? readCached(fd, Math.min(EARLY, inline)) : undefined;
  records.lookAtOpen(fd);
  const known = records.recall();
  const recorded = known ?? recordOf(fd);
  if (!recorded) return undefined;
  const { stat, lastModified, meta } = recorded;
  const { size, mtimeNs, ctimeNs, nlink } = stat;
  const info = { key, size, lastModified, meta };
  if (inline === undefined) return { info, fd: -1 };
  short = size <= EARLY;
  if (known && size === early) return { info, fd: -1, bytes: copied(size) };
  const seen = { etag: meta.etag, digest: true, size, mtimeNs, ctimeNs, nlink };
  if (size > inline) return { info, fd, seen };
  // Who has to wait, or to look again, is a worker: so it is for all on a filesystem that cannot be told not to wait (tmpfs).
  const ready = (early === undefined || early >= 0) && size <= MOST;
  const whole = ready && readCached(fd, size) === size && isUnchanged(fd, seen, 0);
  return whole ? { info, fd: -1, bytes: copied(size) } : undefined;
};

let able: boolean | undefined;

/** Whether the kernel can be told not to wait (since 5.12; a sandbox may forbid it). */
export const canLookCached = (): boolean => {
  if (able === undefined) {
    const fd = openCached(AT_FDCWD, '/', O_PATH | O_DIRECTORY, 0);
    able = fd >= 0 || fd === -E.EAGAIN;
    if (fd >= 0) close(fd);
  }
  return able;
};
