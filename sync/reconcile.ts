/**
 * Makes the catalog agree with the filesystem: takes what looks have found and what S3 requests have written down, decides
 * what has happened, has content digested and stamped where no digest holds, and commits the outcome together with its
 * event. It never changes the data, the times or the mode of a file.
 *
 * A change that came through S3 is told by the record that its gateway wrote (`records.ts`). When a look meets the change
 * first, it waits a little for that record; only when none comes (the gateway died in between) is the event made from what
 * the object's own metadata says. So there is one event for a change, whoever saw it first.
 *
 * The order matters as well: what a job does to an object comes after the upload that it was told of. So the records are
 * taken after the look and before what the look tells; whatever they speak of is looked at once more.
 */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import { fromBytes } from '../gateway/storage/keys.js';
import { type Found, findObject } from '../gateway/storage/posix/lookup.js';
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import { close, isErrno } from '../gateway/storage/posix/syscalls.js';
import type { Catalog } from './catalog.js';
import { createdEvent, filesystemEvent, fingerprint, isKnown, isSameEntry, isWritten, split } from './changes.js';
import { createDelayed } from './delayed.js';
import { createDigests } from './digests.js';
import { commitDrafts, createDraft, type Draft } from './drafts.js';
import type { StampResult } from './hash.js';
import { type Cause, count, type Held, isAsked, reasonOf, type SeenFile, takeRiders } from './held.js';
import { isHome } from './home.js';
import { type Finding, lookAtName, markerPrint } from './look.js';
import type { Mounts } from './mounts.js';
import type { Records, Taken } from './records.js';
import { createRenames, type Former } from './renames.js';
import type { Entry, KeyBytes } from './types.js';

export interface ReconcileDeps {
  catalog: Catalog;
  mounts: Pick<Mounts, 'missingAbove'>;
  records: Records;
  /** Runs as the one as whom the bucket's files are worked on. @throws S3Error NoSuchBucket … */
  inside<T>(work: (bucket: BucketDir) => T): T;
  stamp(key: string, seen: SeenFile, trusted?: { etag: string }): Promise<StampResult>;
  /** Something was committed. */
  committed(): void;
  /** A key to look at again, as soon as convenient. */
  lookAgain(key: KeyBytes): void;
}

