/**
 * The end of a process of which a thread hangs in a system call. Node waits for its threads, so the process would stay for
 * as long as the mount hangs, though everything it had to do is done.
 */
import { writeSync } from 'node:fs';
import { inspect } from 'node:util';
import { isMainThread, type Worker } from 'node:worker_threads';
import { bind, nr } from './libc.js';

const exitGroup = bind(', long status');
const hangs = new Set<() => boolean>();
let listens = false;

/**
 * When the process comes to its end, it goes without waiting if one of these says so. The kernel takes it away when the system
 * call returns, on most filesystems at once.
 */
export const leaveIf = (hanging: () => boolean): void => {
  // The threads of a thread end with it: who waits for that one asks here.
  if (!isMainThread) return;
  if (!listens) {
    listens = true;
    let fatal: unknown;
    process.on('uncaughtExceptionMonitor', (error) => {
      fatal = error;
    });
    process.on('exit', (code) => {
      if (![...hangs].some((each) => each())) return;
      // Node tells of it after this.
      if (fatal !== undefined) writeSync(2, `${inspect(fatal)}\n`);
      exitGroup(nr.exitGroup, code);
    });
  }
  hangs.add(hanging);
};

/** Takes one back. */
export const stay = (hanging: () => boolean): void => void hangs.delete(hanging);

/** How long a thread may take to end that stands in no system call. */
const END_MS = 2_000;

/** Ends threads. One that hangs is left to itself, and the process will go without it. */
export const endThreads = async (workers: readonly Worker[]): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, END_MS, false);
  });
  const ended = Promise.all(workers.map((worker) => worker.terminate())).then(() => true);
  const soon = await Promise.race([ended, late]);
  clearTimeout(timer);
  if (soon) return;
  leaveIf(() => true);
  // `terminate` makes the process wait for it.
  for (const worker of workers) worker.unref();
};
