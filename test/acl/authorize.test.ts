import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { authorize, type Decision, type Documents, type Question } from '../../acl/authorize.js';
import { cannedAcl } from '../../acl/canned.js';
import { type Acl, makeAcl, privateAcl } from '../../acl/grants.js';
import type { PublicAccessBlock } from '../../acl/ownership.js';
import { actions } from '../../acl/policy/actions.js';
import { rolesPolicy } from '../../acl/roles.js';
import {
  alice,
  allow,
  anonymous,
  attached,
  bob,
  carol,
  contextFrom,
  type Draft,
  deny,
  person,
  policy,
} from './people.js';

const owner = person('owner', { group: 'climate' });
const mallory = person('mallory', { enabled: false });

interface Case extends Partial<Omit<Question, 'documents'>>, Documents {
  key?: string | undefined;
}
/** By default: may alice, whom nobody granted anything, read the owner's `b/k`? */
function decide(asked: Case = {}): Decision {
  const { identity = alice, action = 's3:GetObject', objectOwner, bucketOwnerAccount, context, ...rest } = asked;
  const { key, resource, bucketOwner, ...documents } = rest;
  const bucketLevel = /Bucket|List/.test(action);
  return authorize({
    identity,
    action,
    resource: resource ?? { bucket: 'b', key: bucketLevel ? undefined : (key ?? 'k') },
    bucketOwner: bucketOwner ?? 'id-owner',
    bucketOwnerAccount,
    objectOwner,
    context,
    documents,
  });
}
const may = (asked: Case = {}): boolean => decide(asked).allow;
const by = (asked: Case = {}): string => `${decide(asked).allow ? '+' : '-'}${decide(asked).by}`;

const place = (kind: 'bucket' | 'object', who = 'id-owner') => ({ kind, owner: who, bucketOwner: 'id-owner' });
const bucketAcl = (name: string) => cannedAcl(name, place('bucket'));
const objectAcl = (name: string, who?: string) => cannedAcl(name, place('object', who));
const block = (set: Partial<PublicAccessBlock>): PublicAccessBlock => ({
  blockPublicAcls: false,
  ignorePublicAcls: false,
  blockPublicPolicy: false,
  restrictPublicBuckets: false,
  ...set,
});

// ---- owners ------------------------------------------------------------------------------------------------------

test('as the pipeline asks without documents', () => {
  const ask = (identity: typeof alice, action: string, bucketOwner?: string) =>
    authorize({ identity, action, bucketOwner });
  assert.is(ask(alice, 's3:GetObject', 'id-alice').allow, true);
  assert.is(ask(alice, 's3:GetObject', 'id-owner').allow, false);
  assert.is(ask(anonymous, 's3:GetObject', 'id-owner').allow, false);
  assert.is(ask(alice, 's3:ListAllMyBuckets').allow, true);
  assert.is(ask(alice, 's3:CreateBucket').allow, true);
  assert.is(ask(anonymous, 's3:ListAllMyBuckets').allow, false);
  assert.is(ask(mallory, 's3:GetObject', 'id-mallory').allow, false);
});

test('the owner of a bucket may do everything in it, nobody else anything', () => {
  for (const action of actions) {
    assert.is(may({ identity: owner, action }), true, action);
    for (const identity of [alice, carol, anonymous]) assert.is(may({ identity, action }), false, action);
  }
});

test('there is no such action: nobody may', () => {
  assert.is(may({ identity: owner, action: 's3:Everything' }), false);
});

test('a policy without a resource is a mistake of the caller', () => {
  const documents = { bucketPolicy: policy(deny()) };
  assert.throws(() => authorize({ identity: alice, action: 's3:GetObject', bucketOwner: 'x', documents }), /resource/);
});

test('an owner can be denied, but never the calls that undo it', () => {
  const bucketPolicy = policy(deny());
  assert.is(by({ identity: owner, bucketPolicy }), '-deny');
  assert.is(may({ identity: owner, action: 's3:GetBucketPolicyStatus', bucketPolicy }), false);
  for (const action of ['s3:GetBucketPolicy', 's3:PutBucketPolicy', 's3:DeleteBucketPolicy']) {
    assert.is(by({ identity: owner, action, bucketPolicy }), '+owner');
    assert.is(by({ identity: alice, action, bucketPolicy }), '-deny');
  }
});

