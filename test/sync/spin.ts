/** A process with two threads that want a core all the time, with the nice value that it is given. It says when it has it. */
import { writeSync } from 'node:fs';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker } from 'node:worker_threads';

const spin = (): never => {
  for (;;);
};

if (isMainThread) {
  setPriority(Number(process.argv[2]));
  new Worker(fileURLToPath(import.meta.url)).once('online', () => {
    writeSync(1, 'spinning');
    spin();
  });
} else spin();
