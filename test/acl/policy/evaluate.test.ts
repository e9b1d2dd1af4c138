// biome-ignore-all lint/suspicious/noTemplateCurlyInString: so look the variables of policies
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actions } from '../../../acl/policy/actions.js';
import { evaluate } from '../../../acl/policy/evaluate.js';
import { resourceArn } from '../../../acl/policy/types.js';
import { measureDecision } from '../../bench/decision.js';
import { processorMs } from '../../support/processor.js';
import { type Ask, alice, allow, anonymous, ask, bob, carol, type Draft, deny, person, policy } from '../people.js';

test('implicit deny, allow, explicit deny', () => {
  assert.is(ask(policy(allow({ Action: 's3:PutObject' }))), 'neither');
  assert.is(ask(policy(allow({ Action: 's3:GetObject' }))), 'Allow');
  assert.is(ask(policy([allow(), deny({ Action: 's3:Get*' })])), 'Deny');
  assert.is(ask(policy([deny({ Action: 's3:Get*' }), allow()])), 'Deny');
  assert.is(ask(policy([deny({ Action: 's3:Put*' }), allow()])), 'Allow');
});

test('says which statement decided', () => {
  const compiled = policy([
    allow({ Sid: 'a', Action: 's3:PutObject' }),
    allow({ Sid: 'b' }),
    deny({ Action: 's3:PutObject' }),
  ]);
  const verdict = (action: string) =>
    evaluate(compiled, {
      identity: alice,
      action,
      resource: resourceArn({ bucket: 'b', key: 'k' }),
      context: new Map(),
    });
  assert.is(verdict('s3:GetObject').statement?.sid, 'b');
  assert.is(verdict('s3:PutObject').statement?.index, 2);
});

test('actions', () => {
  const cases: [Draft, string, boolean][] = [
    [{ Action: 's3:GetObject' }, 's3:GetObject', true],
    [{ Action: 's3:GetObject' }, 's3:GetObjectAcl', false],
    [{ Action: 'S3:getOBJECT*' }, 's3:GetObjectAcl', true],
    [{ Action: 's3:?etObject' }, 's3:GetObject', true],
    [{ Action: '*' }, 's3:PutBucketPolicy', true],
    [{ Action: undefined, NotAction: 's3:Get*' }, 's3:GetObject', false],
    [{ Action: undefined, NotAction: ['s3:Get*', 's3:Put*'] }, 's3:DeleteObject', true],
  ];
  for (const [draft, action, expected] of cases) {
    assert.is(ask(policy(allow(draft)), { action }) === 'Allow', expected, `${JSON.stringify(draft)} ${action}`);
  }
});

test('resources', () => {
  const cases: [string | string[], string | undefined, boolean][] = [
    ['arn:aws:s3:::b', undefined, true],
    ['arn:aws:s3:::b', 'k', false],
    ['arn:aws:s3:::b/*', undefined, false],
    ['arn:aws:s3:::b/*', 'k/l', true],
    ['b/*', 'k', true],
    ['b/', 'k', false],
    ['*', 'k', true],
    ['b*', 'k', true],
    ['b/x*', 'k', false],
    ['b/k*', 'kk/l', true],
    ['b/?', 'k', true],
    ['b/?', '猫', true],
    ['b/?', 'kk', false],
    ['b/K', 'k', false],
    [['b/x', 'b/k'], 'k', true],
  ];
  for (const [Resource, key, expected] of cases) {
    assert.is(ask(policy(allow({ Resource })), { key }) === 'Allow', expected, `${Resource} ${key}`);
  }
  const not = policy(allow({ Resource: undefined, NotResource: ['b/private/*', 'b'] }));
  assert.is(ask(not, { key: 'private/x' }), 'neither');
  assert.is(ask(not, { key: undefined }), 'neither');
  assert.is(ask(not, { key: 'public' }), 'Allow');
});

test('a variable without a value opens nothing, also in NotResource', () => {
  const but = { Resource: undefined, NotResource: 'b/${aws:username}/*' };
  assert.is(ask(policy(allow(but)), { identity: anonymous, key: 'k' }), 'neither');
  assert.is(ask(policy(allow(but)), { identity: alice, key: 'k' }), 'Allow');
  assert.is(ask(policy([allow(), deny(but)]), { identity: anonymous, key: 'k' }), 'Deny');
  // What another pattern excepts is excepted still.
  const both = { Resource: undefined, NotResource: ['b/${aws:username}/*', 'b/public/*'] };
  assert.is(ask(policy([allow(), deny(both)]), { identity: anonymous, key: 'public/k' }), 'Allow');
});

