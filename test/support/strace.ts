/** Counts the system calls of a running process, all its threads, with strace. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { haveProgram, run } from './programs.js';
import { tempDir } from './temp.js';
import { until, withTimeout } from './time.js';

/** Why nothing can be counted here; undefined when it can. */
export async function untraceable(): Promise<string | undefined> {
  if (!haveProgram('strace')) return 'no strace';
  const child = spawn('sleep', ['10'], { stdio: 'ignore' });
  try {
    const tried = await run('timeout', ['0.5', 'strace', '-c', '-p', `${child.pid}`]);
    return /attached/.test(tried.stderr) ? undefined : `no permission to trace: ${tried.stderr.trim()}`;
  } finally {
    child.kill();
  }
}

/** Calls by name, while `work` runs; and for how long it did, in seconds. */
export async function countCalls(
  pid: number,
  work: () => Promise<void>,
): Promise<{ calls: Map<string, number>; seconds: number }> {
  const summary = join(tempDir('tidegate-strace-'), 'summary');
  const strace = spawn('strace', ['-f', '-c', '-U', 'calls,name', '-o', summary, '-p', `${pid}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  strace.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(strace, 'exit');
  try {
    await until('strace', 20_000, () => {
      if (strace.exitCode !== null) throw new Error(`strace ended: ${said}`);
      return /attached/.test(said) ? true : undefined;
    });
    const from = performance.now();
    await work();
    const seconds = (performance.now() - from) / 1000;
    strace.kill('SIGINT');
    await withTimeout('the end of strace', 20_000, ended);
    return { calls: readCounts(readFileSync(summary, 'utf8')), seconds };
  } finally {
    strace.kill('SIGKILL');
  }
}

function readCounts(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, calls, name] of text.matchAll(/^ *(\d+) +(\w+)$/gm)) {
    if (name !== 'total') counts.set(name!, Number(calls));
  }
  if (counts.size === 0) throw new Error(`strace counted nothing:\n${text}`);
  return counts;
}
