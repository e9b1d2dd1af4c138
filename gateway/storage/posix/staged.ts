/** Files that are written aside: opened, stamped with their metadata, given a name. What `publish.ts` is made of. */

import type { Saved } from '../../../acl/metadata/files.js';
import type { Stamp } from '../../../acl/metadata/stamp.js';
import { saveRecord } from '../../../acl/metadata/store.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import type { ObjectInfo } from '../types.js';
import { COARSE, knownTick, tickOf } from './clock.js';
import { isOfLocal } from './mounts.js';
import { type BucketDir, machine, randomName } from './paths.js';
import {
  close,
  E,
  fstat,
  futimens,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  openat2,
  RENAME_NOREPLACE,
  RESOLVE_INSIDE,
  type Stat,
  touch,
  tryFlock,
  tryLinkat,
  tryRenameat2,
  tryUnlinkat,
} from './syscalls.js';

/** A file that is being written. `fd` is -1 once it is published or discarded. */
export interface Staged {
  fd: number;
  /** In `staging/`. */
  name: string;
}

export interface Published {
  info: ObjectInfo;
  /** `process.hrtime.bigint()` from which on success may be told, see `stampFile`. */
  settled: bigint;
}

/** Opens a new file aside. Its lock tells reapers that somebody is at work on it, as long as it is open. */
export const stage = (bucket: BucketDir): Staged => {
  const name = machine + randomName().slice(machine.length);
  const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
  const fd = openat2(bucket.area('staging'), name, flags, bucket.ground.fileMode, RESOLVE_INSIDE);
  try {
    tryFlock(fd);
  } catch {
    // A filesystem without flock: reapers go by the age alone.
  }
  return { fd, name };
};

/** Throws a staged file away. Does nothing when it was published. */
export const discard = (bucket: BucketDir, staged: Staged): void => {
  if (staged.fd < 0) return;
  close(staged.fd);
  staged.fd = -1;
  tryUnlinkat(bucket.area('staging'), staged.name);
};

/** Gives a file its name; with `exclusive` only when there is none (EEXIST). Returns 0 or -errno. */
export const moveInto = (
  fromDirectory: number,
  from: string,
  toDirectory: number,
  to: string,
  exclusive: boolean,
): number => {
  const result = tryRenameat2(fromDirectory, from, toDirectory, to, exclusive ? RENAME_NOREPLACE : 0);
  // NFS and others know no flags: a link is create-only everywhere.
  if (!exclusive || (result !== -E.EINVAL && result !== -E.ENOSYS)) return result;
  const linked = tryLinkat(fromDirectory, from, toDirectory, to);
  if (linked === 0) tryUnlinkat(fromDirectory, from);
  // FAT knows no links either. The lock keeps other gateways away, and the caller has looked.
  else if (linked === -E.EPERM || linked === -E.EOPNOTSUPP) return tryRenameat2(fromDirectory, from, toDirectory, to);
  return linked;
};

// ---- the stamp ---------------------------------------------------------------------------------------------------

export interface StampedFile {
  stat: Stat;
  /** After the last change of ours: looks whether the ctime is within the bound, stamps again if not. Returns `settled`. */
  settle(): bigint;
  undo(): void;
}

/**
 * How much later than the stamp our last change may come, in ns: too little costs another stamp, too much makes success
 * wait to be told. By filesystem, after what the last publish took.
 */
const slacks = new Map<number, bigint>();
const [LEAST_SLACK, MOST_SLACK] = [30_000n, 20_000_000n];
/**
 * The most of it on local disks where every look gets a time of its own: another stamp costs little there, and success waits
 * until a bound that lies further ahead has passed. On a network filesystem it takes milliseconds, in which readers meet a record that
 * does not hold.
 */
