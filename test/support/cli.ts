/** Commands of `tidegate` in this process: a process of its own costs a second each. */
import { tidegate } from '../../gateway/cli/program.js';
import { run } from '../../gateway/cli/run.js';
import type { Ran } from './commands.js';

/** Runs `tidegate …` to its end, with what it printed and the exit code it would have ended with. */
export async function runHere(args: readonly string[]): Promise<Ran> {
  const ran: Ran = { code: 0, stdout: '', stderr: '' };
  const { stdout, stderr } = process;
  const [outWrite, errWrite, before] = [stdout.write, stderr.write, process.exitCode];
  const listeners = stdout.listenerCount('error');
  stdout.write = ((text: string) => (ran.stdout += text) !== '') as typeof stdout.write;
  stderr.write = ((text: string) => (ran.stderr += text) !== '') as typeof stderr.write;
  try {
    process.exitCode = 0;
    await run(tidegate(), ['node', 'tidegate', ...args]);
    ran.code = Number(process.exitCode);
  } finally {
    stdout.write = outWrite;
    stderr.write = errWrite;
    process.exitCode = before ?? 0;
    for (const listener of stdout.listeners('error').slice(listeners)) stdout.off('error', listener as () => void);
  }
  return ran;
}
