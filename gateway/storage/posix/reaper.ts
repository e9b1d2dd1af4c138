/** Removes, from time to time, what crashed or vanished writers left aside. */
import type { Bucket } from '../types.js';
import type { StoreContext } from './context.js';
import type { Pool } from './pool-types.js';

/** Soon after the start once more, for what was too young then. */
const AGAIN_MS = 15_000;
const EVERY_MS = 600_000;
const DAY_MS = 86_400_000;

export interface Reaper {
  stop(): Promise<void>;
}

export const startReaper = (
  context: StoreContext,
  pool: Pick<Pool, 'run'>,
  root: string,
  listBuckets: () => Promise<Bucket[]>,
  options: { stagingAge?: number; uploadAge?: number; log?: { warn(details: object, message: string): void } },
): Reaper => {
  const { stagingAge = DAY_MS, uploadAge = 0, log } = options;
  const ages = { stagingAgeMs: stagingAge, ...(uploadAge > 0 && { uploadAgeMs: uploadAge }) };
  let stopped = false;
  const warn = (details: object, message: string) => {
    if (!stopped) log?.warn(details, message);
  };
  /** Paths of buckets that a thread is at: it may hang there, and needs no company. */
  const busy = new Set<string>();
  const reap = async (bucket: Bucket): Promise<void> => {
    const { path } = bucket;
    if (stopped || busy.has(path)) return;
    const threads = context.poolOf(bucket);
    busy.add(path);
    const ended = () => void busy.delete(path);
    // Begun as the gateway itself, which can enter every bucket; it goes on as the owner of what it looks at.
    await threads.run('reapBucket', [context.groundOf(bucket), ages], { ended });
  };
  const round = async (): Promise<void> => {
    await pool.run('reapTrash', [root]).catch((err: unknown) => warn({ err }, 'trash could not be reaped'));
    for (const bucket of await listBuckets()) {
      await reap(bucket).catch((err: unknown) =>
        warn({ err, bucket: bucket.name }, 'staged files could not be reaped'),
      );
    }
  };
  const run = () => {
    running = running.then(round).catch((err: unknown) => warn({ err }, 'reaping failed'));
  };
  let running: Promise<void> = round().catch((err: unknown) => warn({ err }, 'reaping failed'));
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
