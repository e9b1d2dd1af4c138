/** `tidegate account`, `group` and `key`, and that a running gateway obeys at the next request. */
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runHere } from '../support/cli.js';
import { type Ran, serve } from '../support/commands.js';
import { tempDir } from '../support/temp.js';

const test = suite('tidegate account');
let root = '';
test.before.each(() => {
  root = join(tempDir(), 'root');
});

const tidegate = (...args: string[]) => runHere([...args, '--root', root]);
// biome-ignore lint/suspicious/noExplicitAny: what a user's script would parse
const json = async (...args: string[]): Promise<any> => {
  const ran = await tidegate(...args, '--json');
  assert.is(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout);
};
function failed(ran: Ran, code: number, message: RegExp): void {
  assert.match(ran.stderr, message);
  assert.is(ran.code, code, ran.stderr);
  assert.is(ran.stdout, '');
  assert.is(ran.stderr.trimEnd().split('\n').length, 1, ran.stderr);
}
const alice = ['--name', 'alice', '--group', 'climate', '--uid', '60101', '--gid', '10', '--groups', '20,10,30'];

test('create, show, list', async () => {
  const made = await json('account', 'create', ...alice, '--kind', 'manager', '--fspaths', '/work/a,/work/b/');
  const { uuid, created, ...rest } = made;
  assert.match(uuid, /^[0-9a-f-]{36}$/);
  assert.match(created, /Z$/);
  assert.equal(rest, {
    name: 'alice',
    group: 'climate',
    kind: 'manager',
    uid: 60101,
    gid: 10,
    groups: [10, 20, 30],
    user: null,
    fspaths: ['/work/a', '/work/b'],
    enabled: true,
  });
  assert.equal(await json('account', 'list'), [made]);
  const more = { keys: [], buckets: [], policies: [], policyGroups: [] };
  assert.equal(await json('account', 'show', uuid), { ...made, ...more });
  assert.match(
    (await tidegate('account', 'list')).stdout,
    /\| alice \| climate \| manager \| 60101 \| 10 +\| 10,20,30 /,
  );
  assert.match((await tidegate('account', 'show', 'alice')).stdout, /\| fspaths +\| \/work\/a,\/work\/b +\|/);
});

test('uid, gid and groups of a login, refreshed', async () => {
  const me = userInfo();
  const made = await json('account', 'create', '--name', 'me', '--group', 'g', '--user', me.username);
  assert.equal([made.uid, made.gid, made.user], [me.uid, me.gid, me.username]);
  assert.ok(made.groups.includes(me.gid));
  assert.equal(await json('account', 'update', 'me', '--refresh'), made);
  const changed = await json('account', 'update', 'me', '--groups', '77');
  assert.equal([changed.groups, changed.user], [[...new Set([me.gid, 77])].sort((a, b) => a - b), null]);
  failed(await tidegate('account', 'update', 'me', '--refresh'), 1, /was not made from a login: say which with --user/);
  const again = await json('account', 'update', 'me', '--user', me.username);
  assert.equal(again, made);
  failed(
    await tidegate('account', 'update', 'me', '--user', 'no-such-login-here'),
    1,
    /does not know the user no-such/,
  );
  for (const bad of ['0', '-g', 'a b', '+0']) {
    failed(await tidegate('account', 'update', 'me', `--user=${bad}`), 2, /--user takes the login of a user/);
  }
  assert.equal((await json('account', 'list'))[0], made);
});

test('update changes what is given and nothing else', async () => {
  const made = await json('account', 'create', ...alice);
  await json('account', 'create', '--name', 'bob', '--group', 'climate', '--uid', '7', '--gid', '7', '--groups', '');
  assert.equal(await json('account', 'update', 'alice', '--group', 'ocean', '--kind', 'manager', '--gid', '11'), {
    ...made,
    group: 'ocean',
    kind: 'manager',
    gid: 11,
    groups: [10, 11, 20, 30],
  });
  assert.is((await json('account', 'update', made.uuid, '--name', 'carol')).name, 'carol');
  failed(await tidegate('account', 'update', 'carol', '--name', 'bob'), 1, /there is an account called bob already/);
  failed(await tidegate('account', 'update', 'alice', '--kind', 'user'), 1, /there is no account alice/);
  failed(await tidegate('account', 'update', 'carol'), 2, /nothing to change/);
});

test('what is wrong is one line that says what to do', async () => {
  await json('account', 'create', ...alice);
  failed(await tidegate('account', 'create', ...alice), 1, /there is an account called alice already/);
  const create = (...args: string[]) => tidegate('account', 'create', '--name', 'x', '--group', 'g', ...args);
  failed(await create('--uid', '1'), 2, /give --uid and --gid together/);
  failed(await create('--uid', 'me', '--gid', '1'), 2, /--uid takes a number/);
  failed(await create('--uid', '4294967295', '--gid', '1'), 2, /--uid takes a number/);
  failed(await create('--uid', '1', '--gid', '1', '--groups', '1,x'), 2, /--groups takes a number/);
  failed(await create('--user', 'root', '--uid', '1'), 2, /leave those out/);
  failed(await create('--kind', 'admin'), 2, /--kind takes user or manager, not "admin"/);
  failed(await create('--fspaths', 'work'), 2, /--fspaths takes absolute directories/);
  failed(await tidegate('account', 'create', '--name', 'a:b', '--group', 'g'), 1, /a name has 1 to 64 letters/);
  failed(await tidegate('account', 'create', '--name', 'ab', '--group', ' '), 2, /--group takes a name/);
  assert.is((await json('account', 'list')).length, 1);
});

