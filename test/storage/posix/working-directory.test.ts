import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import { E } from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';
import { withTimeout } from '../../support/time.js';
import type { TestOps } from './pool-worker.js';

test('attributes of names in a directory, each thread from its own; the process stays where it is', async () => {
  const root = tempDir();
  for (const name of ['a', 'b']) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, 'file'), '');
    symlinkSync('file', join(root, name, 'link'));
    execFileSync('setfattr', ['-n', 'user.of-test', '-v', `of ${name}`, join(root, name, 'file')]);
  }
  const here = process.cwd();
  const pool = createPool<TestOps>({ workers: 4, worker: new URL('./pool-worker.js', import.meta.url) });
  const attributeAt = (name: string, file: string) => pool.run('attributeAt', [join(root, name), file]);
  try {
    const asked = Array.from({ length: 400 }, (_, i) => (i % 3 === 0 ? 'a' : 'b'));
    const work = Promise.all(asked.map((name) => attributeAt(name, 'file')));
    const got = await withTimeout('asking', 20_000, work);
    for (const [at, { value, below, after }] of got.entries()) {
      assert.is(value, `of ${asked[at]}`);
      assert.is(below, join(root, asked[at]!));
      assert.is(after, '/');
    }
    assert.is((await attributeAt('a', 'link')).value, -E.ENODATA);
    assert.is((await attributeAt('a', 'nothing')).value, -E.ENOENT);
    assert.is(process.cwd(), here);
  } finally {
    await pool.close();
  }
});

test.run();
