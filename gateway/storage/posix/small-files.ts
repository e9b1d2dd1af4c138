/** Small files of the gateway's own, beside an upload's parts: read and written as a whole. */
import { isFile } from './lookup.js';
import type { BucketDir } from './paths.js';
import {
  close,
  fstat,
  fsync,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openat2,
  pread,
  pwrite,
  RESOLVE_INSIDE,
  tryUnlinkat,
} from './syscalls.js';

const MAX_FILE = 1 << 20;

/** The whole of a small regular file; undefined when it is too large or something else. */
export const readSmall = (fd: number, stat = fstat(fd)): Buffer | undefined => {
  if (!isFile(stat) || stat.size > MAX_FILE) return undefined;
  const bytes = Buffer.allocUnsafe(stat.size);
  return bytes.subarray(0, pread(fd, bytes, 0));
};

/** A new small file, on disk where that is asked for. */
export const writeSmall = (bucket: BucketDir, directory: number, name: string, bytes: Uint8Array): void => {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const fd = openat2(directory, name, flags, 0o600, RESOLVE_INSIDE);
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
