/**
 * The names of one directory in the order that their keys have, from any point on, within bounded memory.
 *
 * A name here is an "item": the bytes as a latin1 string, directories with a `/` at the end, because that is how they
 * sort among keys (`a!` and `a.txt` come before `a/x`). What can be no part of a key is left out.
 */
import { isUtf8 } from 'node:buffer';
import { maxSegmentBytes, reservedSegment } from '../keys.js';
import { settledAfter } from './clock.js';
import { isOfLocal } from './mounts.js';
import { createNameBag, type PackedNames } from './packed.js';
import {
  AT_STATX_FORCE_SYNC,
  AT_SYMLINK_NOFOLLOW,
  DT_DIR,
  DT_REG,
  DT_UNKNOWN,
  ENTRY_NAME,
  ENTRY_TYPE,
  fstat,
  getdents64,
  isErrno,
  nextEntry,
  rawPath,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Stat,
  tryStatat,
} from './syscalls.js';

/** A sorted stretch of a directory: every item >= `from`, up to the last one here, or to the end when `complete`. */
export interface Names {
  items: PackedNames;
  from: string;
  complete: boolean;
}

/** A directory whose names take more than this is sorted in stretches of about half of it, in bytes. */
export const stretchBytes = 24 << 20;
/** The largest stretch fits: else each page of its directory would read all of it again. So do those of 10,000 directories. */
export const cacheBytes = 48 << 20;
/** What a stretch takes in the cache beside its names, as measured: objects, and memory of its own. */
export const perStretch = 2_500;
/**
 * Of a directory with twice as many names so many are got at first: most who look into it want to see a page, and there is room
 * for some that are no objects. A fresh gateway, whose code is not compiled yet, feels each that it picks up and drops again.
 */
const few = 1280;

const buffer = Buffer.allocUnsafeSlow(256 << 10);
/** The names of a directory as it was at some time. */
interface Directory {
  /** Its mtime and ctime, of which one at least moves when its names change. */
  times: string;
  stretches: Names[];
}

/** By the directory's device and inode, oldest use first. */
const cache = new Map<string, Directory>();
let cached = 0;

/**
 * The items of an open directory from `from` on (inclusive), as many as fit, two at least. `fd` must stand at its
 * beginning.
 * @param before its status, if it was looked at a moment ago
 * @param more whoever asks has read on from an earlier stretch
 */
export function namesFrom(fd: number, from: string, limit = stretchBytes, before?: Stat, more = false): Names {
  let stat = before ?? fstat(fd);
  const id = `${stat.dev}:${stat.ino}`;
  let directory = lookUp(id, stat);
  if (directory && !isOfLocal(stat.dev)) {
    stat = fstat(fd, AT_STATX_FORCE_SYNC);
    directory = lookUp(id, stat);
  }
  const stretch = directory?.stretches.find((names) => covers(names, from));
  if (stretch) {
    cache.delete(id);
    cache.set(id, directory!);
    return stretch;
  }
  const now = Date.now();
  const { names, refused } = read(fd, from, limit, more || directory ? Number.POSITIVE_INFINITY : few);
  if (!refused && now - Number(stat.ctimeNs / 1_000_000n) > settledAfter(stat.dev)) keep(id, timesOf(stat), names);
  return names;
}

const timesOf = ({ mtimeNs, ctimeNs }: Stat): string => `${mtimeNs}:${ctimeNs}`;

/** What is cached of a directory; what it was before is forgotten. */
function lookUp(id: string, stat: Stat): Directory | undefined {
  const directory = cache.get(id);
  if (!directory || directory.times === timesOf(stat)) return directory;
  forget(id, directory);
  return undefined;
}

function forget(id: string, { stretches }: Directory): void {
  cache.delete(id);
  for (const names of stretches) cached -= weigh(names);
}

/** Beyond `wanted` too: whoever has come to the end of a stretch asks for what follows its last item. */
const covers = ({ from, items, complete }: Names, wanted: string) =>
  from <= wanted && (complete || wanted < items.at(items.count - 1));

const weigh = ({ items }: Names): number => items.bytes + perStretch;

function keep(id: string, times: string, names: Names): void {
  // What lies within another stretch is not needed beside it.
  const stretches = (cache.get(id)?.stretches ?? []).filter((other) => {
    const within = names.complete && names.from <= other.from;
    if (within) cached -= weigh(other);
    return !within;
  });
  cache.delete(id);
  cache.set(id, { times, stretches: [...stretches, names] });
  cached += weigh(names);
  for (const [oldest, directory] of cache) {
    if (cached <= cacheBytes) break;
    // The oldest stretch of the directory used longest ago.
    cached -= weigh(directory.stretches.shift()!);
    if (directory.stretches.length === 0) cache.delete(oldest);
  }
}

/**
 * Every entry passes here once; those that are among the smallest behind `from` stay.
 * @param most so many items at most, when there are many more
 * @returns `refused`: some were left out that others may be allowed to look at
 */