export interface Reconciler {
  take(findings: readonly Finding[], cause: Cause): void;
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
/** Twice as long as one request is waited for. */
const LONGEST_REMOVAL_MS = 6_000;
/** So long the first of many digests waits for the others. */
const TOGETHER_MS = 25;
/** After a failure of the bucket or the catalog: a full disk, a server that is away. */
const POSTPONED_MS = 1_000;

export function createReconciler(deps: ReconcileDeps): Reconciler {
  const { catalog, records, mounts, inside, stamp, committed, lookAgain } = deps;
  const held = createDelayed<Held>();
  const soon: Held[] = [];
  let stopped = false;
  const renames = createRenames({ catalog, inside, lookAgain });
  const digests = createDigests({ stamp, former: renames.former, lookAgain, digested, work: workSoon });

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

  /** Many digests are told at about the same time: one commit for all of them. */
  function workSoon(items: readonly Held[]): void {
    soon.push(...items);
    if (soon.length > items.length || soon.length === 0) return;
    const ms = digests.busy > 0 ? TOGETHER_MS : 0;
    setTimeout(() => {
      if (!stopped) work(soon.splice(0));
    }, ms);
  }

  function workOn(items: readonly Held[]): void {
    const seen: Seen[] = [];
    const outdated: Held[] = [];
    try {
      inside((bucket) => {
        for (const item of items) seen.push(look(bucket, item));
      });
      // Not where nothing is to be told, which is most of a scan.
      const isNews = seen.some(({ draft }) => draft.events.length > 0);
      const { keys, more } = isNews ? records.take() : nothing;
      for (const each of seen.splice(0)) {
        const { item, draft } = each;
        const isOpen = draft.events.length > 0 && (more || (item.finding.kind === 'vanished' && isRequested(item)));
        if (isOpen || keys.has(item.finding.key)) outdated.push(item);
        else seen.push(each);
      }
      const drafts = seen.map(({ draft }) => draft);
      if (commitDrafts(catalog, drafts)) committed();
    } catch (error) {
      postpone(items, error);
      return;
    }
    held.put(outdated, 0);
    const later: Held[] = [];
    for (const { item, step } of seen) {
      if (step === 'digest') digests.start(item);
      else {
        later.push(...takeRiders(item));
        if (step === 'later') later.push(item);
        else item.cause.open--;
      }
    }
    held.put(later, RECORD_MS);
  }

  function look(bucket: BucketDir, item: Held): Seen {
    const draft = createDraft();
    try {
      const { finding } = item;
      const step = finding.kind === 'vanished' ? vanish(bucket, item, finding, draft) : examine(bucket, item, draft);
      return { item, draft, step };
    } catch (error) {
      const failed = createDraft();
      failed.after.push(() => complain(item.finding.key, item.cause, error));
      return { item, draft: failed, step: 'settled' };
    }
  }

  /** The bucket could not be entered, or the catalog not be written: what was found there is not forgotten. */
  function postpone(looked: readonly Held[], error: unknown): void {
    if (stopped) return;
    const items = looked.flatMap((item) => [item, ...takeRiders(item)]);
    const left = items.filter(({ cause }) => performance.now() < cause.patience);
    held.put(left, POSTPONED_MS);
    if (left[0]) left[0].cause.complain(fromBytes(left[0].finding.key), reasonOf(error));
    for (const { finding, cause } of items.filter((item) => !left.includes(item))) {
      cause.open--;
      complain(finding.key, cause, error);
    }
  }

  function complain(key: KeyBytes, { counts, complain }: Cause, error: unknown): void {
    counts.errors++;
    complain(fromBytes(key), reasonOf(error));
  }

  /** What the name shows at this moment: the look may be seconds old. */
  function vanish(bucket: BucketDir, item: Held, missed: Missed, draft: Draft): Step {
    const { cause } = item;
    const { key } = missed;
    const { dir, name } = split(key);
    const before = catalog.get(key);
    if (!cause.publishes) return 'settled';
    if (!isHome(bucket, catalog)) {
      cause.complain(fromBytes(key), 'the directory of the bucket is another one: nothing is taken for deleted');
      return 'settled';
    }
    if (!before) {
      // Another look was quicker, but it is this one, too, that has seen it go.
      draft.after.push(() => renames.missedToo(key, cause.counts));
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
      const error = new Error(`the filesystem that was mounted at ${where} is not there: ${help}`);
      draft.after.push(() => complain(key, cause, error));
      return 'settled';
    }
    if (cause.dryRun) {
      if (!renames.isMoved(key)) draft.after.push(() => cause.counts.deleted++);
      return 'settled';
    }
    if (isRequested(item)) return 'later';
    if (!isSameEntry(missed.before, before)) {
      // What went is something else than what was missed at first, and whoever took it has the same time to say so.
      item.finding = { kind: 'vanished', key, before };
      return 'later';
    }
    draft.objects.push([key, undefined]);
    draft.events.push(filesystemEvent('ObjectRemoved:Delete', key));
    draft.after.push(() => {
      if (!renames.isMoved(key)) cause.counts.deleted++;
      renames.departed(key, before, cause.counts);
      records.removed(key);
      lookAtOthers(key, before);
    });
    return 'settled';
  }

  /** Whether a request is at deleting what was missed. Clients may be at it again and again; who waits for that would wait for ever. */
  function isRequested({ finding, since }: Held): boolean {
    return performance.now() - since < LONGEST_REMOVAL_MS && records.isBeingRemoved(finding.key);
  }

  function examine(bucket: BucketDir, item: Held, draft: Draft): Step {
    const { finding, cause } = item;
    const { key } = finding;
    const before = catalog.get(key);
    const object = tryFind(bucket, key);
    if (object === 'unreadable' && finding.kind !== 'vanished') {
      // Listings show it, so it is counted; nothing more can be known of it.
      draft.after.push(() => complain(key, cause, new Error('the owner of the bucket may not read it')));
      if (!cause.dryRun) settle(draft, item, { ...fingerprint(finding.stat), etag: '', write: '' }, before);
      return 'settled';
    }
    if (!object || object === 'unreadable') {
      if (finding.kind !== 'appeared') lookAgain(key);
      return 'settled';
    }
    close(object.fd);
    const { stat, whole, info, loaded } = object;
    if (cause.dryRun) {
      draft.after.push(() => count(item, before?.ctimeNs !== 0n && (!before || isWritten(before, stat))));
      return 'settled';
    }
    const write = loaded.packed?.meta?.write ?? '';
    const marker = key.endsWith('/');
    if (!whole && !marker) {
      if (!cause.publishes) return 'settled';
      if (!before && cause.digestsLater && stat.ctimeNs < cause.silentBefore) {
        draft.objects.push([key, { ...fingerprint(stat), etag: '', write: '' }]);
        draft.after.push(() => count(item, true));
        return 'settled';
      }
      const { digest } = item;
      if (digest && isWhole(digest.stat, stat)) {
        const write = before && !isWritten(before, stat) && before.etag === digest.etag ? before.write : '';
        settle(draft, item, { ...fingerprint(stat), etag: digest.etag, write }, before);
        return 'settled';
      }
      item.seen = stat;
      return 'digest';
    }
    const entry: Entry = { ...fingerprint(stat), size: info.size, etag: info.meta.etag, write };
    if (marker) Object.assign(entry, markerPrint(stat.ino, info.lastModified), { size: info.size });
    const former = before ? undefined : renames.former(entry);
    const byS3 = write !== '' && !former && !isKnown(before, entry) && records.toldOf(write) === undefined;
    if (byS3 && stat.ctimeNs >= cause.silentBefore && waitsFor(item, write)) return 'later';
    settle(draft, item, entry, before, former);
    return 'settled';
  }

  /** From when it was first seen: a file that was waited for before is another one since that upload. */
  function waitsFor(item: Held, write: string): boolean {
    if (item.upload?.write !== write) item.upload = { write, since: performance.now() };
    return performance.now() - item.upload.since < ORPHAN_MS;
  }

  /** Takes up what is known now of a key's content, and tells of it if it is news. */
  function settle(
    draft: Draft,
    item: Held,
    entry: Entry,
    before: Entry | undefined,
    former: Former | undefined = before ? undefined : renames.former(entry),
  ): void {
    const { finding, cause } = item;
    const { key } = finding;
    draft.objects.push([key, entry]);
    const toldOf = entry.write === '' ? undefined : records.toldOf(entry.write);
    // What was told, and is there after something else was told of the key, is to be told again.
    const isTold = toldOf === key && former === undefined && cause.silentBefore > 0n;
    const isNews = !isKnown(before, entry) && !isTold;
    draft.after.push(() => {
      count(item, isNews, former !== undefined);
      if (isNews) lookAtLinks(key, entry);
      if (before && before.ino !== entry.ino) lookAtOthers(key, before);
    });
    if (!isNews) return;
    const event = createdEvent(key, toldOf === undefined ? entry : { ...entry, write: '' }, former?.key);
    draft.after.push(() => {
      if (event.write !== undefined) records.told(event.write, key);
      former?.done();
    });
    // Of a directory object no time tells how old it is: that it is there was known before, or comes by a record.
    if (entry.ctimeNs >= cause.silentBefore || (entry.ctimeNs === 1n && cause.silentBefore === 0n)) {
      draft.events.push(event);
    }
  }

  /** Whoever wrote through one name of a file has changed all, and a watcher heard of that one only. */
  function lookAtLinks(key: KeyBytes, entry: Entry): void {
    for (const other of catalog.keysOf(entry.ino)) {
      const known = other === key ? undefined : catalog.get(other);
      if (known && isWritten(known, entry)) lookAgain(other);
    }
  }

  /** A file that has lost a name has another ctime, so its record is believed under none of the others until it was read. */
  function lookAtOthers(key: KeyBytes, { ino }: Entry): void {
    for (const other of ino === 0n ? [] : catalog.keysOf(ino)) if (other !== key) lookAgain(other);
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
        workSoon([item]);
    }
  }

  return {
    take,
    tick() {
      work([...held.due(), ...digests.due()]);
      return Math.min(held.wait(), digests.wait());
    },
    get busy() {
      return held.size + soon.length + digests.busy;
    },
    stop() {
      stopped = true;
      digests.stop();
    },
  };
}

/** What is left to do with a finding: nothing, to wait for a record, or to digest the content. */
type Step = 'settled' | 'later' | 'digest';

type Missed = Extract<Finding, { kind: 'vanished' }>;

/** What a look has made of a finding. */
interface Seen {
  item: Held;
  draft: Draft;
  step: Step;
}

const nothing: Taken = { keys: new Set(), more: false };

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
