import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { getObject } from '../../../gateway/s3/ops/get-object.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import type { Handler } from '../../../gateway/s3/types.js';
import { account, bytesOf, createWorld, fails, type Given } from '../context.js';

const test = suite('GetObject, HeadObject');
const etag = '"aea9c1b56a7c0d8ee5ba8b1a5fd15a15"';

async function world() {
  const made = await createWorld();
  const put = await made.call(putObject, {
    body: 'testcontent',
    headers: {
      'x-amz-checksum-crc32': crc('testcontent'),
      'content-type': 'text/bla',
      'cache-control': 'no-store',
      'x-amz-tagging': 'a=b',
    },
  });
  return { ...made, etag: put.headers!['etag']! };
}

function crc(text: string): string {
  let value = ~0;
  for (const byte of Buffer.from(text)) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  const raw = Buffer.alloc(4);
  raw.writeUInt32BE(~value >>> 0);
  return raw.toString('base64');
}

test('the whole object; HEAD says the same without it', async () => {
  const { call } = await world();
  const get = await call(getObject);
  assert.is(get.status, 200);
  assert.is(get.headers?.['accept-ranges'], 'bytes');
  assert.is(get.headers?.['content-type'], 'text/bla');
  assert.is(get.headers?.['x-amz-tagging-count'], '1');
  assert.match(get.headers?.['last-modified'] ?? '', / GMT$/);
  assert.is(get.headers?.['x-amz-checksum-crc32'], undefined);
  assert.is(String(await bytesOf(get)), 'testcontent');
  const head = await call(headObject);
  assert.equal(head.headers, get.headers);
  assert.is(head.length, 11);
  assert.is(head.body, undefined);
});

test('what is not there', async () => {
  const { call } = await world();
  for (const handler of [getObject, headObject]) {
    const error = await fails('NoSuchKey', call(handler, { key: 'none' }));
    assert.is(error.headers['x-amz-delete-marker'], handler === headObject ? 'false' : undefined);
    await fails('NoSuchKey', call(handler, { key: 'a//b' }));
    await fails('InvalidArgument', call(handler, { query: { versionId: '' } }));
    await fails('InvalidArgument', call(handler, { query: { versionId: 'x' } }));
    await fails('NoSuchVersion', call(handler, { query: { versionId: '3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH' } }));
    assert.is((await call(handler, { query: { versionId: 'null' } })).status, 200);
  }
});

test('ranges', async () => {
  const { call } = await world();
  for (const [range, bytes, content] of [
    ['bytes=4-7', '4-7', 'cont'],
    ['bytes=4-', '4-10', 'content'],
    ['bytes=-7', '4-10', 'content'],
    ['bytes=-100', '0-10', 'testcontent'],
    ['bytes=9-100', '9-10', 'nt'],
  ] as const) {
    const reply = await call(getObject, { headers: { range, 'x-amz-checksum-mode': 'ENABLED' } });
    assert.is(reply.status, 206);
    assert.is(reply.headers?.['content-range'], `bytes ${bytes}/11`);
    assert.is(reply.headers?.['x-amz-checksum-crc32'], undefined, 'it is not the checksum of these bytes');
    assert.is(String(await bytesOf(reply)), content);
    const head = await call(headObject, { headers: { range } });
    assert.is(head.status, 206);
    assert.is(head.length, content.length);
  }
  const error = await fails('InvalidRange', call(getObject, { headers: { range: 'bytes=40-50' } }));
  assert.is(error.status, 416);
  assert.is(error.headers['content-range'], 'bytes */11');
  await call(putObject, { key: 'empty', body: '' });
  await fails('InvalidRange', call(getObject, { key: 'empty', headers: { range: 'bytes=0-1' } }));
  const stale = await call(getObject, { headers: { range: 'bytes=0-1', 'if-range': '"other"' } });
  assert.is(stale.status, 200);
});

test('conditions', async () => {
  const made = await world();
  const past = 'Sat, 29 Oct 1994 19:43:31 GMT';
  const future = 'Sat, 29 Oct 2100 19:43:31 GMT';
  for (const handler of [getObject, headObject] as Handler[]) {
    const call = (headers: Record<string, string>) => made.call(handler, { headers });
    assert.is((await call({ 'if-match': made.etag })).status, 200);
    assert.is((await call({ 'if-none-match': etag })).status, 200);
    assert.is((await call({ 'if-modified-since': past })).status, 200);
    assert.is((await call({ 'if-unmodified-since': future })).status, 200);
    await fails('PreconditionFailed', call({ 'if-match': etag }));
    await fails('PreconditionFailed', call({ 'if-unmodified-since': past }));
    const error = await fails('NotModified', call({ 'if-none-match': made.etag }));
    assert.is(error.status, 304);
    assert.is(error.headers['etag'], made.etag);
    assert.is(error.headers['cache-control'], 'no-store');
    await fails('NotModified', call({ 'if-modified-since': future }));
  }
});

