/** What a leader is at: scans, and looks that hints asked for, each until all that it found is settled. */
import { fromBytes } from '../gateway/storage/keys.js';
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import type { Catalog } from './catalog.js';
import type { Cause } from './held.js';
import type { HintBatch } from './hints.js';
import { lookAtNames } from './look.js';
import type { Mounts } from './mounts.js';
import type { Reconciler } from './reconcile.js';
import { createScan, type Scan, type ScanTarget } from './scan.js';
import type { KeyBytes } from './types.js';

export interface Task {
  target: ScanTarget;
  cause: Cause;
  /** Milliseconds: so long files that are still being written are waited for once everything was looked at. Default: for ever. */
  patienceMs?: number;
  /** All that was found is settled. */
  done?(): void | Promise<void>;
  /** The tree cannot be looked at. Without this the scan is begun again by and by. */
  failed?(error: unknown): Promise<void>;
}

export interface Tasks {
  /** @param first before those that nobody waits for */
  add(task: Task, first?: boolean): void;
  /** Takes out what it follows. @throws when the bucket fails, with the others left */
  follow(batches: HintBatch[]): void;
  /** Goes on for a moment. @returns whether there is more to do at once @throws what a task without `failed` met */
  step(): Promise<boolean>;
  /** Entries that a task has looked at so far. */
  seen(cause: Cause): number;
  stop(): void;
}

export interface TasksDeps {
  catalog: Catalog;
  reconciler: Reconciler;
  mounts: Mounts;
  inside<T>(work: (bucket: BucketDir) => T): T;
  createCause(change?: Partial<Cause>): Cause;
}

/** Findings that may wait, and milliseconds for a slice of a scan. */
export const MOST_BUSY = 2_000;
const SLICE_MS = 10;

/** Looks that hints asked for which take turns; and every so many turns the others get one. */
const AT_ONCE = 4;

interface Active extends Task {
  hinted: boolean;
  scan: Scan | undefined;
  /** Everything was looked at. */
  scanned: boolean;
}

export function createTasks({ catalog, reconciler, mounts, inside, createCause }: TasksDeps): Tasks {
  const active: Active[] = [];
  let turns = 0;

  const scanOf = ({ target, cause }: Active): Scan =>
    createScan(
      {
        catalog,
        inside,
        take(findings, seen) {
          cause.counts.unchanged += seen - findings.filter(({ kind }) => kind !== 'vanished').length;
          reconciler.take(findings, cause);
        },
        failed: (key, reason) => fail(cause, key, reason),
        mounted: mounts.found,
      },
      target,
    );

  function fail(cause: Cause, key: KeyBytes, reason: string): void {
    cause.counts.errors++;
    cause.complain(fromBytes(key), reason);
  }

  async function goOn(task: Active): Promise<void> {
    try {
      task.scan ??= scanOf(task);
      if (!task.scan.step(SLICE_MS)) return;
      task.scanned = true;
      if (task.patienceMs !== undefined) task.cause.patience = performance.now() + task.patienceMs;
    } catch (error) {
      task.scan?.stop();
      task.scan = undefined;
      if (!task.failed) throw error;
      active.splice(active.indexOf(task), 1);
      await task.failed(error);
    }
  }

  function add(task: Task, first = false): void {
    const entry: Active = { ...task, hinted: false, scan: undefined, scanned: false };
    if (first) active.unshift(entry);
    else active.push(entry);
  }

  /** Nobody who has just written a file waits for the scan of a million others, nor for one large directory. */
  function next(): Active | undefined {
    const open = active.filter(({ scanned }) => !scanned);
    const hinted = open.filter((task) => task.hinted).slice(0, AT_ONCE);
    turns++;
    if (hinted.length > 0 && turns % (AT_ONCE + 1) > 0) return hinted[turns % hinted.length];
    return open.find((task) => !task.hinted) ?? hinted[0];
  }

  /** Nothing of its own to scan: waits until its findings are settled. */
  const waitFor = (cause: Cause, done: () => void): void => {
    active.push({ target: { dir: '' }, cause, done, hinted: true, scan: undefined, scanned: true });
  };

  function followOne({ dir, names, deep, settled }: HintBatch): void {
    const cause = createCause({ awaited: settled.length > 0 });
    const targets: ScanTarget[] = [];
    if (!names) {
      targets.push({ dir, shallow: deep !== true });
      if (typeof deep === 'object') for (const name of deep) targets.push({ dir: `${dir}${name}/` });
    } else {
      const looks = inside((bucket) => lookAtNames(bucket, catalog, dir, names));
      for (const { name, directory, failure } of looks) {
        if (failure !== undefined) fail(cause, dir + name, failure);
        if (!directory) continue;
        const below = `${dir}${name}/`;
        const whole = (typeof deep === 'object' && deep.has(name)) || !catalog.directory(below);
        targets.push({ dir: below, shallow: !whole });
      }
      const findings = looks.flatMap(({ finding }) => (finding ? [finding] : []));
      reconciler.take(findings, cause);
    }
    let left = targets.length + 1;
    const done = () => {
      if (--left > 0 || settled.length === 0) return;
      void catalog.flushed().then(() => {
        for (const each of settled) each();
      });
    };
    for (const target of targets) active.push({ target, cause, done, hinted: true, scan: undefined, scanned: false });
    if (settled.length > 0) waitFor(cause, done);
  }

  return {
    add,
    follow(batches) {
      while (batches.length > 0) {
        followOne(batches[0]!);
        batches.shift();
      }
    },
    async step() {
      const task = reconciler.busy < MOST_BUSY ? next() : undefined;
      if (task) await goOn(task);
      for (const ended of active.filter(({ scanned, cause }) => scanned && cause.open === 0)) {
        active.splice(active.indexOf(ended), 1);
        await ended.done?.();
      }
      return reconciler.busy < MOST_BUSY && active.some(({ scanned }) => !scanned);
    },
    seen: (cause) => active.find((task) => task.cause === cause)?.scan?.seen ?? 0,
    stop() {
      for (const { scan } of active.splice(0)) scan?.stop();
    },
  };
}
