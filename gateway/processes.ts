/**
 * One gateway of several processes (`--processes`), for more cores than one: a process that looks after the others, and those
 * that serve, each from a socket of its own on the same port (`listener.ts`). To the files they are as many gateways over one
 * root, with locks, leases and documents that hold between those too; what is done once for a root (the sync engine, the
 * removal of what was left behind) is the `keeper`'s, one of them.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { unlisten } from './storage/posix/sockets.js';

/** What a serving process does besides serving. */
export type Part = 'all' | 'keeper' | 'server';

export interface Task {
  part: Part;
  /** The socket to listen on, bound already; undefined: the process makes its own. */
  listener?: number | undefined;
}

/** What a process that listens has to tell: for whoever started it. */
export interface Ready {
  url: string;
  welcome: string;
  warning: string;
}

export interface ProcessesOptions {
  /** One for each process that serves, bound to the same port. They are closed with this process only. */
  listeners: readonly number[];
  /** Hears once that requests are served. */
  ready(told: Ready): void;
  warn(line: string): void;
}

/** Before one that died is started again. */
const RESTART_MS = [100, 1_000, 5_000, 30_000] as const;
/** A process that has served so long has not died of what it died of before. */
const HEALTHY_MS = 600_000;
/** So long one is waited for that is about to end. A mount that hangs keeps it from being gone for as long as it hangs. */
const LEAVE_MS = 2_000;
/** So often it is looked for those that died and are kept so. */
const LOOK_MS = 1_000;
/** In the environment of those that serve: their part. */
const PART = 'TIDEGATE_PART';
/** Where they have their socket: behind standard input, output, error, and the channel. */
const LISTENER = 4;

/** What this process is to do: `all`, unless `serveByProcesses` started it. To be asked once. */
export function taskOfThis(): Task {
  const part = process.env[PART];
  // Programs that this one starts are none of it.
  delete process.env[PART];
  if (part === undefined || process.send === undefined) return { part: 'all' };
  // One that cannot start shall end, though there is somebody to talk to.
  process.channel?.unref();
  return { part: part as Part, listener: LISTENER };
}

/** Tells the process that looks after this one. */
export const tellReady = (ready: Ready): void => {
  // It may be gone just now: then this one is told so, and ends.
  if (process.connected) process.send?.(ready, undefined, undefined, () => {});
};

/** Tells it that this one is about to end: `serveByProcesses` does not wait for it for ever. */
export async function tellEnd(): Promise<void> {
  if (!process.connected) return;
  process.disconnect?.();
  await new Promise(setImmediate);
}

/** Whether nothing of it runs any more but threads that the kernel does not let go, for a mount that hangs: then nobody is told of its end. */
function isDead(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in parentheses, may hold anything.
    return stat.startsWith('Z', stat.lastIndexOf(')') + 2);
  } catch {
    return false; // gone: that is told
  }
}

/**
 * Starts the processes and starts again what dies. Resolves with the exit code when all have ended: after a SIGTERM or
 * SIGINT, which they get too, or because the first one cannot start.
 */
export async function serveByProcesses({ listeners, ready, warn }: ProcessesOptions): Promise<number> {
  let stopping = false;
  let begun = false;
  let code = 0;
  let ended = () => {};
  const end = new Promise<void>((resolve) => (ended = resolve));
  /** Each with what is to be done when it has died. */
  const living = new Map<ChildProcess, (how: string, exitCode?: number | null) => void>();
  const left = (child: ChildProcess): void => {
    if (living.delete(child) && stopping && living.size === 0) ended();
  };

  const start = (part: Part, listener: number, deaths = 0): void => {
    const since = performance.now();
    const child = fork(process.argv[1]!, process.argv.slice(2), {
      env: { ...process.env, [PART]: part },
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', listener],
    });
    const died = (how: string, exitCode?: number | null): void => {
      if (!living.has(child)) return;
      // What connects goes to others: this one's socket is open here too.
      unlisten(listener);
      if (!begun && !stopping) {
        code = exitCode ?? 1;
        stopping = true;
        // One that has ended by itself has said why.
        if (exitCode == null) warn(`the first process ${how}`);
      }
      if (!stopping) {
        const before = performance.now() - since > HEALTHY_MS ? 0 : deaths;
        const ms = RESTART_MS[Math.min(before, RESTART_MS.length - 1)]!;
        warn(`process ${child.pid} ${how}, started again in ${ms} ms`);
        setTimeout(() => (stopping ? undefined : start(part, listener, before + 1)), ms);
      }
      left(child);
    };
    living.set(child, died);
    child.on('disconnect', () => stopping && setTimeout(() => left(child), LEAVE_MS));
    child.on('message', (told: Ready) => {
      if (begun || stopping) return;
      begun = true;
      ready(told);
      for (const other of listeners.slice(1)) start('server', other);
    });
    child.on('exit', (exitCode, signal) => died(`ended by ${signal ?? `itself (${exitCode})`}`, exitCode));
    // That one could not be told something which is about to end is an error too, and of no interest.
    child.on('error', (error) => child.pid ?? died(`cannot be started (${error.message})`));
  };

  const pass = (signal: NodeJS.Signals) => {
    for (const child of living.keys()) child.kill(signal);
  };
  const stop = (signal: NodeJS.Signals) => {
    stopping = true;
    pass(signal);
    if (living.size === 0) ended();
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  // A renewed certificate.
  process.on('SIGHUP', pass);
  let deadBefore: ChildProcess[] = [];
  setInterval(() => {
    const dead = [...living.keys()].filter(({ pid }) => pid !== undefined && isDead(pid));
    // Each that dies is so for a moment.
    for (const child of dead)
      if (deadBefore.includes(child)) living.get(child)!('has died, and is kept by a mount that hangs');
    deadBefore = dead;
  }, LOOK_MS);

  start('keeper', listeners[0]!);
  await end;
  return code;
}
