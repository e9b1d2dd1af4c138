import { getPriority, setPriority } from 'node:os';

/** With five, threads of a third of the weight still take every second millisecond from it where all cores are busy. */
const STEPS = 10;
const LAST = 19;

/** The nice value of what stands so many steps behind this thread. */
export const niceBehind = (steps = STEPS): number => Math.min(LAST, getPriority() + steps);

/**
 * Puts this thread behind the one that answers everybody, where there are fewer cores than threads: what it works on takes
 * milliseconds, and all others would wait for it. Linux keeps a nice value for each thread (setpriority(2), "C library/kernel
 * differences"), which those have too that it starts from then on.
 * @param threads instead of this one
 */
export const standBehind = (steps = STEPS, threads: readonly number[] = [0]): void => {
  try {
    const priority = niceBehind(steps);
    for (const thread of threads) setPriority(thread, priority);
  } catch {
    // A sandbox that forbids it: then they stand side by side.
  }
};
