/**
 * Files of jobs that were found to have no record, by a print of the status that they had then: all that a listing tells of such
 * a file is in its status, so that eight bytes are enough to remember it, and those of large buckets stay.
 */
import { randomBytes } from 'node:crypto';

/** 16 MiB for a process, where files of jobs are listed: of a million, nine in ten stay. */
const places = 1 << 21;
/** Nobody can make files on purpose whose prints are the same: they begin with secret words. */
const seedWords = 4;

/**
 * Of each place: two words, of which the last bit says that it was found twice. All threads have the same table. When two write
 * to a place at once, the words of two prints may stand in it: that is no file's print, as far as chance goes.
 */
const allocate = (): SharedArrayBuffer => {
  const memory = new SharedArrayBuffer((seedWords + places * 2) * 4);
  new Uint8Array(memory, 0, seedWords * 4).set(randomBytes(seedWords * 4));
  return memory;
};
let memory: SharedArrayBuffer | undefined;
let seeds: Uint32Array = new Uint32Array(0);
let table: Uint32Array = new Uint32Array(0);

/** The table of this process, for its threads. */
export const plainTable = (): SharedArrayBuffer => (memory ??= allocate());

/** To be called by a thread before it looks at anything. @param shared `plainTable` of the thread that started it */
export const usePlainTable = (shared: SharedArrayBuffer): void => {
  memory = shared;
  seeds = new Uint32Array(shared, 0, seedWords);
  table = new Uint32Array(shared, seedWords * 4);
};

/** As whom files were last found, and the words that this begins a print with. */
let [actor, actorUpper, actorLower]: [string | undefined, number, number] = [undefined, 0, 0];
const take = (as: string): void => {
  let [a, b] = [seeds[0]!, seeds[1]!];
  for (let i = 0; i < as.length; i++) {
    a = Math.imul(a ^ as.charCodeAt(i), seeds[2]! | 1);
    a ^= a >>> 15;
    b = Math.imul(((b << 13) | (b >>> 19)) + as.charCodeAt(i), seeds[3]! | 1);
    b ^= b >>> 16;
  }
  [actor, actorUpper, actorLower] = [as, a, b];
};

/** The print that was made last. */
let [upper, lower] = [0, 0];

/** How often a file of this status was found to be without a record: 0, 1, 2 (or more). */
export type Times = 0 | 1 | 2;

/** Makes the print of words, of which `wanted` are taken, and says what is known of it. @param as whom (`actingAs`) */
export function timesFound(words: Uint32Array, wanted: readonly number[], as: string): Times {
  if (table.length === 0) usePlainTable(plainTable());
  if (as !== actor) take(as);
  let [a, b] = [actorUpper, actorLower];
  for (let i = 0; i < wanted.length; i++) {
    const word = words[wanted[i]!]!;
    a = Math.imul(a ^ word, 0xcc9e2d51);
    a ^= a >>> 15;
    b = Math.imul(((b << 13) | (b >>> 19)) + word, 0x1b873593);
    b ^= b >>> 16;
  }
  a = Math.imul(a ^ (b >>> 7), 0x85ebca6b);
  upper = (a ^ (a >>> 13)) >>> 0;
  b = Math.imul(b ^ (b >>> 13), 0xc2b2ae35) ^ a;
  lower = ((b ^ (b >>> 16)) | 1) >>> 0;
  const at = placeOf();
  return at < 0 ? 0 : table[at + 1]! & 1 ? 2 : 1;
}

/** Remembers it of what was asked for last. */
export function foundPlain(times: 1 | 2): void {
  let at = placeOf();
  if (at < 0) {
    // Two places for each; where both are taken, the older one goes as often as the younger one.
    at = first();
    if (table[at + 1] !== 0 && (table[at + 3] === 0 || lower & 2)) at += 2;
  }
  table[at] = upper;
  table[at + 1] = times === 2 ? lower : (lower & ~1) >>> 0;
}

const first = (): number => (upper & (places - 2)) * 2;

const placeOf = (): number => {
  const at = first();
  const wanted = lower | 1;
  if (table[at] === upper && (table[at + 1]! | 1) === wanted) return at;
  return table[at + 2] === upper && (table[at + 3]! | 1) === wanted ? at + 2 : -1;
};
