/** What `watch.ts` and its thread say to each other. */
import type { MessagePort } from 'node:worker_threads';

export interface WatchThreadData {
  port: MessagePort;
  /** The thread waits for this descriptor too. */
  bell: number;
  /** [0]: batches that the owner has taken. */
  taken: SharedArrayBuffer;
  debounceMs: number;
  modifyMs: number;
  checkMs: number;
}

/** To the thread. */
export type WatchOrder = { add: number; path: string } | { remove: number } | 'stop';

/** A hint on its way: id of the bucket, directory, entry or undefined, deep. */
export type SentHint = [root: number, dir: string, name: string | undefined, deep: boolean | undefined];

/** From the thread. */
export type WatchNews =
  | { hints: SentHint[] }
  | { lost: number; dir: string; why: string }
  | { ready: number }
  /** There is no inotify instance to be had. */
  | { failed: string };
