/** Recycled chunks of shared memory, through which the bytes of large bodies pass between the sockets and the workers. */
import { S3Error } from '../../errors.js';

export const CHUNK_BYTES = 1024 * 1024;

export interface Buffers {
  /**
   * `count` chunks at once: a stream that needs two must not hold one while it waits for the other, or streams that
   * hold one each wait for one another for ever. First come, first served. Rejects with SlowDown after `waitMs`.
   */
  acquire(count: number): Promise<Buffer[]>;
  /** Gives chunks back when nobody reads or writes them any more. */
  release(chunks: readonly Buffer[]): void;
  /** For metrics and tests. */
  stats(): { made: number; free: number; waiting: number };
}

export interface BuffersOptions {
  /** Chunks in all: the bound of the memory that transfers take. Made when first needed. */
  limit?: number;
  chunkBytes?: number;
  waitMs?: number;
}

interface Waiter {
  count: number;
  resolve(chunks: Buffer[]): void;
  timer: NodeJS.Timeout;
}

/** Shared memory is never cleared between uses: whoever fills a chunk hands on only what it filled. */
export const createBuffers = (options: BuffersOptions = {}): Buffers => {
  const { limit = 256, chunkBytes = CHUNK_BYTES, waitMs = 30_000 } = options;
  const free: Buffer[] = [];
  const lent = new Set<Buffer>();
  const waiting: Waiter[] = [];

  const take = (count: number): Buffer[] | undefined => {
    if (limit - lent.size < count) return undefined;
    return Array.from({ length: count }, () => {
      const chunk = free.pop() ?? Buffer.from(new SharedArrayBuffer(chunkBytes));
      lent.add(chunk);
      return chunk;
    });
  };

  const serve = (): void => {
    for (let first: Waiter | undefined; (first = waiting[0]); ) {
      const chunks = take(first.count);
      if (!chunks) return;
      waiting.shift();
      clearTimeout(first.timer);
      first.resolve(chunks);
    }
  };

  return {
    acquire: (count) => {
      if (count > limit) return Promise.reject(new RangeError(`${count} chunks of ${limit}`));
      // Nobody overtakes those who wait already.
      const chunks = waiting.length === 0 ? take(count) : undefined;
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
        // Given back twice, one chunk would serve two streams: their bytes would mix.
        if (!lent.delete(chunk)) throw new Error('a chunk was released that is not lent');
        free.push(chunk);
      }
      serve();
    },
    stats: () => ({ made: free.length + lent.size, free: free.length, waiting: waiting.length }),
  };
};
