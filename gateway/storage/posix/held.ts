/**
 * Which descriptors a worker thread has open, in memory that outlives it. They are the process's: when the thread dies they stay
 * open, and with them the locks of keys and of staged files, which nobody would reap as long as the process lives. Whoever takes
 * its place closes them.
 *
 * A number that is marked is known to that thread alone, so that nobody else can have closed it and been given it again: what
 * is handed to others is let go before, and a mark goes before its descriptor. Where a thread dies in between, one stays open.
 */

/** Those of higher numbers are not looked after: 16 KiB for each thread. */
const NUMBERS = 1 << 17;

/** A bit for each number. */
export const createHeld = (): SharedArrayBuffer => new SharedArrayBuffer(NUMBERS / 8);

let marks: Int32Array = new Int32Array(0);

/** From now on what this thread opens is marked there. */
export const holdIn = (table: SharedArrayBuffer): void => {
  marks = new Int32Array(table);
};

/** Of a descriptor that was opened just now. */
export const markHeld = (fd: number): void => {
  const at = fd >> 5;
  if (at < marks.length) marks[at]! |= 1 << (fd & 31);
};

/** Before it is closed, or its number is told to others, who close it. */
export const letGo = (fd: number): void => {
  const at = fd >> 5;
  if (at >= 0 && at < marks.length) marks[at]! &= ~(1 << (fd & 31));
};

/** The numbers that are marked. */
export const heldIn = (table: SharedArrayBuffer): number[] =>
  [...new Int32Array(table)].flatMap((word, at) =>
    word === 0 ? [] : Array.from({ length: 32 }, (_, bit) => at * 32 + bit).filter((fd) => (word >> (fd & 31)) & 1),
  );
