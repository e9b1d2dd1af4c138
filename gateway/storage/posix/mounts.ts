/**
 * Which filesystems lie under a directory, without touching any: a look at one that hangs would hang as well. The kernel
 * tells in /proc/self/mountinfo (proc(5)) what is mounted where, from its own memory.
 */
import { readFileSync } from 'node:fs';

export interface Mount {
  id: string;
  parent: string;
  /** `major:minor`, the same wherever the filesystem is mounted. */
  device: string;
  point: string;
  /** `ext4`, `nfs4`, `fuse.glusterfs` … */
  type: string;
}

/** The filesystems of a directory: its own, and those that are mounted below it. */
export interface Place {
  /** Names the filesystems: directories with the same are on the same. */
  key: string;
  /** `Mount.type` of each, the directory's own first. */
  types: readonly string[];
}

export interface Mounts {
  /** @param path absolute, and without symbolic links: none is followed */
  at(path: string): Place;
  /** The filesystem of the directory alone. */
  own(path: string): Place;
}

const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The lines of mountinfo that are as they should be. */
export const parseMounts = (text: string): Mount[] =>
  text.split('\n').flatMap((line) => {
    const [id, parent, device, , point, ...rest] = line.split(' ');
    const type = rest[rest.indexOf('-') + 1];
    return id && parent && device && point && type ? [{ id, parent, device, point: unescaped(point), type }] : [];
  });

const contains = (outer: string, inner: string): boolean =>
  inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);

/** As the kernel walks: from each filesystem into the first that is mounted on the way. What is mounted over is not seen. */
const walk = (mounts: readonly Mount[], path: string): Mount | undefined => {
  const ids = new Set(mounts.map(({ id }) => id));
  let at: Mount | undefined;
  for (;;) {
    const next = mounts
      .filter(({ id, parent }) => (at ? parent === at.id : !ids.has(parent) || parent === id))
      .filter(({ id, point }) => id !== at?.id && contains(point, path))
      .sort((a, b) => a.point.length - b.point.length)[0];
    if (!next) return at;
    at = next;
  }
};

/** So long, in milliseconds, what was read is taken for true. */
const FRESH_MS = 1_000;

const readMountinfo = (): string => {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return ''; // without /proc all is one
  }
};

export const createMounts = (read: () => string = readMountinfo, freshMs = FRESH_MS): Mounts => {
  let readAt = Number.NEGATIVE_INFINITY;
  let text = '';
  let mounts: Mount[] = [];
  const known = new Map<string, { own: Place; all: Place }>();

  const refresh = (): void => {
    const now = performance.now();
    if (now - readAt < freshMs) return;
    readAt = now;
    const news = read();
    if (news === text) return;
    text = news;
    mounts = parseMounts(text);
    known.clear();
  };

  const look = (path: string): { own: Place; all: Place } => {
    const mine = walk(mounts, path);
    if (!mine) return { own: nowhere, all: nowhere };
    const below = mounts.filter(
      (mount) => mount.point !== path && contains(path, mount.point) && walk(mounts, mount.point) === mount,
    );
    const others = below.filter(({ device }, i) => below.findIndex((each) => each.device === device) === i);
    const all = [mine, ...others.filter(({ device }) => device !== mine.device)];
    return {
      own: { key: mine.device, types: [mine.type] },
      all: {
        key: [
          mine.device,
          ...all
            .slice(1)
            .map(({ device }) => device)
            .sort(),
        ].join('+'),
        types: all.map(({ type }) => type),
      },
    };
  };

  const find = (path: string): { own: Place; all: Place } => {
    refresh();
    let found = known.get(path);
    if (!found) {
      if (known.size >= MOST) known.clear();
      known.set(path, (found = look(path)));
    }
    return found;
  };

  return { at: (path) => find(path).all, own: (path) => find(path).own };
};

const nowhere: Place = { key: '', types: [] };
/** Paths that are remembered. */
const MOST = 10_000;

export function createLocalDevices(read: () => string = readMountinfo, freshMs = FRESH_MS): (dev: number) => boolean {
  let readAt = Number.NEGATIVE_INFINITY;
  let text = '';
  let devices = new Set<number>();
  const numberOf = ({ device }: Mount) => {
    const [major, minor] = device.split(':').map(Number);
    return major! * 0x100000 + minor!;
  };
  return (dev) => {
    const now = performance.now();
    if (now - readAt >= freshMs) {
      readAt = now;
      const news = read();
      if (news !== text)
        devices = new Set(parseMounts(news).flatMap((each) => (isLocal(each.type) ? numberOf(each) : [])));
      text = news;
    }
    return devices.has(dev);
  };
}

/** Types whose calls wait for another machine, or for a program: threads of theirs sleep more than they work. */
const remote =
  /^(nfs4?|lustre|gpfs|ceph|cifs|smb3?|glusterfs|beegfs|9p|afs|orangefs|pvfs2|wekafs|panfs|autofs|virtiofs|fuse(\..*)?)$/;

export const isRemote = (type: string): boolean => remote.test(type);

/** Types whose names and inodes the kernel keeps in its own memory, and whose attributes come with them from a local disk. */
const local = /^(ext[234]|xfs|btrfs|tmpfs)$/;

export const isLocal = (type: string): boolean => local.test(type);

/**
 * Whether a status is of such a filesystem: the kernel knows all its changes, and stamps them by its own clock. Others (btrfs
 * too, whose subvolumes have numbers of their own) may show for a while what they remember. No number tells by itself: Lustre's
 * looks like a disk's.
 * @param dev `Stat.dev`
 */
export const isOfLocal = createLocalDevices();
