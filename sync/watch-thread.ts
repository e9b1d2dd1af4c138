/**
 * The thread of `watch.ts`: waits in ppoll for one inotify instance, keeps the tree of watched directories, and sends
 * gathered hints. It never returns to its event loop while it lives; messages are fetched when it is woken.
 *
 * A directory is watched first and read then, so what appears in between is told by an event or found by reading.
 * What the events say is never trusted further than "look": a directory is opened by the path it has in the tree, and
 * the watch descriptor of what is found there says which directory it is.
 */
import { readFileSync } from 'node:fs';
import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import { reservedSegment } from '../gateway/storage/keys.js';
import * as ino from '../gateway/storage/posix/inotify.js';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  DT_DIR,
  DT_UNKNOWN,
  E,
  errnoName,
  fstat,
  getdents64,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  parseEntries,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  rawPath,
  tryOpenat2,
  tryStatat,
} from '../gateway/storage/posix/syscalls.js';
import { createHintSender } from './watch-hints.js';
import type { WatchNews, WatchOrder, WatchThreadData } from './watch-messages.js';
import { newNode, newRoot, pathOf, type WatchNode, type WatchRoot, watchTree } from './watch-tree.js';

const MASK =
  ino.IN_CREATE |
  ino.IN_DELETE |
  ino.IN_MOVED_FROM |
  ino.IN_MOVED_TO |
  ino.IN_CLOSE_WRITE |
  ino.IN_ATTRIB |
  ino.IN_MODIFY |
  ino.IN_DELETE_SELF |
  ino.IN_MOVE_SELF |
  ino.IN_EXCL_UNLINK;

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;
const NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/** What is no directory that can be watched: the scans look at what can be read without it. */
const unwatchable = new Set(
  [E.ENOENT, E.ENOTDIR, E.ELOOP, E.EACCES, E.EPERM, E.ENAMETOOLONG, E.EXDEV].map((errno) => -errno),
);

/** What comes within so many milliseconds is read at once: to be woken for each costs more than they do. */
const GATHER_MS = 5;
/** Wakes at least so often: `worker.terminate()` takes effect only between two waits. */
const LONGEST_WAIT_MS = 500;
/** Directories read between two looks at the queue of events, which holds 16,384 by default. */
const READ_AT_ONCE = 64;
/** How often a bucket without enough watches tries again. */
const FULL_RETRY_MS = 60_000;

/** Directories that are to be watched and read for one reason; `done` when the last of them is. */
interface Job {
  left: number;
  done: () => void;
}

/** A directory to be watched and read; without a parent the bucket's own. */
interface Visit {
  root: WatchRoot;
  parent: WatchNode | undefined;
  name: string;
  job: Job;
}

