/**
 * Records in files of their own, by inode number, where the filesystem has no user attributes (NFSv3, FAT, some FUSE).
 * The inode number survives the rename that publishes a file, so the record can be there before the file is seen.
 */
import { randomBytes } from 'node:crypto';
import { errnoError, type Stat, tryRenameat2, tryUnlinkat } from '../../gateway/storage/posix/syscalls.js';
import { encode, type Packed } from './codec.js';
import { type MetaGround, readWhole, writeWhole } from './files.js';

/** Another filesystem mounted inside the bucket numbers its inodes anew. */
const nameOf = (bucket: MetaGround, stat: Stat): string =>
  stat.dev === bucket.dev ? `i${stat.ino}` : `i${stat.ino}-${stat.dev.toString(16)}`;

export const readSidecar = (bucket: MetaGround, stat: Stat): Buffer | undefined =>
  readWhole(bucket, nameOf(bucket, stat));

export const writeSidecar = (bucket: MetaGround, stat: Stat, packed: Packed): void => {
  const directory = bucket.area('meta');
  const temporary = `new-${randomBytes(16).toString('hex')}`;
  writeWhole(bucket, temporary, encode(packed));
  const result = tryRenameat2(directory, temporary, directory, nameOf(bucket, stat));
  if (result === 0) return;
  tryUnlinkat(directory, temporary);
  throw errnoError(-result, 'rename');
};

export const dropSidecar = (bucket: MetaGround, stat: Stat): void => {
  tryUnlinkat(bucket.area('meta'), nameOf(bucket, stat));
};
