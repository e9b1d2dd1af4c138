// timeout: 240
/** What somebody who may have a bucket synced tries to make of it. */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { command, createKey } from '../support/gateway.js';
import { openTwoDoors, syncBucket, type TwoDoors, told } from '../support/two-doors.js';

const test = suite('hostile: syncs');
let world: TwoDoors;
test.before(async () => {
  world = await openTwoDoors();
});
test.after(() => world.end());

/** Files below a directory, and when anything was done to them. */
const filesOf = (directory: string): string[] =>
  readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith('/locks'))
    .map(({ parentPath, name }) => `${name} ${statSync(join(parentPath, name), { bigint: true }).ctimeNs}`)
    .sort();

test('a prefix that is in no key leads nowhere: not to what is beside objects, and not past them', async () => {
  const { client, bucket: Bucket } = world;
  await world.put('d/k', 'x');
  const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: 'd/m' }));
  const part = { Bucket, Key: 'd/m', UploadId, PartNumber: 1 };
  const { ETag } = await client.send(new s3.UploadPartCommand({ ...part, Body: 'a part' }));
  mkdirSync(world.file('.tidegate/planted'));
  writeFileSync(world.file('.tidegate/planted/by-a-job'), 'hidden');
  writeFileSync(world.file('d/of-a-job'), 'y');
  const before = filesOf(world.file('.tidegate'));
  const prefixes = [
    '.tidegate/',
    '.tidegate/planted/',
    `.tidegate/uploads/${UploadId}/`,
    `.tidegate/uploads/${UploadId}/p`,
  ];
  const odd = ['../', 'd/../', './d/', '/', 'd//', 'd/\0/', 'd\0/', 'd/../.tidegate/planted/'];
  for (const prefix of [...prefixes, ...odd]) {
    const { status, Added, Updated, Deleted, Errors } = await world.sync({
      query: `&prefix=${encodeURIComponent(prefix)}`,
    });
    assert.equal([status, Added, Updated, Deleted, Errors], ['200', '0', '0', '0', '0'], JSON.stringify(prefix));
  }
  assert.equal(filesOf(world.file('.tidegate')), before);
  await world.sync({ query: '&prefix=d/' });
  assert.equal((await world.eventsAfter(2)).map(told).sort(), [
    'filesystem Created:Put d/of-a-job',
    's3 Created:Put d/k',
  ]);
  await client.send(
    new s3.CompleteMultipartUploadCommand({
      Bucket,
      Key: 'd/m',
      UploadId,
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] },
    }),
  );
  rmSync(world.file('.tidegate/planted'), { recursive: true });
});

test('the prefix is what the policy was asked about', async () => {
  const body = '<operation><prefix>other/</prefix></operation>';
  const { status, Code } = await world.sync({ query: '&prefix=d/', body });
  assert.equal([status, Code], ['400', 'InvalidRequest']);
  assert.is((await world.sync({ body })).status, '200');
});

test('a prefix that is longer than any key is refused, and is no trouble for who leads the bucket', async () => {
  const { gateway, bucket } = world;
  const long = 'p/'.repeat(3_000);
  for (const call of [{ query: `&prefix=${long}` }, { body: `<operation><prefix>${long}</prefix></operation>` }]) {
    const { status, Code } = await world.sync(call);
    assert.equal([status, Code], ['400', 'InvalidArgument']);
  }
  assert.is((await world.sync({ query: `&prefix=${'p'.repeat(1024)}` })).State, 'done');
  // A command asks without the gateway.
  await command('tidegate', ['sync', '--bucket', bucket, '--prefix', long], gateway.root);
  assert.is(world.state().ended[0]?.state, 'done');
});

test('syncs that wait are done one right after the other', async () => {
  const { gateway, bucket } = world;
  const asked = Array.from({ length: 40 }, (_, i) =>
    syncBucket(gateway, bucket, { query: `&background&prefix=p${i}` }),
  );
  for (const { status } of await Promise.all(asked)) assert.is(status, '202');
  assert.is((await world.sync()).State, 'done');
  const ends = world.state().ended.map(({ finished }) => Date.parse(finished!));
  // Each of the last twenty, which had nothing to do; half a second apart, when each was found by a look of the leader.
  const apart = ends.slice(0, -1).map((end, i) => end - ends[i + 1]!);
  assert.ok(apart.sort((a, b) => a - b)[apart.length >> 1]! < 250, `${apart}`);
});

test('only who may write in the bucket may have it synced; who may not read it hears nothing of its syncs', async () => {
  const { gateway, bucket } = world;
  const other = await createKey(gateway.root, 'others');
  const asOther = { ...gateway, ...other };
  const statuses = async () => [
    (await syncBucket(asOther, bucket)).status,
    (await syncBucket(asOther, bucket, { query: '&background' })).status,
    (await syncBucket(asOther, bucket, { method: 'GET' })).status,
  ];
  const grant = (role: string) =>
    command('tidegate', ['role', 'grant', bucket, '--account', other.uuid, '--role', role], gateway.root);
  const ran = () => world.state().ended.length;
  const before = ran();
  assert.equal(await statuses(), ['403', '403', '403']);
  assert.is((await fetch(`${gateway.endpoint}/${bucket}?sync`, { method: 'PUT' })).status, 403);
  await grant('reader');
  assert.equal((await statuses()).slice(0, 2), ['403', '403']);
  assert.equal([ran(), world.state().queued, world.state().running], [before, [], undefined], 'nothing was asked for');
  await grant('writer');
  assert.equal(await statuses(), ['200', '202', '200']);
});

test.run();
