/**
 * The test runner: every `*.test.js` beside this file as a process of its own, two at a time, each with a time limit.
 *
 *     node dist/test/run.js            everything
 *     node dist/test/run.js listing    only files whose path contains `listing`
 *
 * uvu itself has no time limits, and it ends with 0 when a `before` hook throws; so its closing lines are counted here
 * and not its exit code alone. A file that crashes, hangs or prints no closing lines counts as one failed test.
 * The last line is `N passed, N failed`, with `, N skipped` when something was skipped.
 */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

const here = import.meta.dirname;
const sources = join(process.cwd(), 'test');
const parallel = 2;
const defaultSeconds = 120;

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  /** Why the file failed as a whole; undefined when its own summary tells everything. */
  trouble?: string;
}

/** Test files in path order. A compiled test whose source is gone is a leftover of an earlier build and is left out. */
async function testFiles(filter: string | undefined): Promise<string[]> {
  const names = await readdir(here, { recursive: true });
  return names
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => !existsSync(sources) || existsSync(join(sources, name.replace(/\.js$/, '.ts'))))
    .filter((name) => filter === undefined || name.includes(filter))
    .sort();
}

/** Files that load the machine or measure time run with nothing beside them. */
function runsAlone(name: string): boolean {
  return name.startsWith(`clients${sep}`) || name.endsWith('.slow.test.js');
}

/** A file may say `// timeout: 300` (seconds) in one of its first lines. */
function limitSeconds(path: string): number {
  const said = /^\s*(?:\/\/|\*|\/\*\*?)\s*timeout:\s*(\d+)/m.exec(readFileSync(path, 'utf8').slice(0, 4096));
  return said ? Number(said[1]) : defaultSeconds;
}

/** Reads uvu's closing lines; the last ones count. Undefined when there are none. */
export function readSummary(output: string): Omit<Outcome, 'trouble'> | undefined {
  const all = [
    ...stripVTControlCharacters(output).matchAll(/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm),
  ];
  const last = all.at(-1);
  if (!last) return undefined;
  const [total, passed, skipped] = [Number(last[1]), Number(last[2]), Number(last[3])];
  return { passed, failed: total - passed, skipped };
}

/** What one file's end means: its summary, corrected by how the process ended. */
export function judge(
  output: string,
  code: number | null,
  signal: string | null,
  timedOut: number | undefined,
): Outcome {
  const summary = readSummary(output);
  const counted = summary ?? { passed: 0, failed: 0, skipped: 0 };
  const trouble =
    timedOut !== undefined
      ? `not finished after ${timedOut} s`
      : signal !== null
        ? `ended by ${signal}`
        : summary === undefined
          ? `no summary, exit code ${code}`
          : code !== 0 && summary.failed === 0
            ? `exit code ${code} although nothing failed`
            : undefined;
  if (trouble === undefined) return counted;
  return { ...counted, failed: Math.max(1, counted.failed), trouble };
}

/** A new temporary directory that other users may pass through, as they may /tmp: some tests work as somebody else. */
function passableDir(prefix: string): string {
  const dir = mkdtempSync(prefix);
  chmodSync(dir, 0o711);
  return dir;
}

function runFile(name: string, scratch: string): Promise<{ outcome: Outcome; output: string; seconds: number }> {
  const path = join(here, name);
  const seconds = limitSeconds(path);
  const started = Date.now();
  return new Promise((resolve) => {
    // A process group of its own, so that a test that is cut off takes its servers with it.
    const child = spawn(process.execPath, ['--enable-source-maps', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, TMPDIR: passableDir(join(scratch, 't-')) },
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    let timedOut: number | undefined;
    const endGroup = () => {
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {
        // Nobody of the group is left: what we wanted.
      }
    };
    const timer = setTimeout(() => {
      timedOut = seconds;
      endGroup();
    }, seconds * 1000);
    // `exit` and not `close`: a server that a test forgot keeps the pipes open.
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      endGroup();
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        const output = Buffer.concat(chunks).toString();
        resolve({
          outcome: judge(output, code, signal, timedOut),
          output,
          seconds: (Date.now() - started) / 1000,
        });
      }, 20);
    });
  });
}

async function main(filter: string | undefined): Promise<number> {
  const files = await testFiles(filter);
  const scratch = passableDir(join(tmpdir(), 'tidegate-test-'));
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const troubled: string[] = [];

  const one = async (name: string) => {
    const { outcome, output, seconds } = await runFile(name, scratch);
    sum.passed += outcome.passed;
    sum.failed += outcome.failed;
    sum.skipped += outcome.skipped;
    const counts = `${outcome.passed} passed, ${outcome.failed} failed`;
    const skips = outcome.skipped ? `, ${outcome.skipped} skipped` : '';
    console.log(`${outcome.failed ? 'FAIL' : 'ok  '} ${name}: ${counts}${skips} (${seconds.toFixed(1)} s)`);
    if (outcome.failed === 0) return;
    troubled.push(name);
    // `N passed, N failed` belongs to the last line alone, whatever a test prints: its output is indented.
    console.log(output.trimEnd().replace(/^/gm, '    | '));
    if (outcome.trouble) console.log(`    | ${name}: ${outcome.trouble}`);
  };

  const together = files.filter((name) => !runsAlone(name));
  const lane = async () => {
    for (let name = together.shift(); name !== undefined; name = together.shift()) await one(name);
  };
  try {
    await Promise.all(Array.from({ length: parallel }, lane));
    for (const name of files.filter(runsAlone)) await one(name);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }

  if (files.length === 0)
    console.log(`no test file ${filter === undefined ? `under ${here}` : `contains '${filter}'`}`);
  if (troubled.length) console.log(`failed: ${troubled.map((name) => relative('.', join(here, name))).join(' ')}`);
  console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped ? `, ${sum.skipped} skipped` : ''}`);
  return sum.failed > 0 || sum.passed === 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(process.argv[2]);
