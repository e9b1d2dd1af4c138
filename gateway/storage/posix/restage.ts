/**
 * Publishing where a staged file cannot go by a rename: onto a filesystem that is mounted inside the bucket, or into a
 * directory that hands down a group which only the kernel can give.
 */
import { reservedSegment } from '../keys.js';
import { busyNow } from './failures.js';
import { acting } from './identity.js';
import type { BucketDir } from './paths.js';
import type { Staged } from './staged.js';
import {
  AT_REMOVEDIR,
  close,
  E,
  errnoError,
  fdatasync,
  fstat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  pread,
  pwrite,
  RESOLVE_INSIDE,
  tryCopyFileRange,
  tryFlock,
  tryMkdirat,
  tryOpenat2,
  tryUnlinkat,
} from './syscalls.js';

const SLICE = 1 << 20;

/**
 * Copies a staged file into a `.tidegate` directory beside its target, and makes `staged` that copy. `done` removes what is left:
 * when the copy was published that is what it was made of, else `staged` is that again.
 */
export const restage = (
  bucket: BucketDir,
  staged: Staged,
  parent: number,
): { directory: number; name: string; done: () => void } => {
  const { name, fd: from } = staged;
  const { directory, to } = openBeside(bucket, parent, name);
  const done = () => {
    if (staged.fd < 0) {
      close(from);
      tryUnlinkat(bucket.area('staging'), name);
    } else {
      tryUnlinkat(directory, name);
      close(to);
      staged.fd = from;
    }
    close(directory);
    // Not while somebody else is at work in it.
    tryUnlinkat(parent, reservedSegment, AT_REMOVEDIR);
  };
  try {
    tryFlock(to);
    copyBytes(from, 0, to, 0, fstat(from).size);
    if (bucket.ground.durability !== 'none') fdatasync(to);
  } catch (error) {
    done();
    throw error;
  }
  staged.fd = to;
  return { directory, name, done };
};

/** Whoever has finished removes the directory when it is empty, also one that we have just made or entered. */
const ATTEMPTS = 64;

/** A new file in the `.tidegate` of a directory, which is made when it is not there. */
const openBeside = (bucket: BucketDir, parent: number, name: string): { directory: number; to: number } => {
  for (let attempt = 0; ; attempt++) {
    const made = tryMkdirat(parent, reservedSegment, 0o700);
    if (made < 0 && made !== -E.EEXIST) throw errnoError(-made, 'mkdir');
    const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
    const directory = tryOpenat2(parent, reservedSegment, flags, 0, RESOLVE_INSIDE);
    if (directory === -E.ENOENT && attempt < ATTEMPTS) continue;
    if (directory < 0) throw errnoError(-directory, 'openat2');
    if (bucket.shared && fstat(directory).uid !== acting()?.uid) {
      // Whoever owns it could exchange what lies in it: later, when he has finished, or with an error that says so.
      close(directory);
      busyNow();
    }
    // A first attempt may have left it when a lock or a parent was lost.
    tryUnlinkat(directory, name);
    const create = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    const to = tryOpenat2(directory, name, create, bucket.ground.fileMode, RESOLVE_INSIDE);
    if (to >= 0) return { directory, to };
    const gone = fstat(directory).nlink === 0;
    close(directory);
    if (to === -E.ENOENT && gone && attempt < ATTEMPTS) continue;
    throw errnoError(-to, 'openat2');
  }
};

/** Copies bytes of one open file into another, within the kernel where it can. EIO when the source is shorter. */
export const copyBytes = (from: number, fromOffset: number, to: number, toOffset: number, length: number): void => {
  let done = 0;
  let buffer: Buffer | undefined;
  while (done < length) {
    const copied = buffer
      ? -E.EXDEV
      : tryCopyFileRange(from, fromOffset + done, to, toOffset + done, Math.min(length - done, 1 << 30));
    if (copied > 0) {
      done += copied;
      continue;
    }
    // "Copy it yourself", in many words; also 0, which some filesystems answer for files they cannot do.
    if (copied < 0 && !fallback.has(-copied)) throw errnoError(-copied, 'copy_file_range');
    buffer ??= Buffer.allocUnsafe(SLICE);
    const got = pread(from, buffer.subarray(0, Math.min(SLICE, length - done)), fromOffset + done);
    if (got === 0) throw errnoError(E.EIO, 'read');
    pwrite(to, buffer.subarray(0, got), toOffset + done);
    done += got;
  }
};

const fallback = new Set([E.EXDEV, E.EINVAL, E.ENOSYS, E.EOPNOTSUPP, E.EBADF, E.EPERM, E.EIO]);
