/** How finely a filesystem's clock ticks: two changes within one tick leave the same times behind. */
import { isOfLocal } from './mounts.js';
import { type BucketDir, randomName } from './paths.js';
import {
  clockGettime,
  close,
  fstat,
  futimens,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  openat2,
  RESOLVE_INSIDE,
  type Stat,
  tryUnlinkat,
} from './syscalls.js';

const SECOND = 1_000_000_000n;
/** The slowest tick of Linux (HZ = 100), assumed where it cannot be measured. */
export const COARSE = 10_000_000n;
/** Measured ticks by filesystem, in ns; 0 where every look gets a time of its own (multigrain, Linux 6.13). */
const ticks = new Map<number, bigint>();

/**
 * What changed so recently when it was read may change again without its times showing it ("racily clean"): 1 s is the
 * coarsest granularity in use, another one allows for the clocks of file servers.
 */
export const SETTLED_MS = 2_000;

/** After so many milliseconds a file's next change shows in its ctime. On a disk of this machine that is known better. */
export const settledAfter = (dev: number): number => {
  const tick = isOfLocal(dev) ? ticks.get(dev) : undefined;
  return tick === undefined ? SETTLED_MS : Number((2n * tick) / 1_000_000n);
};

export const knownTick = (dev: number): bigint | undefined => ticks.get(dev);

/** Nanoseconds, measured once with this file, of which nobody else knows yet. Takes 25 ms, or up to 500 on a machine that is busy. */
export const tickOf = (fd: number, dev: number): bigint => {
  let tick = ticks.get(dev);
  if (tick === undefined) ticks.set(dev, (tick = measure(fd)));
  return tick;
};

const measure = (fd: number): bigint => {
  let { ctimeNs: last, mtimeNs } = fstat(fd);
  let smallest = SECOND;
  const begun = performance.now();
  // A few looks of a busy machine prove nothing, however long they took: between two of them many ticks may pass.
  const enough = (looks: number): boolean => performance.now() - begun > (looks < 64 ? 500 : 25);
  for (let [looks, changes] = [0, 0]; changes < 3 && !enough(looks); looks++) {
    futimens(fd, mtimeNs);
    const { ctimeNs } = fstat(fd);
    if (ctimeNs === last) continue;
    // Differences of ticks are whole ticks of 1 ms or more.
    if (ctimeNs - last < 500_000n) return 0n;
    if (ctimeNs - last < smallest) smallest = ctimeNs - last;
    last = ctimeNs;
    if (looks > 16) changes++;
  }
  // A second is what a filesystem keeps that shows no change at all.
  return smallest;
};

/** Nearly all files of a listing are not hot, which is told at the price of no system call. @param ms of the ctime */
export const isLongAgo = (ms: number): boolean => Date.now() - ms > 5_000;

/**
 * Whether a further write could leave the very times of this stat behind, so that no validator can be made of them yet.
 */
export const isHot = (bucket: BucketDir, stat: Stat): boolean => {
  if (isLongAgo(Number(stat.ctimeNs / 1_000_000n))) return false;
  const age = clockGettime() - stat.ctimeNs;
  if (age > 3n * SECOND) return false;
  const tick = tickFor(bucket, stat.dev);
  return tick > 0n && age < 2n * tick;
};

/** Nanoseconds, for a file that others know. */
export const tickFor = (bucket: BucketDir, dev: number): bigint =>
  ticks.get(dev) ?? (dev === bucket.dev() ? measureIn(bucket, dev) : undefined) ?? COARSE;

/** How far a filesystem's clock is from ours, in ns, and until when that holds (`performance.now()`). */
const offsets = new Map<number, { ns: bigint; until: number }>();
const OFFSET_MS = 10_000;

/** Nanoseconds since the epoch by the clock that stamps the files: a file server's may differ from ours. */
export const filesystemNow = (bucket: BucketDir, dev: number): bigint => {
  const known = offsets.get(dev);
  if (known && performance.now() < known.until) return clockGettime() + known.ns;
  const ns = (dev === bucket.dev() ? inStaging(bucket, (fd) => fstat(fd).ctimeNs - clockGettime()) : undefined) ?? 0n;
  offsets.set(dev, { ns, until: performance.now() + OFFSET_MS });
  return clockGettime() + ns;
};

const measureIn = (bucket: BucketDir, dev: number): bigint | undefined => inStaging(bucket, (fd) => tickOf(fd, dev));

/** Looks at a new file that nobody knows of; undefined for whoever may only read. */
const inStaging = (bucket: BucketDir, look: (fd: number) => bigint): bigint | undefined => {
  try {
    const directory = bucket.area('staging');
    const name = randomName();
    const fd = openat2(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600, RESOLVE_INSIDE);
    tryUnlinkat(directory, name);
    try {
      return look(fd);
    } finally {
      close(fd);
    }
  } catch {
    return undefined;
  }
};
