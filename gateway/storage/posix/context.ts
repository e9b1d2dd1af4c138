/** What the main-thread side of the store shares: the pool, the chunks, and how a bucket is worked in. */
import { setTimeout as pause } from 'node:timers/promises';
import { unpackActAs } from '../../../acl/act-as.js';
import { S3Error } from '../../errors.js';
import { unpackEtagPolicy } from '../etag-policy.js';
import type { Hasher } from '../md5/hasher.js';
import type { Bucket, Documents, Place } from '../types.js';
import { unpackVisibility } from '../visibility.js';
import { unprepared } from './areas.js';
import type { Buffers } from './buffers.js';
import { canSwitch } from './identity.js';
import type { Durability, Ground } from './paths.js';
import type { Pool } from './pool-types.js';

export interface StoreContext {
  /** The threads for files of a bucket: see `Filesystems.poolOf`. */
  poolOf(bucket: Pick<Bucket, 'path'>): Pool;
  buffers: Buffers;
  hasher: Hasher;
  documents: Documents;
  groundOf(bucket: Bucket): Ground;
  /**
   * Runs what touches a bucket; when its user has removed `.tidegate`, makes that again and runs it once more. Not for
   * what has consumed a body.
   */
  inBucket<T>(at: Place, work: (ground: Ground, pool: Pool) => Promise<T>): Promise<T>;
  /**
   * What to tell of a failure of what cannot be run again: a staged file that vanished with a bucket that still stands was
   * removed by its user, or by a deletion that was refused in the end, and the client may try again.
   */
  explained(at: Place, error: unknown): Promise<unknown>;
}

export interface GroundSettings {
  durability: Durability;
  sidecars: boolean;
  fileMode: number;
  directoryMode: number;
}

/** How files of a bucket are worked on. */
export const groundFor = ({ path, config }: Bucket, settings: GroundSettings): Ground => ({
  path,
  ...settings,
  ...(canSwitch && unpackActAs(config['actAs']) === 'requester' && { shared: true }),
  synced: unpackVisibility(config['visibility']) === 'synced',
  fast: unpackEtagPolicy(config['etag']) === 'fast',
});

type InBucket = Pick<StoreContext, 'groundOf' | 'inBucket'> & { stands(bucket: Bucket): Promise<boolean> };
type PoolOf = StoreContext['poolOf'];

/** What working in buckets takes, also for others than the store itself. */
export const createInBucket = (
  poolOf: PoolOf,
  documents: Pick<Documents, 'get'>,
  settings: GroundSettings,
): InBucket => {
  const groundOf = (bucket: Bucket): Ground => groundFor(bucket, settings);
  const stands = async ({ name, created }: Bucket): Promise<boolean> =>
    (await documents.get<Bucket>('buckets', name))?.created === created;
  return {
    stands,
    groundOf,
    inBucket: async (at, work) => {
      const ground = groundOf(at.bucket);
      const pool = poolOf(at.bucket);
      try {
        return await work(ground, pool);
      } catch (error) {
        if (!(error instanceof S3Error) || error.code !== 'NoSuchBucket' || !isUnprepared(error)) throw error;
        if (!(await stands(at.bucket))) throw error;
        // What is of each user in a shared bucket, only the gateway can give to him.
        const actor = ground.shared ? undefined : at.actor;
        await pool.run('prepareBucket', [ground, ground.shared ? at.actor : undefined], { actor, context: 'write' });
        return await work(ground, pool);
      }
    },
  };
};

export const createContext = (
  poolOf: PoolOf,
  { buffers, hasher }: Pick<StoreContext, 'buffers' | 'hasher'>,
  documents: Documents,
  settings: GroundSettings,
): StoreContext => {
  const { stands, groundOf, inBucket } = createInBucket(poolOf, documents, settings);
  return {
    poolOf,
    buffers,
    hasher,
    documents,
    groundOf,
    inBucket,
    explained: async (at, error) => {
      const gone = error instanceof S3Error && error.code === 'NoSuchBucket';
      const there = async () =>
        (await poolOf(at.bucket).run('hasDirectory', [at.bucket.path])) && (await stands(at.bucket));
      if (!gone || !(await there().catch(() => false))) return error;
      const message = 'The file of this upload was removed while it was written. Please try again.';
      return new S3Error('ServiceUnavailable', { message, cause: error });
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
