/**
 * Keeps a process of ours behind the gateway, as its nice value alone does not: whoever is woken may wait for the end of the slice
 * of the thread that runs, however little that counts. Beside a listing, which wakes its threads all the time, an engine that takes
 * up a million files then has two fifths of two cores.
 *
 * From here and not by the process itself: one that only gets what others leave is not there when it gets too little. On busy
 * cores that is 4 ms in 1.4 seconds, while it may hold what others wait for: a lease on a file, a lock in the kernel. Others are
 * those of the same session or control group (sched(7)): with the rest of the machine these share as ever.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { cpuTime, runWhenIdle } from '../gateway/storage/posix/background.js';
import { niceBehind } from '../gateway/storage/priority.js';

/** How often it is looked at: while it works, and while it does next to nothing. */
const [BUSY_MS, RESTING_MS] = [100, 500];
/** Of one core. With less, and a thread that could run, it has its share by its nice value until it has got so much. */
const LEAST_SHARE = 0.1;

export interface Kept {
  /** Puts it back to its nice value, and looks after it no more. So does the end of this process. */
  leave(): void;
  /** The same for one that has ended: its number may be another's already. */
  forget(): void;
}

/**
 * Looks after a process of the same user, from when it has given way by its nice value on, until that is a lower one. Programs that
 * it starts only have its nice value: while it waits for one, nothing of it wants a core. Without effect where this is not allowed
 * (CAP_SYS_NICE, or RLIMIT_NICE), where it cannot be watched, and where it has the last nice value, 19.
 */
export function keepBehind(pid: number): Kept {
  const nice = niceBehind();
  let able: boolean | undefined;
  let before = { at: 0, ran: 0 };

  const putBack = (): void => {
    const done = new Set<number>();
    // Those too that one of them has just started.
    for (
      let left = able ? threadsOf(pid) : [];
      left.length > 0;
      left = threadsOf(pid).filter((each) => !done.has(each))
    ) {
      for (const thread of left) {
        runWhenIdle(thread, false);
        done.add(thread);
      }
    }
  };
  /** Whether it works. */
  const look = (): boolean => {
    if (getPriority(pid) < nice || !(able ??= canWatch(pid) && mayComeBack(pid))) {
      putBack();
      return false;
    }
    const now = { at: performance.now(), ran: cpuTime(pid) / 1e6 };
    const little = now.ran - before.ran < LEAST_SHARE * (now.at - before.at);
    before = now;
    const threads = threadsOf(pid);
    const starved = little && threads.some((thread) => couldRun(pid, thread));
    // Also where it is so already: for threads that were started meanwhile.
    for (const thread of threads) runWhenIdle(thread, !starved);
    for (const thread of programsOf(pid).flatMap(threadsOf)) runWhenIdle(thread, false);
    return starved || !little;
  };
  const again = (): void => {
    let works = false;
    try {
      works = look();
    } catch {
      // It has ended.
    }
    if (able !== false) timer = setTimeout(again, works ? BUSY_MS : RESTING_MS).unref();
  };
  let timer = setTimeout(again, BUSY_MS).unref();
  const forget = (): void => {
    clearTimeout(timer);
    process.off('exit', leave);
  };
  const leave = (): void => {
    forget();
    putBack();
  };
  process.once('exit', leave);
  return { leave, forget };
}

/** None of one that has ended. */
function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

/** The processes that its main thread has started, as Node does, and those that these have. */
function programsOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
    return children.flatMap((child) => [child, ...programsOf(child)]);
  } catch {
    return [];
  }
}

/**
 * Whether /proc speaks of our processes, by the numbers that we know them by, also when they have acted as others ("hidepid",
 * proc(5)), and of what they start (CONFIG_PROC_CHILDREN).
 */
function canWatch(pid: number): boolean {
  try {
    const hides = / \/proc .*\bhidepid=(?!0|off)/.test(readFileSync('/proc/self/mountinfo', 'utf8'));
    return !hides && readlinkSync('/proc/self') === `${process.pid}` && existsSync(`/proc/${pid}/task/${pid}/children`);
  } catch {
    return false;
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
