/** Buckets with ETag policy `fast`: which digests are asked for, and which ETags come of it. */
import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { completeMultipartUpload } from '../../../gateway/s3/ops/complete-multipart-upload.js';
import { copyObject } from '../../../gateway/s3/ops/copy-object.js';
import { createMultipartUpload } from '../../../gateway/s3/ops/create-multipart-upload.js';
import { deleteObject } from '../../../gateway/s3/ops/delete-object.js';
import { getObject } from '../../../gateway/s3/ops/get-object.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { listParts } from '../../../gateway/s3/ops/list-parts.js';
import { postObject } from '../../../gateway/s3/ops/post-object.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { uploadPart } from '../../../gateway/s3/ops/upload-part.js';
import { uploadPartCopy } from '../../../gateway/s3/ops/upload-part-copy.js';
import type { Handler } from '../../../gateway/s3/types.js';
import { createDigests, loadDigests } from '../../../gateway/storage/digest.js';
import type { Digest, Received } from '../../../gateway/storage/types.js';
import { createWorld, fails, type Given, type World, xmlOf } from '../context.js';

const test = suite('ETag policy');
await loadDigests();

const mib = 1024 * 1024;
/** 32 hex digits and `-0`, quoted: no client takes it for an MD5, or for the ETag of a multipart upload. */
const noMd5 = /^"[0-9a-f]{32}-0"$/;
const md5 = (bytes: Uint8Array | string) => createHash('md5').update(bytes).digest('hex');
const base64 = (name: Digest, bytes: Uint8Array | string) => {
  const running = createDigests([name]);
  running.update(Buffer.from(bytes));
  return Buffer.from(running.finish()[name]!).toString('base64');
};

interface Watched extends World {
  /** Digests that were asked for, and that the seal got, of each upload since it was asked last. */
  asked(): string[][];
}

/** A world whose bucket `b` has this policy. */
async function worldOf(policy: string | undefined): Promise<Watched> {
  const world = await createWorld();
  const { storage } = world;
  await storage.putConfig((await storage.bucket('b'))!, 'etag', policy);
  let seen: string[][] = [];
  const watched = <R extends { digests: readonly Digest[]; seal(received: Received): unknown }>(request: R): R => ({
    ...request,
    seal(received: Received) {
      assert.equal(Object.keys(received.digests).sort(), [...request.digests].sort());
      seen.push(Object.keys(received.digests).sort());
      return request.seal(received);
    },
  });
  const { put, copy, putPart, copyPart } = storage;
  storage.put = (at, key, body, request) => put.call(storage, at, key, body, watched(request));
  storage.copy = (source, at, key, request) => copy.call(storage, source, at, key, watched(request));
  storage.putPart = (at, key, id, number, body, request) =>
    putPart.call(storage, at, key, id, number, body, watched(request));
  storage.copyPart = (source, range, at, key, id, number, request) =>
    copyPart.call(storage, source, range, at, key, id, number, watched(request));
  return {
    ...world,
    asked() {
      const all = seen;
      seen = [];
      return all;
    },
  };
}

const etag = async (world: World, key = 'k') => (await world.call(headObject, { key })).headers!['etag']!;
const put = (world: World, given: Given = {}) => world.call(putObject, { body: 'bar', ...given });

test('PutObject: no digest but those that the client promises, all of them verified', async () => {
  const world = await worldOf('fast');
  const expectations: [string, Given, string[]][] = [
    ['plain', {}, []],
    ['of unknown length', { chunked: true }, []],
    ['signed', { signed: true }, ['sha256']],
    ['a checksum', { headers: { 'x-amz-checksum-crc32': base64('crc32', 'bar') } }, ['crc32']],
    [
      'a trailing checksum',
      {
        chunked: true,
        headers: { 'x-amz-trailer': 'x-amz-checksum-crc64nvme' },
        trailers: { 'x-amz-checksum-crc64nvme': base64('crc64nvme', 'bar') },
      },
      ['crc64nvme'],
    ],
  ];
  for (const [what, given, digests] of expectations) {
    const reply = await put(world, given);
    assert.equal(world.asked(), [digests], what);
    assert.match(reply.headers!['etag']!, noMd5, what);
    assert.is(await etag(world), reply.headers!['etag'], what);
  }
  const before = await etag(world);
  const wrong: [string, Given][] = [
    ['BadDigest', { headers: { 'content-md5': base64('md5', 'baz') } }],
    ['BadDigest', { headers: { 'x-amz-checksum-crc32': base64('crc32', 'baz') } }],
    ['BadDigest', { headers: { 'x-amz-checksum-sha256': base64('sha256', 'baz') } }],
    ['XAmzContentSHA256Mismatch', { signed: createHash('sha256').update('baz').digest('hex') }],
    [
      'BadDigest',
      {
        chunked: true,
        headers: { 'x-amz-trailer': 'x-amz-checksum-crc32c' },
        trailers: { 'x-amz-checksum-crc32c': base64('crc32c', 'baz') },
      },
    ],
  ];
  for (const [code, given] of wrong) await fails(code, put(world, given));
  assert.is(await etag(world), before, 'and nothing is changed by what did not hold');
});

