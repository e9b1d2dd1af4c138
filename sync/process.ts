/**
 * The process of the sync engine: stands for the leadership of every bucket of its share (`shares.ts`), and leads those that it
 * gets. System calls are synchronous here; nobody's requests wait for them.
 */
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Account } from '../acl/identity.js';
import { loadDigests } from '../gateway/storage/digest.js';
import { giveWayAsProcess } from '../gateway/storage/posix/background.js';
import { findBucket, listBuckets } from '../gateway/storage/posix/buckets.js';
import { type GroundSettings, groundFor } from '../gateway/storage/posix/context.js';
import { createDocuments } from '../gateway/storage/posix/documents.js';
import { documentOps } from '../gateway/storage/posix/documents-ops.js';
import { as } from '../gateway/storage/posix/identity.js';
import { type BucketDir, withBucket } from '../gateway/storage/posix/paths.js';
import type { Pool } from '../gateway/storage/posix/pool-types.js';
import { dropPrivileges } from '../gateway/storage/posix/privileges.js';
import type { Actor, Bucket, Documents } from '../gateway/storage/types.js';
import { createBellHearer } from './bells.js';
import { type LedBucket, leadBucket, type SyncLog } from './bucket.js';
import { type Changelog, createChangelog } from './changelog.js';
import { changelogState } from './changelog-state.js';
import { createStamper, type Stamper } from './hash.js';
import type { SeenFile } from './held.js';
import { type Candidate, createCandidate } from './leader.js';
import { syncDirectory } from './places.js';
import { openSampleWriter } from './samples.js';
import { createShares } from './shares.js';
import { createSweep } from './sweep.js';
import type { SyncSettings } from './types.js';
import { createWatcher, type Watcher } from './watch.js';
import { createDeliveries } from './webhook.js';
import type { Destination } from './webhooks.js';

export interface EngineStart {
  /** Without symbolic links on its path. */
  root: string;
  ground: GroundSettings;
  settings: SyncSettings;
  /** Named in messages to webhooks. */
  region: string;
  /** Lustre's changelogs, read as users of this gateway's own. */
  changelog?: { mount: string; users: Readonly<Record<string, string>> };
  /** Only buckets on this filesystem (`Place.key`), beside the engine that has those of the root's and looks after the rest. */
  filesystem?: string;
  /** Only this bucket, and only the syncs of it that were asked for: for a command, while no gateway runs. */
  only?: string;
}

export type ToEngine =
  | 'stop'
  | { nudges: readonly string[] }
  | { answer: number; destination: Destination | undefined };

/** A line for the log of the gateway. */
export interface LogLine {
  level: 'info' | 'warn' | 'error';
  details: object;
  message: string;
}

/** Where a webhook is, and its secret: the key that opens it stays in the gateway. */
export interface Question {
  question: number;
  webhook: string;
}

/** On which other filesystems there are buckets: they need engines of their own. */
export interface Division {
  filesystems: string[];
}

export type FromEngine = LogLine | Question | Division;

/** How often buckets that nobody here leads are tried, and it is looked for new ones. */
const ROUND_MS = 1_000;
/** How often it is asked whether other gateways have written down something for buckets that are led here. */
const BELLS_MS = 250;
const SWEEP_MS = 3_600_000;
/** Metadata is written before its file has a name. */
const ORPHAN_AGE_MS = 86_400_000;

interface Standing {
  bucket: Bucket;
  candidate: Candidate;
  /** As whom its files are worked on; its account may change. */
  actor: Actor;
  /** The group that its owner is charged to, which may change too. */
  group: string;
  led: LedBucket | undefined;
}

/** The gateway's: what others are shown, and may stop. */
const { ppid: pid } = process;
let unsent = 0;
let allSent: (() => void) | undefined;
const post = (message: FromEngine): void => {
  if (!process.connected) return;
  unsent++;
  process.send!(message, () => {
    if (--unsent === 0) allSent?.();
  });
};
const describe = (details: object): object =>
  Object.fromEntries(
    Object.entries(details).map(([name, value]) => [name, value instanceof Error ? told(value) : value]),
  );
/** Class and stack are lost between processes. */
const told = ({ message, stack, cause }: Error): object => ({ message, stack, cause: cause && String(cause) });
const logAt = (level: LogLine['level']) => (details: object, message: string) =>
  post({ level, details: describe(details), message });
const log: SyncLog = { info: logAt('info'), warn: logAt('warn'), error: logAt('error') };

/** What comes before the engine is ready. */
const early: ToEngine[] = [];
let hear = (message: ToEngine): void => {
  early.push(message);
};

