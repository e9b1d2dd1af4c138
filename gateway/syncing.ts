/** Builds the sync engine's parts for a gateway: its process, what requests write down for it, and what they ask of it. */
import { randomUUID } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { createBell } from '../sync/bells.js';
import { createSyncControl } from '../sync/control.js';
import { type SyncEngine, startSyncEngine } from '../sync/engine.js';
import { createRecorder } from '../sync/inbox.js';
import type { EngineStart } from '../sync/process.js';
import { createSender, type Webhooks } from '../sync/webhooks.js';
import type { Config } from './config.js';
import type { Log } from './observe/log.js';
import type { Part } from './processes.js';
import type { GatewayOptions } from './server.js';
import type { Bucket, Storage } from './storage/types.js';

/** Starting a process holds the main thread up, and takes a core for a while: the first answers come before. */
const START_MS = 100;

export interface Sync {
  /** For `createGateway`. */
  parts: { [K in 'changes' | 'sync' | 'testEvent']: GatewayOptions[K] | undefined };
  /** Once requests are served. */
  start(): void;
  close(): Promise<void>;
}

export async function openSync(
  config: Config,
  { storage: { documents }, webhooks }: { storage: Storage; webhooks: Webhooks },
  log: Log,
  part: Part = 'all',
): Promise<Sync> {
  const tester = createTester(webhooks, log);
  const { testEvent } = tester;
  // What a sync that is switched off would never read is not written.
  if (!config.sync) {
    return { parts: { changes: undefined, sync: undefined, testEvent }, start() {}, close: async () => tester.close() };
  }
  let engine: SyncEngine | undefined;
  let timer: NodeJS.Timeout | undefined;
  const start = await engineStart(config);
  const bell = createBell(start.root);
  const nudge = (bucket: Bucket) => {
    engine?.nudge(bucket);
    bell.ring(bucket);
  };
  const changes = createRecorder({ root: start.root, onRecorded: nudge });
  return {
    parts: { changes, sync: createSyncControl(documents, nudge), testEvent },
    start() {
      // The keeper's hears the bell.
      if (part === 'server') return;
      timer = setTimeout(() => {
        engine = startSyncEngine({ ...start, destination: webhooks.destination, log });
      }, START_MS);
    },
    async close() {
      clearTimeout(timer);
      tester.close();
      await changes.close();
      await bell.close();
      await engine?.close();
    },
  };
}

/** The engine of a command. */
export interface CommandEngine {
  close(): Promise<void>;
}

/**
 * Stands for the leadership of one bucket, and gets it where no gateway leads: so that a sync that a command asked for is
 * carried out in any case.
 * @param tell hears what the person at the terminal should know, once each
 */
export async function leadMeanwhile(
  { config, webhooks }: { config: Config; webhooks: Webhooks },
  bucket: Bucket,
  tell: (line: string) => void,
): Promise<CommandEngine> {
  const told = new Set<string>();
  const log = (details: object, message: string) => {
    const { err, key, reason } = details as { err?: Error; key?: string; reason?: string };
    const line = [message, key, reason ?? err?.message].filter((part) => part !== undefined).join(': ');
    if (!told.has(line)) tell(line);
    told.add(line);
  };
  // Watchers, changelogs and scans by the clock are for who stays.
  const { changelog: _, ...start } = await engineStart(config);
  return startSyncEngine({
    ...start,
    settings: { ...start.settings, watch: false, scanMs: Infinity, quickScanMs: Infinity },
    only: bucket.name,
    destination: webhooks.destination,
    log: { info() {}, warn: log, error: log },
  });
}

/** What the process of the sync engine is told. */
export async function engineStart(config: Config): Promise<EngineStart> {
  const { root, region, durability, fileMode, dirMode, metadata, syncChecksum, syncHashers } = config;
  const real = await realpath(root);
  const users = Object.fromEntries(config.changelog.map((each) => each.split(':') as [string, string]));
  return {
    region,
    root: real,
    ...(config.changelog.length > 0 && { changelog: { mount: await mountPoint(real), users } }),
    ground: { durability, fileMode, directoryMode: dirMode, sidecars: metadata === 'sidecar' },
    settings: {
      watch: config.syncWatch,
      quietMs: config.syncQuiet,
      scanMs: config.syncScan,
      quickScanMs: config.syncQuickScan,
      hashers: syncHashers === 'auto' ? Math.max(1, availableParallelism() >> 1) : syncHashers,
      hashRate: config.syncRate,
      hashIops: config.syncIops,
      checksum: syncChecksum === 'none' ? undefined : syncChecksum,
      feedBytes: config.feedSize,
    },
  };
}

/** The directory at which the filesystem of a path is mounted. */
async function mountPoint(path: string): Promise<string> {
  const { dev } = await stat(path);
  for (let at = path; ; at = dirname(at)) {
    if (at === '/' || (await stat(dirname(at))).dev !== dev) return at;
  }
}

/** Sends what a PutBucketNotificationConfiguration announces to its webhooks. Nobody waits for it. */
function createTester(webhooks: Webhooks, log: Log) {
  const sender = createSender();
  const end = new AbortController();
  const send = async (name: string, body: object) => {
    const destination = await webhooks.destination(name);
    if (destination) await sender.send(destination, { body, id: randomUUID(), signal: end.signal });
  };
  return {
    testEvent(name: string, body: object): void {
      send(name, body).catch((err: unknown) => {
        if (!end.signal.aborted) log.warn({ err, webhook: name }, 'test event not taken');
      });
    },
    close(): void {
      end.abort();
      sender.close();
    },
  };
}
