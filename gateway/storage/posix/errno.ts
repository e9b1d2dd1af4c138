/** The one place where an errno becomes an S3 error. AWS has no code for most of these: the choices are noted in the table. */
import { type ErrorCode, S3Error } from '../../errors.js';
import { isErrno } from './syscalls.js';

/**
 * What the failed call was about: a `read` or a `write` of a key's file, or the gateway's own files (`service`), where a
 * missing file or a refused permission is no answer to the client's question.
 */
export type ErrnoContext = 'read' | 'write' | 'service';

type Row = readonly [code: ErrorCode, message?: string];

const conflict =
  'A file stands where the key needs a directory, a directory where it needs a file, or something that is no object.';
const full = 'The filesystem has no space left for this.';
const unreachable = 'The filesystem does not answer at the moment. Please try again.';

/** Rows that hold whatever the call was about. */
const always: Record<string, Row> = {
  ENOSPC: ['InsufficientStorage', full], // 507, as the peers answer
  EDQUOT: ['QuotaExceeded', 'The disk quota of the owner of these files is used up.'],
  EFBIG: ['EntityTooLarge', 'The file would become larger than the filesystem allows.'],
  EROFS: ['ServiceUnavailable', 'The filesystem is mounted read-only.'],
  EMFILE: ['SlowDown'],
  ENFILE: ['SlowDown'],
  ENOMEM: ['SlowDown'],
  EAGAIN: ['SlowDown'],
  EBUSY: ['SlowDown', 'The file is in use by the system. Please try again.'],
  ENOLCK: ['SlowDown', 'The filesystem has no lock to give. Please try again.'],
  ESTALE: ['ServiceUnavailable', 'The file changed on the file server meanwhile. Please try again.'],
  ETIMEDOUT: ['ServiceUnavailable', unreachable],
  EHOSTDOWN: ['ServiceUnavailable', unreachable],
  EHOSTUNREACH: ['ServiceUnavailable', unreachable],
  ENOTCONN: ['ServiceUnavailable', unreachable],
  ESHUTDOWN: ['ServiceUnavailable', unreachable],
  EIO: ['InternalError', 'The filesystem reported an input/output error.'],
};

/** Rows that hold for the file of a key. */
const ofKey: Record<ErrnoContext, Record<string, Row>> = {
  read: {
    ENOENT: ['NoSuchKey'],
    ENOTDIR: ['NoSuchKey'],
    EISDIR: ['NoSuchKey'],
    ELOOP: ['NoSuchKey'], // a symbolic link is no object
    EXDEV: ['NoSuchKey'], // RESOLVE_BENEATH: the path would leave the bucket
    ENXIO: ['NoSuchKey'], // a FIFO without a writer, a socket, a device
    ENODEV: ['NoSuchKey'],
    ENAMETOOLONG: ['NoSuchKey'],
    EINVAL: ['NoSuchKey'], // a name that this filesystem cannot hold
    EILSEQ: ['NoSuchKey'],
    EACCES: ['AccessDenied'],
    EPERM: ['AccessDenied'],
  },
  write: {
    // The bucket's directory itself: everything below it is made as needed, and retried when it vanishes.
    ENOENT: ['ServiceUnavailable', 'The directory was removed while the request ran. Please try again.'],
    ENOTDIR: ['KeyConflict', conflict],
    EISDIR: ['KeyConflict', conflict],
    EEXIST: ['KeyConflict', conflict],
    ENOTEMPTY: ['KeyConflict', 'A directory with objects stands at this name.'],
    ELOOP: ['KeyConflict', 'A symbolic link stands on the path of the key.'],
    ENXIO: ['KeyConflict', conflict],
    ENODEV: ['KeyConflict', conflict],
    ETXTBSY: ['KeyConflict', 'The file is a program that runs at the moment.'],
    EXDEV: ['KeyConflict', 'Another filesystem is mounted on the path of the key: it cannot be written there.'],
    ENAMETOOLONG: ['KeyTooLongError', 'The key is longer than a path of this filesystem may be.'],
    EINVAL: ['InvalidArgument', 'The filesystem cannot hold this key.'],
    EILSEQ: ['InvalidArgument', 'The filesystem cannot hold this key: it wants other characters.'],
    EMLINK: ['InsufficientStorage', 'The directory holds as many entries as the filesystem allows.'],
    EACCES: ['AccessDenied'],
    EPERM: ['AccessDenied'],
  },
  service: {},
};

/**
 * The S3 error that a failure of the filesystem means to the client; the failure is its cause. An `S3Error` is returned
 * as it is, anything else becomes InternalError.
 */
export const toS3Error = (error: unknown, context: ErrnoContext = 'service'): S3Error => {
  if (error instanceof S3Error) return error;
  if (!isErrno(error)) return new S3Error('InternalError', { cause: error });
  const row = ofKey[context][error.code] ?? always[error.code];
  if (!row) return new S3Error('InternalError', { cause: error });
  const [code, message] = row;
  return message === undefined ? new S3Error(code, { cause: error }) : new S3Error(code, { message, cause: error });
};