test('a policy for everything and everybody does not hand over the policy itself', () => {
  const bucketPolicy = policy(allow({ Action: 's3:*' }));
  assert.is(may({ action: 's3:PutBucketTagging', bucketPolicy }), true);
  for (const action of ['s3:GetBucketPolicy', 's3:PutBucketPolicy', 's3:DeleteBucketPolicy']) {
    for (const identity of [alice, anonymous]) assert.is(may({ identity, action, bucketPolicy }), false);
    assert.is(
      may({
        action,
        roles: rolesPolicy({ bindings: [{ account: alice.account!.uuid, role: 'maintainer' }] }, 'b'),
      }),
      true,
    );
  }
});

// ---- bucket policy -----------------------------------------------------------------------------------------------

test('a bucket policy lets other accounts and the anonymous in', () => {
  const read = { Action: ['s3:GetObject', 's3:ListBucket'] };
  const forAll = policy(allow(read));
  const forClimate = policy(allow({ ...read, Principal: { AWS: 'arn:aws:iam::climate:root' } }));
  assert.equal(
    [alice, bob, anonymous].map((identity) => by({ identity, bucketPolicy: forAll })),
    ['+policy', '+policy', '+policy'],
  );
  assert.equal(
    [alice, bob, anonymous].map((identity) => may({ identity, bucketPolicy: forClimate })),
    [false, true, false],
  );
  assert.is(may({ action: 's3:PutObject', bucketPolicy: forAll }), false);
  assert.is(may({ action: 's3:ListBucket', bucketPolicy: forAll }), true);
});

test('a Deny wins over the ACL, roles and ownership', () => {
  const bucketPolicy = policy(deny({ Sid: 'no', Action: ['s3:ListBucket', 's3:GetObject'] }));
  const documents = { bucketPolicy, bucketAcl: bucketAcl('authenticated-read'), objectAcl: objectAcl('public-read') };
  const roles = rolesPolicy({ bindings: [{ account: 'id-alice', role: 'maintainer' }] }, 'b');
  for (const action of ['s3:ListBucket', 's3:GetObject']) {
    for (const identity of [owner, alice, anonymous]) assert.is(may({ identity, action, roles, ...documents }), false);
    assert.is(may({ action, roles, ...documents, bucketPolicy: undefined }), true);
  }
  const decision = decide(documents);
  assert.equal(decision.statement, { document: 'bucket policy', index: 0, sid: 'no', effect: 'Deny' });
  assert.match(
    decision.reason,
    /^s3:GetObject on arn:aws:s3:::b\/k is denied to alice \(id-alice\): statement 1, "no",/,
  );
});

test('conditions look at the request', () => {
  const bucketPolicy = policy(allow({ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } }));
  const from = (ip: string) => may({ bucketPolicy, context: contextFrom({ 'aws:sourceip': ip }) });
  assert.equal(['10.1.1.1', '192.0.2.1'].map(from), [true, false]);
  const prefix = policy(allow({ Action: 's3:ListBucket', Condition: { StringLike: { 's3:prefix': 'public/*' } } }));
  const lists = (key: string) =>
    may({ action: 's3:ListBucket', bucketPolicy: prefix, context: contextFrom({ 's3:prefix': key }) });
  assert.equal(['public/object', 'private/object'].map(lists), [true, false]);
});

// ---- ACLs --------------------------------------------------------------------------------------------------------

test('canned ACLs of bucket and object, as another account and the anonymous see them', () => {
  const rows: [string, string, string][] = [
    // bucket, object, what alice may (Get, List, Put) / what the anonymous may
    ['private', 'private', '--- ---'],
    ['private', 'public-read', 'G-- G--'],
    ['private', 'public-read-write', 'G-- G--'],
    ['public-read', 'private', '-L- -L-'],
    ['public-read', 'public-read', 'GL- GL-'],
    ['public-read-write', 'private', '-LP -LP'],
    ['public-read-write', 'public-read-write', 'GLP GLP'],
    ['authenticated-read', 'authenticated-read', 'GL- ---'],
    ['log-delivery-write', 'bucket-owner-read', '--- ---'],
  ];
  for (const [bucket, object, expected] of rows) {
    const documents = { bucketAcl: bucketAcl(bucket), objectAcl: objectAcl(object) };
    const seen = [alice, anonymous].map((identity) =>
      [
        ['s3:GetObject', 'G'],
        ['s3:ListBucket', 'L'],
        ['s3:PutObject', 'P'],
      ]
        .map(([action, letter]) => (may({ identity, action, ...documents }) ? letter : '-'))
        .join(''),
    );
    assert.is(seen.join(' '), expected, `${bucket} / ${object}`);
  }
});

