import { getPriority, setPriority } from 'node:os';

/** With five, threads of a third of the weight still take every second millisecond from it where all cores are busy. */
const STEPS = 10;
const LAST = 19;

/** The nice value of what stands so many steps behind this thread. */
export const niceBehind = (steps = STEPS): number => Math.min(LAST, getPriority() + steps);

/** Puts threads beside this one. Without effect where that is not allowed (CAP_SYS_NICE, RLIMIT_NICE). */
export const standBeside = (threads: readonly number[]): void => setAll(threads, getPriority);

/**
 * Puts this thread behind the one that answers everybody, where there are fewer cores than threads: what it works on takes
 * milliseconds, and all others would wait for it. Linux keeps a nice value for each thread (setpriority(2), "C library/kernel
 * differences"), which those have too that it starts from then on.
 * @param threads instead of this one
 */
export const standBehind = (steps = STEPS, threads: readonly number[] = [0]): void =>
  setAll(threads, () => niceBehind(steps));

const setAll = (threads: readonly number[], nice: () => number): void => {
  try {
    const priority = nice();
    for (const thread of threads) setPriority(thread, priority);
  } catch {
    // Forbidden, to everybody or in a sandbox: then they stand as they did.
  }
};
