/** What counts as a change of an object, and which event it is. Pure. */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import { fromBytes } from '../gateway/storage/keys.js';
import type { DirBytes, Entry, EventDraft, EventName, KeyBytes } from './types.js';

export const fingerprint = ({ size, mtimeNs, ctimeNs, ino }: Fingerprint): Fingerprint => ({
  size,
  mtimeNs,
  ctimeNs,
  ino,
});

/** Somebody has written: a later ctime alone may be a chmod, a rename, a link. */
export const isWritten = (before: Entry, stat: Fingerprint): boolean => !isSameContent(before, stat);

export const isSameContent = (before: Entry, stat: Fingerprint): boolean =>
  before.ino === stat.ino && before.size === stat.size && before.mtimeNs === stat.mtimeNs;

export const isSameEntry = (one: Entry, other: Entry): boolean =>
  isSameContent(one, other) && one.ctimeNs === other.ctimeNs && one.etag === other.etag && one.write === other.write;

/** Whether the catalog has this content under this key already, so that there is nothing to tell. */
export function isKnown(before: Entry | undefined, entry: Entry): boolean {
  if (!before) return false;
  const { etag, write } = before;
  // Known from the record of an S3 write only: what was written after it has another ETag.
  if (before.ctimeNs === 0n) return etag === entry.etag && (write === entry.write || entry.write === '');
  // Every S3 write and every replacement makes another file.
  return isSameContent(before, entry) && (etag === entry.etag || etag === '' || entry.etag === '');
}

export const createdEvent = (key: KeyBytes, { size, etag, write }: Entry, former: KeyBytes | undefined): EventDraft => {
  const event = { size, ...(etag !== '' && { etag }) };
  // A write that was renamed since is a job's doing.
  if (write === '' || former !== undefined) {
    const renamedFrom = former === undefined ? {} : { renamedFrom: fromBytes(former) };
    return { ...filesystemEvent('ObjectCreated:Put', key), ...event, ...renamedFrom };
  }
  const name = `ObjectCreated:${write.split('-', 1)[0]}` as EventName;
  return { ...filesystemEvent(name, key), ...event, door: 's3', write };
};

export const filesystemEvent = (name: EventName, key: KeyBytes): EventDraft => ({
  name,
  key: fromBytes(key),
  door: 'filesystem',
  time: Date.now(),
});

/** `a/b/c` is `c` in `a/b/`; the directory object `a/b/` is '' in `a/b/`. */
export const split = (key: KeyBytes): { dir: DirBytes; name: string } => {
  const slash = key.lastIndexOf('/');
  return { dir: key.slice(0, slash + 1), name: key.slice(slash + 1) };
};

/** Remembers the last so many. */
export function createMemory<K, V>(limit: number) {
  const map = new Map<K, V>();
  return {
    get: (key: K) => map.get(key),
    has: (key: K) => map.has(key),
    delete: (key: K) => map.delete(key),
    set(key: K, value: V) {
      map.delete(key);
      map.set(key, value);
      if (map.size > limit) map.delete(map.keys().next().value as K);
    },
  };
}
