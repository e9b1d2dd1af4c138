// timeout: 240
/** Difficult keys in every signature version and every style of address. */
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as s3 from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Gateway, startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';

const test = suite('keys');
const Bucket = 'keys';
const domain = 's3.test';
let gateway: Gateway;
let client: s3.S3Client;

const keys = [
  'plain.txt',
  '日本語/フォルダ/ファイル.txt',
  'が.txt', // composed
  'か\u3099.txt', // the same to the eye, decomposed: another key
  'with space/ and  two.txt',
  'plus+plus.txt',
  'percent%.txt',
  'percent%20encoded%2Fslash.txt',
  '%E6%B5%B7.txt',
  'emoji 🌊/😀.txt',
  'quotes\'"<&>.txt',
  'query?like=1&x#y.txt',
  'semi;colon,comma:@=$!*().txt',
  'tilde~-_.txt',
  'back\\slash.txt',
  'dir/',
  '...',
  '.hidden/..twodots',
];

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn', '--durability', 'none', '--host-style', domain] });
  client = sdk(gateway);
  await client.send(new s3.CreateBucketCommand({ Bucket }));
});
test.after(async () => {
  client?.destroy();
  assert.is(await gateway?.stop(), 0);
});

interface Raw {
  status: number;
  body: string;
}

/** A request as it stands, whatever URL libraries would make of the path. */
function send(
  method: string,
  path: string,
  headers: Record<string, string>,
  body = '',
  host = `127.0.0.1:${gateway.port}`,
): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: gateway.port,
        method,
        path,
        headers: { ...headers, host, 'content-length': Buffer.byteLength(body) },
      },
      (incoming) => {
        text(incoming).then((body) => resolve({ status: incoming.statusCode ?? 0, body }), reject);
      },
    );
    outgoing.on('error', reject).end(body);
  });
}

/** Signature version 2: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html */
function signV2(method: string, resource: string, date: string): string {
  return createHmac('sha1', gateway.secretKey).update(`${method}\n\n\n${date}\n${resource}`).digest('base64');
}

const encode = (key: string) =>
  encodeURIComponent(key)
    .replaceAll('%2F', '/')
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

const bodyOf = (key: string, way: string) => (key.endsWith('/') ? '' : `${way}: ${key}`);

function onDisk(key: string): string {
  return key.endsWith('/') ? '' : readFileSync(join(gateway.bucketPath(Bucket), key), 'utf8');
}

test('v4, path style: put, file, get, head, list, delete', async () => {
  for (const Key of keys) {
    await client.send(new s3.PutObjectCommand({ Bucket, Key, Body: bodyOf(Key, 'v4') }));
    assert.is(onDisk(Key), bodyOf(Key, 'v4'), Key);
    const reply = await client.send(new s3.GetObjectCommand({ Bucket, Key }));
    assert.is(await reply.Body!.transformToString(), bodyOf(Key, 'v4'), Key);
  }
  const listed = await client.send(new s3.ListObjectsV2Command({ Bucket }));
  const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.equal(
    listed.Contents?.map((entry) => entry.Key),
    sorted,
  );
  const encoded = await client.send(new s3.ListObjectsV2Command({ Bucket, EncodingType: 'url' }));
  assert.equal(
    encoded.Contents?.map((entry) => decodeURIComponent(entry.Key!.replaceAll('+', ' '))),
    sorted,
  );
});

test('v4, presigned', async () => {
  // By default the SDK signs the checksum of an empty body into a link for uploads, which then fits no other.
  const linking = sdk(gateway, { requestChecksumCalculation: 'WHEN_REQUIRED' });
  for (const Key of keys) {
    const up = new URL(await getSignedUrl(linking, new s3.PutObjectCommand({ Bucket, Key })));
    const put = await send('PUT', up.pathname + up.search, {}, bodyOf(Key, 'link'), up.host);
    assert.is(put.status, 200, `${Key}: ${put.body}`);
    assert.is(onDisk(Key), bodyOf(Key, 'link'), Key);
    const down = new URL(await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key })));
    assert.equal(await send('GET', down.pathname + down.search, {}, '', down.host), {
      status: 200,
      body: bodyOf(Key, 'link'),
    });
  }
  linking.destroy();
});

test('v4, host style', async () => {
  // The name needs no DNS: requests go to the gateway's address and carry the bucket in Host.
  const host = sdk(gateway, { endpoint: `http://${domain}:${gateway.port}`, forcePathStyle: false });
  for (const Key of keys) {
    const url = new URL(await getSignedUrl(host, new s3.GetObjectCommand({ Bucket, Key })));
    assert.is(url.hostname, `${Bucket}.${domain}`);
    const got = await send('GET', url.pathname + url.search, {}, '', url.host);
    assert.equal(got, { status: 200, body: bodyOf(Key, 'link') }, Key);
  }
  host.destroy();
});

test('v2 header, path style and host style; lower-case escapes too', async () => {
  for (const key of keys) {
    const date = new Date().toUTCString();
    const wire = encode(key);
    const signed = (method: string, resource: string) => ({
      date,
      authorization: `AWS ${gateway.accessKey}:${signV2(method, resource, date)}`,
    });
    const resource = `/${Bucket}/${wire}`;
    const put = await send('PUT', resource, signed('PUT', resource), bodyOf(key, 'v2'));
    assert.is(put.status, 200, `${key}: ${put.body}`);
    assert.is(onDisk(key), bodyOf(key, 'v2'), key);
    const expected = { status: 200, body: bodyOf(key, 'v2') };
    assert.equal(await send('GET', resource, signed('GET', resource)), expected, key);
    const host = `${Bucket}.${domain}`;
    assert.equal(await send('GET', `/${wire}`, signed('GET', resource), '', host), expected, `${host} ${key}`);
    // As curl sends and s3curl signs: lower-case escapes on the wire, signed as they are there, or the raw UTF-8.
    const lower = wire.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
    const low = `/${Bucket}/${lower}`;
    assert.equal(await send('GET', low, signed('GET', low)), expected, `lower-case ${key}`);
    const raw = await send('GET', low, signed('GET', `/${Bucket}/${key}`));
    // Raw text that reads as escapes or as a query is the signature of something else: it must not open this key.
    if (/%[0-9A-F]{2}|\?/.test(key)) assert.is(raw.status, 403, `raw ${key}`);
    else assert.equal(raw, expected, `raw ${key}`);
  }
});

test('v2 presigned', async () => {
  for (const key of keys) {
    const expires = `${Math.floor(Date.now() / 1000) + 60}`;
    const resource = `/${Bucket}/${encode(key)}`;
    const signature = encodeURIComponent(signV2('GET', resource, expires));
    const query = `AWSAccessKeyId=${gateway.accessKey}&Expires=${expires}&Signature=${signature}`;
    assert.equal(await send('GET', `${resource}?${query}`, {}), { status: 200, body: bodyOf(key, 'v2') }, key);
    const bad = await send('GET', `${resource}?${query.replace('Expires=', 'Expires=9')}`, {});
    assert.is(bad.status, 403);
  }
});

test.run();
