/** `tidegate policy …`, and what `tidegate explain` says of it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withService } from '../../gateway/main.js';
import { runHere } from '../support/cli.js';
import { tempDir } from '../support/temp.js';

const test = suite('tidegate policy');
const dir = tempDir();
const root = join(dir, 'root');
const own = [`--uid=${process.getuid?.()}`, `--gid=${process.getgid?.()}`];
const tidegate = (...args: string[]) => runHere([...args, '--root', root]);
// biome-ignore lint/suspicious/noExplicitAny: what a user's script would parse
const json = async (...args: string[]): Promise<any> => {
  const ran = await tidegate(...args, '--json');
  assert.is(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout);
};
const fails = async (code: number, message: RegExp, ...args: string[]) => {
  const ran = await tidegate(...args);
  assert.is(ran.code, code, ran.stdout);
  assert.match(ran.stderr, message);
};
const file = join(dir, 'policy.json');
const arn = 'arn:aws:iam::climate:policy/team/no-delete';
let key = '';

test.before(async () => {
  for (const [name, group] of [
    ['alice', 'climate'],
    ['bob', 'physics'],
  ] as const) {
    await json('account', 'create', '--name', name, '--group', group, ...own);
  }
  key = (await json('key', 'create', '--account', 'alice')).accesskey;
  await json('bucket', 'create', '-b', 'results', '-k', key);
  const Statement = [{ Sid: 'Keep', Effect: 'Deny', Action: 's3:Delete*', Resource: '*' }];
  writeFileSync(file, JSON.stringify({ Version: '2012-10-17', Statement }));
});

const asking = (action: string, resource: string, who?: string) => [
  ...['explain', '--action', action, '--resource', resource],
  ...(who ? ['--key', who] : []),
];
const mayDelete = () => json('explain', '--key', key, '--action', 's3:DeleteObject', '--resource', 'results/x');

test('create, list, show', async () => {
  const made = await json('policy', 'create', 'no-delete', '--in', 'climate', '--file', file, '--path', '/team/');
  assert.equal([made.arn, made.group], [arn, 'climate']);
  await fails(1, /already exists/, 'policy', 'create', 'NO-DELETE', '--in', 'climate', '--file', file);
  await fails(1, /no group elsewhere/, 'policy', 'create', 'x', '--in', 'elsewhere', '--file', file);
  writeFileSync(join(dir, 'bad.json'), '{"Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*"}}');
  await fails(
    1,
    /invalid action: "ec2:\*"/,
    'policy',
    'create',
    'x',
    '--in',
    'climate',
    '--file',
    join(dir, 'bad.json'),
  );
  assert.equal(
    (await json('policy', 'list')).map((each: { arn: string }) => each.arn),
    [arn],
  );
  assert.equal(await json('policy', 'list', '--in', 'physics'), []);
  const shown = await json('policy', 'show', 'no-delete', '--in', 'climate');
  assert.equal([shown.arn, shown.accounts, JSON.parse(shown.document).Statement[0].Sid], [arn, [], 'Keep']);
  await fails(2, /--in GROUP, or its ARN/, 'policy', 'show', 'no-delete');
});

test('attach and detach; explain names the policy', async () => {
  assert.is((await mayDelete()).by, 'owner');
  await json('policy', 'attach', 'no-delete', '--account', 'alice');
  assert.equal((await json('policy', 'show', arn)).accounts, ['alice']);
  const denied = await mayDelete();
  assert.equal([denied.allow, denied.by], [false, 'deny']);
  assert.equal(denied.statement, { document: `account policy ${arn}`, index: 0, sid: 'Keep', effect: 'Deny' });
  await fails(1, /attached to entities: alice/, 'policy', 'delete', arn);
  await json('policy', 'detach', arn, '--account', 'alice');
  assert.is((await mayDelete()).allow, true);
  await json('policy', 'attach', 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess', '--account', 'alice');
  const limited = await mayDelete();
  assert.equal([limited.allow, limited.by], [false, 'identity-policy']);
  await json('policy', 'detach', 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess', '--account', 'alice');
});

test('account show tells what counts for an account', async () => {
  assert.equal((await json('account', 'show', 'alice')).policies, []);
  await json('policy', 'attach', 'arn:aws:iam::aws:policy/AmazonS3FullAccess', '--account', 'alice');
  await withService({ root }, { make: false }, async ({ registry: { iam, findAccount } }) => {
    const alice = await findAccount('alice');
    const document = JSON.stringify({ Statement: [{ Effect: 'Allow', Action: 's3:Get*', Resource: '*' }] });
    await iam.updateUser(alice, (account) => ({ ...account, inline: [{ name: 'own', document }] }));
    for (const name of ['lab', 'team']) await iam.groups.create('climate', name);
    await iam.addToGroup(alice, 'lab');
  });
  const shown = await json('account', 'show', 'alice');
  assert.equal(shown.policies, ['arn:aws:iam::aws:policy/AmazonS3FullAccess', 'own']);
  assert.equal(shown.policyGroups, ['lab']);
  await withService({ root }, { make: false }, async ({ registry: { iam, findAccount } }) => {
    const { inline: _, policies: __, memberOf: ___, ...plain } = await findAccount('alice');
    await iam.updateUser(await findAccount('alice'), () => plain);
  });
});

test('explain of IAM: who manages, whom a policy lets, about whom', async () => {
  const may = (action: string, resource: string, ...more: string[]) =>
    json('explain', '--key', key, '--action', action, '--resource', resource, ...more);
  const told = async (...asked: Parameters<typeof may>) => {
    const { allow, by, resource } = await may(...asked);
    return [allow, by, resource];
  };
  const alice = 'arn:aws:iam::climate:user/alice';
  assert.equal(await told('iam:GetUser', 'user/ALICE'), [true, 'self', alice]);
  assert.equal(await told('iam:CreateUser', 'user/a/carl'), [false, 'default', 'arn:aws:iam::climate:user/a/carl']);
  writeFileSync(
    file,
    JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        { Sid: 'Make', Effect: 'Allow', Action: 'iam:Create*', Resource: 'arn:aws:iam::climate:*/a/*' },
        {
          Effect: 'Deny',
          Action: 'iam:*',
          Resource: '*',
          Condition: { IpAddress: { 'aws:SourceIp': '192.0.2.0/24' } },
        },
      ],
    }),
  );
  const maker = (await json('policy', 'create', 'maker', '--in', 'climate', '--file', file)).arn;
  await json('policy', 'attach', maker, '--account', 'alice');
  const allowed = await may('iam:CreateUser', 'user/a/carl');
  assert.equal([allowed.allow, allowed.by], [true, 'identity-policy']);
  assert.equal(allowed.statement, { document: `account policy ${maker}`, index: 0, sid: 'Make', effect: 'Allow' });
  assert.match(allowed.reason, /statement 1 of the account policy .*maker allows it/);
  assert.equal((await told('iam:CreateUser', 'user/carl')).slice(0, 2), [false, 'default']);
  assert.equal((await told('iam:CreateUser', 'user/a/carl', '--ip', '192.0.2.1')).slice(0, 2), [false, 'deny']);
  await json('account', 'update', 'alice', '--kind', 'manager');
  const root = 'arn:aws:iam::climate:root';
  assert.equal(await told('iam:DeleteUser', 'user/alice'), [true, 'manager', root]);
  await json('key', 'disable', '--key', key);
  assert.equal(await told('iam:DeleteUser', 'user/alice'), [false, 'key', root]);
  await json('key', 'enable', '--key', key);
  await fails(1, /nothing of the group physics/, ...asking('iam:GetUser', 'arn:aws:iam::physics:user/bob', key));
  await fails(2, /user\/NAME/, ...asking('iam:GetUser', 'results/x', key));
  await fails(2, /--key/, ...asking('iam:GetUser', 'user/alice'));
  await json('account', 'update', 'alice', '--kind', 'user');
  await json('policy', 'detach', maker, '--account', 'alice');
  await json('policy', 'delete', maker);
});

test('what does not fit together is refused, and nothing is attached', async () => {
  await fails(1, /not of the group/, 'policy', 'attach', arn, '--account', 'bob');
  await fails(1, /not of the group/, 'policy', 'attach', arn, '--in', 'physics', '--group', 'x');
  await fails(1, /does not exist/, 'policy', 'attach', 'no-delete', '--account', 'bob');
  await fails(1, /group with name nobody/, 'policy', 'attach', arn, '--group', 'nobody');
  await fails(2, /--account or --group/, 'policy', 'attach', arn);
  assert.equal((await json('policy', 'show', arn)).accounts, []);
  assert.is((await json('policy', 'delete', arn)).deleted, arn);
  assert.equal(await json('policy', 'list'), []);
});

test('every sub-command has help with an example', async () => {
  for (const verb of ['create', 'list', 'show', 'delete', 'attach', 'detach']) {
    const { stdout, code } = await tidegate('policy', verb, '--help');
    assert.is(code, 0);
    assert.match(stdout, new RegExp(`Example:\\n  tidegate policy ${verb} `));
  }
});

test.run();
