/**
 * Worker threads for each filesystem: one that hangs keeps its own threads, and nobody else waits for them. The filesystem of
 * the root, with the service area, has its threads from the beginning, each other one from its first use.
 */
import { availableParallelism } from 'node:os';
import { S3Error } from '../../errors.js';
import { createMounts, isLocal, isRemote, type Mounts, type Place } from './mounts.js';
import { createPool } from './pool.js';
import type { Pool } from './pool-types.js';

export interface Filesystems {
  /** Of the service area and of what lies beside it. */
  readonly root: Pool;
  /**
   * The threads for a bucket's directory, and for all that is mounted below it. To be asked for each operation; what is bound
   * to a lane stays with the pool that it began on.
   * @throws SlowDown when there are too many filesystems at work
   */
  poolOf(path: string): Pool;
  /** Whether all that lies below is on local disks, or in memory. */
  isLocal(path: string): boolean;
  close(): Promise<void>;
}

export interface FilesystemsOptions {
  /** Without symbolic links on its path. */
  root: string;
  /** Threads for each filesystem. Default: by the cores, more where calls wait for another machine. */
  workers?: number | undefined;
  /** Processes that share the cores: each starts its part of the threads, and the others when calls wait. Default: 1. */
  processes?: number | undefined;
  /** Milliseconds that a call may wait, or stand still, before it is answered SlowDown. */
  timeoutMs?: number | undefined;
  /** Milliseconds after which threads end that nobody has used. */
  idleMs?: number;
  /** Filesystems beside that of the root that may have threads at the same time. */
  most?: number;
  mounts?: Mounts;
}

/** Most calls wait for the disk: more threads than cores, and a few even on the smallest machine. */
const local = Math.max(4, 2 * availableParallelism());
const REMOTE = 32;
/** Threads that a filesystem gets without waiting calls. */
const FIRST = 2;

interface Own {
  pool: Pool;
  used: number;
}

export const createFilesystems = (options: FilesystemsOptions): Filesystems => {
  const { root, workers, processes = 1, mounts = createMounts() } = options;
  const { timeoutMs = 30_000, idleMs = 900_000, most = 64 } = options;
  const times = { waitMs: timeoutMs, stillMs: timeoutMs };
  const sizeFor = ({ types }: Place): number => workers ?? (types.some(isRemote) ? Math.max(REMOTE, local) : local);
  const first = Math.max(FIRST, Math.ceil(local / processes));
  const rootPool = createPool({ ...times, workers: sizeFor(mounts.own(root)), first });
  const others = new Map<string, Own>();
  const ending = new Set<Promise<void>>();

  const end = (key: string, { pool }: Own): void => {
    others.delete(key);
    const ended = pool.close().finally(() => ending.delete(ended));
    ending.add(ended);
  };

  /** Transfers are kept by their threads, and may be slow. */
  const endIfUnused = async (key: string, own: Own): Promise<void> => {
    const { pool, used } = own;
    if (!pool.idle) return;
    const open = await pool.everywhere('transfersOpen', []).catch(() => [1]);
    if (open.some((count) => count > 0) || own.used !== used || others.get(key) !== own) return;
    end(key, own);
  };
  const tidy = (): void => {
    for (const [key, own] of others) if (performance.now() - own.used > idleMs) void endIfUnused(key, own);
  };
  const timer = setInterval(tidy, Math.min(60_000, idleMs)).unref();

  return {
    root: rootPool,
    poolOf: (path) => {
      const place = mounts.at(path);
      if (place.key === mounts.own(root).key) return rootPool;
      let own = others.get(place.key);
      if (!own) {
        if (others.size >= most) throw new S3Error('SlowDown', { message: 'Too many filesystems are in use at once.' });
        own = { pool: createPool({ ...times, workers: sizeFor(place), first: FIRST }), used: 0 };
        others.set(place.key, own);
      }
      own.used = performance.now();
      return own.pool;
    },
    isLocal: (path) => {
      const { types } = mounts.at(path);
      return types.length > 0 && types.every(isLocal);
    },
    close: async () => {
      clearInterval(timer);
      for (const [key, own] of [...others]) end(key, own);
      await Promise.all([rootPool.close(), ...ending]);
    },
  };
};
