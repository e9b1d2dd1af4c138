/** The benchmark: the real gateway beside what the machine can do. `--help` tells its options. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { tempDir } from '../support/temp.js';
import { createHost } from './gateway.js';
import { clear } from './ground.js';
import { limits } from './limits.js';
import { access, startup, verification } from './loads/access.js';
import { jobs } from './loads/jobs.js';
import { fastPuts, largeGets, largePuts, memory, multipart } from './loads/large.js';
import { everything, pages } from './loads/listing.js';
import { mixed } from './loads/mixed.js';
import { slow } from './loads/slow.js';
import { deletes, reads, writes } from './loads/small.js';
import { absolute, type Bench, failure } from './measure.js';
import { summarize } from './profile.js';
import type { Report, Row } from './row.js';
import { full, quick } from './scale.js';
import type { Target } from './signed.js';
import { table } from './table.js';

const usage = `Usage: npm run bench -- [options]

The real gateway beside what this machine can do: each load in turns with a reference (node:http, nginx, dd, bare system
calls in C, find), and what counts is the median ratio. Loopback only, but for --against. What it makes is removed.

  --quick            within three minutes; without it up to an hour and 16 GiB
  --only TEXT,…      loads whose name contains one of these
  --json FILE        writes the rows as JSON
  --dir DIR          on the filesystem of this directory
  --dist DIR         another build, with the loads of this one
  --profile DIR      CPU profiles of all threads, and a summary of them
  --drop-caches      makes the cold rows cold for the kernel too, and all else on the machine (root)
  --slow             on a slow network filesystem too (root, GlusterFS)
  --serve='FLAGS'    further flags of \`tidegate serve\`
  --against URL --key KEY --secret SECRET
                     the same loads on another S3 server too
  --help             this text

Example: npm run bench -- --quick --only '64 MiB,HEAD' --json now.json
`;

const { values: args } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    only: { type: 'string' },
    dir: { type: 'string' },
    dist: { type: 'string' },
    profile: { type: 'string' },
    'drop-caches': { type: 'boolean', default: false },
    slow: { type: 'boolean', default: false },
    serve: { type: 'string', default: '' },
    against: { type: 'string' },
    key: { type: 'string' },
    secret: { type: 'string' },
  },
});
if (args.help) {
  console.log(usage);
  process.exit(0);
}
const scale = args.quick ? quick : full;

function other(): Target | undefined {
  if (args.against === undefined) return undefined;
  const { protocol, hostname, port } = new URL(args.against);
  if (protocol !== 'http:' || args.key === undefined || args.secret === undefined)
    throw new Error('--against takes an http:// URL, with --key and --secret');
  return { host: hostname, port: Number(port || 80), accessKey: args.key, secretKey: args.secret };
}

/** A full disk would measure something else, and harm others. */
function checkSpace(dir: string): void {
  const { bavail, bsize, ffree, files } = statfsSync(dir);
  const free = (bavail * bsize) / 2 ** 20;
  if (free < scale.diskMiB) throw new Error(`${dir} has ${free.toFixed(0)} MiB free, ${scale.diskMiB} are needed`);
  // Some filesystems make inodes as they need them, and count none.
  if (files > 0 && ffree < scale.inodes) throw new Error(`${dir} has ${ffree} inodes free, ${scale.inodes} are needed`);
}

