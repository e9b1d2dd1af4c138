/** Several gateways at once on the same users, groups and policies: nothing is lost, nothing dangles. */
import { randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { policyArn } from '../../../acl/iam/policies.js';
import { createRegistry } from '../../../acl/registry.js';
import { createSealer } from '../../../gateway/auth/credentials.js';
import { memoryDocuments } from '../../support/documents.js';

const test = suite('iam/races');
const documents = memoryDocuments();
const sealer = createSealer(randomBytes(32));
const gateways = [0, 1].map(() => createRegistry({ documents, sealer }).iam);
const registry = createRegistry({ documents, sealer });
const [one, other] = gateways as [(typeof gateways)[0], (typeof gateways)[0]];
const text = JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Deny', Action: 's3:*', Resource: '*' } });
const actor = { uid: 1, gid: 1, groups: [1] };
const user = (displayName: string) => registry.createAccount({ displayName, group: 'g', actor, unique: true });
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: { code: string }) => error.code,
  );

test('of attachments, memberships and inline policies made at once none is lost', async () => {
  const ann = await user('ann');
  const group = await one.groups.create('g', 'team');
  const policies = await Promise.all(
    ['a', 'b', 'c', 'd'].map((name) => one.policies.create('g', { name, document: text })),
  );
  await Promise.all([
    ...policies.map((policy, at) => gateways[at % 2]!.attachToUser(ann, policyArn(policy))),
    ...policies.map((policy, at) => gateways[at % 2]!.attachToGroup('g', 'TEAM', policyArn(policy))),
    other.addToGroup(ann, 'team'),
    one.addToGroup(ann, 'team'),
  ]);
  const after = await one.user('g', 'ann');
  assert.equal(after.policies?.sort(), policies.map(policyArn));
  assert.equal(after.memberOf, [group.id]);
  assert.equal((await other.groups.get('g', 'team')).policies.sort(), policies.map(policyArn));
});

test('one of two that take a name gets it', async () => {
  const made = await Promise.all(['Same', 'same'].map((name, at) => outcome(gateways[at]!.groups.create('g', name))));
  assert.equal(made.sort(), ['EntityAlreadyExists', 'done']);
  const document = text;
  const twice = await Promise.all(
    ['P', 'p'].map((name, at) => outcome(gateways[at]!.policies.create('g', { name, document }))),
  );
  assert.equal(twice.sort(), ['EntityAlreadyExists', 'done']);
  const users = await Promise.all(['Bob', 'bob'].map((name) => outcome(user(name))));
  assert.ok(users.filter((each) => each === 'done').length <= 1, users.join());
});

test('what is deleted is attached to nobody, what is attached is not deleted', async () => {
  const eve = await user('eve');
  for (let round = 0; round < 40; round++) {
    const policy = await one.policies.create('g', { name: `r${round}`, document: text });
    const arn = policyArn(policy);
    const late = async (work: () => Promise<void>, turns: number) => {
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      return outcome(work());
    };
    const [attached, removed, again] = await Promise.all([
      late(() => one.attachToUser(eve, arn), round % 7),
      late(() => other.removePolicy('g', arn), (round * 3) % 5),
      late(() => one.removePolicy('g', arn), (round * 5) % 8),
    ]);
    const there = await outcome(one.policies.get('g', arn));
    const holds = (await one.user('g', 'eve')).policies?.includes(arn) ?? false;
    const told = `${round}: attach ${attached}, delete ${removed} and ${again}, the policy ${there}, attached ${holds}`;
    assert.is(holds, attached === 'done', told);
    assert.is(there, removed === 'done' || again === 'done' ? 'NoSuchEntity' : 'done', told);
    assert.not.ok(holds && there !== 'done', told);
    if (holds) await one.updateUser(eve, (account) => ({ ...account, policies: [] }));
  }
});

test('nobody is in a group that is gone', async () => {
  const fay = await user('fay');
  for (let round = 0; round < 40; round++) {
    const name = `g${round}`;
    const { id } = await one.groups.create('g', name);
    const late = async (work: () => Promise<void>, turns: number) => {
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      return outcome(work());
    };
    const [added, removed] = await Promise.all([
      late(() => one.addToGroup(fay, name), round % 6),
      late(() => other.removeGroup('g', name), (round * 3) % 7),
    ]);
    const member = (await one.user('g', 'fay')).memberOf?.includes(id) ?? false;
    const there = (await one.groups.list('g')).some((group) => group.id === id);
    const told = `${round}: add ${added}, delete ${removed}, member ${member}, there ${there}`;
    assert.is(member, added === 'done', told);
    assert.not.ok(member && !there, told);
    if (member) await one.removeFromGroup(fay, name);
  }
});

test('a policy that cannot be found or read denies everything', async () => {
  const gus = await user('gus');
  const effects = async () => {
    const policies = await one.policiesOf((await registry.account(gus.uuid))!);
    return policies.flatMap(({ statements }) =>
      statements.map(({ effect, actions }) => `${effect} ${actions.size > 100}`),
    );
  };
  await one.updateUser(gus, (account) => ({ ...account, policies: ['arn:aws:iam::g:policy/gone'] }));
  assert.equal(await effects(), ['Deny true']);
  await one.updateUser(gus, (account) => ({ ...account, policies: [], inline: [{ name: 'x', document: '{}' }] }));
  assert.equal(await effects(), ['Deny true']);
});

test('an account with policies does not change its group, and takes none along', async () => {
  const hal = await user('hal');
  await one.addToGroup(hal, 'team');
  assert.is(await outcome(registry.updateAccount(hal.uuid, { group: 'h' })), 'DeleteConflict');
  await one.removeFromGroup(hal, 'team');
  assert.is(await outcome(registry.updateAccount(hal.uuid, { group: 'h' })), 'done');
});

test.run();
