/**
 * The keys of a bucket in byte order, straight from its directories: what `ListObjects` pages over. There is no index that
 * could be stale. Runs within one worker thread, synchronously.
 *
 * A page costs the same wherever it begins: a seek opens the directories on its way by name, without reading them, and
 * names are read (or found sorted already, `names.ts`) only where the page runs through.
 */

import type { ElementWriter } from '../elements.js';
import { maxKeyBytes, toBytes } from '../keys.js';
import type { KeyCursor } from '../listing.js';
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
import { isSegment, itemOf, type Names, namesFrom, stretchBytes } from './names.js';
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
  type Stat,
  tryOpenat2,
} from './syscalls.js';

/** One directory on the way from where the walk began down to where it is. */
interface Level {
  /** Key prefix of everything in it: '' or `a/b/`, bytes. */
  dir: string;
  /** -1: closed for the sake of deeper levels, and opened again when the walk comes back. */
  fd: number;
  /** Something was read through `fd` already. */
  read: boolean;
  /** Its status before anything was read. */
  stat?: Stat | undefined;
  /** The items that come next: those >= `from`, or > `from`. */
  from: string;
  exclusive: boolean;
  names: Names | undefined;
  index: number;
  /** There were names before. */
  more: boolean;
}

/** More levels than this are not held open, however deep a tree is. */
const maxOpen = 24;

/** Names held by all levels together, in bytes: what is more is read again when the walk comes back to it. */
const maxHeld = 96 << 20;

/**
 * What a directory that cannot be listed may answer: it vanished, it is none, or it is not for this user. Anything else
 * (EIO, EMFILE …) fails the page: keys left out silently would look deleted to whoever synchronises.
 */
const skippable = new Set([
  ...[E.ENOENT, E.ENOTDIR, E.ELOOP, E.EACCES, E.EPERM, E.ENAMETOOLONG, E.EXDEV],
  116, // ESTALE
]);

const openDirectory = (at: number, path: string): number => {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;
  const fd = tryOpenat2(at, rawPath(path === '' ? '.' : path), flags, 0, RESOLVE_INSIDE);
  if (fd < 0 && !skippable.has(-fd)) throw errnoError(-fd, 'openat2');
  return fd;
};

/** Opens a directory only for whoever may search it: what is in it could not be looked at. @param path ends in `/` */
const searched = (path: string): string => `${path}.`;

/** One bad entry never breaks a listing: it is left out. */
const tolerant = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch (error) {
    if (isErrno(error) && skippable.has(error.errno)) return undefined;
    throw error;
  }
};

export interface Walk extends KeyCursor<ListedObject> {
  /** As `load`, and writes it down. */
  write(out: ElementWriter): true | undefined;
  close(): void;
}

/**
 * A cursor over the keys below `base`, a directory (`''` or `a/b/`, bytes).
 * @param shallow for the delimiter `/`: a directory in `base` gives one key, its own name with `/`, if any key is in it;
 *   it is not sorted for that, nor read to its end
 */
