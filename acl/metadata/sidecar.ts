/**
 * Records in files of their own, by inode number, where the filesystem has no user attributes (NFSv3, FAT, some FUSE).
 * The inode number survives the rename that publishes a file, so the record can be there before the file is seen.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  E,
  errnoError,
  pathOf,
  S_IFDIR,
  S_IFMT,
  type Stat,
  tryLinkat,
  tryRenameat2,
  tryUnlinkat,
} from '../../gateway/storage/posix/syscalls.js';
import { encode, type Packed } from './codec.js';
import { type MetaGround, readWhole, writeWhole } from './files.js';

/**
 * Another filesystem mounted inside the bucket numbers its inodes anew. A directory's name has its path in it: of a
 * directory nothing but the inode number is stamped (and its birth, where that is told), and the number is given again.
 */
export const sidecarName = (bucket: MetaGround, fd: number, stat: Stat): string => {
  const name = stat.dev === bucket.dev() ? `i${stat.ino}` : `i${stat.ino}-${stat.dev.toString(16)}`;
  if ((stat.mode & S_IFMT) !== S_IFDIR) return name;
  const path = pathOf(fd).slice(pathOf(bucket.fd).length);
  return `${name}-${createHash('sha256').update(path).digest('hex').slice(0, 16)}`;
};

export const readSidecar = (bucket: MetaGround, name: string): Buffer | undefined => readWhole(bucket, name);

/** @param fresh only where there is none: what somebody has stored meanwhile stays */
export const writeSidecar = (bucket: MetaGround, name: string, packed: Packed, fresh = false): void => {
  const directory = bucket.area('meta');
  const temporary = `${NEW}${randomBytes(16).toString('hex')}`;
  writeWhole(bucket, temporary, encode(packed));
  bucket.asGateway(() => {
    // A link is create-only everywhere but on FAT, which has no links: there whoever comes first is overwritten.
    const linked = fresh ? tryLinkat(directory, temporary, directory, name) : -E.EPERM;
    const result = linked === -E.EPERM ? tryRenameat2(directory, temporary, directory, name) : linked;
    if (linked !== -E.EPERM || result < 0) tryUnlinkat(directory, temporary);
    if (result < 0 && result !== -E.EEXIST) throw errnoError(-result, 'rename');
  });
};

/** How the names of sidecars begin that are not finished: a crash leaves them. */
export const NEW = 'new-';

export const dropSidecar = (bucket: MetaGround, name: string): void => {
  bucket.asGateway(() => tryUnlinkat(bucket.area('meta'), name));
};
