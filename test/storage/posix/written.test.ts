/** What is written slice by slice comes to the disk, also where the kernel does not let us wait for a range of a file. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mustRun } from '../../support/programs.js';
import { untraceable } from '../../support/strace.js';
import { tempDir } from '../../support/temp.js';

const reason = await untraceable();
const all = suite(`what is written to the disk${reason === undefined ? '' : ` (not traced: ${reason})`}`);
const test = reason === undefined ? all : all.skip;

/** Waits for a range of a file in a process in which `sync_file_range` fails so; what that says, and which calls it made. */
const wait = async (error?: string): Promise<{ said: string; calls: string[] }> => {
  const dir = tempDir();
  const [script, trace] = [join(dir, 'script.mjs'), join(dir, 'trace')];
  writeFileSync(
    script,
    `
    const sys = await import(${JSON.stringify(new URL('../../../gateway/storage/posix/syscalls.js', import.meta.url).href)});
    const fd = sys.openat2(sys.AT_FDCWD, ${JSON.stringify(join(dir, 'file'))}, sys.O_RDWR | sys.O_CREAT, 0o600);
    sys.pwrite(fd, Buffer.alloc(100_000), 0);
    try {
      sys.awaitWritten(fd, 0, 100_000);
      console.log('written');
    } catch (error) {
      console.log(error.code, error.syscall);
    }`,
  );
  const calls = ['-e', 'trace=sync_file_range,fdatasync'];
  const inject = error === undefined ? [] : ['-e', `inject=sync_file_range:error=${error}`];
  const args = ['-f', '-qq', '-o', trace, ...calls, ...inject, process.execPath, script];
  const { stdout } = await mustRun('strace', args, { seconds: 60 });
  const made = [...readFileSync(trace, 'utf8').matchAll(/(sync_file_range|fdatasync)\(/g)].map(([, name]) => name!);
  return { said: stdout.trim(), calls: made };
};

test('a range is waited for, and no more', async () => {
  assert.equal(await wait(), { said: 'written', calls: ['sync_file_range'] });
});

for (const error of ['ENOSYS', 'EPERM']) {
  test(`in a sandbox that answers ${error} the whole file is`, async () => {
    assert.equal(await wait(error), { said: 'written', calls: ['sync_file_range', 'fdatasync'] });
  });
}

for (const error of ['EIO', 'ENOSPC']) {
  test(`${error}: what could not be written is told, as a later sync would not tell it`, async () => {
    assert.equal(await wait(error), { said: `${error} sync_file_range`, calls: ['sync_file_range'] });
  });
}

all.run();
