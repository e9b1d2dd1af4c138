/** Transfers of large payloads: a staged file in a lane, its digests beside it, and what fills them. */
import { availableParallelism } from 'node:os';
import { S3Error } from '../../errors.js';
import type { Hasher } from '../md5/hasher.js';
import type { Actor, Body, Bucket, Digest, OpenObject, Received } from '../types.js';
import type { Busy } from './busy.js';
import type { StoreContext } from './context.js';
import type { Opened } from './objects.js';
import type { Ground } from './paths.js';
import type { Pool } from './pool-types.js';
import { receiveBody } from './receive.js';
import type { PartPlace } from './slots.js';

/** Content up to this size comes with the reply that opens it. */
export const INLINE_BYTES = 64 * 1024;

/** A payload that arrived whole in a staged file of a lane. Ends with one of the `transfer…` operations. */
export interface Arrived {
  /** Of which the lane is one. */
  pool: Pool;
  lane: number;
  id: number;
  received: Received;
}

/** Digests that are made of the chunks in another thread, while the lane of the transfer writes them. */
export interface Apart {
  /** Takes a chunk, in the order of the calls. @param ended called once, when nobody reads it any more */
  update(chunk: Uint8Array, ended: () => void): Promise<unknown>;
  /** Rejects when any of the chunks was not taken. */
  finish(): Promise<Received['digests']>;
  /** Nobody wants them any more. */
  drop(): Promise<unknown>;
}

/** Where the bytes of a transfer go. */
export interface Transferring {
  pool: Pool;
  lane: number;
  id: number;
  apart?: Apart;
}

/** What one call copies at most, see `transferCopy`. */
const COPIED = 64 << 20;
/** From so many bytes on a second thread is worth its messages, as long as there are cores for all. */
const APART_BYTES = 2 << 20;
/** Digests that take longer than to receive and write the bytes, the slowest first: one of them is made apart. */
const SLOW: readonly Digest[] = ['md5', 'sha1', 'sha256', 'crc64nvme'];
const cores = availableParallelism();
/** Transfers whose bytes come just now. */
let filling = 0;

export interface TransferOptions {
  digests: readonly Digest[];
  /** Bytes, where known. */
  length: number | undefined;
  /** The bytes come through chunks that two threads can see (`receiveBody`). */
  chunked?: boolean;
  /** Of a part. */
  place?: PartPlace;
}

/** Opens a transfer in a lane, lets `fill` bring the bytes, and closes the digests. Whatever fails, nothing is left. */
export const transfer = async (
  { ground, pool, actor, hasher }: { ground: Ground; pool: Pool; actor: Actor; hasher: Hasher },
  { digests, length, chunked = false, place }: TransferOptions,
  fill: (where: Transferring) => Promise<void>,
): Promise<Arrived> => {
  const lane = pool.lane();
  const options = { actor, lane, context: 'write' as const };
  const large = chunked && (length ?? APART_BYTES) >= APART_BYTES;
  const slowest = large ? SLOW.find((digest) => digests.includes(digest)) : undefined;
  // Threads of their own do several MD5s at once; of the others each takes a core.
  const separate = slowest === 'md5' || (filling + 1) * 2 <= cores ? slowest : undefined;
  const others = digests.filter((digest) => digest !== separate);
  const id = await pool.run('transferOpen', [ground, others, length, place], {
    ...options,
    orphan: (late) => void pool.run('transferAbort', [late as number], options).catch(() => {}),
  });
  let apart: Apart | undefined;
  try {
    if (separate) apart = whole((separate === 'md5' && md5Apart(hasher)) || (await laneApart(pool, separate)));
    filling += large ? 1 : 0;
    await fill({ pool, lane, id, ...(apart && { apart }) }).finally(() => (filling -= large ? 1 : 0));
    // The disk need not wait for the digest.
    const [received, digests] = await Promise.all([
      pool.run('transferFinish', [id, length !== undefined], { ...options, bytes: length ?? 0 }),
      apart?.finish(),
    ]);
    return { pool, lane, id, received: { ...received, digests: { ...received.digests, ...digests } } };
  } catch (error) {
    await abortTransfer({ pool, lane, id, actor, ...(apart && { apart }) }, error);
    throw error;
  }
};

