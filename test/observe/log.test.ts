import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { createLog, scrub } from '../../gateway/observe/log.js';

const test = suite('observe/log');

function logged(work: (log: ReturnType<typeof createLog>) => void): string {
  let lines = '';
  work(createLog({ level: 'trace', destination: { write: (line) => void (lines += line) } }));
  return lines;
}

test('signatures and tokens leave a URL, the rest stays', () => {
  const url = '/b/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=abc&x-amz-security-token=tok&Signature=s%3D&partNumber=1';
  assert.is(
    scrub(url),
    '/b/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=[redacted]&x-amz-security-token=[redacted]&Signature=[redacted]&partNumber=1',
  );
  assert.not(logged((log) => log.info({ url }, 'x')).includes('abc'));
});

test('members by name', () => {
  const line = logged((log) => {
    log.info({ authorization: 'AWS a:s1', headers: { authorization: 's2', 'x-amz-security-token': 's3', host: 'h' } });
    log.info({ secret: 's4', key: { secret: 's5', accessKey: 'AK' }, config: { masterKey: 's6' } });
  });
  for (let i = 1; i <= 6; i++) assert.not(line.includes(`s${i}"`), `s${i}`);
  assert.ok(line.includes('"host":"h"') && line.includes('"accessKey":"AK"'));
});

test('errors: code, message, causes; not the fields, which quote the client', () => {
  const cause = Object.assign(new Error('EIO: read /x?X-Amz-Signature=abc'), { code: 'EIO' });
  const error = new S3Error('InternalError', { cause, fields: { ArgumentValue: 'AWS AK:hush' } });
  const line = JSON.parse(logged((log) => log.error({ err: error }, 'failed')));
  assert.is(line.level, 'error');
  assert.is(line.err.code, 'InternalError');
  assert.is(line.err.cause.code, 'EIO');
  assert.ok(line.err.cause.stack);
  const text = JSON.stringify(line);
  assert.not(text.includes('hush'));
  assert.not(text.includes('abc'));
});

test('an Authorization header that a message quotes', () => {
  assert.not(scrub('got "AWS AKIA:c2VjcmV0"').includes('c2VjcmV0'));
  const v4 = 'AWS4-HMAC-SHA256 Credential=A/1/r/s3/aws4_request, SignedHeaders=host, Signature=0123abcd';
  assert.not(scrub(v4).includes('0123abcd'));
});

test.run();
