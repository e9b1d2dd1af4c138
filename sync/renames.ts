/**
 * Recognises files that a job renamed: by the inode, where size and mtime are still those that were known of it.
 *
 * That nobody has written to it as well, and put the mtime back, only the ctime tells. A directory that is renamed leaves its
 * files' alone, so their digests hold; a file that is renamed itself has a new one, and is read once more.
 */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import type { Catalog } from './catalog.js';
import { createMemory, isSameContent, split } from './changes.js';
import { lookAtName } from './look.js';
import type { Entry, KeyBytes, SyncCounts } from './types.js';

/** The name that a file had, which is no name of it any more. */
export interface Former {
  key: KeyBytes;
  /** Of the content, '' where nobody can vouch for it any more. */
  etag: string;
  /** The rename is committed. */
  done(): void;
}

export interface Renames {
  former(file: Fingerprint): Former | undefined;
  /** A key was found to be gone, and that is committed. @param counts in which it is a deletion, as long as its file does not turn up */
  departed(key: KeyBytes, entry: Entry, counts: SyncCounts): void;
  /** Another look has missed a key too, whose going is committed already. @param counts as for `departed` */
  missedToo(key: KeyBytes, counts: SyncCounts): void;
  /** Whether the key's file was found under another name already. */
  isMoved(key: KeyBytes): boolean;
}

const REMEMBERED = 50_000;

const vouched = ({ ctimeNs, etag }: Entry, file: Fingerprint): string => (ctimeNs === file.ctimeNs ? etag : '');

interface Departure {
  key: KeyBytes;
  entry: Entry;
  /** Its file has turned up elsewhere. */
  moved: boolean;
  /** In which it is a deletion, until then. */
  counts: SyncCounts[];
}

interface RenamesDeps {
  catalog: Catalog;
  inside<T>(work: (bucket: BucketDir) => T): T;
  lookAgain(key: KeyBytes): void;
}

export function createRenames({ catalog, inside, lookAgain }: RenamesDeps): Renames {
  /** Files that went, by inode: they may turn up under another name. */
  const departed = createMemory<bigint, Departure>(REMEMBERED);
  /** The same by key; those that have turned up, too. */
  const departures = createMemory<KeyBytes, Departure>(REMEMBERED);
  const moved = createMemory<KeyBytes, true>(REMEMBERED);

  function isGone(key: KeyBytes): boolean {
    const { dir, name } = split(key);
    try {
      return inside((bucket) => lookAtName(bucket, catalog, dir, name)).finding?.kind === 'vanished';
    } catch {
      // Where it cannot be looked at nobody knows.
      return false;
    }
  }

  return {
    former(file) {
      const gone = departed.get(file.ino);
      if (gone && isSameContent(gone.entry, file)) {
        const { key, counts } = gone;
        const done = () => {
          departed.delete(file.ino);
          gone.moved = true;
          for (const each of counts.splice(0)) if (each.deleted > 0) each.deleted--;
        };
        return { key, etag: vouched(gone.entry, file), done };
      }
      for (const key of catalog.keysOf(file.ino)) {
        const known = catalog.get(key);
        if (!known || !isSameContent(known, file)) continue;
        if (!isGone(key)) continue;
        const done = () => {
          moved.set(key, true);
          lookAgain(key);
        };
        return { key, etag: vouched(known, file), done };
      }
      return undefined;
    },
    departed(key, entry, counts) {
      const departure: Departure = { key, entry, moved: moved.delete(key), counts: [counts] };
      departures.set(key, departure);
      if (!departure.moved && entry.ino !== 0n) departed.set(entry.ino, departure);
    },
    missedToo(key, counts) {
      const departure = departures.get(key);
      if (departure?.moved) return;
      counts.deleted++;
      departure?.counts.push(counts);
    },
    isMoved: (key) => moved.has(key),
  };
}
