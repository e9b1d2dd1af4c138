import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AccountError } from '../../acl/accounts.js';
import type { Account } from '../../acl/identity.js';
import { createRegistry, type NewAccount } from '../../acl/registry.js';
import { createSealer } from '../../gateway/auth/credentials.js';
import { createDocuments } from '../../gateway/storage/posix/documents.js';
import { createPool } from '../../gateway/storage/posix/pool.js';
import type { Pool } from '../../gateway/storage/posix/pool-types.js';
import type { Documents } from '../../gateway/storage/types.js';
import { memoryDocuments } from '../support/documents.js';
import { tempDir } from '../support/temp.js';

const alice: NewAccount = {
  displayName: 'alice',
  group: 'hpc01',
  actor: { uid: 60101, gid: 10, groups: [10, 20] },
  fspaths: ['/work/hpc01'],
};

const fresh = (documents: Documents = memoryDocuments(), key = randomBytes(32)) => ({
  documents,
  key,
  registry: createRegistry({ documents, sealer: createSealer(key), patience: 100 }),
});

test('an account and its key: AWS-like forms, a tag with a running number, the secret only sealed in the documents', async () => {
  const { documents, registry } = fresh();
  const account = await registry.createAccount(alice);
  const one = await registry.createKey(account);
  const two = await registry.createKey(account);
  assert.match(account.uuid, /^[0-9a-f-]{36}$/);
  assert.match(one.key.accessKey, /^AKIA[A-Z2-7]{16}$/);
  assert.match(one.secret, /^[A-Za-z0-9+/]{40}$/);
  assert.is(one.key.tag, '0001:alice:hpc01');
  assert.is(two.key.tag, '0002:alice:hpc01');
  const everything = JSON.stringify([...(await documents.list('keys')), ...(await documents.list('accounts'))]);
  assert.not.match(everything, one.secret);
  assert.is(registry.reveal(one.key), one.secret);
});

test('the pipeline finds account and secret by access key, and the account by id', async () => {
  const { registry } = fresh();
  const { account, key, secret } = await registry.createKey(await registry.createAccount(alice));
  assert.equal(await registry.identities.byAccessKey(key.accessKey), { account, secret });
  assert.equal(await registry.identities.byId(account.uuid), account);
  assert.is(await registry.identities.byAccessKey('AKIAXXXXXXXXXXXXXXXX'), undefined);
  assert.is(await registry.identities.byId('00000000-0000-0000-0000-000000000000'), undefined);
});

test('a key that another account gets is his at once', async () => {
  const { documents, registry } = fresh();
  const [one, two] = [
    await registry.createAccount(alice),
    await registry.createAccount({ ...alice, displayName: 'bob' }),
  ];
  const { key } = await registry.createKey(one);
  const owner = async () => (await registry.identities.byAccessKey(key.accessKey))?.account.displayName;
  for (const account of [one, two, one]) {
    await documents.update('keys', key.accessKey, (current: object) => ({ ...current, account: account.uuid }));
    assert.is(await owner(), account.displayName);
    assert.is(await owner(), account.displayName);
  }
});

test('a look that fails, and one for nothing, break nothing', async () => {
  const inner = memoryDocuments();
  let [keysFail, accountsFail] = [false, false];
  const documents: Documents = {
    ...inner,
    get: (kind, id) => {
      const fails = (kind === 'keys' && keysFail) || (kind === 'accounts' && accountsFail);
      return fails ? Promise.reject(new Error(`no ${kind}`)) : inner.get(kind, id);
    },
  };
  const { registry } = fresh(documents);
  const { key } = await registry.createKey(await registry.createAccount(alice));
  const ask = () => registry.identities.byAccessKey(key.accessKey);
  assert.ok(await ask());
  const unhandled: unknown[] = [];
  const hear = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', hear);
  [keysFail, accountsFail] = [true, true];
  assert.is(await ask().catch((error) => error.message), 'no keys');
  keysFail = false;
  assert.is(await ask().catch((error) => error.message), 'no accounts');
  accountsFail = false;
  assert.ok(await ask());
  await registry.remove(key.accessKey);
  accountsFail = true;
  assert.is(await ask(), undefined);
  await delay(20);
  process.off('unhandledRejection', hear);
  assert.equal(unhandled, []);
});

test('a name that could be a path never reaches the documents', async () => {
  const asked: string[] = [];
  const inner = memoryDocuments();
  const documents: Documents = {
    ...inner,
    get: (kind, id) => {
      asked.push(id);
      return inner.get(kind, id);
    },
  };
  const { registry } = fresh(documents);
  for (const bad of ['../accounts/x', '..', '', 'a/b', 'AKIA\0AAAAAAAAAAAAAAA', 'x'.repeat(500), '__proto__']) {
    assert.is(await registry.identities.byAccessKey(bad), undefined);
    assert.is(await registry.identities.byId(bad), undefined);
    assert.is(await registry.reset(bad), undefined);
  }
  assert.equal(asked, []);
});

