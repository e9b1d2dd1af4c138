/**
 * One gateway of several processes (`--processes`), for more cores than one: a process that opens the listener and looks
 * after the others (node:cluster), and those that accept from it and serve. To the files they are as many gateways over one
 * root, with locks, leases and documents that hold between those too; what is done once for a root (the sync engine, the
 * removal of what was left behind) is the `keeper`'s, one of them.
 */
import cluster, { type Worker } from 'node:cluster';

/** What a serving process does besides serving. */
export type Part = 'all' | 'keeper' | 'server';

/** What a process that listens has to tell: for whoever started it. */
export interface Ready {
  url: string;
  welcome: string;
  warning: string;
}

export interface ProcessesOptions {
  /** Of the serving ones. */
  count: number;
  /** Hears once that requests are served. */
  ready(told: Ready): void;
  warn(line: string): void;
}

const RESTART_MS = [100, 1_000, 5_000, 30_000] as const;
/** A process that has served so long has not died of what it died of before. */
const HEALTHY_MS = 600_000;
/** So long one is waited for that is about to end. A mount that hangs keeps it from being gone for as long as it hangs. */
const LEAVE_MS = 2_000;
const PART = 'TIDEGATE_PART';

/** What this process is to do: `all`, unless `serveByProcesses` started it. */
export function partOfThis(): Part {
  if (!cluster.isWorker) return 'all';
  // One that cannot start shall end, though there is somebody to talk to.
  process.channel?.unref();
  return process.env[PART] as Part;
}

/** Tells the process that looks after this one. */
export const tellReady = (ready: Ready): void => {
  process.send?.(ready);
};

/** Tells it that this one is about to end: `serveByProcesses` does not wait for it for ever. */
export async function tellEnd(): Promise<void> {
  if (!process.connected) return;
  process.disconnect?.();
  await new Promise(setImmediate);
}

/**
 * Starts the processes and starts again what dies. Resolves with the exit code when all have ended: after a SIGTERM or
 * SIGINT, which they get too, or because the first one cannot start.
 */
export async function serveByProcesses({ count, ready, warn }: ProcessesOptions): Promise<number> {
  let stopping = false;
  let begun = false;
  let code = 0;
  let ended = () => {};
  const end = new Promise<void>((resolve) => (ended = resolve));
  const living = new Set<Worker>();
  const left = (worker: Worker): void => {
    if (living.delete(worker) && stopping && living.size === 0) ended();
  };

  const start = (part: Part, deaths = 0): void => {
    const since = performance.now();
    const worker = cluster.fork({ [PART]: part });
    living.add(worker);
    worker.on('disconnect', () => stopping && setTimeout(() => left(worker), LEAVE_MS));
    worker.on('message', (told: Ready) => {
      if (begun) return;
      begun = true;
      ready(told);
      for (let more = 1; more < count; more++) start('server');
    });
    worker.on('exit', (exitCode, signal) => {
      if (!begun && !stopping) {
        // It has said why.
        code = exitCode ?? 1;
        stopping = true;
      }
      if (!stopping) {
        const died = performance.now() - since > HEALTHY_MS ? 0 : deaths;
        const ms = RESTART_MS[Math.min(died, RESTART_MS.length - 1)]!;
        warn(`process ${worker.process.pid} ended by ${signal ?? `itself (${exitCode})`}, started again in ${ms} ms`);
        setTimeout(() => (stopping ? undefined : start(part, died + 1)), ms);
      }
      left(worker);
    });
  };

  const pass = (signal: NodeJS.Signals) => {
    for (const worker of living) worker.process.kill(signal);
  };
  const stop = (signal: NodeJS.Signals) => {
    stopping = true;
    pass(signal);
    if (living.size === 0) ended();
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  // A renewed certificate.
  process.on('SIGHUP', pass);

  // Each accepts for itself. Connections that are handed round hang for ever when they meet a process that just died.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  start('keeper');
  await end;
  return code;
}
