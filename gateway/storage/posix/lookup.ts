/** What stands under a key: files and directory objects, opened, with the metadata that holds for them. */
import { belongsTo, type Packed } from '../../../acl/metadata/codec.js';
import { believe, judge, type Stamp } from '../../../acl/metadata/stamp.js';
import { type Loaded, loadRecord } from '../../../acl/metadata/store.js';
import type { ObjectInfo } from '../types.js';
import { isHot } from './clock.js';
import { underLockIfFree } from './locks.js';
import { absent } from './parents.js';
import type { BucketDir } from './paths.js';
import {
  AT_FDCWD,
  clockGettime,
  close,
  E,
  errnoError,
  fstat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  procPath,
  RESOLVE_INSIDE,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Stat,
  tryOpenat2,
} from './syscalls.js';

/** An object, open. Whoever got it closes `fd` (-1: the file may not be read, only its status is known). */
export interface Found {
  fd: number;
  stat: Stat;
  loaded: Loaded;
  info: ObjectInfo;
  /** The ETag is the stored one. */
  whole?: boolean;
}

/** Reading never blocks: without this, opening a FIFO waits for somebody to write to it. */
export const READ = O_RDONLY | O_NONBLOCK;

export const isFile = (stat: Pick<Stat, 'mode'>): boolean => (stat.mode & S_IFMT) === S_IFREG;
export const isDirectory = (stat: Stat): boolean => (stat.mode & S_IFMT) === S_IFDIR;

export const milliseconds = (ns: bigint): number => Number(ns / 1_000_000n);

/**
 * Opens the object of a key; undefined when none is there. The caller closes it.
 * @param locked the caller holds the key's lock
 * @param all also files that are not published yet, in a bucket that shows only those that are
 */
export const findObject = (bucket: BucketDir, key: string, locked = false, all = false): Found | undefined => {
  const find = (held: boolean) => {
    if (key.endsWith('/')) return findDirectoryObject(bucket, key, held);
    for (let attempt = 0; ; attempt++) {
      const file = findFile(bucket, key, held);
      if (!file || all || !bucket.ground.synced || isPublished(file.loaded.packed?.stamp, file.stat)) return file;
      const replaced = lostItsName(bucket.fd, key, file.stat);
      close(file.fd);
      if (!replaced || attempt === LOOKS) return undefined;
    }
  };
  let found = find(locked);
  const until = performance.now() + LONGEST_MS;
  for (let attempt = 0; !locked && found && vanished(bucket, key, found) && attempt < LOOKS; attempt++) {
    if (performance.now() > until) break;
    // The first looks need no lock: mostly the new object is there at once.
    const look = (held: boolean) => {
      close(found!.fd);
      found = undefined;
      found = find(held);
    };
    if (attempt < 2) look(false);
    else if (underLockIfFree(bucket, key, () => look(true))) {
      // No writer is at it, unless locks do not reach as far as he is: what is missing is lost.
      if (attempt >= FREE_LOOKS) break;
    } else {
      Atomics.wait(pause, 0, 0, 1);
      look(false);
    }
  }
  return found;
};

/** An upload, or what a sync has stamped, also if a job wrote into that file later; not a file that a job put in its place. */
export const isPublished = (stamp: Stamp | undefined, stat: Stat): boolean => judge(stamp, stat) !== 'foreign';

/**
 * A file that was replaced may have lost its sidecar with its name: what stands there now is to be asked. (The count of links
 * tells less: NFS keeps a file that is open under another name.)
 * @param seen the status of the file, which is open still
 */
export const lostItsName = (directory: number, name: string | Buffer, seen: Stat): boolean => {
  const fd = tryOpenat2(directory, name, O_PATH, 0, RESOLVE_INSIDE);
  if (fd < 0) return true;
  try {
    const { ino, dev } = fstat(fd);
    return ino !== seen.ino || dev !== seen.dev;
  } finally {
    close(fd);
  }
};

const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * So often, mostly a millisecond apart, a reader looks for the moment at which a writer, who holds the key's lock until then,
 * shows the object whole: it may have to wait for a processor itself.
 */
export const LOOKS = 200;
/** In all: a look may itself wait for that moment. */
const LONGEST_MS = 1_000;
/** So often, where nobody holds the lock. */
const FREE_LOOKS = 25;

/**
 * A file that is replaced while we look at it loses its name, which changes its ctime, and its overflow file or sidecar: what
 * is seen then holds for neither the old object nor the new one, and there is a new one under the name.
 */
const vanished = (bucket: BucketDir, key: string, { stat, loaded }: Found): boolean => {
  if (loaded.incomplete || stat.nlink === 0) return true;
  const { packed, beside } = loaded;
  // One that has other names, and on NFS one that is open, keeps a link.
  const doubtful = packed ? judge(packed.stamp, stat) === 'suspect' : beside;
  // The body of a directory object has a name of its own.
  return doubtful === true && !key.endsWith('/') && lostItsName(bucket.fd, key, stat);
};

const findFile = (bucket: BucketDir, key: string, locked: boolean): Found | undefined => {
  const fd = tryOpenat2(bucket.fd, key, READ, 0, RESOLVE_INSIDE);
  if (absent(fd) || fd === -E.ENXIO || fd === -E.ENODEV) return undefined;
  if (fd < 0) throw errnoError(-fd, 'openat2');
  return closing(fd, () => {
    const stat = fstat(fd);
    return isFile(stat) ? examine(bucket, key, fd, stat, locked) : undefined;
  });
};

