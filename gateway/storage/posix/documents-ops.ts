/** What the worker threads do for `documents.ts`: the files `<area>/<kind>/<id>.json`, synchronously. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { S3Error } from '../../errors.js';
import { letGo } from './held.js';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  clockGettime,
  close,
  E,
  errnoError,
  fstat,
  fsync,
  futimens,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openat2,
  pread,
  pwrite,
  readEntries,
  renameat,
  S_IFMT,
  S_IFREG,
  type Stat,
  tryFlock,
  tryLinkat,
  tryMkdirat,
  tryOpenat2,
  tryStatat,
  tryUnlinkat,
  unlinkat,
} from './syscalls.js';

/** A document as it lies there. `stamp` names this version; empty when a later change might bear the same one. */
export interface StoredDocument {
  id: string;
  stamp: string;
  /** Undefined: the caller has this version already. */
  text: string | undefined;
}

const MAX_BYTES = 16 * 1024 * 1024;
const STALE_TEMP_NS = 3_600_000_000_000n;
/** A file changed less than this ago may change again within the same tick of its server's clock, or of ours. */
const RACY_NS = 3_000_000_000n;

const stampOf = (stat: Stat): string => `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;

/** The directory of a kind; -1 when there is none yet. */
const openKind = (area: string, kind: string): number => {
  const fd = tryOpenat2(AT_FDCWD, `${area}/${kind}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd === -E.ENOENT) return -1;
  if (fd < 0) throw errnoError(-fd, 'open');
  return fd;
};

