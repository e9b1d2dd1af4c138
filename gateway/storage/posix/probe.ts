/** What a filesystem offers, found out by trying: `serve` decides by it, `tidegate check` shows it. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  CLOCK_REALTIME_COARSE,
  clockGettime,
  close,
  E,
  errnoName,
  fchmod,
  filesystemName,
  fstat,
  fstatfs,
  futimens,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_WRONLY,
  openat2,
  procPath,
  pwrite,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RESOLVE_INSIDE,
  tryClone,
  tryCopyFileRange,
  tryFgetxattr,
  tryFlock,
  tryFremovexattr,
  tryFsetxattr,
  tryLinkat,
  tryOpenat2,
  tryRenameat2,
  tryStatat,
} from './syscalls.js';

export interface ProbeResult {
  /** Absolute path that was probed. */
  directory: string;
  /** `ext4`, `lustre`, `nfs`, …; a hexadecimal magic number when unknown. */
  filesystem: string;
  space: { totalBytes: number; availableBytes: number };
  who: {
    uid: number;
    gid: number;
    groups: number[];
    /** Effective capabilities, hexadecimal, as /proc shows them. */
    capabilities: string;
    /** Files can be accessed as the buckets' owners (root with CAP_SETUID and CAP_SETGID). */
    canSwitch: boolean;
  };
  /** False: everything below is unknown and reads as "no". `reason` is the errno's name. */
  writable: boolean;
  reason?: string;
  /** The largest value of one user attribute in bytes that was accepted (65536 is Linux's limit); 0: none at all. */
  xattr: { supported: boolean; maxBytes: number };
  openat2: boolean;
  tmpfile: boolean;
  renameNoReplace: boolean;
  renameExchange: boolean;
  hardLinks: boolean;
  /** flock(2) keeps two opens of a file apart. */
  flock: boolean;
  copyFileRange: boolean;
  reflink: boolean;
  caseSensitive: boolean;
  clock: {
    /** The tick of the filesystem's clock, or 1e9: two changes within it, with no look in between, may bear one time. */
    granularityNs: number;
    /** A change after a look always gets a new time (Linux 6.13 and later on ext4, XFS, btrfs, tmpfs). */
    multigrain: boolean;
    /** In what steps an mtime that is set is kept: 1, 100, 1000 or 1e9. */
    mtimeStepNs: number;
  };
}

const nothing = {
  xattr: { supported: false, maxBytes: 0 },
  openat2: false,
  tmpfile: false,
  renameNoReplace: false,
  renameExchange: false,
  hardLinks: false,
  flock: false,
  copyFileRange: false,
  reflink: false,
  caseSensitive: true,
  clock: { granularityNs: 1e9, multigrain: false, mtimeStepNs: 1e9 },
};

/**
 * Tries everything in a directory of its own under `dir`, which it removes again. Takes some 50 ms.
 * Throws the errno error when `dir` cannot even be opened.
 */
