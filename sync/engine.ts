/** The main thread's side of the sync engine: starts its thread, wakes it, starts it again should it die. */
import { Worker } from 'node:worker_threads';
import type { Bucket } from '../gateway/storage/types.js';
import type { EngineStart, FromEngine, Question, ToEngine } from './thread.js';
import type { Destination } from './webhooks.js';

export interface SyncEngine {
  /** Something was recorded in, or asked for, a bucket: the leader need not wait for its next look. */
  nudge(bucket: Pick<Bucket, 'name'>): void;
  /** Ends after what is being committed; other gateways lead from then on. */
  close(): Promise<void>;
}

export interface EngineOptions extends EngineStart {
  /** Where a webhook is now. */
  destination(name: string): Promise<Destination | undefined>;
  log: Record<'info' | 'warn' | 'error', (details: object, message: string) => void>;
}

const RESTART_MS = [1_000, 5_000, 30_000] as const;
/** A thread that has worked so long has not died of what it died of before. */
const HEALTHY_MS = 600_000;
const CLOSE_MS = 10_000;

export function startSyncEngine({ log, destination, ...start }: EngineOptions): SyncEngine {
  let worker: Worker | undefined;
  let closing = false;
  let deaths = 0;
  let timer: NodeJS.Timeout | undefined;

  const post = (message: ToEngine) => worker?.postMessage(message);

  async function answer({ question, webhook }: Question): Promise<void> {
    try {
      post({ answer: question, destination: await destination(webhook) });
    } catch (err) {
      // As for one that is not there: it is asked for again.
      log.warn({ err, webhook }, 'a webhook cannot be read');
      post({ answer: question, destination: undefined });
    }
  }

  function begin(): void {
    const begun = performance.now();
    const thread = new Worker(new URL('./thread.js', import.meta.url), {
      workerData: start,
      // Node would warn of every descriptor that it did not open itself, and remember it.
      trackUnmanagedFds: false,
    });
    worker = thread;
    let reason: unknown = new Error('the thread ended');
    thread.unref();
    thread.on('message', (message: FromEngine) => {
      if ('question' in message) void answer(message);
      else log[message.level](message.details, message.message);
    });
    thread.on('error', (error) => {
      reason = error;
    });
    thread.on('exit', () => {
      if (worker === thread) worker = undefined;
      if (closing) return;
      if (performance.now() - begun > HEALTHY_MS) deaths = 0;
      const ms = RESTART_MS[Math.min(deaths++, RESTART_MS.length - 1)]!;
      log.error({ err: reason, ms }, 'the sync engine stopped, and is started again');
      timer = setTimeout(begin, ms).unref();
    });
  }

  begin();
  return {
    nudge: ({ name }) => post({ nudge: name }),
    async close() {
      closing = true;
      clearTimeout(timer);
      const thread = worker;
      if (!thread) return;
      thread.ref();
      const exited = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
      post('stop');
      const late = setTimeout(() => {
        log.warn({}, 'the sync engine does not end: it is cut off');
        void thread.terminate();
      }, CLOSE_MS);
      await exited;
      clearTimeout(late);
    },
  };
}
