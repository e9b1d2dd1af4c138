/** Time limits and waiting for tests: uvu has none of its own. */
import { setTimeout as sleep } from 'node:timers/promises';

/** The result of `work`, or a rejection that names `what` after `ms` milliseconds. */
export async function withTimeout<T>(what: string, ms: number, work: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const late = sleep(ms, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`${what}: not finished after ${ms} ms`);
  });
  // When the work wins, the sleeper is aborted; nobody waits for that rejection.
  late.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    stop.abort();
  }
}

/** Asks again every 25 ms until the answer is not undefined; rejects after `ms`. */
export async function until<T>(
  what: string,
  ms: number,
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what}: not so after ${ms} ms`);
    await sleep(25);
  }
}
