import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cannedAcl, type Place, requestedAcl } from '../../acl/canned.js';
import {
  type Acl,
  aclNeeded,
  type Grant,
  type Grantee,
  granteeIds,
  grantFor,
  grantHeaders,
  grantsOthers,
  groupUris,
  isPublicAcl,
  makeAcl,
  nameOf,
  packAcl,
  parseGrantHeader,
  privateAcl,
  readGrant,
  unpackAcl,
} from '../../acl/grants.js';
import { actions } from '../../acl/policy/actions.js';
import { S3Error } from '../../gateway/errors.js';
import { alice, anonymous, bob } from './people.js';

const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    assert.instance(error, S3Error);
    return (error as S3Error).code;
  }
  return 'nothing thrown';
};
const short = ({ grants }: Acl) => grants.map(({ grantee, permission }) => `${nameOf(grantee)} ${permission}`);

// ---- canned ------------------------------------------------------------------------------------------------------

const mine: Place = { kind: 'object', owner: 'me', bucketOwner: 'me' };
const theirs: Place = { kind: 'object', owner: 'me', bucketOwner: 'them' };
const bucket: Place = { kind: 'bucket', owner: 'me', bucketOwner: 'me' };

test('canned ACLs', () => {
  const full = 'me FULL_CONTROL';
  const cases: [string, Place, string[]][] = [
    ['private', bucket, [full]],
    ['public-read', bucket, ['AllUsers READ', full]],
    ['public-read-write', mine, ['AllUsers READ', 'AllUsers WRITE', full]],
    ['authenticated-read', mine, ['AuthenticatedUsers READ', full]],
    ['bucket-owner-read', theirs, [full, 'them READ']],
    ['bucket-owner-full-control', theirs, [full, 'them FULL_CONTROL']],
    ['bucket-owner-read', mine, [full]],
    ['bucket-owner-full-control', bucket, [full]],
    ['log-delivery-write', bucket, ['LogDelivery WRITE', 'LogDelivery READ_ACP', full]],
  ];
  for (const [name, place, expected] of cases) assert.equal(short(cannedAcl(name, place)), expected, name);
  assert.is(
    code(() => cannedAcl('log-delivery-write', mine)),
    'InvalidArgument',
  );
  assert.is(
    code(() => cannedAcl('aws-exec-read', mine)),
    'NotImplemented',
  );
  assert.is(
    code(() => cannedAcl('public', mine)),
    'InvalidArgument',
  );
});

test('the ACL that headers ask for', () => {
  const ask = (headers: Record<string, string>) => requestedAcl((name) => headers[name], theirs);
  assert.is(ask({}), undefined);
  assert.equal(short(ask({ 'x-amz-acl': 'public-read' })!), ['AllUsers READ', 'me FULL_CONTROL']);
  // Grant headers say everything: the writer gets nothing that he did not ask for.
  assert.equal(short(ask({ 'x-amz-grant-full-control': 'id=them' })!), ['them FULL_CONTROL']);
  const all = Object.fromEntries(grantHeaders.map(([name]) => [name, 'id="a"']));
  assert.equal(short(ask(all)!), ['a READ', 'a WRITE', 'a READ_ACP', 'a WRITE_ACP', 'a FULL_CONTROL']);
  assert.is(
    code(() => ask({ 'x-amz-acl': 'private', 'x-amz-grant-read': 'id=a' })),
    'InvalidRequest',
  );
});

// ---- grants ------------------------------------------------------------------------------------------------------