test('the default, and what is not understood: MD5', async () => {
  for (const policy of [undefined, 'md5', 'blake3']) {
    const world = await worldOf(policy);
    const reply = await put(world, { signed: true });
    assert.equal(world.asked(), [['md5', 'sha256']]);
    assert.is(reply.headers!['etag'], `"${md5('bar')}"`);
  }
});

test('a client that sends Content-MD5 gets it for its ETag: it may compare', async () => {
  const world = await worldOf('fast');
  const reply = await put(world, { headers: { 'content-md5': base64('md5', 'bar') } });
  assert.equal(world.asked(), [['md5']]);
  assert.is(reply.headers!['etag'], `"${md5('bar')}"`);
});

test('two contents with the same size and CRC do not share an ETag, and If-Match tells them apart', async () => {
  const world = await worldOf('fast');
  const crc = base64('crc32', 'plumless');
  assert.is(crc, base64('crc32', 'buckeroo'), 'a collision');
  const headers = { 'x-amz-checksum-crc32': crc };
  const first = (await put(world, { body: 'plumless', headers })).headers!['etag']!;
  const second = (await put(world, { body: 'buckeroo', headers })).headers!['etag']!;
  assert.is.not(first, second);
  await fails('PreconditionFailed', put(world, { headers: { 'if-match': first } }));
  await fails('PreconditionFailed', world.call(deleteObject, { headers: { 'if-match': first } }));
  await fails('PreconditionFailed', world.call(getObject, { headers: { 'if-match': first } }));
  await fails('PreconditionFailed', put(world, { headers: { 'if-none-match': '*' } }));
  const unchanged = await fails('NotModified', world.call(getObject, { headers: { 'if-none-match': second } }));
  assert.is(unchanged.headers?.['etag'], second);
  const third = (await put(world, { body: 'third', headers: { 'if-match': second } })).headers!['etag']!;
  assert.is(await etag(world), third);
  // A signed payload is known by its SHA-256: written again it is the same content, and shows it.
  const signed = async (body: string) => (await put(world, { body, signed: true })).headers!['etag']!;
  assert.is(await signed('bar'), await signed('bar'));
  assert.is.not(await signed('bar'), await signed('baz'));
});

test('PostObject', async () => {
  const world = await worldOf('fast');
  const post = (fields: Record<string, string>) => {
    const form = { fields: new Map(Object.entries({ key: 'form', ...fields })), fileName: undefined };
    return world.call(postObject, { key: '', form, body: 'bar' });
  };
  const reply = await post({});
  assert.equal(world.asked(), [[]]);
  assert.match(reply.headers!['etag']!, noMd5);
  assert.is(await etag(world, 'form'), reply.headers!['etag']);
  await post({ 'x-amz-checksum-sha1': base64('sha1', 'bar') });
  assert.equal(world.asked(), [['sha1']]);
  await fails('BadDigest', post({ 'x-amz-checksum-sha1': base64('sha1', 'baz') }));
});

const copy = async (world: World, source: string, headers: Record<string, string> = {}) => {
  const reply = await world.call(copyObject, { key: 'dst', headers: { 'x-amz-copy-source': source, ...headers } });
  return ((await xmlOf(reply))['CopyObjectResult'] as Record<string, string>)['ETag']!;
};

test('CopyObject: bytes are left to the kernel; an MD5 that is known stays', async () => {
  const world = await worldOf('fast');
  const source = (await put(world, { key: 'src' })).headers!['etag']!;
  world.asked();
  const copied = await copy(world, 'b/src');
  assert.equal(world.asked(), [[]]);
  assert.match(copied, noMd5);
  assert.is(await etag(world, 'dst'), copied);
  assert.is.not(copied, source);
  await copy(world, 'b/src', { 'x-amz-checksum-algorithm': 'CRC32' });
  assert.equal(world.asked(), [['crc32']]);
  await put(world, { key: 'md5', headers: { 'content-md5': base64('md5', 'bar') } });
  world.asked();
  assert.is(await copy(world, 'b/md5'), `"${md5('bar')}"`);
  assert.equal(world.asked(), [[]]);

  // Into a bucket with MD5s: there it is computed, of a source that has none.
  const bucket = (await world.storage.bucket('b'))!;
  await world.storage.putConfig(bucket, 'etag', undefined);
  assert.is(await copy(world, 'b/src'), `"${md5('bar')}"`);
  assert.equal(world.asked(), [['md5']]);
  assert.is(await etag(world, 'src'), source, 'the policy is one of new contents');
});