function read(fd: number, from: string, limit: number, most: number): { names: Names; refused: boolean } {
  const bag = createNameBag();
  let refused = false;
  let floor = '';
  let ceiling: string | undefined;
  /** The same in bytes, for the many that are compared with them. */
  let [low, high]: (Buffer | undefined)[] = [];
  /** So many are sorted, to see which are the smallest. */
  const enough = 2 * most;

  const shrink = (): void => {
    if (floor !== from) {
      // Not the whole directory, then: what lies before the point asked for goes first.
      floor = from;
      low = rawPath(floor);
      bag.dropBelow(floor);
      if (bag.count < enough && bag.bytes <= limit / 2) return;
    }
    const before = bag.count;
    const last = bag.shrink(most, limit / 2);
    if (bag.count === before) return;
    ceiling = last;
    high = rawPath(last);
  };

  const take = (start: number, type: number): void => {
    let end = plainEnd(start);
    let slash = type === DT_DIR;
    if (end < 0 || (!slash && type !== DT_REG)) {
      end = buffer.indexOf(0, start);
      const item = itemOf(fd, buffer.toString('latin1', start, end), type, () => (refused = true));
      if (item === undefined) return;
      slash = item.endsWith('/');
    }
    // A directory may lie behind what its name alone does not: nothing else from there on is kept.
    if ((high && order(start, slash, high) > 0) || (low && order(start, slash, low) < 0)) return;
    bag.add(buffer, start, end - start, slash);
    if (bag.bytes > limit || bag.count >= enough) shrink();
  };
  for (let used: number; (used = getdents64(fd, buffer)) > 0; ) {
    for (let at = 0; (at = nextWithin(at, used, low, high)) < used; at = nextEntry(buffer, at)) {
      take(at + ENTRY_NAME, buffer[at + ENTRY_TYPE]!);
    }
  }
  return { names: { items: bag.sorted(), from: floor, complete: ceiling === undefined }, refused };
}

/**
 * Most names of a large directory are outside of the stretch: where the first entry is, from `at` on, whose item may lie in it.
 * A loop of its own, which V8 compiles before the first million has passed.
 */
const nextWithin = (from: number, used: number, low: Buffer | undefined, high: Buffer | undefined): number => {
  let at = from;
  for (; at < used; at = nextEntry(buffer, at)) {
    if (high && isAbove(high, at + ENTRY_NAME)) continue;
    if (low && isBelow(low, at + ENTRY_NAME)) continue;
    break;
  }
  return at;
};

/** Where a name in the buffer ends; negative when its bytes alone do not tell that it can be a segment of a key. */
const plainEnd = (start: number): number => {
  let end = start;
  for (let byte: number; (byte = buffer[end]!) !== 0; end++) if (byte >= 0x80) return -1;
  return buffer[start] === 0x2e || end - start > maxSegmentBytes ? -1 : end;
};

/** Whether a name in the buffer, and the item made of it, are smaller. */
const isBelow = (limit: Buffer, start: number): boolean => {
  for (let i = 0; i < limit.length; i++) {
    const byte = buffer[start + i]!;
    // One that has come to its end may be followed by a slash.
    if (byte !== limit[i]) return byte !== 0 && byte < limit[i]!;
  }
  return false;
};

const isAbove = (limit: Buffer, start: number): boolean => {
  for (let i = 0; i < limit.length; i++) {
    const byte = buffer[start + i]!;
    if (byte !== limit[i]) return byte > limit[i]!;
  }
  return buffer[start + limit.length] !== 0;
};

/** Negative, 0 or positive: the item made of a name in the buffer to another. */
const order = (start: number, slash: boolean, limit: Buffer): number => {
  for (let i = 0; i < limit.length; i++) {
    const byte = buffer[start + i]!;
    if (byte === 0) return slash ? 0x2f - limit[i]! || i + 1 - limit.length : -1;
    if (byte !== limit[i]) return byte - limit[i]!;
  }
  return buffer[start + limit.length] !== 0 || slash ? 1 : 0;
};

/**
 * The item of a directory entry; undefined for what is no object and holds none: links, FIFOs, sockets, devices, alien names.
 * @param refused called for what this user may not look at
 */
export function itemOf(fd: number, name: string, type: number, refused?: () => void): string | undefined {
  if (!isSegment(name)) return undefined;
  const known = type === DT_UNKNOWN ? typeOf(fd, name, refused) : type;
  if (known === DT_REG) return name;
  return known === DT_DIR ? `${name}/` : undefined;
}

/** Whether a name of the filesystem, or a piece of a key, can be a segment of a key. Bytes as latin1. */
export function isSegment(name: string): boolean {
  if (name === reservedSegment || name === '' || name === '.' || name === '..') return false;
  if (name.length > maxSegmentBytes || name.includes('\0')) return false;
  return !/[^\0-\x7f]/.test(name) || isUtf8(rawPath(name));
}

/** For filesystems whose directories do not tell. */
function typeOf(fd: number, name: string, refused?: () => void): number {
  let stat: Stat | undefined;
  try {
    stat = tryStatat(fd, rawPath(name), AT_SYMLINK_NOFOLLOW);
  } catch (error) {
    // A directory that may be read but not searched.
    if (!isErrno(error) || (error.code !== 'EACCES' && error.code !== 'ESTALE')) throw error;
    refused?.();
    return DT_UNKNOWN;
  }
  const kind = stat === undefined ? 0 : stat.mode & S_IFMT;
  if (kind === S_IFREG) return DT_REG;
  return kind === S_IFDIR ? DT_DIR : DT_UNKNOWN;
}
