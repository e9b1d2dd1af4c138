/**
 * A source of change: Lustre's changelogs, which tell what every client of the filesystem does. `lfs changelog` is asked
 * again and again (a process a second and MDT costs little, and whatever happens to it the next one begins where it ended).
 *
 * One reader per MDT serves all buckets of this process. It needs a changelog user of its own on every MDT
 * (`lctl changelog_register`): what that user has not cleared, Lustre keeps. So the changelog itself is the queue. A batch
 * of records is cleared when all hints that it made are settled, in order; then a crash repeats hints and loses none.
 *
 * What is kept across restarts, `ChangelogState`, says up to where that is, and which buckets are owed a look at everything:
 * those that records spoke of while nobody led them here, or whose hints were not settled when they were stopped.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { reservedSegment } from '../gateway/storage/keys.js';
import { hasRestarted, readBatch } from './changelog-read.js';
import { type ChangelogRecord, type Fid, meaningOf } from './changelog-record.js';
import { type FidPaths, fidPaths } from './fid-paths.js';
import { type Gathering, gathering } from './gather.js';
import { createLfs, type Lfs } from './lfs.js';
import type { HintSink, Source } from './types.js';

export interface ChangelogState {
  /** Per MDT: the first record whose effect is not durable, and the time of the one before it. */
  mdts: Record<string, { next: number; time: string }>;
  /** Per bucket's directory that was ever served. */
  buckets: Record<string, 'served' | 'owed'>;
}

export interface ChangelogOptions {
  /** Where the filesystem is mounted here. */
  mount: string;
  /** Its MDTs and the changelog user of each: `{ 'lustre-MDT0000': 'cl1' }`. */
  users: Readonly<Record<string, string>>;
  load(): Promise<ChangelogState | undefined>;
  /** Resolves when it is durable. */
  save(state: ChangelogState): Promise<void>;
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  /** `lfs`, and arguments before its own. */
  command?: readonly string[];
  /** Between two readings that found nothing. */
  pollMs?: number;
  /** An `lfs` that takes longer is killed. */
  timeoutMs?: number;
  /** After a failure the first pause; it doubles up to a minute. */
  retryMs?: number;
  /** Records read at once. */
  batch?: number;
}

export interface Changelog {
  /**
   * The source of one bucket; `start` resolves at once, as no change from then on is passed over. `lost` is told when the
   * bucket is owed something, and where records are missing. A bucket that was never served is told nothing: it has
   * everything before it.
   * @param dir absolute, below the mount
   */
  source(dir: string): Source;
  /** Ends the readers; before the sources, when the process ends. What is not settled is read again by the next one. */
  stop(): Promise<void>;
}

interface Bucket {
  /** Bytes of its path as latin1. */
  path: string;
  dir: string;
  sink: HintSink;
  /** Of hints that are under way: lets the batches go without them. */
  open: Set<() => void>;
}

/** Records that are read; in the order of reading. */
interface Unsettled {
  last: number;
  time: string;
  left: number;
}

const MOST_UNSETTLED = 8;
const LONGEST_RETRY_MS = 60_000;
/** Attempts to find out where the directories of a batch are, before everything has to be looked at instead. */
const MOST_ATTEMPTS = 4;
/** Empty readings between two looks whether the numbers have begun anew. */
const RESTART_CHECK = 300;

