/** Files without a record, remembered by prints: none is taken for another, and those of large buckets stay. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { foundPlain, plainTable, timesFound } from '../../../gateway/storage/posix/plain.js';

const test = suite('files without a record');

/** Words as of the status of files that were made one after the other: nearly all are the same. */
const words = new Uint32Array(16);
const wanted = [2, 3, 5, 7, 8, 11, 13];
const status = (i: number, size = 0): Uint32Array => {
  words.fill(1_764_057_600);
  [words[2], words[5], words[7]] = [1_000_000 + i, size, (i * 4_000_000) % 1_000_000_000];
  return words;
};

test('found once, then twice; another status, or another user, is another file', () => {
  assert.is(timesFound(status(1), wanted, '3:3:'), 0);
  foundPlain(1);
  assert.is(timesFound(status(1), wanted, '3:3:'), 1);
  foundPlain(2);
  assert.is(timesFound(status(1), wanted, '3:3:'), 2);
  assert.is(timesFound(status(1), wanted, '4:3:'), 0);
  assert.is(timesFound(status(1, 1), wanted, '3:3:'), 0);
  for (const word of wanted) {
    status(1)[word]! ^= 1;
    assert.is(timesFound(words, wanted, '3:3:'), 0, `word ${word}`);
  }
  // What is not wanted does not count.
  status(1)[0] = 0;
  assert.is(timesFound(words, wanted, '3:3:'), 2);
});

test('most of a million stay, and nothing is known that was not found', () => {
  const count = 1_000_000;
  let known = 0;
  for (let i = 0; i < count; i++) {
    known += timesFound(status(i, 77), wanted, '');
    foundPlain(2);
  }
  assert.is(known, 0);
  for (let i = 0; i < count; i++) if (timesFound(status(i, 77), wanted, '') === 2) known++;
  assert.ok(known > count * 0.85, `${known} of ${count}`);
  for (let i = 0; i < count; i++) assert.is(timesFound(status(i, 78), wanted, ''), 0);
});

test('what one thread found, another knows', async () => {
  const program = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { foundPlain, timesFound, usePlainTable } = await import(workerData.module);
    usePlainTable(workerData.table);
    const found = timesFound(workerData.words, workerData.wanted, '3:3:');
    timesFound(workerData.other, workerData.wanted, '3:3:');
    foundPlain(2);
    parentPort.postMessage(found);
  `;
  timesFound(status(1_000, 88), wanted, '3:3:');
  foundPlain(2);
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`), {
    workerData: {
      module: import.meta.resolve('../../../gateway/storage/posix/plain.js'),
      table: plainTable(),
      words: status(1_000, 88).slice(),
      other: status(1_001, 88).slice(),
      wanted,
    },
  });
  const [found] = await once(worker, 'message');
  assert.is(found, 2);
  assert.is(timesFound(status(1_001, 88), wanted, '3:3:'), 2);
  await worker.terminate();
});

test.run();
