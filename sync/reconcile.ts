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
import {
  createdEvent,
  createMemory,
  filesystemEvent,
  fingerprint,
  isKnown,
  isSameContent,
  isWritten,
  split,
} from './changes.js';
import { createDelayed } from './delayed.js';
import type { StampResult } from './hash.js';
import { type Finding, lookAtName, markerPrint } from './look.js';
import type { Entry, EventDraft, KeyBytes, S3Change, SyncCounts, SyncOp } from './types.js';

/** On whose behalf a finding is worked on: a sync that somebody asked for, a scan, or a hint. */
export interface Cause {
  ops: ReadonlySet<SyncOp>;
  dryRun: boolean;
  counts: SyncCounts;
  /** Findings taken and not yet settled. */
  open: number;
  /** `performance.now()` after which a file that is still being written is left for later; Infinity: is waited for. */
  patience: number;
  /** Nanoseconds: what has not changed since is taken up without an event (a catalog that is made anew). */
  silentBefore: bigint;
  /** What is that old is counted now and digested by another scan. */
  digestsLater: boolean;
  /** False in a bucket where only a sync that was asked for shows what jobs wrote. */
  publishes: boolean;
  /** Hears of files that could not be worked on. */
  complain(key: string, reason: string): void;
}

export interface ReconcileDeps {
  catalog: Catalog;
  /** S3 writes that have had their event, the last of them: their records may be read again. */
  told: Iterable<string>;
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

interface Held {
  finding: Finding;
  cause: Cause;
  /** Since when it waits for a record, of `performance.now()`. */
  since: number;
  /** The content to digest, as it was when last looked at. */
  seen?: Fingerprint;
}

export function createReconciler({ catalog, inside, stamp, committed, lookAgain, ...deps }: ReconcileDeps): Reconciler {
  const held = createDelayed<Held>();
  let stopped = false;
  /** Keys whose content is being digested, with other findings of them that came meanwhile. */
  const stamping = new Map<KeyBytes, Held[]>();
  /** S3 writes that have had their event. */
  const told = createMemory<string, true>(REMEMBERED);
  for (const write of deps.told) told.set(write, true);
  /** Files that went, by inode: they may turn up under another name. */
  const departed = createMemory<bigint, { key: KeyBytes; entry: Entry; cause: Cause }>(REMEMBERED);
  /** Keys whose file was found under another name already. */
  const renamed = createMemory<KeyBytes, true>(REMEMBERED);
  /** When keys went, as told by the filesystem. */
  const removed = createMemory<KeyBytes, number>(REMEMBERED);

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
    const commit = createCommit();
    const again: Held[] = [];
    const digests: Held[] = [];
    const left = [...items];
    try {
      inside((bucket) => {
        for (let item = left.shift(); item; item = left.shift()) {
          const step = attempt(item, () =>
            item!.finding.kind === 'vanished' ? vanish(bucket, item!, commit) : examine(bucket, item!, commit),
          );
          if (step === 'later') again.push(item);
          if (step === 'digest') digests.push(item);
          if (step === 'settled') item.cause.open--;
        }
      });
      finish(commit);
    } catch (error) {
      // The bucket cannot be entered, or the catalog not be written: the next scan finds it all again.
      for (const { finding, cause } of left) {
        cause.open--;
        complain(finding.key, cause, error);
      }
    }
    held.put(again, RECORD_MS);
    for (const item of digests) digest(item);
  }

  function attempt({ finding, cause }: Held, work: () => Step): Step {
    try {
      return work();
    } catch (error) {
      complain(finding.key, cause, error);
      return 'settled';
    }
  }

  function finish(commit: ReturnType<typeof createCommit>): void {
    if (commit.objects.length === 0 && commit.events.length === 0) return;
    catalog.commit(commit);
    for (const after of commit.after) after();
    committed();
  }

  function complain(key: KeyBytes, { counts, complain }: Cause, error: unknown): void {
    counts.errors++;
    complain(fromBytes(key), error instanceof Error ? error.message : String(error));
  }

  /** What the name shows at this moment: the look may be seconds old. */
  function vanish(bucket: BucketDir, { finding, cause }: Held, commit: Commits): Step {
    const { key } = finding;
    const { dir, name } = split(key);
    const before = catalog.get(key);
    if (!cause.publishes) return 'settled';
    if (!before) {
      // Another look was quicker, but it is this one, too, that has seen it go.
      cause.counts.deleted++;
      return 'settled';
    }
    if (lookAtName(bucket, catalog, dir, name).finding?.kind !== 'vanished') {
      lookAgain(key);
      return 'settled';
    }
    const moved = renamed.delete(key);
    if (!moved) cause.counts.deleted++;
    if (cause.dryRun) return 'settled';
    commit.objects.push([key, undefined]);
    commit.events.push(filesystemEvent('ObjectRemoved:Delete', key));
    commit.after.push(() => {
      if (before.ino !== 0n && !moved) departed.set(before.ino, { key, entry: before, cause });
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
        count(item, true);
        return 'settled';
      }
      item.seen = stat;
      return 'digest';
    }
    const entry: Entry = { ...fingerprint(stat), size: info.size, etag: info.meta.etag, write };
    if (marker) Object.assign(entry, markerPrint(stat.ino, info.lastModified), { size: info.size });
    const former = before ? undefined : formerName(entry);
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
    former = before ? undefined : formerName(entry),
  ): void {
    const { finding, cause } = item;
    const { key } = finding;
    commit.objects.push([key, entry]);
    const toldOf = entry.write !== '' && told.has(entry.write) && !former;
    const isNews = !isKnown(before, entry) && !toldOf;
    count(item, isNews, former !== undefined);
    if (!isNews) return;
    const event = createdEvent(key, entry, former?.key);
    commit.after.push(() => {
      if (entry.write !== '') told.set(entry.write, true);
      if (former) former.gone();
    });
    // Of a directory object no time tells how old it is: that it is there was known before, or comes by a record.
    if (entry.ctimeNs >= cause.silentBefore || (entry.ctimeNs === 1n && cause.silentBefore === 0n)) {
      commit.events.push(event);
    }
  }

