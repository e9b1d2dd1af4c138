import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sys from '../../../gateway/storage/posix/syscalls.js';

const test = suite<{ path: string; dir: number }>('syscalls');

test.before.each((context) => {
  context.path = mkdtempSync(join(tmpdir(), 'tidegate-sys-'));
  context.dir = sys.openat2(sys.AT_FDCWD, context.path, sys.O_RDONLY | sys.O_DIRECTORY);
});
test.after.each(({ path, dir }) => {
  sys.close(dir);
  rmSync(path, { recursive: true, force: true });
});

const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'nothing';
};

const create = (dir: number, name: sys.Path, text = ''): number => {
  const fd = sys.openat2(dir, name, sys.O_RDWR | sys.O_CREAT | sys.O_EXCL, 0o640, sys.RESOLVE_INSIDE);
  sys.pwrite(fd, Buffer.from(text), 0);
  return fd;
};

test('openat2 inside a directory: names in UTF-8 and raw bytes; nothing leads out, no link is followed', ({
  dir,
  path,
}) => {
  sys.requireOpenat2();
  sys.close(create(dir, 'データ 😀', 'hello'));
  assert.is(readFileSync(join(path, 'データ 😀'), 'utf8'), 'hello');
  sys.close(create(dir, sys.rawPath('\xff\xfe'), 'raw'));
  assert.is(readFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0xfe])]), 'utf8'), 'raw');
  symlinkSync('/etc/passwd', join(path, 'out'));
  symlinkSync('データ 😀', join(path, 'in'));
  const inside = (name: string) => sys.tryOpenat2(dir, name, sys.O_RDONLY, 0, sys.RESOLVE_INSIDE);
  assert.is(inside('out'), -sys.E.ELOOP);
  assert.is(inside('in'), -sys.E.ELOOP);
  assert.is(inside('../x'), -sys.E.EXDEV);
  assert.is(inside('/etc/passwd'), -sys.E.EXDEV);
  assert.is(inside('none'), -sys.E.ENOENT);
  assert.is(
    code(() => sys.openat2(dir, 'none', sys.O_RDONLY)),
    'ENOENT',
  );
});

test('a NUL never cuts a path short', ({ dir }) => {
  sys.close(create(dir, 'a', 'x'));
  for (const name of ['a\0b', Buffer.from('a\0b')]) {
    assert.is(
      code(() => sys.tryOpenat2(dir, name, sys.O_RDONLY)),
      'EINVAL',
    );
    assert.is(
      code(() => sys.tryUnlinkat(dir, name)),
      'EINVAL',
    );
    assert.is(
      code(() => sys.tryStatat(dir, name, 0)),
      'EINVAL',
    );
    assert.is(
      code(() => sys.tryRenameat2(dir, name, dir, 'c')),
      'EINVAL',
    );
    assert.is(
      code(() => sys.tryRenameat2(dir, 'a', dir, name)),
      'EINVAL',
    );
    assert.is(
      code(() => sys.tryLinkat(dir, 'a', dir, name)),
      'EINVAL',
    );
    assert.is(
      code(() => sys.tryMkdirat(dir, name, 0o700)),
      'EINVAL',
    );
  }
});

test('descriptors are close-on-exec', ({ dir }) => {
  const flags = readFileSync(`/proc/self/fdinfo/${dir}`, 'utf8');
  assert.ok((Number.parseInt(/flags:\s*(\d+)/.exec(flags)![1]!, 8) & sys.O_CLOEXEC) !== 0);
});

