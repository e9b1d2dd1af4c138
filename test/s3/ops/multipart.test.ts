import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../../gateway/errors.js';
import { abortMultipartUpload } from '../../../gateway/s3/ops/abort-multipart-upload.js';
import { completeMultipartUpload } from '../../../gateway/s3/ops/complete-multipart-upload.js';
import { createMultipartUpload } from '../../../gateway/s3/ops/create-multipart-upload.js';
import { getObject } from '../../../gateway/s3/ops/get-object.js';
import { getObjectAttributes } from '../../../gateway/s3/ops/get-object-attributes.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { listMultipartUploads } from '../../../gateway/s3/ops/list-multipart-uploads.js';
import { listParts } from '../../../gateway/s3/ops/list-parts.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { uploadPart } from '../../../gateway/s3/ops/upload-part.js';
import { uploadPartCopy } from '../../../gateway/s3/ops/upload-part-copy.js';
import { createDigests, loadDigests } from '../../../gateway/storage/digest.js';
import type { Digest } from '../../../gateway/storage/types.js';
import { account, bytesOf, createWorld, fails, type World, xmlOf } from '../context.js';

const test = suite('multipart uploads');
await loadDigests();

const mib = 1024 * 1024;
const [A, B, C] = ['A', 'B', 'C'].map((letter) => Buffer.alloc(5 * mib, letter)) as [Buffer, Buffer, Buffer];
type Headers = Record<string, string>;
// biome-ignore lint/suspicious/noExplicitAny: documents are looked into, not typed
type Tree = Record<string, any>;

const digest = (name: Digest, bytes: Uint8Array) => {
  const running = createDigests([name]);
  running.update(bytes);
  return Buffer.from(running.finish()[name]!).toString('base64');
};
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

async function create(world: World, headers: Headers = {}, key = 'k'): Promise<string> {
  const reply = await xmlOf(await world.call(createMultipartUpload, { key, headers }));
  return (reply['InitiateMultipartUploadResult'] as Tree)['UploadId'];
}

async function part(world: World, uploadId: string, number: number, body: Uint8Array | string, headers: Headers = {}) {
  const reply = await world.call(uploadPart, { query: { uploadId, partNumber: String(number) }, body, headers });
  return { number, etag: reply.headers!['etag']!, headers: reply.headers! };
}

interface Sent {
  number: number;
  etag: string;
  extra?: string;
}

async function complete(world: World, uploadId: string, parts: Sent[], headers: Headers = {}): Promise<Tree> {
  const list = parts
    .map((p) => `<Part><ETag>${p.etag}</ETag>${p.extra ?? ''}<PartNumber>${p.number}</PartNumber></Part>`)
    .join('');
  const body = `<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`;
  const reply = await xmlOf(await world.call(completeMultipartUpload, { query: { uploadId }, body, headers }));
  return reply['CompleteMultipartUploadResult'] as Tree;
}

const head = async (world: World, query: Headers = {}) =>
  (await world.call(headObject, { query, headers: { 'x-amz-checksum-mode': 'ENABLED' } })).headers!;

test('an upload becomes an object with what was said at its beginning', async () => {
  const world = await createWorld();
  const id = await create(world, { 'content-type': 'text/x', 'x-amz-meta-a': 'b', 'x-amz-tagging': 'Hello=World' });
  await fails('NoSuchKey', world.call(headObject));
  const parts = [await part(world, id, 1, 'wrong'), await part(world, id, 2, 'end')];
  parts[0] = await part(world, id, 1, A);
  const result = await complete(world, id, parts);
  const etag = `"${md5(Buffer.concat([A, Buffer.from('end')].map((each) => Buffer.from(md5(each), 'hex'))))}-2"`;
  assert.equal(result, { Location: 'http://127.0.0.1:9000/b/k', Bucket: 'b', Key: 'k', ETag: etag });
  const headers = await head(world);
  assert.is(headers['etag'], etag);
  assert.is(headers['content-type'], 'text/x');
  assert.is(headers['x-amz-meta-a'], 'b');
  assert.is(headers['x-amz-tagging-count'], '1');
  const bytes = await bytesOf(await world.call(getObject));
  assert.ok(bytes.equals(Buffer.concat([A, Buffer.from('end')])));
  await fails('NoSuchUpload', world.call(listParts, { query: { uploadId: id } }));
});

