/**
 * Gives files that jobs wrote their ETag: digests the content in threads that serve nothing else, and stores the record. In
 * a bucket with `fast` ETags it stores the record alone.
 *
 * A file is read in slices, one message each. So many files take turns in a thread, a limit of the rate holds for all of
 * them together, and a file that changes while it is read is given up at once.
 */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import { S3Error } from '../gateway/errors.js';
import { createInBucket, type GroundSettings, untilSettled } from '../gateway/storage/posix/context.js';
import { createPool } from '../gateway/storage/posix/pool.js';
import type { StampHow, StampResult, StampStep } from '../gateway/storage/posix/stamp-ops.js';
import type { Bucket, Documents, Place } from '../gateway/storage/types.js';
import { collectOrphans, type Orphans } from './orphans.js';
import type { SyncSettings } from './types.js';

export type { StampResult } from '../gateway/storage/posix/stamp-ops.js';

export interface Stamper {
  /**
   * Digests the content of a file and stores its record, as `at.actor`. Never rejects for what a user or a job can cause.
   *
   * What needs nothing is told at once (`stamped`, 0 bytes): an S3 upload to which nothing has happened, a directory.
   * @param seen what the caller saw of the file: if it is otherwise by now, the answer is `busy`, and he looks again
   */
  stamp(at: Place, key: string, seen: Fingerprint, how: Omit<StampHow, 'checksum'>): Promise<StampResult>;
  /** `orphans.ts`, in the same threads. */
  collectOrphans(bucket: Bucket, knows: (ino: bigint) => boolean, ageMs: number): Promise<Orphans>;
  /** Files that wait for their turn: for back-pressure. */
  readonly waiting: number;
  /** What waits or runs is told `busy`; nothing is left half-way. */
  close(): Promise<void>;
}

export interface StamperOptions extends Pick<SyncSettings, 'hashers' | 'hashRate' | 'hashIops' | 'checksum'> {
  ground: GroundSettings;
  /** To make sure of a bucket whose user has removed its `.tidegate`. */
  documents: Pick<Documents, 'get'>;
}

const MIB = 1 << 20;
/** Some 5 ms of a thread: so long a small file waits for a slice of a large one. */
const SLICE = 4 * MIB;
/** Files that are being hashed in one thread, by size (bytes, below): a file waits for those of its own kind only. */
const kinds = [
  // Most of their time they wait: for the clock to pass their record's time. What is told together is committed together.
  { below: SLICE + 1, slots: 32 },
  { below: 256 * MIB, slots: 1 },
  { below: 16_384 * MIB, slots: 1 },
  { below: Number.POSITIVE_INFINITY, slots: 1 },
];
/** Of all threads: a process may have no more than 1,024 descriptors. */
const MOST_OPEN = 512;
const AGAIN_MS = 1_000;
/** A thread may be at the fsync of a file that a job has just filled the cache with. */
const WAIT_MS = 300_000;

interface Job {
  at: Place;
  key: string;
  seen: Fingerprint;
  how: StampHow;
  /** Bytes to be read, as far as is known. */
  expected: number;
  resolve(result: StampResult): void;
}

const busy: StampResult = { outcome: 'busy', retryMs: AGAIN_MS };

