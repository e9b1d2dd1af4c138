/**
 * A source of change: what this machine does to the buckets' files, by inotify. What other clients of a shared filesystem
 * do is not seen here.
 *
 * inotify is used directly. Node's `fs.watch`, and chokidar, which is built on it, give neither the event's mask nor the
 * cookie of a rename, and drop the notice that the kernel's queue has overflowed: changes are lost without a word.
 * Of 10,000 directories with 100,000 files, on a machine with two busy cores (`test/bench/watch.ts`): started after 0.5 s
 * with 25 MiB, chokidar 5 after 15 s with 706 MiB.
 *
 * One thread and one inotify instance serve all buckets of a process: a user has 128 instances by default.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { wake, wakeDescriptor } from '../gateway/storage/posix/inotify.js';
import { close } from '../gateway/storage/posix/syscalls.js';
import type { HintSink, Source } from './types.js';
import type { WatchNews, WatchOrder, WatchThreadData } from './watch-messages.js';

export interface WatcherOptions {
  /** How long hints are gathered, milliseconds. */
  debounceMs?: number;
  /** The same for writing to files that stay open. */
  modifyMs?: number;
  /** How often it is checked that a bucket's path still leads to its directory. */
  checkMs?: number;
}

export interface Watcher {
  /**
   * The source of one bucket. `start` resolves when all its directories are watched, and rejects where inotify cannot be had.
   * A directory that cannot be watched, or is missing, is told by `lost` and tried again.
   * @param path absolute, without symbolic links
   */
  source(path: string): Source;
}

interface Watched {
  path: string;
  sink: HintSink;
  ready?: { resolve: () => void; reject: (error: Error) => void };
}

interface Thread {
  worker: Worker;
  port: MessagePort;
  bell: number;
  taken: Int32Array;
  ended: Promise<void>;
}

/** The thread starts with the first source and ends with the last. */
export function createWatcher(options: WatcherOptions = {}): Watcher {
  const { debounceMs = 50, modifyMs = 2_000, checkMs = 10_000 } = options;
  const watched = new Map<number, Watched>();
  let thread: Thread | undefined;
  let lastId = 0;

  const order = (to: Thread, what: WatchOrder): void => {
    to.port.postMessage(what);
    wake(to.bell);
  };

  const hear = (from: Thread, news: WatchNews): void => {
    if ('hints' in news) {
      try {
        for (const [id, dir, name, deep] of news.hints) {
          const hint = { dir, ...(name !== undefined && { name }), ...(deep && { deep }) };
          watched.get(id)?.sink.hint(hint);
        }
      } finally {
        Atomics.add(from.taken, 0, 1);
        if (thread === from) wake(from.bell);
      }
    } else if ('lost' in news) watched.get(news.lost)?.sink.lost(news.dir, news.why);
    else if ('ready' in news) watched.get(news.ready)?.ready?.resolve();
    else {
      const error = new Error(news.failed);
      for (const [id, { ready }] of [...watched]) {
        ready?.reject(error);
        watched.delete(id);
      }
    }
  };

  const begin = (): Thread => {
    const bell = wakeDescriptor();
    const { port1: port, port2 } = new MessageChannel();
    const shared = new SharedArrayBuffer(4);
    const workerData: WatchThreadData = { port: port2, bell, taken: shared, debounceMs, modifyMs, checkMs };
    const worker = new Worker(new URL('./watch-thread.js', import.meta.url), {
      workerData,
      transferList: [port2],
      // Node would warn of every descriptor that it did not open itself, and remember it.
      trackUnmanagedFds: false,
    });
    let trouble = 'the watching thread ended';
    worker.on('error', (error) => {
      trouble = `the watching thread failed: ${String(error)}`;
    });
    const ended = new Promise<void>((resolve) => {
      worker.on('exit', () => {
        port.close();
        close(bell);
        resolve();
        if (thread !== made) return;
        thread = undefined;
        if (watched.size > 0) setTimeout(() => restart(trouble), 1_000).unref();
      });
    });
    const made: Thread = { worker, port, bell, taken: new Int32Array(shared), ended };
    port.on('message', (news: WatchNews) => hear(made, news));
    worker.unref();
    port.unref();
    return made;
  };

  /** After a failure: everything is watched anew, and has to be looked at. */
  const restart = (why: string): void => {
    if (thread || watched.size === 0) return;
    thread = begin();
    for (const [id, one] of watched) {
      const first = one.ready;
      const told = () => {
        first?.resolve();
        one.sink.lost('', why);
      };
      one.ready = {
        resolve: told,
        reject: (error) => (first ? first.reject(error) : one.sink.lost('', String(error))),
      };
      order(thread, { add: id, path: one.path });
    }
  };

  const source = (path: string): Source => {
    let id = 0;
    return {
      start(sink) {
        id = ++lastId;
        const mine = id;
        return new Promise<void>((resolve, reject) => {
          const one: Watched = { path, sink };
          const settle = <A extends unknown[]>(with_: (...args: A) => void) => {
            return (...args: A): void => {
              delete one.ready;
              if (![...watched.values()].some(({ ready }) => ready)) thread?.worker.unref();
              with_(...args);
            };
          };
          one.ready = { resolve: settle(resolve), reject: settle(reject) };
          watched.set(mine, one);
          thread ??= begin();
          // Whoever waits must not be ended by having nothing else to wait for.
          thread.worker.ref();
          order(thread, { add: mine, path });
        });
      },
      async stop() {
        const one = watched.get(id);
        if (!one) return;
        watched.delete(id);
        one.ready?.reject(new Error('stopped before everything was watched'));
        const from = thread;
        if (!from) return;
        if (watched.size > 0) return order(from, { remove: id });
        thread = undefined;
        from.worker.ref();
        order(from, 'stop');
        await from.ended;
      },
    };
  };

  return { source };
}
