/** What runs inside a worker thread: takes batches of calls, becomes the actor of each, answers in batches. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { S3Error } from '../../errors.js';
import type { Actor } from '../types.js';
import { become } from './identity.js';
import { dropPrivileges } from './privileges.js';
import { isErrno } from './syscalls.js';

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

/** An error on its way between threads. */
export type Failure =
  | { kind: 's3'; code: string; message: string; fields: Record<string, string>; headers: Record<string, string> }
  | { kind: 'errno'; code: string; errno: number; syscall: string; message: string }
  | { kind: 'busy' }
  | { kind: 'late' }
  | { kind: 'other'; message: string; stack: string | undefined };

export type Reply = { id: number; value: unknown } | { id: number; failure: Failure; cause?: Failure };

export interface WorkerStart {
  /** [0]: the id of the call that runs now, 0 when none does. */
  running: SharedArrayBuffer;
}

const busy = Symbol('busy');

/**
 * Throw this from an op whose lock is held by somebody else: the worker goes on with other calls, and the pool calls
 * the op again a few milliseconds later (from its start, with the same arguments), for 2 s at most, then SlowDown.
 */
export const busyNow = (): never => {
  throw busy;
};

let handedOver: ArrayBuffer[] = [];

/** Moves an ArrayBuffer of the result to the main thread with this op's reply, instead of copying it. */
export const handOver = (buffer: ArrayBuffer): void => {
  handedOver.push(buffer);
};

const describe = (error: unknown): Failure => {
  if (error === busy) return { kind: 'busy' };
  if (error instanceof S3Error) {
    return { kind: 's3', code: error.code, message: error.message, fields: error.fields, headers: error.headers };
  }
  if (isErrno(error)) {
    const { code, syscall, message } = error;
    return { kind: 'errno', code, errno: Math.abs(error.errno), syscall, message };
  }
  if (error instanceof Error) return { kind: 'other', message: error.message, stack: error.stack };
  return { kind: 'other', message: String(error), stack: undefined };
};

const failed = (id: number, error: unknown): Reply => {
  const cause = error instanceof Error && error.cause !== undefined ? describe(error.cause) : undefined;
  return cause ? { id, failure: describe(error), cause } : { id, failure: describe(error) };
};

const FLUSH_AFTER_MS = 1;

const answer = (port: MessagePort, replies: Reply[], transfers: ArrayBuffer[]): void => {
  try {
    port.postMessage(replies, transfers);
  } catch {
    // One result cannot be cloned: the others must not suffer.
    for (const reply of replies) {
      try {
        port.postMessage([reply]);
      } catch (error) {
        port.postMessage([failed(reply.id, error)]);
      }
    }
  }
};

/** Serves the operations to the pool that started this thread. */
export const serve = (ops: OpTable): void => {
  const port = parentPort;
  if (!port) throw new Error('not a worker thread');
  const running = new Int32Array((workerData as WorkerStart).running);
  dropPrivileges();

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
      if (performance.now() - since < FLUSH_AFTER_MS) continue;
      answer(port, replies, handedOver);
      [replies, handedOver, since] = [[], [], performance.now()];
    }
    if (replies.length > 0) answer(port, replies, handedOver);
    handedOver = [];
  });
  port.postMessage('ready');
};
