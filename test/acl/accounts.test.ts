/** Accounts and groups over documents in memory: names, changes, and what several gateways do at once. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AccountError, createAccounts, isName, type NewAccount } from '../../acl/accounts.js';
import type { Documents } from '../../gateway/storage/types.js';
import { memoryDocuments } from '../support/documents.js';

const test = suite('acl/accounts');

const alice: NewAccount = {
  displayName: 'alice',
  group: 'climate',
  kind: 'manager',
  actor: { uid: 60101, gid: 10, groups: [10, 20] },
  user: 'alice01',
  fspaths: ['/work'],
  unique: true,
};
const bob: NewAccount = { displayName: 'bob', group: 'ocean', actor: { uid: 1, gid: 1, groups: [1] }, unique: true };

async function code(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AccountError) return error.code;
    throw error;
  }
  return 'nothing';
}

test('an account has what it was made with, and is found by uuid and by name', async () => {
  const { createAccount, findAccount, account } = createAccounts(memoryDocuments());
  const made = await createAccount(alice);
  const { uuid, created, ...rest } = made;
  assert.match(uuid, /^[0-9a-f-]{36}$/);
  assert.match(created, /^\d{4}-.*Z$/);
  const { unique: _, ...wanted } = alice;
  assert.equal(rest, { ...wanted, named: true, enabled: true });
  assert.equal(await account(uuid), made);
  assert.equal(await findAccount(uuid), made);
  assert.equal(await findAccount('alice'), made);
  assert.is(await code(findAccount('nobody')), 'NoSuchEntity');
  assert.is(await code(findAccount('../accounts/x')), 'NoSuchEntity');
  assert.is((await createAccount(bob)).kind, 'user');
});

test('a name is one account’s, until that is deleted or renamed', async () => {
  const people = createAccounts(memoryDocuments());
  const one = await people.createAccount(alice);
  assert.is(await code(people.createAccount(alice)), 'EntityAlreadyExists');
  const two = await people.createAccount(bob);
  assert.is(await code(people.updateAccount(two.uuid, { displayName: 'alice' })), 'EntityAlreadyExists');
  assert.is((await people.findAccount('bob')).uuid, two.uuid);
  assert.is((await people.updateAccount(one.uuid, { displayName: 'carol' }))?.displayName, 'carol');
  assert.is((await people.updateAccount(two.uuid, { displayName: 'alice' }))?.displayName, 'alice');
  await people.removeAccount(two.uuid);
  assert.is((await people.createAccount(alice)).displayName, 'alice');
  assert.is((await people.accounts()).length, 2);
});

test('of many that take a name at once one gets it', async () => {
  const documents = memoryDocuments();
  const gateways = Array.from({ length: 6 }, () => createAccounts(documents));
  const codes = await Promise.all(gateways.map((each) => code(each.createAccount(alice))));
  assert.equal(codes.sort().slice(0, 5), Array(5).fill('EntityAlreadyExists'));
  assert.ok((await gateways[0]!.accounts()).length <= 1);
});

test('a claim that a crash left does not keep a name for ever', async () => {
  const inner = memoryDocuments();
  let dead = false;
  const dying: Documents = {
    ...inner,
    update: (kind, id, change) =>
      dead && kind === 'names' ? Promise.reject(new Error('killed')) : inner.update(kind, id, change),
  };
  const made = await createAccounts(dying).createAccount(alice);
  dead = true;
  await createAccounts(dying)
    .removeAccount(made.uuid)
    .catch(() => {});
  const again = await createAccounts(inner).createAccount(alice);
  assert.is.not(again.uuid, made.uuid);
  assert.is(await code(createAccounts(inner).createAccount(alice)), 'EntityAlreadyExists');
});

test('S3DS makes accounts of one name: they are told apart by uuid', async () => {
  const people = createAccounts(memoryDocuments());
  const [one, two] = [
    await people.createAccount({ ...bob, unique: false }),
    await people.createAccount({ ...bob, unique: false }),
  ];
  let told = '';
  await people.findAccount('bob').catch(({ message }) => {
    told = message;
  });
  assert.match(told, one.uuid);
  assert.match(told, two.uuid);
  assert.is(await code(people.createAccount(bob)), 'EntityAlreadyExists');
});

test('names', async () => {
  for (const good of ['a', 'hpc01', '気候 班', 'a.b@c', 'x'.repeat(64)]) assert.ok(isName(good), good);
  for (const bad of ['', ' a', 'a ', 'a:b', 'a\nb', 'x'.repeat(65)]) assert.not.ok(isName(bad), bad);
  const people = createAccounts(memoryDocuments());
  const uuid = '00000000-0000-0000-0000-000000000000';
  for (const displayName of ['a:b', uuid]) {
    assert.is(await code(people.createAccount({ ...alice, displayName })), 'InvalidInput');
  }
  assert.is(await people.updateAccount(uuid, { enabled: false }), undefined);
});

test('groups: made, or named by accounts; deleted when empty', async () => {
  const people = createAccounts(memoryDocuments());
  const member = await people.createAccount(alice);
  await people.createGroup('ocean');
  assert.is(await code(people.createGroup('ocean')), 'EntityAlreadyExists');
  assert.is(await code(people.createGroup('a:b')), 'InvalidInput');
  assert.equal(
    (await people.groups()).map(({ name, members }) => [name, members.map(({ displayName }) => displayName)]),
    [
      ['climate', ['alice']],
      ['ocean', []],
    ],
  );
  assert.is(await code(people.removeGroup('climate')), 'DeleteConflict');
  await people.removeGroup('ocean');
  assert.is(await code(people.removeGroup('ocean')), 'NoSuchEntity');
  await people.updateAccount(member.uuid, { group: 'ice' });
  assert.equal(
    (await people.groups()).map(({ name }) => name),
    ['ice'],
  );
});

test.run();