function run({ port, bell, taken, debounceMs, modifyMs, checkMs }: WatchThreadData, inotify: number): void {
  const send = (news: WatchNews): void => port.postMessage(news);
  const tree = watchTree(inotify);
  const roots = new Map<number, WatchRoot>();
  const visits: Visit[] = [];
  /** Renamed directories whose new place is not known yet, by inotify's cookie. */
  const moving = new Map<number, WatchNode>();
  const hints = createHintSender({ send, taken, debounceMs, modifyMs, roots });
  const { tell, tellLater } = hints;

  // ---- walking ---------------------------------------------------------------------------------------------------

  const visit = (root: WatchRoot, parent: WatchNode | undefined, name: string, job: Job): void => {
    job.left++;
    visits.push({ root, parent, name, job });
  };

  const walk = (root: WatchRoot, parent: WatchNode | undefined, name: string, done: () => void): void =>
    visit(root, parent, name, { left: 0, done });

  /** Walks everything once more, and tells then: before, a look would come too early for what is not watched yet. */
  const rewalk = (root: WatchRoot, why: string): void => {
    if (root.rewalk) {
      root.rewalk.again = why;
      return;
    }
    root.rewalk = { why };
    root.full = false;
    walk(root, undefined, '', () => {
      const again = root.rewalk?.again;
      root.rewalk = undefined;
      // Nothing new where nothing could be watched, or watches are still missing and that was the reason.
      if (root.found && !(root.full && why === fullWhy)) send({ lost: root.id, dir: '', why });
      if (again !== undefined) rewalk(root, again);
    });
  };

  const fullWhy = 'directories could not be watched before';

  const noWatches = (root: WatchRoot): void => {
    root.full = true;
    if (root.fullTold) return;
    root.fullTold = true;
    const limit = readFileSync('/proc/sys/fs/inotify/max_user_watches', 'latin1').trim();
    const why = `fs.inotify.max_user_watches (${limit}) is reached: some directories are not watched, only scanned`;
    send({ lost: root.id, dir: '', why });
  };

  const dirents = Buffer.allocUnsafe(65_536);

  /** Subdirectories (and what may be one) of an open directory. */
  const subdirectories = (fd: number): string[] => {
    const names: string[] = [];
    const skip = (start: number): boolean => {
      const type = dirents[start - 1]!;
      return type !== DT_DIR && type !== DT_UNKNOWN;
    };
    for (let used: number; (used = getdents64(fd, dirents)) > 0; ) {
      parseEntries(dirents, used, (name) => name !== reservedSegment && names.push(name), skip);
    }
    return names;
  };

  const look = ({ root, parent, name, job }: Visit): void => {
    const above = parent ? pathOf(parent) : '';
    // Its bucket is gone, or a directory above it is on its way to another place: it is walked from there.
    if (above === undefined || roots.get(root.id) !== root) return;
    const dir = parent ? `${above}${name}/` : '';
    const path = Buffer.concat([root.path, rawPath(dir && `/${dir.slice(0, -1)}`)]);
    const fd = tryOpenat2(AT_FDCWD, path, OPEN, 0, NO_LINKS);
    if (fd < 0) {
      if (!parent) rootGone(root, `the bucket's directory cannot be opened (${errnoName(-fd)})`);
      else if (!unwatchable.has(fd)) send({ lost: root.id, dir, why: `cannot be opened (${errnoName(-fd)})` });
      return;
    }
    try {
      const wd = ino.tryWatchDirectory(inotify, fd, MASK);
      if (wd === -E.ENOSPC) noWatches(root);
      if (wd < 0) {
        if (wd !== -E.ENOSPC && !unwatchable.has(wd))
          send({ lost: root.id, dir, why: `cannot be watched (${errnoName(-wd)})` });
        return;
      }
      const node = parent ? tree.place(parent, name, wd) : tree.placeRoot(root, wd);
      if (!node) return;
      if (!parent) {
        const { dev, ino } = fstat(fd);
        root.found = { dev, ino };
      }
      const names = subdirectories(fd);
      if (node.children) {
        const standing = new Set(names);
        for (const child of [...node.children.values()]) if (!standing.has(child.name)) tree.detach(child);
      }
      for (const child of names) visit(root, node, child, job);
    } catch (error) {
      // Removed while it was read, or a filesystem that fails.
      send({ lost: root.id, dir, why: String(error) });
    } finally {
      close(fd);
    }
  };

  const walkSome = (): void => {
    for (let i = 0; i < READ_AT_ONCE; i++) {
      const next = visits.pop();
      if (!next) return;
      look(next);
      if (--next.job.left === 0) next.job.done();
    }
  };

  // ---- buckets ---------------------------------------------------------------------------------------------------

  const rootGone = (root: WatchRoot, why: string): void => {
    tree.drop(root.node);
    root.node = newNode(root, '');
    // Told once, not at every attempt.
    if (root.found || !root.ready) send({ lost: root.id, dir: '', why });
    delete root.found;
  };

  const check = (root: WatchRoot, now: number): void => {
    root.checkAt = now + (root.full ? FULL_RETRY_MS : checkMs);
    if (root.rewalk) return;
    if (root.full) {
      rewalk(root, fullWhy);
      return;
    }
    // The path may lead elsewhere without an event, when a directory above the bucket was renamed.
    let stat: ReturnType<typeof tryStatat>;
    try {
      stat = tryStatat(AT_FDCWD, root.path, AT_SYMLINK_NOFOLLOW);
    } catch {
      return;
    }
    const same = stat !== undefined && stat.ino === root.found?.ino && stat.dev === root.found.dev;
    if (same) return;
    if (root.found) rootGone(root, "another directory is in the place of the bucket's");
    if (stat) rewalk(root, "the bucket's directory has come back");
  };

  const obey = (order: WatchOrder): boolean => {
    if (order === 'stop') return false;
    if ('add' in order) {
      const root = newRoot(order.add, order.path, performance.now() + checkMs);
      roots.set(root.id, root);
      walk(root, undefined, '', () => {
        root.ready = true;
        send({ ready: root.id });
      });
    } else {
      const root = roots.get(order.remove);
      if (root) tree.drop(root.node);
      roots.delete(order.remove);
    }
    return true;
  };

  // ---- events ----------------------------------------------------------------------------------------------------

  const directoryEvent = (node: WatchNode, mask: number, cookie: number, name: string): void => {
    const child = node.children?.get(name);
    if (mask & ino.IN_ATTRIB) {
      tell(node, name);
      // Perhaps it can be read by now.
      if (!child || child.wd === 0) walk(node.root, node, name, () => tell(node, name, true));
      return;
    }
    if (mask & (ino.IN_DELETE | ino.IN_MOVED_FROM)) {
      if (child) {
        tree.detach(child);
        if (mask & ino.IN_MOVED_FROM) moving.set(cookie, child);
      }
      tell(node, name, true);
      return;
    }
    if (mask & ino.IN_MOVED_TO) {
      const moved = moving.get(cookie);
      moving.delete(cookie);
      if (moved && moved.parent === undefined && moved.root === node.root) {
        const why = 'a directory was moved into one that was known to be in it';
        if (!tree.attach(moved, node, name)) rewalk(node.root, why);
      }
    }
    // Created or moved in: told when all below it is watched. Of a tree that only moved, too: it may have been walked half.
    walk(node.root, node, name, () => tell(node, name, true));
  };

  const event = (wd: number, mask: number, cookie: number, name: string): void => {
    if (mask & ino.IN_Q_OVERFLOW) {
      const why = 'the queue of inotify overflowed (fs.inotify.max_queued_events)';
      for (const root of roots.values()) rewalk(root, why);
      return;
    }
    if (mask & ino.IN_IGNORED) {
      const own = [...tree.nodesOf(wd)].filter((node) => node === node.root.node);
      tree.ended(wd);
      for (const { root } of own) rootGone(root, "the bucket's directory was removed");
      return;
    }
    for (const node of tree.nodesOf(wd)) {
      if (mask & ino.IN_UNMOUNT) {
        send({ lost: node.root.id, dir: pathOf(node) ?? '', why: 'a filesystem was unmounted' });
      } else if (name === '') {
        const moved = mask & ino.IN_MOVE_SELF && node === node.root.node;
        if (moved) rootGone(node.root, "the bucket's directory was moved");
      } else if (name !== reservedSegment) {
        if (mask & ino.IN_ISDIR) directoryEvent(node, mask, cookie, name);
        else if (mask & ~ino.IN_MODIFY) tell(node, name);
        else tellLater(node, name);
      }
    }
  };

  const events = Buffer.allocUnsafe(65_536);
  const readEvents = (): boolean => {
    const used = ino.readAvailable(inotify, events);
    ino.parseEvents(events, used, event);
    return used > 0;
  };

  const rung = Buffer.alloc(8);
  for (let gathering = false; ; ) {
    while (ino.readAvailable(bell, rung) > 0);
    for (let got: { message: WatchOrder } | undefined; (got = receiveMessageOnPort(port)); ) {
      if (!obey(got.message)) return;
    }
    const more = readEvents();
    if (!more) walkSome();
    const now = performance.now();
    if (tree.waiting) tree.expire(now);
    if (!more && moving.size > 0) {
      for (const [cookie, node] of moving) if (node.parent || node.wd === 0) moving.delete(cookie);
    }
    for (const root of roots.values()) if (root.ready && root.checkAt <= now) check(root, now);
    hints.giveDue(now);
    gathering ||= more;
    if (more || visits.length > 0) continue;
    const due = hints.due();
    // Due already, but the owner is behind: it rings the bell when it has taken a batch.
    const wait = due > now ? due - now : LONGEST_WAIT_MS;
    if (gathering) ino.waitReadable([bell], Math.min(wait, GATHER_MS));
    else ino.waitReadable([inotify, bell], Math.min(wait, LONGEST_WAIT_MS));
    gathering = false;
  }
}

const data = workerData as WatchThreadData;
let inotify: number | undefined;
try {
  inotify = ino.inotifyInit();
} catch (error) {
  const failed = `inotify is not to be had (${String(error)}; fs.inotify.max_user_instances may be reached)`;
  data.port.postMessage({ failed } satisfies WatchNews);
}
if (inotify !== undefined) {
  try {
    run(data, inotify);
  } finally {
    close(inotify);
  }
}
data.port.close();