test('a bucket is never another whose name begins like it', () => {
  for (const Resource of ['arn:aws:s3:::b2', 'arn:aws:s3:::b2/*', 'b2', 'b2/*', ['b2', 'b2/*']]) {
    const draft = { Effect: 'Allow', Action: '*', Resource };
    const compiled = policy(draft, '2012-10-17', 'identity');
    assert.is(ask(compiled, { bucket: 'b2x' }), 'neither');
    assert.is(ask(compiled, { bucket: 'b2x', key: undefined }), 'neither');
    assert.throws(() => policy({ ...draft, Principal: '*' }, '2012-10-17', { bucket: 'b2x' }), /invalid resource/);
  }
});

test('principals', () => {
  const uuid = '2b8c1e5e-1d5a-4b47-8a33-5d8f0f7c2b11';
  const dora = person('dora', { uuid, group: 'climate' });
  const cases: [Draft, (typeof alice)[]][] = [
    [{ Principal: '*' }, [alice, bob, carol, dora, anonymous]],
    [{ Principal: { AWS: '*' } }, [alice, bob, carol, dora, anonymous]],
    [{ Principal: { AWS: ['id-alice', uuid] } }, [alice, dora]],
    [{ Principal: { AWS: 'climate' } }, [bob, carol, dora]],
    [{ Principal: { AWS: 'arn:aws:iam::climate:root' } }, [bob, carol, dora]],
    [{ Principal: { AWS: 'arn:aws:iam::id-bob:root' } }, [bob]],
    [{ Principal: { AWS: 'arn:aws:iam::climate:user/bob' } }, [bob]],
    [{ Principal: { AWS: 'arn:aws:iam::users:user/bob' } }, []],
    [{ Principal: { AWS: 'arn:aws:iam::id-bob:user/team/bob' } }, [bob]],
    [{ Principal: { AWS: 'arn:aws:iam::id-bob:user/carol' } }, []],
    [{ Principal: { AWS: `arn:aws:iam:::user/${uuid}` } }, [dora]],
    [{ Principal: { AWS: 'arn:aws:iam:::user/bob' } }, []],
    [{ Principal: { CanonicalUser: 'id-bob' } }, [bob]],
    [{ Principal: { CanonicalUser: 'climate' } }, []],
    [{ Principal: { DDN: [uuid] } }, [dora]],
    [{ Principal: { DDN: '*' } }, [alice, bob, carol, dora, anonymous]],
    [{ Principal: { DDN: uuid, AWS: 'id-alice' } }, [alice, dora]],
    [{ Principal: { AWS: 'anonymous' } }, []],
  ];
  for (const [draft, expected] of cases) {
    const compiled = policy(allow(draft));
    for (const identity of [alice, bob, carol, dora, anonymous]) {
      const name = `${JSON.stringify(draft)} ${identity.account?.displayName}`;
      assert.is(ask(compiled, { identity }) === 'Allow', expected.includes(identity), name);
    }
  }
  const others = policy(
    deny({ Principal: undefined, NotPrincipal: { AWS: ['id-alice', 'arn:aws:iam::climate:root'] } }),
  );
  const denied = [alice, bob, anonymous, person('eve')].map((identity) => ask(others, { identity }));
  assert.equal(denied, ['neither', 'neither', 'Deny', 'Deny']);
});

test('variables in resources', () => {
  const home = allow({ Resource: 'b/home/${aws:username}/*' });
  assert.is(ask(policy(home), { key: 'home/alice/x' }), 'Allow');
  assert.is(ask(policy(home), { key: 'home/bob/x' }), 'neither');
  assert.is(ask(policy(home), { key: 'home//x', identity: anonymous }), 'neither');
  assert.is(ask(policy(home, '2008-10-17'), { key: 'home/alice/x' }), 'neither');
  assert.is(ask(policy(home, '2008-10-17'), { key: 'home/${aws:username}/x' }), 'Allow');
  // The name of an account is no pattern.
  const star = person('*');
  assert.is(ask(policy(home), { key: 'home/bob/x', identity: star }), 'neither');
  assert.is(ask(policy(home), { key: 'home/*/x', identity: star }), 'Allow');
  const elsewhere = deny({ Resource: undefined, NotResource: 'b/home/${aws:username}/*' });
  assert.is(ask(policy(elsewhere), { key: 'home/x/y', identity: anonymous }), 'Deny');
});

