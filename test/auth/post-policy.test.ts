import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { verifyPostPolicy } from '../../gateway/auth/post-policy.js';
import { signature, signingKey } from '../../gateway/auth/sigv4/key.js';
import { S3Error } from '../../gateway/errors.js';
import { hmacV2 } from './signer.js';

const now = Date.UTC(2026, 10, 23, 6);
const secret = 'secret';
const lookup = async (key: string) => (key === 'AK' ? secret : undefined);
const later = '2026-11-23T08:00:00Z';
const basics = [{ bucket: 'b' }, ['starts-with', '$key', 'foo'], { acl: 'private' }];
const form = { key: 'foo.txt', acl: 'private' };

type Document = Record<string, unknown> | string;

/** A version 2 form: `document` signed, `fields` beside it. */
function v2(document: Document, fields: Record<string, string> = form): [string, string][] {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const policy = Buffer.from(text).toString('base64');
  return Object.entries({ ...fields, AWSAccessKeyId: 'AK', policy, signature: hmacV2(secret, policy) });
}

async function verify(fields: [string, string][], bucket = 'b') {
  const lower = new Map(fields.map(([name, value]) => [name.toLowerCase(), value]));
  return verifyPostPolicy(lower, { bucket, now, lookup });
}

async function outcome(fields: [string, string][], bucket?: string): Promise<string> {
  try {
    await verify(fields, bucket);
    return 'accepted';
  } catch (error) {
    if (error instanceof S3Error) return `${error.status} ${error.code}`;
    throw error;
  }
}

const policy = (...conditions: unknown[]) => ({ expiration: later, conditions: [...basics, ...conditions] });
const t = suite('post policy');

t('anonymous', async () => {
  assert.is(await verify([['key', 'x']]), undefined);
});

t('version 2', async () => {
  const result = await verify(v2(policy(['content-length-range', 0, 1024])));
  assert.equal(result, { accessKey: 'AK', scheme: 'v2', range: { min: 0, max: 1024 } });
  assert.is((await verify(v2(policy())))!.range, undefined);
});

t('version 4', async () => {
  const document = policy(
    { 'x-amz-algorithm': 'AWS4-HMAC-SHA256' },
    { 'x-amz-credential': 'AK/20261123/US/s3/aws4_request' },
    ['eq', '$X-Amz-Date', '20261123T060000Z'],
  );
  const encoded = Buffer.from(JSON.stringify(document)).toString('base64');
  const key = signingKey('AK', secret, { date: '20261123', region: 'US', service: 's3' });
  const fields: Record<string, string> = {
    ...form,
    policy: encoded,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': 'AK/20261123/US/s3/aws4_request',
    'X-Amz-Date': '20261123T060000Z',
    'X-Amz-Signature': signature(key, encoded),
  };
  const changed = (change: Record<string, string>) => outcome(Object.entries({ ...fields, ...change }));
  assert.is((await verify(Object.entries(fields)))!.scheme, 'v4');
  assert.is(await changed({ 'X-Amz-Signature': 'a'.repeat(64) }), '403 SignatureDoesNotMatch');
  assert.is(await changed({ 'X-Amz-Signature': '' }), '400 InvalidArgument');
  assert.is(await changed({ 'X-Amz-Algorithm': 'X' }), '400 InvalidArgument');
  assert.is(await changed({ 'X-Amz-Date': '20261124T060000Z' }), '400 InvalidArgument');
  assert.is(await changed({ 'X-Amz-Credential': 'AK/20261123/US/ec2/aws4_request' }), '400 InvalidArgument');
  assert.is(await changed({ 'X-Amz-Credential': 'XX/20261123/US/s3/aws4_request' }), '403 InvalidAccessKeyId');
  assert.is(await changed({ signature: 'x' }), '400 InvalidArgument', 'both versions');
  const without: Record<string, string> = { ...fields };
  delete without['policy'];
  assert.is(await outcome(Object.entries(without)), '400 InvalidArgument');
});

t('who signed', async () => {
  const good = v2(policy());
  const changed = (name: string, value: string | undefined) =>
    outcome(good.filter(([n]) => n !== name || value !== undefined).map(([n, v]) => [n, n === name ? value! : v]));
  assert.is(await changed('signature', 'x'), '403 SignatureDoesNotMatch');
  assert.is(await changed('signature', undefined), '400 InvalidArgument');
  assert.is(await changed('AWSAccessKeyId', 'foo'), '403 InvalidAccessKeyId');
  assert.is(await changed('AWSAccessKeyId', undefined), '400 InvalidArgument');
  assert.is(await changed('policy', undefined), '400 InvalidArgument');
  assert.is(await changed('policy', Buffer.from('{}').toString('base64')), '403 SignatureDoesNotMatch');
});

