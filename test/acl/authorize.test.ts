import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { authorize } from '../../acl/authorize.js';
import { type Account, anonymous } from '../../acl/identity.js';

const account = (uuid: string, enabled = true): Account => ({
  uuid,
  displayName: 'alice',
  group: 'users',
  kind: 'user',
  actor: { uid: 1, gid: 1, groups: [1] },
  fspaths: [],
  enabled,
  created: '2026-01-01T00:00:00.000Z',
});
const caller = (uuid: string, enabled = true) => ({
  account: account(uuid, enabled),
  accessKey: 'AKIAAAAAAAAAAAAAAAAA',
});

test('the owner of a bucket may do everything in it', () => {
  for (const action of ['s3:GetObject', 's3:PutObject', 's3:DeleteBucket']) {
    assert.is(authorize({ identity: caller('a'), action, bucketOwner: 'a' }).allow, true);
  }
});

test('nobody else may do anything, and the reason names who', () => {
  const decision = authorize({ identity: caller('b'), action: 's3:GetObject', bucketOwner: 'a' });
  assert.is(decision.allow, false);
  assert.match(decision.reason, /s3:GetObject: b is not the owner/);
});

test('anonymous may do nothing, also where no bucket is concerned', () => {
  assert.is(authorize({ identity: anonymous, action: 's3:GetObject', bucketOwner: 'a' }).allow, false);
  assert.is(authorize({ identity: anonymous, action: 's3:ListAllMyBuckets', bucketOwner: undefined }).allow, false);
});

test('an account may ask about its own buckets and make some', () => {
  assert.is(authorize({ identity: caller('a'), action: 's3:CreateBucket', bucketOwner: undefined }).allow, true);
});

test('a disabled account may do nothing', () => {
  assert.is(authorize({ identity: caller('a', false), action: 's3:GetObject', bucketOwner: 'a' }).allow, false);
});

test.run();
