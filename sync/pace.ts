/** When the leader of a bucket has its next turn: soon when something has come in, and not so soon that it does little else. */

/** How often a leader looks for what gateways wrote down or asked for; the second, where nothing has happened for a while: they ring. */
const [POLL_MS, IDLE_MS] = [500, 5_000];
const BUSY_MS = 10_000;
/** Two turns follow each other at this distance, to take several hints at once. */
export const TURN_MS = 5;
/**
 * At a larger one where turns are long, so many times as long as the last one, within bounds: all that comes in meanwhile shares
 * what a turn costs beside its changes (commits, the sync of the feed), and whoever waits for an answer has the processor.
 */
const REST = 4;
const LONGEST_REST_MS = 100;

export interface Pace {
  /** Something has come in. */
  nudge(): void;
  /** A turn begins: what comes in from now on is for the next one. */
  begin(): void;
  /** Milliseconds after which there is a turn though nothing comes in. */
  idle(): number;
  /**
   * A turn has ended. Resolves after `ms`; earlier, though not before `least`, when something comes in or has come in during
   * the turn.
   */
  rest(ms: number, least?: number): Promise<void>;
}

export function createPace(): Pace {
  let nudged = true;
  let wake: (() => void) | undefined;
  let busyUntil = performance.now() + BUSY_MS;
  let begun = performance.now();

  return {
    nudge() {
      busyUntil = performance.now() + BUSY_MS;
      nudged = true;
      wake?.();
    },
    begin() {
      nudged = false;
      begun = performance.now();
    },
    idle: () => (performance.now() < busyUntil ? POLL_MS : IDLE_MS),
    // Also with nothing to wait for: the other buckets, and what comes in, get their turn.
    rest: (ms, least = TURN_MS) =>
      new Promise((resolve) => {
        const now = performance.now();
        const rested = now + Math.max(least, Math.min(LONGEST_REST_MS, REST * (now - begun)));
        const soon = () => Math.min(ms, Math.max(TURN_MS, rested - performance.now()));
        const end = (): void => {
          wake = undefined;
          resolve();
        };
        const timer = setTimeout(end, nudged ? soon() : ms);
        if (nudged) return;
        wake = () => {
          wake = undefined;
          clearTimeout(timer);
          setTimeout(resolve, soon());
        };
      }),
  };
}