t('documents', async () => {
  const cases: [Document, string][] = [
    ['{', '400 InvalidPolicyDocument'],
    ['[]', '400 InvalidPolicyDocument'],
    ['null', '400 InvalidPolicyDocument'],
    [{ conditions: basics }, '400 InvalidPolicyDocument'],
    [{ expiration: later }, '400 InvalidPolicyDocument'],
    [{ EXPIRATION: later, conditions: basics }, '400 InvalidPolicyDocument'],
    [{ expiration: later, CONDITIONS: basics }, '400 InvalidPolicyDocument'],
    [{ expiration: '2026-11-23 08:00:00.123456+00:00', conditions: basics }, '400 InvalidPolicyDocument'],
    [{ expiration: 1, conditions: basics }, '400 InvalidPolicyDocument'],
    [{ expiration: '2026-11-23T05:59:59Z', conditions: basics }, '403 AccessDenied'],
    [{ expiration: later, conditions: [{}] }, '400 InvalidPolicyDocument'],
    [{ expiration: later, conditions: [] }, '403 AccessDenied'],
    [policy(['content-length-range', 0]), '400 InvalidPolicyDocument'],
    [policy(['content-length-range', -1, 0]), '400 InvalidPolicyDocument'],
    [policy(['ends-with', '$key', 'x']), '400 InvalidPolicyDocument'],
    [policy(['eq', 'key', 'x']), '400 InvalidPolicyDocument'],
    [policy({ a: 'b', c: 'd' }), '400 InvalidPolicyDocument'],
    [policy({ a: 1 }), '400 InvalidPolicyDocument'],
    [policy('x'), '400 InvalidPolicyDocument'],
    [policy(['content-length-range', '1', '2']), 'accepted'],
  ];
  for (const [document, expected] of cases) {
    assert.is(await outcome(v2(document)), expected, JSON.stringify(document));
  }
});

t('conditions', async () => {
  const meta = (condition: unknown, value?: string) =>
    outcome(v2(policy(condition), value === undefined ? form : { ...form, 'x-amz-meta-foo': value }));
  assert.is(await meta(['starts-with', '$x-amz-meta-foo', 'bar'], 'barclamp'), 'accepted');
  assert.is(await meta(['starts-with', '$x-amz-meta-foo', 'bar'], 'Barclamp'), '403 AccessDenied');
  assert.is(await meta(['starts-with', '$x-amz-meta-foo', 'bar']), '403 AccessDenied', 'the field is missing');
  assert.is(await meta(['starts-with', '$x-amz-meta-foo', ''], 'any'), 'accepted');
  assert.is(await meta(['eq', '$x-amz-meta-foo', ''], 'barclamp'), '403 AccessDenied');
  assert.is(await meta({ 'x-amz-meta-foo': 'v' }, 'v'), 'accepted');
  assert.is(await outcome(v2(policy(), { ...form, key: 'bar' })), '403 AccessDenied');
});

t('every field is covered', async () => {
  const error = await verify(v2(policy(), { ...form, 'x-amz-meta-foo': 'x' })).catch((e: S3Error) => e);
  assert.is((error as S3Error).message, 'Invalid according to Policy: Extra input fields: x-amz-meta-foo');
  assert.is(await outcome(v2(policy(), { ...form, 'x-ignore-foo': 'x' })), 'accepted');
  assert.is(await outcome(v2(policy(), { ...form, 'x-amz-checksum-sha256': 'x' })), 'accepted');
  assert.is(await outcome(v2(policy(), { ...form, 'x-amz-checksum-type': 'x' })), '403 AccessDenied');
  assert.is(
    await outcome(v2({ expiration: later, conditions: basics.slice(1) })),
    '403 AccessDenied',
    'the bucket too',
  );
});

t('the bucket is the one of the address', async () => {
  assert.is(await outcome(v2(policy(), { ...form, bucket: 'b' }), 'b'), 'accepted');
  assert.is(await outcome(v2(policy(), { ...form, bucket: 'b' }), 'other'), '403 AccessDenied');
  assert.is(await outcome(v2(policy()), 'other'), '403 AccessDenied');
});

t('case and escapes', async () => {
  const document = {
    expiration: later,
    conditions: [{ bUcKeT: 'b' }, ['StArTs-WiTh', '$KeY', 'foo'], { AcL: 'private' }],
  };
  assert.is(await outcome(v2(document, { kEy: 'foo.txt', aCl: 'private' })), 'accepted');
  const key = { ...form, key: '\\$foo.txt' };
  const escaped = {
    expiration: later,
    conditions: [{ bucket: 'b' }, { acl: 'private' }, ['starts-with', '$key', '\\$foo']],
  };
  assert.is(await outcome(v2(escaped, key)), 'accepted', 'a backslash of JSON');
  const raw = `{"expiration":"${later}","conditions":[{"bucket":"b"},{"acl":"private"},["eq","$key","\\$foo"]]}`;
  assert.is(await outcome(v2(raw, { ...form, key: '$foo' })), 'accepted', "AWS's own escape");
});

t.run();
