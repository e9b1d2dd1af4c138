/** MD5 of large bodies, in threads that do several of them at once: seen from the main thread. */
import { createHash } from 'node:crypto';
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
  /** Undefined while no thread can be started: others have to make the digest then. */
  begin(): Hashing | undefined;
  /** Ends the threads. Whoever still waits hears ServiceUnavailable. */
  close(): Promise<void>;
}

export interface HasherOptions {
  /** Default: one for four cores. One thread digests four streams at once in hardly more time than one. */
  threads?: number;
  /** Another thread module, for tests. */
  thread?: URL;
  /** After which a thread that could not start is tried again, each time twice as long, at most a minute. Default: 1000. */
  pauseMs?: number;
  /** Told when no thread starts, once until one does. */
  warn?: (details: object, message: string) => void;
}

const MOST_PAUSE_MS = 60_000;

/** Threads at most, each of which has a page of the memory: those from the first on. */
export const MOST_THREADS = 8;

interface Call {
  resolve(answer: Answer): void;
  reject(error: unknown): void;
  ended(): void;
  /** Has it done on this thread. */
  doHere(): void;
}

interface Thread {
  worker: Worker;
  calls: Map<number, Call>;
  /** Streams that have begun and not ended. */
  streams: number;
  /** It has answered. */
  works: boolean;
  /** It has ended before it did: all that it was given is still there, and nothing of it is digested. */
  failed: boolean;
}

/** Room for a thread: a page of the memory. */
interface Place {
  thread: Thread | undefined;
  /** Threads in a row that have failed here. */
  failures: number;
  /** When the next may be tried, by the clock of `performance`. */
  resumes: number;
}

/** Does on this thread, in pieces between which others come, what was meant for one that has failed. */
const createStandIn = (memory: SharedMemory) => {
  const hash = createHash('md5');
  let last: Promise<void> = Promise.resolve();
  return (order: Order, { resolve, ended }: Pick<Call, 'resolve' | 'ended'>): void => {
    last = last
      .then(() => new Promise<void>((go) => setImmediate(go)))
      .then(() => {
        if (order.kind === 'bytes') hash.update(new Uint8Array(memory.buffer, order.at, order.length));
        ended();
        resolve({ call: order.call, ...(order.kind === 'finish' && { digest: hash.digest() }) });
      });
  };
};

/** Threads are started when they are first needed. @param memory in which all bytes lie that are to be digested */
export const createHasher = (memory: SharedMemory, options: HasherOptions = {}): Hasher => {
  const count = options.threads ?? Math.max(1, availableParallelism() >> 2);
  const url = options.thread ?? new URL('./md5-thread.js', import.meta.url);
  const { pauseMs = 1000, warn } = options;
  const newPlace = (): Place => ({ thread: undefined, failures: 0, resumes: 0 });
  const places = Array.from({ length: Math.min(MOST_THREADS, count) }, newPlace);
  let closed = false;
  let told = false;
  let last = 0;

  const fail = (place: Place, err: unknown): void => {
    const pause = pauseMs * 2 ** place.failures++;
    place.resumes = performance.now() + Math.min(MOST_PAUSE_MS, pause);
    if (!told) warn?.({ err }, 'a hashing thread does not start; until one does, I/O threads digest large uploads');
    told = true;
  };

  const start = (place: Place): Thread | undefined => {
    let worker: Worker;
    try {
      worker = new Worker(url, { workerData: { memory, page: places.indexOf(place) } satisfies Md5ThreadStart });
    } catch (error) {
      fail(place, error);
      return undefined;
    }
    const thread: Thread = { worker, calls: new Map(), streams: 0, works: false, failed: false };
    place.thread = thread;
    worker.unref();
    let reason: unknown;
    worker.on('error', (error) => {
      reason = error;
    });
    worker.on('message', (answers: Answer[]) => {
      if (!thread.works) {
        thread.works = true;
        place.failures = 0;
        told = false;
      }
      for (const answer of answers) {
        const call = thread.calls.get(answer.call);
        thread.calls.delete(answer.call);
        call?.ended();
        call?.resolve(answer);
      }
      if (thread.calls.size === 0) worker.unref();
    });
    worker.on('exit', () => {
      place.thread = undefined;
      const lost = [...thread.calls.values()];
      thread.calls.clear();
      const cause = reason ?? new Error('a hashing thread ended by itself');
      if (!closed && !thread.works) {
        thread.failed = true;
        fail(place, cause);
        for (const call of lost) call.doHere();
        return;
      }
      const error = closed ? new S3Error('ServiceUnavailable') : new S3Error('InternalError', { cause });
      for (const call of lost) {
        call.ended();
        call.reject(error);
      }
    });
    return thread;
  };

  /** The one with the least to do; of those that have failed before, only one that has shown that it works. */
  const choose = (): { place: Place; thread: Thread } | undefined => {
    const isUsable = ({ thread, failures, resumes }: Place) =>
      thread ? thread.works || failures === 0 : performance.now() >= resumes;
    const load = ({ thread }: Place) => thread?.streams ?? 0;
    for (;;) {
      const usable = places.filter(isUsable);
      if (usable.length === 0) return undefined;
      const place = usable.reduce((best, each) => (load(each) < load(best) ? each : best));
      const thread = place.thread ?? start(place);
      if (thread) return { place, thread };
    }
  };

  const begin = (): Hashing | undefined => {
    if (closed) throw new S3Error('ServiceUnavailable', { message: 'The service is shutting down.' });
    const found = choose();
    if (!found) return undefined;
    const { place, thread } = found;
    const { worker, calls } = thread;
    let standIn: ReturnType<typeof createStandIn> | undefined;
    const stream = ++last;
    let open = true;
    thread.streams++;

    const ask = (order: Order, ended: () => void = () => {}): Promise<Answer> =>
      new Promise((resolve, reject) => {
        const doHere = () => {
          standIn ??= createStandIn(memory);
          standIn(order, { resolve, ended });
        };
        if (thread.failed) return doHere();
        // The state of the stream was in that thread.
        if (place.thread !== thread) {
          ended();
          return reject(new S3Error('InternalError', { message: 'A worker thread was lost. Please try again.' }));
        }
        if (calls.size === 0) worker.ref();
        calls.set(order.call, { resolve, reject, ended, doHere });
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
      await Promise.all(places.map(({ thread }) => thread?.worker.terminate()));
    },
  };
};
