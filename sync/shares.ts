/**
 * Which of a gateway's engines has which buckets. System calls of an engine are synchronous, so one filesystem that hangs would
 * hold up all others: each, but that of the root, has an engine of its own.
 */
import { createMounts, type Mounts } from '../gateway/storage/posix/mounts.js';
import type { Bucket } from '../gateway/storage/types.js';
import type { EngineStart } from './process.js';

export interface Share {
  mine: Bucket[];
  /** Names of buckets that another engine of this gateway has. */
  elsewhere: ReadonlySet<string>;
  /** The other filesystems that have buckets, for an engine each. */
  filesystems: string[];
}

/** Engines of one gateway besides that of the root, which has the buckets of all further filesystems. */
const MOST = 16;

export function createShares(
  { root, filesystem, changelog, only }: Pick<EngineStart, 'root' | 'filesystem' | 'changelog' | 'only'>,
  mounts: Mounts = createMounts(),
): (buckets: readonly Bucket[]) => Share {
  return (buckets) => {
    if (only !== undefined) {
      return { mine: buckets.filter(({ name }) => name === only), elsewhere: new Set(), filesystems: [] };
    }
    const home = mounts.own(root).key;
    // A changelog has one reader, so whatever lies on its filesystem stays together.
    const keyOf = ({ path }: Bucket) => (changelog && mounts.own(path).key === home ? home : mounts.at(path).key);
    const keys = new Map(buckets.map((bucket) => [bucket.name, keyOf(bucket)]));
    const filesystems = [...new Set(keys.values())]
      .filter((key) => key !== home)
      .sort()
      .slice(0, MOST);
    const has = ({ name }: Bucket) => {
      const key = keys.get(name)!;
      return filesystem === undefined ? !filesystems.includes(key) : key === filesystem;
    };
    const mine = buckets.filter(has);
    const elsewhere = new Set(buckets.filter((bucket) => !has(bucket)).map(({ name }) => name));
    return { mine, elsewhere, filesystems };
  };
}
