import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { getObject } from '../../../gateway/s3/ops/get-object.js';
import { getObjectTagging } from '../../../gateway/s3/ops/get-object-tagging.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { account, bytesOf, createWorld, fails, type Given, xmlOf } from '../context.js';

const test = suite('PutObject');
const md5 = (text: string, encoding: 'hex' | 'base64' = 'hex') => createHash('md5').update(text).digest(encoding);

async function puts(given: Given) {
  const world = await createWorld();
  const reply = await world.call(putObject, { body: 'bar', ...given });
  const head = await world.call(headObject, {
    key: given.key ?? 'k',
    headers: { 'x-amz-checksum-mode': 'ENABLED' },
  });
  return { world, reply, head: head.headers ?? {}, length: head.length };
}

/** Refused with this code, and nothing is there afterwards. */
async function refuses(code: string, given: Given) {
  const world = await createWorld();
  const error = await fails(code, world.call(putObject, { body: 'bar', ...given }));
  await fails('NoSuchKey', world.call(headObject));
  return error;
}

test('stores bytes, ETag, owner and the default content type', async () => {
  const { world, reply, head, length } = await puts({});
  assert.is(reply.headers?.['etag'], `"${md5('bar')}"`);
  assert.is(head['etag'], `"${md5('bar')}"`);
  assert.is(head['content-type'], 'binary/octet-stream');
  assert.is(length, 3);
  assert.is(String(await bytesOf(await world.call(getObject))), 'bar');
  const place = { bucket: (await world.storage.bucket('b'))!, actor: account.actor };
  assert.is((await world.storage.head(place, 'k')).meta.owner, account.uuid);
});

test('keeps system headers as they came; aws-chunked is not one of the encodings', async () => {
  const given = {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'public, max-age=14400',
    'content-disposition': Buffer.from('attachment; filename="日本.txt"').toString('latin1'),
    'content-language': 'ja',
    expires: 'whenever',
    'x-amz-website-redirect-location': '/elsewhere',
  };
  const { head } = await puts({ headers: given });
  for (const [name, value] of Object.entries(given)) assert.is(head[name], value);
  for (const [sent, kept] of [
    ['gzip', 'gzip'],
    ['deflate, gzip', 'deflate, gzip'],
    ['gzip, aws-chunked', 'gzip'],
    ['aws-chunked, gzip', 'gzip'],
    ['aws-chunked', undefined],
    ['aws-chunked, aws-chunked', undefined],
  ] as const) {
    const { head } = await puts({ headers: { 'content-encoding': sent } });
    assert.is(head['content-encoding'], kept);
  }
  await refuses('InvalidRedirectLocation', { headers: { 'x-amz-website-redirect-location': 'ftp://x' } });
});

test('user metadata: ASCII, UTF-8, latin1 and encoded words come back byte for byte', async () => {
  const { head } = await puts({
    headers: {
      'x-amz-meta-plain': 'a b',
      'x-amz-meta-empty': '',
      'x-amz-meta-utf8': Buffer.from('日本').toString('latin1'),
      'x-amz-meta-word': '=?UTF-8?Q?caf=C3=A9_au_lait?=',
      'x-amz-meta-latin': 'Hello World\xe9',
      'x-amz-meta-__proto__': 'polluted',
    },
  });
  assert.is(head['x-amz-meta-plain'], 'a b');
  assert.is(head['x-amz-meta-empty'], '');
  assert.is(head['x-amz-meta-utf8'], Buffer.from('日本').toString('latin1'));
  assert.is(head['x-amz-meta-word'], '=?UTF-8?Q?caf=C3=A9_au_lait?=');
  assert.is(head['x-amz-meta-latin'], 'Hello World\xe9');
  await refuses('InvalidArgument', { headers: { 'x-amz-meta-inject': 'x\r\nset-cookie: y' } });
  assert.is(head['x-amz-meta-__proto__'], 'polluted');
});

