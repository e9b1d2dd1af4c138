/**
 * The records of S3 requests (`inbox.ts`) as the leader takes them: each becomes one event, in the order in which they were
 * written, however often it is read and whatever looks at the filesystem have told meanwhile.
 */
import { toBytes } from '../gateway/storage/keys.js';
import type { Catalog } from './catalog.js';
import { createMemory } from './changes.js';
import { commitDrafts, createDraft } from './drafts.js';
import type { Drained } from './inbox-reader.js';
import type { Entry, FeedEvent, KeyBytes } from './types.js';

export interface RecordsDeps {
  catalog: Catalog;
  /** The last events that were told, oldest first: what they tell of may be read once more. */
  recent: Iterable<FeedEvent>;
  /** What was written down since the positions that were taken last. */
  drain(): Drained;
  /** These changes are committed, with the positions behind them. */
  taken(drained: Drained): void;
  /** Something was committed. */
  committed(): void;
  /** A key to look at again, as soon as convenient. */
  lookAgain(key: KeyBytes): void;
}

export interface Taken {
  /** Of which a change was written down. */
  keys: ReadonlySet<KeyBytes>;
  /** There is more than was to be read at once. */
  more: boolean;
}

export interface Records {
  /** Takes what is new. What is acknowledged when this is called is told when it returns, if there is no `more`. */
  take(): Taken;
  /** Whether a gateway has written down that it deletes the key, and not yet what has come of it. */
  isBeingRemoved(key: KeyBytes): boolean;
  /** Of which key the event of an S3 write was told; undefined: of none yet. */
  toldOf(write: string): KeyBytes | undefined;
  /** It was told without its record, by what the object itself says. */
  told(write: string, key: KeyBytes): void;
  /** The going of a key was told, as the filesystem's doing. */
  removed(key: KeyBytes): void;
}

/** A gateway that has begun a deletion and says no more is taken for dead after so many milliseconds. */
const REMOVAL_MS = 3_000;
/** How long a key that was told to be gone is remembered, for a record of its deletion that comes late. */
const LATE_MS = 60_000;
const REMEMBERED = 50_000;

export function createRecords({ catalog, recent, drain, taken, committed, lookAgain }: RecordsDeps): Records {
  /** S3 writes that have had their event, and of which key: under another name the file is a job's doing. */
  const told = createMemory<string, KeyBytes>(REMEMBERED);
  /** When keys went, as told by the filesystem. */
  const removed = createMemory<KeyBytes, number>(REMEMBERED);
  /** Deletions that have begun, and when that was read. After a change of leaders they are not known: they are over by then. */
  const removals = new Map<string, { key: KeyBytes; read: number }>();
  for (const { key, write, name, door, time } of recent) {
    if (write !== undefined) told.set(write, toBytes(key));
    if (door === 'filesystem' && name === 'ObjectRemoved:Delete') removed.set(toBytes(key), time);
    else removed.delete(toBytes(key));
  }

  function take(): Taken {
    const drained = drain();
    const draft = createDraft();
    const now = new Map<KeyBytes, Entry | undefined>();
    const links = new Set<KeyBytes>();
    for (const { removal, write, key } of drained.removals) {
      if (removal === 'begun') removals.set(write, { key: toBytes(key), read: performance.now() });
      else removals.delete(write);
    }
    for (const change of drained.changes) {
      const key = toBytes(change.key);
      const before = now.has(key) ? now.get(key) : catalog.get(key);
      const { write, size = 0, etag = '' } = change;
      // The file that stood there has lost a name, and with it the time by which its record is believed under the others.
      if (before && before.ino !== 0n) for (const other of catalog.keysOf(before.ino)) links.add(other);
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
      draft.after.push(() => told.set(write, key));
      draft.events.push({ ...change, door: 's3' });
    }
    draft.objects.push(...now);
    const keys = new Set(now.keys());
    const notes = drained.changes.length > 0 ? { inbox: drained.positions } : undefined;
    const changed = commitDrafts(catalog, [draft], notes);
    taken(drained);
    for (const { write } of drained.changes) removals.delete(write);
    for (const key of new Set([...now.keys(), ...links])) lookAgain(key);
    if (changed) committed();
    return { keys, more: drained.more };
  }

  function isBeingRemoved(key: KeyBytes): boolean {
    for (const [write, { key: its, read }] of removals) {
      if (performance.now() - read > REMOVAL_MS) removals.delete(write);
      else if (its === key) return true;
    }
    return false;
  }

  return {
    take,
    isBeingRemoved,
    toldOf: told.get,
    told: told.set,
    removed: (key) => removed.set(key, Date.now()),
  };
}