  // ---- renames ---------------------------------------------------------------------------------------------------

  /** The file with this content that was known under another name, which it has no more; and what to do with that name. */
  function formerName(entry: Fingerprint): { key: KeyBytes; etag: string; gone(): void } | undefined {
    const gone = departed.get(entry.ino);
    if (gone && isSameContent(gone.entry, entry)) {
      const { key, cause } = gone;
      return {
        key,
        etag: gone.entry.etag,
        gone() {
          departed.delete(entry.ino);
          if (cause.counts.deleted > 0) cause.counts.deleted--;
        },
      };
    }
    for (const key of catalog.keysOf(entry.ino)) {
      const known = catalog.get(key);
      if (!known || !isSameContent(known, entry)) continue;
      const { dir, name } = split(key);
      const look = inside((bucket) => lookAtName(bucket, catalog, dir, name));
      if (look.finding?.kind !== 'vanished') continue;
      const gone = () => {
        renamed.set(key, true);
        lookAgain(key);
      };
      return { key, etag: known.etag, gone };
    }
    return undefined;
  }

  // ---- digests ---------------------------------------------------------------------------------------------------

  function digest(item: Held): void {
    const { finding, cause, seen: stat } = item;
    const { key } = finding;
    if (!stat) return;
    const others = stamping.get(key);
    if (others) {
      others.push(item);
      return;
    }
    stamping.set(key, []);
    const former = formerName(stat);
    const trusted = former && former.etag !== '' ? { etag: former.etag } : undefined;
    stamp(fromBytes(key), stat, trusted)
      .catch((error: unknown): StampResult => ({ outcome: 'failed', reason: String(error) }))
      .then((result) => {
        const others = stamping.get(key) ?? [];
        stamping.delete(key);
        if (stopped) return;
        digested(item, result);
        // What they have seen may be later than what was digested.
        work(others);
      })
      .catch((error: unknown) => complain(key, cause, error));
  }

  function digested(item: Held, result: StampResult): void {
    const { finding, cause } = item;
    const { key } = finding;
    switch (result.outcome) {
      case 'busy':
        if (performance.now() < cause.patience) {
          held.put([item], result.retryMs);
          break;
        }
        cause.counts.unsettled++;
        cause.open--;
        lookAgain(key);
        break;
      case 'gone':
        cause.open--;
        lookAgain(key);
        break;
      case 'failed':
        cause.open--;
        complain(key, cause, new Error(result.reason));
        break;
      default: {
        cause.counts.bytesHashed += result.bytes;
        if (result.outcome === 'unstorable') complain(key, cause, new Error(result.reason));
        const commit = createCommit();
        const before = catalog.get(key);
        const write = before && !isWritten(before, result.stat) && before.etag === result.etag ? before.write : '';
        settle(commit, item, { ...fingerprint(result.stat), etag: result.etag, write }, before);
        cause.open--;
        finish(commit);
      }
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
        if (!before && gone !== undefined && Date.now() - gone < LATE_MS) {
          removed.delete(key);
          continue;
        }
        now.set(key, undefined);
      } else {
        if (before?.write === write) continue;
        now.set(key, { size, etag, write, mtimeNs: 0n, ctimeNs: 0n, ino: before?.ino ?? 0n });
        removed.delete(key);
      }
      commit.after.push(() => told.set(write, true));
      commit.events.push({ ...change, door: 's3' });
    }
    for (const key of now.keys()) lookAgain(key);
    catalog.commit({ objects: [...now], events: commit.events, notes: { inbox: positions } });
    for (const after of commit.after) after();
    committed();
  }

  return {
    take,
    takeS3,
    tick() {
      work(held.due());
      return held.wait();
    },
    get busy() {
      return held.size + stamping.size;
    },
    stop() {
      stopped = true;
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

const needs: Record<Finding['kind'], readonly SyncOp[]> = {
  appeared: ['WRITE'],
  differs: ['UPDATE'],
  unhashed: ['WRITE', 'UPDATE'],
  vanished: ['DELETE'],
};
const isAsked = ({ kind }: Finding, { ops }: Cause): boolean => needs[kind].some((op) => ops.has(op));

const tryFind = (bucket: BucketDir, key: KeyBytes): Found | undefined | 'unreadable' => {
  try {
    return findObject(bucket, fromBytes(key));
  } catch (error) {
    if (isErrno(error) && (error.code === 'EACCES' || error.code === 'EPERM')) return 'unreadable';
    throw error;
  }
};

/** @param isNews whether there was anything to tell at this moment: another look may have told it already */
function count({ finding: { kind }, cause: { counts } }: Held, isNews: boolean, renamed = false): void {
  if (renamed) counts.renamed++;
  else if (kind === 'appeared' || kind === 'unhashed') counts.added++;
  else if (isNews) counts.updated++;
  else counts.unchanged++;
}
