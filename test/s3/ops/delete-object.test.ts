import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deleteObject } from '../../../gateway/s3/ops/delete-object.js';
import { deleteObjects } from '../../../gateway/s3/ops/delete-objects.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { createWorld, fails, type World, xmlOf } from '../context.js';

const test = suite('DeleteObject, DeleteObjects');
const otherVersion = '3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH';

async function there(world: World, key = 'k'): Promise<boolean> {
  return world.call(headObject, { key }).then(
    () => true,
    () => false,
  );
}

/** Runs DeleteObjects signed, so that Content-MD5 is not asked for. */
async function deletes(world: World, objects: string, quiet = false) {
  const body = `<Delete>${quiet ? '<Quiet>true</Quiet>' : ''}${objects}</Delete>`;
  const { DeleteResult } = await xmlOf(await world.call(deleteObjects, { body, signed: true }));
  return DeleteResult as { Deleted: Record<string, string>[]; Error: Record<string, string>[] };
}

test('is idempotent; a key that cannot exist is gone already', async () => {
  const world = await createWorld();
  await world.call(putObject, { body: 'x' });
  for (const key of ['k', 'k', 'a//b', '../x']) assert.is((await world.call(deleteObject, { key })).status, 204);
  assert.not(await there(world));
});

test('a version that is not the object leaves the object alone', async () => {
  const world = await createWorld();
  await world.call(putObject, { body: 'x' });
  assert.is((await world.call(deleteObject, { query: { versionId: otherVersion } })).status, 204);
  await fails('InvalidArgument', world.call(deleteObject, { query: { versionId: 'x' } }));
  await deletes(world, `<Object><Key>k</Key><VersionId>${otherVersion}</VersionId></Object>`);
  assert.ok(await there(world));
  await world.call(deleteObject, { query: { versionId: 'null' } });
  assert.not(await there(world));
});

test('conditions: of what is there; what is not there is 204 whatever they say', async () => {
  const world = await createWorld();
  const del = (headers: Record<string, string>) => world.call(deleteObject, { headers });
  const put = async () => (await world.call(putObject, { body: '' })).headers!['etag']!;
  const etag = await put();
  const modified = (await world.call(headObject)).headers!['last-modified']!;
  await fails('PreconditionFailed', del({ 'if-match': 'badetag' }));
  await fails('PreconditionFailed', del({ 'x-amz-if-match-size': '9999' }));
  await fails('PreconditionFailed', del({ 'x-amz-if-match-last-modified-time': 'Thu, 01 Jan 2015 00:00:00 GMT' }));
  await fails('InvalidArgument', del({ 'x-amz-if-match-size': '-1' }));
  await fails('InvalidArgument', del({ 'x-amz-if-match-last-modified-time': 'soon' }));
  assert.ok(await there(world));
  for (const good of [
    { 'if-match': etag },
    { 'if-match': '*' },
    { 'x-amz-if-match-size': '0' },
    { 'x-amz-if-match-last-modified-time': modified },
  ] as Record<string, string>[]) {
    if ('x-amz-if-match-last-modified-time' in good) {
      await put();
      good['x-amz-if-match-last-modified-time'] = (await world.call(headObject)).headers!['last-modified']!;
    } else await put();
    await del(good);
    assert.not(await there(world));
  }
  for (const bad of ['badetag', '*']) assert.is((await del({ 'if-match': bad })).status, 204);
  assert.is((await del({ 'x-amz-if-match-size': '1' })).status, 204);
});

test('many: what went, what did not, quiet', async () => {
  const world = await createWorld();
  for (const key of ['a', 'b', 'c d']) await world.call(putObject, { key, body: 'x' });
  const result = await deletes(
    world,
    '<Object><Key>a</Key></Object><Object><Key>b</Key><ETag>badetag</ETag></Object>' +
      '<Object><Key>c d</Key><Size>1</Size></Object><Object><Key>none//x</Key></Object>' +
      `<Object><Key>${'y'.repeat(1025)}</Key></Object>`,
  );
  assert.equal(result.Deleted.map(({ Key }) => Key).slice(0, 3), ['a', 'c d', 'none//x']);
  assert.is(result.Error[0]?.['Key'], 'b');
  assert.is(result.Error[0]?.['Code'], 'PreconditionFailed');
  assert.ok(await there(world, 'b'));
  const quiet = await deletes(world, '<Object><Key>b</Key></Object><Object><Key>a</Key></Object>', true);
  assert.equal(quiet, { Deleted: [], Error: [] });
  assert.not(await there(world, 'b'));
});

test('at most 1,000 keys', async () => {
  const world = await createWorld();
  const keys = (count: number) => Array.from({ length: count }, (_, i) => `<Object><Key>k${i}</Key></Object>`).join('');
  assert.is((await deletes(world, keys(1000))).Deleted.length, 1000);
  await fails('MalformedXML', deletes(world, keys(1001)));
});

test('the document must be protected by something', async () => {
  const world = await createWorld();
  const body = '<Delete><Object><Key>k</Key></Object></Delete>';
  const md5 = (text: string) => createHash('md5').update(text).digest('base64');
  const sha256 = (text: string) => createHash('sha256').update(text).digest('base64');
  await world.call(putObject, { body: 'x' });
  await fails('InvalidRequest', world.call(deleteObjects, { body }));
  await fails('BadDigest', world.call(deleteObjects, { body, headers: { 'content-md5': md5('other') } }));
  await fails('BadDigest', world.call(deleteObjects, { body, headers: { 'x-amz-checksum-sha256': sha256('other') } }));
  await fails('XAmzContentSHA256Mismatch', world.call(deleteObjects, { body, signed: '00'.repeat(32) }));
  assert.ok(await there(world));
  for (const headers of [{ 'content-md5': md5(body) }, { 'x-amz-checksum-sha256': sha256(body) }]) {
    await world.call(deleteObjects, { body, headers: headers as unknown as Record<string, string> });
  }
  assert.not(await there(world));
});

test('a failure of the store is told per key, without its inner text', async () => {
  const world = await createWorld();
  const storage = { ...world.storage, remove: () => Promise.reject(new Error('EIO /secret/path')) };
  const body = '<Delete><Object><Key>k</Key></Object></Delete>';
  const { DeleteResult } = await xmlOf(
    await world.call((context) => deleteObjects({ ...context, storage }), { body, signed: true }),
  );
  assert.is((DeleteResult as { Error: { Code: string }[] }).Error[0]?.Code, 'InternalError');
  assert.not.match(JSON.stringify(DeleteResult), /secret/);
});

test.run();
