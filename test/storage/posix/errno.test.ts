import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../../gateway/errors.js';
import { type ErrnoContext, toS3Error } from '../../../gateway/storage/posix/errno.js';
import { E, errnoError, errnoName } from '../../../gateway/storage/posix/syscalls.js';

const contexts: ErrnoContext[] = ['read', 'write', 'service'];

const everywhere: [string, string, number][] = [
  ['ENOSPC', 'InsufficientStorage', 507],
  ['EDQUOT', 'QuotaExceeded', 403],
  ['EFBIG', 'EntityTooLarge', 400],
  ['EROFS', 'ServiceUnavailable', 503],
  ['EMFILE', 'SlowDown', 503],
  ['ENFILE', 'SlowDown', 503],
  ['ENOMEM', 'SlowDown', 503],
  ['EAGAIN', 'SlowDown', 503],
  ['EBUSY', 'SlowDown', 503],
  ['ENOLCK', 'SlowDown', 503],
  ['ESTALE', 'ServiceUnavailable', 503],
  ['ETIMEDOUT', 'ServiceUnavailable', 503],
  ['EHOSTUNREACH', 'ServiceUnavailable', 503],
  ['ENOTCONN', 'ServiceUnavailable', 503],
  ['EIO', 'InternalError', 500],
];

for (const [name, code, status] of everywhere) {
  test(`${name} is ${code} whatever the call was about, with the errno as cause`, () => {
    for (const context of contexts) {
      const cause = errnoError(E[name as keyof typeof E], 'write');
      assert.is(cause.code, name);
      const error = toS3Error(cause, context);
      assert.is(error.code, code);
      assert.is(error.status, status);
      assert.is(error.cause, cause);
    }
  });
}

const byContext: [string, string, string][] = [
  ['ENOENT', 'NoSuchKey', 'ServiceUnavailable'],
  ['ENOTDIR', 'NoSuchKey', 'KeyConflict'],
  ['EISDIR', 'NoSuchKey', 'KeyConflict'],
  ['ELOOP', 'NoSuchKey', 'KeyConflict'],
  ['EXDEV', 'NoSuchKey', 'KeyConflict'],
  ['ENXIO', 'NoSuchKey', 'KeyConflict'],
  ['ENODEV', 'NoSuchKey', 'KeyConflict'],
  ['ENAMETOOLONG', 'NoSuchKey', 'KeyTooLongError'],
  ['EINVAL', 'NoSuchKey', 'InvalidArgument'],
  ['EILSEQ', 'NoSuchKey', 'InvalidArgument'],
  ['EACCES', 'AccessDenied', 'AccessDenied'],
  ['EPERM', 'AccessDenied', 'AccessDenied'],
  ['EEXIST', 'InternalError', 'KeyConflict'],
  ['ENOTEMPTY', 'InternalError', 'KeyConflict'],
  ['ETXTBSY', 'InternalError', 'KeyConflict'],
  ['EMLINK', 'InternalError', 'InsufficientStorage'],
];

for (const [name, reading, writing] of byContext) {
  test(`${name}: ${reading} when reading a key, ${writing} when writing, our own fault in the service's files`, () => {
    const error = errnoError(E[name as keyof typeof E], 'open');
    assert.is(toS3Error(error, 'read').code, reading);
    assert.is(toS3Error(error, 'write').code, writing);
    assert.is(toS3Error(error).code, 'InternalError');
  });
}

test('an S3Error passes as it is; anything else is InternalError with its cause', () => {
  const own = new S3Error('NoSuchUpload');
  assert.is(toS3Error(own, 'write'), own);
  const bug = new TypeError('x is not a function');
  const error = toS3Error(bug, 'read');
  assert.is(error.code, 'InternalError');
  assert.is(error.cause, bug);
  assert.is(errnoName(99_999), 'E99999');
});

test.run();
