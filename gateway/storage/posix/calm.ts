/** Whether this process has time to spare. */
import { performance } from 'node:perf_hooks';

/** What a shorter time shows is chance; what was before a longer one does not count any more. */
const [SHORTEST_MS, LONGEST_MS] = [5, 500];
/** A main thread that has more to do than this part of its time has clients that wait for it. */
const BUSY = 0.6;

/**
 * Tells whether the main thread had little to do since it was asked the last time, not long ago: as long as requests for it keep
 * it busy, a core that is free now is so only between two of them.
 */
export const createCalm = (usage = () => performance.eventLoopUtilization()): (() => boolean) => {
  let last = usage();
  let calm = false;
  return () => {
    const now = usage();
    const active = now.active - last.active;
    const all = active + now.idle - last.idle;
    if (all >= SHORTEST_MS) {
      calm = all <= LONGEST_MS && active < all * BUSY;
      last = now;
    }
    return calm;
  };
};
