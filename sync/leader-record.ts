/**
 * The lease on the disk (`leader.ts` says what it means): the directory `leader` with its one file, named by the epoch. Each
 * call is synchronous, opens by name, and leaves nothing open.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  close,
  E,
  errnoError,
  fstat,
  fsync,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  openat2,
  pread,
  pwrite,
  readEntries,
  tryOpenat2,
  tryRenameat2,
  tryUnlinkat,
} from '../gateway/storage/posix/syscalls.js';

/** As others see it. */
export interface Leader {
  /** Grows with each leadership, from 1. */
  epoch: number;
  host: string;
  pid: number;
  /** ISO 8601, by its own clock, as `renewed`. */
  since: string;
  renewed: string;
  lock: 'flock' | 'none';
}

/** What the file of an epoch holds. */
export interface LeaderRecord extends Leader {
  /** Of this leadership alone. */
  token: string;
  /** The kernel and the mount it works through: where both are ours, flock is one and the same for both. */
  place: string;
  beat: number;
  /** It has gone of its own accord. */
  released?: true;
}

/** Padded to this size, so that a renewal never needs space. */
const RECORD_BYTES = 1024;
const DIR = 'leader';

const serialize = (record: LeaderRecord): Buffer => Buffer.from(`${JSON.stringify(record).padEnd(RECORD_BYTES - 1)}\n`);

const parse = (bytes: string, epoch: number): LeaderRecord | undefined => {
  try {
    const record = JSON.parse(bytes) as LeaderRecord;
    // Of an older epoch: the successor has not written its own yet.
    return record?.epoch === epoch && typeof record.token === 'string' ? record : undefined;
  } catch {
    return undefined;
  }
};

/** One look at it. */
export interface Seen {
  epoch: number;
  /** Another for each beat. */
  bytes: string;
  record: LeaderRecord | undefined;
}

/** What the file of this epoch says; undefined when the epoch is over. Opened by name: NFS shows fresh bytes only so. */
export const readEpoch = (directory: string, epoch: number): Seen | undefined => {
  const fd = tryOpenat2(AT_FDCWD, `${directory}/${DIR}/${epoch}`, O_RDONLY | O_NOFOLLOW);
  if (fd === -E.ENOENT || fd === -E.ESTALE) return undefined;
  if (fd < 0) throw errnoError(-fd, 'open');
  try {
    const into = Buffer.alloc(4 * RECORD_BYTES);
    const text = into.toString('utf8', 0, pread(fd, into, 0));
    // With its time: a client may show old pages of a file whose new status it knows.
    return { epoch, bytes: `${fstat(fd).mtimeNs} ${text}`, record: parse(text, epoch) };
  } finally {
    close(fd);
  }
};

/** False when the epoch is over. */
export const writeEpoch = (directory: string, record: LeaderRecord): boolean => {
  // Without O_CREAT, and not by a rename: the name of an epoch that is over must not come back.
  const fd = tryOpenat2(AT_FDCWD, `${directory}/${DIR}/${record.epoch}`, O_WRONLY | O_NOFOLLOW);
  if (fd === -E.ENOENT || fd === -E.ESTALE) return false;
  if (fd < 0) throw errnoError(-fd, 'open');
  try {
    // No fsync: closing is what shows it to other clients (NFS, write-behind), and a lost beat is no loss.
    pwrite(fd, serialize(record), 0);
    return true;
  } finally {
    close(fd);
  }
};

/** For others to lead at once. Never throws. */
export const giveUp = (directory: string, record: LeaderRecord): void => {
  try {
    writeEpoch(directory, { ...record, released: true });
  } catch {
    // Then others wait for it as for one that died.
  }
};

/** The epoch that is now; undefined where nobody has led yet. */
export const readCurrent = (directory: string): Seen | undefined => {
  const fd = tryOpenat2(AT_FDCWD, `${directory}/${DIR}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd === -E.ENOENT) return undefined;
  if (fd < 0) throw errnoError(-fd, 'open');
  let epochs: number[];
  try {
    epochs = readEntries(fd).flatMap(({ name }) => (/^\d{1,15}$/.test(name) ? [Number(name)] : []));
  } finally {
    close(fd);
  }
  return epochs.length === 0 ? undefined : readEpoch(directory, Math.max(...epochs));
};

/** Makes `leader/0`. The directory gets its name with the file in it, so nobody ever sees it empty and makes a second. */
export const prepare = (directory: string): void => {
  const dir = openat2(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  const temp = `.leader-${randomUUID()}`;
  try {
    mkdirSync(`${directory}/${temp}`, { mode: 0o700 });
    const fd = openat2(dir, `${temp}/0`, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      pwrite(fd, Buffer.from(`${' '.repeat(RECORD_BYTES - 1)}\n`), 0);
      fsync(fd);
    } finally {
      close(fd);
    }
    const result = tryRenameat2(dir, temp, dir, DIR);
    if (result === 0) fsync(dir);
    else if (result !== -E.ENOTEMPTY && result !== -E.EEXIST) throw errnoError(-result, 'rename');
  } finally {
    tryUnlinkat(dir, `${temp}/0`);
    tryUnlinkat(dir, temp, AT_REMOVEDIR);
    close(dir);
  }
};

/** True when the next epoch is ours. */
export const claim = (directory: string, epoch: number): boolean => {
  const dir = openat2(AT_FDCWD, `${directory}/${DIR}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const result = tryRenameat2(dir, `${epoch}`, dir, `${epoch + 1}`);
    if (result === -E.ENOENT || result === -E.ESTALE) return false;
    if (result < 0) throw errnoError(-result, 'rename');
    fsync(dir);
    return true;
  } finally {
    close(dir);
  }
};

/** Who leads, or is the last known to have led without giving it up; for display, nothing may be decided by it. */
export const readLeader = (directory: string): Leader | undefined => {
  const record = readCurrent(directory)?.record;
  if (!record || record.released) return undefined;
  const { epoch, host, pid, since, renewed, lock } = record;
  return { epoch, host, pid, since, renewed, lock };
};