test('user metadata ends at 2 KB of names and values', async () => {
  await puts({ headers: { 'x-amz-meta-ab': 'x'.repeat(2046) } });
  const error = await refuses('MetadataTooLarge', { headers: { 'x-amz-meta-ab': 'x'.repeat(2047) } });
  assert.equal(error.fields, { Size: '2049', MaxSizeAllowed: '2048' });
});

test('system metadata ends where clients could not read the reply', async () => {
  await puts({ headers: { 'content-disposition': 'x'.repeat(6000) } });
  const large = { 'content-type': 'x'.repeat(3000), 'content-disposition': 'x'.repeat(4000) };
  const error = await refuses('MetadataTooLarge', { headers: large });
  assert.is(error.fields['MaxSizeAllowed'], '6144');
});

test('Content-MD5', async () => {
  await puts({ headers: { 'content-md5': md5('bar', 'base64') } });
  const error = await refuses('BadDigest', { headers: { 'content-md5': md5('other', 'base64') } });
  assert.is(error.fields['CalculatedDigest'], md5('bar', 'base64'));
  for (const bad of ['', 'x', md5('bar')]) await refuses('InvalidDigest', { headers: { 'content-md5': bad } });
});

test('the SHA-256 that the signature promises', async () => {
  await puts({ signed: true });
  await refuses('XAmzContentSHA256Mismatch', { signed: createHash('sha256').update('other').digest('hex') });
});

// "123456789" is the text that the CRC catalogues give their check values for.
const vectors = {
  crc32: Buffer.from('cbf43926', 'hex'),
  crc32c: Buffer.from('e3069283', 'hex'),
  crc64nvme: Buffer.from('ae8b14860a799888', 'hex'),
  sha1: createHash('sha1').update('123456789').digest(),
  sha256: createHash('sha256').update('123456789').digest(),
};

for (const [name, raw] of Object.entries(vectors)) {
  const header = `x-amz-checksum-${name}`;
  const value = raw.toString('base64');
  const wrong = Buffer.alloc(raw.length).toString('base64');
  test(`checksum ${name}, in a header and in the trailer`, async () => {
    const both: Given[] = [
      { headers: { [header]: value, 'x-amz-sdk-checksum-algorithm': name.toUpperCase() } },
      { headers: { 'x-amz-trailer': header }, trailers: { [header]: value } },
    ];
    for (const given of both) {
      const { reply, head } = await puts({ body: '123456789', ...given });
      assert.is(reply.headers?.[header], value);
      assert.is(reply.headers?.['x-amz-checksum-type'], 'FULL_OBJECT');
      assert.is(head[header], value);
    }
    const error = await refuses('BadDigest', { headers: { [header]: wrong } });
    assert.is(error.message, `The ${name.toUpperCase()} you specified did not match the calculated checksum.`);
    await refuses('BadDigest', { headers: { 'x-amz-trailer': header }, trailers: { [header]: wrong } });
    await refuses('MalformedTrailerError', { headers: { 'x-amz-trailer': header } });
    await refuses('InvalidRequest', { headers: { [header]: 'no base64!' } });
    await refuses('BadDigest', { headers: { [header]: 'bad' } });
  });
}

test('checksum headers that contradict each other', async () => {
  const crc32 = vectors.crc32.toString('base64');
  const given = (headers: Record<string, string>) => ({ body: '123456789', headers });
  await refuses(
    'InvalidRequest',
    given({ 'x-amz-checksum-crc32': crc32, 'x-amz-checksum-sha256': vectors.sha256.toString('base64') }),
  );
  await refuses('InvalidRequest', given({ 'x-amz-checksum-crc32': crc32, 'x-amz-trailer': 'x-amz-checksum-crc32' }));
  await refuses('InvalidRequest', given({ 'x-amz-sdk-checksum-algorithm': 'CRC32' }));
  await refuses('InvalidRequest', given({ 'x-amz-checksum-crc32': crc32, 'x-amz-sdk-checksum-algorithm': 'SHA1' }));
  await refuses('InvalidRequest', given({ 'x-amz-checksum-md5': crc32 }));
});

