/**
 * Two runs of the benchmark side by side, or two commits measured now by this benchmark. Compared is the ratio to the
 * reference where there is one: it says the same on a machine that was busy.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../support/temp.js';
import type { Report, Row } from './row.js';
import { align } from './table.js';

const usage = `Usage: npm run bench:compare -- A.json B.json [--fail PERCENT]
       npm run bench:compare -- COMMIT COMMIT [--fail PERCENT] [options of the benchmark]

Two runs of the benchmark side by side, or two commits that are measured now.

  --fail PERCENT     ends with 1 when a row has become worse by more than that
  --help             this text

Example: npm run bench:compare -- HEAD~10 HEAD --quick --only 'GET 1 KiB'
`;

const root = join(import.meta.dirname, '../../..');

export interface Change {
  load: string;
  before: number | null;
  after: number | null;
  /** What is compared. */
  of: 'ratio' | 'value';
  unit: string;
  /** Per cent; above zero is better. Null: one of the two is missing. */
  gain: number | null;
}

/** Every load of either run, in the order of the second. */
export function compare(a: readonly Row[], b: readonly Row[]): Change[] {
  const before = new Map(a.map((row) => [row.load, row]));
  const gone = a.filter((row) => !b.some(({ load }) => load === row.load));
  return [...b, ...gone].map((row) => {
    const first = before.get(row.load);
    const second = gone.includes(row) ? undefined : row;
    const of = first?.ratio != null && second?.ratio != null ? 'ratio' : 'value';
    const [from, to] = [first?.[of] ?? null, second?.[of] ?? null];
    // How much more is done, or how much less is spent.
    const factor = from === null || to === null ? null : row.better === 'higher' ? to / from : from / to;
    return {
      load: row.load,
      before: from,
      after: to,
      of,
      unit: of === 'ratio' ? `× ${row.referenceName}` : row.unit,
      gain: factor === null || !Number.isFinite(factor) ? null : (factor - 1) * 100,
    };
  });
}

const shown = (value: number | null) => (value === null ? '–' : value.toPrecision(3));

/** Runs the benchmark of today on the gateway of a commit. */
function measureCommit(commit: string, options: readonly string[]): Report {
  const tree = join(tempDir('tidegate-commit-'), 'tree');
  const git = (...words: string[]) => execFileSync('git', words, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  git('worktree', 'add', '--detach', tree, commit);
  try {
    // The lockfile may have changed: then both have to be measured by hand, each in its own checkout.
    symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
    execFileSync(join(root, 'node_modules/.bin/tsc'), { cwd: tree, stdio: 'inherit' });
    // Older ones have none.
    const bundle = join(tree, 'dist/gateway/bundle.js');
    if (existsSync(bundle)) execFileSync(process.execPath, [bundle], { stdio: 'inherit' });
    const json = join(tree, 'bench.json');
    const args = [join(import.meta.dirname, 'main.js'), '--dist', join(tree, 'dist'), '--json', json, ...options];
    execFileSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
    return { ...JSON.parse(readFileSync(json, 'utf8')), commit };
  } finally {
    git('worktree', 'remove', '--force', tree);
  }
}

function main(args: string[]): number {
  if (args.includes('--help')) {
    console.log(usage);
    return 0;
  }
  const at = args.indexOf('--fail');
  const fail = at < 0 ? Number.POSITIVE_INFINITY : Number(args.splice(at, 2)[1]);
  const [a, b, ...options] = args;
  if (a === undefined || b === undefined || Number.isNaN(fail)) {
    console.error(usage);
    return 2;
  }
  const [first, second] = [a, b].map((name) =>
    existsSync(name) ? (JSON.parse(readFileSync(name, 'utf8')) as Report) : measureCommit(name, options),
  ) as [Report, Report];
  const changes = compare(first.rows, second.rows);
  const lines = changes.map(({ load, before, after, unit, gain }) => [
    load,
    shown(before),
    shown(after),
    unit,
    gain === null ? '' : `${gain > 0 ? '+' : ''}${gain.toFixed(0)} %`,
  ]);
  console.log(align([['load', first.commit, second.commit, '', 'better by'], ...lines]));
  if (first.machine !== second.machine) console.log(`\ntwo machines: ${first.machine} / ${second.machine}`);
  const worse = changes.filter(({ gain }) => gain !== null && gain < -fail);
  if (worse.length > 0) console.log(`\nworse by more than ${fail} %: ${worse.map(({ load }) => load).join(' / ')}`);
  return worse.length > 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) process.exit(main(process.argv.slice(2)));
