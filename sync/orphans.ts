/**
 * Collects metadata files whose object has gone. The bucket loop calls it after a complete scan, when the catalog knows
 * every inode of the bucket; once a day is enough.
 */
import type { Candidate } from '../gateway/storage/posix/orphan-ops.js';
import { orphanAreas } from '../gateway/storage/posix/orphan-ops.js';
import type { Ground } from '../gateway/storage/posix/paths.js';
import type { Pool } from '../gateway/storage/posix/pool-types.js';

export interface Orphans {
  removed: number;
  /** Why candidates stayed: a directory could not be looked into, or was moved meanwhile. */
  kept?: string;
}

/** So many at once; what is more waits for the next time. */
const MOST = 10_000;
/** Directory entries that one call looks at: some 20 ms. */
const ENTRIES = 5_000;

/**
 * Removes what nothing in the bucket has the inode of, if nobody has touched it for `ageMs`. Safe beside uploads: what they
 * write is young. Rejects only for what no user can cause.
 * @param knows whether the catalog has an object of this inode: these are not looked for. A wrong "yes" keeps a file, a
 *   wrong "no" costs a walk through the bucket, and nothing else.
 */
export const collectOrphans = async (
  pool: Pick<Pool, 'run' | 'lane'>,
  ground: Ground,
  knows: (ino: bigint) => boolean,
  ageMs: number,
): Promise<Orphans> => {
  const lane = pool.lane();
  let removed = 0;
  for (const area of orphanAreas) {
    const candidates: Candidate[] = [];
    const id = await pool.run('orphanOpen', [ground, area], { lane });
    if (id === undefined) continue;
    try {
      while (candidates.length < MOST) {
        const found = await pool.run('orphanNext', [id], { lane });
        if (!found) break;
        const unknown = found.filter(({ ino }) => !knows(ino));
        const names = unknown.map(({ name }) => name);
        if (names.length === 0) continue;
        const old = new Set(await pool.run('orphanOld', [ground, area, names, ageMs], { lane }));
        candidates.push(...unknown.filter(({ name }) => old.has(name)));
      }
    } finally {
      await pool.run('orphanClose', [id], { lane });
    }
    if (candidates.length === 0) continue;
    const inos = new Set(candidates.map(({ ino }) => ino));
    try {
      for (let directories = ['']; directories.length > 0; ) {
        const look = await pool.run('orphanLook', [ground, directories, inos, ENTRIES], { lane });
        for (const ino of look.seen) inos.delete(ino);
        if (inos.size === 0) break;
        directories = look.directories;
      }
    } catch (error) {
      return { removed, kept: error instanceof Error ? reasonOf(error) : String(error) };
    }
    const gone = candidates.filter(({ ino }) => inos.has(ino) && !knows(ino)).map(({ name }) => name);
    if (gone.length > 0) removed += await pool.run('orphanRemove', [ground, area, gone, ageMs], { lane });
  }
  return { removed };
};

const reasonOf = (error: Error): string => (error.cause instanceof Error ? error.cause.message : error.message);