/** Runs `work`, and closes the descriptor unless it is handed on in the result. */
const closing = (fd: number, work: () => Found | undefined): Found | undefined => {
  let result: Found | undefined;
  try {
    result = work();
  } finally {
    if (result?.fd !== fd) close(fd);
  }
  return result;
};

/** The metadata that holds for an open file. */
export const examine = (bucket: BucketDir, key: string, fd: number, first: Stat, locked: boolean): Found => {
  // Status first: what is written later than the status can only have a later bound.
  let stat = first;
  let loaded = loadRecord(bucket, fd, stat);
  if (!locked && mayBeUnderWay(loaded.packed, stat)) {
    // A publisher stamps again when its rename came later than the stamp allowed for; it holds the lock until then.
    const look = () => {
      stat = fstat(fd);
      loaded = loadRecord(bucket, fd, stat);
    };
    for (let looks = 0; mayBeUnderWay(loaded.packed, stat) && looks < LOOKS; looks++) {
      if (underLockIfFree(bucket, key, look)) break;
      Atomics.wait(pause, 0, 0, 1);
      look();
    }
  }
  const { packed } = loaded;
  const whole = packed?.meta !== undefined && packed.meta.etag !== '' && judge(packed.stamp, stat) === 'whole';
  const meta = believe(packed?.meta, packed?.stamp, stat, !whole && isHot(bucket, stat));
  return { fd, stat, loaded, whole, info: { key, size: stat.size, lastModified: milliseconds(stat.mtimeNs), meta } };
};

/** Allows for clocks of file servers that differ from ours. */
const RECENT_NS = 10_000_000_000n;

const mayBeUnderWay = (packed: Packed | undefined, stat: Stat): boolean => {
  if (packed?.stamp === undefined || judge(packed.stamp, stat) !== 'suspect') return false;
  const age = clockGettime() - stat.ctimeNs;
  return stat.ctimeNs - packed.stamp.bound < 1_000_000_000n && age < RECENT_NS && age > -RECENT_NS;
};

// ---- directory objects -------------------------------------------------------------------------------------------

/** A directory that exists, with its record. `marker` makes it an object. The caller closes it. */
export const openDirectory = (
  bucket: BucketDir,
  directory: number,
  name: string | Buffer,
): { fd: number; stat: Stat; loaded: Loaded } | undefined => {
  const fd = tryOpenat2(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (absent(fd)) return undefined;
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    const stat = fstat(fd);
    const loaded = loadRecord(bucket, fd, stat);
    return { fd, stat, loaded };
  } catch (error) {
    close(fd);
    throw error;
  }
};

const findDirectoryObject = (bucket: BucketDir, key: string, locked: boolean): Found | undefined => {
  const directory = openDirectory(bucket, bucket.fd, key.slice(0, -1));
  return directory && closing(directory.fd, () => directoryObject(bucket, key, directory, locked));
};

/** The object that a directory is: its own descriptor, or its body's when it has one. */
export const directoryObject = (
  bucket: BucketDir,
  key: string,
  { fd, stat, loaded }: { fd: number; stat: Stat; loaded: Loaded },
  locked: boolean,
): Found | undefined => {
  const marker = loaded.packed?.marker;
  if (!marker) return undefined;
  const lastModified = marker.modified;
  if (marker.body !== undefined) {
    if (!belongsTo(marker.body, stat.ino)) return undefined;
    const body = openBody(bucket, marker.body);
    if (body < 0 && !absent(body)) throw errnoError(-body, 'openat2');
    if (body < 0) return { fd, stat, loaded: { ...loaded, incomplete: true }, info: bare(key, stat, lastModified) };
    return closing(body, () => {
      const bodyStat = fstat(body);
      if (!isFile(bodyStat)) return undefined;
      const found = examine(bucket, key, body, bodyStat, locked);
      return { ...found, info: { ...found.info, lastModified } };
    });
  }
  // An empty body cannot change: only the inode has to be the one that was marked.
  const known = loaded.packed?.meta;
  const info = bare(key, stat, lastModified);
  if (known) info.meta = known.etag === '' ? { ...known, etag: info.meta.etag } : known;
  return { fd, stat, loaded, info };
};

/** The kernel decides by the body's own permissions, also where the directory that it lies in is closed to the actor. */
const openBody = (bucket: BucketDir, name: string): number => {
  const open = (flags: number) => tryOpenat2(bucket.area('bodies'), name, flags | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (!bucket.shared) return open(READ);
  const path = bucket.asGateway(() => open(O_PATH));
  if (path < 0) return path;
  try {
    // Not what READ would not have blocked at: the link leads to the very file.
    return isFile(fstat(path)) ? tryOpenat2(AT_FDCWD, procPath(path), READ) : -E.ENOENT;
  } finally {
    close(path);
  }
};

const bare = (key: string, stat: Stat, lastModified: number): ObjectInfo => {
  const still = { ino: stat.ino, size: 0, mtimeNs: BigInt(lastModified), ctimeNs: 0n };
  return { key, size: 0, lastModified, meta: believe(undefined, undefined, still) };
};
