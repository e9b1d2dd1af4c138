/**
 * Files of jobs that were found to have no record, by a print of the status that they had then: all that a listing tells of such
 * a file is in its status, so that eight bytes are enough to remember it, and those of large buckets stay.
 */
import { randomBytes } from 'node:crypto';

/** 8 MiB for each thread that lists files of jobs. */
const places = 1 << 20;
/** Of each place: two words, of which the last bit says that it was found twice. */
let table: Uint32Array | undefined;
/** Nobody can make files on purpose whose prints are the same. */
const seeds = new Uint32Array(randomBytes(8).buffer.slice(0, 8));
/** The print that was made last. */
let [upper, lower] = [0, 0];

/** How often a file of this status was found to be without a record: 0, 1, 2 (or more). */
export type Times = 0 | 1 | 2;

/** Makes the print of words, of which `wanted` are taken, and says what is known of it. */
export function timesFound(words: Uint32Array, wanted: readonly number[], as: number): Times {
  let a = seeds[0]! ^ Math.imul(as, 0x85ebca6b);
  let b = seeds[1]! ^ as;
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
  if (!table) return 0;
  const at = placeOf();
  return at < 0 ? 0 : table[at + 1]! & 1 ? 2 : 1;
}

/** Remembers it of what was asked for last. */
export function foundPlain(times: 1 | 2): void {
  table ??= new Uint32Array(places * 2);
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
  if (table![at] === upper && (table![at + 1]! | 1) === wanted) return at;
  return table![at + 2] === upper && (table![at + 3]! | 1) === wanted ? at + 2 : -1;
};