export function walk(bucket: BucketDir, base: string, shallow: boolean, stretch = stretchBytes): Walk {
  const levels: Level[] = [];
  /** Where the walk was told to go: directories entered on the way begin there. */
  let target = { key: '', inclusive: true };
  /** The key that `next` gave last: what is there, or where to look. */
  let current: ListedObject | { at: number; item: string; key: string } | undefined;

  const enter = (dir: string, fd: number): void => {
    const level: Level = { dir, fd, read: false, from: '', exclusive: false, names: undefined, index: 0, more: false };
    levels.push(level);
    if (target.key.startsWith(dir)) aim(level, target.key.slice(dir.length), target.inclusive);
    const far = levels[levels.length - maxOpen - 1];
    if (far && far.fd >= 0) {
      close(far.fd);
      far.fd = -1;
    }
    let held = 0;
    for (const { names } of levels) held += names?.items.bytes ?? 0;
    for (const above of levels) {
      if (held <= maxHeld) break;
      held -= above.names?.items.bytes ?? 0;
      above.names = undefined;
    }
  };

  /** Next is the first item that holds a key from `rest` on. */
  const aim = (level: Level, rest: string, inclusive: boolean): void => {
    const slash = rest.indexOf('/');
    // `x/y` lies in the item `x/`, unless that comes to be passed by because it does not exist.
    level.from = slash < 0 ? rest : rest.slice(0, slash + 1);
    level.exclusive = slash < 0 && !inclusive;
    const items = level.names?.items;
    if (items && level.index < items.count) {
      const ahead = items.compare(level.index, level.from);
      if (ahead > 0 || (ahead === 0 && !level.exclusive)) return;
    }
    level.index = items ? items.lowerBound(level.from, level.index) : 0;
  };

  const before = (level: Level, item: string) => item < level.from || (level.exclusive && item === level.from);

  const leave = (): void => {
    const level = levels.pop()!;
    if (level.fd >= 0) close(level.fd);
  };

  /** The next item of a level, which is then behind it. */
  const advance = (level: Level): string | undefined => {
    for (;;) {
      const { names } = level;
      if (names) {
        while (level.index < names.items.count) {
          const item = names.items.at(level.index++);
          if (before(level, item)) continue;
          level.from = item;
          level.exclusive = true;
          return item;
        }
        if (names.complete) return undefined;
      }
      if (!load(level)) return undefined;
    }
  };

  /** Gets the names from `from` on; false when the directory has gone. */
  const load = (level: Level): boolean => {
    if (level.fd < 0 || level.read) {
      const again = level.fd < 0 ? openDirectory(bucket.fd, level.dir.slice(0, -1)) : openDirectory(level.fd, '');
      if (level.fd >= 0) close(level.fd);
      [level.fd, level.stat] = [again, undefined];
      if (again < 0) return false;
    }
    level.names = tolerant(() => namesFrom(level.fd, level.from, stretch, level.stat, level.more));
    level.more = true;
    level.stat = undefined;
    level.read = true;
    if (!level.names) return false;
    level.index = level.names.items.lowerBound(level.from, 0);
    return true;
  };

  /** The descriptor of a level, opened again if need be. */
  const opened = (level: Level): number => {
    if (level.fd < 0) {
      level.fd = openDirectory(bucket.fd, level.dir.slice(0, -1));
      // It may be another directory by now.
      [level.read, level.stat] = [false, undefined];
    }
    return level.fd;
  };

  const markerAt = (level: Level, key: string): ListedObject | undefined => {
    if (level.fd < 0) return undefined;
    const look = lookForDirectory(level.fd);
    if (!level.read) level.stat = look.stat;
    return listedMarker(bucket, level.fd, look, key);
  };

  /** Whether the marker of a directory is not behind the target. */
  const wanted = (key: string) => !target.key.startsWith(key) || (target.key === key && target.inclusive);

  const begin = (): void => {
    const fd = openDirectory(bucket.fd, base === '' ? '' : base.slice(0, -1));
    // The bucket itself must be there; a prefix need not be. Neither may be closed to the one who asks: as with find(1),
    // what cannot be looked into is left out below, but where one begins it is an error.
    const closed = fd === -E.EACCES || fd === -E.EPERM;
    if (fd < 0 && (base === '' || closed)) throw errnoError(-fd, 'openat2');
    if (fd >= 0) enter(base, fd);
  };
  let begun = false;

  /** Goes down to the directory of the target without reading what is on the way. */
  const descend = (): void => {
    for (let level = levels.at(-1); level && !shallow; level = levels.at(-1)) {
      if (!target.key.startsWith(level.dir)) return;
      const rest = target.key.slice(level.dir.length);
      const slash = rest.indexOf('/');
      if (slash < 0 || !isSegment(rest.slice(0, slash))) return;
      const item = rest.slice(0, slash + 1);
      const at = opened(level);
      const fd = at < 0 ? at : openDirectory(at, item.slice(0, -1));
      if (fd < 0) return;
      level.from = item;
      level.exclusive = true;
      enter(level.dir + item, fd);
      pendingMarker = level.dir + item;
    }
  };
  /** A directory entered whose own key has not been looked at yet. */
  let pendingMarker: string | undefined;

  return {
    seek(key, inclusive) {
      target = { key, inclusive };
      current = undefined;
      pendingMarker = undefined;
      if (!begun) {
        begun = true;
        // Otherwise it lies behind all that `base` holds.
        if (key.startsWith(base) || key < base) begin();
        // A prefix `a/` finds the marker of `a/` itself.
        if (levels.length > 0 && base !== '') pendingMarker = base;
      } else {
        while (levels.length > 0 && !key.startsWith(levels.at(-1)!.dir)) leave();
        const level = levels.at(-1);
        if (level) aim(level, key.slice(level.dir.length), inclusive);
      }
      descend();
    },

    next() {
      for (let level = levels.at(-1); level; level = levels.at(-1)) {
        if (pendingMarker !== undefined) {
          const key = pendingMarker;
          pendingMarker = undefined;
          const marker = wanted(key) ? tolerant(() => markerAt(level, key)) : undefined;
          if (marker) {
            current = marker;
            return key;
          }
        }
        const item = advance(level);
        if (item === undefined) {
          leave();
          continue;
        }
        const key = level.dir + item;
        // S3 has no longer keys: nobody could ask for what is listed beyond, nor delete it.
        if (key.length > maxKeyBytes) continue;
        const at = opened(level);
        if (at < 0) {
          leave();
          continue;
        }
        if (!item.endsWith('/')) {
          if (bucket.ground.synced && !tolerant(() => isShown(bucket, at, item))) continue;
          current = { at, item, key };
          return key;
        }
        if (shallow) {
          if (holdsKey(bucket, at, item, key)) {
            current = undefined;
            return key;
          }
          continue;
        }
        const fd = openDirectory(at, searched(item));
        if (fd < 0) continue;
        enter(key, fd);
        pendingMarker = key;
      }
      return undefined;
    },

    load() {
      if (!current || !('item' in current)) return current;
      const { at, item, key } = current;
      return tolerant(() => listedFile(bucket, at, item, key));
    },

    write(out) {
      if (!current) return undefined;
      if ('item' in current) {
        const { at, item, key } = current;
        return tolerant(() => writeFile(bucket, at, item, key, out));
      }
      out.object(toBytes(current.key), current);
      return true;
    },

    grouped: shallow,

    close() {
      while (levels.length > 0) leave();
    },
  };
}

const probeBuffer = Buffer.allocUnsafeSlow(8 << 10);

/**
 * Whether any key lies at or below a directory: looks no further than the first one that comes.
 * @param at the directory that it is in @param item its name with `/` @param directory its whole key, `a/b/`
 */
function holdsKey(bucket: BucketDir, at: number, item: string, directory: string): boolean {
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