test('grant headers', () => {
  const names = (value: string) =>
    parseGrantHeader('x-amz-grant-read', value, 'READ').map((grant) => nameOf(grant.grantee));
  assert.equal(names('id=2b8c1e5e-1d5a-4b47-8a33-5d8f0f7c2b11'), ['2b8c1e5e-1d5a-4b47-8a33-5d8f0f7c2b11']);
  assert.equal(names(`id="a", uri="${groupUris.AllUsers}",ID = b`), ['a', 'AllUsers', 'b']);
  const refused: [string, string][] = [
    ['', 'InvalidArgument'],
    ['a', 'InvalidArgument'],
    ['id=', 'InvalidArgument'],
    ['id="a" id="b"', 'InvalidArgument'],
    ['id="a",', 'InvalidArgument'],
    ['id="a b"', 'InvalidArgument'],
    ['id="a\u0000"', 'InvalidArgument'],
    ['name="a"', 'InvalidArgument'],
    ['uri="http://acs.amazonaws.com/groups/global/Everybody"', 'InvalidArgument'],
    ['emailAddress="a@example.com"', 'UnresolvableGrantByEmailAddress'],
  ];
  for (const [value, expected] of refused)
    assert.is(
      code(() => names(value)),
      expected,
      value,
    );
});

test('grants of a document', () => {
  assert.equal(readGrant({ id: 'a', permission: 'READ' }), { grantee: { id: 'a' }, permission: 'READ' });
  assert.equal(readGrant({ uri: groupUris.LogDelivery, permission: 'WRITE' }).grantee, { group: 'LogDelivery' });
  assert.is(
    code(() => readGrant({ id: 'a', permission: 'OWN' })),
    'MalformedACLError',
  );
  assert.is(
    code(() => readGrant({ id: 'a', permission: undefined })),
    'MalformedACLError',
  );
  assert.is(
    code(() => readGrant({ permission: 'READ' })),
    'MalformedACLError',
  );
  assert.is(
    code(() => readGrant({ id: 'a', uri: groupUris.AllUsers, permission: 'READ' })),
    'MalformedACLError',
  );
  assert.is(
    code(() => readGrant({ email: 'a@b', permission: 'READ' })),
    'UnresolvableGrantByEmailAddress',
  );
});

test('at most 100 grants; the same twice is one; groups come first', () => {
  const grants: Grant[] = Array.from({ length: 100 }, (_, at) => ({ grantee: { id: `a${at}` }, permission: 'READ' }));
  assert.is(makeAcl('o', [...grants, ...grants]).grants.length, 100);
  const group: Grant = { grantee: { group: 'AllUsers' }, permission: 'READ' };
  assert.is(
    code(() => makeAcl('o', [...grants, group])),
    'MalformedACLError',
  );
  assert.equal(short(makeAcl('o', [grants[1]!, group, grants[0]!])), ['AllUsers READ', 'a1 READ', 'a0 READ']);
  assert.equal(granteeIds(makeAcl('o', [grants[1]!, group, grants[1]!])), ['a1']);
});

// ---- storing -----------------------------------------------------------------------------------------------------

const permission = fc.constantFrom(...grantHeaders.map(([, each]) => each));
const id = fc.stringMatching(/^[A-Za-z0-9._@-]{1,40}$/);
const grantee: fc.Arbitrary<Grantee> = fc.oneof(
  id.map((each): Grantee => ({ id: each })),
  fc.constantFrom<Grantee>({ group: 'AllUsers' }, { group: 'AuthenticatedUsers' }, { group: 'LogDelivery' }),
);
const grant = fc.tuple(grantee, permission).map(([who, what]): Grant => ({ grantee: who, permission: what }));

test('what is stored comes back', () => {
  fc.assert(
    fc.property(id, fc.array(grant, { maxLength: 20 }), (owner, grants) => {
      const acl = makeAcl(owner, grants);
      assert.equal(unpackAcl(JSON.parse(JSON.stringify(packAcl(acl)))), acl);
    }),
  );
});

