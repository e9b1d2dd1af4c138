/** Bucket operations and listings as the AWS SDK for JavaScript sees them. */
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteBucketTaggingCommand,
  GetBucketAclCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetBucketTaggingCommand,
  GetBucketVersioningCommand,
  GetObjectAclCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectVersionsCommand,
  PutBucketAclCommand,
  PutBucketCorsCommand,
  PutBucketTaggingCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { keys, type Stage, startStage } from '../http/stage.js';

const test = suite('s3/sdk');
let stage: Stage;
let client: S3Client;
test.before(async () => {
  stage = await startStage();
  client = new S3Client({
    endpoint: `http://127.0.0.1:${stage.port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId: keys.anna.accessKey, secretAccessKey: keys.anna.secret },
  });
});
test.after(async () => {
  client.destroy();
  await stage.close();
});

const nameOf = (work: Promise<unknown>) =>
  work.then(
    () => 'succeeded',
    (error: Error) => error.name,
  );

test('a bucket from birth to death', async () => {
  const Bucket = 'sdk-bucket';
  const made = await client.send(
    new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: 'ap-northeast-3' } }),
  );
  assert.is(made.Location, `/${Bucket}`);
  assert.is((await client.send(new HeadBucketCommand({ Bucket }))).BucketRegion, 'us-east-1');
  assert.is((await client.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint, undefined);
  assert.is((await client.send(new GetBucketVersioningCommand({ Bucket }))).Status, undefined);
  assert.is(await nameOf(client.send(new GetBucketPolicyCommand({ Bucket }))), 'NoSuchBucketPolicy');
  const cors = { CORSRules: [{ AllowedMethods: ['GET'], AllowedOrigins: ['*'] }] };
  assert.is(await nameOf(client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: cors }))), 'NotImplemented');

  const acl = await client.send(new GetBucketAclCommand({ Bucket }));
  assert.is(acl.Owner?.DisplayName, 'anna');
  assert.is(acl.Grants?.[0]?.Grantee?.Type, 'CanonicalUser');
  const { Grants, Owner } = acl;
  await client.send(new PutBucketAclCommand({ Bucket, ACL: 'private' }));
  await client.send(new PutBucketAclCommand({ Bucket, AccessControlPolicy: { Grants, Owner } }));

  const TagSet = [{ Key: 'a', Value: 'b' }];
  await client.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet } }));
  assert.equal((await client.send(new GetBucketTaggingCommand({ Bucket }))).TagSet, TagSet);
  await client.send(new DeleteBucketTaggingCommand({ Bucket }));
  assert.is(await nameOf(client.send(new GetBucketTaggingCommand({ Bucket }))), 'NoSuchTagSet');

  const { Buckets, Owner: me } = await client.send(new ListBucketsCommand({}));
  assert.equal(
    Buckets?.map(({ Name }) => Name),
    [Bucket],
  );
  assert.ok(Buckets?.[0]?.CreationDate instanceof Date);
  assert.is(me?.DisplayName, 'anna');
  await client.send(new DeleteBucketCommand({ Bucket }));
  assert.is(await nameOf(client.send(new DeleteBucketCommand({ Bucket }))), 'NoSuchBucket');
});

test('listings', async () => {
  const Bucket = 'sdk-listing';
  await client.send(new CreateBucketCommand({ Bucket }));
  const all = ['dir/ä', 'dir/b c', 'one', 'tab\there', 'new\nline', 'quote"<&>', 'two'];
  for (const Key of all) await client.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
  const order = [...all].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
  const seen: (string | undefined)[] = [];
  for await (const page of paginateListObjectsV2({ client, pageSize: 2 }, { Bucket })) {
    assert.is(page.KeyCount, page.Contents?.length);
    seen.push(...(page.Contents ?? []).map(({ Key }) => Key));
  }
  assert.equal(seen, order);
  const grouped = await client.send(new ListObjectsCommand({ Bucket, Delimiter: '/' }));
  assert.equal(grouped.CommonPrefixes, [{ Prefix: 'dir/' }]);
  assert.is(grouped.Contents?.length, 5);
  const { Versions, IsTruncated } = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'o' }));
  assert.is(IsTruncated, false);
  assert.is(Versions?.[0]?.VersionId, 'null');
  assert.is(Versions?.[0]?.IsLatest, true);
  assert.is(
    (await client.send(new GetObjectAclCommand({ Bucket, Key: 'one' }))).Grants?.[0]?.Permission,
    'FULL_CONTROL',
  );
});

test.run();