/** Starts the threads. */
export const createStamper = (options: StamperOptions): Stamper => {
  const { hashers, hashRate, hashIops, checksum } = options;
  const pool = createPool({ workers: hashers, waitMs: WAIT_MS, behind: false });
  const { groundOf, inBucket } = createInBucket(() => pool, options.documents, options.ground);
  const throttle = createThrottle(hashRate, hashIops);
  const slice = hashRate > 0 ? Math.min(SLICE, Math.max(64 * 1024, Math.round(hashRate / 10))) : SLICE;
  const queues: Job[][] = kinds.map(() => []);
  /** By lane and kind. */
  const active = Array.from({ length: hashers }, () => kinds.map(() => 0));
  const running = new Set<Promise<void>>();
  let closing = false;

  const hash = async ({ at, key, seen, how, expected }: Job, lane: number): Promise<StampResult> => {
    const { actor } = at;
    const settings = { actor, lane, context: 'write' } as const;
    let open: number | undefined;
    let paid = nothing;
    const read = (bytes: number): void => {
      throttle.settle(paid, bytes);
      paid = nothing;
    };
    const abort = (id: number) => void pool.run('stampAbort', [id], { actor, lane }).catch(() => {});
    try {
      if (!how.trusted) paid = await throttle.take(Math.min(expected, slice), 1);
      if (closing) return busy;
      let step: StampStep = await inBucket(at, (ground) =>
        pool.run('stampBegin', [ground, key, seen, how, slice], {
          ...settings,
          orphan: (late) => {
            if ('id' in (late as StampStep)) abort((late as { id: number }).id);
          },
        }),
      );
      read(step.read);
      while ('id' in step) {
        const { id, settled }: { id: number; settled?: bigint } = step;
        open = id;
        // A record that is stored is confirmed, also at the end: until then a change may hide behind it.
        if (settled !== undefined) await untilSettled(settled);
        else {
          paid = await throttle.take(slice, 0);
          if (closing) return busy;
        }
        step = await inBucket(at, () => pool.run('stampStep', [id, slice], settings));
        read(step.read);
      }
      open = undefined;
      return step.done;
    } catch (error) {
      return ofError(error);
    } finally {
      read(0);
      if (open !== undefined) abort(open);
    }
  };

  /** The lane with the fewest files, of those with room for one of this kind. */
  const laneFor = (kind: number): number | undefined => {
    const slots = Math.min(kinds[kind]!.slots, Math.max(8, Math.floor(MOST_OPEN / hashers)));
    let best: number | undefined;
    const load = (lane: number): number => active[lane]!.reduce((sum, count) => sum + count, 0);
    for (let lane = 0; lane < hashers; lane++) {
      if (active[lane]![kind]! >= slots) continue;
      if (best === undefined || load(lane) < load(best)) best = lane;
    }
    return best;
  };

  const start = (kind: number): void => {
    for (let lane = laneFor(kind); lane !== undefined && queues[kind]!.length > 0; lane = laneFor(kind)) {
      const job = queues[kind]!.shift()!;
      const counts = active[lane]!;
      counts[kind]!++;
      const run = hash(job, lane).then((result) => {
        counts[kind]!--;
        running.delete(run);
        job.resolve(result);
        start(kind);
      });
      running.add(run);
    }
  };

  return {
    stamp: (at, key, seen, how) =>
      new Promise<StampResult>((resolve) => {
        if (closing) {
          resolve(busy);
          return;
        }
        const isRead = !how.trusted && !groundOf(at.bucket).fast;
        const expected = isRead ? seen.size : 0;
        const kind = kinds.findIndex(({ below }) => expected < below);
        queues[kind]!.push({ at, key, seen, how: { ...how, checksum }, expected, resolve });
        start(kind);
      }),
    collectOrphans: (bucket, knows, ageMs) => collectOrphans(pool, groundOf(bucket), knows, ageMs),
    get waiting() {
      return queues.reduce((sum, queue) => sum + queue.length, 0);
    },
    close: async () => {
      closing = true;
      for (const queue of queues) for (const { resolve } of queue.splice(0)) resolve(busy);
      throttle.open();
      await Promise.all(running);
      await pool.close();
    },
  };
};

const ofError = (error: unknown): StampResult => {
  if (error instanceof S3Error && error.code === 'NoSuchBucket') return { outcome: 'gone' };
  // A lock that is taken for long, or a mount that does not answer.
  if (error instanceof S3Error && (error.code === 'SlowDown' || error.code === 'ServiceUnavailable')) return busy;
  const { cause } = error as { cause?: unknown };
  const told = cause instanceof Error ? cause : error;
  return { outcome: 'failed', reason: told instanceof Error ? told.message : String(told) };
};

/** Milliseconds that somebody has taken, and the operations that it is at least. */
interface Paid {
  ms: number;
  least: number;
}
const nothing: Paid = { ms: 0, least: 0 };

/** So late a timer may come without the rate being missed for it. */
const LATE_MS = 20;

/**
 * Keeps a rate: whoever wants to read waits until what others took before him is paid for.
 * @param rate bytes per second @param iops operations per second; 0: no limit
 */
const createThrottle = (rate: number, iops: number) => {
  const queue: { paid: Paid; begin: (paid: Paid) => void }[] = [];
  let free = 0;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const price = (bytes: number, least: number): number =>
    1000 * Math.max(rate > 0 ? bytes / rate : 0, iops > 0 ? Math.max(least, bytes / MIB) / iops : 0);
  const pass = (): void => {
    clearTimeout(timer);
    timer = undefined;
    for (let now = performance.now(); queue.length > 0 && (stopped || free <= now); ) {
      const { paid, begin } = queue.shift()!;
      free = Math.max(free, now - LATE_MS) + paid.ms;
      begin(paid);
    }
    if (queue.length > 0) timer = setTimeout(pass, free - performance.now());
  };
  return {
    /**
     * Waits for its turn, and takes so many bytes, as far as is known before they are read.
     * @param least operations that it is, however few the bytes
     */
    take: (bytes: number, least: number): Promise<Paid> =>
      new Promise((begin) => {
        queue.push({ paid: { ms: price(bytes, least), least }, begin });
        if (timer === undefined) pass();
      }),
    /** So many bytes it were. */
    settle: ({ ms, least }: Paid, bytes: number): void => {
      free += price(bytes, least) - ms;
      if (queue.length > 0) pass();
    },
    open: (): void => {
      stopped = true;
      pass();
    },
  };
};