test('each permission gives its actions and no others', () => {
  const rows = {
    READ: ['s3:ListBucket', 's3:GetObject'],
    WRITE: ['s3:PutObject', 's3:DeleteObject'],
    READ_ACP: ['s3:GetBucketAcl', 's3:GetObjectAcl'],
    WRITE_ACP: ['s3:PutBucketAcl', 's3:PutObjectAcl'],
  };
  const asked = [...Object.values(rows).flat(), 's3:DeleteBucket', 's3:GetBucketPolicy', 's3:PutObjectTagging'];
  for (const [permission, expected] of Object.entries(rows)) {
    const acl = makeAcl('id-owner', [{ grantee: { id: 'id-alice' }, permission: permission as 'READ' }]);
    const given = asked.filter((action) => may({ action, bucketAcl: acl, objectAcl: acl }));
    assert.equal(given, expected, permission);
  }
  const full = makeAcl('id-owner', [{ grantee: { id: 'id-alice' }, permission: 'FULL_CONTROL' }]);
  const decision = decide({ objectAcl: full });
  assert.is(decision.by, 'acl');
  assert.is(decision.grant, full.grants[0]);
  assert.match(decision.reason, /the ACL of the object grants FULL_CONTROL to id-alice/);
});

test('an owner whom the ACL gives nothing keeps everything', () => {
  const empty: Acl = { owner: 'id-owner', grants: [] };
  for (const action of ['s3:GetObject', 's3:ListBucket', 's3:PutBucketAcl']) {
    assert.is(may({ identity: owner, action, bucketAcl: empty, objectAcl: empty }), true);
  }
});

test('where ownership is enforced ACLs do not count', () => {
  const documents = { bucketAcl: bucketAcl('public-read'), objectAcl: objectAcl('public-read', 'id-alice') };
  const ownership = 'BucketOwnerEnforced';
  assert.is(may({ ...documents, objectOwner: 'id-alice', ownership }), false);
  assert.is(may({ action: 's3:ListBucket', ...documents, ownership }), false);
  assert.is(may({ identity: owner, ...documents, objectOwner: 'id-alice', ownership }), true);
});

// ---- objects of others -------------------------------------------------------------------------------------------

test('an object that another account wrote is his', () => {
  const foreign = { objectOwner: 'id-alice', objectAcl: privateAcl('id-alice') };
  for (const action of ['s3:GetObject', 's3:GetObjectAcl', 's3:PutObjectAcl', 's3:GetObjectTagging']) {
    assert.is(by({ identity: owner, action, ...foreign }), '-default', action);
    assert.is(by({ identity: alice, action, ...foreign }), '+owner', action);
  }
  for (const action of ['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:PutObject']) {
    assert.is(by({ identity: owner, action, ...foreign }), '+owner', action);
    assert.is(may({ identity: alice, action, ...foreign }), false, action);
  }
  assert.is(by({ identity: owner, ...foreign, objectAcl: objectAcl('bucket-owner-read', 'id-alice') }), '+acl');
  assert.is(
    may({
      identity: owner,
      action: 's3:PutObjectAcl',
      ...foreign,
      objectAcl: objectAcl('bucket-owner-read', 'id-alice'),
    }),
    false,
  );
  assert.is(
    may({
      identity: owner,
      action: 's3:PutObjectAcl',
      ...foreign,
      objectAcl: objectAcl('bucket-owner-full-control', 'id-alice'),
    }),
    true,
  );
});

test('the policy of the bucket can take such an object away, but not give it', () => {
  const foreign = { objectOwner: 'id-alice', objectAcl: privateAcl('id-alice') };
  assert.is(may({ identity: bob, ...foreign, bucketPolicy: policy(allow()) }), false);
  assert.is(may({ identity: owner, ...foreign, bucketPolicy: policy(allow()) }), false);
  assert.is(by({ identity: alice, ...foreign, bucketPolicy: policy(deny()) }), '-deny');
  assert.is(may({ identity: bob, ...foreign, bucketPolicy: policy(allow()), action: 's3:DeleteObject' }), true);
});