/** Makes area and kind where missing, mode 0700, and refuses an area that others could have prepared. */
const ensureKind = (area: string, kind: string): number => {
  const existing = openKind(area, kind);
  if (existing >= 0) return existing;
  mkdirSync(area.slice(0, area.lastIndexOf('/')) || '/', { recursive: true });
  const made = tryMkdirat(AT_FDCWD, area, 0o700);
  if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
  const fd = openat2(AT_FDCWD, area, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const { uid, mode } = fstat(fd);
    if ((uid !== process.geteuid!() && uid !== 0) || (mode & 0o022) !== 0) {
      throw new S3Error('InternalError', {
        message: `${area} must belong to the user that the gateway runs as, and be writable by nobody else.`,
      });
    }
    const kindMade = tryMkdirat(fd, kind, 0o700);
    if (kindMade < 0 && kindMade !== -E.EEXIST) throw errnoError(-kindMade, 'mkdir');
    fsync(fd);
  } finally {
    close(fd);
  }
  return openat2(AT_FDCWD, `${area}/${kind}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
};

const read = (dir: number, id: string, known: string): StoredDocument | undefined => {
  // Opened, not only looked at: NFS promises fresh attributes to the one who opens. O_NONBLOCK: a FIFO must not hang us.
  const fd = tryOpenat2(dir, `${id}.json`, O_RDONLY | O_NOFOLLOW | 0o4000);
  if (fd === -E.ENOENT) return undefined;
  if (fd < 0) throw errnoError(-fd, 'open');
  try {
    const stat = fstat(fd);
    const stamp = stampOf(stat);
    if (stamp === known) return { id, stamp, text: undefined };
    if ((stat.mode & S_IFMT) !== S_IFREG || stat.size > MAX_BYTES) throw errnoError(E.EINVAL, 'read');
    const bytes = Buffer.allocUnsafeSlow(stat.size);
    const got = pread(fd, bytes, 0);
    // Inode numbers are used again: two replacements within one tick could end with the stamp of the first.
    const racy = clockGettime() - stat.ctimeNs < RACY_NS;
    return { id, stamp: racy ? '' : stamp, text: bytes.toString('utf8', 0, got) };
  } finally {
    close(fd);
  }
};

/** Writes a document aside, synced. The caller gives it its name, and removes what is left under the temporary one. */
const writeAside = (dir: number, text: string): string => {
  const temp = `.tmp-${randomBytes(12).toString('hex')}`;
  const fd = openat2(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    pwrite(fd, Buffer.from(text), 0);
    // Random nanoseconds make the stamp of each version its own, also where clocks tick coarsely.
    const now = clockGettime();
    futimens(fd, now - (now % 1_000_000_000n) + BigInt(randomBytes(4).readUInt32BE() % 1_000_000_000));
    fsync(fd);
  } catch (error) {
    tryUnlinkat(dir, temp);
    throw error;
  } finally {
    close(fd);
  }
  return temp;
};

export const documentOps = {
  /** Undefined: no such document. */
  documentGet(area: string, kind: string, id: string, known: string): StoredDocument | undefined {
    const dir = openKind(area, kind);
    if (dir < 0) return undefined;
    try {
      return read(dir, id, known);
    } finally {
      close(dir);
    }
  },

  /** False when it exists. */
  documentCreate(area: string, kind: string, id: string, text: string): boolean {
    const dir = ensureKind(area, kind);
    try {
      const temp = writeAside(dir, text);
      const result = tryLinkat(dir, temp, dir, `${id}.json`);
      tryUnlinkat(dir, temp);
      if (result === -E.EEXIST) return false;
      if (result < 0) throw errnoError(-result, 'link');
      fsync(dir);
      return true;
    } finally {
      close(dir);
    }
  },

  /**
   * Takes the lock of a kind, which is given back by `documentReplace`, and reads. Not there: no lock is kept.
   * Somebody else has it: `false`. A process that dies gives it back.
   */
  documentLock(area: string, kind: string, id: string): { lock: number; text: string } | undefined | false {
    const dir = openKind(area, kind);
    if (dir < 0) return undefined;
    let lock = -1;
    let keep = false;
    try {
      lock = openat2(dir, '.lock', O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
      if (!tryFlock(lock)) return false;
      const document = read(dir, id, '');
      if (!document) return undefined;
      keep = true;
      // Whichever worker replaces the document closes it.
      letGo(lock);
      return { lock, text: document.text! };
    } finally {
      close(dir);
      if (lock >= 0 && !keep) close(lock);
    }
  },

  /** Replaces, deletes (`null`) or leaves (undefined) the document, and gives the lock back whatever happens. */
  documentReplace(area: string, kind: string, id: string, lock: number, text: string | null | undefined): void {
    try {
      if (text === undefined) return;
      const dir = openat2(AT_FDCWD, `${area}/${kind}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      try {
        if (text === null) unlinkat(dir, `${id}.json`);
        else {
          const temp = writeAside(dir, text);
          try {
            renameat(dir, temp, dir, `${id}.json`);
          } catch (error) {
            tryUnlinkat(dir, temp);
            throw error;
          }
        }
        fsync(dir);
      } finally {
        close(dir);
      }
    } finally {
      close(lock); // the last descriptor of this open file: the lock goes with it
    }
  },

  /** All documents; `known`: stamps by id of those that need not be read again. `bad`: names that are no documents. */
  documentList(
    area: string,
    kind: string,
    known: ReadonlyMap<string, string>,
  ): { found: StoredDocument[]; bad: string[] } {
    const dir = openKind(area, kind);
    if (dir < 0) return { found: [], bad: [] };
    try {
      const found: StoredDocument[] = [];
      const bad: string[] = [];
      for (const { name } of readEntries(dir)) {
        if (name.startsWith('.')) {
          if (name.startsWith('.tmp-')) removeStale(dir, name);
          continue;
        }
        const id = /^([A-Za-z0-9_-][A-Za-z0-9._-]{0,249})\.json$/.exec(name)?.[1];
        if (id === undefined) {
          bad.push(name);
          continue;
        }
        try {
          const document = read(dir, id, known.get(id) ?? '');
          if (document) found.push(document);
        } catch {
          bad.push(name);
        }
      }
      return { found, bad };
    } finally {
      close(dir);
    }
  },
};

/** Removes what a process left that died while it wrote. */
const removeStale = (dir: number, name: string): void => {
  const stat = tryStatat(dir, name, AT_SYMLINK_NOFOLLOW);
  if (stat && clockGettime() - stat.ctimeNs > STALE_TEMP_NS) tryUnlinkat(dir, name);
};
