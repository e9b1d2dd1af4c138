/**
 * Makes the catalog agree with the filesystem: takes what looks have found and what S3 requests have written down, decides
 * what has happened, has content digested and stamped where no digest holds, and commits the outcome together with its
 * event. It never changes the data, the times or the mode of a file.
 *
 * A change that came through S3 is told by the record that its gateway wrote (`inbox.ts`). When a look meets the change
 * first, it waits a little for that record; only when none comes (the gateway died in between) is the event made from what
 * the object's own metadata says. So there is one event for a change, whoever saw it first.
 */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import { fromBytes, toBytes } from '../gateway/storage/keys.js';
import { type Found, findObject } from '../gateway/storage/posix/lookup.js';
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import { close, isErrno } from '../gateway/storage/posix/syscalls.js';
import type { Catalog, Commit } from './catalog.js';
import { createdEvent, createMemory, filesystemEvent, fingerprint, isKnown, isWritten, split } from './changes.js';
import { createDelayed } from './delayed.js';
import { createDigests } from './digests.js';
import type { StampResult } from './hash.js';
import { type Cause, count, type Held, isAsked, reasonOf, takeRiders } from './held.js';
import { isHome } from './home.js';
import { type Finding, lookAtName, markerPrint } from './look.js';
import type { Mounts } from './mounts.js';
import { createRenames, type Former } from './renames.js';
import { unlooked } from './scan.js';
import type { Entry, EventDraft, KeyBytes, S3Change } from './types.js';

export interface ReconcileDeps {
  catalog: Catalog;
  mounts: Pick<Mounts, 'missingAbove'>;
  /** S3 writes that have had their event, the last of them, each with its key: their records may be read again. */
  told: Iterable<readonly [write: string, key: string]>;
  /** Runs as the one as whom the bucket's files are worked on. @throws S3Error NoSuchBucket … */
  inside<T>(work: (bucket: BucketDir) => T): T;
  stamp(key: string, seen: Fingerprint, trusted?: { etag: string }): Promise<StampResult>;
  /** Something was committed. */
  committed(): void;
  /** A key to look at again, as soon as convenient. */
  lookAgain(key: KeyBytes): void;
}

export interface Reconciler {
  take(findings: readonly Finding[], cause: Cause): void;
  /** What gateways have written down, in its order, and how far it was read. */
  takeS3(changes: readonly S3Change[], positions: unknown): void;
  /** Works on what had to wait and is due. @returns milliseconds until the next is, Infinity when nothing waits */
  tick(): number;
  /** Findings that wait or are being digested: above a bound no more should be taken. */
  readonly busy: number;
  /** What is still being digested is forgotten. */
  stop(): void;
}