export const probe = (dir: string): ProbeResult => {
  const directory = resolve(dir);
  const fd = openat2(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  try {
    const fs = fstatfs(fd);
    const base = {
      directory,
      filesystem: filesystemName(fs.type),
      space: { totalBytes: fs.blocks * fs.blockSize, availableBytes: fs.blocksAvailable * fs.blockSize },
      who: whoAmI(),
    };
    const place = join(directory, `.tidegate-probe-${randomBytes(8).toString('hex')}`);
    try {
      mkdirSync(place, { mode: 0o700 });
    } catch (error) {
      return { ...base, ...nothing, writable: false, reason: (error as NodeJS.ErrnoException).code ?? 'EIO' };
    }
    try {
      return { ...base, ...tryAll(place) };
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  } finally {
    close(fd);
  }
};

export const probeOps = { probe };

const whoAmI = (): ProbeResult['who'] => {
  const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const uid = process.geteuid!();
  const [CAP_SETGID, CAP_SETUID] = [6n, 7n];
  const has = (capability: bigint): boolean => ((BigInt(`0x${capabilities}`) >> capability) & 1n) === 1n;
  return {
    uid,
    gid: process.getegid!(),
    groups: process.getgroups!(),
    capabilities,
    canSwitch: uid === 0 && has(CAP_SETUID) && has(CAP_SETGID),
  };
};

const tryAll = (place: string): Omit<ProbeResult, 'directory' | 'filesystem' | 'space' | 'who'> => {
  const dir = openat2(AT_FDCWD, place, O_RDONLY | O_DIRECTORY);
  let file = -1;
  try {
    file = tryOpenat2(dir, 'a', O_RDWR | O_CREAT | O_EXCL, 0o600);
    if (file < 0) return { ...nothing, writable: false, reason: errnoName(-file) };
    try {
      pwrite(file, Buffer.alloc(4096, 1), 0);
    } catch (error) {
      return { ...nothing, writable: false, reason: (error as NodeJS.ErrnoException).code ?? 'EIO' };
    }
    writeFileSync(join(place, 'b'), 'b');
    return {
      writable: true,
      xattr: tryXattr(file),
      openat2: tryInside(dir),
      tmpfile: tryTmpfile(place, dir),
      hardLinks: tryLinkat(dir, 'a', dir, 'link') === 0,
      renameNoReplace: tryRenameat2(dir, 'a', dir, 'b', RENAME_NOREPLACE) === -E.EEXIST,
      renameExchange: tryRenameat2(dir, 'a', dir, 'b', RENAME_EXCHANGE) === 0,
      flock: tryLocks(dir),
      ...tryCopies(dir, file),
      caseSensitive: tryStatat(dir, 'A', AT_SYMLINK_NOFOLLOW) === undefined,
      clock: tryClock(file),
    };
  } finally {
    if (file >= 0) close(file);
    close(dir);
  }
};

const tryInside = (dir: number): boolean => {
  const fd = tryOpenat2(dir, 'a', O_RDONLY, 0, RESOLVE_INSIDE);
  if (fd >= 0) close(fd);
  const outside = tryOpenat2(dir, '../', O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
  if (outside >= 0) close(outside);
  return fd >= 0 && outside === -E.EXDEV;
};

const tryXattr = (file: number): ProbeResult['xattr'] => {
  const name = 'user.tidegate.probe';
  const into = Buffer.alloc(65_536);
  // Some filesystems accept a value and hand out nothing: only what can be read again counts.
  const fits = (size: number): boolean =>
    tryFsetxattr(file, name, Buffer.alloc(size, 7)) === 0 && tryFgetxattr(file, name, into) === size;
  if (!fits(1)) return { supported: false, maxBytes: 0 };
  let [low, high] = [1, 65_537];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  tryFremovexattr(file, name);
  return { supported: true, maxBytes: low };
};

const tryTmpfile = (place: string, dir: number): boolean => {
  const fd = tryOpenat2(AT_FDCWD, place, O_TMPFILE | O_WRONLY, 0o600);
  if (fd < 0) return false;
  const linked = tryLinkat(AT_FDCWD, procPath(fd), dir, 'tmp', AT_SYMLINK_FOLLOW) === 0;
  close(fd);
  return linked;
};

const tryLocks = (dir: number): boolean => {
  const [first, second] = [openat2(dir, 'b', O_RDWR), openat2(dir, 'b', O_RDWR)];
  try {
    return tryFlock(first) && !tryFlock(second);
  } catch {
    return false;
  } finally {
    close(first);
    close(second);
  }
};

const tryCopies = (dir: number, file: number): { copyFileRange: boolean; reflink: boolean } => {
  const copy = openat2(dir, 'copy', O_RDWR | O_CREAT | O_EXCL, 0o600);
  try {
    return { copyFileRange: tryCopyFileRange(file, 0, copy, 0, 4096) > 0, reflink: tryClone(copy, file) === 0 };
  } finally {
    close(copy);
  }
};

const CLOCK_MS = 50;
const TICKS = 6;

/**
 * Changes a file and looks at its ctime again and again. A multigrain clock gives each change that follows a look its
 * own time; a ticking one repeats a time until the next tick; one of seconds shows no fraction at all.
 */
const tryClock = (file: number): ProbeResult['clock'] => {
  const until = performance.now() + CLOCK_MS;
  const steps: number[] = [];
  let changes = 0;
  let fraction = false;
  fchmod(file, 0o600);
  for (let before = fstat(file).ctimeNs; performance.now() < until && steps.length < TICKS; changes++) {
    fchmod(file, changes % 2 ? 0o600 : 0o640);
    const now = fstat(file).ctimeNs;
    if (now % 1_000_000_000n !== 0n) fraction = true;
    if (now !== before) steps.push(Number(now - before));
    before = now;
  }
  const multigrain = steps.length === TICKS && changes === TICKS;
  // The first step began somewhere within a tick; the others are whole ticks, or several.
  const smallest = Math.min(1e9, ...steps.slice(1));
  const granularity = multigrain ? kernelTick() : fraction && smallest > 0 ? smallest : 1e9;
  futimens(file, 1_600_000_000_123_456_789n);
  const kept = fstat(file).mtimeNs % 1_000_000_000n;
  const mtimeStepNs = kept === 123_456_789n ? 1 : kept === 123_456_700n ? 100 : kept === 123_456_000n ? 1000 : 1e9;
  return { granularityNs: granularity, multigrain, mtimeStepNs };
};

/** The step of the clock that multigrain filesystems use while nobody looks: 1 to 10 ms. */
const kernelTick = (): number => {
  const next = (now: bigint): bigint => {
    for (;;) {
      const time = clockGettime(CLOCK_REALTIME_COARSE);
      if (time !== now) return time;
    }
  };
  const first = next(clockGettime(CLOCK_REALTIME_COARSE));
  return Number(next(first) - first);
};