test('without a stored owner an object is the bucket owner’s', () => {
  assert.is(by({ identity: owner }), '+owner');
  assert.is(may({ identity: owner, objectAcl: privateAcl('id-alice') }), false);
  assert.is(may({ identity: owner, objectOwner: 'id-owner', objectAcl: privateAcl('id-alice') }), true);
});

// ---- public access block -----------------------------------------------------------------------------------------

test('ignored public ACLs', () => {
  const publicAccessBlock = block({ ignorePublicAcls: true });
  const documents = {
    bucketAcl: bucketAcl('public-read'),
    objectAcl: objectAcl('authenticated-read'),
    publicAccessBlock,
  };
  for (const action of ['s3:GetObject', 's3:ListBucket']) assert.is(may({ action, ...documents }), false);
  const named = makeAcl('id-owner', [
    { grantee: { group: 'AllUsers' }, permission: 'READ' },
    { grantee: { id: 'id-alice' }, permission: 'READ' },
  ]);
  assert.equal(
    [alice, bob].map((identity) => may({ identity, objectAcl: named, publicAccessBlock })),
    [true, false],
  );
});

test('restricted public buckets', () => {
  const publicAccessBlock = block({ restrictPublicBuckets: true });
  const open = policy([allow({ Action: 's3:GetObject' }), allow({ Principal: { AWS: 'id-alice' } })]);
  const named = policy(allow({ Principal: { AWS: 'id-alice' } }));
  for (const identity of [alice, anonymous])
    assert.is(by({ identity, bucketPolicy: open, publicAccessBlock }), '-deny');
  assert.is(may({ identity: owner, bucketPolicy: open, publicAccessBlock }), true);
  assert.is(by({ identity: alice, bucketPolicy: named, publicAccessBlock }), '+policy');
  const roles = rolesPolicy({ bindings: [{ account: 'id-alice', role: 'reader' }] }, 'b');
  assert.is(by({ identity: alice, bucketPolicy: open, publicAccessBlock, roles }), '+role');
});

// ---- roles and account policies ----------------------------------------------------------------------------------

test('roles', () => {
  const roles = rolesPolicy({ bindings: [{ account: 'id-alice', role: 'writer' }] }, 'b');
  assert.is(by({ roles }), '+role');
  assert.is(by({ action: 's3:PutObject', roles }), '+role');
  assert.is(may({ action: 's3:PutBucketPolicy', roles }), false);
  assert.is(may({ identity: bob, roles }), false);
  assert.is(may({ roles, objectOwner: 'id-bob' }), false);
});

const onAccount = (...drafts: Draft[]) => attached(drafts.map(({ Principal: _, ...draft }) => draft));

test('account policies: a Deny takes away, an Allow says what is left', () => {
  const own = { identity: alice, bucketOwner: 'id-alice' };
  const noDelete = onAccount(deny({ Action: 's3:Delete*', Resource: '*' }));
  assert.is(by({ ...own, identityPolicies: [noDelete] }), '+owner');
  assert.is(by({ ...own, action: 's3:DeleteObject', identityPolicies: [noDelete] }), '-deny');
  const readOnly = onAccount(allow({ Action: ['s3:Get*', 's3:List*'], Resource: '*' }));
  assert.is(by({ ...own, identityPolicies: [readOnly] }), '+owner');
  assert.is(by({ ...own, action: 's3:PutObject', identityPolicies: [readOnly] }), '-identity-policy');
  assert.is(may({ ...own, action: 's3:PutBucketPolicy', identityPolicies: [readOnly] }), false);
  const writes = onAccount(allow({ Action: 's3:Put*', Resource: '*' }));
  assert.is(may({ ...own, action: 's3:PutObject', identityPolicies: [readOnly, writes] }), true);
  assert.is(
    may({ ...own, action: 's3:DeleteObject', identityPolicies: [onAccount(allow({ Resource: '*' })), noDelete] }),
    false,
  );
});

