import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parsePolicy } from '../../acl/policy/parse.js';
import { packRoles, type Role, type Roles, roleStatements, rolesPolicy, unpackRoles } from '../../acl/roles.js';
import { alice, anonymous, ask, bob } from './people.js';

const roles = (role: Role): Roles => ({ bindings: [{ account: 'id-alice', role }] });

test('what the roles allow', () => {
  const rows: [string, boolean, boolean, boolean][] = [
    ['s3:GetObject', true, true, true],
    ['s3:ListBucket', true, true, true],
    ['s3:GetBucketLocation', true, true, true],
    ['s3:PutObject', false, true, true],
    ['s3:DeleteObject', false, true, true],
    ['s3:AbortMultipartUpload', false, true, true],
    ['s3:DeleteObjectVersion', false, false, true],
    ['s3:PutObjectAcl', false, false, true],
    ['s3:PutBucketAcl', false, false, true],
    ['s3:PutBucketPolicy', false, false, true],
    ['s3:DeleteBucket', false, false, false],
  ];
  for (const [action, ...expected] of rows) {
    const allowed = (['reader', 'writer', 'maintainer'] as const).map(
      (role) =>
        ask(rolesPolicy(roles(role), 'b')!, { action, key: action.includes('Bucket') ? undefined : 'k' }) === 'Allow',
    );
    assert.equal(allowed, expected, action);
  }
});

test('only for whom and where they are given', () => {
  const policy = rolesPolicy(roles('maintainer'), 'b')!;
  assert.equal(
    [alice, bob, anonymous].map((identity) => ask(policy, { identity })),
    ['Allow', 'neither', 'neither'],
  );
  assert.is(ask(policy, { bucket: 'b2' }), 'neither');
  assert.is(policy.public, false);
});

test('they are words for statements of a policy', () => {
  const Statement = roleStatements({ bindings: [...roles('reader').bindings, ...roles('writer').bindings] }, 'b');
  parsePolicy(JSON.stringify({ Statement }), { bucket: 'b' });
  assert.is(Statement.length, 2);
  assert.is(rolesPolicy({ bindings: [] }, 'b'), undefined);
});

test('thousands of bindings are no problem', () => {
  const bindings = Array.from({ length: 5000 }, (_, at) => ({ account: `account-${at}`, role: 'reader' as const }));
  const policy = rolesPolicy({ bindings: [...bindings, { account: 'id-alice', role: 'reader' }] }, 'b')!;
  assert.is(ask(policy), 'Allow');
});

test('stored form', () => {
  const document = roles('writer');
  assert.equal(unpackRoles(JSON.parse(JSON.stringify(packRoles(document)))), document);
  const bad = [null, 1, {}, { version: 2, bindings: [] }, { version: 1, bindings: [{ account: '*', role: 'reader' }] }];
  const worse = [
    { version: 1, bindings: [null] },
    { version: 1, bindings: [{ account: 'a', role: 'root' }] },
  ];
  for (const value of [...bad, ...worse]) assert.is(unpackRoles(value), undefined, JSON.stringify(value));
});

test.run();
