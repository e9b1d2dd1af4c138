import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deleteObjectTagging } from '../../../gateway/s3/ops/delete-object-tagging.js';
import { getObjectTagging } from '../../../gateway/s3/ops/get-object-tagging.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { putObjectTagging } from '../../../gateway/s3/ops/put-object-tagging.js';
import { createWorld, fails, type World, xmlOf } from '../context.js';

const test = suite('object tagging');

const document = (tags: [string, string][]) =>
  `<Tagging><TagSet>${tags.map(([k, v]) => `<Tag><Key>${k}</Key><Value>${v}</Value></Tag>`).join('')}</TagSet></Tagging>`;
const put = (world: World, tags: [string, string][]) => world.call(putObjectTagging, { body: document(tags) });

async function tagsOf(world: World): Promise<[string, string][]> {
  const reply = (await xmlOf(await world.call(getObjectTagging))) as {
    Tagging: { TagSet: { Tag: { Key: string; Value: string }[] } };
  };
  return reply.Tagging.TagSet.Tag.map(({ Key, Value }) => [Key, Value]);
}

test('put, replace, delete; the object stays as it is', async () => {
  const world = await createWorld();
  await world.call(putObject, { body: 'x', headers: { 'x-amz-meta-a': 'b' } });
  const before = (await world.call(headObject)).headers!;
  assert.equal(await tagsOf(world), []);
  await put(world, [
    ['key', 'val'],
    ['key2', ''],
  ]);
  assert.equal(await tagsOf(world), [
    ['key', 'val'],
    ['key2', ''],
  ]);
  const after = (await world.call(headObject)).headers!;
  assert.equal(after, { ...before, 'x-amz-tagging-count': '2' });
  await put(world, [['key3', 'val3']]);
  assert.equal(await tagsOf(world), [['key3', 'val3']]);
  assert.is((await world.call(deleteObjectTagging)).status, 204);
  assert.equal(await tagsOf(world), []);
  assert.equal((await world.call(headObject)).headers, before);
});

test('limits, bad documents, bad digests: nothing changes', async () => {
  const world = await createWorld();
  await world.call(putObject, { body: 'x' });
  const ten = Array.from({ length: 10 }, (_, i): [string, string] => [`${i}${'k'.repeat(127)}`, 'v'.repeat(256)]);
  await put(world, ten);
  assert.is((await tagsOf(world)).length, 10);
  await fails('InvalidTag', put(world, [...ten, ['more', '']]));
  await fails('InvalidTag', put(world, [['k'.repeat(129), '']]));
  await fails('InvalidTag', put(world, [['k', 'v'.repeat(257)]]));
  await fails('MalformedXML', world.call(putObjectTagging, { body: '<Tagging>' }));
  const md5 = createHash('md5').update('other').digest('base64');
  await fails('BadDigest', world.call(putObjectTagging, { body: document([]), headers: { 'content-md5': md5 } }));
  assert.is((await tagsOf(world)).length, 10);
});

test('no object, another version', async () => {
  const world = await createWorld();
  await fails('NoSuchKey', put(world, [['a', 'b']]));
  await fails('NoSuchKey', world.call(getObjectTagging));
  await fails('NoSuchKey', world.call(deleteObjectTagging));
  await world.call(putObject, { body: 'x' });
  const query = { versionId: '3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH' };
  await fails('NoSuchVersion', world.call(getObjectTagging, { query }));
  await fails('NoSuchVersion', world.call(deleteObjectTagging, { query }));
  await fails('NoSuchVersion', world.call(putObjectTagging, { query, body: document([]) }));
});

test.run();
