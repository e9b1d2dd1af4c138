/** Reading one MDT's changelog, so that nothing is taken for read that is not. */
import type { ChangelogRecord } from './changelog-record.js';
import type { Lfs } from './lfs.js';

export interface ChangelogBatch {
  /** Hints; a forged one or one that comes twice does no harm. */
  records: ChangelogRecord[];
  /** Number of the last record that is surely one; undefined when there is none. */
  last: number | undefined;
  /** Numbers that should have been there: somebody cleared them. */
  missing: { from: number; to: number } | undefined;
  /** More can be read at once. */
  more: boolean;
}

/** Records of one name that look like others, at most: a name has 255 bytes, the shortest record about 50. */
const MOST_FORGED = 6;

/**
 * The next records of a changelog.
 *
 * Numbers follow one another without gaps. A line that only looks like a record stands in a name, never at the beginning
 * of the output. So a number that jumps ends the batch, and only where the next reading begins with it as well are records
 * missing; and the last number counts when a reading that begins there finds it.
 * @param next number of the first record that was not read yet; undefined when nothing is known
 */
export async function readBatch(
  lfs: Lfs,
  mdt: string,
  next: number | undefined,
  limit: number,
): Promise<ChangelogBatch> {
  const { records, ended } = await lfs.changelog(mdt, next ?? 0, limit);
  const first = records[0];
  if (!first) return { records, last: undefined, missing: undefined, more: !ended };
  const gap = next !== undefined && first.index > next ? { from: next, to: first.index - 1 } : undefined;
  const absent = new Set<number>();
  // An old MDT may write two records in the wrong order.
  if (gap && gap.to - gap.from < 100) for (let i = gap.from; i <= gap.to; i++) absent.add(i);
  let last = first.index;
  let used = 0;
  for (const { index } of records) {
    if (index > last + 1) break;
    if (index === last + 1) last = index;
    absent.delete(index);
    used++;
  }
  const missing = gap && (absent.size > 0 || gap.to - gap.from >= 100) ? gap : undefined;
  for (let tries = 0; last > first.index; tries++) {
    const [found] = (await lfs.changelog(mdt, last, 1)).records;
    if (found?.index === last) break;
    if (tries === MOST_FORGED) throw new Error(`records of ${mdt} vanish while they are read`);
    last--;
  }
  return { records: records.slice(0, used), last, missing, more: !ended || used < records.length };
}

/**
 * Whether the numbers of a changelog have begun anew (the MDT was made again), so that waiting for `next` would be waiting
 * for years: its first record is younger than the last that was read.
 * @param lastTime `ChangelogRecord.time` of that one
 */
export async function hasRestarted(lfs: Lfs, mdt: string, next: number, lastTime: string): Promise<boolean> {
  const [oldest] = (await lfs.changelog(mdt, 0, 1)).records;
  return oldest !== undefined && oldest.index < next && oldest.time > lastTime;
}
