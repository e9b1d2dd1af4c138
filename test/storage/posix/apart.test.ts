/** Large uploads while no thread can be started that digests for all: the I/O threads do. */
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createHasher } from '../../../gateway/storage/md5/hasher.js';
import { createBuffers } from '../../../gateway/storage/posix/buffers.js';
import type { StoreContext } from '../../../gateway/storage/posix/context.js';
import { type Ground, prepareBucket } from '../../../gateway/storage/posix/paths.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import { receiveBody } from '../../../gateway/storage/posix/receive.js';
import { abortTransfer, transfer } from '../../../gateway/storage/posix/streams.js';
import type { Body } from '../../../gateway/storage/types.js';
import { tempDir } from '../../support/temp.js';
import { withTimeout } from '../../support/time.js';
import { me } from './store.js';

const test = suite('digests made apart');
const failing = new URL(`data:text/javascript,throw new Error('no memory')`);

for (const workers of [1, 3]) {
  test(`no upload fails where no hashing thread starts, ${workers} I/O thread(s)`, async () => {
    const buffers = createBuffers();
    const warned: string[] = [];
    const warn = (_: object, message: string) => warned.push(message);
    const hasher = createHasher(buffers.memory, { threads: 2, thread: failing, pauseMs: 60_000, warn });
    const pool = createPool({ workers });
    const path = mkdtempSync(join(tempDir(), 'bucket-'));
    const ground: Ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
    prepareBucket(ground);
    const upload = async (number: number): Promise<void> => {
      const content = Buffer.alloc(5_000_000 + number, `content ${number} `);
      const body: Body = {
        length: content.length,
        read: async (sink) => {
          for (let from = 0; from < content.length; from += 300_000) await sink(content.subarray(from, from + 300_000));
        },
      };
      const options = { digests: ['md5'] as const, length: body.length, chunked: true };
      const arrived = await transfer({ ground, pool, actor: me, hasher }, options, (where) =>
        receiveBody({ buffers } as StoreContext, me, body, where),
      );
      const { size, digests } = arrived.received;
      const md5 = createHash('md5').update(content).digest('hex');
      assert.equal([size, Buffer.from(digests.md5!).toString('hex')], [content.length, md5], `upload ${number}`);
      await abortTransfer({ ...arrived, actor: me }, undefined);
    };
    const work = async () => {
      // These are at it when the threads fail, the others come later.
      await Promise.all(Array.from({ length: 5 }, (_, i) => upload(i)));
      await Promise.all(Array.from({ length: 5 }, (_, i) => upload(i)));
      assert.is(warned.length, 1);
      // Of those threads that were needed.
      const open = await pool.everywhere('transfersOpen', []);
      assert.ok(open.length > 0 && open.every((count) => count === 0), open.join());
      assert.is(buffers.stats().made, buffers.stats().free);
    };
    await withTimeout('uploads', 60_000, work()).finally(() => Promise.all([pool.close(), hasher.close()]));
  });
}

test.run();
