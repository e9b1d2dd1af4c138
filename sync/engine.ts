/**
 * The gateway's side of the sync engine: starts its process, wakes it, starts it again should it die; and one more for each
 * filesystem, beside that of the root, on which there are buckets.
 *
 * A process and not a thread: LMDB maps its files, and where one is damaged, is cut off, or lies on a disk or server that fails,
 * the kernel ends whoever reads it. Requests are served all the same, and they do not share descriptors or a heap with it.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Bucket } from '../gateway/storage/types.js';
import { type Kept, keepBehind } from './keep-behind.js';
import { createNudges } from './nudges.js';
import type { EngineStart, FromEngine, Question, ToEngine } from './process.js';
import type { Destination } from './webhooks.js';

export interface SyncEngine {
  /** Something was recorded in, or asked for, a bucket: the leader need not wait for its next look. */
  nudge(bucket: Pick<Bucket, 'name'>): void;
  /** Ends after what is being committed; other gateways lead from then on. */
  close(): Promise<void>;
}

/** The engine of one filesystem. */
interface EngineProcess extends Omit<SyncEngine, 'nudge'> {
  /** @param names of buckets */
  nudge(names: readonly string[]): void;
}

export interface EngineOptions extends EngineStart {
  /** Where a webhook is now. */
  destination(name: string): Promise<Destination | undefined>;
  log: Record<'info' | 'warn' | 'error', (details: object, message: string) => void>;
}

const RESTART_MS = [1_000, 5_000, 30_000] as const;
/** A process that has worked so long has not died of what it died of before. */
const HEALTHY_MS = 600_000;
const CLOSE_MS = 10_000;
/** One that has been killed and hangs on a mount stays until that lets go of it. Nobody waits so long. */
const KILLED_MS = 1_000;

/** Secrets that the gateway alone needs stay with it. */
const environment = (): NodeJS.ProcessEnv => {
  const { TIDEGATE_MASTER_KEY: _, ...env } = process.env;
  return env;
};

export function startSyncEngine(options: EngineOptions): SyncEngine {
  const others = new Map<string, EngineProcess>();
  const ending = new Set<Promise<void>>();
  const { changelog: _, ...forOthers } = options;
  let closing = false;

  const divide = (filesystems: readonly string[]): void => {
    if (closing) return;
    for (const [filesystem, engine] of others) {
      if (filesystems.includes(filesystem)) continue;
      others.delete(filesystem);
      const ended = engine.close().finally(() => ending.delete(ended));
      ending.add(ended);
    }
    for (const filesystem of filesystems) {
      if (!others.has(filesystem))
        others.set(
          filesystem,
          startProcess({ ...forOthers, filesystem }, () => {}),
        );
    }
  };
  const first = startProcess(options, divide);
  const all = () => [first, ...others.values()];
  const nudge = createNudges((names) => {
    for (const each of all()) each.nudge(names);
  });

  return {
    nudge: ({ name }) => nudge(name),
    async close() {
      closing = true;
      await Promise.all([...all().map((each) => each.close()), ...ending]);
    },
  };
}

function startProcess(
  { log, destination, ...start }: EngineOptions,
  divide: (filesystems: readonly string[]) => void,
): EngineProcess {
  let child: ChildProcess | undefined;
  let closing = false;
  let deaths = 0;
  let timer: NodeJS.Timeout | undefined;
  let behind: Kept | undefined;

  /** What cannot be sent is for one that has died: the next one looks by itself. */
  const post = (message: ToEngine | EngineStart): void => {
    if (child?.connected) child.send(message, () => {});
  };

  async function answer({ question, webhook }: Question): Promise<void> {
    try {
      post({ answer: question, destination: await destination(webhook) });
    } catch (err) {
      // As for one that is not there: it is asked for again.
      log.warn({ err, webhook }, 'a webhook cannot be read');
      post({ answer: question, destination: undefined });
    }
  }

  function begin(): void {
    const begun = performance.now();
    const made = fork(fileURLToPath(new URL('./process.js', import.meta.url)), [], {
      serialization: 'advanced',
      execArgv: process.execArgv.filter((each) => each === '--enable-source-maps'),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: environment(),
    });
    child = made;
    made.unref();
    made.channel?.unref();
    post(start);
    behind = made.pid === undefined ? undefined : keepBehind(made.pid);
    made.on('message', (message: FromEngine) => {
      if ('question' in message) void answer(message);
      else if ('filesystems' in message) divide(message.filesystems);
      else log[message.level](message.details, message.message);
    });
    let over = false;
    const ended = (reason: string): void => {
      if (over) return;
      over = true;
      behind?.forget();
      if (child === made) child = undefined;
      if (closing) return;
      if (performance.now() - begun > HEALTHY_MS) deaths = 0;
      const ms = RESTART_MS[Math.min(deaths++, RESTART_MS.length - 1)]!;
      log.error({ reason, ms }, 'the sync engine stopped, and is started again');
      timer = setTimeout(begin, ms).unref();
    };
    // It could not be started.
    made.on('error', (error) => ended(String(error)));
    made.on('exit', (code, signal) => ended(signal ?? `exit code ${code}`));
  }

  begin();
  return {
    nudge: (names) => post({ nudges: names }),
    async close() {
      closing = true;
      clearTimeout(timer);
      const ending = child;
      if (!ending) return;
      // What is left to do is waited for.
      behind?.leave();
      ending.ref();
      const cancel = new AbortController();
      const exited = new Promise<void>((resolve) => ending.once('exit', () => resolve()));
      const late = (async () => {
        await pause(CLOSE_MS, undefined, { signal: cancel.signal });
        log.warn({}, 'the sync engine does not end: it is cut off');
        ending.kill('SIGKILL');
        await pause(KILLED_MS, undefined, { signal: cancel.signal });
        if (ending.connected) ending.disconnect();
        ending.unref();
      })().catch(() => {});
      post('stop');
      await Promise.race([exited, late]);
      cancel.abort();
    },
  };
}
