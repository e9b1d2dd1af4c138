import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodes, invalidArgument, notImplemented, S3Error, statusOf } from '../gateway/errors.js';

const test = suite('errors');

test('the table is in order', () => assert.equal(errorCodes, [...errorCodes].sort()));

test('every code has an error status and a message', () => {
  for (const code of errorCodes) {
    const error = new S3Error(code);
    assert.ok(error.status >= 300 && error.status < 600, code);
    assert.is(error.status, statusOf(code));
    assert.ok(error.message.length > 3, code);
  }
});

test('details', () => {
  const cause = new Error('why');
  const error = new S3Error('NoSuchKey', { message: 'gone', cause, fields: { Key: 'k' }, headers: { a: 'b' } });
  assert.is(error.message, 'gone');
  assert.is(error.cause, cause);
  assert.is(error.status, 404);
  assert.equal([error.fields, error.headers], [{ Key: 'k' }, { a: 'b' }]);
  assert.equal(invalidArgument('max-keys', 'x').fields, { ArgumentName: 'max-keys', ArgumentValue: 'x' });
  assert.equal(notImplemented('x-amz-acl').fields, { Header: 'x-amz-acl' });
});

test.run();
