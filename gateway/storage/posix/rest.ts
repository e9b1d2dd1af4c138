/** What the main thread does itself because it takes no time, and leaves to others for a while when that was not so. */
import { threadUsage } from './syscalls.js';

export interface Rest {
  /** Not now. */
  readonly resting: boolean;
  /** Does it, and sees how long it takes. */
  during<T>(work: () => T): T;
}

/** Less is no worse than a message to a worker. */
const LONG_MS = 2;
const REST_MS = 1_000;

/**
 * Rests after something that took long and waited for a disk. Time alone tells of nothing but others that need the processor,
 * and what was only asked of a disk, to be there later, took no time.
 */
export const createRest = (now = () => performance.now(), usage = threadUsage): Rest => {
  let until = Number.NEGATIVE_INFINITY;
  return {
    get resting() {
      return until > now();
    },
    during: (work) => {
      const before = usage();
      const began = now();
      try {
        return work();
      } finally {
        const end = now();
        if (end - began >= LONG_MS) {
          const { waits, blocks } = usage();
          if (waits > before.waits && blocks > before.blocks) until = end + REST_MS;
        }
      }
    },
  };
};
