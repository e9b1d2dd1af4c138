/** Threads that write into one file take turns, and nobody waits for ever. */
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isOfLocal } from '../../../gateway/storage/posix/mounts.js';
import { fstat } from '../../../gateway/storage/posix/syscalls.js';
import { cellOf, inTurn, turnMemory } from '../../../gateway/storage/posix/write-turns.js';
import { tempDir } from '../../support/temp.js';

const test = suite('posix write turns');

/** [0]: who is in. [1]: how many were, two at a time. [2]: how often somebody was. [3]: who has come, to begin together. */
const program = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { module, memory, threads, cell, times } = workerData;
  const { inTurn, useTurnMemory } = await import(module);
  useTurnMemory(memory);
  const seen = new Int32Array(workerData.seen);
  Atomics.add(seen, 3, 1);
  while (Atomics.load(seen, 3) < threads);
  const write = () => {
    if (Atomics.add(seen, 0, 1) > 0) Atomics.add(seen, 1, 1);
    for (const end = performance.now() + 0.2; performance.now() < end; );
    Atomics.sub(seen, 0, 1);
    Atomics.add(seen, 2, 1);
  };
  // On a machine that is busy elsewhere, too, nobody gives up.
  for (let i = 0; i < times; i++) inTurn(cell, write, 60_000);
  parentPort.postMessage('done');
`;

/** So many threads, each of which writes so often. @param each its cell */
async function write(each: readonly (number | undefined)[], times: number): Promise<Int32Array> {
  const seen = new SharedArrayBuffer(16);
  const module = import.meta.resolve('../../../gateway/storage/posix/write-turns.js');
  const workers = each.map(
    (cell) =>
      new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`), {
        workerData: { module, memory: turnMemory(), threads: each.length, seen, cell, times },
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
  cells[9] = 12_345;
  let writes = 0;
  const began = performance.now();
  inTurn(9, () => {
    writes++;
    assert.is.not(cells[9], 12_345, 'taken over');
  });
  assert.ok(performance.now() - began >= 90);
  assert.is(cells[9], 0);
  const fails = () => {
    throw new Error('no space');
  };
  assert.throws(() => inTurn(9, fails), /^no space$/);
  assert.is(cells[9], 0);
  inTurn(9, () => writes++);
  assert.is(writes, 2);
});

test('whoever was too slow does not free what another has taken over', () => {
  const cells = new Int32Array(turnMemory());
  inTurn(11, () => {
    cells[11] = 54_321;
  });
  assert.is(cells[11], 54_321);
  cells[11] = 0;
});

test('files of a local filesystem have cells, others have none', () => {
  const files = Array.from({ length: 32 }, (_, i) => openSync(join(tempDir(), `${i}`), 'w'));
  const proc = openSync('/proc/self/status', 'r');
  try {
    const found = files.map(cellOf);
    const local = files.map((fd) => isOfLocal(fstat(fd).dev));
    assert.equal(
      found.map((cell) => cell !== undefined),
      local,
    );
    assert.equal(files.map(cellOf), found, 'the same for the same file');
    const cells = new Set(found);
    if (local[0]) assert.ok(cells.size > 24 && !cells.has(0), `${cells.size} cells of ${files.length} files`);
    assert.is(cellOf(proc), undefined);
  } finally {
    [...files, proc].forEach(closeSync);
  }
});

test.run();