const questions = new Map<number, (destination: Destination | undefined) => void>();
let lastQuestion = 0;
const askDestination = (webhook: string): Promise<Destination | undefined> =>
  new Promise((resolve) => {
    const question = ++lastQuestion;
    questions.set(question, resolve);
    post({ question, webhook });
  });
const take = ({ answer, destination }: Extract<ToEngine, { answer: number }>): void => {
  questions.get(answer)?.(destination);
  questions.delete(answer);
};

/** What other gateways, and commands, have done. */
function listen(root: string, standing: ReadonlyMap<string, Standing>): () => void {
  const hearer = createBellHearer(root);
  let said = false;
  return () => {
    try {
      for (const name of hearer.hear()) standing.get(name)?.led?.nudge();
      said = false;
    } catch (err) {
      if (!said) log.warn({ err }, 'bells of other gateways cannot be heard');
      said = true;
    }
  };
}

/** The documents of the service area, read and written right here. */
function openDocuments(root: string): Documents {
  const ops: Record<string, (...args: never[]) => unknown> = documentOps;
  const inline = {
    run: async (op: string, args: readonly unknown[]) => ops[op]!(...(args as never[])),
  } as unknown as Pick<Pool, 'run'>;
  return createDocuments(root, inline, { warn: (message) => log.warn({}, message) });
}

async function serve(start: EngineStart): Promise<void> {
  const { root, ground, settings, only, filesystem } = start;
  dropPrivileges();
  await loadDigests();
  const documents = openDocuments(root);
  const stamper = createStamper({ ...settings, ground, documents });
  const watcher = createWatcher();
  const changelog =
    start.changelog &&
    createChangelog({ ...start.changelog, ...changelogState(documents, start.changelog.users), log });
  const standing = new Map<string, Standing>();
  const share = createShares(start);
  let elsewhere: ReadonlySet<string> = new Set();
  let divided = '';
  /** Why buckets could not be led, by name. */
  const troubles = new Map<string, string>();
  let stopping = false;
  let wake: (() => void) | undefined;

  hear = (message: ToEngine) => {
    if (message === 'stop') {
      stopping = true;
      wake?.();
    } else if ('answer' in message) take(message);
    else {
      for (const name of message.nudges) {
        const one = standing.get(name);
        one?.led?.nudge();
        // A bucket that was just made is led at once.
        if (!one && !elsewhere.has(name)) wake?.();
      }
    }
  };
  for (const message of early.splice(0)) hear(message);
  const bells = setInterval(listen(root, standing), BELLS_MS);

  const all = () => listBuckets(documents, root);
  const sweep = createSweep({ root, documents, listBuckets: all, log, stopping: () => stopping });
  let sweeping: Promise<void> | undefined;
  let swept = performance.now() - SWEEP_MS + 60_000;
  while (!stopping) {
    try {
      const { mine: buckets, filesystems, ...shared } = share(await all());
      elsewhere = shared.elsewhere;
      if (filesystem === undefined && divided !== filesystems.join()) {
        divided = filesystems.join();
        post({ filesystems });
      }
      await leaveOld(start, standing, buckets);
      for (const name of troubles.keys()) if (!buckets.some((bucket) => bucket.name === name)) troubles.delete(name);
      for (const bucket of buckets) {
        if (stopping) break;
        try {
          await stand(start, { documents, stamper, watcher, changelog }, standing, bucket);
          troubles.delete(bucket.name);
        } catch (err) {
          // Of what fails every second for a day, one line; none of what fails once, as the bucket is being deleted.
          const before = troubles.get(bucket.name);
          troubles.set(bucket.name, before === undefined ? '' : String(err));
          if (before === undefined || before === String(err)) continue;
          log.warn({ err, bucket: bucket.name }, 'a bucket cannot be led, to be tried again');
        }
      }
      if (only === undefined && filesystem === undefined && !sweeping && performance.now() - swept > SWEEP_MS) {
        // Nobody waits for it, but the next one: between two looks there is to be time.
        sweeping = sweep()
          .catch(() => {})
          .finally(() => {
            swept = performance.now();
            sweeping = undefined;
          });
      }
    } catch (err) {
      log.error({ err }, 'the buckets cannot be listed');
    }
    if (stopping) break;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ROUND_MS);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  clearInterval(bells);
  // Before its sources: what they have not settled is read again, and nobody owes a bucket anything for that.
  await changelog?.stop();
  await Promise.all([...standing.values()].map(leave));
  await stamper.close();
}

