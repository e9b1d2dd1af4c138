/**
 * A full scan of files that nothing has happened to, by one thread: files per second beside bare lstat of the same files and
 * beside `find -printf`, in turns. All of it warm.
 *
 *     node dist/test/bench/scan.js [FILES] [DIRECTORIES]
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepareBucket, withBucket } from '../../gateway/storage/posix/paths.js';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  O_DIRECTORY,
  O_RDONLY,
  openat2,
  rawPath,
  readEntries,
  tryStatat,
} from '../../gateway/storage/posix/syscalls.js';
import { openCatalog } from '../../sync/catalog.js';
import { createScan } from '../../sync/scan.js';
import type { Entry, KeyBytes } from '../../sync/types.js';
import { tempDir } from '../support/temp.js';

const files = Number(process.argv[2] ?? 100_000);
const directories = Number(process.argv[3] ?? Math.ceil(files / 100));
const path = tempDir();
const ground = {
  path,
  durability: 'none' as const,
  sidecars: false,
  fileMode: 0o644,
  directoryMode: 0o755,
  synced: false,
  shared: false,
};
prepareBucket(ground);
const dirs = Array.from({ length: directories }, (_, i) => `run${String(i).padStart(5, '0')}`);
for (const dir of dirs) mkdirSync(join(path, dir));
for (let i = 0; i < files; i++) writeFileSync(join(path, dirs[i % directories]!, `out-${i}.nc`), '');

const catalog = openCatalog(tempDir(), 0);
const inside = <T>(work: (bucket: Parameters<Parameters<typeof withBucket<T>>[2]>[0]) => T): T =>
  withBucket(ground, 'service', work);

/** Milliseconds; what is found is taken into the catalog. */
function scan(): { ms: number; found: number } {
  let found = 0;
  const begun = performance.now();
  const one = createScan(
    {
      catalog,
      inside,
      take(findings) {
        found += findings.length;
        const objects = findings.flatMap((finding): [KeyBytes, Entry][] => {
          if (finding.kind !== 'appeared') return [];
          const { size, mtimeNs, ctimeNs, ino } = finding.stat;
          return [[finding.key, { size, mtimeNs, ctimeNs, ino, etag: 'd41d8cd98f00b204e9800998ecf8427e', write: '' }]];
        });
        if (objects.length > 0) catalog.commit({ objects });
      },
      failed: () => {},
      mounted: () => {},
    },
    { dir: '' },
  );
  while (!one.step(1000));
  if (one.seen !== files) throw new Error(`${one.seen} of ${files} files seen`);
  return { ms: performance.now() - begun, found };
}

function bareLstat(): number {
  const begun = performance.now();
  for (const dir of dirs) {
    const fd = openat2(AT_FDCWD, join(path, dir), O_RDONLY | O_DIRECTORY);
    for (const { name } of readEntries(fd)) tryStatat(fd, rawPath(name), AT_SYMLINK_NOFOLLOW);
    close(fd);
  }
  return performance.now() - begun;
}

function find(): number {
  const begun = performance.now();
  const { status } = spawnSync('find', [path, '-type', 'f', '-printf', '%p %s %T@\\n'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) throw new Error('find failed');
  return performance.now() - begun;
}

const first = scan();
console.log(`taken up: ${first.found} files, ${Math.round((files / first.ms) * 1000)} files/s`);
const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;
const rows: { scan: number[]; lstat: number[]; find: number[] } = { scan: [], lstat: [], find: [] };
for (let round = 0; round < 5; round++) {
  const again = scan();
  if (again.found > 0) throw new Error(`${again.found} files differ that nobody touched`);
  rows.scan.push(again.ms);
  rows.lstat.push(bareLstat());
  rows.find.push(find());
}
for (const [name, times] of Object.entries(rows)) {
  console.log(
    `${name.padEnd(6)} ${String(Math.round((files / median(times)) * 1000)).padStart(8)} files/s (median of 5)`,
  );
}
console.log(`scan / lstat: ${(median(rows.scan) / median(rows.lstat)).toFixed(2)} of its time`);
await catalog.close();
