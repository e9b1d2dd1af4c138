/** How many threads a filesystem has. */
import { availableParallelism } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createFilesystems } from '../../../gateway/storage/posix/filesystems.js';
import { tempDir } from '../../support/temp.js';
import { until } from '../../support/time.js';

const test = suite('posix filesystems');

/** Threads that are there when no more come. */
async function threads(processes: number | undefined): Promise<number> {
  const filesystems = createFilesystems({ root: tempDir(), processes });
  try {
    await filesystems.root.ready();
    let [before, since] = [0, Date.now()];
    return await until('no more threads come', 20_000, async () => {
      const count = (await filesystems.root.everywhere('transfersOpen', [])).length;
      if (count !== before) [before, since] = [count, Date.now()];
      return Date.now() - since > 1_000 ? count : undefined;
    });
  } finally {
    await filesystems.close();
  }
}

test('processes that share the cores begin with their part of the threads', async () => {
  const all = Math.max(4, 2 * availableParallelism());
  assert.is(await threads(undefined), all);
  assert.is(await threads(2), Math.ceil(all / 2));
  assert.is(await threads(1000), 2);
});

test.run();
