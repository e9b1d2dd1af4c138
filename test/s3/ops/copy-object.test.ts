import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { copyObject } from '../../../gateway/s3/ops/copy-object.js';
import { getObject } from '../../../gateway/s3/ops/get-object.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { account, bytesOf, createWorld, fails, type World, xmlOf } from '../context.js';

const test = suite('CopyObject');

async function world() {
  const made = await createWorld();
  await made.call(putObject, {
    key: 'src',
    body: 'foo',
    headers: {
      'content-type': 'text/bla',
      'x-amz-meta-k': 'v',
      'x-amz-tagging': 'a=b',
      'x-amz-website-redirect-location': '/x',
    },
  });
  return made;
}

const copy = (made: World, headers: Record<string, string> = {}, key = 'dst') =>
  made.call(copyObject, { key, headers: { 'x-amz-copy-source': 'b/src', ...headers } });
const head = async (made: World, key = 'dst') =>
  (await made.call(headObject, { key, headers: { 'x-amz-checksum-mode': 'ENABLED' } })).headers!;

test('bytes, metadata and tags come along; the redirect does not', async () => {
  const made = await world();
  const { CopyObjectResult } = await xmlOf(await copy(made));
  const result = CopyObjectResult as Record<string, string>;
  assert.is(result['ETag'], '"acbd18db4cc2f85cedef654fccc4a4d8"');
  assert.match(result['LastModified']!, /^\d{4}-.*Z$/);
  const headers = await head(made);
  assert.is(headers['content-type'], 'text/bla');
  assert.is(headers['x-amz-meta-k'], 'v');
  assert.is(headers['x-amz-tagging-count'], '1');
  assert.is(headers['x-amz-website-redirect-location'], undefined);
  assert.is(String(await bytesOf(await made.call(getObject, { key: 'dst' }))), 'foo');
});

test('REPLACE takes what this request says, and nothing of the source', async () => {
  const made = await world();
  await copy(made, {
    'x-amz-metadata-directive': 'REPLACE',
    'x-amz-tagging-directive': 'REPLACE',
    'x-amz-meta-n': 'w',
    'content-type': 'audio/mpeg',
  });
  const headers = await head(made);
  assert.is(headers['content-type'], 'audio/mpeg');
  assert.is(headers['x-amz-meta-k'], undefined);
  assert.is(headers['x-amz-meta-n'], 'w');
  assert.is(headers['x-amz-tagging-count'], undefined);
  for (const name of ['x-amz-metadata-directive', 'x-amz-tagging-directive']) {
    await fails('InvalidArgument', copy(made, { [name]: 'MAYBE' }));
  }
});

