import { getPriority, setPriority } from 'node:os';

const STEP = 5;
const LAST = 19;

/**
 * Puts this thread behind the one that answers everybody, where there are fewer cores than threads: what it works on takes
 * milliseconds, and all others would wait for it. Linux keeps a nice value for each thread (setpriority(2), "C library/kernel
 * differences").
 */
export const standBehind = (): void => {
  try {
    setPriority(Math.min(LAST, getPriority() + STEP));
  } catch {
    // A sandbox that forbids it: then they stand side by side.
  }
};
