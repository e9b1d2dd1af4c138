import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cannedAcl, requestedAcl } from '../../acl/canned.js';
import type { Acl } from '../../acl/grants.js';
import {
  checkUploadAcl,
  isOwnership,
  isPublicBucket,
  newObjectOwner,
  type Ownership,
  type PublicAccessBlock,
  refusePublicAcl,
  refusePublicPolicy,
  requireAcls,
} from '../../acl/ownership.js';
import type { Policy } from '../../acl/policy/types.js';
import { S3Error } from '../../gateway/errors.js';
import { allow, policy } from './people.js';

const code = (run: () => unknown): string | undefined => {
  try {
    run();
  } catch (error) {
    return error instanceof S3Error ? error.code : String(error);
  }
  return undefined;
};
const block = (...set: (keyof PublicAccessBlock)[]): PublicAccessBlock => ({
  blockPublicAcls: set.includes('blockPublicAcls'),
  ignorePublicAcls: set.includes('ignorePublicAcls'),
  blockPublicPolicy: set.includes('blockPublicPolicy'),
  restrictPublicBuckets: set.includes('restrictPublicBuckets'),
});

test('whose a new object is', () => {
  const cases: [Ownership, string | undefined, string | undefined, string][] = [
    ['ObjectWriter', 'w', undefined, 'w'],
    ['ObjectWriter', 'w', 'bucket-owner-full-control', 'w'],
    ['ObjectWriter', 'o', undefined, 'o'],
    ['ObjectWriter', undefined, undefined, 'o'],
    ['BucketOwnerPreferred', 'w', undefined, 'w'],
    ['BucketOwnerPreferred', 'w', 'private', 'w'],
    ['BucketOwnerPreferred', 'w', 'bucket-owner-full-control', 'o'],
    ['BucketOwnerEnforced', 'w', undefined, 'o'],
    ['BucketOwnerEnforced', 'w', 'bucket-owner-full-control', 'o'],
  ];
  for (const [ownership, writer, canned, expected] of cases) {
    assert.is(newObjectOwner({ ownership, writer, canned, bucketOwner: 'o' }), expected, `${ownership} ${canned}`);
  }
  assert.is(
    newObjectOwner({ ownership: 'ObjectWriter', writer: 'w', canned: undefined, bucketOwner: 'o', byRole: true }),
    'o',
  );
});

test('where ACLs are off, uploads may only ask for what is anyway', () => {
  const upload = (headers: Record<string, string>, ownership: Ownership = 'BucketOwnerEnforced') =>
    code(() => {
      const acl = requestedAcl((name) => headers[name], { kind: 'object', owner: 'o', bucketOwner: 'o' });
      checkUploadAcl({ ownership, canned: headers['x-amz-acl'], bucketOwner: 'o' }, acl);
    });
  assert.is(upload({}), undefined);
  assert.is(upload({ 'x-amz-acl': 'bucket-owner-full-control' }), undefined);
  assert.is(upload({ 'x-amz-grant-full-control': 'id=o' }), undefined);
  assert.is(upload({ 'x-amz-acl': 'private' }), 'AccessControlListNotSupported');
  assert.is(upload({ 'x-amz-acl': 'public-read' }), 'AccessControlListNotSupported');
  assert.is(upload({ 'x-amz-grant-read': 'id=o' }), 'AccessControlListNotSupported');
  assert.is(upload({ 'x-amz-grant-full-control': 'id=w' }), 'AccessControlListNotSupported');
  assert.is(upload({ 'x-amz-acl': 'private' }, 'ObjectWriter'), undefined);
  assert.is(
    code(() => requireAcls('BucketOwnerEnforced')),
    'AccessControlListNotSupported',
  );
  assert.is(
    code(() => requireAcls('BucketOwnerPreferred')),
    undefined,
  );
});

test('blocking public ACLs and policies', () => {
  const acl = (name: string) => cannedAcl(name, { kind: 'bucket', owner: 'o', bucketOwner: 'o' });
  const on = block('blockPublicAcls', 'blockPublicPolicy');
  for (const name of ['public-read', 'public-read-write', 'authenticated-read']) {
    assert.is(
      code(() => refusePublicAcl(on, acl(name))),
      'AccessDenied',
      name,
    );
    assert.is(
      code(() => refusePublicAcl(block('ignorePublicAcls'), acl(name))),
      undefined,
    );
  }
  assert.is(
    code(() => refusePublicAcl(on, acl('private'))),
    undefined,
  );
  assert.is(
    code(() => refusePublicAcl(on, undefined)),
    undefined,
  );
  assert.is(
    code(() => refusePublicAcl(undefined, acl('public-read'))),
    undefined,
  );
  assert.is(
    code(() => refusePublicPolicy(on, policy(allow()))),
    'AccessDenied',
  );
  assert.is(
    code(() => refusePublicPolicy(on, policy(allow({ Principal: { AWS: 'arn:aws:iam::t:root' } })))),
    undefined,
  );
  assert.is(
    code(() => refusePublicPolicy(block('restrictPublicBuckets'), policy(allow()))),
    undefined,
  );
});

test('is a bucket public?', () => {
  const open: Policy = policy(allow());
  const closed: Policy = policy(allow({ Principal: { AWS: 'x' } }));
  const acl: Acl = cannedAcl('public-read', { kind: 'bucket', owner: 'o', bucketOwner: 'o' });
  assert.is(isPublicBucket({}), false);
  assert.is(isPublicBucket({ policy: closed }), false);
  assert.is(isPublicBucket({ policy: open }), true);
  assert.is(isPublicBucket({ policy: open, block: block('restrictPublicBuckets') }), false);
  assert.is(isPublicBucket({ acl }), true);
  assert.is(isPublicBucket({ acl, policy: closed }), true);
  assert.is(isPublicBucket({ acl, block: block('ignorePublicAcls') }), false);
  assert.is(isPublicBucket({ acl, ownership: 'BucketOwnerEnforced' }), false);
});

test('names', () => {
  assert.equal(['ObjectWriter', 'objectwriter', 1].map(isOwnership), [true, false, false]);
});

test.run();
