import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { getObjectAttributes } from '../../../gateway/s3/ops/get-object-attributes.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { account, createWorld, fails, xmlOf } from '../context.js';

const test = suite('GetObjectAttributes');
const all = 'ETag,Checksum,ObjectParts,StorageClass,ObjectSize';

async function world() {
  const made = await createWorld();
  await made.call(putObject, { body: 'foo' });
  const place = { bucket: (await made.storage.bucket('b'))!, actor: account.actor };
  const parts = Array.from({ length: 6 }, (_, at) => ({ number: at + 1, size: 0 }));
  await made.storage.put(
    place,
    'parts',
    { length: 0, read: async () => {} },
    { digests: [], seal: () => ({ etag: 'x-6', headers: {}, user: {}, parts }) },
  );
  const ask = async (headers: Record<string, string>, key = 'k') => {
    const reply = await made.call(getObjectAttributes, { key, headers });
    return (await xmlOf(reply))['GetObjectAttributesResponse'] as Record<string, unknown>;
  };
  return { ...made, ask };
}

test('what is asked for, and only that', async () => {
  const { ask } = await world();
  const got = await ask({ 'x-amz-object-attributes': all });
  assert.equal(JSON.parse(JSON.stringify(got)), {
    ETag: 'acbd18db4cc2f85cedef654fccc4a4d8',
    StorageClass: 'STANDARD',
    ObjectSize: 3,
  });
  const one = await ask({ 'x-amz-object-attributes': ' ObjectSize ' });
  assert.equal(JSON.parse(JSON.stringify(one)), { ObjectSize: 3 });
});

test('parts come in pages', async () => {
  const { ask } = await world();
  const page = async (max: string, marker: string) =>
    (
      await ask({ 'x-amz-object-attributes': all, 'x-amz-max-parts': max, 'x-amz-part-number-marker': marker }, 'parts')
    )['ObjectParts'];
  assert.equal(await page('1', '3'), {
    PartsCount: 6,
    PartNumberMarker: 3,
    NextPartNumberMarker: 4,
    MaxParts: 1,
    IsTruncated: true,
    Part: [{ PartNumber: 4, Size: 0 }],
  });
  const rest = (await page('10', '4')) as { IsTruncated: boolean; Part: unknown[] };
  assert.is(rest.IsTruncated, false);
  assert.is(rest.Part.length, 2);
});

test('bad requests', async () => {
  const { ask } = await world();
  await fails('InvalidRequest', ask({}));
  await fails('InvalidRequest', ask({ 'x-amz-object-attributes': '' }));
  await fails('InvalidArgument', ask({ 'x-amz-object-attributes': 'ETag,Colour' }));
  await fails('InvalidArgument', ask({ 'x-amz-object-attributes': 'ETag', 'x-amz-max-parts': '-1' }));
  await fails('NoSuchKey', ask({ 'x-amz-object-attributes': 'ETag' }, 'none'));
});

test.run();
