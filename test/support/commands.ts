/** The built commands as processes of their own. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { until } from './time.js';

const cli = join(import.meta.dirname, '../../gateway/cli');

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The environment without settings of whoever runs the tests. */
const cleanEnv = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TIDEGATE|SUDO)_/.test(name)));

function start(name: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(process.execPath, [join(cli, `${name}.js`), ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...options,
    env: { ...cleanEnv(), ...options.env },
  });
}

/** Runs `tidegate`, `s3dskey` or `s3dsbucket` to its end. */
export async function runCommand(name: string, args: readonly string[], options: SpawnOptions = {}): Promise<Ran> {
  const child = start(name, args, options);
  const ran = { stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (ran.stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (ran.stderr += text));
  child.stdin!.end();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...ran };
}

export interface Serving {
  child: ChildProcess;
  /** Of the line that tells that it listens. */
  url: string;
  stdout(): string;
  stderr(): string;
  /** Exit code, or the signal's name. */
  ended: Promise<number | string>;
}

/** `tidegate serve` on a free port, once it listens. The caller must stop it. */
export async function serve(args: readonly string[], options: SpawnOptions = {}): Promise<Serving> {
  const child = start('tidegate', ['serve', '--port', '0', ...args], options);
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  let [stdout, stderr] = ['', ''];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(([code, signal]) => {
    process.off('exit', end);
    return (code ?? signal) as number | string;
  });
  const url = await until('tidegate serve', 20_000, async () => {
    if (child.exitCode !== null) throw new Error(`it ended at once:\n${stdout}${stderr}`);
    return /^tidegate: listening on (\S+)$/m.exec(stdout)?.[1];
  });
  return { child, url, stdout: () => stdout, stderr: () => stderr, ended };
}
