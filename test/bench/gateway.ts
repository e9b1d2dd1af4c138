/** The gateway that is measured: a process of its own, built, with its defaults but for the durability asked for. */
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { createKey, type Key } from '../support/gateway.js';
import { mustRun } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { withTimeout } from '../support/time.js';
import { PROBE, type ProbeOrder, type Stall } from './probe.js';
import { serving, start, stop } from './process.js';
import { signedHeaders, type Target } from './signed.js';
import { drive } from './wire.js';

export type Durability = 'full' | 'none';

/** A server that is measured. */
export interface Subject extends Target {
  /** Of the gateway; undefined: a foreign server, of which only the wire is known. */
  process?: {
    /** The one that was started. */
    pid: number;
    /** All that serve, with the one that was started; not the engines. */
    pids(): number[];
    durability: Durability;
    /** Of those that serve. */
    processes: number;
    /** Directory of a bucket. */
    path(bucket: string): string;
    /** `tidegate bucket set`, with these options. */
    configure(bucket: string, options: readonly string[]): Promise<void>;
    /** Begins to watch how late the main threads are, and what all threads do. */
    watch(load: string): Promise<void>;
    watched(): Promise<Stall>;
    /** What the main threads have in their heaps. */
    heapMiB(): Promise<number>;
  };
}

export interface Host {
  /**
   * The gateway with this durability and number of processes (default: 1); another one is stopped first: two would do one's
   * work in turns.
   */
  gateway(durability: Durability, processes?: number): Promise<Required<Subject>>;
  /** Stops the gateway, so that the next one knows nothing. */
  stop(): Promise<void>;
  /** Seconds from the start of a process to its first answer. */
  timeStart(): Promise<number>;
}

export interface HostOptions {
  /** Holds the buckets. */
  root: string;
  /** A `dist`: what is served. */
  dist: string;
  /** Further flags of `serve`. */
  flags?: readonly string[];
  /** Where the account may publish directories. */
  fspaths?: string;
  /** Where CPU profiles of main thread and workers are written. */
  profile?: string | undefined;
}

/** As root the gateway takes on the owner's identity at every access: that is part of what is measured. */
const owner = process.getuid?.() === 0 ? ['--fsuid=60199:60199'] : [];