test('completing again answers as the first time, until the object is another', async () => {
  const world = await createWorld();
  const id = await create(world);
  const parts = [await part(world, id, 1, 'x')];
  const first = await complete(world, id, parts, { 'if-none-match': '*' });
  assert.equal(await complete(world, id, parts, { 'if-none-match': '*' }), first);
  await world.call(putObject, { body: 'y' });
  await fails('NoSuchUpload', complete(world, id, parts));
  await fails('NoSuchUpload', complete(world, 'abc1234def', parts));
});

test('a store that fails is told as such, not as an upload that is not there', async () => {
  const world = await createWorld();
  const id = await create(world);
  const parts = [await part(world, id, 1, 'x')];
  await complete(world, id, parts);
  const failing: World = {
    ...world,
    call: (handler, given) =>
      world.call((context) => {
        const head = () => Promise.reject(new S3Error('SlowDown'));
        return handler({ ...context, storage: { ...context.storage, head } });
      }, given),
  };
  await fails('SlowDown', complete(failing, id, parts));
});

test('a part sent again stands in the list twice: the last counts', async () => {
  const world = await createWorld();
  const id = await create(world);
  const first = await part(world, id, 1, 'first');
  const again = await part(world, id, 1, 'again');
  await fails('InvalidPart', complete(world, id, [again, first]));
  const result = await complete(world, id, [first, again]);
  assert.match(result['ETag'], /-1"$/);
  assert.is(String(await bytesOf(await world.call(getObject))), 'again');
});

test('two completions at once both succeed', async () => {
  const world = await createWorld();
  const id = await create(world);
  const parts = [await part(world, id, 1, 'x')];
  const [one, two] = await Promise.all([complete(world, id, parts), complete(world, id, parts)]);
  assert.equal(one, two);
});

test('a completion finds another to have ended the upload, or some of its parts, while it looks at them: it succeeds too', async () => {
  for (const meanwhile of ['before the parts are read', 'while they are read']) {
    const world = await createWorld();
    const id = await create(world);
    const parts = [await part(world, id, 1, 'x')];
    let first: Tree | undefined;
    const late: World = {
      ...world,
      call: (handler, given) =>
        world.call((context) => {
          const listParts: typeof context.storage.listParts = async (...args) => {
            first ??= await complete(world, id, parts);
            // An upload's file goes first, and its parts one after the other: who has opened that file sees some of them.
            return meanwhile.startsWith('while') ? { parts: [], more: false } : context.storage.listParts(...args);
          };
          return handler({ ...context, storage: { ...context.storage, listParts } });
        }, given),
    };
    const second = await complete(late, id, parts);
    assert.equal(second, first);
  }
});

test('lists of parts that cannot be joined; the upload stays', async () => {
  const world = await createWorld();
  const id = await create(world);
  const [one, two] = [await part(world, id, 1, 'small'), await part(world, id, 2, 'small too')];
  await fails('MalformedXML', world.call(completeMultipartUpload, { query: { uploadId: id }, body: '' }));
  await fails('MalformedXML', complete(world, id, []));
  await fails('InvalidPartOrder', complete(world, id, [two, one]));
  await fails('InvalidPartOrder', complete(world, id, [one, two, one]));
  const missing = await fails('InvalidPart', complete(world, id, [{ ...one, number: 9999 }]));
  assert.equal(missing.fields, { UploadId: id, PartNumber: '9999', ETag: one.etag.replaceAll('"', '') });
  await fails('InvalidPart', complete(world, id, [{ number: 1, etag: 'f'.repeat(32) }]));
  const small = await fails('EntityTooSmall', complete(world, id, [one, two]));
  assert.is(small.fields['ProposedSize'], '5');
  assert.is(small.fields['PartNumber'], '1');
  await fails('InvalidRequest', complete(world, id, [two], { 'x-amz-mp-object-size': '5' }));
  await fails('InvalidRequest', complete(world, id, [two], { 'x-amz-mp-object-size': 'x' }));
  await fails('NoSuchKey', world.call(headObject));
  await complete(world, id, [two], { 'x-amz-mp-object-size': '9' });
});

test('conditions of completion', async () => {
  const world = await createWorld();
  const attempt = async (headers: Headers) => {
    const id = await create(world);
    return complete(world, id, [await part(world, id, 1, 'x')], headers);
  };
  await fails('NoSuchKey', attempt({ 'if-match': '*' }));
  const { ETag } = await attempt({ 'if-none-match': '*' });
  await fails('PreconditionFailed', attempt({ 'if-none-match': '*' }));
  await fails('PreconditionFailed', attempt({ 'if-none-match': ETag }));
  await fails('PreconditionFailed', attempt({ 'if-match': 'badetag' }));
  await attempt({ 'if-match': ETag });
  await attempt({ 'if-none-match': 'badetag' });
});

test('part numbers and payloads of parts', async () => {
  const world = await createWorld();
  const id = await create(world);
  for (const partNumber of ['0', '10001', '-1', 'x', '1.5']) {
    await fails('InvalidArgument', world.call(uploadPart, { query: { uploadId: id, partNumber }, body: 'x' }));
  }
  await fails('NoSuchUpload', part(world, 'nope', 1, 'x'));
  const other = { query: { uploadId: id, partNumber: '1' }, body: 'x', key: 'another' };
  await fails('NoSuchUpload', world.call(uploadPart, other));
  await fails('BadDigest', part(world, id, 1, 'x', { 'content-md5': digest('md5', Buffer.from('y')) }));
  await fails('BadDigest', part(world, id, 1, 'x', { 'x-amz-checksum-crc32': 'AAAAAA==' }));
  await fails('NotImplemented', part(world, id, 1, 'x', { 'x-amz-server-side-encryption-customer-key': 'x' }));
  await fails('MissingContentLength', world.call(uploadPart, { query: { uploadId: id, partNumber: '1' } }));
  const { ListPartsResult } = await xmlOf(await world.call(listParts, { query: { uploadId: id } }));
  assert.equal((ListPartsResult as Tree)['Part'], [], 'nothing of them is kept');
  await part(world, id, 10_000, 'x');
});

test('which checksum goes with which type', async () => {
  const world = await createWorld();
  const begin = (algorithm?: string, type?: string) =>
    world.call(createMultipartUpload, {
      headers: {
        ...(algorithm && { 'x-amz-checksum-algorithm': algorithm }),
        ...(type && { 'x-amz-checksum-type': type }),
      },
    });
  for (const [algorithm, type] of [
    ['CRC32', 'COMPOSITE'],
    ['CRC32C', 'COMPOSITE'],
    ['CRC64NVME', 'FULL_OBJECT'],
    ['SHA1', 'COMPOSITE'],
    ['SHA256', 'COMPOSITE'],
  ]) {
    const { headers } = await begin(algorithm);
    assert.is(headers?.['x-amz-checksum-algorithm'], algorithm);
    assert.is(headers?.['x-amz-checksum-type'], type);
  }
  await begin('CRC32', 'FULL_OBJECT');
  for (const [algorithm, type] of [
    ['SHA256', 'FULL_OBJECT'],
    ['SHA1', 'FULL_OBJECT'],
    ['CRC64NVME', 'COMPOSITE'],
    ['MD5', undefined],
    [undefined, 'COMPOSITE'],
    ['CRC32', 'HALF'],
  ]) {
    await fails('InvalidRequest', begin(algorithm, type));
  }
});

// Bodies and values as in the public suite ceph/s3-tests.
const vectors = [
  { algorithm: 'SHA256', type: 'COMPOSITE', whole: 'uWBwpe1dxI4Vw8Gf0X9ynOdw/SS6VBzfWm9giiv1sf4=-3' },
  { algorithm: 'CRC64NVME', type: 'FULL_OBJECT', whole: 'i+6LR0y3eFo=' },
  { algorithm: 'CRC32', type: 'FULL_OBJECT', whole: 'WgDhBQ==' },
  { algorithm: 'CRC32C', type: 'FULL_OBJECT', whole: digest('crc32c', Buffer.concat([A, B, C])) },
  { algorithm: 'CRC32', type: 'COMPOSITE', whole: undefined },
] as const;

for (const { algorithm, type, whole } of vectors) {
  test(`${type} ${algorithm} of the parts becomes that of the object`, async () => {
    const world = await createWorld();
    const header = `x-amz-checksum-${algorithm.toLowerCase()}`;
    const element = `Checksum${algorithm}`;
    const name = algorithm.toLowerCase() as Digest;
    const id = await create(world, { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': type });
    const wrong = algorithm === 'SHA256' ? 'x-amz-checksum-crc32' : 'x-amz-checksum-sha256';
    await fails('InvalidRequest', part(world, id, 1, A, { [wrong]: digest(wrong.slice(15) as Digest, A) }));
    const parts: Sent[] = [];
    // The second comes without a checksum: it is calculated.
    for (const [at, bytes] of [A, B, C].entries()) {
      const value = digest(name, bytes);
      const sent = await part(world, id, at + 1, bytes, at === 1 ? {} : { [header]: value });
      assert.is(sent.headers[header], value);
      parts.push({ ...sent, extra: `<${element}>${value}</${element}>` });
    }
    const bad = { ...parts[0]!, extra: `<${element}>${digest(name, B)}</${element}>` };
    await fails('InvalidPart', complete(world, id, [bad, ...parts.slice(1)]));
    await fails('BadDigest', complete(world, id, parts, { [header]: 'bad' }));
    await fails('BadDigest', complete(world, id, parts, { [header]: digest(name, A) }));
    await fails('InvalidRequest', complete(world, id, parts, { [wrong]: digest(wrong.slice(15) as Digest, A) }));
    const otherType = type === 'COMPOSITE' ? 'FULL_OBJECT' : 'COMPOSITE';
    await fails('InvalidRequest', complete(world, id, parts, { 'x-amz-checksum-type': otherType }));
    await fails('NoSuchKey', world.call(headObject));

    const stated: Headers = whole ? { [header]: whole, 'x-amz-checksum-type': type } : {};
    const result = await complete(world, id, parts, stated);
    if (whole) assert.is(result[element], whole);
    else assert.match(result[element], /^[A-Za-z0-9+/]{6}==-3$/);
    assert.is(result['ChecksumType'], type);
    assert.equal(await complete(world, id, parts, stated), result);
    assert.is((await head(world))[header], result[element]);

    for (const [at, bytes] of [A, B, C].entries()) {
      const query = { partNumber: String(at + 1) };
      const got = await world.call(getObject, { query, headers: { 'x-amz-checksum-mode': 'ENABLED' } });
      assert.is(got.status, 206);
      assert.is(got.headers?.[header], digest(name, bytes));
      assert.is(got.headers?.['x-amz-checksum-type'], type);
      assert.is(got.headers?.['x-amz-mp-parts-count'], '3');
      assert.is(got.headers?.['content-range'], `bytes ${at * 5 * mib}-${(at + 1) * 5 * mib - 1}/${15 * mib}`);
      assert.ok((await bytesOf(got)).equals(bytes));
    }
    await fails('InvalidPart', world.call(getObject, { query: { partNumber: '4' } }));

    const attributes = await xmlOf(
      await world.call(getObjectAttributes, {
        headers: { 'x-amz-object-attributes': 'ETag,Checksum,ObjectParts,StorageClass,ObjectSize' },
      }),
    );
    const tree = attributes['GetObjectAttributesResponse'] as Tree;
    assert.equal(tree['Checksum'], { [element]: result[element], ChecksumType: type });
    assert.is(tree['ObjectParts'].Part[2][element], digest(name, C));
  });
}

test('parts are numbered anew, an empty last one is no range', async () => {
  const world = await createWorld();
  const id = await create(world);
  const parts = [await part(world, id, 3, A), await part(world, id, 7, '')];
  await complete(world, id, parts);
  assert.is((await world.call(headObject, { query: { partNumber: '1' } })).length, 5 * mib);
  const empty = await world.call(getObject, { query: { partNumber: '2' } });
  assert.is(empty.status, 200);
  assert.is((await bytesOf(empty)).length, 0);
});

test('copied parts', async () => {
  const world = await createWorld();
  await world.call(putObject, { key: 'src', body: '0123456789' });
  const id = await create(world, { 'x-amz-checksum-algorithm': 'CRC32' });
  const copy = async (headers: Headers, query: Headers = {}) =>
    (
      await xmlOf(
        await world.call(uploadPartCopy, {
          query: { uploadId: id, partNumber: '1', ...query },
          headers: { 'x-amz-copy-source': 'b/src', ...headers },
        }),
      )
    )['CopyPartResult'] as Tree;
  const range = (value: string) => ({ 'x-amz-copy-source-range': value });
  for (const bad of [
    '0-2',
    'bytes=0',
    'bytes=hello-world',
    'bytes=0-bar',
    'bytes=hello-',
    'bytes=0-2,3-5',
    'bytes=-3',
    'bytes=3-',
    'bytes=3-2',
  ]) {
    await fails('InvalidArgument', copy(range(bad)));
  }
  await fails('InvalidRange', copy(range('bytes=0-21')));
  await fails('InvalidRange', copy(range('bytes=0-10')));
  await fails('NoSuchKey', copy({ 'x-amz-copy-source': 'b/none' }));
  await fails('AccessDenied', copy({ 'x-amz-copy-source': 'foreign/src' }));
  await fails('NoSuchUpload', copy({}, { uploadId: 'nope' }));
  await fails('InvalidArgument', copy({}, { partNumber: '0' }));
  await fails('PreconditionFailed', copy({ 'x-amz-copy-source-if-match': 'x' }));
  const ranged = await copy(range('bytes=2-4'));
  assert.is(ranged['ETag'], `"${md5(Buffer.from('234'))}"`);
  assert.is(ranged['ChecksumCRC32'], digest('crc32', Buffer.from('234')));
  await complete(world, id, [{ number: 1, etag: ranged['ETag'] }]);
  assert.is(String(await bytesOf(await world.call(getObject))), '234');
  const whole = await create(world);
  const reply = await copy({}, { uploadId: whole });
  await complete(world, whole, [{ number: 1, etag: reply['ETag'] }]);
  assert.is(String(await bytesOf(await world.call(getObject))), '0123456789');
});

test('abort', async () => {
  const world = await createWorld();
  const id = await create(world);
  await part(world, id, 1, 'x');
  const abort = (uploadId: string) => world.call(abortMultipartUpload, { query: { uploadId } });
  await fails('NoSuchUpload', abort('56788'));
  assert.is((await abort(id)).status, 204);
  await fails('NoSuchUpload', abort(id));
  await fails('NoSuchUpload', part(world, id, 1, 'x'));
  await fails('NoSuchKey', world.call(headObject));
});

test('ListParts pages', async () => {
  const world = await createWorld();
  const id = await create(world, { 'x-amz-checksum-algorithm': 'SHA1' });
  for (const number of [5, 1, 3]) await part(world, id, number, String(number));
  const list = async (query: Headers = {}) =>
    (await xmlOf(await world.call(listParts, { query: { uploadId: id, ...query } })))['ListPartsResult'] as Tree;
  const all = await list();
  const owner = { ID: account.uuid, DisplayName: 'Ann' };
  assert.equal(all['Owner'], owner);
  assert.equal(all['Initiator'], owner);
  assert.is(all['ChecksumAlgorithm'], 'SHA1');
  assert.is(all['ChecksumType'], 'COMPOSITE');
  assert.equal(
    all['Part'].map((each: Tree) => [each['PartNumber'], each['ETag'], each['Size'], each['ChecksumSHA1']]),
    [1, 3, 5].map((n) => [n, `"${md5(Buffer.from(String(n)))}"`, 1, digest('sha1', Buffer.from(String(n)))]),
  );
  const first = await list({ 'max-parts': '2' });
  assert.is(first['IsTruncated'], true);
  assert.is(first['NextPartNumberMarker'], 3);
  const second = await list({ 'max-parts': '2', 'part-number-marker': '3' });
  assert.is(second['IsTruncated'], false);
  assert.equal(second['Part'].length, 1);
  assert.is((await list({ 'max-parts': '0' }))['IsTruncated'], false);
  for (const bad of ['-1', 'x']) await fails('InvalidArgument', list({ 'max-parts': bad }));
});

test('ListMultipartUploads: pages, prefixes, encoding', async () => {
  const world = await createWorld();
  const ids = new Map<string, string>();
  for (const key of ['a b', 'dir/1', 'dir/2', 'z']) ids.set(key, await create(world, {}, key));
  ids.set('z2', await create(world, {}, 'z'));
  const list = async (query: Headers = {}) =>
    (await xmlOf(await world.call(listMultipartUploads, { query })))['ListMultipartUploadsResult'] as Tree;
  const all = await list();
  assert.equal(
    all['Upload'].map((each: Tree) => each['UploadId']),
    [...ids.values()],
  );
  assert.is(all['Upload'][0]['Initiator'].DisplayName, 'Ann');
  assert.is(all['IsTruncated'], false);
  const grouped = await list({ delimiter: '/', 'encoding-type': 'url' });
  assert.equal(grouped['CommonPrefixes'], [{ Prefix: 'dir/' }]);
  assert.is(grouped['Upload'][0]['Key'], 'a%20b');
  const seen: string[] = [];
  let marker: Headers = {};
  for (let page = await list({ 'max-uploads': '1' }); ; page = await list({ 'max-uploads': '1', ...marker })) {
    seen.push(...page['Upload'].map((each: Tree) => each['UploadId']));
    if (!page['IsTruncated']) break;
    marker = { 'key-marker': page['NextKeyMarker'], 'upload-id-marker': page['NextUploadIdMarker'] };
  }
  assert.equal(seen, [...ids.values()]);
  assert.equal((await list({ prefix: 'dir/' }))['Upload'].length, 2);
  await fails('InvalidArgument', list({ 'encoding-type': 'base64' }));
  await fails('InvalidArgument', list({ 'max-uploads': 'x' }));
});

test.run();