test('account policies concern what is about no bucket yet', () => {
  const identityPolicies = [onAccount(deny({ Action: 's3:CreateBucket', Resource: 'tmp-*' }))];
  const create = (bucket: string) =>
    authorize({
      identity: alice,
      action: 's3:CreateBucket',
      resource: { bucket },
      bucketOwner: undefined,
      documents: { identityPolicies },
    }).allow;
  assert.equal(['tmp-1', 'data'].map(create), [false, true]);
  const list = (Resource: string) =>
    authorize({
      identity: alice,
      action: 's3:ListAllMyBuckets',
      resource: {},
      bucketOwner: undefined,
      documents: { identityPolicies: [onAccount(allow({ Resource }))] },
    }).allow;
  assert.equal(['*', 'arn:aws:s3:::*', 'data'].map(list), [true, true, false]);
});

test('account policies open no bucket of others, but for those of the managers of the group', () => {
  const identityPolicies = [onAccount(allow({ Resource: '*' }))];
  const rows: [Question['bucketOwnerAccount'], typeof alice, string][] = [
    [undefined, bob, '-default'],
    [{ group: 'climate', kind: 'user' }, bob, '-default'],
    [{ group: 'users', kind: 'manager' }, bob, '-default'],
    [{ group: 'climate', kind: 'manager' }, bob, '+identity-policy'],
    [{ group: 'climate', kind: 'manager' }, anonymous, '-default'],
  ];
  for (const [bucketOwnerAccount, identity, expected] of rows) {
    assert.is(by({ identity, identityPolicies, bucketOwnerAccount }), expected, JSON.stringify(bucketOwnerAccount));
  }
  const manager = { group: 'climate', kind: 'manager' as const };
  assert.is(may({ identity: bob, bucketOwnerAccount: manager }), false);
  assert.is(may({ identity: bob, bucketOwnerAccount: manager, identityPolicies, bucketPolicy: policy(deny()) }), false);
});

test('an account that is limited may do what policies allow, and without any nothing', () => {
  const limited = person('made', { limited: true, group: 'climate' });
  const own = { identity: limited, bucketOwner: limited.account!.uuid };
  assert.is(by(own), '-identity-policy');
  for (const action of ['s3:ListAllMyBuckets', 's3:CreateBucket']) {
    const ask = (identityPolicies: Documents['identityPolicies']) =>
      authorize({
        identity: limited,
        action,
        resource: { bucket: 'b' },
        bucketOwner: undefined,
        documents: { identityPolicies },
      });
    assert.is(ask([]).allow, false);
    assert.is(ask([onAccount(deny({ Action: 's3:Delete*' }))]).allow, false);
    assert.is(ask([onAccount(allow({ Resource: '*' }))]).allow, true);
  }
  assert.is(by({ ...own, identityPolicies: [onAccount(allow())] }), '+owner');
  assert.is(may({ identity: limited, bucketPolicy: policy(allow()), objectAcl: objectAcl('public-read') }), false);
});

test('in a bucket of a manager of the group his bucket policy allows as well as his account policies', () => {
  const limited = person('made', { limited: true, group: 'climate' });
  const bucketPolicy = policy(allow());
  const asked = { identity: limited, bucketPolicy, bucketOwnerAccount: { group: 'climate', kind: 'manager' as const } };
  assert.is(by(asked), '+policy');
  assert.is(may({ ...asked, bucketOwnerAccount: { group: 'climate', kind: 'user' } }), false);
  assert.is(may({ ...asked, bucketOwnerAccount: { group: 'users', kind: 'manager' } }), false);
  assert.is(may({ ...asked, bucketPolicy: policy(deny()) }), false);
  assert.is(may({ ...asked, identityPolicies: [onAccount(deny())] }), false);
  // An ACL is no policy: it gives nothing that no policy allows.
  assert.is(may({ ...asked, bucketPolicy: undefined, objectAcl: objectAcl('public-read') }), false);
});

test('what others granted needs both: their grant and the own policies', () => {
  const bucketPolicy = policy(allow());
  assert.is(may({ bucketPolicy, identityPolicies: [onAccount(allow({ Action: 's3:GetObject' }))] }), true);
  assert.is(may({ bucketPolicy, identityPolicies: [onAccount(allow({ Action: 's3:PutObject' }))] }), false);
  assert.is(may({ objectAcl: objectAcl('public-read'), identityPolicies: [onAccount(deny())] }), false);
});

// ---- properties --------------------------------------------------------------------------------------------------