test('overrides: for signed requests only, never a header of their own', async () => {
  const { call } = await world();
  const query = {
    'response-content-type': 'foo/bar',
    'response-cache-control': 'no-cache',
    'response-content-disposition': 'attachment; filename="日本"',
    'response-content-encoding': 'aaa',
    'response-content-language': 'esperanto',
    'response-expires': '123',
  };
  const { headers } = await call(getObject, { query });
  assert.is(headers?.['content-type'], 'foo/bar');
  assert.is(headers?.['cache-control'], 'no-cache');
  assert.is(Buffer.from(headers?.['content-disposition'] ?? '', 'latin1').toString(), 'attachment; filename="日本"');
  assert.is(headers?.['content-encoding'], 'aaa');
  assert.is(headers?.['content-language'], 'esperanto');
  assert.is(headers?.['expires'], '123');
  await fails('InvalidRequest', call(getObject, { query, anonymous: true }));
  await fails('InvalidArgument', call(getObject, { query: { 'response-expires': 'a\r\nb: c' } }));
});

test('checksum-mode, partNumber of an object that has no parts, encryption keys', async () => {
  const { call } = await world();
  const headers = { 'x-amz-checksum-mode': 'ENABLED' };
  const whole = await call(headObject, { headers });
  assert.is(whole.headers?.['x-amz-checksum-crc32'], crc('testcontent'));
  assert.is(whole.headers?.['x-amz-checksum-type'], 'FULL_OBJECT');
  const first = await call(getObject, { headers, query: { partNumber: '1' } });
  assert.is(first.status, 206);
  assert.is(first.headers?.['x-amz-mp-parts-count'], undefined);
  assert.is(first.headers?.['x-amz-checksum-crc32'], crc('testcontent'));
  assert.is(String(await bytesOf(first)), 'testcontent');
  await fails('InvalidPart', call(getObject, { query: { partNumber: '2' } }));
  for (const partNumber of ['0', '10001', 'x', '']) {
    await fails('InvalidArgument', call(getObject, { query: { partNumber } }));
  }
  await fails('InvalidRequest', call(getObject, { query: { partNumber: '1' }, headers: { range: 'bytes=0-1' } }));
  const sse: Given = { headers: { 'x-amz-server-side-encryption-customer-algorithm': 'AES256' } };
  await fails('InvalidRequest', call(getObject, sse));
  await call(putObject, { key: 'empty', body: '' });
  assert.is((await call(getObject, { key: 'empty', query: { partNumber: '1' } })).status, 200);
});

test('a file that a job wrote has the type of its extension', async () => {
  const { call, storage } = await createWorld();
  const place = { bucket: (await storage.bucket('b'))!, actor: account.actor };
  for (const key of ['a.html', 'a.nc', 'a']) {
    await storage.put(
      place,
      key,
      { length: 0, read: async () => {} },
      {
        digests: [],
        seal: () => ({ etag: `${'0'.repeat(32)}-0`, headers: {}, user: {} }),
      },
    );
  }
  const type = async (key: string) => (await call(headObject, { key })).headers?.['content-type'];
  assert.is(await type('a.html'), 'text/html');
  assert.is(await type('a.nc'), 'application/x-netcdf');
  assert.is(await type('a'), 'binary/octet-stream');
});

test('an open object is closed when it is not sent', async () => {
  const { call, storage } = await world();
  let open = 0;
  const counting = {
    ...storage,
    open: async (...args: Parameters<typeof storage.open>) => {
      const object = await storage.open(...args);
      open++;
      return { ...object, close: async () => void open-- };
    },
  };
  const counted: Handler = (context) => getObject({ ...context, storage: counting });
  await fails('InvalidRange', call(counted, { headers: { range: 'bytes=40-' } }));
  await fails('PreconditionFailed', call(counted, { headers: { 'if-match': etag } }));
  assert.is(open, 0);
  await bytesOf(await call(counted));
  assert.is(open, 0);
});

test.run();
