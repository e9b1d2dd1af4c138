/** The main functions of the `minio` npm client. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Client, CopyConditions } from 'minio';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Gateway, startGateway } from '../support/gateway.js';
import { tempDir } from '../support/temp.js';

const test = suite('minio');
const bucket = 'minio-client';
let gateway: Gateway;
let client: Client;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn', '--durability', 'none'] });
  client = new Client({
    endPoint: '127.0.0.1',
    port: gateway.port,
    useSSL: false,
    accessKey: gateway.accessKey,
    secretKey: gateway.secretKey,
    partSize: 5 * 1024 * 1024,
  });
});
test.after(async () => {
  assert.is(await gateway?.stop(), 0);
});

const file = (key: string) => join(gateway.bucketPath(bucket), key);

test('makeBucket, bucketExists, listBuckets', async () => {
  assert.is(await client.bucketExists(bucket), false);
  await client.makeBucket(bucket, 'us-east-1');
  assert.is(await client.bucketExists(bucket), true);
  assert.equal(
    (await client.listBuckets()).map((entry) => entry.name),
    [bucket],
  );
});

test('putObject and getObject, buffer and stream, with metadata', async () => {
  await client.putObject(bucket, 'データ/a b+c%.txt', 'hello', undefined, {
    'Content-Type': 'text/x-minio',
    'X-Amz-Meta-Colour': 'blue',
  });
  assert.is(readFileSync(file('データ/a b+c%.txt'), 'utf8'), 'hello');
  assert.is(await text(await client.getObject(bucket, 'データ/a b+c%.txt')), 'hello');
  const stat = await client.statObject(bucket, 'データ/a b+c%.txt');
  assert.is(stat.size, 5);
  assert.is(stat.metaData['content-type'], 'text/x-minio');
  assert.is(stat.metaData['colour'], 'blue');
  assert.is(await text(await client.getPartialObject(bucket, 'データ/a b+c%.txt', 1, 3)), 'ell');

  // A stream of unknown length beyond the part size goes up in parts.
  const chunks = Array.from({ length: 120 }, (_, index) => Buffer.alloc(100_000, `${index} `));
  await client.putObject(bucket, 'streamed', Readable.from(chunks));
  assert.ok(readFileSync(file('streamed')).equals(Buffer.concat(chunks)));
});

test('fPutObject, fGetObject', async () => {
  const dir = tempDir();
  const bytes = Buffer.alloc(11_000_000, 'minio file ');
  writeFileSync(join(dir, 'up'), bytes);
  await client.fPutObject(bucket, 'file.bin', join(dir, 'up'));
  assert.ok(readFileSync(file('file.bin')).equals(bytes));
  await client.fGetObject(bucket, 'file.bin', join(dir, 'down'));
  assert.ok(readFileSync(join(dir, 'down')).equals(bytes));
});

test('listObjects and listObjectsV2, recursive and not', async () => {
  const names = (stream: Readable) =>
    (stream as AsyncIterable<{ name?: string; prefix?: string }> & Readable).map(
      (item: { name?: string; prefix?: string }) => item.name ?? item.prefix,
    );
  for (const list of [client.listObjects.bind(client), client.listObjectsV2.bind(client)]) {
    assert.equal(await names(list(bucket, '', true)).toArray(), ['file.bin', 'streamed', 'データ/a b+c%.txt']);
    assert.equal((await names(list(bucket, '', false)).toArray()).sort(), ['file.bin', 'streamed', 'データ/'].sort());
    assert.equal(await names(list(bucket, 'データ/', false)).toArray(), ['データ/a b+c%.txt']);
  }
});

test('copyObject, tags, presigned links', async () => {
  await client.copyObject(bucket, 'copied', `/${bucket}/streamed`, new CopyConditions());
  assert.ok(readFileSync(file('copied')).equals(readFileSync(file('streamed'))));
  await client.setObjectTagging(bucket, 'copied', { a: 'one' });
  assert.equal(await client.getObjectTagging(bucket, 'copied'), [{ Key: 'a', Value: 'one' }]);
  await client.removeObjectTagging(bucket, 'copied', { versionId: '' });
  const up = await client.presignedPutObject(bucket, 'by link', 60);
  assert.is((await fetch(up, { method: 'PUT', body: 'linked' })).status, 200);
  const down = await client.presignedGetObject(bucket, 'by link', 60);
  assert.is(await (await fetch(down)).text(), 'linked');
  const policy = client.newPostPolicy();
  policy.setBucket(bucket);
  policy.setKey('by form');
  policy.setExpires(new Date(Date.now() + 60_000));
  policy.setContentLengthRange(1, 1000);
  const { postURL, formData } = await client.presignedPostPolicy(policy);
  const form = new FormData();
  for (const [name, value] of Object.entries(formData)) form.append(name, String(value));
  form.append('file', new Blob(['formed']), 'x');
  const posted = await fetch(postURL, { method: 'POST', body: form });
  assert.is(posted.status, 204, await posted.text());
  assert.is(readFileSync(file('by form'), 'utf8'), 'formed');
});

test('removeObject, removeObjects, removeIncompleteUpload, removeBucket', async () => {
  await client.initiateNewMultipartUpload(bucket, 'incomplete', {});
  const incomplete = await client.listIncompleteUploads(bucket, '', true).toArray();
  assert.equal(
    incomplete.map((upload) => upload.key),
    ['incomplete'],
  );
  await client.removeIncompleteUpload(bucket, 'incomplete');
  await client.removeObject(bucket, 'copied');
  assert.not.ok(existsSync(file('copied')));
  const rest = await client.listObjectsV2(bucket, '', true).toArray();
  await client.removeObjects(
    bucket,
    rest.map((entry) => entry.name),
  );
  await client.removeBucket(bucket);
  assert.not.ok(existsSync(gateway.bucketPath(bucket)));
});

test.run();
