/**
 * A real network filesystem on one machine: one GlusterFS server on loopback and any number of FUSE mounts of it, each a
 * client of its own. What one mount writes, another learns of from the server alone, as the clients of a cluster do.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { haveProgram, mustRun } from './programs.js';
import { until } from './time.js';

export interface MountOptions {
  /** How long the kernel believes attributes and names that it has seen, in seconds. GlusterFS's default is 1. */
  attributeTimeout?: number;
  entryTimeout?: number;
  /** With the caches that GlusterFS's own volume files have: write-behind, quick-read, md-cache and so on. */
  caches?: boolean;
  /** Every operation takes so many microseconds longer. */
  delayMicros?: number;
}

export interface Volume {
  /** Where the files really lie, on the server. Look, do not write. */
  brick: string;
  /** A further client; answers the directory it is mounted on. Caches nothing unless told. */
  mount(options?: MountOptions): Promise<string>;
  /** The server does not answer any more (SIGSTOP): whoever asks waits, without end. */
  hang(): void;
  /** It goes on with what it was asked meanwhile. */
  goOn(): void;
  /** Unmounts all and ends. Happens by itself when this process ends, in whatever way. */
  stop(): Promise<void>;
}

/**
 * Whether a volume can be had: root, FUSE and Debian's `glusterfs-server` and `glusterfs-client` are needed. Where
 * `CI=true`, what is missing throws.
 */
export function haveGluster(): boolean {
  if (!haveProgram('glusterfsd') || !haveProgram('glusterfs')) return false;
  try {
    if (process.getuid!() !== 0) throw new Error('only root can mount');
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return true;
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    return false;
  }
}

const serverFile = (brick: string, port: number) => `
volume posix
  type storage/posix
  option directory ${brick}
end-volume
volume locks
  type features/locks
  subvolumes posix
end-volume
volume brick
  type performance/io-threads
  option thread-count 8
  subvolumes locks
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.address-family inet
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port ${port}
  option auth.addr.brick.allow 127.0.0.1
  subvolumes brick
end-volume
`;

/** In the order in which a volume file made by glusterd stacks them. */
const caching = ['write-behind', 'read-ahead', 'readdir-ahead', 'io-cache', 'open-behind', 'quick-read', 'md-cache'];

function clientFile(port: number, { caches = false, delayMicros = 0 }: MountOptions): string {
  let text = `
volume client
  type protocol/client
  option transport-type tcp
  option transport.address-family inet
  option remote-host 127.0.0.1
  option remote-port ${port}
  option remote-subvolume brick
  option ping-timeout 0
end-volume
`;
  let top = 'client';
  const stack = (type: string, options: string[] = []) => {
    const name = type.replace('/', '-');
    const lines = options.map((option) => `  option ${option}\n`).join('');
    text += `volume ${name}\n  type ${type}\n${lines}  subvolumes ${top}\nend-volume\n`;
    top = name;
  };
  if (delayMicros > 0) stack('debug/delay-gen', [`delay-duration ${delayMicros}`, 'delay-percentage 100']);
  // Its delays are slept in the thread of the caller: FUSE alone would have one.
  if (delayMicros > 0) stack('performance/io-threads', ['thread-count 64']);
  if (caches) for (const name of caching) stack(`performance/${name}`);
  return text;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return (address as { port: number }).port;
}

const answers = (port: number): Promise<true | undefined> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(undefined));
  });

/**
 * The server's parent. It ends, and takes everything with it, when its input does: this process may be killed, and a mount
 * whose server is gone hangs whoever looks at it.
 */
const keeper = `
  dir=$1
  glusterfsd -N -f "$dir/server.vol" -l "$dir/server.log" -p "$dir/server.pid" &
  server=$!
  cat >/dev/null
  kill -CONT $server
  for mount in "$dir"/mount-*/; do umount -l "$mount"; done 2>/dev/null
  for client in "$dir"/client-*.pid; do kill "$(cat "$client")"; done 2>/dev/null
  kill $server
  wait $server
  rm -rf --one-file-system "$dir"
`;

/** A new, empty volume. */
export async function startVolume(): Promise<Volume> {
  // Others than root go through it: accounts have uids of their own.
  const dir = mkdtempSync(join(tmpdir(), 'tidegate-gluster-'));
  chmodSync(dir, 0o711);
  const brick = join(dir, 'brick');
  mkdirSync(brick);
  const port = await freePort();
  writeFileSync(join(dir, 'server.vol'), serverFile(brick, port));
  const child: ChildProcess = spawn('sh', ['-c', keeper, 'sh', dir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Of a process group of its own, which the test runner does not end with the test.
    detached: true,
  });
  const ended = once(child, 'exit');
  // The test may end while it runs.
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  const stop = async () => {
    child.ref();
    child.stdin!.end();
    await ended;
  };
  const log = (name: string) => readFileSync(join(dir, `${name}.log`), 'utf8').slice(-2000);
  try {
    await until('glusterfsd', 10_000, () => answers(port));
  } catch (error) {
    const text = log('server');
    await stop();
    throw new Error(`${text}`, { cause: error });
  }

  const signal = (name: NodeJS.Signals) =>
    void process.kill(Number(readFileSync(join(dir, 'server.pid'), 'utf8').trim()), name);
  let mounts = 0;
  return {
    brick,
    hang: () => signal('SIGSTOP'),
    goOn: () => signal('SIGCONT'),
    async mount(options = {}) {
      const number = ++mounts;
      const target = join(dir, `mount-${number}`);
      const file = join(dir, `client-${number}.vol`);
      mkdirSync(target);
      const local = statSync(target).dev;
      writeFileSync(file, clientFile(port, options));
      await mustRun('glusterfs', [
        `--volfile=${file}`,
        `--log-file=${join(dir, `client-${number}.log`)}`,
        `--pid-file=${join(dir, `client-${number}.pid`)}`,
        `--attribute-timeout=${options.attributeTimeout ?? 0}`,
        `--entry-timeout=${options.entryTimeout ?? 0}`,
        // Told nothing, version 10 keeps pages of a file that another client has overwritten.
        '--auto-invalidation=on',
        target,
      ]);
      // It answers ENOTCONN until it has reached the server.
      await until(`mount ${number}`, 10_000, () => {
        try {
          return statSync(target).dev !== local || undefined;
        } catch {
          return undefined;
        }
      });
      return target;
    },
    stop,
  };
}
