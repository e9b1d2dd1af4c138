// timeout: 180
/** Multipart uploads through @aws-sdk/client-s3 and its lib-storage. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import * as s3 from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Gateway, startGateway } from '../support/gateway.js';
import { fails, sdk } from '../support/sdk.js';

const test = suite('sdk: multipart');
const Bucket = 'parts';
const partSize = 5 * 1024 * 1024;
let gateway: Gateway;
let client: s3.S3Client;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn', '--durability', 'none'] });
  client = sdk(gateway);
  await client.send(new s3.CreateBucketCommand({ Bucket }));
});
test.after(async () => {
  client?.destroy();
  assert.is(await gateway?.stop(), 0);
});

const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest();
/** `md5(of the parts' md5s)-N`, as S3 makes it. */
const joinedEtag = (parts: Buffer[]) => `"${md5(Buffer.concat(parts.map(md5))).toString('hex')}-${parts.length}"`;
const file = (key: string) => join(gateway.bucketPath(Bucket), key);
const bytes = (size: number, seed: number) => Buffer.alloc(size, `part ${seed} `);

const begin = async (Key: string, more: Partial<s3.CreateMultipartUploadCommandInput> = {}) =>
  (await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key, ...more }))).UploadId!;
const sendPart = async (Key: string, UploadId: string, PartNumber: number, Body: Buffer) => {
  const { ETag } = await client.send(new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
  return { ETag, PartNumber };
};
const complete = (Key: string, UploadId: string, Parts: s3.CompletedPart[]) =>
  client.send(new s3.CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));

test('the whole way: create, parts in any order, list, complete, one file', async () => {
  const Key = 'dir/三 parts';
  const UploadId = await begin(Key, { ContentType: 'text/x-parts', Metadata: { a: 'b' } });
  const parts = [bytes(partSize, 1), bytes(partSize + 1, 2), bytes(17, 3)];
  const done: s3.CompletedPart[] = [];
  for (const number of [3, 1, 2]) done[number - 1] = await sendPart(Key, UploadId, number, parts[number - 1]!);
  await sendPart(Key, UploadId, 9, bytes(100, 9));
  assert.not.ok(existsSync(file(Key)));

  const listed = await client.send(new s3.ListPartsCommand({ Bucket, Key, UploadId, MaxParts: 2 }));
  assert.equal(
    listed.Parts?.map((part) => [part.PartNumber, part.Size]),
    [
      [1, partSize],
      [2, partSize + 1],
    ],
  );
  assert.is(listed.IsTruncated, true);
  const rest = await client.send(
    new s3.ListPartsCommand({ Bucket, Key, UploadId, PartNumberMarker: listed.NextPartNumberMarker }),
  );
  assert.equal(
    rest.Parts?.map((part) => part.PartNumber),
    [3, 9],
  );

  const reply = await complete(Key, UploadId, done);
  assert.is(reply.ETag, joinedEtag(parts));
  assert.ok(readFileSync(file(Key)).equals(Buffer.concat(parts)));
  const seen = await client.send(new s3.HeadObjectCommand({ Bucket, Key }));
  assert.is(seen.ETag, joinedEtag(parts));
  assert.is(seen.ContentType, 'text/x-parts');
  assert.equal(seen.Metadata, { a: 'b' });

  const second = await client.send(new s3.GetObjectCommand({ Bucket, Key, PartNumber: 2 }));
  assert.is(second.PartsCount, 3);
  assert.is(second.ContentRange, `bytes ${partSize}-${2 * partSize}/${2 * partSize + 18}`);
  assert.ok(Buffer.from(await second.Body!.transformToByteArray()).equals(parts[1]!));

  // A client that did not hear the answer asks again.
  assert.is((await complete(Key, UploadId, done)).ETag, joinedEtag(parts));
  await fails(client.send(new s3.ListPartsCommand({ Bucket, Key, UploadId })), 'NoSuchUpload', 404);
});

test('a long list of parts: each of them is found, and the one that is wrong is named', async () => {
  const Key = 'long';
  const UploadId = await begin(Key);
  const parts = Array.from({ length: 70 }, (_, index) => bytes(partSize, index + 1));
  const done: s3.CompletedPart[] = [];
  for (const [index, part] of parts.entries()) done.push(await sendPart(Key, UploadId, index + 1, part));
  for (const place of [40, 71]) {
    const wrong = { PartNumber: place, ETag: '"00000000000000000000000000000000"' };
    const list = [...done.slice(0, place - 1), wrong, ...done.slice(place)];
    const error = await fails(complete(Key, UploadId, list), 'InvalidPart', 400);
    assert.is((error as unknown as { PartNumber: string }).PartNumber, `${place}`);
  }
  // Not all that are there, over a gap.
  const some = done.filter((_, index) => index < 34 || index > 60);
  const reply = await complete(Key, UploadId, some);
  const kept = parts.filter((_, index) => index < 34 || index > 60);
  assert.is(reply.ETag, joinedEtag(kept));
  assert.ok(readFileSync(file(Key)).equals(Buffer.concat(kept)));
});

