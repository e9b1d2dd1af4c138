/** MD5 of large bodies, in threads that do several of them at once: seen from the main thread. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { S3Error } from '../../errors.js';
import type { Md5ThreadStart } from './md5-thread.js';
import type { SharedMemory } from './memory.js';
import type { Answer, Order } from './work.js';

/** One MD5. It ends with `finish` or `drop`. */
export interface Hashing {
  /**
   * Resolves when these bytes are digested; rejects when the thread is lost, and the digest with it.
   * @param bytes of the shared memory; they must stay as they are until `ended` is called, which is so once, however it ends
   */
  update(bytes: Uint8Array, ended: () => void): Promise<void>;
  /** The digest: 16 bytes. */
  finish(): Promise<Uint8Array>;
  /** Nobody wants it any more. Resolves when no bytes of it are read any more; never rejects. */
  drop(): Promise<void>;
}

export interface Hasher {
  begin(): Hashing;
  /** Ends the threads. Whoever still waits hears ServiceUnavailable. */
  close(): Promise<void>;
}

export interface HasherOptions {
  /** Default: one for four cores. One thread digests four streams at once in hardly more time than one. */
  threads?: number;
  /** Another thread module, for tests. */
  thread?: URL;
}

/** Threads at most, each of which has a page of the memory: those from the first on. */
export const MOST_THREADS = 8;

interface Call {
  resolve(answer: Answer): void;
  reject(error: unknown): void;
  ended(): void;
}

interface Thread {
  worker: Worker;
  calls: Map<number, Call>;
  /** Streams that have begun and not ended. */
  streams: number;
}

/** Threads are started when they are first needed. @param memory in which all bytes lie that are to be digested */
export const createHasher = (memory: SharedMemory, options: HasherOptions = {}): Hasher => {
  const count = options.threads ?? Math.max(1, availableParallelism() >> 2);
  const url = options.thread ?? new URL('./md5-thread.js', import.meta.url);
  const threads: (Thread | undefined)[] = Array.from({ length: Math.min(MOST_THREADS, count) });
  let closed = false;
  let last = 0;

  const start = (page: number): Thread => {
    const worker = new Worker(url, { workerData: { memory, page } satisfies Md5ThreadStart });
    const thread: Thread = { worker, calls: new Map(), streams: 0 };
    threads[page] = thread;
    worker.unref();
    let reason: unknown;
    worker.on('error', (error) => {
      reason = error;
    });
    worker.on('message', (answers: Answer[]) => {
      for (const answer of answers) {
        const call = thread.calls.get(answer.call);
        thread.calls.delete(answer.call);
        call?.ended();
        call?.resolve(answer);
      }
      if (thread.calls.size === 0) worker.unref();
    });
    worker.on('exit', () => {
      if (threads[page] === thread) threads[page] = undefined;
      const lost = [...thread.calls.values()];
      thread.calls.clear();
      const cause = reason ?? new Error('a hashing thread ended by itself');
      const error = closed ? new S3Error('ServiceUnavailable') : new S3Error('InternalError', { cause });
      for (const call of lost) {
        call.ended();
        call.reject(error);
      }
    });
    return thread;
  };

  const begin = (): Hashing => {
    if (closed) throw new S3Error('ServiceUnavailable', { message: 'The service is shutting down.' });
    const load = (page: number) => threads[page]?.streams ?? 0;
    const page = threads.reduce((best, _, each) => (load(each) < load(best) ? each : best), 0);
    const thread = threads[page] ?? start(page);
    const { worker, calls } = thread;
    const stream = ++last;
    let open = true;
    thread.streams++;

    const ask = (order: Order, ended: () => void = () => {}): Promise<Answer> =>
      new Promise((resolve, reject) => {
        // The state of the stream was in that thread.
        if (threads[page] !== thread) {
          ended();
          return reject(new S3Error('InternalError', { message: 'A worker thread was lost. Please try again.' }));
        }
        if (calls.size === 0) worker.ref();
        calls.set(order.call, { resolve, reject, ended });
        worker.postMessage(order);
      });
    const close = () => {
      if (open) thread.streams--;
      open = false;
    };
    return {
      update: async (bytes, ended) => {
        if (!open || bytes.buffer !== memory.buffer) {
          ended();
          throw new Error(open ? 'bytes of another memory' : 'this digest has ended');
        }
        await ask({ kind: 'bytes', stream, call: ++last, at: bytes.byteOffset, length: bytes.length }, ended);
      },
      finish: async () => {
        if (!open) throw new Error('this digest has ended');
        close();
        return (await ask({ kind: 'finish', stream, call: ++last })).digest!;
      },
      drop: async () => {
        if (!open) return;
        close();
        await ask({ kind: 'drop', stream, call: ++last }).catch(() => {});
      },
    };
  };

  return {
    begin,
    close: async () => {
      closed = true;
      await Promise.all(threads.map((thread) => thread?.worker.terminate()));
    },
  };
};
