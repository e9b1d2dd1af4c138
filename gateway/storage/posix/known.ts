/**
 * What this thread found out about files and directories, by the status that these had then. As long as a look shows that very
 * status, it holds, and neither the attribute nor the entries are read again: storing an attribute, changing the entries of a
 * directory, its owner or its permissions all set the ctime.
 */
import { settledAfter } from './clock.js';
import { actingAs, actingNumber } from './identity.js';
import { AT_STATX_FORCE_SYNC, S_IFMT, S_IFREG } from './linux.js';
import { isOfLocal } from './mounts.js';
import { foundPlain, type Times, timesFound } from './plain.js';
import { lookAt, lookAtOpen, type Stat, seenDev, seenStat, seenWords, WORD } from './status.js';

/** The words of a status that are compared. */
const words = [
  ...[WORD.ino, WORD.ino + 1, WORD.ctimeNs, WORD.ctime, WORD.ctime + 1],
  ...[WORD.mtimeNs, WORD.mtime, WORD.mtime + 1, WORD.size, WORD.size + 1],
  ...[WORD.mode, WORD.dev, WORD.dev + 1],
];
/** And in front of them, as whom it was found out: another may not be allowed to read the attribute, or the directory. */
const width = words.length + 1;

/** Files and directories beyond these take each other's places. A few MiB for each table, which is made when it is first needed. */
const slots = 1 << 14;

/** A status, and as whom it was seen. */
export type Sight = Uint32Array;

/** What was seen of something that is open, and is known of it. */
export interface Look<T> {
  stat: Stat;
  known: T | undefined;
  /** To `remember` more of it. */
  seen: Sight | undefined;
}

export interface Known<T> {
  /** As `lookAt`, for `recall` and `recallPlain`. */
  lookFor(directory: number, name: string): boolean;
  /** The same of something that is open. */
  lookAtOpen(fd: number): void;
  lookForOpen(fd: number): Look<T>;
  /** What is known of what `lookFor` or `lookAtOpen` saw last; undefined: nothing. */
  recall(): T | undefined;
  /** How often what `lookFor` saw last was found to be a file without a record. */
  recallPlain(): Times;
  remember(seen: Sight, value: T): void;
  /** Of what `lookFor` saw last: nothing else may have been looked at since. */
  rememberSeen(value: T): void;
  /** The same, of a file without a record. */
  rememberPlain(): void;
}

/**
 * An inode has two places. Files made together have numbers in a row, which take a row of places, and the same low bits in each
 * group of a filesystem's blocks: where two rows meet, the second place is any.
 */
const slotOf = (ino: number, mixed: number): number =>
  (ino ^ (Math.imul((ino >>> 12) ^ mixed, 0x9e3779b1) >>> 18)) & (slots - 1);
const otherOf = (ino: number, mixed: number): number => Math.imul(ino ^ mixed, 0x9e3779b1) >>> 18;
const mix = (high: number, dev: number): number => Math.imul(high ^ dev, 0x85ebca6b);

const [inoAt, devAt] = [1 + words.indexOf(WORD.ino), 1 + words.indexOf(WORD.dev + 1)];

/** A table of what one user of this module knows: what another finds out of the same file is something else. */
export const createKnown = <T>(): Known<T> => {
  let table: Uint32Array | undefined;
  const values: (T | undefined)[] = [];
  let found = -1;
  /** Of what was seen last, if it is a file of which nothing else is known. */
  let plain: Times = 0;

  /** Where what was seen last is. */
  const find = (): number => {
    if (!table) return -1;
    const ino = seenWords[WORD.ino]!;
    const mixed = mix(seenWords[WORD.ino + 1]!, seenWords[WORD.dev + 1]!);
    const first = slotOf(ino, mixed);
    if (holds(table, first)) return first;
    const other = otherOf(ino, mixed);
    return holds(table, other) ? other : -1;
  };

  const search = (): void => {
    found = find();
    const isFile = (seenWords[WORD.mode]! & S_IFMT) === S_IFREG;
    plain = found < 0 && isFile ? timesFound(seenWords, words, actingAs()) : 0;
  };

  const remember = (seen: Sight, value: T): void => {
    table ??= new Uint32Array(slots * width);
    while (values.length < slots) values.push(undefined);
    const known = table;
    const ino = seen[inoAt]!;
    const mixed = mix(seen[inoAt + 1]!, seen[devAt]!);
    // Its own place, if it has one, else one that is free.
    const taken = (slot: number) => values[slot] !== undefined && known[slot * width + inoAt] !== ino;
    const [first, other] = [slotOf(ino, mixed), otherOf(ino, mixed)];
    const slot = taken(first) && !taken(other) ? other : first;
    known.set(seen, slot * width);
    values[slot] = value;
  };

  const recall = (): T | undefined => (found < 0 ? undefined : values[found]);

  const lookInto = (fd: number): void => {
    [found, plain] = [-1, 0];
    lookAtOpen(fd);
    found = find();
    if (found < 0 || isOfLocal(seenDev())) return;
    found = -1;
    lookAtOpen(fd, AT_STATX_FORCE_SYNC);
    found = find();
  };

  return {
    lookFor: (directory, name) => {
      [found, plain] = [-1, 0];
      if (!lookAt(directory, name)) return false;
      search();
      if ((found < 0 && plain === 0) || isOfLocal(seenDev())) return true;
      // What a network filesystem remembers must not vouch for what we remember.
      [found, plain] = [-1, 0];
      if (!lookAt(directory, name, AT_STATX_FORCE_SYNC)) return false;
      search();
      return true;
    },
    lookAtOpen: lookInto,
    lookForOpen: (fd) => {
      lookInto(fd);
      return { stat: seenStat(), known: recall(), seen: sight() };
    },
    recall,
    recallPlain: () => plain,
    remember,
    rememberSeen: (value) => remember(fill(scratch), value),
    rememberPlain: () => foundPlain(plain === 0 ? 1 : 2),
  };
};

const holds = (table: Uint32Array, slot: number): boolean => {
  let at = slot * width;
  if (table[at++] !== actingNumber()) return false;
  for (let i = 0; i < words.length; i++) if (table[at++] !== seenWords[words[i]!]) return false;
  return true;
};

/** Whether what was seen last changed so long ago that it can be remembered. To be asked for before more is read. */
export const hasSettled = (): boolean => {
  const ms = (seenWords[WORD.ctime]! + seenWords[WORD.ctime + 1]! * 2 ** 32) * 1000 + seenWords[WORD.ctimeNs]! / 1e6;
  // The year 1969, as 64 bits without a sign, is in the far future.
  return Date.now() - ms > settledAfter(seenDev());
};

/** What was seen last, to `remember` something about it; undefined when it has changed too recently for that. */
export const sight = (): Sight | undefined => (hasSettled() ? fill(new Uint32Array(width)) : undefined);

const fill = (seen: Sight): Sight => {
  seen[0] = actingNumber();
  for (let i = 0; i < words.length; i++) seen[i + 1] = seenWords[words[i]!]!;
  return seen;
};

/** What was seen last, without memory of its own. */
const scratch: Sight = new Uint32Array(width);