/** Nothing runs before the first source is started. */
export function createChangelog(options: ChangelogOptions): Changelog {
  const { mount, users, log, command = ['lfs'] } = options;
  const { pollMs = 1_000, timeoutMs = 60_000, retryMs = 1_000, batch: batchSize = 5_000 } = options;
  // A file may be renamed on one MDT and written on another: what is known of paths is one for all.
  const paths: FidPaths = fidPaths();
  const buckets = new Map<string, Bucket>();
  const stopping = new AbortController();
  let state: ChangelogState | undefined;
  let dirty = false;
  let readers: Promise<unknown> | undefined;

  const load = async (): Promise<ChangelogState> => (state ??= (await options.load()) ?? { mdts: {}, buckets: {} });
  let loading: Promise<ChangelogState> | undefined;
  /** Once, unless it fails. */
  const loaded = (): Promise<ChangelogState> => {
    loading ??= load().catch((error) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };

  const setBucket = (dir: string, what: 'served' | 'owed'): void => {
    if (!state || state.buckets[dir] === what) return;
    state.buckets[dir] = what;
    dirty = true;
  };

  let saving: Promise<void> = Promise.resolve();
  /** One after the other: an older state must not replace a newer one. */
  const save = (): Promise<void> => {
    saving = saving
      .catch(() => {})
      .then(async () => {
        dirty = false;
        try {
          await options.save(structuredClone(state!));
        } catch (error) {
          dirty = true;
          throw error;
        }
      });
    return saving;
  };

  // ---- telling ---------------------------------------------------------------------------------------------------

  /** A `settled` of one hint of this batch for this bucket. */
  const token = (bucket: Bucket, unsettled: Unsettled): (() => void) => {
    unsettled.left++;
    const settled = (): void => {
      if (bucket.open.delete(settled)) unsettled.left--;
    };
    bucket.open.add(settled);
    return settled;
  };

  const lostAll = (why: string, unsettled: Unsettled): void => {
    for (const dir of Object.keys(state!.buckets)) if (!buckets.has(bytesOf(dir))) setBucket(dir, 'owed');
    for (const bucket of buckets.values()) bucket.sink.lost('', why, token(bucket, unsettled));
  };

  const tell = (records: readonly ChangelogRecord[], where: (fid: Fid) => readonly string[], into: Unsettled): void => {
    const gathered = new Map<Bucket, Gathering<string>>();
    const gone = new Set<Bucket>();
    const away = new Map(Object.keys(state!.buckets).map((dir) => [bytesOf(dir), dir]));
    for (const path of buckets.keys()) away.delete(path);

    /**
     * @param name undefined for any of the directory
     * @param left whether a directory may have left this place
     */
    const place = (above: string, name: string | undefined, deep: boolean, left = false): void => {
      const whole = name === undefined ? above : `${above}/${name}`;
      const inside = `${above}/`;
      for (let end = above.length; end > 0; end = above.lastIndexOf('/', end - 1)) {
        const path = above.slice(0, end);
        const unserved = away.get(path);
        if (unserved !== undefined) setBucket(unserved, 'owed');
        const bucket = buckets.get(path);
        if (!bucket) continue;
        const dir = inside.slice(path.length + 1);
        if (name === reservedSegment || `/${dir}`.includes(`/${reservedSegment}/`)) continue;
        let its = gathered.get(bucket);
        if (!its) gathered.set(bucket, (its = gathering()));
        its.add(dir, name, deep);
      }
      if (!left) return;
      // The bucket itself has been moved, or a directory above it.
      const moved = (path: string) => path === whole || path.startsWith(`${whole}/`);
      for (const [path, dir] of away) if (moved(path)) setBucket(dir, 'owed');
      for (const bucket of buckets.values()) if (moved(bucket.path)) gone.add(bucket);
    };

    for (const { type, target, parent, name, sources } of records) {
      const meaning = meaningOf(type);
      if (meaning === 'none' || meaning === 'mark') continue;
      const deep = meaning === 'tree';
      const left = deep && type !== 'MKDIR';
      if (parent) for (const above of where(parent)) place(above, name, deep, left);
      for (const source of sources) {
        if (source.parent) for (const above of where(source.parent)) place(above, source.name, deep, left);
      }
      if (meaning !== 'content' || !target) continue;
      for (const path of where(target)) {
        const slash = path.lastIndexOf('/');
        if (slash > 0) place(path.slice(0, slash), path.slice(slash + 1), false);
      }
    }
    for (const bucket of gone)
      bucket.sink.lost('', 'it, or a directory above, was moved or removed', token(bucket, into));
    for (const [bucket, its] of gathered) {
      const all = its.take();
      if (all === 'everything')
        bucket.sink.lost('', 'more has changed than can be told one by one', token(bucket, into));
      else for (const hint of all) bucket.sink.hint({ ...hint, settled: token(bucket, into) });
    }
  };

  // ---- reading ---------------------------------------------------------------------------------------------------

  const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal: stopping.signal }).catch(() => {});

  const read = async (mdt: string, user: string): Promise<void> => {
    const lfs: Lfs = createLfs({ command, mount, timeoutMs });
    const kept = state!.mdts[mdt];
    let next = kept?.next;
    let time = kept?.time ?? '';
    let toClear: number | undefined;
    let clearFails = false;
    let attempts = 0;
    let failures = 0;
    let quiet = RESTART_CHECK;
    const unsettled: Unsettled[] = [];

    /** Makes durable what is settled, then lets the MDT forget it. */
    const settle = async (): Promise<void> => {
      while (unsettled[0]?.left === 0) {
        const done = unsettled.shift()!;
        state!.mdts[mdt] = { next: done.last + 1, time: done.time };
        // Record 0 would mean: up to the newest.
        if (done.last > 0) toClear = done.last;
        dirty = true;
      }
      if (dirty) await save();
      if (toClear === undefined) return;
      try {
        await lfs.clear(mdt, user, toClear);
        toClear = undefined;
        if (clearFails) log.info({ mdt, user }, 'the changelog can be cleared again');
        clearFails = false;
      } catch (error) {
        // Lustre keeps more than it must: no harm yet. The next settled batch tries again.
        if (!clearFails) log.warn({ mdt, user, err: error }, 'the changelog cannot be cleared');
        clearFails = true;
      }
    };

    const step = async (): Promise<boolean> => {
      await settle();
      if (unsettled.length >= MOST_UNSETTLED) return false;
      if (next !== undefined && ++quiet > RESTART_CHECK) {
        quiet = 0;
        if (await hasRestarted(lfs, mdt, next, time)) {
          const begun: Unsettled = { last: 0, time: '', left: 0 };
          next = undefined;
          unsettled.push(begun);
          lostAll(`the changelog of ${mdt} has begun anew`, begun);
        }
      }
      const { records, last, missing, more } = await readBatch(lfs, mdt, next, batchSize);
      if (last === undefined) return more;
      const mark = next !== undefined && records.some(({ type }) => meaningOf(type) === 'mark');
      const batch: Unsettled = { last, time: records.find(({ index }) => index === last)?.time ?? time, left: 0 };
      let where: ((fid: Fid) => readonly string[]) | undefined;
      try {
        where = await paths.resolve(lfs, records);
      } catch (error) {
        if (++attempts < MOST_ATTEMPTS) throw error;
        log.warn({ mdt, err: error }, 'directories of the changelog cannot be found: everything is looked at');
      }
      attempts = 0;
      // From here on nothing waits: the batch is told as a whole or not at all.
      unsettled.push(batch);
      next = last + 1;
      time = batch.time;
      if (missing) {
        const { from, to } = missing;
        log.warn({ mdt, from, to }, 'records of the changelog are missing');
        lostAll(`records ${from} to ${to} of ${mdt} were cleared by somebody else`, batch);
      } else if (!where) lostAll(`the directories of a part of the changelog of ${mdt} cannot be found`, batch);
      else if (mark) lostAll(`the changelog of ${mdt} was switched on or off`, batch);
      if (where) tell(records, where, batch);
      return more;
    };

    while (!stopping.signal.aborted) {
      try {
        const more = await step();
        if (failures > 0) log.info({ mdt }, 'the changelog is read again');
        failures = 0;
        if (!more) await pause(pollMs);
      } catch (error) {
        // Once for a row of failures; nothing is lost by them, Lustre keeps the records.
        if (failures === 0) log.warn({ mdt, err: error }, 'the changelog cannot be read; it is tried again');
        await pause(Math.min(LONGEST_RETRY_MS, retryMs * 2 ** Math.min(failures, 16)));
        failures++;
      }
    }
    await settle().catch(() => {});
  };

  return {
    source(dir) {
      const path = bytesOf(dir);
      let bucket: Bucket | undefined;
      return {
        async start(sink) {
          const below = `${bytesOf(mount).replace(/\/+$/, '')}/`;
          if (!path.startsWith(below)) throw new Error(`${dir} is not below ${mount}`);
          await loaded();
          if (stopping.signal.aborted) throw new Error('the changelog is not read any more');
          const mine: Bucket = { path, dir, sink, open: new Set() };
          bucket = mine;
          buckets.set(path, mine);
          if (state!.buckets[dir] !== 'owed') setBucket(dir, 'served');
          else {
            // Owed until it is settled; a change that comes meanwhile is told by itself.
            sink.lost('', 'changes came while this was not watched', () => {
              if (buckets.get(path) === mine) setBucket(dir, 'served');
            });
          }
          // A turn later: buckets that start together are all there when the first record is read.
          readers ??= pause(Math.min(pollMs, 200)).then(() =>
            Promise.all(Object.entries(users).map(([mdt, user]) => read(mdt, user))),
          );
        },
        stop() {
          if (!bucket || buckets.get(path) !== bucket) return;
          buckets.delete(path);
          // While the readers go on, nobody waits for hints that will not be settled; when they end, they are read again.
          if (bucket.open.size > 0 && !stopping.signal.aborted) {
            setBucket(dir, 'owed');
            for (const settled of bucket.open) settled();
          }
          bucket = undefined;
        },
      };
    },
    async stop() {
      stopping.abort();
      await readers;
    },
  };
}

const bytesOf = (path: string): string => Buffer.from(path).toString('latin1');
