/** `tidegate bucket set --visibility synced`, through HTTP and plain files. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CopyObjectCommand,
  CreateBucketCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPosixStorage } from '../../gateway/storage/posix/index.js';
import { createStamper } from '../../sync/hash.js';
import { me } from '../storage/posix/store.js';
import { md5 } from '../suites/storage-tools.js';
import { command, startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';
import { fingerprintOf, stamped } from '../sync/stamping.js';

const test = suite('visibility over HTTP');

test('a job works in peace, and a sync shows its results', async () => {
  // Its own engine would publish the file before the bucket is told to wait, on a slow machine.
  const gateway = await startGateway({ flags: ['--sync', 'off'] });
  const s3 = sdk(gateway);
  const Bucket = 'results';
  const storage = await createPosixStorage({ root: gateway.root });
  const ground = { durability: 'full', sidecars: false, fileMode: 0o644, directoryMode: 0o755 } as const;
  const stamper = createStamper({ hashers: 1, hashRate: 0, hashIops: 0, ground, documents: storage.documents });
  try {
    await s3.send(new CreateBucketCommand({ Bucket }));
    const path = gateway.bucketPath(Bucket);
    mkdirSync(join(path, 'run1'));
    writeFileSync(join(path, 'run1/out.json'), '{}');
    const keys = async () =>
      (await s3.send(new ListObjectsV2Command({ Bucket }))).Contents?.map(({ Key }) => Key) ?? [];
    assert.equal(await keys(), ['run1/out.json']);

    await command('tidegate', ['bucket', 'set', Bucket, '--visibility', 'synced'], gateway.root);
    assert.equal(await keys(), [], 'in force at the next request');
    const grouped = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: '/' }));
    assert.is(grouped.CommonPrefixes, undefined);
    const Key = 'run1/out.json';
    for (const [what, request] of Object.entries({
      GET: () => s3.send(new GetObjectCommand({ Bucket, Key })),
      HEAD: () => s3.send(new HeadObjectCommand({ Bucket, Key })),
      tagging: () => s3.send(new GetObjectTaggingCommand({ Bucket, Key })),
      copy: () => s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/${Key}` })),
    })) {
      const error = await request().then(
        () => undefined,
        (caught: { $metadata?: { httpStatusCode?: number } }) => caught,
      );
      assert.is(error?.$metadata?.httpStatusCode, 404, what);
    }
    await s3.send(new PutObjectCommand({ Bucket, Key: 'upload', Body: 'x' }));
    assert.equal(await keys(), ['upload']);

    const bucket = (await storage.bucket(Bucket))!;
    const stamp = (key: string) =>
      stamped(
        stamper.stamp({ bucket, actor: me }, key, fingerprintOf(join(path, key)), {
          quietMs: 0,
          owner: bucket.owner,
        }),
      );
    await stamp(Key);
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key }));
    assert.equal([head.ETag, head.ContentType], [`"${md5('{}')}"`, 'application/json']);
    writeFileSync(join(path, 'run1/out.tmp'), '{"a":1}');
    renameSync(join(path, 'run1/out.tmp'), join(path, Key));
    assert.equal(await keys(), ['upload']);
    await stamp(Key);
    assert.equal(await keys(), [Key, 'upload']);
  } finally {
    await stamper.close();
    await storage.close();
    await gateway.stop();
  }
});

test.run();