test("status is what Node's own stat says, with nanoseconds", ({ dir, path }) => {
  const fd = create(dir, 'f', '12345');
  sys.fchmod(fd, 0o604);
  sys.futimens(fd, 1_700_000_000_123_456_789n);
  const node = statSync(join(path, 'f'), { bigint: true });
  for (const own of [sys.fstat(fd), sys.tryStatat(dir, 'f', 0)!]) {
    assert.is(own.size, 5);
    assert.is(own.mode, Number(node.mode));
    assert.is(own.mode & 0o7777, 0o604);
    assert.is(own.nlink, 1);
    assert.is(own.uid, Number(node.uid));
    assert.is(own.gid, Number(node.gid));
    assert.is(own.ino, node.ino);
    assert.is(own.mtimeNs, 1_700_000_000_123_456_789n);
    assert.is(own.ctimeNs, node.ctimeNs);
  }
  sys.futimens(fd, -1_500_000_000n);
  assert.is(sys.fstat(fd).mtimeNs, -1_500_000_000n);
  assert.is(sys.tryStatat(dir, 'none', 0), undefined);
  assert.is(sys.tryStatat(dir, 'f/x', 0), undefined);
  sys.close(fd);
  assert.is(
    code(() => sys.fstat(fd)),
    'EBADF',
  );
  assert.ok(sys.fstatfs(dir).blockSize > 0);
});

test('attributes: set, create, replace, too small a buffer, removed; by path', ({ dir }) => {
  const fd = create(dir, 'f');
  const into = Buffer.alloc(64);
  assert.is(sys.tryFgetxattr(fd, 'user.t', into), -sys.E.ENODATA);
  sys.fsetxattr(fd, 'user.t', Buffer.from('value'), sys.XATTR_CREATE);
  assert.is(sys.tryFsetxattr(fd, 'user.t', Buffer.from('x'), sys.XATTR_CREATE), -sys.E.EEXIST);
  assert.is(sys.tryFgetxattr(fd, 'user.t', into), 5);
  assert.is(into.toString('utf8', 0, 5), 'value');
  assert.is(sys.tryFgetxattr(fd, 'user.t', Buffer.alloc(2)), -sys.E.ERANGE);
  const path = sys.openat2(dir, 'f', sys.O_PATH);
  assert.is(sys.tryFgetxattr(path, 'user.t', into), -sys.E.EBADF);
  assert.is(sys.tryFsetxattr(fd, 'user.t', Buffer.from('proc'), sys.XATTR_REPLACE), 0);
  assert.is(sys.tryLgetxattr(`${sys.procPath(dir)}/f`, 'user.t', into), 4);
  assert.is(into.toString('utf8', 0, 4), 'proc');
  assert.is(sys.tryFremovexattr(fd, 'user.t'), 0);
  assert.is(sys.tryFremovexattr(fd, 'user.t'), -sys.E.ENODATA);
  sys.close(path);
  sys.close(fd);
});

test('names: rename over, rename only where nothing stands, link, unlink, directories', ({ dir, path }) => {
  sys.close(create(dir, 'a', 'A'));
  sys.close(create(dir, 'b', 'B'));
  assert.is(sys.tryRenameat2(dir, 'a', dir, 'b', sys.RENAME_NOREPLACE), -sys.E.EEXIST);
  assert.is(sys.tryLinkat(dir, 'a', dir, 'b'), -sys.E.EEXIST);
  assert.is(sys.tryLinkat(dir, 'a', dir, 'c'), 0);
  sys.renameat(dir, 'a', dir, 'b');
  assert.is(readFileSync(join(path, 'b'), 'utf8'), 'A');
  assert.is(sys.tryMkdirat(dir, 'd', 0o700), 0);
  assert.is(sys.tryMkdirat(dir, 'd', 0o700), -sys.E.EEXIST);
  assert.is(sys.tryUnlinkat(dir, 'd'), -sys.E.EISDIR);
  assert.is(sys.tryUnlinkat(dir, 'd', sys.AT_REMOVEDIR), 0);
  sys.unlinkat(dir, 'c');
  assert.is(
    code(() => sys.unlinkat(dir, 'c')),
    'ENOENT',
  );
  const tmp = sys.tryOpenat2(sys.AT_FDCWD, path, sys.O_TMPFILE | sys.O_RDWR, 0o600);
  if (tmp >= 0) {
    sys.pwrite(tmp, Buffer.from('nameless'), 0);
    assert.is(sys.tryLinkat(sys.AT_FDCWD, sys.procPath(tmp), dir, 'named', sys.AT_SYMLINK_FOLLOW), 0);
    assert.is(readFileSync(join(path, 'named'), 'utf8'), 'nameless');
    sys.close(tmp);
  }
});

