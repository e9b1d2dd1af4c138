/** What the gateway is compared with, each measured in the same run right beside it. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun } from '../support/programs.js';
import { withTimeout } from '../support/time.js';
import { compiled } from './compiled.js';
import { present, start } from './process.js';
import type { Work } from './row.js';
import { hashSeconds, plainCall } from './signed.js';
import { type Address, type Call, drive } from './wire.js';
import { blast } from './wrk.js';

/** Where a tool is missing, the row says so and has no ratio. */
export type Reference = { name: string; run(): Promise<Work> } | { name: string; missing: string };

const MiB = 1 << 20;

// ---- servers -----------------------------------------------------------------------------------------------------

let raw: Promise<Address> | undefined;

function rawServer(): Promise<Address> {
  raw ??= (async () => {
    const child = start(process.execPath, [join(import.meta.dirname, 'rawhttp.js')], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const [port] = await withTimeout('the raw server', 10_000, once(child, 'message'));
    return { host: '127.0.0.1', port: port as number };
  })();
  return raw;
}

/** node:http from memory, under the same generator. `small`: by wrk, else by this process. */
export function rawHttp(method: 'GET' | 'HEAD', size: number, connections: number, seconds: number): Reference {
  return {
    name: 'node:http from memory',
    async run() {
      const address = await rawServer();
      const send = size < 65536 ? blast : drive;
      return send(address, [plainCall(address, `/${size}`, method)], { connections, seconds });
    },
  };
}

/** node:http that answers 204, once for each call. */
export function rawDelete(count: number, connections: number): Reference {
  return {
    name: 'node:http from memory',
    async run() {
      const address = await rawServer();
      const calls: Call[] = Array.from({ length: count }, (_, i) => plainCall(address, `/${i}`, 'DELETE'));
      return drive(address, calls, { connections });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  return port;
}

const servers = new Map<string, Promise<Address>>();

/** nginx over a directory, with a configuration of its own that touches nothing of the machine's. */
function nginx(directory: string, scratch: string): Promise<Address> {
  let known = servers.get(directory);
  if (!known) servers.set(directory, (known = startNginx(directory, scratch)));
  return known;
}

async function startNginx(directory: string, scratch: string): Promise<Address> {
  const home = mkdtempSync(join(scratch, 'nginx-'));
  const port = await freePort();
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${home}/${name};`);
  // Files of the gateway are their owners': the workers stay who we are.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  writeFileSync(
    join(home, 'nginx.conf'),
    `${user}
worker_processes 2;
daemon off;
pid ${home}/pid;
error_log ${home}/error.log;
events { worker_connections 256; }
http {
  access_log off;
  sendfile on;
  sendfile_max_chunk 2m;
  tcp_nopush on;
  keepalive_requests 1000000;
  ${temp.join('\n  ')}
  server { listen 127.0.0.1:${port}; location / { root ${directory}; } }
}
`,
  );
  const child = start(
    'nginx',
    ['-p', home, '-e', join(home, 'error.log'), '-c', join(home, 'nginx.conf')],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
    // It ends its workers.
    'SIGTERM',
  );
  child.once('exit', (code) => {
    if (code !== 0 && code !== null) console.error(`nginx ended with ${code}`);
  });
  const address = { host: '127.0.0.1', port };
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
    if (answer) return address;
    if (tries === 100) throw new Error('nginx does not answer');
    await sleep(50);
  }
}

/** nginx with sendfile on a file below a directory. */
export function sendfile(
  directory: string,
  file: string,
  scratch: string,
  limits: { connections: number; seconds: number },
): Reference {
  const name = 'nginx, sendfile';
  if (!present('nginx')) return { name, missing: 'no nginx' };
  return {
    name,
    async run() {
      const address = await nginx(directory, scratch);
      return drive(address, [plainCall(address, `/${file}`)], limits);
    },
  };
}

// ---- hashes and disk ---------------------------------------------------------------------------------------------

/** One core, nothing else. */
export const oneCore = (algorithm: 'md5' | 'sha256', mib: number): Reference => ({
  name: `${algorithm === 'md5' ? 'MD5' : 'SHA-256'} of one core`,
  run: async () => ({ operations: 1, bytes: mib * MiB, seconds: hashSeconds(algorithm, mib) }),
});

/** dd of new files in a directory, several at once; `sync`: with fdatasync at the end. dd tells its own time. */
export function bareWrite(directory: string, mib: number, streams: number, sync: boolean): Reference {
  const name = `dd${sync ? ' and fdatasync' : ''}${streams > 1 ? `, ${streams} at once` : ''}`;
  if (!present('dd')) return { name, missing: 'no dd' };
  return {
    name,
    async run() {
      const place = mkdtempSync(join(directory, 'dd-'));
      try {
        const times = await Promise.all(
          Array.from({ length: streams }, async (_, i) => {
            const args = ['if=/dev/zero', `of=${place}/${i}`, 'bs=1M', `count=${mib}`];
            if (sync) args.push('conv=fdatasync');
            const { stderr } = await mustRun('dd', args, { env: { ...process.env, LC_ALL: 'C' }, seconds: 600 });
            return Number(/, ([\d.e+-]+) s, /.exec(stderr)?.[1]);
          }),
        );
        return { operations: streams, bytes: streams * mib * MiB, seconds: Math.max(...times) };
      } finally {
        rmSync(place, { recursive: true });
      }
    },
  };
}

// ---- bare system calls -------------------------------------------------------------------------------------------

/** Who makes the bare system calls, and what to call it in the table. */
interface Bare {
  program: string;
  first: string[];
  by: string;
}

let found: Promise<Bare> | undefined;

/** The compiled `bare.c`, or where there is no compiler the same through koffi. */
function bareProgram(): Promise<Bare> {
  found ??= (async () => {
    const program = await compiled('bare');
    if (program !== undefined) return { program, first: [], by: 'C' };
    return { program: process.execPath, first: [join(import.meta.dirname, 'bare.js')], by: 'koffi, no cc' };
  })();
  return found;
}

/** Runs one of its commands. */
export async function bare(...args: (string | number)[]): Promise<Work> {
  const { program, first } = await bareProgram();
  const { stdout } = await mustRun(program, [...first, ...args.map(String)], { seconds: 900 });
  const [operations, ns] = stdout.trim().split(' ').map(Number);
  return { operations: operations!, bytes: 0, seconds: ns! / 1e9 };
}

/** Temp file, write, attribute, rename (with `sync` also fsync of both), by so many threads. */
export async function barePut(
  scratch: string,
  { size, threads, seconds, sync }: { size: number; threads: number; seconds: number; sync: boolean },
): Promise<Reference> {
  const { by } = await bareProgram();
  return {
    name: `bare system calls (${by}), ${threads} thread${threads > 1 ? 's' : ''}`,
    async run() {
      const place = join(scratch, 'bare-put');
      mkdirSync(place);
      try {
        const work = await bare('put', place, seconds, size, threads, sync ? 1 : 0);
        return { ...work, bytes: work.operations * size };
      } finally {
        rmSync(place, { recursive: true });
      }
    },
  };
}

/** `list` or `names` of a directory. */
export async function bareRead(name: string, ...args: (string | number)[]): Promise<Reference> {
  const { by } = await bareProgram();
  return { name: `${name} (${by})`, run: () => bare(...args) };
}

/** `heads` or `pages` of a directory by so many threads. */
export async function bareThreads(
  threads: number,
  [command, directory, seconds]: ['heads' | 'pages', string, number],
  ...more: number[]
): Promise<Reference> {
  const { by } = await bareProgram();
  const name = `bare ${threads} thread${threads > 1 ? 's' : ''}`;
  if (by !== 'C') return { name, missing: 'no cc' };
  return { name, run: () => bare(command, directory, seconds, threads, ...more) };
}

/** `find -printf` of every file, sorted by bytes. */
export function findSorted(directory: string): Reference {
  return {
    name: 'find -printf, sorted',
    async run() {
      const from = performance.now();
      const command = `find "$1" -type f -printf '%p %s %T@\\n' | sort > /dev/null`;
      await mustRun('sh', ['-c', command, 'sh', directory], { env: { ...process.env, LC_ALL: 'C' }, seconds: 900 });
      return { operations: 1, bytes: 0, seconds: (performance.now() - from) / 1000 };
    },
  };
}