const create = async (world: World, headers: Record<string, string> = {}): Promise<string> => {
  const { InitiateMultipartUploadResult } = await xmlOf(await world.call(createMultipartUpload, { headers }));
  return (InitiateMultipartUploadResult as Record<string, string>)['UploadId']!;
};
const part = async (world: World, handler: Handler, uploadId: string, number: number, given: Given) => {
  const reply = await world.call(handler, { ...given, query: { uploadId, partNumber: String(number) } });
  if (reply.headers?.['etag']) return reply.headers['etag'];
  return ((await xmlOf(reply))['CopyPartResult'] as Record<string, string>)['ETag']!;
};
const complete = async (world: World, uploadId: string, etags: readonly string[]): Promise<string> => {
  const xml = etags.map((each, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${each}</ETag></Part>`).join('');
  const body = `<CompleteMultipartUpload>${xml}</CompleteMultipartUpload>`;
  const reply = await xmlOf(await world.call(completeMultipartUpload, { query: { uploadId }, body }));
  return (reply['CompleteMultipartUploadResult'] as Record<string, string>)['ETag']!;
};
const A = Buffer.alloc(5 * mib, 'a');
const B = Buffer.alloc(5 * mib, 'b');

test('multipart uploads: parts have ETags that Complete compares', async () => {
  const world = await worldOf('fast');
  await put(world, { key: 'src', body: A });
  world.asked();
  const uploadId = await create(world);
  const lost = await part(world, uploadPart, uploadId, 1, { body: A });
  const first = await part(world, uploadPart, uploadId, 1, { body: B });
  const second = await part(world, uploadPartCopy, uploadId, 2, { headers: { 'x-amz-copy-source': 'b/src' } });
  assert.equal(world.asked(), [[], [], []]);
  for (const each of [lost, first, second]) assert.match(each, noMd5);
  assert.is(new Set([lost, first, second]).size, 3);
  const listed = (await xmlOf(await world.call(listParts, { query: { uploadId } })))['ListPartsResult'];
  const shown = (listed as { Part: { ETag: string }[] }).Part.map(({ ETag }) => ETag);
  assert.equal(shown, [first, second]);

  for (const etags of [
    [lost, second],
    [second, first],
    [`"${md5(B)}"`, second],
    [first.slice(0, -3), second],
  ]) {
    await fails('InvalidPart', complete(world, uploadId, etags));
  }
  const made = await complete(world, uploadId, [first, second]);
  assert.match(made, /^"[0-9a-f]{32}-2"$/);
  assert.is(await complete(world, uploadId, [first, second]), made, 'asked again it answers as before');
  assert.is(await etag(world), made);

  const other = await create(world);
  const again = await part(world, uploadPart, other, 1, { body: B });
  const rest = await part(world, uploadPart, other, 2, { body: A });
  assert.is.not(await complete(world, other, [again, rest]), made, 'two writes of unsigned parts');
});

test('multipart uploads: what the client or its upload wants is computed and verified, and no more', async () => {
  const world = await worldOf('fast');
  const uploadId = await create(world, { 'x-amz-checksum-algorithm': 'CRC64NVME' });
  await put(world, { key: 'src', body: A });
  world.asked();
  await part(world, uploadPart, uploadId, 1, { body: A });
  await part(world, uploadPart, uploadId, 1, { body: A, signed: true });
  await part(world, uploadPartCopy, uploadId, 2, { headers: { 'x-amz-copy-source': 'b/src' } });
  assert.equal(world.asked(), [['crc64nvme'], ['crc64nvme', 'sha256'], ['crc64nvme']]);
  const refusals: Record<string, string>[] = [
    { 'content-md5': base64('md5', B) },
    { 'x-amz-checksum-crc64nvme': base64('crc64nvme', B) },
  ];
  for (const headers of refusals) {
    await fails('BadDigest', part(world, uploadPart, uploadId, 1, { body: A, headers }));
  }
});

test('a multipart upload with Content-MD5 of all parts has the ETag that S3 gives it', async () => {
  const world = await worldOf('fast');
  const uploadId = await create(world);
  const etags: string[] = [];
  for (const [i, body] of [A, B].entries()) {
    etags.push(
      await part(world, uploadPart, uploadId, i + 1, { body, headers: { 'content-md5': base64('md5', body) } }),
    );
  }
  assert.equal(etags, [`"${md5(A)}"`, `"${md5(B)}"`]);
  const expected = md5(Buffer.concat([A, B].map((body) => Buffer.from(md5(body), 'hex'))));
  assert.is(await complete(world, uploadId, etags), `"${expected}-2"`);
});

test.run();
