/**
 * The leader's work on one bucket: takes what gateways have written down, follows hints, scans, carries out syncs that were
 * asked for, and sends the events on. Everything goes through the reconciler, a little at a time, so that many buckets
 * share one thread.
 */

import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import type { Bucket, Documents } from '../gateway/storage/types.js';
import { isSpoilt, mendCatalog } from './catalog.js';
import { split } from './changes.js';
import { createCounter } from './counter.js';
import { type FeedOptions, OtherWriter } from './feed.js';
import type { StampResult } from './hash.js';
import type { Cause, SeenFile } from './held.js';
import { createHints } from './hints.js';
import { hasHome, settleHome } from './home.js';
import { drain, forget } from './inbox-reader.js';
import type { Lease } from './leader.js';
import { createMounts } from './mounts.js';
import { createPace } from './pace.js';
import { inboxDirectory } from './places.js';
import { createReconciler } from './reconcile.js';
import { createRecords } from './records.js';
import { createRunner } from './runner.js';
import { allOps, changeState, noCounts, readState } from './runs.js';
import type { SampleWriter } from './samples.js';
import { unlooked } from './scan.js';
import { createSchedule } from './schedule.js';
import { createSources } from './sources.js';
import { LeaseLost, openStores } from './stores.js';
import { createTasks, MOST_BUSY } from './tasks.js';
import type { HintSink, KeyBytes, Source, SyncSettings } from './types.js';
import type { Deliveries } from './webhook.js';

export interface BucketDeps {
  bucket: Bucket;
  /** `syncDirectory`, which exists. */
  directory: string;
  lease: Lease;
  documents: Documents;
  feed: FeedOptions;
  /** Runs as the one as whom the bucket's files are worked on. May be nested. @throws S3Error NoSuchBucket … */
  inside<T>(work: (bucket: BucketDir) => T): T;
  stamp(key: string, seen: SeenFile, trusted?: { etag: string }): Promise<StampResult>;
  sources: readonly Source[];
  /** Removes metadata of files that are gone, old enough. @param knows whether an inode is an object's */
  collectOrphans(knows: (ino: bigint) => boolean): Promise<unknown>;
  /** Begins to send on what the feed has. */
  deliver(): Deliveries;
  samples: SampleWriter;
  /** Whose the bucket is, and to which group that is charged now. */
  charged(): { account: string; group: string };
  /** Whether there is such a bucket still. */
  stands(): Promise<boolean>;
  settings: SyncSettings;
  /** Carries out the syncs that were asked for, and looks at nothing of its own accord. */
  onlyAsked: boolean;
  log: SyncLog;
}

export interface SyncLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface LedBucket {
  /** Something may have been recorded or asked for. */
  nudge(): void;
  /** Ends the work: nothing is written afterwards. The lease is the caller's. */
  stop(): Promise<void>;
  /** Resolves when the work has ended, also of its own accord: the lease is lost, or the bucket has gone. */
  readonly ended: Promise<void>;
}

/** How often the state of a running sync, and the counts of the bucket, are told. */
const TELL_MS = 1_000;
/** After failures in a row of the bucket, the catalog or the disk. */
const BACKOFF_MS = [500, 2_000, 10_000, 30_000] as const;
/** Clocks of file servers, against ours. */
const SKEW_MS = 2_000;
/** How often files of inboxes are removed whose gateway has ended without another word. */
const FORGET_MS = 60_000;
/** So long, in milliseconds, one turn looks at what hints named: where each look takes long, the lease has to be renewed. */
const FOLLOW_MS = 20;
/** Directories that are looked at between two looks at the clock. */
const HINTS_AT_ONCE = 8;

