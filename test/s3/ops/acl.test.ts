import { suite } from 'uvu';
import { getObjectAcl, putObjectAcl } from '../../../gateway/s3/ops/acl.js';
import { putObject } from '../../../gateway/s3/ops/put-object.js';
import { createWorld, fails } from '../context.js';

const test = suite('GetObjectAcl, PutObjectAcl');

test('another version of an object is not there', async () => {
  const world = await createWorld();
  await world.call(putObject, { body: 'x' });
  const headers = { 'x-amz-acl': 'private' };
  for (const handler of [getObjectAcl, putObjectAcl]) {
    const query = { versionId: '3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH' };
    await fails('NoSuchVersion', world.call(handler, { query, headers }));
    await fails('InvalidArgument', world.call(handler, { query: { versionId: 'x' }, headers }));
    await world.call(handler, { query: { versionId: 'null' }, headers });
  }
});

test.run();
