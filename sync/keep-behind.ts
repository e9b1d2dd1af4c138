/**
 * Keeps a process of ours behind everybody else on the machine, as its nice value alone does not: whoever is woken waits for the
 * end of the slice of the thread that runs, however little that counts. Beside a listing, which wakes its threads all the time, an
 * engine that takes up a million files then has two fifths of two cores.
 *
 * From here and not by the process itself: one that only gets what others leave is not there when it gets too little. On busy
 * cores that is 4 ms in 1.4 seconds, while it may hold what others wait for: a lease on a file, a lock in the kernel.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { runWhenIdle } from '../gateway/storage/posix/background.js';
import { niceBehind } from '../gateway/storage/priority.js';

/** How often it is looked at: while it works, and while it does nothing. */
const [BUSY_MS, RESTING_MS] = [100, 500];
/** It works when it has wanted a core for so long since the last look. */
const BUSY_NS = 10_000_000;
/** Of the time in which it could have run. With less it has its share by its nice value until the next look. */
const LEAST_SHARE = 0.1;

/**
 * Looks after a process of the same user, from when it has given way by its nice value until told to stop. Without effect where
 * it may not be put back to that (CAP_SYS_NICE, or RLIMIT_NICE), and where the kernel does not tell how long threads wait
 * (schedstat, proc(5)).
 */
export function keepBehind(pid: number): () => void {
  const nice = niceBehind();
  let comesBack: boolean | undefined;
  let idle = false;
  let before = { ran: 0, waited: 0 };

  /** Whether it works. */
  const look = (): boolean => {
    if (getPriority(pid) < nice || !(comesBack ??= mayComeBack(pid))) return false;
    const threads = readdirSync(`/proc/${pid}/task`);
    const now = timesOf(pid, threads);
    const [ran, waited] = [now.ran - before.ran, now.waited - before.waited];
    before = now;
    const starved = ran < LEAST_SHARE * waited;
    idle = now.ran > 0 && !(idle && starved);
    // Also where it is so already: for threads that were started meanwhile.
    for (const thread of threads) runWhenIdle(Number(thread), idle);
    return ran + waited > BUSY_NS;
  };
  const again = (): void => {
    let works = true;
    try {
      works = look();
    } catch {
      // It, or one of its threads, has ended meanwhile.
    }
    timer = setTimeout(again, works ? BUSY_MS : RESTING_MS).unref();
  };
  let timer = setTimeout(again, BUSY_MS).unref();
  return () => clearTimeout(timer);
}

/** "A process may switch from SCHED_IDLE to another policy" where it might take its nice value (sched(7)): so one is taken. */
function mayComeBack(pid: number): boolean {
  const nice = getPriority(pid);
  try {
    setPriority(pid, nice + 1);
    setPriority(pid, nice);
    return getPriority(pid) === nice;
  } catch {
    return false;
  }
}

/** How long all threads of a process have run, and waited for a core while they could have run, in nanoseconds. */
function timesOf(pid: number, threads: readonly string[]): { ran: number; waited: number } {
  const times = { ran: 0, waited: 0 };
  for (const thread of threads) {
    const [ran, waited] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ');
    times.ran += Number(ran);
    times.waited += Number(waited);
  }
  return times;
}