test('length: undeclared but marked is taken, absent is 411, above 5 GiB refused unread', async () => {
  const { length } = await puts({ chunked: true });
  assert.is(length, 3);
  await refuses('MissingContentLength', { body: undefined as never });
  const world = await createWorld();
  await fails(
    'EntityTooLarge',
    world.call((context) =>
      putObject({
        ...context,
        headers: new Map([['content-length', String(5 * 1024 ** 3 + 1)]]),
        body: { length: 5 * 1024 ** 3 + 1, read: () => Promise.reject(new Error('was read')) },
      }),
    ),
  );
});

test('tags', async () => {
  const { world, head } = await puts({ headers: { 'x-amz-tagging': 'foo=bar&bar&%E6%97%A5=a+b%2Fc' } });
  assert.is(head['x-amz-tagging-count'], '3');
  assert.equal(await xmlOf(await world.call(getObjectTagging)), {
    Tagging: {
      TagSet: {
        Tag: [
          { Key: 'bar', Value: '' },
          { Key: 'foo', Value: 'bar' },
          { Key: '日', Value: 'a b/c' },
        ],
      },
    },
  });
  const eleven = Array.from({ length: 11 }, (_, i) => `k${i}=v`).join('&');
  for (const bad of [eleven, 'a=1&a=2', `${'k'.repeat(129)}=v`, `k=${'v'.repeat(257)}`, 'k=%3C', '=v', 'aws:x=y']) {
    await refuses('InvalidTag', { headers: { 'x-amz-tagging': bad } });
  }
  await refuses('InvalidArgument', { headers: { 'x-amz-tagging': 'a=%zz' } });
});

test('what is not built is refused, never stored without', async () => {
  for (const headers of [
    { 'x-amz-server-side-encryption': 'AES256' },
    { 'x-amz-server-side-encryption-customer-algorithm': 'AES256' },
    { 'x-amz-object-lock-mode': 'GOVERNANCE' },
    { 'x-amz-object-lock-legal-hold': 'ON' },
    { 'x-amz-acl': 'aws-exec-read' },
    { 'if-modified-since': 'Sat, 29 Oct 1994 19:43:31 GMT' },
    { 'if-match': '"a", "b"' },
    { 'if-match': '*', 'if-none-match': '*' },
  ]) {
    await refuses('NotImplemented', { headers: headers as unknown as Record<string, string> });
  }
  await refuses('InvalidStorageClass', { headers: { 'x-amz-storage-class': 'GLACIER' } });
  await refuses('InvalidArgument', { headers: { 'x-amz-acl': 'nonsense' } });
  await refuses('InvalidArgument', { headers: { 'x-amz-grant-read': 'id=nobody' } });
  await puts({ headers: { 'x-amz-acl': 'private', 'x-amz-storage-class': 'STANDARD' } });
});

test('If-Match and If-None-Match', async () => {
  const world = await createWorld();
  const put = (headers: Record<string, string>, body = 'bar') => world.call(putObject, { headers, body });
  await fails('NoSuchKey', put({ 'if-match': '*' }));
  await fails('NoSuchKey', put({ 'if-match': 'badetag' }));
  await put({ 'if-none-match': '*' });
  await fails('PreconditionFailed', put({ 'if-none-match': '*' }, 'zar'));
  await fails('PreconditionFailed', put({ 'if-none-match': `"${md5('bar')}"` }, 'zar'));
  await fails('PreconditionFailed', put({ 'if-match': '"ABCORZ"' }, 'zar'));
  assert.is(String(await bytesOf(await world.call(getObject))), 'bar');
  await put({ 'if-none-match': 'badetag' });
  await put({ 'if-match': md5('bar') });
  await put({ 'if-match': '*' }, 'zar');
  assert.is(String(await bytesOf(await world.call(getObject))), 'zar');
});

test('a key that a path cannot hold', async () => {
  const world = await createWorld();
  for (const key of ['a//b', '/a', 'a/../b', '.', 'a/.tidegate/b', 'x'.repeat(256)]) {
    await fails('InvalidArgument', world.call(putObject, { key, body: 'x' }));
  }
  await fails('KeyTooLongError', world.call(putObject, { key: 'a/'.repeat(600), body: 'x' }));
});

test.run();
