/** The leader's side of the syncs that were asked for: takes them one after the other, and tells how far they are. */
import { toBytes } from '../gateway/storage/keys.js';
import type { Bucket, Documents } from '../gateway/storage/types.js';
import type { Catalog } from './catalog.js';
import { type Cause, reasonOf } from './held.js';
import { allOps, readState, takeRun, tellRun } from './runs.js';
import type { Tasks } from './tasks.js';
import type { KeyBytes, SyncRun } from './types.js';

export interface RunnerDeps {
  documents: Documents;
  bucket: Bucket;
  catalog: Catalog;
  tasks: Tasks;
  /** Whatever directory is the bucket's now, it is from here on. */
  takeHome(): void;
  /** Likewise of filesystems that were mounted below. */
  giveUpMounts(prefix: KeyBytes): void;
  createCause(change: Partial<Cause>): Cause;
  quietMs: number;
  /** Brings the events that were committed into the feed, and the counts into the state. */
  settle(): Promise<void>;
  /** Everything was looked at. */
  scanned(): Promise<void>;
  /** The next one may be taken. */
  ended(): void;
}

export interface Runner {
  /** Begins the next sync that waits, when none runs. @param asked somebody may just have asked for one */
  take(asked: boolean): Promise<void>;
  /** Writes down how far the one that runs is. */
  tell(): Promise<void>;
}

/** How often it is looked whether another gateway or a command has asked for a sync. */
const POLL_MS = 500;
/** A file that is still being written when a sync has seen everything else is waited for so long. */
const PATIENCE_MS = 10_000;

export function createRunner(deps: RunnerDeps): Runner {
  const { documents, bucket, catalog, tasks, takeHome, giveUpMounts, createCause, quietMs, settle, scanned, ended } =
    deps;
  let running: { run: SyncRun; cause: Cause } | undefined;
  let looked = Number.NEGATIVE_INFINITY;

  async function end(run: SyncRun, outcome: Partial<SyncRun>): Promise<void> {
    running = undefined;
    looked = Number.NEGATIVE_INFINITY;
    await tellRun(documents, bucket, { ...run, ...outcome, finished: new Date().toISOString() });
    ended();
  }

  function begin(run: SyncRun): void {
    run.progress.expected = catalog.totals().objects;
    const { prefix, dryRun, ops } = run;
    const bytes = toBytes(prefix);
    // Whoever asks for DELETE means what is there now.
    if (!dryRun && ops.includes('DELETE')) {
      if (prefix === '') takeHome();
      else giveUpMounts(bytes);
    }
    const plain = createCause({});
    const cause = createCause({
      ops: new Set(ops),
      dryRun,
      counts: run.counts,
      publishes: true,
      complain(key, reason) {
        run.message ??= `${key}: ${reason}`;
        plain.complain(key, reason);
      },
    });
    running = { run, cause };
    const task = {
      target: { dir: bytes.slice(0, bytes.lastIndexOf('/') + 1), prefix: bytes },
      cause,
      patienceMs: PATIENCE_MS + 2 * quietMs,
      async done() {
        try {
          if (prefix === '' && !dryRun && cause.ops.size === allOps.size) await scanned();
          // Whoever asked for it may read feed and counts now, and finds everything in them.
          await settle();
          await end(run, { state: 'done' });
        } catch (error) {
          // It stands in the state as running still: it is begun again, as after a crash.
          running = undefined;
          throw error;
        }
      },
      failed: (error: unknown) => end(run, { state: 'failed', message: reasonOf(error) }),
    };
    tasks.add(task, true);
  }

  return {
    async take(asked) {
      if (running || (!asked && performance.now() - looked < POLL_MS)) return;
      looked = performance.now();
      const state = await readState(documents, bucket);
      if (!state || (state.queued.length === 0 && !state.running)) return;
      const run = await takeRun(documents, bucket, new Date());
      if (run) begin(run);
    },
    async tell() {
      if (!running) return;
      const { run, cause } = running;
      run.progress.seen = tasks.seen(cause);
      await tellRun(documents, bucket, run);
    },
  };
}
