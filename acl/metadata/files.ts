/** What every way of storing a record shares: the bucket's `meta/` directory and the small files in it. */
import { randomBytes } from 'node:crypto';
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
  renameat,
  S_IFMT,
  S_IFREG,
  tryOpenat2,
  tryUnlinkat,
} from '../../gateway/storage/posix/syscalls.js';
import { MAX_PACKED } from './codec.js';
import type { Stamp } from './stamp.js';

/** What storing needs of a bucket. */
export interface MetaGround {
  readonly ground: {
    readonly durability: 'full' | 'data' | 'none';
    readonly sidecars: boolean;
    readonly fileMode: number;
  };
  /** Of the bucket's own directory, and its filesystem. */
  readonly fd: number;
  dev(): number;
  area(name: 'meta' | 'staging'): number;
  /** Several users share the bucket: `meta` is closed to them. */
  readonly shared: boolean;
  asGateway<T>(work: () => T): T;
}

export interface Saved {
  /** Stores the same metadata with another stamp. */
  restamp(stamp: Stamp): void;
  /** For a file that is thrown away. */
  undo(): void;
}

/**
 * A new file; nothing is left of it when it cannot be written whole. In a shared bucket the actor writes it in his own
 * `staging`, so that it is his and counts for his quota, and the gateway moves it; like the object it is readable for the
 * bucket's owner, who alone works there when the bucket is not shared any more.
 */
export const writeWhole = (bucket: MetaGround, name: string, bytes: Uint8Array): void => {
  const directory = bucket.area(bucket.shared ? 'staging' : 'meta');
  const draft = bucket.shared ? randomBytes(16).toString('hex') : name;
  const mode = bucket.shared ? bucket.ground.fileMode & 0o666 : 0o600;
  const fd = openat2(directory, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode, RESOLVE_INSIDE);
  try {
    pwrite(fd, bytes, 0);
    if (bucket.ground.durability !== 'none') fsync(fd);
    if (bucket.shared) bucket.asGateway(() => renameat(directory, draft, bucket.area('meta'), name));
  } catch (error) {
    tryUnlinkat(directory, draft);
    throw error;
  } finally {
    close(fd);
  }
};

export const readWhole = (bucket: MetaGround, name: string): Buffer | undefined => {
  // Non-blocking: a user may have put a FIFO there.
  const flags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW;
  const fd = bucket.asGateway(() => tryOpenat2(bucket.area('meta'), name, flags, 0, RESOLVE_INSIDE));
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
