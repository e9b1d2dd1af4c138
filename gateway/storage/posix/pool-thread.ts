/** The threads of a pool: how one is started, and how it is seen from outside that one stands still. */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { leaveIf, stay } from './leave.js';
import { plainTable } from './plain.js';
import type { Pending, Slot } from './pool-choice.js';
import type { PoolOptions } from './pool-types.js';
import type { Ready, Replies, WorkerStart } from './worker-loop.js';
import { turnMemory } from './write-turns.js';

export interface ThreadHears {
  ready(): void;
  replies(replies: Replies): void;
  /** It is gone. @param up whether it had ever started */
  ended(cause: unknown, up: boolean): void;
}

/**
 * What `privileges.ts` gives to the main thread is for requests that wait. A thread has one call at a time: there so much young
 * memory would fill with garbage, up to 48 MiB for each. Of 4 and 8 both are as quick; with 2 a listing of everything takes a
 * twentieth longer. The flag stands above a worker's `resourceLimits`.
 */
const YOUNG_MIB = 4;

/** Starts a thread in a slot that has none. */
export const startThread = (url: URL, slot: Slot, behind: boolean, hears: ThreadHears): void => {
  const running = new SharedArrayBuffer(8);
  slot.running = new Int32Array(running);
  [slot.load, slot.started, slot.actor] = [0, false, ''];
  slot.seen = { id: 0, calls: 0, begun: 0, changed: 0 };
  setFlagsFromString(`--max-semi-space-size=${YOUNG_MIB}`);
  // koffi opens descriptors that Node does not know of: tracking them leaks memory for each and warns.
  const worker = new Worker(url, {
    workerData: { running, held: slot.held, plain: plainTable(), turns: turnMemory(), behind } satisfies WorkerStart,
    trackUnmanagedFds: false,
  });
  slot.worker = worker;
  worker.unref();
  const cells = slot.running;
  const atWork = () => Atomics.load(cells, 0) !== 0;
  leaveIf(atWork);
  let reason: unknown;
  worker.on('error', (error) => {
    reason = error;
  });
  worker.on('messageerror', (error) => {
    reason = error;
    void worker.terminate();
  });
  worker.on('message', (message: Replies | Ready) => {
    if ('replies' in message) return hears.replies(message);
    [slot.started, slot.thread] = [true, message.thread];
    hears.ready();
  });
  worker.on('exit', () => {
    stay(atWork);
    if (slot.worker !== worker) return;
    const up = slot.started;
    [slot.worker, slot.started, slot.thread, slot.batch] = [undefined, false, undefined, []];
    hears.ended(reason ?? new Error('a worker thread ended by itself'), up);
  });
};

/** What was seen of a thread, by whoever looks at it from time to time. */
export interface Sight {
  /** The call that runs; 0: none. */
  id: number;
  calls: number;
  /** Milliseconds since the epoch: when this call was first seen, and when it last came to another system call. */
  begun: number;
  changed: number;
}

/** Looks at a thread. */
export const look = (slot: Slot, now: number): Sight => {
  const { seen } = slot;
  const [id, calls] = [Atomics.load(slot.running, 0), Atomics.load(slot.running, 1)];
  if (id !== seen.id) seen.begun = now;
  if (id !== seen.id || calls !== seen.calls) seen.changed = now;
  [seen.id, seen.calls] = [id, calls];
  return seen;
};

/** What the slowest disks write, bytes per millisecond. */
const SLOWEST = (16 << 20) / 1000;
/** A call that waited long is given so much of its time nevertheless. */
const SHORTEST_MS = 1_000;

/** Whether a call has had its time. @param sight of its worker @param times of `PoolOptions` */
export const isLate = (
  { call, since, options: { bytes = 0 } }: Pending,
  { id, begun, changed }: Sight,
  now: number,
  { waitMs, stillMs, runMs }: Required<Pick<PoolOptions, 'waitMs' | 'stillMs' | 'runMs'>>,
): boolean => {
  if (call.id !== id) return now - since > waitMs;
  const time = Math.max(stillMs - (begun - since), Math.min(stillMs, SHORTEST_MS)) + bytes / SLOWEST;
  return now - changed > time || now - since > Math.max(runMs, time);
};
