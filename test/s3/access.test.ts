/** What is kept of a bucket's configuration: never what another bucket, owner or configuration says. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { accessOf } from '../../gateway/s3/access.js';
import { freeze } from '../../gateway/storage/frozen.js';
import type { Bucket } from '../../gateway/storage/types.js';

const test = suite('access of a bucket');

const closed = { blockPublicAcls: true, ignorePublicAcls: true, blockPublicPolicy: true, restrictPublicBuckets: true };
const config = () => ({ publicAccessBlock: JSON.stringify(closed), acl: '' });
const policy = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: 'arn:aws:s3:::one/*' }],
});
const bucket = (change: Partial<Bucket>): Bucket =>
  ({ name: 'one', owner: 'anna', path: '/one', created: 0, config: {}, ...change }) as Bucket;

test('a configuration is read once, for each name and owner', () => {
  const shared = freeze({ ...config(), policy });
  const first = accessOf(bucket({ config: shared }));
  assert.is(accessOf(bucket({ config: shared })), first);
  const given = accessOf(bucket({ config: shared, owner: 'berta' }));
  assert.equal([first.bucketAcl?.owner, given.bucketAcl?.owner], ['anna', 'berta']);
  // The policy speaks of one: for the other it is not one that can be read, which denies everything.
  const renamed = accessOf(bucket({ config: shared, name: 'two' }));
  assert.not.equal(renamed.bucketPolicy, first.bucketPolicy);
  assert.equal(accessOf(bucket({ config: shared })), first);
});

test('another configuration is another, as is one that may still change', () => {
  assert.equal(accessOf(bucket({ config: freeze(config()) })).publicAccessBlock, closed);
  assert.is(accessOf(bucket({ config: freeze({ acl: '' }) })).publicAccessBlock, undefined);
  const open = config();
  assert.equal(accessOf(bucket({ config: open })).publicAccessBlock, closed);
  open.publicAccessBlock = JSON.stringify({ ...closed, blockPublicAcls: false });
  assert.is(accessOf(bucket({ config: open })).publicAccessBlock?.blockPublicAcls, false);
});

test.run();
