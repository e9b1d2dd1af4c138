/** Bucket operations, listings, tagging and what clients probe, through @aws-sdk/client-s3. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, startGateway } from '../support/gateway.js';
import { fails, sdk } from '../support/sdk.js';

const test = suite('sdk: buckets');
let gateway: Gateway;
let client: s3.S3Client;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn', '--durability', 'none'] });
  client = sdk(gateway);
});
test.after(async () => {
  client?.destroy();
  assert.is(await gateway?.stop(), 0);
});

test('CreateBucket, HeadBucket, ListBuckets, GetBucketLocation, DeleteBucket', async () => {
  await client.send(new s3.CreateBucketCommand({ Bucket: 'bucket-a' }));
  assert.ok(existsSync(gateway.bucketPath('bucket-a')));
  await client.send(new s3.HeadBucketCommand({ Bucket: 'bucket-a' }));
  const { Buckets, Owner } = await client.send(new s3.ListBucketsCommand({}));
  assert.equal(
    Buckets?.map((bucket) => bucket.Name),
    ['bucket-a'],
  );
  assert.is(Owner?.ID, gateway.uuid);
  assert.ok(Math.abs(Buckets![0]!.CreationDate!.getTime() - Date.now()) < 60_000);
  const location = await client.send(new s3.GetBucketLocationCommand({ Bucket: 'bucket-a' }));
  assert.not.ok(location.LocationConstraint);
  await client.send(new s3.DeleteBucketCommand({ Bucket: 'bucket-a' }));
  assert.not.ok(existsSync(gateway.bucketPath('bucket-a')));
  await fails(client.send(new s3.HeadBucketCommand({ Bucket: 'bucket-a' })), 'NotFound', 404);
  await fails(client.send(new s3.DeleteBucketCommand({ Bucket: 'bucket-a' })), 'NoSuchBucket', 404);
});

test('CreateBucket: bad names, one that exists, one of somebody else, another region', async () => {
  for (const name of ['Upper', 'ab', 'a..b', '192.168.0.1', 'xn--a', 'a-s3alias']) {
    await fails(client.send(new s3.CreateBucketCommand({ Bucket: name })), 'InvalidBucketName', 400);
  }
  await client.send(new s3.CreateBucketCommand({ Bucket: 'mine' }));
  await client.send(new s3.CreateBucketCommand({ Bucket: 'mine' }));
  const other = sdk(gateway, { key: await createKey(gateway.root, 'others') });
  await fails(other.send(new s3.CreateBucketCommand({ Bucket: 'mine' })), 'BucketAlreadyExists', 409);
  // A reply to HEAD has no body, so the SDK knows the status alone.
  const head = await other.send(new s3.HeadBucketCommand({ Bucket: 'mine' })).catch((error) => error);
  assert.is(head.$metadata.httpStatusCode, 403);
  await fails(other.send(new s3.ListObjectsV2Command({ Bucket: 'mine' })), 'AccessDenied', 403);
  await fails(other.send(new s3.PutObjectCommand({ Bucket: 'mine', Key: 'a', Body: 'a' })), 'AccessDenied', 403);
  await fails(other.send(new s3.DeleteBucketCommand({ Bucket: 'mine' })), 'AccessDenied', 403);
  assert.equal((await other.send(new s3.ListBucketsCommand({}))).Buckets ?? [], []);
  other.destroy();
  const osaka = sdk(gateway, { region: 'osakau' });
  await osaka.send(new s3.HeadBucketCommand({ Bucket: 'mine' }));
  osaka.destroy();
});

test('DeleteBucket refuses while anything is in it, a file of a job too', async () => {
  await client.send(new s3.CreateBucketCommand({ Bucket: 'full' }));
  mkdirSync(join(gateway.bucketPath('full'), 'deep/er'), { recursive: true });
  writeFileSync(join(gateway.bucketPath('full'), 'deep/er/file'), 'x');
  await fails(client.send(new s3.DeleteBucketCommand({ Bucket: 'full' })), 'BucketNotEmpty', 409);
  assert.ok(existsSync(join(gateway.bucketPath('full'), 'deep/er/file')));
});

test('ListObjects V1 and V2: order, prefix, delimiter, pages, encoding', async () => {
  const Bucket = 'listing';
  await client.send(new s3.CreateBucketCommand({ Bucket }));
  // A directory `a` sorts as `a/`: these come before and after it. U+FF5E sorts before the emoji in UTF-8, behind in UTF-16.
  const keys = ['a!', 'a-b', 'a.txt', 'a/x', 'a/y/z', 'a0', 'b c+d%', 'ｚ～', '日本/語', '😀'];
  for (const Key of [...keys].reverse()) await client.send(new s3.PutObjectCommand({ Bucket, Key, Body: Key }));
  const sorted = keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

  for (const MaxKeys of [1, 2, 3, 7, 1000]) {
    const v2: string[] = [];
    for await (const page of s3.paginateListObjectsV2({ client }, { Bucket, MaxKeys })) {
      v2.push(...(page.Contents ?? []).map((entry) => entry.Key!));
    }
    assert.equal(v2, sorted, `V2 with pages of ${MaxKeys}`);
    const v1: string[] = [];
    for (let Marker: string | undefined = ''; Marker !== undefined; ) {
      const page: s3.ListObjectsCommandOutput = await client.send(
        new s3.ListObjectsCommand({ Bucket, MaxKeys, Marker, EncodingType: 'url' }),
      );
      const names = (page.Contents ?? []).map((entry) => decodeURIComponent(entry.Key!.replaceAll('+', ' ')));
      v1.push(...names);
      Marker = page.IsTruncated ? names.at(-1) : undefined;
    }
    assert.equal(v1, sorted, `V1 with pages of ${MaxKeys}`);
  }

  const grouped = await client.send(new s3.ListObjectsV2Command({ Bucket, Delimiter: '/', FetchOwner: true }));
  assert.equal(
    grouped.CommonPrefixes?.map((entry) => entry.Prefix),
    ['a/', '日本/'],
  );
  assert.is(grouped.KeyCount, sorted.length - 1);
  assert.is(grouped.Contents?.[0]?.Owner?.ID, gateway.uuid);
  assert.is(grouped.Contents?.[0]?.Size, 2);
  assert.match(grouped.Contents![0]!.ETag!, /^"[0-9a-f]{32}"$/);

  const under = await client.send(new s3.ListObjectsV2Command({ Bucket, Prefix: 'a/', Delimiter: '/' }));
  assert.equal(
    under.Contents?.map((entry) => entry.Key),
    ['a/x'],
  );
  const after = await client.send(new s3.ListObjectsV2Command({ Bucket, StartAfter: 'a/x', MaxKeys: 1 }));
  assert.is(after.Contents?.[0]?.Key, 'a/y/z');
  const none = await client.send(new s3.ListObjectsV2Command({ Bucket, MaxKeys: 0 }));
  assert.is(none.KeyCount, 0);
  assert.is(none.IsTruncated, false);
  await fails(client.send(new s3.ListObjectsV2Command({ Bucket: 'no-such-one' })), 'NoSuchBucket', 404);
});

test('bucket tagging', async () => {
  const Bucket = 'tagged';
  await client.send(new s3.CreateBucketCommand({ Bucket }));
  await fails(client.send(new s3.GetBucketTaggingCommand({ Bucket })), 'NoSuchTagSet', 404);
  const TagSet = [
    { Key: 'project', Value: '海 + sea' },
    { Key: 'empty', Value: '' },
  ];
  await client.send(new s3.PutBucketTaggingCommand({ Bucket, Tagging: { TagSet } }));
  const read = await client.send(new s3.GetBucketTaggingCommand({ Bucket }));
  const byKey = (a: s3.Tag, b: s3.Tag) => (a.Key! < b.Key! ? -1 : 1);
  assert.equal(read.TagSet?.sort(byKey), TagSet.sort(byKey));
  await client.send(new s3.DeleteBucketTaggingCommand({ Bucket }));
  await fails(client.send(new s3.GetBucketTaggingCommand({ Bucket })), 'NoSuchTagSet', 404);
});

test('what clients probe: not configured, or not implemented, each as S3 says it', async () => {
  const Bucket = 'probed';
  await client.send(new s3.CreateBucketCommand({ Bucket }));
  const versioning = await client.send(new s3.GetBucketVersioningCommand({ Bucket }));
  assert.is(versioning.Status, undefined);
  await fails(client.send(new s3.GetBucketPolicyCommand({ Bucket })), 'NoSuchBucketPolicy', 404);
  await fails(client.send(new s3.GetBucketCorsCommand({ Bucket })), 'NoSuchCORSConfiguration', 404);
  await fails(client.send(new s3.GetBucketWebsiteCommand({ Bucket })), 'NoSuchWebsiteConfiguration', 404);
  await fails(
    client.send(new s3.GetBucketLifecycleConfigurationCommand({ Bucket })),
    'NoSuchLifecycleConfiguration',
    404,
  );
  await fails(
    client.send(new s3.GetObjectLockConfigurationCommand({ Bucket })),
    'ObjectLockConfigurationNotFoundError',
    404,
  );
  const acl = await client.send(new s3.GetBucketAclCommand({ Bucket }));
  assert.is(acl.Owner?.ID, gateway.uuid);
  assert.equal(
    acl.Grants?.map((grant) => [grant.Grantee?.ID, grant.Permission]),
    [[gateway.uuid, 'FULL_CONTROL']],
  );
  await fails(
    client.send(
      new s3.PutBucketWebsiteCommand({ Bucket, WebsiteConfiguration: { IndexDocument: { Suffix: 'index.html' } } }),
    ),
    'NotImplemented',
    501,
  );
  await fails(
    client.send(new s3.CreateBucketCommand({ Bucket: 'opened', GrantRead: 'id=nobody' })),
    'InvalidArgument',
    400,
  );
  assert.not.ok(existsSync(gateway.bucketPath('opened')));
});

test.run();
