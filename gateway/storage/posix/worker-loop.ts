/** What runs inside a worker thread: takes batches of calls, becomes the actor of each, answers in batches. */
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { standBehind } from '../priority.js';
import type { Actor } from '../types.js';
import { type Failed, failed } from './failures.js';
import { heldIn, holdIn } from './held.js';
import { become } from './identity.js';
import { countCalls } from './libc.js';
import { usePlainTable } from './plain.js';
import { dropPrivileges } from './privileges.js';
import { close } from './syscalls.js';
import { ownWorkingDirectory } from './working-directory.js';
import { useTurnMemory } from './write-turns.js';

/** Synchronous functions by name. What they take and return is cloned between the threads. */
// biome-ignore lint/suspicious/noExplicitAny: a table of functions of any kind; `Pool` types each call by its own entry
export type OpTable = Record<string, (...args: any[]) => unknown>;

export interface Call {
  id: number;
  op: string;
  args: readonly unknown[];
  actor: Actor | undefined;
  /** Milliseconds since the epoch: not begun any more afterwards, the caller has been answered. 0: never. */
  deadline: number;
}

export type Reply = { id: number; value: unknown } | Failed;

/** What one message brings back. */
export interface Replies {
  replies: Reply[];
  /** Milliseconds that the calls took. */
  ms: number;
}

/** The first message of a thread. */
export interface Ready {
  /** As gettid(2) has it; undefined where /proc does not tell. */
  thread: number | undefined;
}

export interface WorkerStart {
  /** [0]: the id of the call that runs now, 0 when none does, negative when it is at something else. [1]: counts the system calls of the thread. */
  running: SharedArrayBuffer;
  /** Of `held.ts`: descriptors that the thread had open whose place this one takes. */
  held: SharedArrayBuffer;
  /** Of `plain.ts`. */
  plain: SharedArrayBuffer;
  /** Of `write-turns.ts`. */
  turns: SharedArrayBuffer;
  /** The thread stands behind the main one (`priority.ts`). */
  behind: boolean;
}

let handedOver: ArrayBuffer[] = [];

/** Moves an ArrayBuffer of the result to the main thread with this op's reply, instead of copying it. */
export const handOver = (buffer: ArrayBuffer): void => {
  handedOver.push(buffer);
};

const FLUSH_AFTER_MS = 1;
/** In the place of a call's id. */
const CLOSING = -1;

const answer = (port: MessagePort, replies: Reply[], ms: number, transfers: ArrayBuffer[]): void => {
  const send = (some: Reply[], moved: ArrayBuffer[] = []) =>
    port.postMessage({ replies: some, ms } satisfies Replies, moved);
  try {
    send(replies, transfers);
  } catch {
    // One result cannot be cloned: the others must not suffer.
    for (const reply of replies) {
      try {
        send([reply]);
      } catch (error) {
        send([failed(reply.id, error)]);
      }
    }
  }
};

const threadNumber = (): number | undefined => {
  try {
    // PID/task/TID
    return Number(basename(readlinkSync('/proc/thread-self')));
  } catch {
    return undefined;
  }
};

/** Serves the operations to the pool that started this thread. */
export const serve = (ops: OpTable): void => {
  const port = parentPort;
  if (!port) throw new Error('not a worker thread');
  const start = workerData as WorkerStart;
  const running = new Int32Array(start.running);
  countCalls(running);
  holdIn(start.held);
  usePlainTable(start.plain);
  useTurnMemory(start.turns);
  dropPrivileges();
  if (start.behind) standBehind();
  ownWorkingDirectory();

  const perform = (call: Call): Reply => {
    if (call.deadline !== 0 && Date.now() > call.deadline) return { id: call.id, failure: { kind: 'late' } };
    Atomics.store(running, 0, call.id);
    const moved = handedOver.length;
    try {
      const op = ops[call.op];
      if (!op) throw new Error(`no operation ${call.op}`);
      become(call.actor);
      const value = op(...call.args);
      // A promise would go on after the next call has changed the identity of this thread.
      if (value instanceof Promise) throw new Error(`operation ${call.op} is not synchronous`);
      return { id: call.id, value };
    } catch (error) {
      handedOver.length = moved;
      return failed(call.id, error);
    } finally {
      Atomics.store(running, 0, 0);
    }
  };

  port.on('message', (calls: Call[]) => {
    let replies: Reply[] = [];
    let since = performance.now();
    for (const call of calls) {
      replies.push(perform(call));
      const ms = performance.now() - since;
      if (ms < FLUSH_AFTER_MS) continue;
      answer(port, replies, ms, handedOver);
      [replies, handedOver, since] = [[], [], performance.now()];
    }
    if (replies.length > 0) answer(port, replies, performance.now() - since, handedOver);
    handedOver = [];
  });
  port.postMessage({ thread: threadNumber() } satisfies Ready);
  // Not before: on a mount that hangs this takes as long as any call, and those that wait for it are refused in time.
  const left = heldIn(start.held);
  if (left.length === 0) return;
  Atomics.store(running, 0, CLOSING);
  for (const fd of left) close(fd);
  Atomics.store(running, 0, 0);
};
