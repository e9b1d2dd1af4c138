/**
 * Threads that write into one file at the same time, as they do with the parts of an upload, take turns. A local filesystem lets one
 * in at a time, and the kernel has the others spin for as long as that one runs ("optimistic spinning", kernel/locking/rwsem.c),
 * on the cores that everything else waits for. Only that is saved: bytes need no turns, so whoever waits in vain writes.
 */
import { isOfLocal } from './mounts.js';
import { fstat } from './syscalls.js';

/** Files beyond these may have the same: then one waits for another's. */
const CELLS = 256;
/** Longer no write into memory takes; whoever holds a turn for longer waits for a disk, or has died. Milliseconds. */
const LONG_MS = 100;
const [FREE, TAKEN] = [0, 1];

let cells: Int32Array | undefined;

/** The memory in which the threads of this process agree, for those that it starts. */
export const turnMemory = (): SharedArrayBuffer => {
  cells ??= new Int32Array(new SharedArrayBuffer(CELLS * 4));
  return cells.buffer as SharedArrayBuffer;
};

/** To be called by a thread before it writes. @param shared `turnMemory` of the thread that started it */
export const useTurnMemory = (shared: SharedArrayBuffer): void => {
  cells = new Int32Array(shared);
};

/** Which turns are those of an open file; undefined where several can write to it at once (other than local filesystems). */
export const turnsOf = (fd: number): number | undefined => {
  const { ino, dev } = fstat(fd);
  return isOfLocal(dev) ? Number(ino % BigInt(CELLS)) : undefined;
};

/** Runs `write` when it is this thread's turn. @param turns of `turnsOf` */
export const inTurn = (turns: number | undefined, write: () => void): void => {
  if (turns === undefined || !cells) {
    write();
    return;
  }
  while (Atomics.compareExchange(cells, turns, FREE, TAKEN) !== FREE) {
    if (Atomics.wait(cells, turns, TAKEN, LONG_MS) === 'timed-out') break;
  }
  try {
    write();
  } finally {
    Atomics.store(cells, turns, FREE);
    Atomics.notify(cells, turns, 1);
  }
};
