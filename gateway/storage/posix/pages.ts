/** Pages of listings, as the main thread has them made by workers (`list-ops.ts`). */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { countOf } from '../elements.js';
import type { Bucket, ElementPart, Storage } from '../types.js';
import { createCalm } from './calm.js';
import type { StoreContext } from './context.js';
import type { Sharing } from './list-ops.js';

/**
 * Memory that is kept for parts of pages. Left to the collector, which looks seldom, it would be much. What is smaller is soon
 * made again.
 */
const SPARE = 16;
const [SPARE_BYTES, SMALL_BYTES] = [1 << 20, 16 << 10];

/** When a page is shared, in milliseconds, see `Sharing`; `alone` in the place of `worth` where nobody else needs this thread or the workers of this filesystem. */
export interface When {
  after: number;
  worth: number;
  alone: number;
}

/**
 * To share a page costs a millisecond of the cores, so that one of objects that this machine has in mind, 5 µs each, is not worth
 * it: then there would be less for others, and nobody would notice. Where there are no others, it is there a fifth sooner.
 */
const usual: When = { after: 0.5, worth: 6, alone: 2 };

/**
 * So many of the workers that have nothing to do look at a page: where they wait for other machines half of them, as one of those
 * may not answer, else no more than there are cores.
 */
const shareOf = (free: number, local: boolean): number =>
  Math.max(1, local ? Math.min(free, availableParallelism()) : Math.floor(free / 2));

/** @param isLocal see `Filesystems` @param when they are shared @param calm see `createCalm` */
export const createPages = (
  { inBucket }: Pick<StoreContext, 'inBucket'>,
  isLocal: (path: string) => boolean,
  { after, worth, alone }: When = usual,
  calm = createCalm(),
): Pick<Storage, 'list' | 'listElements'> => {
  /** The largest last. */
  let spare: ArrayBuffer[] = [];
  const take = () => {
    const into = spare.pop();
    return { into, transfer: into ? [into] : [] };
  };
  const giveBack = (parts: readonly ElementPart[]) => {
    for (const { objects } of parts) {
      const memory = objects.buffer as ArrayBuffer;
      const kept = memory.byteLength >= SMALL_BYTES && memory.byteLength <= SPARE_BYTES;
      if (kept && !spare.includes(memory)) spare.push(memory);
    }
    spare = spare.sort((a, b) => a.byteLength - b.byteLength).slice(-SPARE);
  };

  return {
    list: (at, request) =>
      inBucket(at, (ground, pool) =>
        pool.run('listObjects', [ground, request], { actor: at.actor, context: 'read', prefer: laneOf(at.bucket) }),
      ),
    listElements: (at, request, form) =>
      inBucket(at, async (ground, pool) => {
        const options = { actor: at.actor, context: 'read' } as const;
        const prefer = laneOf(at.bucket);
        const { into, transfer } = take();
        const most = shareOf(pool.free, isLocal(ground.path));
        // On each page: it looks at the time since then.
        const quiet = calm();
        const share: Sharing = { most, after, worth: quiet && pool.idle ? alone : worth };
        const plan = await pool.run('planElements', [ground, request, form, share, into], {
          ...options,
          transfer,
          prefer,
        });
        const looked = plan.pieces.map((piece) => {
          const { into, transfer } = take();
          return pool.run('lookElements', [ground, piece, form, into], { ...options, transfer });
        });
        let parts = [...plan.parts, ...(await Promise.all(looked))];
        let { next, nextIsKey } = plan;
        const limit = request.limit - countOf({ parts });
        if (next !== undefined && limit > 0) {
          // Some of what was named was nothing, or has gone: what else belongs on the page is looked for by one alone.
          const { into, transfer } = take();
          const more = { ...request, after: next, limit };
          const rest = await pool.run('listElements', [ground, more, form, into], { ...options, transfer, prefer });
          parts = [...parts, ...rest.parts];
          ({ next, nextIsKey } = rest);
        }
        return { parts, ...(next !== undefined && { next }), nextIsKey, done: () => giveBack(parts) };
      }),
  };
};

/** The pages of one listing go to one worker, which has the sorted names of large directories (`names.ts`). */
const laneOf = ({ path }: Bucket): number => createHash('md5').update(path).digest().readUInt32BE();
