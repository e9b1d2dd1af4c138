/**
 * `bare.c` where there is no compiler: the same commands by synchronous calls through koffi, which cost about a quarter more.
 * A process of its own, run by `references.ts`. Prints "OPERATIONS NANOSECONDS".
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import * as sys from '../../gateway/storage/posix/syscalls.js';

const AT_FDCWD = -100;
const directoryFlags = sys.O_RDONLY | sys.O_DIRECTORY;
const newFile = sys.O_RDWR | sys.O_CREAT | sys.O_EXCL;

interface Puts {
  directory: string;
  seconds: number;
  size: number;
  sync: boolean;
  thread: number;
}

/** Of one thread; answers how many. */
function put({ directory, seconds, size, sync, thread }: Puts): number {
  const where = sys.openat2(AT_FDCWD, directory, directoryFlags);
  const content = Buffer.alloc(size, 'x');
  const attribute = Buffer.alloc(300, 'a');
  const temp = `.temp-${thread}`;
  const end = performance.now() + seconds * 1000;
  let done = 0;
  for (; performance.now() < end; done++) {
    const fd = sys.openat2(where, temp, newFile, 0o644);
    sys.pwrite(fd, content, 0);
    sys.tryFsetxattr(fd, 'user.bare', attribute);
    if (sync) sys.fsync(fd);
    sys.renameat(where, temp, where, `k${thread}-${done}`);
    if (sync) sys.fsync(where);
    sys.close(fd);
  }
  sys.close(where);
  return done;
}

async function putAll(args: readonly string[]): Promise<number> {
  const [directory, seconds, size, threads, sync] = args as [string, string, string, string, string];
  const counts = Array.from({ length: Number(threads) }, (_, thread) => {
    const data: Puts = { directory, seconds: Number(seconds), size: Number(size), sync: sync === '1', thread };
    return new Promise<number>((resolve, reject) => {
      const worker = new Worker(import.meta.filename, { workerData: data, trackUnmanagedFds: false });
      worker.once('message', resolve).once('error', reject);
    });
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

function element(path: string, stat: sys.Stat, validator: string): string {
  const time = new Date(Number(stat.mtimeNs / 1_000_000n)).toISOString();
  return `<Contents><Key>${path}</Key><LastModified>${time}</LastModified><ETag>&quot;${validator}&quot;</ETag><Size>${stat.size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
}

const value = Buffer.alloc(4096);

/** The XML of a directory; `deep`: with what is below its directories. */
function list(path: string, deep: boolean): string {
  const directory = sys.openat2(AT_FDCWD, path, directoryFlags);
  const entries = sys.readEntries(directory).filter(({ name }) => !name.startsWith('.'));
  const names = entries.map(({ name, type }) => (type === sys.DT_DIR ? `${name}/` : name)).sort();
  let xml = '';
  for (const name of names) {
    const full = join(path, name);
    if (name.endsWith('/')) {
      xml += deep ? list(full, deep) : `<CommonPrefixes><Prefix>${name}</Prefix></CommonPrefixes>`;
      continue;
    }
    const stat = sys.tryStatat(directory, name, sys.AT_SYMLINK_NOFOLLOW);
    const got = sys.tryLgetxattr(full, 'user.tidegate', value);
    if (stat) xml += element(full, stat, got > 8 ? value.toString('hex', 0, 16) : '');
  }
  sys.close(directory);
  return xml;
}

function names(path: string): void {
  const buffer = Buffer.allocUnsafe(1 << 20);
  const directory = sys.openat2(AT_FDCWD, path, directoryFlags);
  while (sys.getdents64(directory, buffer) > 0);
  sys.close(directory);
}

function make(path: string, count: number, per: number): void {
  for (let i = 0; i < count; i++) {
    const mixed = (Math.imul(i, 0x9e37_79b1) >>> 0).toString(16).padStart(8, '0');
    const directory = `d${Math.floor(i / per)
      .toString()
      .padStart(5, '0')}`;
    if (per > 0 && i % per === 0) mkdirSync(join(path, directory));
    const name = per > 0 ? `${directory}/f${mixed}` : `f${mixed}-${i}`;
    sys.close(sys.openat2(AT_FDCWD, join(path, name), newFile, 0o644));
  }
}

/** As often as fits into so many seconds, once at least. */
function repeat(seconds: number, work: () => void): number {
  const end = performance.now() + seconds * 1000;
  let done = 0;
  do {
    work();
    done++;
  } while (performance.now() < end);
  return done;
}

async function main([command, path = '', ...args]: string[]): Promise<number> {
  switch (command) {
    case 'put':
      return putAll([path, ...args]);
    case 'list':
      return repeat(Number(args[0]), () => list(path, args[1] === '1'));
    case 'names':
      return repeat(Number(args[0]), () => names(path));
    case 'make':
      make(path, Number(args[0]), Number(args[1]));
      return Number(args[0]);
    default:
      throw new Error(`unknown command ${command}`);
  }
}

if (!isMainThread) parentPort!.postMessage(put(workerData as Puts));
else {
  const from = process.hrtime.bigint();
  const done = await main(process.argv.slice(2));
  // The time of the threads' start is not the calls'.
  const seconds = process.argv[2] === 'put' ? BigInt(Math.round(Number(process.argv[4]) * 1e9)) : undefined;
  console.log(`${done} ${seconds ?? process.hrtime.bigint() - from}`);
}
