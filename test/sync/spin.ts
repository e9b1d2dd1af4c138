/**
 * A process with two threads and the nice value that it is given, which it says when it has it. `both` of its threads want a core all
 * the time, only the `second`, `none`, or a `program` that it starts, whose number it says too.
 */
import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker } from 'node:worker_threads';

const spin = (): never => {
  for (;;);
};

const [nice, what] = process.argv.slice(2);
if (isMainThread) {
  setPriority(Number(nice));
  new Worker(fileURLToPath(import.meta.url), { argv: [nice, what] }).once('online', async () => {
    writeSync(1, 'ready');
    if (what === 'both') spin();
    if (what !== 'program') return;
    // Once the one that starts it has a policy to hand down.
    await pause(4_000);
    const program = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'inherit' });
    writeSync(1, `${program.pid}`);
  });
} else if (what === 'both' || what === 'second') spin();
else setInterval(() => {}, 60_000);
