/** Asking for syncs and hearing of them: for S3 requests and commands, on whichever gateway they are. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Bucket, Documents } from '../gateway/storage/types.js';
import { findRun, readState, requestRun } from './runs.js';
import type { SyncRequest, SyncRun, SyncState } from './types.js';

export interface SyncControl {
  /**
   * Asks for a sync; whoever leads the bucket carries it out. One that waits already and does the same is joined.
   * @param requester canonical id of the account
   * @returns undefined when too many wait
   */
  request(
    bucket: Bucket,
    request: SyncRequest,
    requester: string,
  ): Promise<{ run: SyncRun; joined: boolean } | undefined>;
  /** Resolves when the run has ended; undefined when it was forgotten (its bucket was deleted). */
  wait(bucket: Bucket, id: string, options?: WaitOptions): Promise<SyncRun | undefined>;
  /** Undefined: the bucket was never led nor synced. */
  state(bucket: Bucket): Promise<SyncState | undefined>;
}

export interface WaitOptions {
  signal?: AbortSignal;
  /** Hears now and then where it stands. */
  progress?(run: SyncRun): void;
}

const FIRST_MS = 20;
const MOST_MS = 250;

/** @param nudge tells the engine of this process, if there is one, that something was asked for */
export function createSyncControl(documents: Documents, nudge: (bucket: Bucket) => void): SyncControl {
  return {
    async request(bucket, request, requester) {
      const asked = await requestRun(documents, bucket, request, requester);
      if (asked) nudge(bucket);
      return asked;
    },
    async wait(bucket, id, { signal, progress } = {}) {
      for (let ms = FIRST_MS; ; ms = Math.min(MOST_MS, ms * 1.3)) {
        const run = findRun(await readState(documents, bucket), id);
        if (!run || run.state === 'done' || run.state === 'failed') return run;
        progress?.(run);
        await pause(ms, undefined, signal === undefined ? {} : { signal });
      }
    },
    state: (bucket) => readState(documents, bucket),
  };
}
