/**
 * One leader per bucket, by a lease in the bucket's sync directory on the shared filesystem.
 *
 * `leader/<epoch>` is the lease: a directory that always holds one file, named by the number of the leadership. To take
 * over is to rename `<epoch>` to `<epoch + 1>`. Of two who try at once one finds the old name gone, on every filesystem,
 * so an epoch has one owner. The file holds who leads (`LeaderRecord`), is written in place, and is opened by the name
 * of its epoch: an old leader that wakes up finds that name gone, or another's record.
 *
 * When may somebody take over?
 * - With flock(2), nobody while the process that leads lives, also when it is paused: the kernel's lock on `leader.lock`
 *   goes with the process. Another process on the same mount then leads at its next try. On another machine the record
 *   has to stand still for `settleMs` as well: flock may be local to each client (Lustre's `localflock`, NFS's
 *   `nolock`), which shows itself by a record that goes on changing although we have the lock.
 * - Without flock (ENOSYS of Lustre, no lock daemon), or where it proved to be local: when the record has stood still for
 *   `ttlMs` by our own monotonic clock. No clock is ever compared with another machine's.
 *
 * What remains: between `held()` and the write that follows it, a process may be paused or cut off for so long that it is
 * taken over meanwhile. With a shared flock only a client that the server has evicted is in that case. Who takes over by
 * the clock waits `graceMs` more before it leads, so that a write which has begun can end. A process that is paused
 * between the check and its write, without flock, for more than `ttlMs + graceMs`, still makes that one write.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import {
  AT_FDCWD,
  close,
  E,
  fstat,
  isErrno,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  openat2,
  tryFlock,
} from '../gateway/storage/posix/syscalls.js';
import {
  claim,
  giveUp,
  type Leader,
  type LeaderRecord,
  prepare,
  readCurrent,
  readEpoch,
  type Seen,
  writeEpoch,
} from './leader-record.js';

export interface LeaseTimes {
  /** The record is renewed so often: by a timer, and by `held()` where the thread has been busy. */
  beatMs: number;
  /** So long it must stand still before another machine believes that the flock it got is shared, and leads. */
  settleMs: number;
  /** So long it must stand still where there is no flock. */
  ttlMs: number;
  /** Between a takeover by the clock and the first write. */
  graceMs: number;
}

/**
 * A dead leader is followed at the next try on its own machine and mount; on another within `settleMs + graceMs` (13 s), or
 * without flock within `ttlMs + graceMs` (31 s); plus the time between two tries.
 */
export const leaseTimes: LeaseTimes = { beatMs: 5_000, settleMs: 12_000, ttlMs: 30_000, graceMs: 1_000 };

export interface Lease extends Pick<Leader, 'epoch' | 'since' | 'lock'> {
  /**
   * Whether we still lead: to be asked right before each commit (an open and a read of a small file), and in long work
   * more often than every `beatMs`. Never throws. Once false it stays false.
   */
  held(): boolean;
  /** Somebody else may lead at once. Nothing may be written any more. */
  release(): void;
}

export interface Candidate {
  /**
   * To be called again and again, every second or so, until it answers a lease, and after one was lost. While we lead it
   * answers that lease. Throws when the filesystem fails.
   */
  tryLead(): Lease | undefined;
  /** Gives up a lease, and does not stand any more. */
  withdraw(): void;
}

export interface CandidateOptions extends Partial<LeaseTimes> {
  /** False: as if the filesystem had no locks. */
  flock?: boolean;
  /** Names kernel and mount; for tests, which have one machine. */
  place?: string;
}

const LOCK = 'leader.lock';

