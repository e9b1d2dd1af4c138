/** ACLs on files: what a job does to a shared object, and several gateways of one root. */
import { appendFileSync, cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, startGateway } from '../support/gateway.js';
import { mustRun } from '../support/programs.js';
import { fails, sdk } from '../support/sdk.js';

const test = suite('sharing');
let gateway: Gateway;
let client: s3.S3Client;
test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn'] });
  client = sdk(gateway);
});
test.after(async () => {
  client?.destroy();
  assert.is(await gateway?.stop(), 0);
});

const anonymously = (path: string, { endpoint } = gateway) => fetch(`${endpoint}/${path}`);

test('the ACL stays when a job writes into the file, and is not copied with it', async () => {
  const Bucket = 'jobs';
  await client.send(new s3.CreateBucketCommand({ Bucket }));
  await client.send(new s3.PutObjectCommand({ Bucket, Key: 'log.txt', Body: 'one\n', ACL: 'public-read' }));
  const file = join(gateway.bucketPath(Bucket), 'log.txt');
  appendFileSync(file, 'two\n');
  assert.is(await (await anonymously('jobs/log.txt')).text(), 'one\ntwo\n');
  cpSync(file, `${file}.js-copy`);
  await mustRun('cp', ['-a', file, `${file}.copy`]);
  for (const copy of ['js-copy', 'copy']) assert.is((await anonymously(`jobs/log.txt.${copy}`)).status, 403, copy);

  writeFileSync(join(gateway.bucketPath(Bucket), 'result.txt'), 'of a job');
  assert.is((await anonymously('jobs/result.txt')).status, 403);
  await client.send(new s3.PutObjectAclCommand({ Bucket, Key: 'result.txt', ACL: 'public-read' }));
  assert.is(await (await anonymously('jobs/result.txt')).text(), 'of a job');
});

test('the ACL of a multipart upload, and of a directory object', async () => {
  const Bucket = 'kinds';
  await client.send(new s3.CreateBucketCommand({ Bucket }));
  const at = { Bucket, Key: 'parts' };
  const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ ...at, ACL: 'public-read' }));
  const part = { ...at, UploadId, PartNumber: 1 };
  const { ETag } = await client.send(new s3.UploadPartCommand({ ...part, Body: 'of a part' }));
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
  await client.send(new s3.CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload }));
  assert.is(await (await anonymously('kinds/parts')).text(), 'of a part');
  for (const [Key, Body] of [
    ['empty/', ''],
    ['full/', 'with a body'],
  ] as const) {
    await client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ACL: 'public-read' }));
    assert.is(await (await anonymously(`kinds/${Key}`)).text(), Body);
    await client.send(new s3.PutObjectAclCommand({ Bucket, Key, ACL: 'private' }));
    assert.is((await anonymously(`kinds/${Key}`)).status, 403);
  }
});

test('what one gateway is told holds for the next request of every other', async () => {
  const Bucket = 'many';
  const second = await startGateway({ root: gateway.root, key: gateway, flags: ['--log-level', 'warn'] });
  const key = await createKey(gateway.root);
  const other = sdk(second, { key });
  try {
    await client.send(new s3.CreateBucketCommand({ Bucket }));
    await client.send(new s3.PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    const read = () => other.send(new s3.GetObjectCommand({ Bucket, Key: 'k' }));
    for (let i = 0; i < 10; i++) {
      await fails(read(), 'AccessDenied', 403);
      const Statement = {
        Effect: 'Allow',
        Principal: { AWS: key.uuid },
        Action: 's3:GetObject',
        Resource: `${Bucket}/*`,
      };
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
      await client.send(new s3.PutBucketPolicyCommand({ Bucket, Policy }));
      await (await read()).Body?.transformToByteArray();
      await client.send(new s3.DeleteBucketPolicyCommand({ Bucket }));
      await client.send(new s3.PutObjectAclCommand({ Bucket, Key: 'k', ACL: 'public-read' }));
      assert.is((await anonymously('many/k', second)).status, 200);
      await client.send(new s3.PutObjectAclCommand({ Bucket, Key: 'k', ACL: 'private' }));
    }
  } finally {
    other.destroy();
    assert.is(await second.stop(), 0);
  }
});

test.run();
