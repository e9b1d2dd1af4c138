/** Pages of listings, as the main thread has them made by workers (`list-ops.ts`). */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { countOf } from '../elements.js';
import type { Bucket, ElementPart, Storage } from '../types.js';
import type { StoreContext } from './context.js';

/** Memory that is kept for parts of pages. Left to the collector, which looks seldom, it would be much. */
const SPARE = 16;
const SPARE_BYTES = 1 << 20;

/**
 * A page is made by several workers that have nothing to do. It comes sooner, but takes more of the cores in all: not when others
 * want them, and where nobody waits for another machine by no more than there are cores.
 */
const shareOf = (free: number, local: boolean): number =>
  Math.max(1, local ? Math.min(free, availableParallelism()) : Math.max(Math.min(free, 2), free - 1));

/** @param isLocal see `Filesystems` */
export const createPages = (
  { inBucket }: Pick<StoreContext, 'inBucket'>,
  isLocal: (path: string) => boolean,
): Pick<Storage, 'list' | 'listElements'> => {
  const spare: ArrayBuffer[] = [];
  const take = () => {
    const into = spare.pop();
    return { into, transfer: into ? [into] : [] };
  };
  const giveBack = (parts: readonly ElementPart[]) => {
    for (const { objects } of parts) {
      const memory = objects.buffer as ArrayBuffer;
      if (spare.length < SPARE && memory.byteLength <= SPARE_BYTES && !spare.includes(memory)) spare.push(memory);
    }
  };

  return {
    list: (at, request) =>
      inBucket(at, (ground, pool) =>
        pool.run('listObjects', [ground, request], { actor: at.actor, context: 'read', prefer: laneOf(at.bucket) }),
      ),
    listElements: (at, request, form) =>
      inBucket(at, async (ground, pool) => {
        const lane = laneOf(at.bucket);
        const options = { actor: at.actor, context: 'read', prefer: lane } as const;
        const { into, transfer } = take();
        const most = shareOf(pool.free, isLocal(ground.path));
        const plan = await pool.run('planElements', [ground, request, form, most, into], { ...options, transfer });
        const looked = await Promise.all(
          plan.pieces.map((piece, i) => {
            const { into, transfer } = take();
            // To the same workers each time: they remember what they have seen.
            return pool.run('lookElements', [ground, piece, form, into], { ...options, transfer, prefer: lane + i });
          }),
        );
        let parts = [...looked, ...plan.parts];
        let { next, nextIsKey } = plan;
        const limit = request.limit - countOf({ parts });
        if (next !== undefined && limit > 0) {
          // Some of what was named was nothing, or has gone: what else belongs on the page is looked for by one alone.
          const { into, transfer } = take();
          const more = { ...request, after: next, limit };
          const rest = await pool.run('listElements', [ground, more, form, into], { ...options, transfer });
          parts = [...parts, ...rest.parts];
          ({ next, nextIsKey } = rest);
        }
        return { parts, ...(next !== undefined && { next }), nextIsKey, done: () => giveBack(parts) };
      }),
  };
};

/** The pages of one listing go to one worker, which has the sorted names of large directories (`names.ts`). */
const laneOf = ({ path }: Bucket): number => createHash('md5').update(path).digest().readUInt32BE();