const names = ['private', 'public-read', 'public-read-write', 'authenticated-read'];
const documents: fc.Arbitrary<Documents> = fc.record(
  {
    bucketPolicy: fc.constantFrom(
      policy(allow()),
      policy(allow({ Action: 's3:Get*' })),
      policy(deny({ Action: 's3:Put*' })),
    ),
    bucketAcl: fc.constantFrom(...names.map(bucketAcl)),
    objectAcl: fc.constantFrom(...names.map((name) => objectAcl(name)), objectAcl('bucket-owner-read', 'id-bob')),
    ownership: fc.constantFrom(
      'ObjectWriter' as const,
      'BucketOwnerPreferred' as const,
      'BucketOwnerEnforced' as const,
    ),
    publicAccessBlock: fc.record({
      blockPublicAcls: fc.boolean(),
      ignorePublicAcls: fc.boolean(),
      blockPublicPolicy: fc.boolean(),
      restrictPublicBuckets: fc.boolean(),
    }),
    identityPolicies: fc.array(fc.constantFrom(onAccount(allow()), onAccount(deny({ Action: 's3:Delete*' })))),
    roles: fc.constantFrom(rolesPolicy({ bindings: [{ account: 'id-carol', role: 'writer' }] }, 'b')),
  },
  { requiredKeys: [] },
);
const question = fc.record(
  {
    identity: fc.constantFrom(owner, alice, bob, carol, anonymous, mallory),
    action: fc.constantFrom(...actions),
    objectOwner: fc.constantFrom('id-owner', 'id-bob'),
  },
  { requiredKeys: ['identity', 'action'] },
);

test('a Deny for everybody leaves only the owner’s policy calls, whatever else there is', () => {
  fc.assert(
    fc.property(documents, question, (documents, asked) => {
      const decision = decide({ ...documents, ...asked, bucketPolicy: policy(deny({ Resource: '*' })) });
      if (decision.allow) assert.match(`${asked.identity.account?.uuid} ${asked.action}`, /^id-owner .*BucketPolicy$/);
      assert.is(
        may({ ...documents, ...asked, identityPolicies: [onAccount(deny())] }) && asked.identity !== anonymous,
        false,
      );
    }),
    { numRuns: 1500 },
  );
});

test('restrictions never open anything', () => {
  const all = block({
    blockPublicAcls: true,
    ignorePublicAcls: true,
    blockPublicPolicy: true,
    restrictPublicBuckets: true,
  });
  fc.assert(
    fc.property(documents, question, (documents, asked) => {
      const before = may({ ...documents, ...asked, publicAccessBlock: undefined });
      const after = may({ ...documents, ...asked, publicAccessBlock: all });
      assert.ok(before || !after);
    }),
    { numRuns: 1500 },
  );
});

test('a Deny more in the policies of the account never allows more, and their order never matters', () => {
  const statements = fc.array(
    fc.record({
      Effect: fc.constantFrom('Allow', 'Deny'),
      Action: fc.constantFrom('s3:*', 's3:Get*', 's3:Put*', 's3:ListBucket'),
      Resource: fc.constantFrom('*', 'b/*', 'b', 'other'),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const owners = fc.constantFrom(undefined, { group: 'climate', kind: 'manager' as const });
  fc.assert(
    fc.property(documents, question, statements, owners, (documents, asked, drafts, bucketOwnerAccount) => {
      const ask = (...texts: Draft[][]) =>
        may({ ...documents, ...asked, bucketOwnerAccount, identityPolicies: texts.map((each) => attached(each)) });
      const each = drafts.map((draft) => [draft]);
      const before = ask(...each);
      assert.is(ask(...[...each].reverse()), before);
      assert.is(ask([...drafts].reverse()), before, 'one policy or several: the same');
      for (const draft of drafts) assert.ok(before || !ask(...each, [{ ...draft, Effect: 'Deny' }]));
    }),
    { numRuns: 1500 },
  );
});

test('the anonymous get only what everybody gets', () => {
  fc.assert(
    fc.property(documents, question, (documents, asked) => {
      fc.pre(may({ ...documents, ...asked, identity: anonymous }));
      assert.is(may({ ...documents, ...asked, identity: person('somebody'), identityPolicies: [] }), true);
    }),
    { numRuns: 1500 },
  );
});

test.run();
