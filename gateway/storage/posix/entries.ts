/**
 * What a listing tells of the entries of directories. They are looked at here one by one, by the thread that has named them
 * (`walk.ts`) or, later, by another.
 */
import type { ElementWriter } from '../elements.js';
import { maxKeyBytes, toBytes } from '../keys.js';
import type { ListedObject } from '../types.js';
import {
  isShown,
  keepDirectory,
  listedFile,
  listedMarker,
  lookForDirectory,
  lookForListed,
  recallDirectory,
  writeFile,
} from './listed.js';
import { itemOf } from './names.js';
import type { BucketDir } from './paths.js';
import {
  close,
  E,
  errnoError,
  getdents64,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  parseEntries,
  RESOLVE_INSIDE,
  rawPath,
  tryOpenat2,
} from './syscalls.js';

/** Something that has a name in a directory. */
export interface Entry {
  /** The open directory, and the key prefix of everything in it: '' or `a/b/`, bytes. */
  at: number;
  dir: string;
  /** Its name, bytes; with a `/` of a directory; '' is the directory itself, as an object. */
  item: string;
  /** `dir` and `item`: to put them together for each of a thousand takes its time. */
  key: string;
  /** The object that the directory itself was a moment ago. */
  marker?: ListedObject;
}

/**
 * What a directory that cannot be listed may answer: it vanished, it is none, or it is not for this user. Anything else
 * (EIO, EMFILE …) fails the page: keys left out silently would look deleted to whoever synchronises.
 */
const skippable = new Set([
  ...[E.ENOENT, E.ENOTDIR, E.ELOOP, E.EACCES, E.EPERM, E.ENAMETOOLONG, E.EXDEV],
  116, // ESTALE
]);

/** Opens a directory to be listed. @returns negative: the errno of one that cannot be */
export const openDirectory = (at: number, path: string): number => {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;
  const fd = tryOpenat2(at, rawPath(path === '' ? '.' : path), flags, 0, RESOLVE_INSIDE);
  if (fd < 0 && !skippable.has(-fd)) throw errnoError(-fd, 'openat2');
  return fd;
};

/** Opens a directory only for whoever may search it: what is in it could not be looked at. @param path '' or ends in `/` */
export const searched = (path: string): string => `${path}.`;

/** One bad entry never breaks a listing: it is left out. */
export const tolerant = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch (error) {
    if (isErrno(error) && skippable.has(error.errno)) return undefined;
    throw error;
  }
};

/** Whether an entry is an object, or holds any. */
export function counts(bucket: BucketDir, { at, dir, item, marker }: Entry): boolean {
  if (marker) return true;
  if (item.endsWith('/')) return holdsKey(bucket, at, dir, item);
  return !bucket.ground.synced || tolerant(() => isShown(bucket, at, item)) === true;
}

/** An object, or undefined when it is none, or none any more. */
export function load(bucket: BucketDir, entry: Entry): ListedObject | undefined {
  const { at, dir, item, key, marker } = entry;
  if (item === '') return marker ?? tolerant(() => listedMarker(bucket, at, lookForDirectory(at), dir));
  return counts(bucket, entry) ? tolerant(() => listedFile(bucket, at, item, key)) : undefined;
}

/** As `load`, and writes it down. */
export function write(bucket: BucketDir, entry: Entry, out: ElementWriter): true | undefined {
  const { at, item, key } = entry;
  if (item !== '') {
    return counts(bucket, entry) ? tolerant(() => writeFile(bucket, at, item, key, out)) : undefined;
  }
  const marker = load(bucket, entry);
  if (!marker) return undefined;
  out.object(toBytes(marker.key), marker);
  return true;
}

const probeBuffer = Buffer.allocUnsafeSlow(8 << 10);

/**
 * Whether any key lies at or below a directory: looks no further than the first one that comes, and sorts nothing.
 * @param at the directory that it is in, whose key is `above` @param item its name with `/`
 */
function holdsKey(bucket: BucketDir, at: number, above: string, item: string): boolean {
  const directory = above + item;
  // Of a file that is shown only when it is published, its directory does not tell.
  const { synced } = bucket.ground;
  if (!synced && tolerant(() => lookForListed(at, item.slice(0, -1)))) {
    const { file } = recallDirectory() ?? {};
    if (file !== undefined && directory.length + file <= maxKeyBytes) return true;
  }
  const waiting = [directory];
  for (let dir = waiting.pop(); dir !== undefined; dir = waiting.pop()) {
    const fd = openDirectory(bucket.fd, searched(dir));
    if (fd < 0) continue;
    try {
      const look = lookForDirectory(fd);
      let file: string | undefined;
      let looked = false;
      for (let used: number; file === undefined && (used = getdents64(fd, probeBuffer)) > 0; ) {
        const each = (name: string, type: number) => {
          const item = itemOf(fd, name, type);
          if (item === undefined || dir.length + item.length > maxKeyBytes) return;
          if (item.endsWith('/')) waiting.push(dir + item);
          else if (!synced || tolerant(() => isShown(bucket, fd, item))) file = item;
        };
        parseEntries(probeBuffer, used, each, () => file !== undefined);
        if (file !== undefined || looked) continue;
        // Mostly there is a file, and no need to read the record.
        if (listedMarker(bucket, fd, look, dir)) return true;
        looked = true;
      }
      if (file !== undefined) {
        if (!synced) keepDirectory(look, { file: file.length });
        return true;
      }
      if (!looked && listedMarker(bucket, fd, look, dir)) return true;
    } catch (error) {
      if (!isErrno(error) || !skippable.has(error.errno)) throw error;
    } finally {
      close(fd);
    }
  }
  return false;
}
