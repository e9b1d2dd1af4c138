/**
 * Recycled chunks of shared memory, through which the bytes of large bodies pass between the sockets and the workers.
 *
 * A client may stop in the middle and keep its chunks for minutes, so large ones alone would be used up by as few slow
 * clients as fit into a sensible amount of memory. Streams beyond those get smaller ones: slower, but served.
 */
import { S3Error } from '../../errors.js';
import { MOST_THREADS } from '../md5/hasher.js';
import { createMemory, PAGE, type SharedMemory } from '../md5/memory.js';

export interface Buffers {
  /** In which all chunks lie, behind a page for each thread that digests. */
  memory: SharedMemory;
  /**
   * `count` chunks of one size at once: a stream that needs three must not hold one while it waits for the others, or
   * streams that hold one each wait for one another for ever. First come, first served. Rejects with SlowDown after
   * `waitMs`.
   * @param bytes of the whole stream, where known: one that fits into a smaller chunk takes no larger
   * @param most bytes of a chunk: a larger one is of no use, and taken by who had to wait alone
   */
  acquire(count: number, bytes?: number, most?: number): Promise<Buffer[]>;
  /** Gives chunks back when nobody reads or writes them any more. */
  release(chunks: readonly Buffer[]): void;
  /** For metrics and tests. */
  stats(): { made: number; free: number; waiting: number };
}

/** Chunks of one size. They are made when first needed. */
interface Tier {
  bytes: number;
  limit: number;
}

export interface BuffersOptions {
  /** Largest chunks first. */
  tiers?: readonly Tier[];
  waitMs?: number;
}

interface Waiter {
  count: number;
  resolve(chunks: Buffer[]): void;
  timer: NodeJS.Timeout;
}

const KiB = 1024;
/** 76 MiB for the first 128 downloads, or 41 uploads: few get the most out of large chunks, many share the cores anyway. */
const defaults: readonly Tier[] = [
  { bytes: 2048 * KiB, limit: 4 },
  { bytes: 1024 * KiB, limit: 12 },
  { bytes: 512 * KiB, limit: 112 },
  // Enough for every request that a gateway takes at once (`maxRequests`), three each.
  { bytes: 64 * KiB, limit: 3072 },
];

/** Shared memory is never cleared between uses: whoever fills a chunk hands on only what it filled. */
export const createBuffers = (options: BuffersOptions = {}): Buffers => {
  const { waitMs = 30_000 } = options;
  const tiers = (options.tiers ?? defaults).map((tier) => ({ ...tier, free: [] as Buffer[], lent: new Set<Buffer>() }));
  const waiting: Waiter[] = [];
  const reserved = MOST_THREADS * PAGE;
  const memory = createMemory(tiers.reduce((sum, { bytes, limit }) => sum + bytes * limit, reserved));
  /** From here on there are no chunks yet. Each begins at a page: the kernel copies a fifth faster than to V8's own memory. */
  let unused = reserved;

  const make = (bytes: number): Buffer => {
    unused += bytes;
    return Buffer.from(memory.buffer, unused - bytes, bytes);
  };

  const take = (
    count: number,
    bytes = Number.POSITIVE_INFINITY,
    most = Number.POSITIVE_INFINITY,
  ): Buffer[] | undefined => {
    const tier = tiers.find((each, at) => {
      const next = tiers[at + 1];
      return each.bytes <= most && each.limit - each.lent.size >= count && !(next && bytes <= next.bytes);
    });
    if (!tier) return undefined;
    return Array.from({ length: count }, () => {
      const chunk = tier.free.pop() ?? make(tier.bytes);
      tier.lent.add(chunk);
      return chunk;
    });
  };

  const serve = (): void => {
    for (let first: Waiter | undefined; (first = waiting[0]); ) {
      // Whatever there is: all others wait behind it.
      const chunks = take(first.count);
      if (!chunks) return;
      waiting.shift();
      clearTimeout(first.timer);
      first.resolve(chunks);
    }
  };

  return {
    memory,
    acquire: (count, bytes, most) => {
      if (tiers.every((tier) => count > tier.limit)) return Promise.reject(new RangeError(`${count} chunks at once`));
      // Nobody overtakes those who wait already.
      const chunks = waiting.length === 0 ? take(count, bytes, most) : undefined;
      if (chunks) return Promise.resolve(chunks);
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          count,
          resolve,
          timer: setTimeout(() => {
            waiting.splice(waiting.indexOf(waiter), 1);
            reject(new S3Error('SlowDown'));
            serve();
          }, waitMs),
        };
        waiting.push(waiter);
      });
    },
    release: (chunks) => {
      for (const chunk of chunks) {
        const tier = tiers.find((each) => each.lent.delete(chunk));
        // Given back twice, one chunk would serve two streams: their bytes would mix.
        if (!tier) throw new Error('a chunk was released that is not lent');
        tier.free.push(chunk);
      }
      serve();
    },
    stats: () => {
      const free = tiers.reduce((sum, tier) => sum + tier.free.length, 0);
      const lent = tiers.reduce((sum, tier) => sum + tier.lent.size, 0);
      return { made: free + lent, free, waiting: waiting.length };
    },
  };
};
