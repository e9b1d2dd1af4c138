/** What a pool of worker threads offers to those that call it, and what it is made with. */
import type { Actor } from '../types.js';
import type { ErrnoContext } from './errno.js';
import type { Ops } from './worker.js';
import type { OpTable } from './worker-loop.js';

export interface RunOptions {
  /** As whom; undefined is the gateway itself, for its own files. */
  actor?: Actor | undefined;
  /** Runs on this very worker, in the order of the calls: where descriptors and hash states live. */
  lane?: number;
  /** Buffers among the arguments that move instead of being copied; not for an op that may say `busyNow`. */
  transfer?: readonly ArrayBuffer[];
  /** What an errno of this call means to the client (`errno.ts`); `service` when it is not about a key's file. */
  context?: ErrnoContext;
  /** Called right before a worker gets the call: what it answers may be from then on. */
  posted?: () => void;
  /** Hears of a result that came after the caller had been refused (SlowDown): closes what the result holds. */
  orphan?: (value: unknown) => void;
  /** Called once, when no worker is or will be at this call any more: later than the caller is refused, if a mount hangs. */
  ended?: () => void;
  /** Releases something: it is run however late, by whichever worker, and never refused for want of room. */
  surely?: boolean;
  /** Bytes that may have to reach the disk before it returns (fsync): it is given time for them. */
  bytes?: number;
  /** Its thread stands beside the main one meanwhile (`priority.ts`): for calls that wait for each other. */
  beside?: boolean;
  /** Best run by the same worker as others of the same number, which has warm caches; by any, when that one is busy. */
  prefer?: number;
}

export interface Pool<O extends OpTable = Ops> {
  /** Rejects with an `S3Error` whose cause is what happened. `SlowDown` when the pool has too much to do. */
  run<K extends keyof O & string>(op: K, args: Parameters<O[K]>, options?: RunOptions): Promise<ReturnType<O[K]>>;
  /** Runs on each worker that there is. */
  everywhere<K extends keyof O & string>(op: K, args: Parameters<O[K]>): Promise<ReturnType<O[K]>[]>;
  /**
   * The number of the worker with the least to do, for `RunOptions.lane`, for something new.
   * @throws SlowDown when the pool has too much to do
   */
  lane(): number;
  /** Numbers of lanes go up to it. */
  readonly size: number;
  /** So many workers have nothing to do, or could be started; 0 when one stands still, as others then may. */
  readonly free: number;
  /** Nobody waits for an answer, and no worker is at anything. */
  readonly idle: boolean;
  /** Resolves when a worker has started, and calls are worked on; rejects when it cannot. */
  ready(): Promise<void>;
  /**
   * Finishes what has been accepted (for `graceMs` at most), then ends the threads; one that hangs is left to itself. Later
   * calls are refused.
   */
  close(graceMs?: number): Promise<void>;
}

export interface PoolOptions {
  /** At most. */
  workers: number;
  /**
   * So many are started without being asked for, one after the other: more at once would only take the cores from whoever waits
   * for the first. The others are started when calls have to wait. Default: all.
   */
  first?: number;
  /** Calls that may wait for a worker; one more is answered SlowDown. */
  queueLimit?: number;
  /** A call that has not begun after this time is answered SlowDown. */
  waitMs?: number;
  /**
   * One whose system call does not return in this time, less what it has waited before (a mount that hangs), is answered
   * SlowDown; its worker stays occupied. Default: `waitMs`.
   */
  stillMs?: number;
  /** So is one that takes longer than this in all. */
  runMs?: number;
  /** So long a call that meets a lock is tried again: writers of one key on a filesystem that takes milliseconds a call. */
  busyMs?: number;
  /** The threads stand behind the main one (`priority.ts`). Default: true. */
  behind?: boolean;
  /** Another worker module, for tests. */
  worker?: URL;
}
