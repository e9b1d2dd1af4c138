/** A thread that exchanges two names as fast as it can: what stands at a path is one thing now and another the next moment. */
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { AT_FDCWD, RENAME_EXCHANGE, tryRenameat2 } from '../../gateway/storage/posix/syscalls.js';

export interface Flipper {
  /** Exchanges so far. */
  count(): number;
  /** Ends when the two stand as they stood at first. Answers the number of exchanges. */
  stop(): Promise<number>;
}

/** Exchanges what stands at the two paths (of one filesystem) until it is stopped. */
export const exchange = (one: string, other: string): Promise<Flipper> => start({ one, other });

/** Puts a link to `target` and a file with `content` in the place of `path` by turns, whatever has become of the last. */
export const replace = (path: string, target: string, content: string): Promise<Flipper> =>
  start({ path, target, content });

type Work = { one: string; other: string } | { path: string; target: string; content: string };

async function start(work: Work): Promise<Flipper> {
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL(import.meta.url), { workerData: { work, shared }, trackUnmanagedFds: false });
  const ended = new Promise<void>((resolve, reject) => {
    worker.on('exit', () => resolve());
    worker.on('error', reject);
  });
  ended.catch(() => {});
  return {
    count: () => Atomics.load(shared, 0),
    async stop() {
      Atomics.store(shared, 1, 1);
      await ended;
      return Atomics.load(shared, 0);
    },
  };
}

function turn(work: Work, count: number): boolean {
  if ('one' in work) return tryRenameat2(AT_FDCWD, work.one, AT_FDCWD, work.other, RENAME_EXCHANGE) === 0;
  const { path, target, content } = work;
  // Beside it, but for the gateway no key.
  const aside = `${dirname(path)}/.tidegate/aside`;
  if (count % 2 === 0) symlinkSync(target, aside);
  else writeFileSync(aside, content);
  renameSync(aside, path);
  return true;
}

if (!isMainThread && workerData?.shared instanceof Int32Array) {
  const { work, shared } = workerData as { work: Work; shared: Int32Array };
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let count = 0;
  for (let tries = 0; Atomics.load(shared, 1) === 0 || count % 2 === 1; tries++) {
    // The gateway may have moved one of the two for a moment: only exchanges count.
    if (turn(work, count)) Atomics.store(shared, 0, ++count);
    // Neither the gateway nor the test shall starve on a machine of two cores.
    if (tries % 50 === 0) Atomics.wait(pause, 0, 0, 1);
  }
}
