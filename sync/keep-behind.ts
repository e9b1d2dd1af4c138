/**
 * Keeps a process of ours behind the gateway, as its nice value alone does not: whoever is woken may wait for the end of the slice
 * of the thread that runs, however little that counts. Beside a listing, which wakes its threads all the time, an engine that takes
 * up a million files then has two fifths of two cores.
 *
 * From here and not by the process itself: one that only gets what others leave is not there when it gets too little. On busy
 * cores that is 4 ms in 1.4 seconds, while it may hold what others wait for: a lease on a file, a lock in the kernel. Others are
 * those of the same session or control group (sched(7)): with the rest of the machine these share as ever.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { cpuTime, runWhenIdle } from '../gateway/storage/posix/background.js';
import { niceBehind } from '../gateway/storage/priority.js';

/** How often it is looked at: while it works, and while it does next to nothing. */
const [BUSY_MS, RESTING_MS] = [100, 500];
/** Of one core. With less, and a thread that could run, it has its share by its nice value until it has got so much. */
const LEAST_SHARE = 0.1;

/**
 * Looks after a process of the same user, from when it has given way by its nice value until told to stop, and puts it back to
 * that then. Without effect where this is not allowed (CAP_SYS_NICE, or RLIMIT_NICE), and where it is the last value, 19.
 */
export function keepBehind(pid: number): () => void {
  const nice = niceBehind();
  let comesBack: boolean | undefined;
  let before = { at: 0, ran: 0 };

  /** Whether it works. */
  const look = (): boolean => {
    if (getPriority(pid) < nice || !(comesBack ??= mayComeBack(pid))) return false;
    const now = { at: performance.now(), ran: cpuTime(pid) / 1e6 };
    const little = now.ran - before.ran < LEAST_SHARE * (now.at - before.at);
    before = now;
    const starved = little && threadsOf(pid).some((thread) => couldRun(pid, thread));
    // Also where it is so already: for threads that were started meanwhile.
    for (const thread of threadsOf(pid)) runWhenIdle(thread, !starved);
    return starved || !little;
  };
  const again = (): void => {
    let works = false;
    try {
      works = look();
    } catch {
      // It has ended.
    }
    if (comesBack !== false) timer = setTimeout(again, works ? BUSY_MS : RESTING_MS).unref();
  };
  let timer = setTimeout(again, BUSY_MS).unref();
  return () => {
    clearTimeout(timer);
    if (comesBack) for (const thread of threadsOf(pid)) runWhenIdle(thread, false);
  };
}

/** None of one that has ended. */
function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

/**
 * A thread leaves SCHED_IDLE only where it might be given its nice value (sched(7)): so this is tried, with one of its own. Refused,
 * it stays a step further behind.
 */
function mayComeBack(pid: number): boolean {
  const nice = getPriority(pid);
  try {
    setPriority(pid, nice + 1);
    setPriority(pid, nice);
    return true;
  } catch {
    return false;
  }
}

/** Whether a thread runs or waits for a core ("state R", proc_pid_stat(5)). */
function couldRun(pid: number, thread: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    return stat.startsWith(' R', stat.lastIndexOf(')') + 1);
  } catch {
    return false;
  }
}