const FINE_SLACK = 300_000n;
const isFine = (tick: bigint, dev: number): boolean => tick === 0n && isOfLocal(dev);
/** What `stampFile` and others that stamp allow for, see `slacks`. */
export const slackOf = (dev: number): bigint => slacks.get(dev) ?? LEAST_SLACK;
const learn = (dev: number, taken: bigint): void => {
  const slack = 2n * taken;
  slacks.set(dev, slack < LEAST_SLACK ? LEAST_SLACK : slack > MOST_SLACK ? MOST_SLACK : slack);
};

/**
 * Stores metadata and fingerprint on a file that nobody else knows of yet.
 *
 * Any later write must be seen from its times. Its mtime: ours is set behind the filesystem's clock, so also a write
 * within the same tick gives another one. If the writer puts that back (`touch -r`), its ctime: it is later than the
 * bound once the filesystem's clock has passed the bound, so success is told only then. Between the rename and that
 * moment nobody knows that there is a new object. On filesystems that keep whole seconds there is no waiting: there the
 * mtime guards against plain writes alone.
 */
export const stampFile = (bucket: BucketDir, fd: number, meta: ObjectMeta): StampedFile => {
  let before = fstat(fd);
  const known = knownTick(before.dev);
  const tick = known ?? tickOf(fd, before.dev);
  if (known === undefined) before = fstat(fd);
  let stat = before;
  for (const back of [1_000n, 1_000_000n, 1_000_000_000n, 2_000_000_000n]) {
    // Filesystems keep nanoseconds, microseconds, seconds or (FAT) two.
    futimens(fd, before.ctimeNs - back);
    stat = fstat(fd);
    if (stat.mtimeNs < before.ctimeNs) break;
  }
  const { size, mtimeNs, ino } = stat;
  const slack = slackOf(stat.dev);
  const stamp: Stamp = {
    size,
    mtimeNs,
    ino,
    bound: stat.ctimeNs + (isFine(tick, stat.dev) && slack > FINE_SLACK ? FINE_SLACK : slack),
  };
  const saved = saveRecord(bucket, fd, stat, { stamp, meta });
  return { stat, undo: saved.undo, settle: () => settle(bucket, fd, saved, stamp, tick, stat.ctimeNs) };
};

/**
 * Raises the bound until it is not before the ctime. The size and mtime in the stamp stay those of our own content,
 * whatever the file has become meanwhile.
 */
export const settle = (
  bucket: BucketDir,
  fd: number,
  saved: Saved,
  stamp: Stamp,
  tick: bigint,
  stampedNs?: bigint,
): bigint => {
  let { bound } = stamp;
  const { ctimeNs: first, dev } = fstat(fd);
  let ctimeNs = first;
  if (stampedNs !== undefined) learn(dev, ctimeNs - stampedNs);
  // What came in between, a rename that flushes what it replaces, does not come again.
  for (
    let slack = isFine(tick, dev) ? LEAST_SLACK : slackOf(dev);
    ctimeNs > bound && slack < 4_000_000_000n;
    slack *= 4n
  ) {
    bound = ctimeNs + slack;
    saved.restamp({ ...stamp, bound });
    ({ ctimeNs } = fstat(fd));
  }
  const now = process.hrtime.bigint();
  if (tick === 0n) return hasPassed(bucket, dev, bound) ? now : now + (bound - ctimeNs) + COARSE;
  // The ctime was the filesystem's clock at some time before now.
  return tick > 20_000_000n ? now : now + (bound - ctimeNs) + tick + 1n;
};

/**
 * Whether every change from now on gets a later time than this one. Multigrain clocks give fine times only where they must:
 * a change may be given the last tick, or the finest time that was handed out for any file, so it is not enough that the
 * moment has passed. It must have been handed out.
 */
const hasPassed = ({ held, asKeeper }: BucketDir, dev: number, time: bigint): boolean => {
  if (held === undefined || fstat(held).dev !== dev) return false;
  // Whoever has to wait otherwise waits for ten milliseconds.
  for (const end = performance.now() + 1; performance.now() < end; ) {
    asKeeper(() => touch(held));
    if (fstat(held).ctimeNs > time) return true;
  }
  return false;
};