function commit(): string {
  try {
    const git = (...words: string[]) =>
      execFileSync('git', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return git('rev-parse', '--short', 'HEAD').trim() + (git('status', '--porcelain') ? ' and changes' : '');
  } catch {
    return 'unknown';
  }
}

/** Whether everything could be measured. */
async function main(): Promise<boolean> {
  if (args.dir !== undefined) process.env['TMPDIR'] = resolve(args.dir);
  const scratch = tempDir('tidegate-bench-');
  checkSpace(scratch);
  // The account of the objects passes through it.
  chmodSync(scratch, 0o711);
  const profile = args.profile === undefined ? undefined : resolve(args.profile);
  if (profile !== undefined) mkdirSync(profile, { recursive: true });
  const load = loadavg()[0]!;
  if (load > 0.5) console.error(`the machine has other work (load ${load.toFixed(1)}): only ratios mean something`);

  const dist = resolve(args.dist ?? join(import.meta.dirname, '../..'));
  const rows: Row[] = [];
  // Names of loads have commas of their own, with a blank behind.
  const only = args.only?.split(/,(?! )/).map((text) => text.trim().toLowerCase());
  const end = performance.now() + scale.limit * 1000;
  const bench: Bench = {
    scale,
    host: createHost({
      root: join(scratch, 'root'),
      dist,
      profile,
      flags: args.serve.split(' ').filter((flag) => flag !== ''),
    }),
    dist,
    other: other(),
    scratch,
    rows,
    wanted(name) {
      if (only && !only.some((text) => name.toLowerCase().includes(text))) return false;
      if (performance.now() < end) return true;
      absolute(bench, name, null, 'ms', undefined, { note: 'left out: the time was over' });
      return false;
    },
    forgetDisk() {
      if (!args['drop-caches']) return;
      execFileSync('sync');
      writeFileSync('/proc/sys/vm/drop_caches', '3');
    },
    add(row) {
      rows.push(row);
      // Progress; the table comes at the end.
      const ratio = row.ratio === null ? '' : `, ${row.ratio.toFixed(2)} × ${row.referenceName}`;
      console.error(
        `${row.load}: ${row.value?.toPrecision(4) ?? '–'} ${row.unit}${ratio}${row.note ? ` (${row.note})` : ''}`,
      );
    },
  };
  mkdirSync(join(scratch, 'root'), { mode: 0o755 });

  try {
    await startup(bench);
    await verification(bench);
    await reads(bench);
    await access(bench);
    await writes(bench, 'full');
    await deletes(bench, 'full');
    await largeGets(bench);
    await largePuts(bench, 'full');
    await fastPuts(bench);
    await multipart(bench);
    await writes(bench, 'none');
    await deletes(bench, 'none');
    await largePuts(bench, 'none');
    await memory(bench);
    await pages(bench);
    await everything(bench);
    await mixed(bench);
    await jobs(bench);
    if (args.slow) await slow(bench);
    sums(bench);
    await clear(bench);
  } finally {
    await bench.host.stop();
  }
  const report: Report = {
    machine: `${availableParallelism()} × ${cpus()[0]?.model ?? process.arch}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.versions.node}`,
    commit: commit(),
    date: new Date().toISOString(),
    command: [
      'npm run bench --',
      ...process.argv.slice(2).filter((_, i, all) => !/^--(key|secret)/.test(all[i - 1] ?? '')),
    ].join(' '),
    rows,
  };
  console.log(table(report));
  if (args.json !== undefined) writeFileSync(args.json, `${JSON.stringify(report, undefined, 1)}\n`);
  if (profile !== undefined) console.log(summarize(profile));
  return !rows.some(({ note }) => note?.startsWith(failure));
}

/** What holds for all loads together. */
function sums(bench: Bench): void {
  const most = (rows: Row[], of: 'stallMs' | 'rssMiB') => Math.max(...rows.map((row) => row[of] ?? 0));
  const measured = bench.rows.filter((row) => row.stallMs !== null);
  if (measured.length === 0) return;
  const worst = measured.find((row) => row.stallMs === most(measured, 'stallMs'));
  absolute(bench, 'main thread stall during any of it, p99', most(measured, 'stallMs'), 'ms', limits.stall, {
    note: worst?.load ?? '',
  });
  const crowded = measured.filter((row) => /\b64 conn\./.test(row.load));
  const processes = ({ load }: Row): string => /, \d+ processes$/.exec(load)?.[0] ?? '';
  // Each process has its own memory.
  for (const several of new Set(crowded.map(processes))) {
    const rows = crowded.filter((row) => processes(row) === several);
    const largest = rows.find((row) => row.rssMiB === most(rows, 'rssMiB'));
    absolute(bench, `RSS under 64 connections${several}`, most(rows, 'rssMiB'), 'MiB', limits.memory, {
      note: largest?.load ?? '',
    });
  }
}

// Exit handlers remove what was made and end what was started.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
process.exit((await main()) ? 0 : 1);
