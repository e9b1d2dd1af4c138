import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** With less, threads of half the weight still take every second millisecond from it where all cores are busy. */
const STEP = 10;
const LAST = 19;

/**
 * Puts this thread behind the one that answers everybody, where there are fewer cores than threads: what it works on takes
 * milliseconds, and all others would wait for it. Linux keeps a nice value for each thread (setpriority(2), "C library/kernel
 * differences").
 */
export const standBehind = (): void => putBehind([0]);

/** The same, of this process with all of its threads. */
export const standBehindAsProcess = (): void => putBehind(readdirSync('/proc/self/task').map(Number));

const putBehind = (threads: readonly number[]): void => {
  const priority = Math.min(LAST, getPriority() + STEP);
  for (const thread of threads) {
    try {
      setPriority(thread, priority);
    } catch {
      // One that has ended, or a sandbox that forbids it: then they stand side by side.
    }
  }
};