test('disabled and enabled again, seen by another gateway at once', async () => {
  const { documents, key: master, registry } = fresh();
  const other = fresh(documents, master).registry;
  const { key } = await registry.createKey(await registry.createAccount(alice));
  assert.ok(await other.identities.byAccessKey(key.accessKey));
  assert.is((await registry.setEnabled(key.accessKey, false))?.key.enabled, false);
  assert.is(await other.identities.byAccessKey(key.accessKey), undefined);
  await registry.setEnabled(key.accessKey, true);
  assert.ok(await other.identities.byAccessKey(key.accessKey));
});

test('a disabled account closes all its keys', async () => {
  const { documents, registry } = fresh();
  const account = await registry.createAccount(alice);
  const { key } = await registry.createKey(account);
  await documents.update<Account>('accounts', account.uuid, (current) => ({ ...current, enabled: false }));
  assert.is(await registry.identities.byAccessKey(key.accessKey), undefined);
});

test('a reset kills the old secret at once, also where it was cached', async () => {
  const { documents, key: master, registry } = fresh();
  const other = fresh(documents, master).registry;
  const { key, secret } = await registry.createKey(await registry.createAccount(alice));
  assert.is((await other.identities.byAccessKey(key.accessKey))?.secret, secret);
  const again = await registry.reset(key.accessKey);
  assert.is.not(again?.secret, secret);
  assert.is((await other.identities.byAccessKey(key.accessKey))?.secret, again?.secret);
});

test('a deleted key is gone; its account stays until it is removed', async () => {
  const { registry } = fresh();
  const { account, key } = await registry.createKey(await registry.createAccount(alice));
  assert.is((await registry.remove(key.accessKey))?.key.accessKey, key.accessKey);
  assert.is(await registry.identities.byAccessKey(key.accessKey), undefined);
  assert.is(await registry.find(key.accessKey), undefined);
  assert.is(await registry.remove(key.accessKey), undefined);
  assert.is(await registry.setEnabled(key.accessKey, true), undefined);
  assert.equal(await registry.account(account.uuid), account);
  await registry.removeAccount(account.uuid);
  assert.is(await registry.account(account.uuid), undefined);
});

test('keys are listed oldest first', async () => {
  const { registry } = fresh();
  const account = await registry.createAccount(alice);
  for (let n = 0; n < 12; n++) await registry.createKey(account);
  assert.equal(
    (await registry.list()).map(({ key }) => Number.parseInt(key.tag, 10)),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  );
});

test('keys made at once get numbers of their own', async () => {
  const { registry } = fresh();
  const account = await registry.createAccount(alice);
  const made = await Promise.all(Array.from({ length: 20 }, () => registry.createKey(account)));
  assert.is(new Set(made.map(({ key }) => key.tag)).size, 20);
});

test('the wrong master key is an error and not a wrong secret', async () => {
  const { documents, registry } = fresh();
  const { key } = await registry.createKey(await registry.createAccount(alice));
  const stranger = fresh(documents).registry;
  let failure: unknown;
  await stranger.identities.byAccessKey(key.accessKey).catch((error: unknown) => {
    failure = error;
  });
  assert.match(String(failure), /another master key/);
});

test('gateways that start first at once make one account', async () => {
  for (let round = 0; round < 20; round++) {
    const { documents, key, registry } = fresh();
    const gateways = [registry, ...Array.from({ length: 3 }, () => fresh(documents, key).registry)];
    const made = (await Promise.all(gateways.map((one) => one.ensureFirst(() => alice)))).filter(
      (one) => one !== undefined,
    );
    assert.is((await registry.accounts()).length, 1);
    const keys = await registry.list();
    assert.is(keys.length, 1);
    assert.is(made.length, 1);
    assert.is((await registry.identities.byAccessKey(keys[0]!.key.accessKey))?.secret, made[0]!.secret);
    assert.is(await registry.ensureFirst(() => alice), undefined);
  }
});

test('a first start that died half way is finished by the next, which tells the secret', async () => {
  for (const dieAt of ['accounts', 'keys'] as const) {
    const inner = memoryDocuments();
    const key = randomBytes(32);
    const dying: Documents = {
      ...inner,
      create: (kind, id, value) =>
        kind === dieAt ? Promise.reject(new Error('killed')) : inner.create(kind, id, value),
    };
    let died = false;
    await fresh(dying, key)
      .registry.ensureFirst(() => alice)
      .catch(() => {
        died = true;
      });
    assert.ok(died);
    const { registry } = fresh(inner, key);
    const made = await registry.ensureFirst(() => alice);
    assert.ok(made);
    assert.is((await registry.accounts()).length, 1);
    assert.is((await registry.identities.byAccessKey(made.key.accessKey))?.secret, made.secret);
    assert.is(await registry.ensureFirst(() => alice), undefined);
  }
});