/** For `inBucket`, which may run its work again: a body that has begun to come is gone. */
export const once = (fill: (where: Transferring) => Promise<void>): typeof fill => {
  let begun = false;
  return async (where) => {
    if (begun) throw new S3Error('NoSuchBucket');
    begun = true;
    return fill(where);
  };
};

/** Digests of all chunks, or none. */
const whole = ({ update, finish, drop }: Apart): Apart => {
  const open = new Set<Promise<unknown>>();
  let failed: { error: unknown } | undefined;
  return {
    update: (chunk, ended) => {
      const done = update(chunk, ended);
      open.add(done);
      const fail = (error: unknown) => {
        failed ??= { error };
      };
      done.catch(fail).finally(() => open.delete(done));
      return done;
    },
    finish: async () => {
      const digests = await finish();
      await Promise.allSettled(open);
      if (failed) throw failed.error;
      return digests;
    },
    drop,
  };
};

/** Undefined while that cannot be. */
const md5Apart = (hasher: Hasher): Apart | undefined => {
  const hashing = hasher.begin();
  if (!hashing) return undefined;
  const { update, finish, drop } = hashing;
  return { update, finish: async () => ({ md5: await finish() }), drop };
};

/** A digest in another lane of the pool. */
const laneApart = async (pool: Pool, digest: Digest): Promise<Apart> => {
  const lane = pool.lane();
  const orphan = (late: unknown) => void pool.run('hashFinish', [late as number], { lane }).catch(() => {});
  const id = await pool.run('hashOpen', [[digest]], { lane, orphan });
  const finish = () => pool.run('hashFinish', [id], { lane });
  return { update: (chunk, ended) => pool.run('hashUpdate', [id, chunk], { lane, ended }), finish, drop: finish };
};

/**
 * Never rejects: what cannot be removed now is reaped later.
 * @param error why; after a filesystem has not answered, nobody waits for it once more
 */
export const abortTransfer = async (
  { pool, lane, id, actor, apart }: Transferring & { actor: Actor },
  error: unknown,
): Promise<void> => {
  const aborted = Promise.allSettled([pool.run('transferAbort', [id], { actor, lane }), apart?.drop()]);
  if (!(error instanceof S3Error && error.code === 'SlowDown')) await aborted;
};

/** An open object of this store, as the workers know it. */
export interface OpenFile extends Pick<Opened, 'fd' | 'seen'> {
  /** In which it lies. */
  bucket: Pick<Bucket, 'path'>;
  /** Calls that deliver from it: until they have ended it must not be closed, or its number may be another file's. */
  busy: Busy;
}
const descriptors = new WeakMap<OpenObject, OpenFile>();

/** Marks an object as one of this store's, whose bytes a worker can copy from its descriptor. */
export const ownObject = (object: OpenObject, file: OpenFile): OpenObject => {
  descriptors.set(object, file);
  return object;
};

/** Brings a range of an open object, of this store or another, into a transfer. */
export const copyObject = async (
  context: StoreContext,
  actor: Actor,
  source: OpenObject,
  { start, length }: { start: number; length: number },
  where: Transferring,
): Promise<void> => {
  const { pool, lane, id } = where;
  const own = descriptors.get(source);
  // Threads of one filesystem must not wait for another.
  if (!own || own.fd < 0 || context.poolOf(own.bucket) !== pool) {
    const body: Body = { length, read: (sink) => source.read(start, length, sink) };
    return receiveBody(context, actor, body, where);
  }
  for (let done = 0; done < length; ) {
    const options = { actor, lane, context: 'write' as const, bytes: COPIED };
    done += await pool.run('transferCopy', [id, own.fd, start + done, length - done], options);
  }
  // The copy may be given the ETag or a checksum of the source, or the digest that a client expects.
  if (own.seen) await pool.run('checkObject', [own.fd, own.seen], { actor });
};