export function createHost({ root, dist, profile, flags = [], fspaths }: HostOptions): Host {
  let key: Key | undefined;
  let current: { subject: Required<Subject>; end(): Promise<void> } | undefined;

  /** @param bare as people start it: nothing of it can be watched */
  async function launch(durability: Durability, processes = 1, bare = false): Promise<NonNullable<typeof current>> {
    key ??= await createKey(root, 'bench', [...owner, ...(fspaths === undefined ? [] : ['--fspaths', fspaths])]);
    const { accessKey, secretKey, uuid } = key;
    const args = bare ? [] : ['--import', join(import.meta.dirname, 'probe.js')];
    const serve = ['serve', '--root', root, '--port', '0', '--durability', durability, '--log-level', 'warn', ...flags];
    if (processes > 1) serve.push('--processes', `${processes}`);
    const path = join(tempDir('tidegate-probe-'), 'socket');
    /** One in each process; a process that is executed anew has another then. */
    const probes = new Set<{ orders: Socket; answers: Interface }>();
    const server = createServer((orders) => {
      const probe = { orders, answers: createInterface({ input: orders }) };
      probes.add(probe);
      orders.on('error', () => {});
      orders.on('close', () => probes.delete(probe));
    });
    server.unref().listen(path);
    await once(server, 'listening');
    const child = start(process.execPath, [...args, join(dist, 'gateway/cli/tidegate.js'), ...serve], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Certificates of this machine's are not the gateway's: Node reads them twice for some hundredths of a second.
      env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined, [PROBE]: path },
    });
    let output = '';
    const collect = (text: string) => {
      output = (output + text).slice(-10_000);
    };
    child.stderr!.setEncoding('utf8').on('data', collect);
    const listening = new Promise<number>((resolve, reject) => {
      child.stdout!.setEncoding('utf8').on('data', (text: string) => {
        collect(text);
        const port = /^tidegate: listening on .*:(\d+)$/m.exec(output)?.[1];
        if (port !== undefined) resolve(Number(port));
      });
      child.once('exit', () => reject(new Error(`the gateway ended:\n${output}`)));
    });
    const port = await withTimeout('the start of the gateway', 30_000, listening);
    const told = <T>(order: ProbeOrder): Promise<T[]> =>
      Promise.all(
        [...probes].map(async ({ orders, answers }) => {
          const answer = once(answers, 'line');
          orders.write(`${JSON.stringify(order)}\n`);
          return JSON.parse((await withTimeout('the probe', 30_000, answer))[0]) as T;
        }),
      );
    const subject: Required<Subject> = {
      host: '127.0.0.1',
      port,
      accessKey,
      secretKey,
      process: {
        pid: child.pid!,
        pids: () => serving(child.pid!),
        durability,
        processes,
        path: (bucket) => join(root, uuid, bucket),
        async configure(bucket, options) {
          const set = [join(dist, 'gateway/cli/tidegate.js'), 'bucket', 'set', bucket, '--root', root, ...options];
          await mustRun(process.execPath, set);
        },
        async watch(load) {
          // JSON leaves out what is undefined.
          const dir = profile === undefined ? undefined : join(profile, load.replaceAll('/', '-'));
          await told({ begin: { profile: dir } });
        },
        async watched() {
          const stalls = (await told<{ stall: Stall }>({ end: true })).map(({ stall }) => stall);
          return {
            p99: Math.max(...stalls.map(({ p99 }) => p99)),
            max: Math.max(...stalls.map(({ max }) => max)),
          };
        },
        async heapMiB() {
          return (await told<{ heapMiB: number }>({ heap: true })).reduce((sum, { heapMiB }) => sum + heapMiB, 0);
        },
      },
    };
    return {
      subject,
      end: async () => {
        await stop(child);
        server.close();
      },
    };
  }

  async function end(): Promise<void> {
    const ending = current;
    current = undefined;
    await ending?.end();
  }

  return {
    async gateway(durability, processes = 1) {
      const runs = current?.subject.process;
      if (runs && (runs.durability !== durability || runs.processes !== processes)) await end();
      current ??= await launch(durability, processes);
      return current.subject;
    },
    stop: end,
    async timeStart() {
      await end();
      key ??= await createKey(root, 'bench', owner);
      const from = performance.now();
      const { subject, end: stopped } = await launch('full', 1, true);
      await drive(subject, [{ bytes: Buffer.from(`GET /.tidegate/ready HTTP/1.1\r\nhost: ${subject.host}\r\n\r\n`) }], {
        connections: 1,
      });
      const seconds = (performance.now() - from) / 1000;
      await stopped();
      return seconds;
    },
  };
}

const agent = new Agent({ keepAlive: true });

/** A request whose answer is text. Throws what the server answered when it is an error. */
export function ask(
  target: Target,
  method: string,
  path: string,
  query = '',
  body = '',
  headers: Record<string, string> = {},
): Promise<string> {
  const { host, port } = target;
  const url = query ? `${path}?${query}` : path;
  const sent = { ...headers, 'content-length': `${Buffer.byteLength(body)}` };
  const signed = signedHeaders(target, { method, path, query, headers: sent });
  return new Promise((resolve, reject) => {
    // Not fetch: it costs as much as a page of a listing.
    const asking = request({ agent, host, port, method, path: url, headers: signed }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => {
        // Names here are of ASCII, and to look for others costs as much as all the rest.
        const text = Buffer.concat(pieces).toString('latin1');
        if (answer.statusCode! < 300) resolve(text);
        else reject(new Error(`${method} ${url}: ${answer.statusCode} ${text.slice(0, 500)}`));
      });
    });
    asking.on('error', reject);
    asking.end(body);
  });
}
