/** What the main thread leaves alone for a while after it had to wait for a disk. */
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fadvise, POSIX_FADV_DONTNEED } from '../../../gateway/storage/posix/background.js';
import { createMounts, isLocal } from '../../../gateway/storage/posix/mounts.js';
import { createRest } from '../../../gateway/storage/posix/rest.js';
import { fsync, threadUsage } from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';

test('only what took long and came from a disk is left alone, for a second', () => {
  let [now, blocks, waits] = [0, 100, 100];
  const rest = createRest(
    () => now,
    () => ({ blocks, waits }),
  );
  const look = (ms: number, read: number, waited = 1) => {
    rest.during(() => {
      now += ms;
      blocks += read;
      waits += waited;
    });
    return rest.resting;
  };
  assert.not.ok(rest.resting);
  assert.not.ok(look(8, 0), 'the processor was with others');
  assert.not.ok(look(8, 8, 0), 'the same, and a disk was asked for what is needed later');
  assert.not.ok(look(0.05, 8), 'a quick disk');
  assert.ok(look(8, 8), 'a slow one');
  now += 999;
  assert.ok(rest.resting);
  now += 1;
  assert.not.ok(rest.resting);
  assert.throws(() =>
    rest.during(() => {
      now += 8;
      blocks += 8;
      waits++;
      throw new Error('lost');
    }),
  );
  assert.ok(rest.resting, 'also when it failed');
});

const type = createMounts().at(tempDir()).types[0] ?? '';
const disk = isLocal(type) && type !== 'tmpfs';
(disk ? test : test.skip)('what a thread reads from a disk is counted, and what comes from memory is not', () => {
  const path = join(tempDir(), 'file');
  writeFileSync(path, Buffer.alloc(65_536, 'x'));
  const fd = openSync(path, 'r');
  const read = () => {
    const before = threadUsage().blocks;
    readSync(fd, Buffer.alloc(65_536), 0, 65_536, 0);
    return threadUsage().blocks - before;
  };
  try {
    fsync(fd);
    assert.is(read(), 0);
    fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    assert.ok(read() > 0);
  } finally {
    closeSync(fd);
  }
});

test.run();