/** @throws what keeps feed or catalog from being opened; then nothing is left open */
export function leadBucket(deps: BucketDeps): LedBucket {
  const { bucket, directory, lease, documents, inside, settings, log } = deps;
  const inbox = inboxDirectory(directory);
  const { feed, catalog, recent, ...stores } = openStores(directory, lease, deps.feed);
  const hints = createHints();
  const publishes = bucket.config['visibility'] !== 'synced';
  let { positions } = stores;
  let stopping = false;
  const pace = createPace();
  const { nudge } = pace;
  /** By somebody who may have asked for a sync. */
  let asked = true;
  let complaints = 0;
  /** What has happened to the catalog. */
  let spoilt: unknown;

  const complain = (key: string, reason: string): void => {
    // A tree that may not be read must not fill the log.
    if (complaints++ % 1000 === 0)
      log.warn({ bucket: bucket.name, key, reason, complaints }, 'a file could not be synced');
  };
  const createCause = (change: Partial<Cause> = {}): Cause => ({
    ops: allOps,
    dryRun: false,
    counts: noCounts(),
    open: 0,
    patience: Number.POSITIVE_INFINITY,
    silentBefore: baseline(),
    digestsLater: false,
    awaited: true,
    publishes,
    complain,
    ...change,
  });
  /** While a catalog is made anew: what is older than this is taken up without an event. */
  const baseline = (): bigint => BigInt(catalog.note<string>('baseline') ?? 0);

  const lookAgain = (key: KeyBytes): void => {
    const { dir, name } = split(key);
    hints.add({ dir, name });
    nudge();
  };
  const records = createRecords({
    catalog,
    recent,
    drain: () => drain(inbox, positions),
    taken(drained) {
      positions = drained.positions;
      if (drained.garbage > 0)
        log.warn({ bucket: bucket.name, lines: drained.garbage }, 'lines of an inbox are no changes');
    },
    committed: nudge,
    lookAgain,
  });
  const mounts = createMounts(catalog);
  const reconciler = createReconciler({
    catalog,
    records,
    mounts,
    inside,
    stamp: deps.stamp,
    committed: nudge,
    lookAgain,
  });
  const tasks = createTasks({ catalog, reconciler, mounts, inside, createCause });
  const runs = createRunner({
    documents,
    bucket,
    catalog,
    tasks,
    takeHome: () => settleHome(inside, catalog, true),
    giveUpMounts: mounts.giveUp,
    ended: nudge,
    createCause,
    quietMs: settings.quietMs,
    async settle() {
      sendOn();
      await counter.tell();
    },
    scanned,
  });
  /** Unless the bucket is being deleted: then all of it goes, its document a moment later, and nothing is wrong. */
  function warn(details: object, message: string): void {
    void pause(1000, undefined, { ref: false })
      .then(deps.stands)
      .catch(() => true)
      .then((stands) => stands && log.warn(details, message));
  }
  const schedule = createSchedule({
    ...settings,
    scan: (quick, done) => tasks.add({ target: { dir: '', quick }, cause: createCause(), done }),
    tell: async (lastFullScan) => {
      await changeState(documents, bucket, (state) => ({ ...state, lastFullScan }));
    },
    collect() {
      const failed = (err: unknown) =>
        warn({ err, bucket: bucket.name }, 'metadata without a file could not be removed');
      deps.collectOrphans((ino) => !stopping && catalog.knows(ino)).catch(failed);
    },
  });
  /** Everything was looked at: from now on everything is told. */
  async function scanned(): Promise<void> {
    if (baseline() > 0n) catalog.commit({ notes: { baseline: undefined } });
    await schedule.scanned();
  }
  const counter = createCounter({
    documents,
    bucket,
    catalog,
    samples: deps.samples,
    charged: deps.charged,
    complete: () => lease.held() && baseline() === 0n,
    failed: (err) => log.warn({ err, bucket: bucket.name }, 'usage of this hour cannot be written down'),
  });
  const sink: HintSink = {
    hint(hint) {
      hints.add(hint);
      nudge();
    },
    lost(dir, why, settled) {
      warn({ bucket: bucket.name, dir, why }, 'changes were missed: everything below is looked at');
      hints.add({ dir, deep: true, ...(settled && { settled }) });
      nudge();
    },
  };

  const sources = createSources({
    sources: deps.sources,
    sink,
    failed: (err) =>
      log.warn({ err, bucket: bucket.name }, 'changes cannot be watched now: only scans find what jobs write'),
  });

  // ---- beginning and end -----------------------------------------------------------------------------------------

  async function begin(): Promise<void> {
    const state = await readState(documents, bucket);
    if (!hasHome(catalog) && baseline() === 0n) {
      // A catalog that was lost must not tell everything again; a new bucket has had no event yet.
      const ledBefore = state?.lastFullScan !== undefined || feed.newest() > 0;
      const from = ledBefore ? Date.now() : Date.parse(bucket.created) - SKEW_MS;
      if (ledBefore) log.warn({ bucket: bucket.name }, 'the catalog is made anew: what changed meanwhile is not told');
      catalog.commit({ notes: { baseline: String(BigInt(from) * 1_000_000n) } });
    }
    settleHome(inside, catalog, false);
    const unknown = catalog.unknownDirectories();
    if (unknown.length > 0) catalog.commit({ directories: unknown.map((dir) => [dir, unlooked]) });
    await changeState(documents, bucket, (current) => ({
      ...current,
      leader: { host: hostname(), pid: process.ppid, since: lease.since },
    }));
    if (deps.onlyAsked) return;
    // What is watched before it is looked at cannot change unseen in between.
    if (publishes) await sources.start();
    if (stopping) return;
    const silentBefore = baseline();
    const cause = createCause({ digestsLater: silentBefore > 0n });
    tasks.add({
      target: { dir: '' },
      cause,
      async done() {
        // Now the digests of what was only counted.
        if (silentBefore > 0n && cause.counts.added > 0) tasks.add({ target: { dir: '' }, cause: createCause() });
        await scanned();
      },
    });
  }

  // ---- one turn --------------------------------------------------------------------------------------------------

  let forgot = 0;
  function readInbox(): boolean {
    const { keys, more } = records.take();
    const now = performance.now();
    if (!more && (keys.size > 0 || now - forgot > FORGET_MS)) {
      forgot = now;
      forget(inbox, positions);
    }
    return more;
  }

  function follow(): void {
    const until = performance.now() + FOLLOW_MS;
    while (reconciler.busy < MOST_BUSY && performance.now() < until) {
      const due = hints.due(HINTS_AT_ONCE);
      if (due.length === 0) return;
      try {
        tasks.follow(due);
      } finally {
        hints.putBack(due);
      }
    }
  }

  function sendOn(): void {
    const events = catalog.outbox();
    if (events.length === 0) return;
    feed.append(events);
    catalog.delivered(events.at(-1)!.seq);
    deliveries.wake();
  }

  let toldAt = 0;
  async function tell(): Promise<void> {
    if (performance.now() - toldAt < TELL_MS) return;
    toldAt = performance.now();
    await runs.tell();
    await counter.tell();
  }

  /** @returns milliseconds after which there is something to do */
  async function turn(): Promise<number> {
    pace.begin();
    const unread = readInbox();
    const due = reconciler.tick();
    follow();
    schedule.begin();
    await runs.take(asked);
    asked = false;
    const more = await tasks.step();
    sendOn();
    await tell();
    if (unread || more) return 0;
    // Where too much is being worked on already, its end is waited for.
    return Math.min(pace.idle(), due, reconciler.busy < MOST_BUSY ? hints.wait() : Number.POSITIVE_INFINITY);
  }

  async function loop(): Promise<void> {
    let failures = 0;
    let begun = false;
    while (!stopping && lease.held()) {
      try {
        if (!begun) await begin();
        begun = true;
        await rest(await turn());
        failures = 0;
      } catch (error) {
        if (error instanceof LeaseLost) break;
        if (error instanceof OtherWriter) {
          log.warn({ err: error, bucket: bucket.name }, 'the sync of a bucket begins anew');
          break;
        }
        if (isSpoilt(error)) {
          log.error({ err: error, bucket: bucket.name }, 'the catalog of a bucket is spoilt, and opened anew');
          spoilt = error;
          break;
        }
        const ms = BACKOFF_MS[Math.min(failures++, BACKOFF_MS.length - 1)]!;
        pace.begin();
        await rest(BACKOFF_MS[0], BACKOFF_MS[0]);
        // Of one that is deleted the document goes last.
        if (stopping || !(await deps.stands())) return;
        log.error({ err: error, bucket: bucket.name, ms }, 'a bucket cannot be synced, to be tried again');
        await rest(ms);
      }
    }
  }

  async function rest(ms: number, least?: number): Promise<void> {
    if (!stopping) await pace.rest(ms, least);
  }

  async function end(): Promise<void> {
    reconciler.stop();
    tasks.stop();
    await sources.stop();
    await deliveries.stop();
    feed.close();
    await catalog.close();
    if (spoilt) mendCatalog(directory, spoilt);
  }

  const deliveries = deps.deliver();
  const ended = loop().finally(end);
  return {
    nudge() {
      asked = true;
      nudge();
    },
    async stop() {
      stopping = true;
      nudge();
      await sources.stop();
      await ended;
    },
    ended,
  };
}
