/**
 * What this thread's listings found out about files and directories, by the status that these had then. As long as a look
 * shows that very status, it holds, and neither the attribute nor the entries are read again: storing an attribute, changing
 * the entries of a directory, its owner or its permissions all set the ctime.
 */
import { actingNumber } from './identity.js';
import { seenWords, WORD } from './status.js';

/**
 * What changed so recently when it was read may change again without its times showing it ("racily clean"): 1 s is the
 * coarsest granularity in use, another one allows for the clocks of file servers.
 */
export const SETTLED_MS = 2_000;

/** The words of a status that are compared. */
const words = [
  ...[WORD.ino, WORD.ino + 1, WORD.ctimeNs, WORD.ctime, WORD.ctime + 1],
  ...[WORD.mtimeNs, WORD.mtime, WORD.mtime + 1, WORD.size, WORD.size + 1],
  ...[WORD.mode, WORD.dev, WORD.dev + 1],
];
/** And in front of them, as whom it was found out: another may not be allowed to read the attribute, or the directory. */
const width = words.length + 1;

/** Files beyond these take each other's places. A few MiB for each thread. */
const slots = 1 << 14;
const table = new Uint32Array(slots * width);
const values: unknown[] = [];

/** A status, and as whom it was seen. */
export type Sight = Uint32Array;

const slotOf = (ino: number, dev: number): number => (ino ^ Math.imul(dev, 0x9e3779b1)) & (slots - 1);

/** What is known of what `lookAt` or `fstat` saw last; undefined: nothing. */
export const recall = (): unknown => {
  const slot = slotOf(seenWords[WORD.ino]!, seenWords[WORD.dev + 1]!);
  let at = slot * width;
  if (table[at++] !== actingNumber()) return undefined;
  for (let i = 0; i < words.length; i++) if (table[at++] !== seenWords[words[i]!]) return undefined;
  return values[slot];
};

/**
 * What `lookAt` or `fstat` saw last, to `remember` something about it; undefined when it has changed too recently for that.
 * To be asked for before what shall be remembered is read.
 */
export const sight = (): Sight | undefined => {
  const ms = (seenWords[WORD.ctime]! + seenWords[WORD.ctime + 1]! * 2 ** 32) * 1000 + seenWords[WORD.ctimeNs]! / 1e6;
  // The year 1969, as 64 bits without a sign, is in the far future.
  if (!(Date.now() - ms > SETTLED_MS)) return undefined;
  const seen = new Uint32Array(width);
  seen[0] = actingNumber();
  for (let i = 0; i < words.length; i++) seen[i + 1] = seenWords[words[i]!]!;
  return seen;
};

export const remember = (seen: Sight, value: unknown): void => {
  const slot = slotOf(seen[1 + words.indexOf(WORD.ino)]!, seen[1 + words.indexOf(WORD.dev + 1)]!);
  while (values.length < slots) values.push(undefined);
  table.set(seen, slot * width);
  values[slot] = value;
};
