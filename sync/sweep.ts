/**
 * Removes what is kept of buckets that are gone: deleted by a process that died in between, or made again by one that was late.
 * It is queued events, counts, and what a sync knows of each file: never on a mere suspicion.
 */
import type { Bucket, Documents } from '../gateway/storage/types.js';
import type { SyncLog } from './bucket.js';
import { bucketOfName, keptDirectories, nameOf, removeKeptDirectory } from './places.js';
import { forgetState, statesKept } from './runs.js';
import { sweepSamples } from './samples.js';

export interface SweepOptions {
  root: string;
  documents: Pick<Documents, 'get' | 'list' | 'update'>;
  listBuckets(): Promise<readonly Pick<Bucket, 'name' | 'created'>[]>;
  log: Pick<SyncLog, 'info' | 'warn'>;
  /** What is left then is left. */
  stopping(): boolean;
  now?: () => number;
}

/** So much time, in milliseconds, lies at least between the first look that finds it so and the one that removes. */
const LEAST_MS = 600_000;

/**
 * To be called from time to time, one call after the other. What is found of no bucket is remembered, and removed when later calls
 * find it so again, without one in between that does not:
 * documents may be away for a while, as while an operator brings back a copy of them, or one by one as a filesystem comes back.
 * Where no bucket is known at all nothing is removed, nor of one whose document is there and cannot be read.
 * @returns never rejects: what could not be removed waits for the next call, and nothing else waits for that
 */
export function createSweep(options: SweepOptions): () => Promise<void> {
  const { root, documents, listBuckets, log, stopping, now = Date.now } = options;
  /** And since when, in milliseconds since the epoch. */
  let suspected = new Map<string, number>();

  const attempt = async (what: string, work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (err) {
      log.warn({ err }, `${what} cannot be removed, to be tried again`);
    }
  };

  /** Its document, asked for by name. @throws where that cannot be read */
  const isGone = async (kept: string): Promise<boolean> => {
    const bucket = await documents.get<Bucket>('buckets', bucketOfName(kept));
    return bucket === undefined || nameOf(bucket) !== kept;
  };

  const sweepBuckets = async (): Promise<void> => {
    const before = suspected;
    suspected = new Map();
    if (stopping()) return;
    const directories = new Set(await keptDirectories(root, now()));
    const states = new Map((await statesKept(documents)).map((state) => [nameOf(state), state]));
    // Looked up afterwards: a bucket is registered before anything is written about it.
    const known = new Set((await listBuckets()).map(nameOf));
    if (known.size === 0) return;
    for (const kept of [...directories, ...states.keys()]) {
      if (!known.has(kept)) suspected.set(kept, before.get(kept) ?? now());
    }
    const removed: string[] = [];
    for (const [kept, since] of suspected) {
      if (stopping()) break;
      if (now() - since < LEAST_MS) continue;
      await attempt(`what is kept of the bucket ${bucketOfName(kept)}, which is gone,`, async () => {
        if (!(await isGone(kept))) return;
        if (directories.has(kept)) await removeKeptDirectory(root, kept);
        const state = states.get(kept);
        if (state) await forgetState(documents, state);
        removed.push(kept);
      });
    }
    if (removed.length > 0) log.info({ removed }, 'removed what was kept of buckets that are gone');
  };

  return async () => {
    await attempt('what is kept of buckets that are gone', sweepBuckets);
    if (!stopping()) await attempt('counts of months that are over', () => sweepSamples(root, now()));
  };
}
