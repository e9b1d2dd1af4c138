/** Whether an open file still has the content that was looked at, while jobs work on it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isUnchanged, type Seen } from '../../../gateway/storage/posix/seen.js';
import { fstat } from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';

const test = suite('posix seen');
const path = join(tempDir(), 'file');

const see = (fd: number): Seen => ({ digest: false, ...fstat(fd) });

test('one that is appended to has what was there, at every moment', async () => {
  writeFileSync(path, 'x');
  const appends = `const { openSync, writeSync } = require('node:fs');
    const [fd, bytes] = [openSync(process.argv[1], 'a'), Buffer.alloc(1 << 20)];
    for (let i = 0; i < 400; i++) writeSync(fd, bytes);`;
  const job = spawn(process.execPath, ['-e', appends, path], { stdio: 'inherit' });
  let ended = false;
  const exit = once(job, 'exit').finally(() => (ended = true));
  const fd = openSync(path, 'r');
  let [looks, changed] = [0, 0];
  while (!ended) {
    for (let i = 0; i < 5_000; i++, looks++) if (!isUnchanged(fd, see(fd))) changed++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.is((await exit)[0], 0);
  closeSync(fd);
  unlinkSync(path);
  assert.is(changed, 0, `${changed} of ${looks} looks`);
});

test('one that was written to in place has not', () => {
  writeFileSync(path, 'x');
  const fd = openSync(path, 'r');
  const seen = see(fd);
  assert.ok(isUnchanged(fd, seen));
  utimesSync(path, 1, 1);
  assert.not.ok(isUnchanged(fd, seen));
  closeSync(fd);
});

test.run();
