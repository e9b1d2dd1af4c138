/**
 * Worker threads that run whole compounds of system calls synchronously: one hop for open + fstat + attributes instead
 * of one for each. Calls and replies of one turn of the event loop travel in one message.
 */
import { stat } from 'node:fs';
import { S3Error } from '../../errors.js';
import { standBehind, standBeside } from '../priority.js';
import { toS3Error } from './errno.js';
import { revive } from './failures.js';
import { actorKey } from './identity.js';
import { endThreads } from './leave.js';
import { createChoice, newSlot, type Pending, type Slot } from './pool-choice.js';
import { isLate, look, startThread } from './pool-thread.js';
import type { Pool, PoolOptions, RunOptions } from './pool-types.js';
import type { Ops } from './worker.js';
import type { OpTable, Replies } from './worker-loop.js';

const RESTART_MS = 1_000;
/** Threads that may be starting at the same time, beyond the first. */
const STARTING = 2;
/**
 * When every worker of a pool has stood still for so long, no more calls than these may wait until one moves; none, when it
 * has stood still until its caller was refused.
 */
const SUSPECT_MS = 5_000;
const FEW = 64;
/** So long, at most, a thread takes to start. */
const START_MS = 20_000;

export const createPool = <O extends OpTable = Ops>(options: PoolOptions): Pool<O> => {
  const { workers: size, queueLimit = 10_000, waitMs = 30_000, runMs = 600_000, busyMs = 10_000 } = options;
  const first = Math.min(size, options.first ?? size);
  let stillMs = options.stillMs ?? waitMs;
  const url = options.worker ?? new URL('./worker.js', import.meta.url);
  const slots = Array.from({ length: size }, newSlot);
  const choice = createChoice(slots, first);
  const queue: Pending[] = [];
  let nextId = 0;
  let open = 0;
  let closing = false;
  let closed = false;
  let drained: (() => void) | undefined;
  /** So many calls may wait. Less than `queueLimit` when none of the workers has moved for a while. */
  let room = queueLimit;

  // libuv's threads inherit the credentials of whoever first uses them: that must be the main thread, now.
  stat('/', () => {});

  // Keeps the process alive while a call is open, and looks after those that wait too long. Idle workers do not.
  const keeper = setInterval(() => sweep(), Math.min(1000, Math.max(20, waitMs / 10)));
  keeper.unref();

  const settled = (): void => {
    if (--open > 0) return;
    keeper.unref();
    drained?.();
  };
  const refuse = (pending: Pending, error: unknown): void => {
    settled();
    pending.reject(error);
  };
  /** For what no worker knows of. */
  const drop = (pending: Pending, error: unknown): void => {
    if (!pending.refused) refuse(pending, error);
    pending.options.ended?.();
  };

  const place = ({ thread }: Slot, put: (threads: readonly number[]) => void): void => {
    if (thread !== undefined && (options.behind ?? true)) put([thread]);
  };

  const post = (slot: Slot, batch: Pending[]): void => {
    const transfers = batch.flatMap((pending) => [...(pending.options.transfer ?? [])]);
    for (const { options: each } of batch) {
      each.posted?.();
      if (each.beside) place(slot, standBeside);
    }
    try {
      slot.worker!.postMessage(
        batch.map((pending) => pending.call),
        transfers,
      );
    } catch (error) {
      if (batch.length > 1) {
        for (const pending of batch) post(slot, [pending]);
        return;
      }
      const [pending] = batch;
      slot.load--;
      slot.pending.delete(pending!.call.id);
      drop(pending!, toS3Error(error));
    }
  };

  const give = (slot: Slot, pending: Pending): void => {
    if (slot.load++ === 0) slot.progressed = performance.now();
    slot.pending.set(pending.call.id, pending);
    slot.actor = actorKey(pending.call.actor);
    slot.quick = choice.isQuick(pending.call.op) && (slot.quick || slot.batch.length === 0);
    if (slot.batch.push(pending) > 1) return;
    setImmediate(() => {
      const batch = slot.batch;
      slot.batch = [];
      // A worker that died in between has already failed these.
      if (batch.length > 0 && slot.worker) post(slot, batch);
    });
  };

  const drain = (): void => {
    while (queue.length > 0) {
      const slot = choice.pick(queue[0]!.call);
      if (!slot) break;
      give(slot, queue.shift()!);
    }
    if (queue.length > 0) grow();
  };

  /** Another worker, for those that wait. */
  const grow = (): void => {
    const starting = slots.filter(({ worker, started: up }) => worker && !up).length;
    if (closing || starting >= STARTING || starting >= queue.length) return;
    const free = slots.find(({ worker, restarts }) => !worker && !restarts);
    if (free) start(free);
  };

  const tooMany = () => (room < queueLimit ? silent() : new S3Error('SlowDown'));

  const dispatch = (pending: Pending): void => {
    if (closed) {
      drop(pending, new S3Error('ServiceUnavailable'));
      return;
    }
    const { prefer, surely } = pending.options;
    const lane = pending.options.lane ?? (surely ? choice.lane() : undefined);
    if (lane !== undefined) {
      const slot = slots[lane];
      // Whoever knows its number may be earlier than `startNext`.
      if (slot && !slot.worker && !slot.restarts && !closing) start(slot);
      if (slot?.worker) give(slot, pending);
      else drop(pending, new S3Error('InternalError', { message: 'A worker thread was lost. Please try again.' }));
      return;
    }
    const slot =
      choice.preferred(prefer, pending.call.op) ?? (queue.length === 0 ? choice.pick(pending.call) : undefined);
    if (slot) give(slot, pending);
    else if (queue.length >= room) drop(pending, tooMany());
    else {
      queue.push(pending);
      grow();
    }
  };

  const again = (pending: Pending): void => {
    if (Date.now() - pending.since > busyMs) {
      drop(pending, new S3Error('SlowDown', { message: 'The key is being changed by others. Please try again.' }));
      return;
    }
    // Random, so that gateways that wait for one lock do not meet again.
    setTimeout(() => dispatch(pending), (1 + Math.random()) * Math.min(16, 2 ** pending.attempt++));
  };

  const receive = (slot: Slot, { replies, ms }: Replies): void => {
    slot.progressed = performance.now();
    room = queueLimit;
    const each = ms / replies.length;
    for (const reply of replies) {
      slot.load--;
      const pending = slot.pending.get(reply.id);
      if (!pending) continue;
      slot.pending.delete(reply.id);
      choice.learn(pending.call.op, each);
      if (pending.options.beside) place(slot, (threads) => standBehind(undefined, threads));
      const busy = 'failure' in reply && reply.failure.kind === 'busy' && !pending.refused;
      if (!busy) pending.options.ended?.();
      if (pending.refused) {
        if (!('failure' in reply)) pending.options.orphan?.(reply.value);
      } else if (!('failure' in reply)) {
        settled();
        pending.resolve(reply.value);
      } else if (reply.failure.kind === 'busy') again(pending);
      else {
        const error = revive(reply.failure);
        if (reply.cause && error instanceof Error) error.cause = revive(reply.cause);
        refuse(pending, toS3Error(error, pending.options.context));
      }
    }
    drain();
  };

  let startFailed: (error: unknown) => void = () => {};
  let someStarted: () => void = () => {};
  const started = new Promise<void>((resolve, reject) => {
    [someStarted, startFailed] = [resolve, reject];
  });
  started.catch(() => {}); // who does not ask hears of it through the calls that fail

  const start = (slot: Slot): void => {
    slot.restarts = false;
    startThread(url, slot, options.behind ?? true, {
      ready: () => {
        someStarted();
        startNext();
        drain();
      },
      replies: (replies) => receive(slot, replies),
      ended: (cause, up) => {
        const lost = [...slot.pending.values()];
        slot.pending.clear();
        for (const pending of lost) drop(pending, new S3Error('InternalError', { cause }));
        if (closing) return;
        if (up) start(slot);
        else {
          // It cannot even start: not in a loop.
          startFailed(cause);
          slot.restarts = true;
          setTimeout(() => !closing && start(slot), RESTART_MS).unref();
        }
        drain();
      },
    });
  };

  /** The next of those that nobody asks for. */
  const startNext = (): void => {
    const next = slots.slice(0, first).find(({ worker, restarts }) => !worker && !restarts);
    if (next && !closing) start(next);
  };

  const silent = () => new S3Error('SlowDown', { message: 'The filesystem does not answer. Please try again.' });

  const sweep = (): void => {
    const now = Date.now();
    while (queue.length > 0 && now - queue[0]!.since > waitMs) drop(queue.shift()!, new S3Error('SlowDown'));
    let still = slots.some(({ started: up }) => up);
    /** Callers of all workers have been refused. */
    let hung = still;
    for (const slot of slots) {
      if (!slot.worker) continue;
      const seen = look(slot, now);
      if (slot.started && (seen.id === 0 || now - seen.changed < Math.min(SUSPECT_MS, stillMs / 2))) still = false;
      for (const pending of slot.pending.values()) {
        if (pending.refused || !isLate(pending, seen, now, { waitMs, stillMs, runMs })) continue;
        pending.refused = true;
        refuse(pending, silent());
      }
      hung &&= slot.started && slot.pending.get(seen.id)?.refused === true;
    }
    // Requests that wait for nothing would take the room of those for other filesystems.
    room = !still ? queueLimit : hung && slots.every(({ worker }) => worker) ? 0 : Math.min(FEW, queueLimit);
    while (queue.length > room) drop(queue.pop()!, tooMany());
    drain();
  };

  startNext();

  const run = <K extends keyof O & string>(op: K, args: Parameters<O[K]>, runOptions: RunOptions = {}) =>
    new Promise<ReturnType<O[K]>>((resolve, reject) => {
      if (closing) {
        reject(new S3Error('ServiceUnavailable', { message: 'The service is shutting down.' }));
        runOptions.ended?.();
        return;
      }
      const since = Date.now();
      nextId = nextId === 0x7fffffff ? 1 : nextId + 1;
      if (open++ === 0) keeper.ref();
      dispatch({
        // A call of a lane may be the one that closes a descriptor: it must run however late.
        call: {
          id: nextId,
          op,
          args,
          actor: runOptions.actor,
          deadline: runOptions.lane === undefined && !runOptions.surely ? since + waitMs : 0,
        },
        options: runOptions,
        since,
        attempt: 0,
        refused: false,
        resolve: resolve as (value: unknown) => void,
        reject,
      });
    });

  return {
    size,
    run,
    everywhere: (op, args) =>
      Promise.all(slots.flatMap(({ started: up }, lane) => (up ? [run(op, args, { lane })] : []))),
    get free() {
      return Math.max(0, choice.free() - queue.length);
    },
    get idle() {
      return open === 0 && slots.every(({ load }) => load === 0);
    },
    ready: () => {
      keeper.ref();
      return started.finally(() => open === 0 && keeper.unref());
    },
    lane: () => {
      if (open >= room) throw tooMany();
      return choice.lane();
    },
    close: async (graceMs = 30_000) => {
      closing = true;
      stillMs = Math.min(stillMs, SUSPECT_MS);
      if (open > 0) {
        const timer = setTimeout(() => drained?.(), graceMs);
        await new Promise<void>((resolve) => {
          drained = resolve;
        });
        clearTimeout(timer);
      }
      clearInterval(keeper);
      closed = true;
      for (const slot of slots) {
        const lost = [...slot.pending.values(), ...queue.splice(0)];
        slot.pending.clear();
        for (const pending of lost) drop(pending, new S3Error('ServiceUnavailable'));
      }
      // A thread that is ended while koffi loads in it takes the process with it: let it come to its feet first.
      const until = performance.now() + START_MS;
      while (slots.some(({ worker, started: up }) => worker && !up) && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await endThreads(slots.flatMap(({ worker }) => worker ?? []));
    },
  };
};
