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
  now?: () => number;
}

/**
 * To be called from time to time. What is found of no bucket is remembered, and removed when the next call finds it so again:
 * documents may be away for a while, as while an operator brings back a copy of them, or one by one as a filesystem comes back.
 * Where no bucket is known at all nothing is removed, nor of one whose document is there and cannot be read.
 * @returns never rejects: what could not be removed waits for the next call, and nothing else waits for that
 */
export function createSweep({ root, documents, listBuckets, log, now = Date.now }: SweepOptions): () => Promise<void> {
  let suspected: ReadonlySet<string> = new Set();

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
    const directories = await keptDirectories(root, now());
    const states = await statesKept(documents);
    // Looked up afterwards: a bucket is registered before anything is written about it.
    const known = new Set((await listBuckets()).map(nameOf));
    if (known.size === 0) return;
    const missing = new Set([...directories, ...states.map(nameOf)].filter((kept) => !known.has(kept)));
    const again = [...missing].filter((kept) => suspected.has(kept));
    suspected = missing;
    const removed: string[] = [];
    for (const kept of again) {
      await attempt(`what is kept of the bucket ${bucketOfName(kept)}, which is gone,`, async () => {
        if (!(await isGone(kept))) return;
        if (directories.includes(kept)) await removeKeptDirectory(root, kept);
        for (const state of states) if (nameOf(state) === kept) await forgetState(documents, state);
        removed.push(kept);
      });
    }
    if (removed.length > 0) log.info({ removed }, 'removed what was kept of buckets that are gone');
  };

  return async () => {
    await attempt('what is kept of buckets that are gone', sweepBuckets);
    await attempt('counts of months that are over', () => sweepSamples(root, now()));
  };
}
