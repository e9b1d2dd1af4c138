/**
 * Threads that write into one file at the same time, as they do with the parts of an upload, take turns. A local filesystem lets one
 * in at a time, and the kernel has the others spin for as long as that one runs ("optimistic spinning", kernel/locking/rwsem.c),
 * on the cores that everything else waits for. Only that is saved: bytes need no turns, so whoever waits in vain writes, and other
 * processes and copies by the kernel take none.
 */
import { isOfLocal } from './mounts.js';
import { fstat } from './syscalls.js';

/** 2^10 files; others may have the same cell, and wait for them. In the first one turns are counted. */
const BITS = 10;
/** So long, in milliseconds, one waits in all: whoever has the turn then waits for a disk or a core, or has died. */
const LONG_MS = 100;
const FREE = 0;

let cells: Int32Array | undefined;

/** The memory in which the threads of this process agree, for those that it starts. */
export const turnMemory = (): SharedArrayBuffer => {
  cells ??= new Int32Array(new SharedArrayBuffer(4 << BITS));
  return cells.buffer as SharedArrayBuffer;
};

/** To be called by a thread before it writes. @param shared `turnMemory` of the thread that started it */
export const useTurnMemory = (shared: SharedArrayBuffer): void => {
  cells = new Int32Array(shared);
};

/** Where the turn of an open file is kept; undefined where several can write to it at once (other than local filesystems). */
export const cellOf = (fd: number): number | undefined => {
  const { ino, dev } = fstat(fd);
  if (!isOfLocal(dev)) return undefined;
  const mixed = Number(ino & 0xffff_ffffn) ^ Math.imul(Number(ino >> 32n) ^ dev, 0x85eb_ca6b);
  return Math.max(1, Math.imul(mixed, 0x9e37_79b1) >>> (32 - BITS));
};

/** Runs `write` when it is this thread's turn. @param cell of `cellOf` @param longMs waits no longer */
export const inTurn = (cell: number | undefined, write: () => void, longMs = LONG_MS): void => {
  if (cell === undefined || !cells) {
    write();
    return;
  }
  const mine = Atomics.add(cells, 0, 1) || 1;
  const until = performance.now() + longMs;
  for (let theirs: number; (theirs = Atomics.compareExchange(cells, cell, FREE, mine)) !== FREE; ) {
    const left = until - performance.now();
    if (left > 0 && Atomics.wait(cells, cell, theirs, left) !== 'timed-out') continue;
    // From whoever has it, who then does not free it: he may be dead.
    Atomics.compareExchange(cells, cell, theirs, mine);
    break;
  }
  try {
    write();
  } finally {
    if (Atomics.compareExchange(cells, cell, mine, FREE) === mine) Atomics.notify(cells, cell, 1);
  }
};