test('one policy asked for many callers in turn', () => {
  const home = policy(allow({ Resource: 'b/home/${aws:username}/*' }));
  for (const name of ['alice', 'bob', 'alice', 'bob']) {
    const identity = person(name);
    assert.is(ask(home, { key: `home/${name}/x`, identity }), 'Allow');
    for (const other of ['alice', 'bob', 'carol']) {
      if (other !== name) assert.is(ask(home, { key: `home/${other}/x`, identity }), 'neither');
    }
  }
});

test('public is what gives something to people whom it does not name', () => {
  const when = (Condition: Draft) => allow({ Condition });
  const cases: [Draft | Draft[], boolean][] = [
    [allow(), true],
    [allow({ Principal: { AWS: '*' } }), true],
    [allow({ Principal: { AWS: ['id-1', '*'] } }), true],
    [allow({ Principal: { AWS: 'arn:aws:iam::climate:root' } }), false],
    [deny(), false],
    [[allow({ Principal: { DDN: 'x' } }), deny()], false],
    [[allow({ Principal: { DDN: 'x' } }), allow({ Action: 's3:ListBucket' })], true],
    [[deny(), allow()], true],
    [when({ IpAddress: { 'aws:SourceIp': '10.0.0.0/32' } }), false],
    [when({ IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '2001:db8::/32'] } }), false],
    [when({ IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '0.0.0.0/1'] } }), true],
    [when({ IpAddress: { 'aws:SourceIp': '::/0' } }), true],
    [when({ NotIpAddress: { 'aws:SourceIp': '10.0.0.0/8' } }), true],
    [when({ IpAddressIfExists: { 'aws:SourceIp': '10.0.0.0/8' } }), true],
    [when({ StringEquals: { 'aws:userid': 'id-1' } }), false],
    [when({ 'ForAllValues:StringEquals': { 'aws:userid': 'id-1' } }), true],
    [when({ StringLike: { 'aws:userid': 'id-*' } }), true],
    [when({ StringEquals: { 'aws:userid': '${s3:prefix}' } }), true],
    [when({ ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::1:user/x' } }), false],
    [when({ ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::*:user/x' } }), true],
    [when({ StringEquals: { 'aws:Referer': 'x' } }), true],
    [when({ StringEquals: { 's3:ExistingObjectTag/public': 'yes' } }), true],
  ];
  for (const [drafts, expected] of cases) assert.is(policy(drafts).public, expected, JSON.stringify(drafts));
});

// ---- properties --------------------------------------------------------------------------------------------------

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);
const actionPattern = oneOf(
  '*',
  's3:*',
  's3:Get*',
  's3:GetObject',
  's3:PutObject',
  's3:List*',
  's3:?etObject',
  's3:Delete*',
);
const resourcePattern = oneOf('*', 'b', 'b/*', 'b/a*', 'b/?', 'b/${aws:username}', 'b*', 'b/a/b');
const principal = oneOf<unknown>('*', { AWS: 'id-alice' }, { AWS: 'climate' }, { DDN: ['id-bob', 'id-carol'] });
const condition = oneOf<Draft | undefined>(
  undefined,
  { StringEquals: { 'aws:username': 'alice' } },
  { StringNotLike: { 's3:prefix': 'a*' } },
  { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } },
  { Bool: { 'aws:SecureTransport': 'false' } },
  { Null: { 's3:prefix': 'true' } },
  { NumericLessThanEqualsIfExists: { 's3:max-keys': '10' } },
);
const statement = fc
  .record({
    Effect: oneOf('Allow', 'Deny'),
    Principal: principal,
    actions: fc.array(actionPattern, { minLength: 1, maxLength: 3 }),
    resources: fc.array(resourcePattern, { minLength: 1, maxLength: 3 }),
    not: fc.record({ action: fc.boolean(), resource: fc.boolean() }),
    Condition: condition,
  })
  .map(({ actions: listed, resources, not, ...rest }) => ({
    ...rest,
    [not.action ? 'NotAction' : 'Action']: listed,
    [not.resource ? 'NotResource' : 'Resource']: resources,
  }));
const statements = fc.array(statement, { minLength: 1, maxLength: 6 });
const asked: fc.Arbitrary<Ask> = fc.record({
  identity: oneOf(alice, bob, carol, anonymous),
  action: oneOf(...actions),
  key: oneOf<string | undefined>(undefined, 'a', 'a/b', 'alice', 'x'),
  context: fc.record(
    {
      's3:prefix': oneOf('a', 'b'),
      'aws:sourceip': oneOf('10.1.1.1', '192.0.2.1', '2001:db8::1'),
      'aws:securetransport': oneOf('true', 'false'),
      's3:max-keys': oneOf('5', '50'),
    },
    { requiredKeys: [] },
  ),
});
const runs = { numRuns: 500 };

test('adding a Deny never allows more', () => {
  fc.assert(
    fc.property(statements, statement, asked, (drafts, extra, question) => {
      const before = ask(policy(drafts), question);
      const after = ask(policy([...drafts, { ...extra, Effect: 'Deny' }]), question);
      assert.ok(after === before || after === 'Deny');
    }),
    runs,
  );
});

test('a Deny that applies always wins', () => {
  fc.assert(
    fc.property(statements, statement, asked, (drafts, extra, question) => {
      const denial = { ...extra, Effect: 'Deny' };
      fc.pre(ask(policy(denial), question) === 'Deny');
      assert.is(ask(policy([...drafts, denial]), question), 'Deny');
      assert.is(ask(policy([denial, ...drafts]), question), 'Deny');
    }),
    runs,
  );
});

test('the order of statements never matters', () => {
  const shuffled = statements.chain((drafts) =>
    fc.tuple(fc.constant(drafts), fc.shuffledSubarray(drafts, { minLength: drafts.length })),
  );
  fc.assert(
    fc.property(shuffled, asked, ([drafts, others], question) => {
      assert.is(ask(policy(drafts), question), ask(policy(others), question));
    }),
    runs,
  );
});

test('widening an Allow never takes anything away', () => {
  fc.assert(
    fc.property(statements, fc.nat(), asked, (drafts, which, question) => {
      const at = which % drafts.length;
      const wider = drafts.map((draft, index) => (index === at && draft.Effect === 'Allow' ? allow() : draft));
      const before = ask(policy(drafts), question);
      const after = ask(policy(wider), question);
      assert.ok(after === before || (before === 'neither' && after === 'Allow'));
      const more = ask(policy([...drafts, allow()]), question);
      assert.ok(more === before || (before === 'neither' && more === 'Allow'));
    }),
    runs,
  );
});

test('the names of buckets and keys are taken literally', () => {
  const name = fc.string({ minLength: 1, maxLength: 5, unit: oneOf('b', '2', 'x', '-', '.') });
  fc.assert(
    fc.property(name, name, fc.constantFrom(undefined, 'k'), (mine, other, key) => {
      const draft = { Effect: 'Allow', Action: '*', Resource: [mine, `${mine}/*`] };
      const effect = ask(policy(draft, '2012-10-17', 'identity'), { bucket: other, key });
      assert.is(effect === 'Allow', mine === other);
    }),
    runs,
  );
});

test('a policy of 20 statements is decided in less than 20 µs', () => {
  const { microseconds, deciding } = measureDecision(2000);
  assert.is(deciding, 'neither');
  assert.ok(microseconds < 20, `${microseconds} µs`);
});

test('a hostile policy is decided in bounded time', () => {
  const drafts = allow({
    Condition: { StringLike: { 'aws:UserAgent': Array.from({ length: 450 }, () => `*${'a'.repeat(33)}b*`) } },
  });
  const compiled = policy(drafts);
  const start = processorMs();
  assert.is(ask(compiled, { context: { 'aws:useragent': 'a'.repeat(16_000) } }), 'neither');
  const spent = processorMs() - start;
  assert.ok(spent < 500, `${spent} ms`);
});

test.run();
