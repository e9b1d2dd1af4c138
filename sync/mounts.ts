/**
 * Filesystems that are mounted within a bucket. One that is unmounted, or whose server is away at the next boot, leaves the
 * directory below it, which is empty: nobody has deleted a million objects then. So where a filesystem was mounted nothing is
 * taken for deleted while none is; only a sync of that very directory that asks for DELETE says that it is gone for good.
 */
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import type { Catalog } from './catalog.js';
import { statDirectory } from './look.js';
import type { DirBytes, KeyBytes } from './types.js';

const NOTE = 'mounts';

export interface Mounts {
  /** A filesystem is mounted at this directory. */
  found(dir: DirBytes): void;
  /** The directory above a key from which a filesystem has gone; undefined: what is seen there is the truth. */
  missingAbove(bucket: BucketDir, key: KeyBytes): DirBytes | undefined;
  /** What is below a prefix now is what is meant to be there. */
  giveUp(prefix: KeyBytes): void;
}

export function createMounts(catalog: Pick<Catalog, 'note' | 'commit'>): Mounts {
  let known = catalog.note<DirBytes[]>(NOTE) ?? [];
  const keep = (dirs: DirBytes[]): void => {
    catalog.commit({ notes: { [NOTE]: dirs.length > 0 ? dirs : undefined } });
    known = dirs;
  };
  return {
    found(dir) {
      if (!known.includes(dir)) keep([...known, dir]);
    },
    missingAbove: (bucket, key) =>
      known.find((dir) => key.startsWith(dir) && statDirectory(bucket, dir)?.mountRoot !== true),
    giveUp(prefix) {
      const others = known.filter((dir) => !prefix.startsWith(dir));
      if (others.length < known.length) keep(others);
    },
  };
}
