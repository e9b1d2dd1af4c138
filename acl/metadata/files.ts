/** What every way of storing a record shares: the bucket's `meta/` directory and the small files in it. */

import {
  close,
  fstat,
  fsync,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  openat2,
  pread,
  pwrite,
  RESOLVE_INSIDE,
  S_IFMT,
  S_IFREG,
  tryOpenat2,
  tryUnlinkat,
} from '../../gateway/storage/posix/syscalls.js';
import { MAX_PACKED } from './codec.js';
import type { Stamp } from './stamp.js';

/** What storing needs of a bucket. */
export interface MetaGround {
  readonly ground: { readonly durability: 'full' | 'data' | 'none'; readonly sidecars: boolean };
  /** Of the bucket's own directory, and its filesystem. */
  readonly fd: number;
  readonly dev: number;
  area(name: 'meta'): number;
}

export interface Saved {
  /** Stores the same metadata with another stamp. */
  restamp(stamp: Stamp): void;
  /** For a file that is thrown away. */
  undo(): void;
}

/** A new file; nothing is left of it when it cannot be written whole. */
export const writeWhole = (bucket: MetaGround, name: string, bytes: Uint8Array): void => {
  const directory = bucket.area('meta');
  const fd = openat2(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600, RESOLVE_INSIDE);
  try {
    pwrite(fd, bytes, 0);
    if (bucket.ground.durability !== 'none') fsync(fd);
  } catch (error) {
    tryUnlinkat(directory, name);
    throw error;
  } finally {
    close(fd);
  }
};

export const readWhole = (bucket: MetaGround, name: string): Buffer | undefined => {
  // Non-blocking: a user may have put a FIFO there.
  const fd = tryOpenat2(bucket.area('meta'), name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (fd < 0) return undefined;
  try {
    const { mode, size } = fstat(fd);
    if ((mode & S_IFMT) !== S_IFREG || size > MAX_PACKED) return undefined;
    const bytes = Buffer.allocUnsafe(size);
    return bytes.subarray(0, pread(fd, bytes, 0));
  } finally {
    close(fd);
  }
};
