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
import {
  AT_STATX_FORCE_SYNC,
  AT_SYMLINK_NOFOLLOW,
  DT_DIR,
  DT_REG,
  DT_UNKNOWN,
  fstat,
  getdents64,
  isErrno,
  parseEntries,
  rawPath,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Stat,
  tryStatat,
} from './syscalls.js';

/** A sorted stretch of a directory: every item >= `from`, up to the last one here, or to the end when `complete`. */
export interface Names {
  items: string[];
  from: string;
  complete: boolean;
  /** Roughly what they take in memory. */
  bytes: number;
}

/** A directory whose names take more than this is sorted in stretches of about half of it, in bytes. */
export const stretchBytes = 24 << 20;
const cacheBytes = 32 << 20;
/** What a string and its place in an array take beside its characters. */
const overhead = 32;
/** What a stretch takes in the cache beside its names. */
const perStretch = 400;

const buffer = Buffer.allocUnsafeSlow(256 << 10);
/** By directory and its times, oldest use first. */
const cache = new Map<string, Names[]>();
let cached = 0;

/**
 * The items of an open directory from `from` on (inclusive), as many as fit, two at least. `fd` must stand at its
 * beginning.
 * @param before its status, if it was looked at a moment ago
 */
export function namesFrom(fd: number, from: string, limit = stretchBytes, before?: Stat): Names {
  let stat = before ?? fstat(fd);
  let key = keyOf(stat);
  if (cache.has(key) && !isOfLocal(stat.dev)) {
    stat = fstat(fd, AT_STATX_FORCE_SYNC);
    key = keyOf(stat);
  }
  const known = cache.get(key)?.find((names) => covers(names, from));
  if (known) {
    const all = cache.get(key)!;
    cache.delete(key);
    cache.set(key, all);
    return known;
  }
  const now = Date.now();
  const { names, refused } = read(fd, from, limit);
  if (!refused && now - Number(stat.ctimeNs / 1_000_000n) > settledAfter(stat.dev)) keep(key, names);
  return names;
}

const keyOf = ({ dev, ino, mtimeNs, ctimeNs }: Stat): string => `${dev}:${ino}:${mtimeNs}:${ctimeNs}`;

/** Beyond `wanted` too: whoever has come to the end of a stretch asks for what follows its last item. */
const covers = ({ from, items, complete }: Names, wanted: string) =>
  from <= wanted && (complete || wanted < items.at(-1)!);

function keep(key: string, names: Names): void {
  const all = cache.get(key) ?? [];
  cache.delete(key);
  cache.set(key, [...all, names]);
  cached += names.bytes;
  for (const [oldest, stretches] of cache) {
    if (cached <= cacheBytes) break;
    // The oldest stretch of the directory used longest ago.
    cached -= stretches.shift()!.bytes;
    if (stretches.length === 0) cache.delete(oldest);
  }
}

/**
 * Every entry passes here once; those that are among the smallest behind `from` stay.
 * @returns `refused`: some were left out that others may be allowed to look at
 */
function read(fd: number, from: string, limit: number): { names: Names; refused: boolean } {
  let refused = false;
  let items: string[] = [];
  let bytes = 0;
  let floor = '';
  let ceiling: string | undefined;

  const weigh = () => {
    bytes = 0;
    for (const item of items) bytes += item.length + overhead;
  };
  const shrink = () => {
    if (floor !== from) {
      // Not the whole directory, then: what lies before the point asked for goes first.
      floor = from;
      items = items.filter((item) => item >= floor);
      weigh();
      if (bytes <= limit / 2) return;
    }
    items.sort();
    let kept = 0;
    for (let size = 0; kept < items.length && (kept < 2 || size <= limit / 2); kept++) {
      size += items[kept]!.length + overhead;
    }
    if (kept === items.length) return;
    items.length = kept;
    ceiling = items.at(-1)!;
    weigh();
  };

  // Most names of a large directory are outside of the stretch: told by their bytes, without a string for each.
  const outside = (start: number, end: number): boolean =>
    isBelow(floor, start, end) || (ceiling !== undefined && isAbove(ceiling, start, end));
  const take = (name: string, type: number): void => {
    const item = itemOf(fd, name, type, () => (refused = true));
    if (item === undefined || item < floor || (ceiling !== undefined && item > ceiling)) return;
    items.push(item);
    bytes += item.length + overhead;
    if (bytes > limit) shrink();
  };
  for (let used: number; (used = getdents64(fd, buffer)) > 0; ) parseEntries(buffer, used, take, outside);
  items.sort();
  const names = { items, from: floor, complete: ceiling === undefined, bytes: bytes + perStretch };
  return { names, refused };
}

/** Whether a name and all items made of it are smaller. */
const isBelow = (limit: string, start: number, end: number): boolean => {
  const length = Math.min(limit.length, end - start);
  for (let i = 0; i < length; i++) {
    const difference = buffer[start + i]! - limit.charCodeAt(i);
    if (difference !== 0) return difference < 0;
  }
  return false;
};

const isAbove = (limit: string, start: number, end: number): boolean => {
  const length = Math.min(limit.length, end - start);
  for (let i = 0; i < length; i++) {
    const difference = buffer[start + i]! - limit.charCodeAt(i);
    if (difference !== 0) return difference > 0;
  }
  return end - start > limit.length;
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
