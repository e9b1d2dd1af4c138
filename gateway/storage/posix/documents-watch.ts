/**
 * Tells at once, on the thread that asks, that a document may have changed: what was read then holds without another look.
 * On a filesystem of this machine alone the kernel queues an event before the call that made the change returns
 * (inotify(7)), whichever process made it. Files on a server change without one: there nothing is watched.
 */
import {
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
  inotifyInit,
  parseEvents,
  readAvailable,
  removeWatch,
  tryWatchDirectory,
} from './inotify.js';
import { AT_FDCWD, close, filesystemName, fstatfs, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, tryOpenat2 } from './syscalls.js';

export interface DocumentsWatch {
  /** Whether changes of the kind's documents are told from now on: false where they are not, or there are none yet. */
  begin(kind: string): boolean;
  /** Tells of everything that changed until this turn of the loop began, whose requests had all come by then. */
  catchUp(): void;
}

/** @param id undefined: any of the kind */
type Changed = (kind: string, id: string | undefined) => void;

interface Listener {
  kind: string;
  changed: Changed;
  ended: () => void;
}

/** Nobody but this kernel writes to these. `ext4` is also what `filesystemName` calls the older two. */
const local = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'zfs', 'tmpfs', 'f2fs', 'bcachefs']);

const CHANGES = IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
const ENDS = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

/** One for the process, as a user has 128 of them; -1 when he has none left. */
let inotify: number | undefined;
const listeners = new Map<number, Listener[]>();
const events = Buffer.alloc(64 * 1024);

const instance = (): number => {
  try {
    inotify ??= inotifyInit();
  } catch {
    inotify = -1;
  }
  return inotify;
};

const hear = (wd: number, mask: number, name: string): void => {
  const concerned = mask & IN_Q_OVERFLOW ? [...listeners.values()].flat() : (listeners.get(wd) ?? []);
  const id = name.endsWith('.json') ? name.slice(0, -'.json'.length) : undefined;
  // Files that are written aside are no documents yet.
  if (name !== '' && id === undefined) return;
  for (const { kind, changed } of concerned) changed(kind, id);
  if (!(mask & ENDS)) return;
  listeners.delete(wd);
  for (const { ended } of concerned) ended();
  // A directory that has moved away is still watched.
  if (mask & IN_MOVE_SELF) removeWatch(instance(), wd);
};

/** All that had changed when this turn of the loop began has been told. */
let told = false;
const nextTurn = (): void => {
  told = false;
};

const catchUp = (): void => {
  if (listeners.size === 0 || told) return;
  told = true;
  // Behind all that goes on in this turn without waiting: a request looks at three documents, and sixteen go on together.
  process.nextTick(nextTurn);
  for (let got: number; (got = readAvailable(instance(), events)) > 0; ) {
    parseEvents(events, got, (wd, mask, _cookie, name) => hear(wd, mask, name));
  }
};

/** Watches a directory, where that tells everything. Returns its watch descriptor, or -1. */
const watchDirectory = (path: string): number => {
  const fd = tryOpenat2(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd < 0) return -1;
  try {
    // Mounted over what was there a moment ago.
    if (!local.has(filesystemName(fstatfs(fd).type)) || instance() < 0) return -1;
    return tryWatchDirectory(instance(), fd, CHANGES);
  } finally {
    close(fd);
  }
};

/**
 * Watches the documents of an area, `<area>/<kind>/<id>.json`, each kind from its `begin` on.
 * @param types of the filesystems that the area lies on, as `Mounts` tells them: on others than local ones nothing is touched,
 *   as that takes its time, or hangs, and with it whoever waits for this thread
 * @param changed called from `begin` and `catchUp`
 */
export const watchDocuments = (area: string, types: () => readonly string[], changed: Changed): DocumentsWatch => {
  const watched = new Set<string>();
  return {
    catchUp,
    begin(kind) {
      catchUp();
      if (watched.has(kind)) return true;
      const found = types();
      if (found.length === 0 || !found.every((type) => local.has(type))) return false;
      const wd = watchDirectory(`${area}/${kind}`);
      if (wd < 0) return false;
      watched.add(kind);
      const listener: Listener = { kind, changed, ended: () => watched.delete(kind) };
      listeners.set(wd, [...(listeners.get(wd) ?? []), listener]);
      return true;
    },
  };
};
