import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { getObject } from '../../../gateway/s3/ops/get-object.js';
import { getObjectTagging } from '../../../gateway/s3/ops/get-object-tagging.js';
import { headObject } from '../../../gateway/s3/ops/head-object.js';
import { postObject } from '../../../gateway/s3/ops/post-object.js';
import { bytesOf, createWorld, fails, type World, xmlOf } from '../context.js';

const test = suite('PostObject');
const etag = `"${createHash('md5').update('bar').digest('hex')}"`;

const post = (world: World, fields: Record<string, string>, body = 'bar') =>
  world.call(postObject, {
    key: '',
    body,
    form: { fields: new Map(Object.entries({ key: 'foo.txt', ...fields })), fileName: 'f' },
  });

test('stores the file with the fields of the form', async () => {
  const world = await createWorld();
  const reply = await post(world, {
    acl: 'private',
    'content-type': 'text/plain',
    'content-disposition': 'attachment; filename="日本.txt"',
    'x-amz-meta-n': 'é',
    'x-ignore-foo': 'bar',
    tagging: '<Tagging><TagSet><Tag><Key>0</Key><Value>日</Value></Tag></TagSet></Tagging>',
  });
  assert.is(reply.status, 204);
  assert.is(reply.body, undefined);
  assert.is(reply.headers?.['etag'], etag);
  const { headers } = await world.call(headObject, { key: 'foo.txt' });
  assert.is(headers?.['content-type'], 'text/plain');
  assert.is(
    Buffer.from(headers?.['content-disposition'] ?? '', 'latin1').toString(),
    'attachment; filename="日本.txt"',
  );
  assert.is(headers?.['x-amz-meta-n'], Buffer.from('é').toString('latin1'));
  assert.equal(await xmlOf(await world.call(getObjectTagging, { key: 'foo.txt' })), {
    Tagging: { TagSet: { Tag: [{ Key: '0', Value: '日' }] } },
  });
  assert.is(String(await bytesOf(await world.call(getObject, { key: 'foo.txt' }))), 'bar');
});

test('the success that the form asks for', async () => {
  const world = await createWorld();
  assert.is((await post(world, { success_action_status: '200' })).status, 200);
  assert.is((await post(world, { success_action_status: '404' })).status, 204);
  const created = await post(world, { success_action_status: '201', key: 'a b.txt' });
  assert.is(created.status, 201);
  const location = 'http://127.0.0.1:9000/b/a%20b.txt';
  assert.equal(await xmlOf(created), { PostResponse: { Location: location, Bucket: 'b', Key: 'a b.txt', ETag: etag } });
  const redirected = await post(world, { success_action_redirect: 'http://h/x?y=z', success_action_status: '201' });
  assert.is(redirected.status, 303);
  assert.is(
    redirected.headers?.['location'],
    `http://h/x?y=z&bucket=b&key=foo.txt&etag=%22${etag.replaceAll('"', '')}%22`,
  );
  for (const bad of ['no url', 'javascript:alert(1)']) {
    assert.is((await post(world, { success_action_redirect: bad })).status, 204);
  }
});

test('what is refused leaves nothing', async () => {
  const world = await createWorld();
  const sha256 = (text: string) => createHash('sha256').update(text).digest('base64');
  await fails('BadDigest', post(world, { 'x-amz-checksum-sha256': sha256('other') }));
  await fails('BadDigest', post(world, { 'x-amz-checksum-sha256': 'sailorjerry' }));
  await fails('InvalidArgument', post(world, { acl: 'public-reed' }));
  await fails('NotImplemented', post(world, { 'x-amz-server-side-encryption': 'AES256' }));
  await fails('MalformedXML', post(world, { tagging: 'a=b' }));
  await fails('InvalidArgument', post(world, { 'cache-control': 'a\r\nb: c' }));
  await fails('InvalidArgument', post(world, { 'x-amz-meta-a b': 'c' }));
  await fails('UserKeyMustBeSpecified', post(world, { key: '' }));
  await fails('NoSuchKey', world.call(headObject, { key: 'foo.txt' }));
  const { headers } = await post(world, { 'x-amz-checksum-sha256': sha256('bar') });
  assert.is(headers?.['x-amz-checksum-sha256'], sha256('bar'));
});

test.run();
