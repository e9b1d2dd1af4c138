/** Which worker of a pool gets a call. */
import type { Worker } from 'node:worker_threads';
import { createHeld } from './held.js';
import { actorKey } from './identity.js';
import type { Sight } from './pool-thread.js';
import type { RunOptions } from './pool-types.js';
import type { Call } from './worker-loop.js';

/** A call on its way, and whoever waits for it. */
export interface Pending {
  call: Call;
  options: RunOptions;
  since: number;
  attempt: number;
  /** The caller has been answered SlowDown, but the worker may still do it. */
  refused: boolean;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** A worker, and what it has to do. */
export interface Slot {
  worker: Worker | undefined;
  started: boolean;
  /** Its number in the kernel, once it has started, where that is known. */
  thread: number | undefined;
  /** It could not start, and will be tried again. */
  restarts: boolean;
  /** See `WorkerStart`. */
  running: Int32Array;
  /** What the thread has open; what one that died had, until the next has closed it. See `held.ts`. */
  held: SharedArrayBuffer;
  seen: Sight;
  /** Calls that were posted and not answered, with those whose caller has been refused meanwhile. */
  load: number;
  pending: Map<number, Pending>;
  batch: Pending[];
  actor: string;
  /** When this worker last answered, or was given work while idle. */
  progressed: number;
  /** Of `batch`: there are only quick calls in it. */
  quick: boolean;
  lastLane: number;
}

export interface Choice {
  /** The best worker for a call that any may take; undefined when all are at it. */
  pick(call: Call): Slot | undefined;
  /** The one that `RunOptions.prefer` means, unless it is at something for long. */
  preferred(prefer: number | undefined, op: string): Slot | undefined;
  /** The number of the one with the least to do. */
  lane(): number;
  /** See `Pool`. */
  free(): number;
  /** Whether a call of this operation takes less than a message does. */
  isQuick(op: string): boolean;
  /** @param ms what a call of it took just now */
  learn(op: string, ms: number): void;
}

/** So many calls a worker is given at once; more wait where any worker can take them. */
const DEPTH = 32;
/**
 * A worker that has not answered for so long is at something slow: calls wait for another one. Nor is it given more at once
 * than it is expected to do in that time.
 */
const SLOW_MS = 2;
/**
 * So many quick calls of one turn go to one worker: a message costs more than such a call does. Calls that wait for a disk or a
 * network are spread over the workers.
 */
const TOGETHER = 16;
const QUICK_MS = 0.1;
/** Whoever has not answered for so long may be at something that hangs. */
const STILL_MS = 1_000;
/** For so long one that is preferred may be at something, and so much work it may have. */
const PREFERRED_MS = 50;

export const newSlot = (): Slot => ({
  worker: undefined,
  started: false,
  thread: undefined,
  restarts: false,
  running: new Int32Array(2),
  held: createHeld(),
  seen: { id: 0, calls: 0, begun: 0, changed: 0 },
  load: 0,
  pending: new Map(),
  batch: [],
  actor: '',
  progressed: 0,
  quick: true,
  lastLane: 0,
});

/**
 * @param slots all that the pool may have
 * @param steady so many of them have a worker from the beginning
 */
export const createChoice = (slots: readonly Slot[], steady: number): Choice => {
  let lanes = 0;
  /** What calls take, on average of late, in milliseconds, by operation. */
  const took = new Map<string, number>();
  const isQuick = (op: string): boolean => (took.get(op) ?? QUICK_MS) < QUICK_MS;

  return {
    isQuick,
    free: () => {
      const since = performance.now() - STILL_MS;
      if (slots.some(({ load, progressed }) => load > 0 && progressed < since)) return 0;
      return slots.filter(({ load, restarts }) => load === 0 && !restarts).length;
    },
    learn: (op, ms) => {
      const before = took.get(op) ?? ms;
      took.set(op, before + (ms - before) / 8);
    },
    pick: ({ op, actor: as }) => {
      const actor = actorKey(as);
      const quick = isQuick(op);
      const now = performance.now();
      const ms = took.get(op) ?? PREFERRED_MS;
      // One more than it does now: it need not wait for the main thread in between.
      const depth = Math.min(DEPTH, Math.max(ms < PREFERRED_MS ? 2 : 1, SLOW_MS / ms));
      let best: Slot | undefined;
      let bestScore = Number.POSITIVE_INFINITY;
      for (const slot of slots) {
        if (!slot.started || (slot.load > 0 && (slot.load >= depth || now - slot.progressed > SLOW_MS))) continue;
        // The message to this one is being put together anyway.
        const same = slot.actor === actor;
        const joins = quick && same && slot.quick && slot.batch.length > 0 && slot.batch.length < TOGETHER;
        const score = joins ? -1 : slot.load + (same ? 0 : 0.5);
        if (score < bestScore) [best, bestScore] = [slot, score];
      }
      return best;
    },
    preferred: (prefer, op) => {
      const slot = prefer === undefined ? undefined : slots[prefer % steady];
      if (!slot?.started || slot.load >= Math.min(DEPTH, PREFERRED_MS / (took.get(op) ?? SLOW_MS))) return undefined;
      return slot.load === 0 || performance.now() - slot.progressed < PREFERRED_MS ? slot : undefined;
    },
    lane: () => {
      /** Those that are up before those that start, and these before those that may never be needed. */
      const rank = ({ started, worker }: Slot) => (started ? 2 : worker ? 1 : 0);
      let best = 0;
      for (let i = 1; i < slots.length; i++) {
        const [a, b] = [slots[i]!, slots[best]!];
        const better = rank(a) - rank(b) || b.load - a.load || b.lastLane - a.lastLane;
        if (better > 0) best = i;
      }
      slots[best]!.lastLane = ++lanes;
      return best;
    },
  };
};
