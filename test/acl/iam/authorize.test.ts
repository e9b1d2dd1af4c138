/** Who may manage users, policies and groups. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { authorizeIam, type IamQuestion } from '../../../acl/iam/authorize.js';
import { parsePolicyArn, userArn } from '../../../acl/iam/names.js';
import { iamActions } from '../../../acl/policy/actions.js';
import { account, alice, allow, anonymous, attached, type Draft, deny, person } from '../people.js';

const manager = person('boss', { kind: 'manager' });
const none = { get: () => undefined };
const statement = (draft: Draft) => attached((({ Principal: _, ...rest }) => rest)(draft));
const may = (asked: Partial<IamQuestion> = {}): boolean =>
  authorizeIam({
    identity: alice,
    action: 'iam:GetUser',
    resource: userArn(asked.target ?? account('carl')),
    policies: [],
    context: none,
    ...asked,
  }).allow;

test('a manager may do everything, everybody else ask about himself', () => {
  const own: string[] = [];
  for (const action of iamActions) {
    assert.is(may({ identity: manager, action }), true, action);
    assert.is(may({ action, target: account('carl') }), false, action);
    assert.is(may({ identity: anonymous, action }), false, action);
    assert.is(may({ identity: person('late', { kind: 'manager', enabled: false }), action }), false, action);
    if (may({ action, target: alice.account })) own.push(action.slice('iam:'.length));
  }
  assert.equal(own.sort(), [
    'GetUser',
    'GetUserPolicy',
    'ListAccessKeys',
    'ListAttachedUserPolicies',
    'ListGroupsForUser',
    'ListUserPolicies',
  ]);
});

test('a policy allows more, on what it names', () => {
  const policies = [statement(allow({ Action: 'iam:Get*', Resource: 'arn:aws:iam::users:user/c*' }))];
  assert.is(may({ policies }), true);
  assert.is(may({ policies, target: account('dora') }), false);
  assert.is(may({ policies, action: 'iam:CreateAccessKey' }), false);
  assert.is(
    may({ policies: [statement(allow({ Action: 'iam:GetUser', Resource: 'arn:aws:iam:::user/carl' }))] }),
    true,
  );
  assert.is(
    may({ policies: [statement(allow({ Action: 'iam:GetUser', Resource: 'arn:aws:iam::other:user/*' }))] }),
    false,
  );
  // `s3:*` on everything is no right over accounts, and a bare name is a bucket's.
  assert.is(may({ policies: [statement(allow({ Resource: '*' }))] }), false);
  assert.is(may({ policies: [statement(allow({ Action: '*', Resource: 'user/carl' }))] }), false);
});

test('managers are managed by managers alone', () => {
  const policies = [statement(allow({ Action: '*', Resource: '*' }))];
  assert.is(may({ policies, action: 'iam:CreateAccessKey' }), true);
  assert.is(may({ policies, action: 'iam:CreateAccessKey', target: manager.account }), false);
  const other = person('other', { kind: 'manager' });
  assert.is(may({ identity: other, action: 'iam:CreateAccessKey', target: manager.account }), true);
});

test('a manager is not limited by what his policies allow, but bound by what they deny', () => {
  const readOnly = statement(allow({ Action: 's3:Get*', Resource: '*' }));
  assert.is(may({ identity: manager, action: 'iam:CreateUser', policies: [readOnly] }), true);
  const noKeys = statement(deny({ Action: 'iam:*AccessKey', Resource: '*' }));
  assert.is(may({ identity: manager, action: 'iam:CreateAccessKey', policies: [noKeys] }), false);
  assert.is(may({ identity: manager, action: 'iam:CreateUser', policies: [noKeys] }), true);
});

test('a Deny wins over everything, in whatever order', () => {
  const drafts = fc.array(
    fc.record({
      Effect: fc.constantFrom('Allow', 'Deny'),
      Action: fc.constantFrom('iam:*', 'iam:Get*', '*', 'iam:GetUser', 's3:*'),
      Resource: fc.constantFrom('*', 'arn:aws:iam:::user/*', 'arn:aws:iam::users:user/c?rl', 'b/*'),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const who = fc.constantFrom(alice, manager);
  const target = fc.constantFrom(account('carl'), alice.account!, manager.account!);
  const action = fc.constantFrom(...iamActions);
  fc.assert(
    fc.property(drafts, who, target, action, (statements, identity, about, asked) => {
      const ask = (policies: IamQuestion['policies']) => may({ identity, target: about, action: asked, policies });
      const policies = statements.map((draft) => attached(draft));
      const before = ask(policies);
      assert.is(ask([...policies].reverse()), before);
      assert.is(ask([attached([...statements].reverse())]), before);
      for (const draft of statements) {
        const more = attached({ ...draft, Effect: 'Deny' });
        assert.ok(before || !ask([...policies, more]), 'a further Deny allows nothing');
      }
      const all = statement(deny({ Action: 'iam:*', Resource: '*' }));
      assert.is(ask([...policies, all]), false);
    }),
    { numRuns: 1000 },
  );
});

test('ARNs', () => {
  const alices = account('alice', { path: '/division/', group: 'climate' });
  assert.is(userArn(alices), 'arn:aws:iam::climate:user/division/alice');
  const { named: _, ...unnamed } = alices;
  assert.is(userArn(unnamed), 'arn:aws:iam::climate:user/division/id-alice');
  assert.is(userArn({ ...alices, kind: 'manager' }), 'arn:aws:iam::climate:root');
  assert.equal(parsePolicyArn('arn:aws:iam::climate:policy/a/b/Name'), { namespace: 'climate', name: 'Name' });
  for (const arn of ['arn:aws:iam::climate:user/Name', 'arn:aws:iam:::policy/Name', 'Name', 'arn:aws:iam::g:policy/']) {
    assert.is(parsePolicyArn(arn), undefined, arn);
  }
});

test.run();
