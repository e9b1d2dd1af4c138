/** What the kernel tells of a process, and the end of what we started. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { withTimeout } from '../support/time.js';

/** USER_HZ, which is 100 on every architecture that Node runs on. */
const ticksPerSecond = 100;

/** Seconds of processor time of all threads so far. Fields 14 and 15 of proc_pid_stat(5). */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** A gateway and those of its processes that serve: started with the same words as itself, which an engine is not. */
export function serving(pid: number): number[] {
  const words = (of: number): string => {
    try {
      return readFileSync(`/proc/${of}/cmdline`, 'latin1');
    } catch {
      return '';
    }
  };
  const own = words(pid);
  const program = own.slice(own.indexOf('\0', own.indexOf('tidegate.js')));
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').map(Number);
  return [pid, ...children.filter((child) => child > 0 && words(child).endsWith(program))];
}

/** The sum over processes. */
export const sum = (pids: readonly number[], of: (pid: number) => number): number =>
  pids.reduce((all, pid) => all + of(pid), 0);

/**
 * Waits until processes do next to nothing, at most so many seconds: what the sync engine still has to do about the last
 * load is not the next one's.
 */
export async function calm(pids: () => readonly number[], seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  for (let quiet = 0; quiet < 3 && performance.now() < end; ) {
    const [all, before] = [pids(), sum(pids(), cpuSeconds)];
    await sleep(100);
    quiet = sum(all, cpuSeconds) - before <= 1 / ticksPerSecond ? quiet + 1 : 0;
  }
}

/**
 * Peak resident memory in MiB since `forgetPeak`: the sum over the processes of one gateway, where pages of files (Node itself,
 * mostly) count once, as the kernel has them once for all. Of these it is as many as now.
 */
export function peakMiB(pids: readonly number[]): number {
  const all = pids.map((pid) => readFileSync(`/proc/${pid}/status`, 'latin1'));
  const field = (status: string, name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) / 1024;
  const files = all.map((status) => field(status, 'RssFile'));
  const own = all.map((status, at) => field(status, 'VmHWM') - files[at]!);
  return own.reduce((sum, each) => sum + each, 0) + Math.max(...files);
}

export function forgetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // A kernel without it: the peak is that of the process so far.
  }
}

const running = new Map<ChildProcess, NodeJS.Signals>();
process.on('exit', () => {
  for (const [child, signal] of running) child.kill(signal);
});

/** A process that ends with ours at the latest. @param signal what ends it then: with SIGKILL those that it has started would stay */
export function start(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
  signal: NodeJS.Signals = 'SIGKILL',
): ChildProcess {
  const child = spawn(program, args, options);
  running.set(child, signal);
  child.on('exit', () => running.delete(child));
  child.on('error', () => running.delete(child));
  return child;
}

export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await withTimeout('stopping a process', 20_000, ended).catch(async (error) => {
    child.kill('SIGKILL');
    throw error;
  });
}

/** Whether a program is there. Unlike in tests a missing one is no failure, in CI neither: its rows say so. */
export function present(program: string): boolean {
  return !spawnSync(program, ['--version'], { stdio: 'ignore' }).error;
}
