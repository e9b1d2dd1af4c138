/** Multipart uploads of the posix store, seen from the main thread. */

import { S3Error } from '../../errors.js';
import { assertStorableKey, isStorableKey } from '../keys.js';
import type { ObjectInfo, Part, PartRequest, Place, Storage } from '../types.js';
import { type StoreContext, untilSettled } from './context.js';
import type { Ground } from './paths.js';
import type { RunOptions } from './pool-types.js';
import { receiveBody } from './receive.js';
import type { Published } from './staged.js';
import { type Arrived, abortTransfer, copyObject, once, type Transferring, transfer } from './streams.js';
import type { Piece } from './upload-ops.js';

export type UploadMethods = Pick<
  Storage,
  'createUpload' | 'upload' | 'putPart' | 'copyPart' | 'listParts' | 'listUploads' | 'completeUpload' | 'abortUpload'
>;

/** Joined in one call: other calls of the same worker wait no longer than that takes. */
const SLICE = 64 << 20;

/** What one call joins: at most `SLICE` bytes, of few large parts or of many small ones. */
export function* slices(parts: readonly Part[]): Generator<Piece[]> {
  let pieces: Piece[] = [];
  let room = SLICE;
  for (const part of parts) {
    for (let start = 0; start < part.size; ) {
      const length = Math.min(room, part.size - start);
      pieces.push({ part, start, length });
      start += length;
      room -= length;
      if (room > 0 && pieces.length < 1_000) continue;
      yield pieces;
      [pieces, room] = [[], SLICE];
    }
    // An empty part, the last one, brings nothing, but it must still be the one that was listed.
    if (part.size === 0) pieces.push({ part, start: 0, length: 0 });
  }
  if (pieces.length > 0) yield pieces;
}

/**
 * Whether a file of the upload may become the object: of the only part, or with all parts in their places, but for the last. What was
 * in its place when the caller saw it still is: a place is written once (`slots.ts`).
 */
const mayLend = (parts: readonly Part[]): boolean => {
  if (parts.length === 1) return true;
  const { size } = parts[0]!;
  const last = parts.length - 1;
  return parts.every(
    (part, index) =>
      part.number === index + 1 && (index === last ? part.size <= size : part.size === size && part.placed === true),
  );
};

export const createUploads = (context: StoreContext): UploadMethods => {
  const { poolOf, hasher, inBucket } = context;
  const writing = ({ actor }: Place): RunOptions => ({ actor, context: 'write' });
  const reading = ({ actor }: Place): RunOptions => ({ actor, context: 'read' });

  const told = async ({ info, settled }: Published): Promise<ObjectInfo> => {
    await untilSettled(settled);
    return info;
  };

  const requireKey = (key: string): void => {
    if (!isStorableKey(key)) throw new S3Error('NoSuchUpload');
  };

  const storePart = async (
    at: Place,
    key: string,
    id: string,
    number: number,
    length: number | undefined,
    { digests, seal }: PartRequest,
    fill: (where: Transferring) => Promise<void>,
    chunked = false,
  ): Promise<Part> => {
    requireKey(key);
    const { actor } = at;
    const options = { digests, length, chunked, place: { key, id, number } };
    const {
      pool,
      lane,
      id: transferId,
      received,
    } = await inBucket(at, (ground, pool) => transfer({ ground, pool, actor, hasher }, options, once(fill)));
    try {
      return await pool.run('partPublish', [transferId, key, id, number, seal(received)], {
        ...writing(at),
        lane,
        bytes: received.size,
      });
    } catch (error) {
      await abortTransfer({ pool, lane, id: transferId, actor }, error);
      throw await context.explained(at, error);
    }
  };

  const join = async (
    at: Place,
    ground: Ground,
    key: string,
    id: string,
    parts: readonly Part[],
    publish: (joined: Arrived) => Promise<Published>,
  ): Promise<Published> => {
    const pool = poolOf(at.bucket);
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    const joined = await transfer(
      { ground, pool, actor: at.actor, hasher },
      { digests: [], length: size },
      async ({ lane, id: transferId }) => {
        for (const pieces of slices(parts)) {
          await pool.run('uploadJoin', [transferId, key, id, pieces], { ...writing(at), lane, bytes: SLICE });
        }
      },
    );
    try {
      return await publish(joined);
    } catch (error) {
      await abortTransfer({ ...joined, actor: at.actor }, error);
      throw await context.explained(at, error);
    }
  };

  return {
    createUpload: async (at, key, upload) => {
      assertStorableKey(key);
      return inBucket(at, (ground, pool) => pool.run('uploadCreate', [ground, key, upload], writing(at)));
    },

    upload: async (at, key, id) => {
      requireKey(key);
      return inBucket(at, (ground, pool) => pool.run('uploadGet', [ground, key, id], reading(at)));
    },

    putPart: (at, key, id, number, body, request) =>
      storePart(
        at,
        key,
        id,
        number,
        body.length,
        request,
        (where) => receiveBody(context, at.actor, body, where),
        true,
      ),

    copyPart: (source, range, at, key, id, number, request) =>
      storePart(at, key, id, number, range.length, request, (where) =>
        copyObject(context, at.actor, source, range, where),
      ),

    listParts: async (at, key, id, after, limit) => {
      requireKey(key);
      return inBucket(at, (ground, pool) => pool.run('partList', [ground, key, id, after, limit], reading(at)));
    },

    listUploads: (at, request) =>
      inBucket(at, (ground, pool) => pool.run('uploadList', [ground, request], reading(at))),

    completeUpload: async (at, key, id, parts, meta, condition) => {
      requireKey(key);
      const options = writing(at);
      const done = await inBucket(at, (ground, pool) => pool.run('uploadBegin', [ground, key, id, condition], options));
      if (done) return done;
      const ground = context.groundOf(at.bucket);
      const last = parts.at(-1);
      if (last && mayLend(parts)) {
        const all = { size: parts[0]!.size, count: parts.length, last };
        const args = [ground, key, id, all, meta, condition] as const;
        const published = await poolOf(at.bucket).run('uploadLent', [...args], { ...options, bytes: last.size });
        if (published) return told(published);
      }
      return told(
        await join(at, ground, key, id, parts, ({ pool, lane, id: transferId, received }) =>
          pool.run('uploadPublish', [transferId, key, id, meta, condition], { ...options, lane, bytes: received.size }),
        ),
      );
    },

    abortUpload: async (at, key, id) => {
      requireKey(key);
      await inBucket(at, (ground, pool) => pool.run('uploadAbort', [ground, key, id], writing(at)));
    },
  };
};