/** Two mounts of one filesystem count as two: FUSE has locks of each mount where the server has none. */
const placeOf = (directory: string): string => {
  const fd = openat2(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${fstat(fd).dev}`;
  } finally {
    close(fd);
  }
};

/** Locks of this thread. A thread that ends by an error would leave them to its process, which lives on. */
const locks = new Set<number>();
const dropLock = (fd: number): void => {
  if (locks.delete(fd)) close(fd);
};
const keepLock = (fd: number): number => {
  if (locks.size === 0 && !process.listeners('exit').includes(dropAll)) process.on('exit', dropAll);
  locks.add(fd);
  return fd;
};
const dropAll = (): void => {
  for (const fd of locks) dropLock(fd);
};

// ---- standing for it ---------------------------------------------------------------------------------------------

type LockState = { kind: 'flock'; fd: number } | { kind: 'none' };

/** Undefined: another process has it. */
const takeLock = (directory: string): LockState | undefined => {
  const fd = openat2(AT_FDCWD, `${directory}/${LOCK}`, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    if (tryFlock(fd)) return { kind: 'flock', fd: keepLock(fd) };
    close(fd);
    return undefined;
  } catch (error) {
    close(fd);
    const absent: readonly number[] = [E.ENOSYS, E.EOPNOTSUPP, E.ENOLCK, E.EINVAL];
    if (isErrno(error) && absent.includes(error.errno)) return { kind: 'none' };
    throw error;
  }
};

const createLease = (
  directory: string,
  record: LeaderRecord,
  { beatMs, ttlMs }: LeaseTimes,
  done: () => void,
): Lease => {
  let over = false;
  let renewedAt = performance.now();

  const end = (): false => {
    if (!over) {
      over = true;
      clearInterval(timer);
      done();
    }
    return false;
  };
  const renew = (): boolean => {
    const next = { ...record, beat: record.beat + 1, renewed: new Date().toISOString() };
    try {
      if (!writeEpoch(directory, next)) return false;
      record = next;
      renewedAt = performance.now();
      return true;
    } catch {
      // A full disk, an error that passes: others do not take it for death before the time to live.
      return performance.now() - renewedAt < ttlMs * 0.6;
    }
  };
  const held = (): boolean => {
    if (over) return false;
    try {
      if (readEpoch(directory, record.epoch)?.record?.token !== record.token) return end();
    } catch {
      return end();
    }
    return performance.now() - renewedAt < beatMs || renew() || end();
  };
  const timer = setInterval(held, beatMs);
  timer.unref();

  return {
    epoch: record.epoch,
    since: record.since,
    lock: record.lock,
    held,
    release: () => {
      if (held()) giveUp(directory, record);
      end();
    },
  };
};

/**
 * Stands for the leadership of one bucket. Synchronous, for the sync thread.
 *
 * @param directory the bucket's sync directory, made when missing (mode 0700)
 * @param who for others to see
 */
export const createCandidate = (
  directory: string,
  who: { host: string; pid: number },
  { flock = true, place: givenPlace, ...given }: CandidateOptions = {},
): Candidate => {
  const times = { ...leaseTimes, ...given };
  const mine = new Set<string>();
  let place = givenPlace ?? '';
  let lock: LockState | undefined;
  let watched: { bytes: string; epoch: number; since: number } | undefined;
  /** Its record changed while we had the flock: that is not one lock for all. */
  let flockIsLocal = false;
  let won: { record: LeaderRecord; at: number } | undefined;
  let lease: Lease | undefined;
  let withdrawn = false;

  const reset = (): void => {
    if (lock?.kind === 'flock') dropLock(lock.fd);
    lock = undefined;
    watched = undefined;
    won = undefined;
    lease = undefined;
  };

  /** How long the record has to stand still before we may follow. */
  const wait = (record: LeaderRecord | undefined, { epoch }: Seen): number => {
    if (record ? record.released || mine.has(record.token) : epoch === 0) return 0;
    if (lock?.kind !== 'flock' || record?.lock !== 'flock') return times.ttlMs;
    if (record.place === place && !flockIsLocal) return 0;
    return flockIsLocal ? times.ttlMs : times.settleMs;
  };

  const follow = (seen: Seen, waited: number): void => {
    const now = performance.now();
    if (watched?.bytes !== seen.bytes || watched.epoch !== seen.epoch) {
      if (watched && lock?.kind === 'flock' && seen.record?.lock === 'flock') flockIsLocal = true;
      watched = { bytes: seen.bytes, epoch: seen.epoch, since: now };
    }
    if (now - watched.since < waited || !claim(directory, seen.epoch)) return;
    const at = new Date().toISOString();
    const record: LeaderRecord = {
      epoch: seen.epoch + 1,
      host: who.host,
      pid: who.pid,
      since: at,
      renewed: at,
      lock: lock?.kind === 'flock' && !flockIsLocal ? 'flock' : 'none',
      token: randomUUID(),
      place,
      beat: 0,
    };
    if (!writeEpoch(directory, record)) return;
    mine.add(record.token);
    won = { record, at: now + (waited > 0 ? times.graceMs : 0) };
  };

  return {
    tryLead: () => {
      if (withdrawn) return undefined;
      if (lease) return lease.held() ? lease : undefined;
      if (!won) {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        place ||= placeOf(directory);
        lock ??= flock ? takeLock(directory) : { kind: 'none' };
        if (!lock) return undefined;
        let seen = readCurrent(directory);
        if (!seen) {
          prepare(directory);
          seen = readCurrent(directory);
        }
        if (seen) follow(seen, wait(seen.record, seen));
      }
      if (!won || performance.now() < won.at) return undefined;
      const candidate = createLease(directory, won.record, times, reset);
      won = undefined;
      lease = candidate;
      return candidate.held() ? candidate : undefined;
    },
    withdraw: () => {
      withdrawn = true;
      lease?.release();
      if (won) giveUp(directory, won.record);
      reset();
    },
  };
};
