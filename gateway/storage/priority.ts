import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** With five, threads of a third of the weight still take every second millisecond from it where all cores are busy. */
const STEPS = 10;
const LAST = 19;

/**
 * Puts this thread behind the one that answers everybody, where there are fewer cores than threads: what it works on takes
 * milliseconds, and all others would wait for it. Linux keeps a nice value for each thread (setpriority(2), "C library/kernel
 * differences"), which those have too that it starts from then on.
 */
export const standBehind = (steps = STEPS): void => putBehind(() => [0], steps);

/** The same, of this process with all threads that it has. */
export const standBehindAsProcess = (): void => putBehind(() => readdirSync('/proc/self/task').map(Number), STEPS);

const putBehind = (threads: () => readonly number[], steps: number): void => {
  try {
    const priority = Math.min(LAST, getPriority() + steps);
    for (const thread of threads()) setPriority(thread, priority);
  } catch {
    // A sandbox that forbids it: then they stand side by side.
  }
};
