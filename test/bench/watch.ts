/**
 * Watching a tree of 10,000 directories with 100,000 files: the watcher of the sync engine, chokidar and Node's `fs.watch`
 * (one for each directory). Start, memory, and the time from a write to being told.
 *
 *     node dist/test/bench/watch.js [DIRECTORIES] [FILES]
 *
 * Each runs in a process of its own. The watcher's latency holds its 50 ms of gathering. `fs.watch` stands for the bare
 * cost: it has no tree, so renamed and new directories are not followed.
 */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  type FSWatcher,
  watch as fsWatch,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import chokidar from 'chokidar';
import { createWatcher } from '../../sync/watch.js';
import { tempDir } from '../support/temp.js';

type Told = (path: string) => void;

const watchers: Record<string, (root: string, told: Told) => Promise<unknown>> = {
  async inotify(root, told) {
    const told2 = (dir: string, name = '') => told(join(root, dir, name));
    const source = createWatcher().source(root);
    await source.start({ hint: ({ dir, name }) => told2(dir, name), lost: () => {} });
    return source;
  },
  chokidar: (root, told) =>
    new Promise((resolve) => {
      const watcher = chokidar.watch(root, { ignoreInitial: true });
      watcher.on('all', (_event, path) => told(path));
      watcher.on('ready', () => resolve(watcher));
    }),
  async 'fs.watch'(root, told) {
    const all: FSWatcher[] = [];
    const one = (dir: string): void => {
      all.push(fsWatch(dir, (_event, name) => told(join(dir, name ?? ''))));
      for (const entry of readdirSync(dir, { withFileTypes: true }))
        if (entry.isDirectory()) one(join(dir, entry.name));
    };
    one(root);
    return all;
  },
};

const rssMiB = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;

/** In a process of its own: prints one line of JSON. */
async function measure(kind: string, root: string): Promise<void> {
  let waiting: { path: string; resolve: (ms: number) => void; since: number } | undefined;
  const told: Told = (path) => {
    if (path === waiting?.path) waiting.resolve(performance.now() - waiting.since);
  };
  const before = rssMiB();
  const since = performance.now();
  const held = await watchers[kind]!(root, told);
  const start = performance.now() - since;
  // Processor time of a second in which nothing happens.
  const cpu = process.cpuUsage();
  await sleep(1_000);
  const idle = process.cpuUsage(cpu);
  const memory = rssMiB() - before;
  const latencies: number[] = [];
  for (let i = 0; i < 50; i++) {
    const path = join(root, `d${i % 10}`, `e${i}`, 'f0');
    const heard = new Promise<number>((resolve) => {
      waiting = { path, resolve, since: performance.now() };
    });
    appendFileSync(path, 'x');
    latencies.push(await Promise.race([heard, sleep(5_000, Number.NaN)]));
    await sleep(20);
  }
  latencies.sort((a, b) => a - b);
  const idleMs = (idle.user + idle.system) / 1000;
  console.log(JSON.stringify({ start, memory, idleMs, median: latencies[25], worst: latencies.at(-1) }));
  void held;
  process.exit(0);
}

function compare(directories: number, files: number): void {
  const root = tempDir();
  for (let d = 0; d < directories; d++) {
    const dir = join(root, `d${d % 10}`, `e${d}`);
    mkdirSync(dir, { recursive: true });
    for (let f = 0; f < files / directories; f++) writeFileSync(join(dir, `f${f}`), '');
  }
  console.log(`${directories} directories, ${files} files, Node ${process.version}`);
  console.log('             start ms   memory MiB   idle ms/s   told after ms, median and worst of 50');
  for (const kind of Object.keys(watchers)) {
    const { stdout, stderr, status } = spawnSync(process.execPath, [import.meta.filename, '--measure', kind, root], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${kind}: ${stderr}`);
    const { start, memory, idleMs, median, worst } = JSON.parse(stdout);
    const column = (value: number | null, width: number) => (value?.toFixed(1) ?? 'never').padStart(width);
    console.log(kind.padEnd(10) + [start, memory, idleMs, median, worst].map((value) => column(value, 12)).join(''));
  }
}

if (process.argv[2] === '--measure') await measure(process.argv[3]!, process.argv[4]!);
else compare(Number(process.argv[2] ?? 10_000), Number(process.argv[3] ?? 100_000));
