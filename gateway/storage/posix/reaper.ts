/** Removes, from time to time, what crashed or vanished writers left aside. */
import type { Bucket } from '../types.js';
import type { StoreContext } from './context.js';

/** Soon after the start once more, for what was too young then. */
const AGAIN_MS = 15_000;
const EVERY_MS = 600_000;
const DAY_MS = 86_400_000;

export interface Reaper {
  stop(): Promise<void>;
}

export const startReaper = (
  context: StoreContext,
  root: string,
  listBuckets: () => Promise<Bucket[]>,
  options: { stagingAge?: number; uploadAge?: number; log?: { warn(details: object, message: string): void } },
): Reaper => {
  const { stagingAge = DAY_MS, uploadAge = 0, log } = options;
  const ages = { stagingAgeMs: stagingAge, ...(uploadAge > 0 && { uploadAgeMs: uploadAge }) };
  let stopped = false;
  const round = async (): Promise<void> => {
    await context.pool
      .run('reapTrash', [root])
      .catch((err: unknown) => log?.warn({ err }, 'trash could not be reaped'));
    for (const bucket of await listBuckets()) {
      if (stopped) return;
      // Begun as the gateway itself, which can enter every bucket; it goes on as the owner of what it looks at.
      await context.pool
        .run('reapBucket', [context.groundOf(bucket), ages])
        .catch((err: unknown) => log?.warn({ err, bucket: bucket.name }, 'staged files could not be reaped'));
    }
  };
  const run = () => {
    running = running.then(round).catch((err: unknown) => log?.warn({ err }, 'reaping failed'));
  };
  let running: Promise<void> = round().catch((err: unknown) => log?.warn({ err }, 'reaping failed'));
  const soon = setTimeout(run, AGAIN_MS).unref();
  const timer = setInterval(run, EVERY_MS).unref();
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(soon);
      clearInterval(timer);
      await running;
    },
  };
};
