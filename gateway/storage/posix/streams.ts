/** Transfers of large payloads: a staged file in a lane, its digests in another, and what fills them. */
import { availableParallelism } from 'node:os';
import { S3Error } from '../../errors.js';
import type { Actor, Body, Bucket, Digest, OpenObject, Received } from '../types.js';
import type { Busy } from './busy.js';
import type { StoreContext } from './context.js';
import type { Opened } from './objects.js';
import type { Ground } from './paths.js';
import type { Pool } from './pool.js';
import { receiveBody } from './receive.js';

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

/** Where the bytes of a transfer go. */
export interface Transferring {
  pool: Pool;
  lane: number;
  id: number;
  /** Another lane digests them, while the first one writes. */
  hashing?: { lane: number; id: number };
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
}

/** Opens a transfer in a lane, lets `fill` bring the bytes, and closes the digests. Whatever fails, nothing is left. */
export const transfer = async (
  { ground, pool, actor }: { ground: Ground; pool: Pool; actor: Actor },
  { digests, length, chunked = false }: TransferOptions,
  fill: (where: Transferring) => Promise<void>,
): Promise<Arrived> => {
  const lane = pool.lane();
  const options = { actor, lane, context: 'write' as const };
  const large = chunked && (length ?? APART_BYTES) >= APART_BYTES;
  const slowest = SLOW.find((digest) => digests.includes(digest));
  const apart = large && (filling + 1) * 2 <= cores ? slowest : undefined;
  const others = digests.filter((digest) => digest !== apart);
  const id = await pool.run('transferOpen', [ground, others, length], {
    ...options,
    orphan: (late) => void pool.run('transferAbort', [late as number], options).catch(() => {}),
  });
  let hashing: Transferring['hashing'];
  try {
    if (apart) hashing = await openHashing(pool, [apart]);
    filling += large ? 1 : 0;
    await fill({ pool, lane, id, ...(hashing && { hashing }) }).finally(() => (filling -= large ? 1 : 0));
    const received = await pool.run('transferFinish', [id], options);
    if (hashing) Object.assign(received.digests, await pool.run('hashFinish', [hashing.id], { lane: hashing.lane }));
    return { pool, lane, id, received };
  } catch (error) {
    await abortTransfer({ pool, lane, id, actor, ...(hashing && { hashing }) }, error);
    throw error;
  }
};

const openHashing = async (pool: Pool, digests: readonly Digest[]): Promise<{ lane: number; id: number }> => {
  const lane = pool.lane();
  const orphan = (late: unknown) => void pool.run('hashFinish', [late as number], { lane }).catch(() => {});
  return { lane, id: await pool.run('hashOpen', [digests], { lane, orphan }) };
};

/**
 * Never rejects: what cannot be removed now is reaped later.
 * @param error why; after a filesystem has not answered, nobody waits for it once more
 */
export const abortTransfer = async (
  { pool, lane, id, actor, hashing }: Transferring & { actor: Actor },
  error: unknown,
): Promise<void> => {
  const aborted = Promise.allSettled([
    pool.run('transferAbort', [id], { actor, lane }),
    hashing && pool.run('hashFinish', [hashing.id], { lane: hashing.lane }),
  ]);
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
