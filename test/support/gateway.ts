/** The real, built gateway as a process of its own, over a directory of its own. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from './programs.js';
import { tempDir } from './temp.js';
import { until, withTimeout } from './time.js';

const cli = join(import.meta.dirname, '../../gateway/cli');

export interface Key {
  accessKey: string;
  secretKey: string;
  /** Canonical id of the account. */
  uuid: string;
}

export interface Gateway extends Key {
  endpoint: string;
  port: number;
  root: string;
  pid: number;
  /** What it has written so far, both streams. */
  output(): string;
  /** Directory of a bucket that the first account made. */
  bucketPath(bucket: string): string;
  /** How many sockets, and files of a bucket that the first account made, it has open. */
  open(bucket: string): number;
  /** SIGTERM, and waits; answers the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL, and waits. */
  kill9(): Promise<void>;
}

export interface GatewayOptions {
  /** Default: a new temporary directory. */
  root?: string;
  /** Default: a new key in a root that this process has not served yet, else the key made before. */
  key?: Key;
  port?: number;
  env?: NodeJS.ProcessEnv;
  flags?: readonly string[];
}

const firstKeys = new Map<string, Key>();
const running = new Set<{ pid: number }>();
process.on('exit', () => {
  for (const { pid } of running) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Ended by itself.
    }
  }
});

/** One of the project's commands (`tidegate`, `s3dskey`, `s3dsbucket`) on a root; its standard output. */
export async function command(name: string, args: readonly string[], root: string): Promise<string> {
  const ran = await mustRun(process.execPath, [join(cli, `${name}.js`), ...args, '--root', root]);
  return ran.stdout;
}

/** A further account with its key. */
export async function createKey(root: string, group = 'test', args: readonly string[] = []): Promise<Key> {
  const text = await command('s3dskey', ['create', `--group=${group}`, '--json', ...args], root);
  const fields = JSON.parse(text);
  return { accessKey: fields.accesskey, secretKey: fields.secretkey, uuid: fields.uuid };
}

/** Starts a gateway and resolves when it answers. It is killed when this process ends. */
export async function startGateway(options: GatewayOptions = {}): Promise<Gateway> {
  const root = options.root ?? tempDir('tidegate-root-');
  const key = options.key ?? firstKeys.get(root) ?? (await createKey(root));
  firstKeys.set(root, key);
  const child = spawn(
    process.execPath,
    [
      '--enable-source-maps',
      join(cli, 'tidegate.js'),
      'serve',
      '--root',
      root,
      '--port',
      `${options.port ?? 0}`,
      ...(options.flags ?? []),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } },
  );
  const pid = child.pid;
  if (pid === undefined) throw new Error('the gateway could not be started');
  const entry = { pid };
  running.add(entry);
  let output = '';
  const collect = (text: string) => {
    output = (output + text).slice(-1_000_000);
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  const ended = once(child, 'exit').then(([code]) => {
    running.delete(entry);
    return code as number | null;
  });

  // Printed once it accepts connections.
  const endpoint = await until('the gateway', 20_000, () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the gateway ended at once:\n${output}`);
    return /^tidegate: listening on (\S+)$/m.exec(output)?.[1];
  });

  return {
    ...key,
    endpoint,
    port: Number(new URL(endpoint).port),
    root,
    pid,
    output: () => output,
    bucketPath: (bucket) => join(root, key.uuid, bucket),
    open: (bucket) =>
      readdirSync(`/proc/${pid}/fd`).filter((fd) => {
        try {
          const to = readlinkSync(`/proc/${pid}/fd/${fd}`);
          return to.startsWith('socket:') || to.startsWith(join(root, key.uuid, bucket));
        } catch {
          return false;
        }
      }).length,
    stop() {
      child.kill('SIGTERM');
      return withTimeout('stopping the gateway', 40_000, ended);
    },
    async kill9() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
