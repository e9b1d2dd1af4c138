/** The worker of pool.test.ts: operations that are slow, crash, or tell who they are. */
import { closeSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { threadId } from 'node:worker_threads';
import { S3Error } from '../../../gateway/errors.js';
import { documentOps } from '../../../gateway/storage/posix/documents-ops.js';
import { busyNow } from '../../../gateway/storage/posix/failures.js';
import { withKeyLock } from '../../../gateway/storage/posix/locks.js';
import { objectOps } from '../../../gateway/storage/posix/objects.js';
import { type Ground, withBucket } from '../../../gateway/storage/posix/paths.js';
import { reapOps } from '../../../gateway/storage/posix/reap.js';
import * as sys from '../../../gateway/storage/posix/syscalls.js';
import { transferOps } from '../../../gateway/storage/posix/transfer.js';
import { handOver, serve } from '../../../gateway/storage/posix/worker-loop.js';
import { leaveDirectory, placed, tryGetxattrAt } from '../../../gateway/storage/posix/working-directory.js';

const kept = new Map<string, number>();
const order: number[] = [];

const ops = {
  ...documentOps,
  ...objectOps,
  ...reapOps,
  ...transferOps,
  echo: (value: unknown) => value,
  thread: () => threadId,
  priority: () => getPriority(),
  sleep(ms: number, mark?: string): number {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    if (mark !== undefined) writeFileSync(mark, 'done');
    return threadId;
  },
  /** Is at it for long, but never long at one system call. */
  churn(ms: number): void {
    for (const end = performance.now() + ms; performance.now() < end; ) {
      sys.clockGettime();
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
  },
  /** Hangs in a system call until somebody writes. */
  openFifo: (path: string) => sys.openat2(sys.AT_FDCWD, path, sys.O_RDONLY),
  s3error(): never {
    throw new S3Error('InvalidPart', { message: 'part 3', fields: { Part: '3' }, headers: { 'x-a': 'b' } });
  },
  errno(): number {
    return sys.openat2(sys.AT_FDCWD, '/nonexistent/file', sys.O_RDONLY);
  },
  nodeErrno: () => openSync('/nonexistent/file', 'r'),
  bug(): never {
    throw new TypeError('a bug');
  },
  promise: async () => 1,
  uncloneable: () => () => 1,
  exit: () => process.exit(7),
  /** Comes to nothing of what would have been done afterwards: the key's lock is held, and directories are open. */
  exitLocked: (ground: Ground, key: string) =>
    withBucket(ground, 'write', (bucket) => withKeyLock(bucket, key, () => process.exit(7))),
  crash(): void {
    setImmediate(() => {
      throw new Error('crashed');
    });
  },
  keep: (name: string) => kept.set(name, threadId).size,
  kept: (name: string) => kept.get(name),
  push: (n: number) => order.push(n),
  order: () => order,
  bytes(size: number): ArrayBuffer {
    const buffer = new ArrayBuffer(size);
    new Uint8Array(buffer).fill(7);
    handOver(buffer);
    return buffer;
  },
  length: (buffer: ArrayBuffer) => buffer.byteLength,
  lockOrBusy(path: string): string {
    const fd = sys.openat2(sys.AT_FDCWD, path, sys.O_RDWR | sys.O_CREAT, 0o600);
    try {
      return sys.tryFlock(fd) ? 'locked' : busyNow();
    } finally {
      sys.close(fd);
    }
  },
  whoami: () => ({ fsuid: sys.setfsuid(-1), fsgid: sys.setfsgid(-1), groups: groupsOfThread() }),
  capabilities: () => /CapEff:\s*(\S+)/.exec(readFileSync('/proc/thread-self/status', 'utf8'))![1]!,
  touch(path: string): { uid: number; gid: number } {
    const fd = sys.openat2(sys.AT_FDCWD, path, sys.O_RDWR | sys.O_CREAT | sys.O_EXCL, 0o644);
    try {
      const { uid, gid } = sys.fstat(fd);
      return { uid, gid };
    } finally {
      sys.close(fd);
    }
  },
  attributeAt(directory: string, name: string): { value: string | number; below: string; after: string } {
    const fd = sys.openat2(sys.AT_FDCWD, directory, sys.O_RDONLY | sys.O_DIRECTORY);
    const into = placed(Buffer.alloc(100));
    const got = tryGetxattrAt(fd, name, placed('user.of-test'), into);
    const below = readlinkSync('/proc/thread-self/cwd');
    leaveDirectory();
    sys.close(fd);
    const value = got < 0 ? got : into.bytes.toString('utf8', 0, got);
    return { value, below, after: readlinkSync('/proc/thread-self/cwd') };
  },
  read: (path: string) => readFileSync(path, 'utf8'),
  openMany(path: string, count: number): number {
    for (let i = 0; i < count; i++) sys.close(sys.openat2(sys.AT_FDCWD, path, sys.O_RDONLY));
    closeSync(sys.openat2(sys.AT_FDCWD, path, sys.O_RDONLY));
    return count;
  },
};

const groupsOfThread = (): number[] =>
  /Groups:[ \t]*(.*)/
    .exec(readFileSync('/proc/thread-self/status', 'utf8'))![1]!
    .trim()
    .split(/\s+/)
    .filter((group) => group !== '')
    .map(Number);

export type TestOps = typeof ops;

serve(ops);