test('lib-storage sends a stream of unknown length in parts', async () => {
  const chunks = Array.from({ length: 130 }, (_, index) => bytes(100_000, index));
  const upload = new Upload({
    client,
    params: { Bucket, Key: 'streamed', Body: Readable.from(chunks) },
    partSize,
    queueSize: 3,
  });
  await upload.done();
  assert.ok(readFileSync(file('streamed')).equals(Buffer.concat(chunks)));
});

test('complete refuses wrong parts, and the upload stays', async () => {
  const Key = 'refused';
  const UploadId = await begin(Key);
  const one = await sendPart(Key, UploadId, 1, bytes(1000, 1));
  const two = await sendPart(Key, UploadId, 2, bytes(1000, 2));
  await fails(complete(Key, UploadId, [one, two]), 'EntityTooSmall', 400);
  await fails(complete(Key, UploadId, [two, one]), 'InvalidPartOrder', 400);
  await fails(complete(Key, UploadId, [{ ...one, ETag: two.ETag }]), 'InvalidPart', 400);
  await fails(complete(Key, UploadId, [{ ...two, PartNumber: 7 }]), 'InvalidPart', 400);
  assert.not.ok(existsSync(file(Key)));
  await complete(Key, UploadId, [two]);
  assert.ok(readFileSync(file(Key)).equals(bytes(1000, 2)));
});

test('ListMultipartUploads and AbortMultipartUpload: nothing is left', async () => {
  const ids = [await begin('abort/a'), await begin('abort/b'), await begin('abort/b')];
  await sendPart('abort/b', ids[1]!, 1, bytes(partSize, 1));
  const listed = await client.send(new s3.ListMultipartUploadsCommand({ Bucket, Prefix: 'abort/' }));
  assert.equal(
    listed.Uploads?.map((upload) => upload.Key),
    ['abort/a', 'abort/b', 'abort/b'],
  );
  assert.is(listed.Uploads?.[0]?.Initiator?.ID, gateway.uuid);
  const grouped = await client.send(new s3.ListMultipartUploadsCommand({ Bucket, Delimiter: '/' }));
  assert.equal(
    grouped.CommonPrefixes?.map((entry) => entry.Prefix),
    ['abort/'],
  );
  for (const [index, UploadId] of ids.entries()) {
    const Key = index === 0 ? 'abort/a' : 'abort/b';
    await client.send(new s3.AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
  }
  const after = await client.send(new s3.ListMultipartUploadsCommand({ Bucket }));
  assert.equal(after.Uploads ?? [], []);
  await fails(sendPart('abort/b', ids[1]!, 2, bytes(10, 1)), 'NoSuchUpload', 404);
  const left = readdirSync(join(gateway.bucketPath(Bucket), '.tidegate/uploads'), {
    recursive: true,
    withFileTypes: true,
  });
  assert.equal(
    left.filter((entry) => entry.isFile()).map((entry) => entry.name),
    [],
  );
  // An upload is no object: neither its key nor its directory appears.
  assert.not.ok(existsSync(file('abort')));
});

test('UploadPartCopy, whole and ranges', async () => {
  const source = bytes(partSize + 500, 5);
  await client.send(new s3.PutObjectCommand({ Bucket, Key: 'source 元', Body: source }));
  const CopySource = `${Bucket}/${encodeURIComponent('source 元')}`;
  const Key = 'assembled';
  const UploadId = await begin(Key);
  const copy = async (PartNumber: number, CopySourceRange?: string) => {
    const { CopyPartResult } = await client.send(
      new s3.UploadPartCopyCommand({ Bucket, Key, UploadId, PartNumber, CopySource, CopySourceRange }),
    );
    return { PartNumber, ETag: CopyPartResult?.ETag };
  };
  const parts = [await copy(1), await copy(2, 'bytes=100-199')];
  await fails(copy(3, `bytes=0-${source.length}`), 'InvalidRange');
  await complete(Key, UploadId, parts);
  assert.ok(readFileSync(file(Key)).equals(Buffer.concat([source, source.subarray(100, 200)])));
});

test('checksums of parts: composite, and a full-object CRC', async () => {
  for (const [algorithm, type] of [
    ['SHA256', 'COMPOSITE'],
    ['CRC32', 'FULL_OBJECT'],
  ] as const) {
    const Key = `summed-${algorithm}`;
    const UploadId = await begin(Key, { ChecksumAlgorithm: algorithm, ChecksumType: type });
    const done: s3.CompletedPart[] = [];
    for (const PartNumber of [1, 2]) {
      const Body = bytes(partSize, PartNumber);
      const reply = await client.send(
        new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm: algorithm }),
      );
      const { ETag, ChecksumCRC32, ChecksumSHA256 } = reply;
      done.push({ PartNumber, ETag, ChecksumCRC32, ChecksumSHA256 });
    }
    await complete(Key, UploadId, done);
    const seen = await client.send(new s3.HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
    assert.is(seen.ChecksumType, type);
    if (algorithm === 'SHA256') assert.match(seen.ChecksumSHA256 ?? '', /-2$/);
    else assert.match(seen.ChecksumCRC32 ?? '', /^[A-Za-z0-9+/]{6}==$/);
    const attributes = await client.send(
      new s3.GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ['ObjectParts', 'ObjectSize'] }),
    );
    assert.is(attributes.ObjectSize, 2 * partSize);
    assert.is(attributes.ObjectParts?.TotalPartsCount, 2);
  }
});

test.run();