test('a root whose keys were all deleted is no first start while it has accounts', async () => {
  const { registry } = fresh();
  const first = await registry.ensureFirst(() => alice);
  await registry.remove(first!.key.accessKey);
  assert.is(await registry.ensureFirst(() => alice), undefined);
});

test('a key more than the limit is refused, also when they are made at once', async () => {
  const { registry } = fresh();
  const account = await registry.createAccount(alice);
  for (let n = 0; n < 3; n++) await registry.createKey(account, 3);
  const refused = await registry.createKey(account, 3).catch((error: unknown) => error);
  assert.instance(refused, AccountError);
  assert.is((refused as AccountError).code, 'LimitExceeded');
  assert.match((refused as AccountError).message, /^alice .* has 3 keys, and maxKeys allows 3$/);
  assert.is((await registry.list()).length, 3);
  const bob = await registry.createAccount({ ...alice, displayName: 'bob' });
  await Promise.allSettled(Array.from({ length: 8 }, () => registry.createKey(bob, 4)));
  assert.ok((await registry.list()).filter((entry) => entry.account.uuid === bob.uuid).length <= 4);
});

test('rotation: a new pair of the same account, the old one dead at once on every gateway', async () => {
  const { documents, key: master, registry } = fresh();
  const other = fresh(documents, master).registry;
  const account = await registry.createAccount(alice);
  const old = await registry.createKey(account, 1);
  const next = await registry.rotate(old.key.accessKey);
  assert.is.not(next?.key.accessKey, old.key.accessKey);
  assert.is.not(next?.secret, old.secret);
  assert.is(await other.identities.byAccessKey(old.key.accessKey), undefined);
  assert.equal(await other.identities.byAccessKey(next!.key.accessKey), { account, secret: next!.secret });
  assert.is(await registry.rotate(old.key.accessKey), undefined);
  await registry.setEnabled(next!.key.accessKey, false);
  assert.is((await registry.rotate(next!.key.accessKey))?.key.enabled, false, 'rotating enables nothing');
  const both = await registry.list();
  const results = await Promise.all([registry, other].map((each) => each.rotate(both[0]!.key.accessKey)));
  assert.is(results.filter((result) => result !== undefined).length, 1);
  assert.is((await registry.list()).length, 1);
});

test('resolving a key reads no file when nothing changed', async () => {
  const pool = createPool({ workers: 1 });
  try {
    let reads = 0;
    let calls = 0;
    const counting: Pick<Pool, 'run' | 'lane'> = {
      lane: () => pool.lane(),
      run: async (op, ...rest) => {
        const result = await pool.run(op, ...rest);
        calls++;
        // A document comes with its text when its file was read, and without when a stat was enough.
        if (op === 'documentGet' && (result as { text?: string } | undefined)?.text !== undefined) reads++;
        return result;
      },
    };
    const root = tempDir();
    const sealer = createSealer(randomBytes(32));
    const command = createRegistry({ documents: createDocuments(root, pool), sealer });
    const { identities } = createRegistry({ documents: createDocuments(root, counting), sealer });
    const { account, key } = await command.createKey(await command.createAccount(alice));
    const resolve = async (times: number) => {
      reads = 0;
      let found = await identities.byAccessKey(key.accessKey);
      for (let n = 1; n < times; n++) found = await identities.byAccessKey(key.accessKey);
      return found;
    };
    await resolve(1);
    assert.is(reads, 2);
    // A file that was changed just now may change again within one tick of the clock: so long it is read again.
    await delay(3200);
    await resolve(1);
    await resolve(50);
    assert.is(reads, 0);
    await command.updateAccount(account.uuid, { actor: { uid: 7, gid: 8, groups: [8, 9] } });
    assert.equal((await resolve(1))?.account.actor, { uid: 7, gid: 8, groups: [8, 9] });
    assert.is(reads, 1, 'the account, and not the key');

    const policies = async (which: typeof account) => {
      [reads, calls] = [0, 0];
      return (await identities.policiesOf(which)).length;
    };
    assert.is(await policies(account), 0);
    assert.is(calls, 0, 'an account without policies and groups costs nothing');
    const document = '{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}';
    await command.iam.policies.create(account.group, { name: 'p', document });
    await command.iam.groups.create(account.group, 'team');
    await command.iam.addToGroup(account, 'team');
    await command.iam.attachToGroup(account.group, 'team', `arn:aws:iam::${account.group}:policy/p`);
    const member = (await command.account(account.uuid))!;
    await delay(3200);
    assert.is(await policies(member), 1);
    let asked = 0;
    for (let times = 0; times < 50; times++) {
      assert.is(await policies(member), 1);
      assert.is(reads, 0, 'nothing is read that did not change');
      asked += calls;
    }
    // Once in a second, that is.
    assert.ok(asked < 50, `the group and the policy were looked at ${asked} times`);
  } finally {
    await pool.close();
  }
});

test.run();
