// timeout: 180
/** Object operations through @aws-sdk/client-s3, with a look at the files. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import * as s3 from '@aws-sdk/client-s3';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Gateway, startGateway } from '../support/gateway.js';
import { fails, sdk } from '../support/sdk.js';

const test = suite('sdk: objects');
const Bucket = 'objects';
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

const md5 = (bytes: string | Buffer) => `"${createHash('md5').update(bytes).digest('hex')}"`;
const file = (key: string) => join(gateway.bucketPath(Bucket), key);
const put = (Key: string, Body: string | Buffer, more: Partial<s3.PutObjectCommandInput> = {}) =>
  client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }));
const get = async (Key: string, more: Partial<s3.GetObjectCommandInput> = {}) => {
  const reply = await client.send(new s3.GetObjectCommand({ Bucket, Key, ...more }));
  return { ...reply, text: await reply.Body!.transformToString() };
};
const head = (Key: string, more: Partial<s3.HeadObjectCommandInput> = {}) =>
  client.send(new s3.HeadObjectCommand({ Bucket, Key, ...more }));

test('PutObject, GetObject, HeadObject, DeleteObject: a plain file with the same bytes', async () => {
  const reply = await put('dir/plain.txt', 'hello', {
    ContentType: 'text/plain; charset=utf-8',
    CacheControl: 'no-cache',
    ContentDisposition: 'attachment',
    ContentLanguage: 'ja',
    Metadata: { colour: 'blue', empty: '' },
  });
  assert.is(reply.ETag, md5('hello'));
  assert.is(readFileSync(file('dir/plain.txt'), 'utf8'), 'hello');
  const read = await get('dir/plain.txt');
  assert.is(read.text, 'hello');
  assert.is(read.ETag, md5('hello'));
  assert.is(read.ContentType, 'text/plain; charset=utf-8');
  assert.is(read.ContentLanguage, 'ja');
  assert.is(read.ContentDisposition, 'attachment');
  assert.equal(read.Metadata, { colour: 'blue', empty: '' });
  const seen = await head('dir/plain.txt');
  assert.is(seen.ContentLength, 5);
  assert.is(seen.CacheControl, 'no-cache');
  await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'dir/plain.txt' }));
  // The gateway had made the directory, so it goes too.
  assert.not.ok(existsSync(file('dir')));
  await fails(get('dir/plain.txt'), 'NoSuchKey', 404);
  await fails(head('dir/plain.txt'), 'NotFound', 404);
  await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'dir/plain.txt' }));
});

test('sizes around every border, as a buffer and as a stream', async () => {
  for (const size of [0, 1, 65_535, 65_536, 131_072, 131_073, 1_048_575, 1_048_576, 3_500_000]) {
    const bytes = Buffer.alloc(size, `${size}.`);
    const buffered = await put('sizes/buffer', bytes);
    assert.is(buffered.ETag, md5(bytes), `buffer of ${size}`);
    assert.ok(readFileSync(file('sizes/buffer')).equals(bytes));
    const streamed = await client.send(
      new s3.PutObjectCommand({
        Bucket,
        Key: 'sizes/stream',
        Body: Readable.from(size ? [bytes.subarray(0, size >> 1), bytes.subarray(size >> 1)] : []),
        ContentLength: size,
      }),
    );
    assert.is(streamed.ETag, md5(bytes), `stream of ${size}`);
    const back = await client.send(new s3.GetObjectCommand({ Bucket, Key: 'sizes/stream' }));
    assert.ok(Buffer.from(await back.Body!.transformToByteArray()).equals(bytes), `back ${size}`);
  }
});

test('checksums: every algorithm, kept and shown; a wrong one changes nothing', async () => {
  const fields = {
    CRC32: 'ChecksumCRC32',
    CRC32C: 'ChecksumCRC32C',
    CRC64NVME: 'ChecksumCRC64NVME',
    SHA1: 'ChecksumSHA1',
    SHA256: 'ChecksumSHA256',
  } as const;
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
    const field = fields[algorithm];
    let stored: s3.PutObjectCommandOutput;
    try {
      stored = await put('sum', 'checksummed', { ChecksumAlgorithm: algorithm });
    } catch (error) {
      // The SDK itself has CRC64NVME only with a native package; test/s3 has it.
      if (algorithm === 'CRC64NVME' && !(error instanceof s3.S3ServiceException)) continue;
      throw error;
    }
    assert.type(stored[field], 'string', algorithm);
    const seen = await head('sum', { ChecksumMode: 'ENABLED' });
    assert.is(seen[field], stored[field]);
    const attributes = await client.send(
      new s3.GetObjectAttributesCommand({ Bucket, Key: 'sum', ObjectAttributes: ['Checksum', 'ETag', 'ObjectSize'] }),
    );
    assert.is(attributes.Checksum?.[field], stored[field]);
    assert.is(attributes.ObjectSize, 11);
    assert.is(`"${attributes.ETag}"`, md5('checksummed'));
  }
  await fails(put('sum', 'other bytes', { ChecksumSHA256: Buffer.alloc(32).toString('base64') }), 'BadDigest', 400);
  await fails(put('sum', 'other bytes', { ContentMD5: Buffer.alloc(16).toString('base64') }), 'BadDigest', 400);
  assert.is((await get('sum')).text, 'checksummed');
});

test('ranges', async () => {
  await put('range', '0123456789');
  const cases: [range: string, text: string, contentRange: string][] = [
    ['bytes=0-0', '0', 'bytes 0-0/10'],
    ['bytes=2-4', '234', 'bytes 2-4/10'],
    ['bytes=7-', '789', 'bytes 7-9/10'],
    ['bytes=-3', '789', 'bytes 7-9/10'],
    ['bytes=-30', '0123456789', 'bytes 0-9/10'],
    ['bytes=8-100', '89', 'bytes 8-9/10'],
  ];
  for (const [Range, expected, contentRange] of cases) {
    const reply = await get('range', { Range });
    assert.is(reply.text, expected, Range);
    assert.is(reply.ContentRange, contentRange);
    assert.is(reply.$metadata.httpStatusCode, 206);
  }
  await fails(get('range', { Range: 'bytes=10-' }), 'InvalidRange', 416);
  assert.is((await get('range', { ResponseContentType: 'text/x-odd' })).ContentType, 'text/x-odd');
});

test('conditions on reads and writes', async () => {
  const { ETag } = await put('cond', 'one');
  const past = new Date(Date.now() - 86_400_000);
  const future = new Date(Date.now() + 86_400_000);
  assert.is((await get('cond', { IfMatch: ETag })).text, 'one');
  await fails(get('cond', { IfMatch: '"no"' }), 'PreconditionFailed', 412);
  const unchanged = await get('cond', { IfNoneMatch: ETag }).catch((error) => error);
  assert.is(unchanged.$metadata.httpStatusCode, 304);
  const older = await get('cond', { IfModifiedSince: new Date() }).catch((error) => error);
  assert.is(older.$metadata?.httpStatusCode, 304);
  assert.is((await get('cond', { IfModifiedSince: past })).text, 'one');
  await fails(get('cond', { IfUnmodifiedSince: past }), 'PreconditionFailed', 412);
  assert.is((await get('cond', { IfUnmodifiedSince: future })).text, 'one');

  await fails(put('cond', 'two', { IfNoneMatch: '*' }), 'PreconditionFailed', 412);
  await fails(put('cond', 'two', { IfMatch: '"no"' }), 'PreconditionFailed', 412);
  assert.is(readFileSync(file('cond'), 'utf8'), 'one');
  await put('cond', 'two', { IfMatch: ETag });
  assert.is((await get('cond')).text, 'two');
  await fails(put('cond-none', 'x', { IfMatch: ETag }), 'NoSuchKey', 404);

  // Many create at once: one wins.
  const race = await Promise.allSettled(
    Array.from({ length: 16 }, (_, index) => put('cond-race', `${index}`, { IfNoneMatch: '*' })),
  );
  assert.is(race.filter((one) => one.status === 'fulfilled').length, 1);
  const winner = race.findIndex((one) => one.status === 'fulfilled');
  assert.is((await get('cond-race')).text, `${winner}`);
});

test('DeleteObjects, also of what is not there', async () => {
  for (const key of ['many/1', 'many/2', 'many/三 & <3>']) await put(key, key);
  const Objects = ['many/1', 'many/三 & <3>', 'many/none'].map((Key) => ({ Key }));
  const reply = await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  assert.is(reply.Errors, undefined);
  assert.equal(
    reply.Deleted?.map((entry) => entry.Key),
    Objects.map((entry) => entry.Key),
  );
  assert.not.ok(existsSync(file('many/三 & <3>')));
  assert.ok(existsSync(file('many/2')));
});

test('CopyObject: independent bytes, metadata copied or replaced', async () => {
  await put('copy/源 +1%.txt', 'source', { Metadata: { a: '1' }, ContentType: 'text/x-source' });
  const CopySource = `${Bucket}/${encodeURIComponent('copy/源 +1%.txt')}`;
  const reply = await client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource }));
  assert.is(reply.CopyObjectResult?.ETag, md5('source'));
  writeFileSync(file('copy/to'), 'edited in place');
  assert.is((await get('copy/源 +1%.txt')).text, 'source');
  await client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource }));
  const copied = await get('copy/to');
  assert.is(copied.text, 'source');
  assert.equal(copied.Metadata, { a: '1' });
  assert.is(copied.ContentType, 'text/x-source');
  await client.send(
    new s3.CopyObjectCommand({
      Bucket,
      Key: 'copy/to',
      CopySource,
      MetadataDirective: 'REPLACE',
      Metadata: { b: '2' },
    }),
  );
  assert.equal((await head('copy/to')).Metadata, { b: '2' });
  await fails(
    client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource: `${Bucket}/copy/to` })),
    'InvalidRequest',
    400,
  );
  await fails(
    client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource: `${Bucket}/nothing` })),
    'NoSuchKey',
    404,
  );
});

test('object tagging', async () => {
  await put('tags', 'x', { Tagging: 'a=1&b=%E6%B5%B7' });
  const tags = async () =>
    (await client.send(new s3.GetObjectTaggingCommand({ Bucket, Key: 'tags' }))).TagSet?.map(
      (tag) => `${tag.Key}=${tag.Value}`,
    ).sort();
  assert.equal(await tags(), ['a=1', 'b=海']);
  assert.is((await head('tags')).ETag, md5('x'));
  await client.send(
    new s3.PutObjectTaggingCommand({ Bucket, Key: 'tags', Tagging: { TagSet: [{ Key: 'c', Value: '3' }] } }),
  );
  assert.equal(await tags(), ['c=3']);
  await client.send(new s3.DeleteObjectTaggingCommand({ Bucket, Key: 'tags' }));
  assert.equal(await tags(), []);
  assert.is((await head('tags')).ETag, md5('x'));
});

test('presigned GET and PUT, and a presigned POST form', async () => {
  const Key = 'pre signed/海 +1%.txt';
  // By default the SDK signs the checksum of an empty body into a link for uploads, which then fits no other.
  const linking = sdk(gateway, { requestChecksumCalculation: 'WHEN_REQUIRED' });
  const up = await getSignedUrl(linking, new s3.PutObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  assert.is((await fetch(up, { method: 'PUT', body: 'by link' })).status, 200);
  assert.is(readFileSync(file(Key), 'utf8'), 'by link');
  const down = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  assert.is(await (await fetch(down)).text(), 'by link');
  linking.destroy();
  const altered = await fetch(down.replace('X-Amz-Expires=60', 'X-Amz-Expires=600'));
  assert.is(altered.status, 403);
  assert.match(await altered.text(), '<Code>SignatureDoesNotMatch</Code>');

  const { url, fields } = await createPresignedPost(client, {
    Bucket,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: S3's own variable, filled in by the server
    Key: 'form/${filename}',
    Conditions: [
      ['content-length-range', 1, 100],
      ['starts-with', '$key', 'form/'],
    ],
    Fields: { success_action_status: '201' },
    Expires: 60,
  });
  const form = (content: string) => {
    const data = new FormData();
    for (const [name, value] of Object.entries(fields)) data.append(name, value);
    data.append('file', new Blob([content]), '写真.jpg');
    return data;
  };
  const posted = await fetch(url, { method: 'POST', body: form('a picture') });
  assert.is(posted.status, 201, await posted.clone().text());
  assert.match(await posted.text(), '<Key>form/写真.jpg</Key>');
  assert.is(readFileSync(file('form/写真.jpg'), 'utf8'), 'a picture');
  const large = await fetch(url, { method: 'POST', body: form('x'.repeat(101)) });
  assert.is(large.status, 400);
  assert.match(await large.text(), '<Code>EntityTooLarge</Code>');
  assert.is(readFileSync(file('form/写真.jpg'), 'utf8'), 'a picture');
});

test('the other door: files of jobs, and writes in place', async () => {
  mkdirSync(dirname(file('job/out.json')), { recursive: true });
  writeFileSync(file('job/out.json'), '{}');
  const first = await get('job/out.json');
  assert.is(first.text, '{}');
  assert.is(first.ContentType, 'application/json');
  assert.match(first.ETag!, /^"[0-9a-f]+-[0-9]+"$/);

  const { ETag } = await put('job/up', 'aaaa', { Metadata: { k: 'v' } });
  assert.equal((await head('job/up')).Metadata, { k: 'v' });
  // Same size, in place, at once: the MD5 of the old bytes must not be shown.
  writeFileSync(file('job/up'), 'bbbb');
  const changed = await get('job/up');
  assert.is(changed.text, 'bbbb');
  assert.is.not(changed.ETag, ETag);
  assert.match(changed.ETag!, /-/);
  // The same with the old time put back.
  const { ETag: second } = await put('job/up', 'cccc');
  const { LastModified } = await head('job/up');
  writeFileSync(file('job/up'), 'dddd');
  utimesSync(file('job/up'), LastModified!, LastModified!);
  assert.is.not((await head('job/up')).ETag, second);
});

test('keys that a path cannot hold, and a file where a directory is needed', async () => {
  for (const Key of ['a//b', 'a/../b', './a', '.tidegate/x', 'x/.tidegate/y', `${'n'.repeat(256)}`]) {
    await fails(put(Key, 'x'), 'InvalidArgument', 400);
    await fails(get(Key), 'NoSuchKey', 404);
  }
  await fails(put('k'.repeat(250).concat('/').repeat(5), 'x'), 'KeyTooLongError', 400);
  await put('conflict', 'file');
  await fails(put('conflict/below', 'x'), 'KeyConflict', 409);
  await put('above/below', 'x');
  await fails(put('above', 'x'), 'KeyConflict', 409);
  assert.is((await get('conflict')).text, 'file');
});

test('an empty object whose key ends in a slash is a directory', async () => {
  await client.send(new s3.PutObjectCommand({ Bucket, Key: 'folder/', ContentType: 'application/x-directory' }));
  const seen = await head('folder/');
  assert.is(seen.ContentLength, 0);
  assert.is(seen.ContentType, 'application/x-directory');
  await put('folder/in it', 'x');
  await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'folder/in it' }));
  const listed = await client.send(new s3.ListObjectsV2Command({ Bucket, Prefix: 'folder/' }));
  assert.equal(
    listed.Contents?.map((entry) => entry.Key),
    ['folder/'],
  );
  await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'folder/' }));
  assert.not.ok(existsSync(file('folder')));
});

test('a stream that is read slowly is whole', async () => {
  const bytes = Buffer.alloc(8_000_000, 'tide');
  await put('slow', bytes);
  const reply = await client.send(new s3.GetObjectCommand({ Bucket, Key: 'slow' }));
  const stream = reply.Body as Readable;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.is((await text(stream)).length, bytes.length);
});

test.run();