/** Those that are gone, or are set up otherwise by now. */
async function leaveOld(
  { ground }: EngineStart,
  standing: Map<string, Standing>,
  buckets: readonly Bucket[],
): Promise<void> {
  const workedOn = (bucket: Bucket) => groundFor(bucket, ground);
  const now = new Map(buckets.map((bucket) => [bucket.name, bucket]));
  for (const [name, one] of standing) {
    const bucket = now.get(name);
    const same = bucket?.created === one.bucket.created;
    if (same && isDeepStrictEqual(workedOn(bucket), workedOn(one.bucket))) continue;
    standing.delete(name);
    await leave(one);
  }
}

async function leave({ led, candidate }: Standing): Promise<void> {
  // How it ended is told where it was begun; a lease that is kept would keep everybody else from leading.
  await led?.stop().catch(() => {});
  candidate.withdraw();
}

/**
 * Where several users work in a bucket, each as himself, a file is digested as its owner: nobody else may write its attribute.
 * Only what the bucket's owner may read comes so far. Not as root, whom the kernel refuses nothing.
 */
const ownerOf = ({ uid, gid }: SeenFile, bucketOwner: Actor): Actor =>
  uid === bucketOwner.uid || uid === 0 ? bucketOwner : { uid, gid, groups: [] };

interface Parts {
  documents: Documents;
  stamper: Stamper;
  watcher: Watcher;
  changelog: Changelog | undefined;
}

async function stand(
  { root, ground, settings, region, only }: EngineStart,
  { documents, stamper, watcher, changelog }: Parts,
  standing: Map<string, Standing>,
  bucket: Bucket,
): Promise<void> {
  const directory = syncDirectory(root, bucket);
  const account = await documents.get<Account>('accounts', bucket.owner);
  if (!account) throw new Error(`its owner ${bucket.owner} is no account`);
  let one = standing.get(bucket.name);
  if (!one) {
    const candidate = createCandidate(directory, { host: hostname(), pid });
    standing.set(
      bucket.name,
      (one = { bucket, candidate, actor: account.actor, group: account.group, led: undefined }),
    );
  }
  one.actor = account.actor;
  one.group = account.group;
  if (one.led) return;
  const lease = one.candidate.tryLead();
  if (!lease) return;
  const stands = async () => (await documents.get<Bucket>('buckets', bucket.name))?.created === bucket.created;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  // Whoever publishes sees what is not published yet.
  const own = { ...groundFor(bucket, ground), synced: false };
  const led = leadBucket({
    bucket,
    directory,
    lease,
    documents,
    feed: { maxBytes: settings.feedBytes },
    inside: <T>(work: (at: BucketDir) => T): T => as(one.actor, () => withBucket(own, 'service', work)),
    stamp: async (key, seen, trusted) => {
      const how = { quietMs: settings.quietMs, owner: bucket.owner, ...(trusted && { trusted }) };
      const actor = own.shared ? ownerOf(seen, one.actor) : one.actor;
      const result = await stamper.stamp({ bucket, actor }, key, seen, how);
      if (result.outcome !== 'failed' || actor === one.actor) return result;
      return stamper.stamp({ bucket, actor: one.actor }, key, seen, how);
    },
    sources: [
      ...(settings.watch ? [watcher.source(bucket.path)] : []),
      ...(changelog ? [changelog.source(bucket.path)] : []),
    ],
    deliver: () =>
      createDeliveries({
        directory,
        region,
        bucket: async () => {
          const now = await findBucket(documents, root, bucket.name);
          return now?.created === bucket.created ? now : undefined;
        },
        destination: askDestination,
        log,
      }),
    collectOrphans: (knows) => stamper.collectOrphans(bucket, knows, ORPHAN_AGE_MS),
    samples: openSampleWriter(root, bucket),
    charged: () => ({ account: bucket.owner, group: one.group }),
    stands,
    settings,
    onlyAsked: only !== undefined,
    log,
  });
  one.led = led;
  void led.ended
    .catch((err: unknown) => log.error({ err, bucket: bucket.name }, 'the sync of a bucket ended'))
    .then(async () => {
      // Again from the beginning, when it is still ours to lead.
      await pause(ROUND_MS);
      if (one.led === led) one.led = undefined;
    });
}

// The gateway says when to end; what a terminal or a service manager sends to all of its processes is for that one. Without it
// there is nobody to work for: what was begun is another leader's to finish.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));
giveWayAsProcess();
process.once('message', (start: EngineStart) => {
  process.on('message', (message: ToEngine) => hear(message));
  void serve(start).then(() => {
    allSent = () => process.exit(0);
    if (unsent === 0) allSent();
  });
});
