/** What the sync engine is told of buckets in which something was recorded: at once, and no more often than it can hear it. */

import { TURN_MS } from './pace.js';

/**
 * Passes on the names of buckets: one that comes after a while at once, those that follow it within `ms` milliseconds together,
 * each once.
 */
export function createNudges(pass: (names: readonly string[]) => void, ms = TURN_MS): (name: string) => void {
  const gathered = new Set<string>();
  let gathering = false;

  const passAll = (): void => {
    gathering = gathered.size > 0;
    if (!gathering) return;
    const names = [...gathered];
    gathered.clear();
    // First: should `pass` throw, the next ones are passed on all the same.
    setTimeout(passAll, ms).unref();
    pass(names);
  };

  return (name) => {
    gathered.add(name);
    if (!gathering) passAll();
  };
}