test('delete takes the keys along, and refuses while there are buckets', async () => {
  const { uuid } = await json('account', 'create', ...alice);
  const key = await json('key', 'create', '--account', 'alice');
  await json('bucket', 'create', '-k', key.accesskey, '-b', 'kept');
  failed(
    await tidegate('account', 'delete', 'alice'),
    1,
    /alice \(\S+\) owns kept: delete or empty these buckets first/,
  );
  assert.is((await json('account', 'show', 'alice')).enabled, true);
  await json('bucket', 'delete', '-k', key.accesskey, '-b', 'kept');
  assert.equal(await json('account', 'delete', 'alice'), { deleted: uuid, name: 'alice', keys: [key.accesskey] });
  assert.equal(await json('key', 'list'), []);
  assert.equal(await json('account', 'list'), []);
});

test('keys of an account: a limit, rotation, and an account that outlives them', async () => {
  await json('account', 'create', ...alice);
  process.env['TIDEGATE_MAX_KEYS'] = '2';
  try {
    const one = await json('key', 'create', '--account', 'alice');
    assert.is(one.fsuid, '60101:10');
    const two = await json('key', 'create', '--account', one.uuid);
    failed(await tidegate('key', 'create', '--account', 'alice'), 1, /has 2 keys, and maxKeys allows 2/);
    const next = await json('key', 'rotate', one.accesskey);
    assert.is.not(next.accesskey, one.accesskey);
    assert.match(next.secretkey, /^[A-Za-z0-9+/]{40}$/);
    const other = await json('key', 'create', '--group', 'g', '--fsuid', '5:6', '--groups', '8,7');
    assert.equal((await json('account', 'show', other.uuid)).groups, [6, 7, 8]);
    const names = async (...args: string[]) =>
      (await json('key', 'list', ...args)).map(({ accesskey }: { accesskey: string }) => accesskey);
    assert.equal(await names('--account', 'alice'), [two.accesskey, next.accesskey]);
    assert.is((await names()).length, 3);
    failed(await tidegate('key', 'rotate', one.accesskey), 1, /there is no access key/);
    await json('key', 'delete', two.accesskey);
    assert.is((await json('key', 'delete', next.accesskey)).accountKept, true);
    assert.equal((await json('account', 'show', 'alice')).keys, []);
  } finally {
    delete process.env['TIDEGATE_MAX_KEYS'];
  }
});

test('groups', async () => {
  await json('account', 'create', ...alice);
  const ocean = await json('group', 'create', 'ocean');
  assert.equal(ocean.members, []);
  assert.equal(await json('group', 'list'), [{ name: 'climate', created: null, members: ['alice'] }, ocean]);
  assert.equal((await json('group', 'show', 'climate')).members, ['alice']);
  failed(await tidegate('group', 'create', 'ocean'), 1, /there is a group called ocean already/);
  failed(await tidegate('group', 'delete', 'climate'), 1, /the group climate has accounts: alice/);
  failed(await tidegate('group', 'show', 'ice'), 1, /there is no group ice/);
  assert.equal(await json('group', 'delete', 'ocean'), { deleted: 'ocean' });
  assert.is((await json('group', 'list')).length, 1);
});

test('a running gateway obeys at the next request', async () => {
  // The gateway's own first start makes an account; this one comes before it.
  await json('account', 'create', ...alice, '--uid', `${process.getuid?.()}`, '--gid', `${process.getgid?.()}`);
  const gateway = await serve(['--root', root]);
  try {
    const key = await json('key', 'create', '--account', 'alice');
    const client = ({ accesskey, secretkey }: { accesskey: string; secretkey: string }) =>
      new S3Client({
        endpoint: gateway.url,
        region: 'us-east-1',
        forcePathStyle: true,
        maxAttempts: 1,
        credentials: { accessKeyId: accesskey, secretAccessKey: secretkey },
      });
    const ask = async (s3: S3Client) => {
      try {
        return (await s3.send(new ListBucketsCommand({}))).Owner?.DisplayName;
      } catch (error) {
        return (error as Error).name;
      }
    };
    const s3 = client(key);
    assert.is(await ask(s3), 'alice');
    await json('account', 'disable', 'alice');
    assert.is(await ask(s3), 'InvalidAccessKeyId');
    await json('account', 'enable', 'alice');
    assert.is(await ask(s3), 'alice');
    await json('account', 'update', 'alice', '--name', 'carol');
    assert.is(await ask(s3), 'carol');
    await json('key', 'disable', key.accesskey);
    assert.is(await ask(s3), 'InvalidAccessKeyId');
    await json('key', 'enable', key.accesskey);
    assert.is(await ask(s3), 'carol');
    const next = client(await json('key', 'rotate', key.accesskey));
    assert.equal([await ask(s3), await ask(next)], ['InvalidAccessKeyId', 'carol']);
    await json('account', 'delete', 'carol');
    assert.is(await ask(next), 'InvalidAccessKeyId');
    for (const each of [s3, next]) each.destroy();
  } finally {
    gateway.child.kill('SIGTERM');
    await gateway.ended;
  }
});

test.run();
