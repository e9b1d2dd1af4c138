/** Threads that write into one file take turns, and nobody waits for ever. */
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isOfLocal } from '../../../gateway/storage/posix/mounts.js';
import { fstat } from '../../../gateway/storage/posix/syscalls.js';
import { inTurn, turnMemory, turnsOf } from '../../../gateway/storage/posix/write-turns.js';
import { tempDir } from '../../support/temp.js';

const test = suite('posix write turns');

/** [0]: who is in. [1]: how many were, two at a time. [2]: how often somebody was. */
const program = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { inTurn, useTurnMemory } = await import(workerData.module);
  useTurnMemory(workerData.memory);
  const seen = new Int32Array(workerData.seen);
  for (let i = 0; i < workerData.times; i++) {
    inTurn(workerData.turns, () => {
      if (Atomics.add(seen, 0, 1) > 0) Atomics.add(seen, 1, 1);
      for (const end = performance.now() + 0.2; performance.now() < end; );
      Atomics.sub(seen, 0, 1);
      Atomics.add(seen, 2, 1);
    });
  }
  parentPort.postMessage('done');
`;

/** So many threads, each of which writes so often. @param turns of each */
async function write(turns: readonly (number | undefined)[], times: number): Promise<Int32Array> {
  const seen = new SharedArrayBuffer(12);
  const workers = turns.map(
    (each) =>
      new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`), {
        workerData: {
          module: import.meta.resolve('../../../gateway/storage/posix/write-turns.js'),
          memory: turnMemory(),
          seen,
          turns: each,
          times,
        },
      }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  await Promise.all(workers.map((worker) => worker.terminate()));
  return new Int32Array(seen);
}

test('one at a time where it is the same file, all of them in the end', async () => {
  const [, together, times] = await write([7, 7, 7], 300);
  assert.is(together, 0);
  assert.is(times, 900);
});

test('at the same time where it is not, or where a filesystem lets several write', async () => {
  for (const turns of [
    [1, 2, 3],
    [undefined, undefined, undefined],
  ]) {
    const [, together, times] = await write(turns, 300);
    assert.ok(together! > 0);
    assert.is(times, 900);
  }
});

test('a turn that somebody died with is waited for once, and one that failed is given back', () => {
  const cells = new Int32Array(turnMemory());
  cells[9] = 1;
  let writes = 0;
  const took = (): number => {
    const began = performance.now();
    inTurn(9, () => writes++);
    return performance.now() - began;
  };
  const first = took();
  assert.ok(first >= 90 && first < 1_000, `${first} ms`);
  assert.ok(took() < 50);
  const fails = () => {
    throw new Error('no space');
  };
  assert.throws(() => inTurn(9, fails), 'no space');
  assert.ok(took() < 50);
  assert.is(writes, 3);
});

test('files of a local filesystem have turns, each its own; others have none', () => {
  const files = Array.from({ length: 8 }, (_, i) => openSync(join(tempDir(), `${i}`), 'w'));
  try {
    const turns = files.map(turnsOf);
    const local = files.map((fd) => isOfLocal(fstat(fd).dev));
    assert.equal(
      turns.map((each) => each !== undefined),
      local,
    );
    assert.equal(files.map(turnsOf), turns, 'the same for the same file');
    if (local[0]) assert.ok(new Set(turns).size > 1);
    const proc = openSync('/proc/self/status', 'r');
    assert.is(turnsOf(proc), undefined);
    closeSync(proc);
  } finally {
    files.forEach(closeSync);
  }
});

test.run();