test('onto itself only with a change', async () => {
  const made = await world();
  const error = await fails('InvalidRequest', copy(made, {}, 'src'));
  assert.match(error.message, /without changing the object's metadata/);
  await copy(made, { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-foo': 'bar' }, 'src');
  const headers = await head(made, 'src');
  assert.is(headers['x-amz-meta-foo'], 'bar');
  assert.is(headers['x-amz-meta-k'], undefined);
  await copy(made, { 'x-amz-storage-class': 'STANDARD' }, 'src');
  assert.is((await head(made, 'src'))['x-amz-meta-foo'], 'bar');
  assert.is(String(await bytesOf(await made.call(getObject, { key: 'src' }))), 'foo');
});

test('sources that are not there, or not ours', async () => {
  const made = await world();
  const from = (source: string) => copy(made, { 'x-amz-copy-source': source });
  // Without a word the reply would name the key of the request, which is the destination.
  assert.is((await fails('NoSuchKey', from('b/none'))).fields['Key'], 'none');
  await fails('NoSuchBucket', from('none/src'));
  await fails('AccessDenied', from('foreign/src'));
  await fails('NoSuchVersion', from('b/src?versionId=3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH'));
  await fails('InvalidArgument', from('b'));
  await fails('InvalidArgument', from('b/%zz'));
  await from('/b/src?versionId=null');
  await fails('NoSuchKey', made.call(headObject, { key: 'none' }));
});

test('special names', async () => {
  const made = await createWorld();
  for (const key of [' ', '_', '?versionId', 'a+b', 'a%b', '日本/語.txt']) {
    await made.call(putObject, { key, body: key });
    await copy(made, { 'x-amz-copy-source': `b/${encodeURIComponent(key)}` });
    assert.is(String(await bytesOf(await made.call(getObject, { key: 'dst' }))), key);
  }
  await copy(made, { 'x-amz-copy-source': Buffer.from('b/日本/語.txt').toString('latin1') });
});

test('conditions on the source and on the destination', async () => {
  const made = await world();
  const etag = '"acbd18db4cc2f85cedef654fccc4a4d8"';
  const name = (condition: string) => `x-amz-copy-source-if-${condition}`;
  const past = 'Sat, 29 Oct 1994 19:43:31 GMT';
  await fails('PreconditionFailed', copy(made, { [name('match')]: 'ABCORZ' }));
  await fails('PreconditionFailed', copy(made, { [name('none-match')]: etag }));
  await fails('PreconditionFailed', copy(made, { [name('unmodified-since')]: past }));
  await fails('NoSuchKey', made.call(headObject, { key: 'dst' }));
  await copy(made, { [name('match')]: etag, [name('unmodified-since')]: past });
  await copy(made, { [name('none-match')]: 'ABCORZ', [name('modified-since')]: past });
  await fails('PreconditionFailed', copy(made, { 'if-none-match': '*' }));
  await fails('NotImplemented', copy(made, { 'x-amz-server-side-encryption': 'AES256' }));
  await fails('InvalidRequest', copy(made, { 'x-amz-copy-source-server-side-encryption-customer-key': 'x' }));
});

test('the ETag becomes the MD5 where the source has none, and bytes are only hashed when they must be', async () => {
  const made = await world();
  const asked: string[][] = [];
  const storage = {
    ...made.storage,
    copy: (...args: Parameters<typeof made.storage.copy>) => {
      asked.push([...args[3].digests]);
      return made.storage.copy(...args);
    },
  };
  const place = { bucket: (await made.storage.bucket('b'))!, actor: account.actor };
  const meta = { headers: {}, user: {} };
  const body = {
    length: 3,
    read: async (sink: (chunk: Uint8Array) => void | Promise<void>) => sink(Buffer.from('foo')),
  };
  const synthetic = `${'0'.repeat(32)}-0`;
  const composite = { algorithm: 'CRC32', type: 'COMPOSITE', value: 'AAAAAA==-2' } as const;
  const full = { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'jHNlIQ==' } as const;
  const md5 = createHash('md5').update('foo').digest('hex');
  await made.storage.put(place, 'job.txt', body, { digests: [], seal: () => ({ ...meta, etag: synthetic }) });
  await made.storage.put(place, 'parts', body, {
    digests: [],
    seal: () => ({ ...meta, etag: synthetic, checksum: composite, parts: [{ number: 1, size: 3 }], uploadId: 'u' }),
  });
  await made.storage.put(place, 'full', body, { digests: [], seal: () => ({ ...meta, etag: md5, checksum: full }) });
  for (const [source, headers, digests, type] of [
    ['src', {}, [], undefined],
    ['src', { 'x-amz-checksum-algorithm': 'crc32' }, ['crc32'], 'FULL_OBJECT'],
    ['job.txt', {}, ['md5'], undefined],
    ['parts', {}, ['crc32', 'md5'], 'FULL_OBJECT'],
    ['full', {}, [], 'FULL_OBJECT'],
    ['full', { 'x-amz-checksum-algorithm': 'CRC32' }, [], 'FULL_OBJECT'],
  ] as [string, Record<string, string>, string[], string | undefined][]) {
    asked.length = 0;
    await made.call((context) => copyObject({ ...context, storage }), {
      key: 'dst',
      headers: { 'x-amz-copy-source': `b/${source}`, ...headers },
    });
    assert.equal(asked, [digests], source);
    const got = await head(made);
    assert.is(got['etag'], `"${md5}"`);
    assert.is(got['x-amz-checksum-type'], type, source);
    if (type) assert.is(got['x-amz-checksum-crc32'], 'jHNlIQ==');
    assert.is((await made.storage.head(place, 'dst')).meta.parts, undefined);
    assert.is((await made.storage.head(place, 'dst')).meta.uploadId, undefined);
  }
  await copy(made, { 'x-amz-copy-source': 'b/job.txt' });
  assert.is((await head(made))['content-type'], 'text/plain', 'the type that the source was served with');
  await fails('InvalidRequest', copy(made, { 'x-amz-checksum-algorithm': 'MD4' }));
});

test('a source that is too large, or changes meanwhile', async () => {
  const made = await world();
  let closed = 0;
  const grown = (size: number) => ({
    ...made.storage,
    open: async (...args: Parameters<typeof made.storage.open>) => {
      const source = await made.storage.open(...args);
      const info = { ...source.info, size };
      return { ...source, info, close: async () => void closed++ };
    },
    copy: async (...[, , , request]: Parameters<typeof made.storage.copy>) => {
      request.seal({ size: 3, digests: {} });
      throw new Error('was not refused');
    },
  });
  const attempt = (size: number) =>
    made.call((context) => copyObject({ ...context, storage: grown(size) }), {
      key: 'dst',
      headers: { 'x-amz-copy-source': 'b/src' },
    });
  await fails('InvalidRequest', attempt(5 * 1024 ** 3 + 1));
  await fails('OperationAborted', attempt(4));
  assert.is(closed, 2);
});

test.run();
