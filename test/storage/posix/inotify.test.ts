import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as ino from '../../../gateway/storage/posix/inotify.js';
import * as sys from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';

const test = suite('inotify');
const mask = ino.IN_CREATE | ino.IN_CLOSE_WRITE | ino.IN_MOVED_FROM | ino.IN_MOVED_TO | ino.IN_DELETE_SELF;

const watched = (path: string): { fd: number; wd: number; events: () => [number, number, number, string][] } => {
  const fd = ino.inotifyInit();
  const dir = sys.openat2(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_DIRECTORY);
  const wd = ino.tryWatchDirectory(fd, dir, mask);
  assert.is(ino.tryWatchDirectory(fd, dir, mask), wd);
  sys.close(dir);
  const buffer = Buffer.alloc(65_536);
  return {
    fd,
    wd,
    events() {
      const all: [number, number, number, string][] = [];
      ino.parseEvents(buffer, ino.readAvailable(fd, buffer), (...event) => all.push(event));
      return all;
    },
  };
};

test('events with names of any bytes and any length, the two halves of a rename joined by a cookie', () => {
  const path = tempDir();
  const { fd, wd, events } = watched(path);
  assert.equal(events(), []);
  const odd = Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0xe3, 0x81])]);
  writeFileSync(odd, '');
  for (const length of [1, 15, 16, 17, 255]) writeFileSync(join(path, 'n'.repeat(length)), 'x');
  renameSync(join(path, 'n'), join(path, 'm'));
  mkdirSync(join(path, 'd'));
  const seen = events();
  assert.equal(seen.slice(0, 2), [
    [wd, ino.IN_CREATE, 0, '\xff\xe3\x81'],
    [wd, ino.IN_CLOSE_WRITE, 0, '\xff\xe3\x81'],
  ]);
  assert.equal(
    seen.slice(2, -3).map(([, , , name]) => name.length),
    [1, 1, 15, 15, 16, 16, 17, 17, 255, 255],
  );
  const [from, to, made] = seen.slice(-3) as [(typeof seen)[0], (typeof seen)[0], (typeof seen)[0]];
  assert.is(from[1], ino.IN_MOVED_FROM);
  assert.is(to[1], ino.IN_MOVED_TO);
  assert.is(from[2], to[2]);
  assert.ok(from[2] !== 0);
  assert.equal(made, [wd, ino.IN_CREATE | ino.IN_ISDIR, 0, 'd']);
  ino.removeWatch(fd, wd);
  assert.equal(events(), [[wd, ino.IN_IGNORED, 0, '']]);
  sys.close(fd);
});

test('only directories are watched; what is not there is an errno', () => {
  const path = tempDir();
  writeFileSync(join(path, 'file'), '');
  const fd = ino.inotifyInit();
  const file = sys.openat2(sys.AT_FDCWD, join(path, 'file'), sys.O_RDONLY);
  assert.is(ino.tryWatchDirectory(fd, file, mask), -sys.E.ENOTDIR);
  sys.close(file);
  assert.is(ino.tryWatchDirectory(fd, file, mask), -sys.E.ENOENT);
  sys.close(fd);
});

test('waiting ends with the limit, with an event, and when another thread wakes', () => {
  const path = tempDir();
  const { fd } = watched(path);
  const bell = ino.wakeDescriptor();
  const timed = (ms: number): number => {
    const since = performance.now();
    ino.waitReadable([fd, bell], ms);
    return performance.now() - since;
  };
  const idle = timed(60);
  assert.ok(idle >= 55 && idle < 4000, `${idle}`);
  ino.wake(bell);
  ino.wake(bell);
  assert.ok(timed(5000) < 4000);
  assert.is(ino.readAvailable(bell, Buffer.alloc(8)), 8);
  assert.is(ino.readAvailable(bell, Buffer.alloc(8)), 0);
  assert.ok(timed(30) >= 25);
  writeFileSync(join(path, 'x'), '');
  assert.ok(timed(5000) < 4000);
  sys.close(fd);
  sys.close(bell);
});

test.run();