/** So long, in milliseconds, a change that was seen waits for the record of an S3 request that may have made it. */
export const RECORD_MS = 300;
/** So long when the object says that an S3 request made it. */
const ORPHAN_MS = 3_000;
/** How long a key that was told to be gone is remembered, for a record of its deletion that comes late. */
const LATE_MS = 60_000;
const REMEMBERED = 50_000;
/** After a failure of the bucket or the catalog: a full disk, a server that is away. */
const POSTPONED_MS = 1_000;
export function createReconciler({
  catalog,
  mounts,
  inside,
  stamp,
  committed,
  lookAgain,
  ...deps
}: ReconcileDeps): Reconciler {
  const held = createDelayed<Held>();
  let stopped = false;
  /** S3 writes that have had their event, and of which key: under another name the file is a job's doing. */
  const told = createMemory<string, KeyBytes>(REMEMBERED);
  for (const [write, key] of deps.told) told.set(write, toBytes(key));
  /** When keys went, as told by the filesystem. */
  const removed = createMemory<KeyBytes, number>(REMEMBERED);
  const renames = createRenames({ catalog, inside, lookAgain });
  const digests = createDigests({ stamp, former: renames.former, lookAgain, digested, work });

  // ---- findings --------------------------------------------------------------------------------------------------

  function take(findings: readonly Finding[], cause: Cause): void {
    const since = performance.now();
    const now: Held[] = [];
    const later: Held[] = [];
    for (const finding of findings) {
      if (!isAsked(finding, cause)) continue;
      cause.open++;
      // A deletion leaves nothing behind that could tell who made it.
      const waits = finding.kind === 'vanished' && !cause.dryRun;
      (waits ? later : now).push({ finding, cause, since });
    }
    held.put(later, RECORD_MS);
    work(now);
  }

  function work(items: readonly Held[]): void {
    for (let left = items; left.length > 0; ) {
      // One of each key: what the next one of it means depends on what this one has committed.
      const round = new Map<KeyBytes, Held>();
      const next: Held[] = [];
      for (const item of left) {
        if (round.has(item.finding.key)) next.push(item);
        else round.set(item.finding.key, item);
      }
      workOn([...round.values()]);
      left = next;
    }
  }

  function workOn(items: readonly Held[]): void {
    const commit = createCommit();
    const again: Held[] = [];
    const toDigest: Held[] = [];
    const settled: Held[] = [];
    try {
      inside((bucket) => {
        for (const item of items) {
          const step = attempt(item, () =>
            item.finding.kind === 'vanished' ? vanish(bucket, item, commit) : examine(bucket, item, commit),
          );
          if (step === 'later') again.push(item);
          else if (step === 'digest') toDigest.push(item);
          else settled.push(item);
          if (step !== 'digest') again.push(...takeRiders(item));
        }
      });
      finish(commit);
      for (const { cause } of settled) cause.open--;
    } catch (error) {
      const kept = new Set([...again, ...toDigest]);
      postpone(
        items.filter((item) => !kept.has(item)),
        error,
      );
    }
    held.put(again, RECORD_MS);
    for (const item of toDigest) digests.start(item);
  }

  /** The bucket could not be entered, or the catalog not be written: what was found there is not forgotten. */
  function postpone(items: readonly Held[], error: unknown): void {
    if (stopped) return;
    const left = items.filter(({ cause }) => performance.now() < cause.patience);
    held.put(left, POSTPONED_MS);
    if (left[0]) left[0].cause.complain(fromBytes(left[0].finding.key), reasonOf(error));
    for (const { finding, cause } of items.filter((item) => !left.includes(item))) {
      cause.open--;
      complain(finding.key, cause, error);
    }
  }

  function attempt({ finding, cause }: Held, work: () => Step): Step {
    try {
      return work();
    } catch (error) {
      complain(finding.key, cause, error);
      return 'settled';
    }
  }

  function finish(commit: Commits, notes?: Commit['notes']): void {
    if (commit.objects.length === 0 && commit.events.length === 0 && !notes) return;
    // So that the going of a directory is noticed which nobody has looked at yet.
    const directories = commit.objects
      .flatMap(([key, entry]) => (entry ? catalog.unknownAbove(key) : []))
      .map((dir) => [dir, unlooked] as const);
    catalog.commit({ ...commit, directories, ...(notes && { notes }) });
    for (const after of commit.after) after();
    committed();
  }

  function complain(key: KeyBytes, { counts, complain }: Cause, error: unknown): void {
    counts.errors++;
    complain(fromBytes(key), reasonOf(error));
  }

  /** What the name shows at this moment: the look may be seconds old. */
  function vanish(bucket: BucketDir, { finding, cause }: Held, commit: Commits): Step {
    const { key } = finding;
    const { dir, name } = split(key);
    const before = catalog.get(key);
    if (!cause.publishes) return 'settled';
    if (!isHome(bucket, catalog)) {
      cause.complain(fromBytes(key), 'the directory of the bucket is another one: nothing is taken for deleted');
      return 'settled';
    }
    if (!before) {
      // Another look was quicker, but it is this one, too, that has seen it go.
      cause.counts.deleted++;
      return 'settled';
    }
    if (lookAtName(bucket, catalog, dir, name).finding?.kind !== 'vanished') {
      lookAgain(key);
      return 'settled';
    }
    const missing = mounts.missingAbove(bucket, key);
    if (missing !== undefined) {
      const where = JSON.stringify(fromBytes(missing));
      const help = `what is gone for good is taken for deleted by a sync with this prefix`;
      complain(key, cause, new Error(`the filesystem that was mounted at ${where} is not there: ${help}`));
      return 'settled';
    }
    if (cause.dryRun) {
      if (!renames.isMoved(key)) cause.counts.deleted++;
      return 'settled';
    }
    commit.objects.push([key, undefined]);
    commit.events.push(filesystemEvent('ObjectRemoved:Delete', key));
    commit.after.push(() => {
      if (!renames.isMoved(key)) cause.counts.deleted++;
      renames.departed(key, before, cause.counts);
      removed.set(key, Date.now());
    });
    return 'settled';
  }

  function examine(bucket: BucketDir, item: Held, commit: Commits): Step {
    const { finding, cause, since } = item;
    const { key } = finding;
    const before = catalog.get(key);
    const object = tryFind(bucket, key);
    if (object === 'unreadable' && finding.kind !== 'vanished') {
      // Listings show it, so it is counted; nothing more can be known of it.
      complain(key, cause, new Error('the owner of the bucket may not read it'));
      if (!cause.dryRun) settle(commit, item, { ...fingerprint(finding.stat), etag: '', write: '' }, before);
      return 'settled';
    }
    if (!object || object === 'unreadable') {
      if (finding.kind !== 'appeared') lookAgain(key);
      return 'settled';
    }
    close(object.fd);
    const { stat, whole, info, loaded } = object;
    if (cause.dryRun) {
      count(item, before?.ctimeNs !== 0n && (!before || isWritten(before, stat)));
      return 'settled';
    }
    const write = loaded.packed?.meta?.write ?? '';
    const marker = key.endsWith('/');
    if (!whole && !marker) {
      if (!cause.publishes) return 'settled';
      if (!before && cause.digestsLater && stat.ctimeNs < cause.silentBefore) {
        commit.objects.push([key, { ...fingerprint(stat), etag: '', write: '' }]);
        commit.after.push(() => count(item, true));
        return 'settled';
      }
      const { digest } = item;
      if (digest && isWhole(digest.stat, stat)) {
        const write = before && !isWritten(before, stat) && before.etag === digest.etag ? before.write : '';
        settle(commit, item, { ...fingerprint(stat), etag: digest.etag, write }, before);
        return 'settled';
      }
      item.seen = stat;
      return 'digest';
    }
    const entry: Entry = { ...fingerprint(stat), size: info.size, etag: info.meta.etag, write };
    if (marker) Object.assign(entry, markerPrint(stat.ino, info.lastModified), { size: info.size });
    const former = before ? undefined : renames.former(entry);
    const byS3 = write !== '' && !former && !isKnown(before, entry) && !told.has(write);
    if (byS3 && stat.ctimeNs >= cause.silentBefore && performance.now() - since < ORPHAN_MS) return 'later';
    settle(commit, item, entry, before, former);
    return 'settled';
  }

  /** Takes up what is known now of a key's content, and tells of it if it is news. */
  function settle(
    commit: Commits,
    item: Held,
    entry: Entry,
    before: Entry | undefined,
    former: Former | undefined = before ? undefined : renames.former(entry),
  ): void {
    const { finding, cause } = item;
    const { key } = finding;
    commit.objects.push([key, entry]);
    const toldOf = entry.write === '' ? undefined : told.get(entry.write);
    // What was told, and is there after something else was told of the key, is to be told again.
    const isTold = toldOf === key && former === undefined && cause.silentBefore > 0n;
    const isNews = !isKnown(before, entry) && !isTold;
    commit.after.push(() => {
      count(item, isNews, former !== undefined);
      if (isNews) lookAtLinks(key, entry);
    });
    if (!isNews) return;
    const event = createdEvent(key, toldOf === undefined ? entry : { ...entry, write: '' }, former?.key);
    commit.after.push(() => {
      if (event.write !== undefined) told.set(event.write, key);
      former?.done();
    });
    // Of a directory object no time tells how old it is: that it is there was known before, or comes by a record.
    if (entry.ctimeNs >= cause.silentBefore || (entry.ctimeNs === 1n && cause.silentBefore === 0n)) {
      commit.events.push(event);
    }
  }

  /** Whoever wrote through one name of a file has changed all, and a watcher heard of that one only. */
  function lookAtLinks(key: KeyBytes, entry: Entry): void {
    for (const other of catalog.keysOf(entry.ino)) {
      const known = other === key ? undefined : catalog.get(other);
      if (known && isWritten(known, entry)) lookAgain(other);
    }
  }

  // ---- digests ---------------------------------------------------------------------------------------------------

  function digested(item: Held, result: Exclude<StampResult, { outcome: 'busy' }>): void {
    const { finding, cause } = item;
    const { key } = finding;
    switch (result.outcome) {
      case 'gone':
        cause.open--;
        lookAgain(key);
        break;
      case 'failed':
        cause.open--;
        complain(key, cause, new Error(result.reason));
        break;
      default:
        cause.counts.bytesHashed += result.bytes;
        if (result.outcome === 'unstorable') complain(key, cause, new Error(result.reason));
        // Since then another file may have come into its place, and been told.
        item.digest = result;
        work([item]);
    }
  }

  // ---- what came through S3 --------------------------------------------------------------------------------------

  function takeS3(changes: readonly S3Change[], positions: unknown): void {
    const commit = createCommit();
    const now = new Map<KeyBytes, Entry | undefined>();
    for (const change of changes) {
      const key = toBytes(change.key);
      const before = now.has(key) ? now.get(key) : catalog.get(key);
      const { write, size = 0, etag = '' } = change;
      if (told.has(write)) continue;
      if (change.name === 'ObjectRemoved:Delete') {
        const gone = removed.get(key);
        // Deleted before its going was told: what was made and deleted after that is another file.
        if (!before && gone !== undefined && change.time <= gone && Date.now() - gone < LATE_MS) {
          removed.delete(key);
          continue;
        }
        now.set(key, undefined);
      } else {
        if (before?.write === write) continue;
        now.set(key, { size, etag, write, mtimeNs: 0n, ctimeNs: 0n, ino: before?.ino ?? 0n });
        removed.delete(key);
      }
      commit.after.push(() => told.set(write, key));
      commit.events.push({ ...change, door: 's3' });
    }
    for (const key of now.keys()) lookAgain(key);
    commit.objects.push(...now);
    finish(commit, { inbox: positions });
  }

  return {
    take,
    takeS3,
    tick() {
      work([...held.due(), ...digests.due()]);
      return Math.min(held.wait(), digests.wait());
    },
    get busy() {
      return held.size + digests.busy;
    },
    stop() {
      stopped = true;
      digests.stop();
    },
  };
}

/** What is left to do with a finding: nothing, to wait for a record, or to digest the content. */
type Step = 'settled' | 'later' | 'digest';

type Commits = Commit & {
  objects: [KeyBytes, Entry | undefined][];
  events: EventDraft[];
  /** What is remembered once it is committed. */
  after: (() => void)[];
};

const createCommit = (): Commits => ({ objects: [], events: [], after: [] });

const isWhole = (digested: Fingerprint, now: Fingerprint): boolean =>
  now.ino === digested.ino &&
  now.size === digested.size &&
  now.mtimeNs === digested.mtimeNs &&
  now.ctimeNs === digested.ctimeNs;

const tryFind = (bucket: BucketDir, key: KeyBytes): Found | undefined | 'unreadable' => {
  try {
    return findObject(bucket, fromBytes(key));
  } catch (error) {
    if (isErrno(error) && (error.code === 'EACCES' || error.code === 'EPERM')) return 'unreadable';
    throw error;
  }
};