test('entries: every name byte for byte, with its type, also when they take many calls', ({ dir, path }) => {
  const names = new Set<string>();
  for (let i = 0; i < 2_000; i++) {
    const name = `name-${'x'.repeat(i % 40)}-${i}`;
    writeFileSync(join(path, name), '');
    names.add(name);
  }
  sys.close(create(dir, sys.rawPath('\xc3\x28\x80')));
  names.add('\xc3\x28\x80');
  sys.close(create(dir, '..a'));
  names.add('..a');
  sys.close(create(dir, '.b'));
  names.add('.b');
  sys.tryMkdirat(dir, 'sub', 0o700);
  symlinkSync('nowhere', join(path, 'link'));
  execFileSync('mkfifo', [join(path, 'fifo')]);
  const entries = sys.readEntries(sys.openat2(dir, '.', sys.O_RDONLY | sys.O_DIRECTORY));
  const types = new Map(entries.map((entry) => [entry.name, entry.type]));
  assert.is(types.size, entries.length);
  assert.is(types.get('sub'), sys.DT_DIR);
  assert.is(types.get('link'), sys.DT_LNK);
  assert.is(types.get('fifo'), 1);
  for (const name of names) assert.is(types.get(name), sys.DT_REG, name);
  assert.is(entries.length, names.size + 3);
});

test('bytes: shared memory, short files, copies in the kernel, truncation', ({ dir }) => {
  const fd = create(dir, 'f', 'abcdef');
  const shared = Buffer.from(new SharedArrayBuffer(4));
  assert.is(sys.pread(fd, shared, 3), 3);
  assert.is(Buffer.from(shared).toString('latin1', 0, 3), 'def');
  sys.pwrite(fd, shared.subarray(0, 2), 6);
  const copy = create(dir, 'g');
  assert.is(sys.tryCopyFileRange(fd, 2, copy, 1, 100), 6);
  assert.is(sys.tryCopyFileRange(fd, 100, copy, 0, 100), 0);
  const into = Buffer.alloc(16);
  assert.is(sys.pread(copy, into, 0), 7);
  assert.is(into.toString('latin1', 0, 7), '\0cdefde');
  sys.ftruncate(copy, 3);
  sys.fsync(copy);
  sys.beginWriting(copy, 0, 3);
  sys.awaitWritten(copy, 0, 3);
  sys.fdatasync(copy);
  assert.is(sys.fstat(copy).size, 3);
  sys.close(copy);
  sys.close(fd);
});

test('flock keeps two opens of one file apart, shared locks do not; closing gives it back', ({ dir }) => {
  const [a, b] = [create(dir, 'l'), sys.openat2(dir, 'l', sys.O_RDWR)];
  assert.is(sys.tryFlock(a), true);
  assert.is(sys.tryFlock(b), false);
  assert.is(sys.tryFlock(a, false), true);
  assert.is(sys.tryFlock(b, false), true);
  assert.is(sys.tryFlock(b), false);
  sys.close(a);
  assert.is(sys.tryFlock(b), true);
  sys.close(b);
  assert.is(
    code(() => sys.tryFlock(b)),
    'EBADF',
  );
});

test('the clock is the one of Date', () => {
  assert.ok(Math.abs(Number(sys.clockGettime() / 1_000_000n) - Date.now()) < 1_000);
});

test('the numbers of arm64 are those of asm-generic/unistd.h, and cover the same calls', () => {
  // Spot checks against the kernel's table: a wrong number would call something else altogether.
  const { arm64, x64 } = sys.tables;
  assert.equal(Object.keys(arm64).sort(), Object.keys(x64).sort());
  assert.is(new Set(Object.values(arm64)).size, Object.keys(arm64).length);
  assert.is(new Set(Object.values(x64)).size, Object.keys(x64).length);
  assert.is(arm64.setfsuid, 151);
  assert.is(arm64.setgroups, 159);
  assert.is(arm64.statx, 291);
});

test.run();
