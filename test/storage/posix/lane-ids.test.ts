/** What a lane keeps between its calls, when its worker is lost. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Ground, prepareBucket } from '../../../gateway/storage/posix/paths.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import { tempDir } from '../../support/temp.js';
import { until, withTimeout } from '../../support/time.js';
import type { TestOps } from './pool-worker.js';

const test = suite('numbers of a lane');
const codeOf = (error: { code?: string }) => error.code;

test('whoever knows an upload of a worker that was lost does not reach that of another in its place', async () => {
  const pool = createPool<TestOps>({ workers: 1, worker: new URL('./pool-worker.js', import.meta.url) });
  const path = mkdtempSync(join(tempDir(), 'bucket-'));
  const ground: Ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
  prepareBucket(ground);
  const begin = () => pool.run('transferOpen', [ground, [], undefined], { lane: 0 });
  const write = (id: number, text: string) => pool.run('transferWrite', [id, Buffer.from(text)], { lane: 0 });
  const work = async () => {
    const lost = await begin();
    assert.is(await pool.run('exit', [], { lane: 0 }).catch(codeOf), 'InternalError');
    const other = await until('another worker', 10_000, () => begin().catch(() => undefined));
    await write(other, 'its own');
    assert.is(await write(lost, 'of the lost one').catch(codeOf), 'InternalError');
    await pool.run('transferAbort', [lost], { lane: 0 });
    assert.equal(await pool.run('transferFinish', [other, false], { lane: 0 }), { size: 7, digests: {} });
  };
  await withTimeout('the lane', 20_000, work()).finally(() => pool.close());
});

test.run();
