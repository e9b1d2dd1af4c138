/** What the main-thread side of the store shares: the pool, the chunks, and how a bucket is worked in. */
import { setTimeout as pause } from 'node:timers/promises';
import { S3Error } from '../../errors.js';
import type { Bucket, Documents, Place } from '../types.js';
import type { Buffers } from './buffers.js';
import { type Durability, type Ground, unprepared } from './paths.js';
import type { Pool } from './pool.js';

export interface StoreContext {
  pool: Pool;
  buffers: Buffers;
  documents: Documents;
  groundOf(bucket: Bucket): Ground;
  /**
   * Runs what touches a bucket; when its user has removed `.tidegate`, makes that again and runs it once more. Not for
   * what has consumed a body.
   */
  inBucket<T>(at: Place, work: (ground: Ground) => Promise<T>): Promise<T>;
}

export interface GroundSettings {
  durability: Durability;
  sidecars: boolean;
  fileMode: number;
  directoryMode: number;
}

export const createContext = (
  pool: Pool,
  buffers: Buffers,
  documents: Documents,
  settings: GroundSettings,
): StoreContext => {
  const groundOf = ({ path }: Bucket): Ground => ({ path, ...settings });
  return {
    pool,
    buffers,
    documents,
    groundOf,
    inBucket: async (at, work) => {
      const ground = groundOf(at.bucket);
      try {
        return await work(ground);
      } catch (error) {
        if (!(error instanceof S3Error) || error.code !== 'NoSuchBucket' || !isUnprepared(error)) throw error;
        const record = await documents.get<Bucket>('buckets', at.bucket.name);
        if (record?.created !== at.bucket.created) throw error;
        await pool.run('prepareBucket', [ground], { actor: at.actor, context: 'write' });
        return await work(ground);
      }
    },
  };
};

const isUnprepared = ({ cause }: S3Error): boolean => cause instanceof Error && cause.message === unprepared;

/** Waits until success may be told, see `stampFile`: mostly that is now. @param settled of `process.hrtime.bigint()` */
export const untilSettled = async (settled: bigint): Promise<void> => {
  for (let left: bigint; (left = settled - process.hrtime.bigint()) > 0n; ) {
    if (left < 1_000_000n) await new Promise<void>((resolve) => setImmediate(resolve));
    else await pause(Number(left / 1_000_000n) + 1);
  }
};
