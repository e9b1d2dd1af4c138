/**
 * The keys of a bucket in byte order, straight from its directories: what `ListObjects` pages over. There is no index that
 * could be stale. Runs within one worker thread, synchronously.
 *
 * A page costs the same wherever it begins: a seek opens the directories on its way by name, without reading them, and
 * names are read (or found sorted already, `names.ts`) only where the page runs through.
 */

import { maxKeyBytes } from '../keys.js';
import type { KeyCursor } from '../listing.js';
import { type Entry, openDirectory, searched, tolerant } from './entries.js';
import { listedMarker, lookForDirectory } from './listed.js';
import { isSegment, type Names, namesFrom, stretchBytes } from './names.js';
import type { BucketDir } from './paths.js';
import { close, E, errnoError, type Stat } from './syscalls.js';

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

/** A cursor that only names: whether a file is (still) an object, or a directory holds one, is another's to look at. */
export interface Walk extends Omit<KeyCursor<unknown>, 'load' | 'counts'> {
  /** What `next` came to last. */
  here(): Entry;
  close(): void;
}

/**
 * A cursor over the keys below `base`, a directory (`''` or `a/b/`, bytes).
 * @param shallow for the delimiter `/`: a directory in `base` gives one key, its own name with `/`, whatever is in it
 */
export function walk(bucket: BucketDir, base: string, shallow: boolean, stretch = stretchBytes): Walk {
  const levels: Level[] = [];
  /** Where the walk was told to go: directories entered on the way begin there. */
  let target = { key: '', inclusive: true };
  let here: Entry | undefined;

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

  const markerAt = (level: Level): Entry | undefined => {
    if (level.fd < 0) return undefined;
    const look = lookForDirectory(level.fd);
    if (!level.read) level.stat = look.stat;
    const marker = listedMarker(bucket, level.fd, look, level.dir);
    return marker && { at: level.fd, dir: level.dir, item: '', key: level.dir, marker };
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
      here = undefined;
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
          here = wanted(key) ? tolerant(() => markerAt(level)) : undefined;
          if (here) return key;
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
        if (shallow || !item.endsWith('/')) {
          here = { at, dir: level.dir, item, key };
          return key;
        }
        const fd = openDirectory(at, searched(item));
        if (fd < 0) continue;
        enter(key, fd);
        pendingMarker = key;
      }
      return undefined;
    },

    here: () => here!,

    grouped: shallow,

    close() {
      while (levels.length > 0) leave();
    },
  };
}
