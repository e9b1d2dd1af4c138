/** Two accounts and nobody share a bucket, as the AWS SDK for JavaScript sees it. */
import * as s3 from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { keys, type Name } from '../http/stage.js';
import { anna, bert, stage } from './permissions.js';

const test = suite('permissions: SDK');
const endpoint = `http://127.0.0.1:${stage.port}`;
const client = (name: Name) =>
  new s3.S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId: keys[name].accessKey, secretAccessKey: keys[name].secret },
  });
const owner = client('anna');
const other = client('bert');
/** Signs nothing. */
const nobody = new s3.S3Client({
  endpoint,
  region: 'us-east-1',
  forcePathStyle: true,
  maxAttempts: 1,
  signer: { sign: async (request) => request },
  credentials: { accessKeyId: '', secretAccessKey: '' },
});
test.after(async () => {
  for (const each of [owner, other, nobody]) each.destroy();
  await stage.close();
});

const Bucket = 'shared';
const denied = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, s3.S3ServiceException);
  assert.is((error as s3.S3ServiceException).$metadata.httpStatusCode, 403);
};
const read = async (as: s3.S3Client, Key: string) => {
  const { Body } = await as.send(new s3.GetObjectCommand({ Bucket, Key }));
  return Body?.transformToString();
};

test('from private to public and back', async () => {
  await owner.send(new s3.CreateBucketCommand({ Bucket, ObjectOwnership: 'BucketOwnerPreferred' }));
  const rules = (await owner.send(new s3.GetBucketOwnershipControlsCommand({ Bucket }))).OwnershipControls?.Rules;
  assert.equal(rules, [{ ObjectOwnership: 'BucketOwnerPreferred' }]);
  await owner.send(new s3.PutObjectCommand({ Bucket, Key: 'k', Body: 'hello' }));
  for (const as of [other, nobody]) {
    await denied(read(as, 'k'));
    await denied(as.send(new s3.ListObjectsV2Command({ Bucket })));
    await denied(as.send(new s3.PutObjectCommand({ Bucket, Key: 'n', Body: 'x' })));
  }

  await owner.send(new s3.PutObjectAclCommand({ Bucket, Key: 'k', ACL: 'public-read' }));
  assert.is(await read(nobody, 'k'), 'hello');
  const { Grants, Owner } = await owner.send(new s3.GetObjectAclCommand({ Bucket, Key: 'k' }));
  assert.equal(Owner, { ID: anna, DisplayName: 'anna' });
  assert.equal(
    Grants?.map(({ Grantee, Permission }) => [Grantee?.Type, Grantee?.URI ?? Grantee?.ID, Permission]),
    [
      ['Group', 'http://acs.amazonaws.com/groups/global/AllUsers', 'READ'],
      ['CanonicalUser', anna, 'FULL_CONTROL'],
    ],
  );
  const only = Grants?.filter(({ Grantee }) => Grantee?.Type !== 'Group');
  await owner.send(new s3.PutObjectAclCommand({ Bucket, Key: 'k', AccessControlPolicy: { Owner, Grants: only } }));
  await denied(read(nobody, 'k'));
});

test('a grant of WRITE, and objects that become the bucket owner’s', async () => {
  await owner.send(new s3.PutBucketAclCommand({ Bucket, GrantWrite: `id=${bert}`, GrantFullControl: `id=${anna}` }));
  const ACL = 'bucket-owner-full-control';
  await other.send(new s3.PutObjectCommand({ Bucket, Key: 'given', Body: 'from bert', ACL }));
  assert.is(await read(owner, 'given'), 'from bert');
  await denied(read(other, 'given'));
  await other.send(new s3.DeleteObjectCommand({ Bucket, Key: 'given' }));
  await denied(nobody.send(new s3.PutObjectCommand({ Bucket, Key: 'n', Body: 'x' })));
  await owner.send(new s3.PutBucketAclCommand({ Bucket, ACL: 'private' }));
});

test('a policy for one account; presigned URLs are no more than their signer', async () => {
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: {
      Effect: 'Allow',
      Principal: { DDN: [bert] },
      Action: ['s3:GetObject', 's3:PutObject'],
      Resource: `arn:aws:s3:::${Bucket}/*`,
    },
  });
  await owner.send(new s3.PutBucketPolicyCommand({ Bucket, Policy }));
  assert.is((await other.send(new s3.GetObjectCommand({ Bucket, Key: 'k' }))).ContentLength, 5);
  await denied(read(nobody, 'k'));
  await denied(other.send(new s3.GetBucketPolicyCommand({ Bucket })));
  const status = await owner.send(new s3.GetBucketPolicyStatusCommand({ Bucket }));
  assert.is(status.PolicyStatus?.IsPublic, false);
  const url = await getSignedUrl(other, new s3.GetObjectCommand({ Bucket, Key: 'k' }));
  assert.is(await (await fetch(url)).text(), 'hello');
  await owner.send(new s3.DeleteBucketPolicyCommand({ Bucket }));
  assert.is((await fetch(url)).status, 403);
});

test('the public access block', async () => {
  const PublicAccessBlockConfiguration = {
    BlockPublicAcls: true,
    IgnorePublicAcls: false,
    BlockPublicPolicy: false,
    RestrictPublicBuckets: false,
  };
  await owner.send(new s3.PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration }));
  const shown = await owner.send(new s3.GetPublicAccessBlockCommand({ Bucket }));
  assert.equal(shown.PublicAccessBlockConfiguration, PublicAccessBlockConfiguration);
  await denied(owner.send(new s3.PutBucketAclCommand({ Bucket, ACL: 'public-read' })));
  await owner.send(new s3.DeletePublicAccessBlockCommand({ Bucket }));
  await owner.send(new s3.PutBucketAclCommand({ Bucket, ACL: 'public-read' }));
  assert.is((await nobody.send(new s3.ListObjectsV2Command({ Bucket }))).KeyCount, 1);
});

test.run();