test('anything else is no ACL', () => {
  const good = packAcl(privateAcl('a'));
  assert.ok(unpackAcl(good));
  const bad: unknown[] = [
    undefined,
    null,
    {},
    'x',
    [],
    [1],
    [2, ...good.slice(1)],
    [1, ''],
    [1, 7],
    [1, 'a b'],
    [1, 'a\n'],
    [...good, 'x'],
    [...good, 'gNobody', 'READ'],
    [...good, 'xa', 'READ'],
    [...good, 'i', 'READ'],
    [...good, 'i<x>', 'READ'],
    [...good, 'ia', 'OWN'],
    [...good, 1, 'READ'],
    [1, 'a', ...Array.from({ length: 101 }, () => ['ia', 'READ']).flat()],
  ];
  for (const value of bad) assert.is(unpackAcl(value), undefined, JSON.stringify(value));
  fc.assert(fc.property(fc.jsonValue(), (value) => unpackAcl(value) === undefined || Array.isArray(value)));
});

// ---- asking ------------------------------------------------------------------------------------------------------

test('which permission an action needs', () => {
  const rows: [string, string | undefined][] = [
    ['s3:ListBucket', 'bucket READ'],
    ['s3:ListBucketVersions', 'bucket READ'],
    ['s3:ListBucketMultipartUploads', 'bucket READ'],
    ['s3:PutObject', 'bucket WRITE'],
    ['s3:DeleteObject', 'bucket WRITE'],
    ['s3:DeleteObjectVersion', undefined],
    ['s3:GetBucketAcl', 'bucket READ_ACP'],
    ['s3:PutBucketAcl', 'bucket WRITE_ACP'],
    ['s3:GetObject', 'object READ'],
    ['s3:GetObjectVersion', 'object READ'],
    ['s3:GetObjectAcl', 'object READ_ACP'],
    ['s3:PutObjectAcl', 'object WRITE_ACP'],
    ['s3:GetObjectTagging', undefined],
    ['s3:GetBucketPolicy', undefined],
    ['s3:DeleteBucket', undefined],
    ['s3:GetBucketLocation', undefined],
  ];
  for (const [action, expected] of rows) {
    const needed = aclNeeded(action);
    assert.is(needed && `${needed.acl} ${needed.permission}`, expected, action);
  }
  for (const action of actions) if (aclNeeded(action)) assert.not.match(action, /Policy|Ownership|PublicAccess/);
});

test('who has which permission', () => {
  const acl = (...grants: [string, Grant['permission']][]) =>
    makeAcl(
      'o',
      grants.map(([who, each]) => ({
        grantee: who in groupUris ? { group: who as never } : { id: who },
        permission: each,
      })),
    );
  const has = (list: Acl, who: typeof alice, each: Grant['permission'], ignore = false) =>
    grantFor(list, who, each, ignore) !== undefined;
  const all = acl(
    ['AllUsers', 'READ'],
    ['AuthenticatedUsers', 'WRITE'],
    ['LogDelivery', 'WRITE_ACP'],
    ['id-bob', 'FULL_CONTROL'],
  );
  assert.equal(
    [alice, bob, anonymous].map((who) => has(all, who, 'READ')),
    [true, true, true],
  );
  assert.equal(
    [alice, bob, anonymous].map((who) => has(all, who, 'WRITE')),
    [true, true, false],
  );
  assert.equal(
    [alice, bob, anonymous].map((who) => has(all, who, 'WRITE_ACP')),
    [false, true, false],
  );
  assert.equal(
    [alice, bob, anonymous].map((who) => has(all, who, 'READ', true)),
    [false, true, false],
  );
  assert.is(has(acl(['id-alice', 'READ']), alice, 'READ_ACP'), false);
  assert.is(has(acl(['undefined', 'READ']), anonymous, 'READ'), false);
});

test('public, and more than the owner', () => {
  const of = (name: string) => cannedAcl(name, theirs);
  const names = ['private', 'public-read', 'public-read-write', 'authenticated-read', 'bucket-owner-read'];
  assert.equal(
    names.map((name) => isPublicAcl(of(name))),
    [false, true, true, true, false],
  );
  assert.equal(
    names.map((name) => grantsOthers(of(name))),
    [false, true, true, true, true],
  );
  assert.is(isPublicAcl(cannedAcl('log-delivery-write', bucket)), false);
});

test.run();
