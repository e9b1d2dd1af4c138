/**
 * Which directory a bucket is. A filesystem that is not mounted leaves an empty directory in its place, and a restored backup
 * may be incomplete: then a look must not conclude that a million objects were deleted. Only a sync of the whole bucket that
 * asks for DELETE takes another directory for the bucket's.
 */
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import { fstat } from '../gateway/storage/posix/syscalls.js';
import type { Catalog } from './catalog.js';

const NOTE = 'home';
/**
 * Not the device: its number changes when a network filesystem is mounted anew. When it was made, too, where that is known:
 * the roots of most filesystems have the same inode.
 */
const identify = ({ fd }: BucketDir): string => {
  const { ino, birthNs } = fstat(fd);
  return birthNs === 0n ? `${ino}` : `${ino}:${birthNs}`;
};

const isSame = (one: string, other: string): boolean => {
  const [[ino, birth], [otherIno, otherBirth]] = [one.split(':'), other.split(':')];
  return ino === otherIno && (birth === undefined || otherBirth === undefined || birth === otherBirth);
};

export const isHome = (bucket: BucketDir, catalog: Pick<Catalog, 'note'>): boolean => {
  const known = catalog.note<string>(NOTE);
  return known !== undefined && isSame(known, identify(bucket));
};

/** False in a catalog that was just made. */
export const hasHome = (catalog: Pick<Catalog, 'note'>): boolean => catalog.note<string>(NOTE) !== undefined;

/** @param anew also when another one is known */
export function settleHome(
  inside: <T>(work: (bucket: BucketDir) => T) => T,
  catalog: Pick<Catalog, 'note' | 'commit'>,
  anew: boolean,
): void {
  const known = catalog.note<string>(NOTE);
  if (known !== undefined && !anew) return;
  const now = inside(identify);
  if (now !== known) catalog.commit({ notes: { [NOTE]: now } });
}
