/** `tidegate explain`: the decision, and the statement or grant that made it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packAcl } from '../../acl/grants.js';
import { withService } from '../../gateway/main.js';
import { runHere } from '../support/cli.js';
import { tempDir } from '../support/temp.js';

const test = suite('tidegate explain');
const root = join(tempDir(), 'root');
const own = [`--uid=${process.getuid?.()}`, `--gid=${process.getgid?.()}`];
const me = `${process.getuid?.()}:${process.getgid?.()}`;

const tidegate = (...args: string[]) => runHere([...args, '--root', root]);
// biome-ignore lint/suspicious/noExplicitAny: what a user's script would parse
const json = async (...args: string[]): Promise<any> => {
  const ran = await tidegate(...args, '--json');
  assert.is(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout);
};
const configure = (kind: string, text: string | undefined) =>
  withService({ root }, { make: false }, async ({ storage }) => {
    await storage.putConfig((await storage.bucket('results'))!, kind, text);
  });
const keys: Record<string, string> = {};
const uuids: Record<string, string> = {};
const explain = (who: string | undefined, action: string, resource: string, ...more: string[]) =>
  json('explain', ...(who ? ['--key', keys[who]!] : []), '--action', action, '--resource', resource, ...more);

test.before(async () => {
  for (const name of ['alice', 'bob']) {
    uuids[name] = (await json('account', 'create', '--name', name, '--group', 'g', ...own)).uuid;
    keys[name] = (await json('key', 'create', '--account', name)).accesskey;
  }
  const { Path } = await json('bucket', 'create', '-b', 'results', '-k', keys['alice']!);
  writeFileSync(join(Path, 'a.nc'), 'data');
});

test('the owner; everybody else by default not', async () => {
  const owner = await explain('alice', 's3:GetObject', 'results/a.nc');
  assert.equal([owner.allow, owner.by, owner.files, owner.objectExists], [true, 'owner', me, true]);
  const bob = await explain('bob', 'getobject', 'arn:aws:s3:::results/a.nc');
  assert.equal([bob.allow, bob.by, bob.action, bob.account], [false, 'default', 's3:GetObject', uuids['bob']]);
  assert.is((await explain(undefined, 's3:GetObject', 'results/a.nc')).account, null);
  assert.is((await explain('bob', 's3:CreateBucket', 'new-one')).allow, true);
  assert.is((await explain('alice', 's3:GetObject', 'results/none')).objectExists, false);
});

test('a role, a policy with conditions, an ACL', async () => {
  await json('role', 'grant', 'results', '--account', 'bob', '--role', 'reader');
  const role = await explain('bob', 's3:GetObject', 'results/a.nc');
  assert.equal([role.allow, role.by, role.statement.sid], [true, 'role', 'reader']);
  assert.is((await explain('bob', 's3:PutObject', 'results/a.nc')).allow, false);

  const Deny = { Effect: 'Deny', Principal: '*', Action: 's3:*', Resource: 'results/*' };
  const statements = [
    { Sid: 'Inside', ...Deny, Condition: { NotIpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } },
    { Sid: 'Tagged', ...Deny, Condition: { StringEquals: { 's3:RequestObjectTag/Class': 'secret' } } },
  ];
  await configure('policy', JSON.stringify({ Version: '2012-10-17', Statement: statements }));
  const inside = await explain('bob', 's3:GetObject', 'results/a.nc', '--ip', '10.1.1.1');
  assert.equal([inside.allow, inside.by], [true, 'role']);
  const outside = await explain('bob', 's3:GetObject', 'results/a.nc', '--ip', '192.0.2.1');
  assert.equal([outside.allow, outside.by], [false, 'deny']);
  assert.equal(outside.statement, { document: 'bucket policy', index: 0, sid: 'Inside', effect: 'Deny' });
  const context = ['--ip', '10.1.1.1', '--context', 'S3:requestObjectTag/Class=secret'];
  assert.is((await explain('alice', 's3:PutObject', 'results/x', ...context)).statement.sid, 'Tagged');
  const told = await tidegate(
    'explain',
    '--key',
    keys['bob']!,
    '--action',
    's3:GetObject',
    '--resource',
    'results/a.nc',
  );
  assert.match(told.stdout, /\| decision +\| denied/);
  assert.match(told.stdout, /\| statement +\| bucket policy 1 Inside/);
  await configure('policy', undefined);
  await json('role', 'revoke', 'results', '--account', 'bob');

  const grant = { grantee: { id: uuids['bob']! }, permission: 'READ' } as const;
  await configure('acl', JSON.stringify(packAcl({ owner: uuids['alice']!, grants: [grant] })));
  const listed = await explain('bob', 's3:ListBucket', 'results');
  assert.equal([listed.allow, listed.by, listed.grant], [true, 'acl', grant]);
  await configure('acl', undefined);
});

test('addresses and disabled keys come before permissions', async () => {
  await json('bucket', 'set', 'results', '--access', 'private');
  const far = await explain('alice', 's3:GetObject', 'results/a.nc', '--ip', '192.0.2.1');
  assert.equal([far.allow, far.by], [false, 'address']);
  assert.match(far.reason, /bucket results .* not reached from 192\.0\.2\.1/);
  assert.is((await explain('alice', 's3:GetObject', 'results/a.nc', '--ip', '::ffff:10.0.0.1')).allow, true);
  assert.is((await explain('alice', 's3:GetObject', 'results/a.nc')).allow, true);
  await json('key', 'disable', keys['bob']!);
  assert.is(
    (await explain('bob', 's3:CreateBucket', 'x')).reason,
    'every request is refused: the access key is disabled',
  );
});

test('what is wrong is one line', async () => {
  const wrong = async (...args: string[]) => (await tidegate('explain', ...args)).stderr;
  assert.match(await wrong('--action', 's3:Get', '--resource', 'results'), /there is no action "s3:Get"/);
  assert.match(await wrong('--action', 's3:GetObject', '--resource', 'none/x'), /there is no bucket none/);
  assert.match(await wrong('--action', 's3:GetObject', '--resource', 'results', '--ip', 'x'), /--ip takes an address/);
  assert.match(await wrong('--action', 's3:GetObject', '--resource', '/x'), /--resource takes BUCKET or BUCKET\/KEY/);
  const key = ['--key', 'AKIAXXXXXXXXXXXXXXXX'];
  assert.match(await wrong(...key, '--action', 's3:GetObject', '--resource', 'results'), /there is no access key/);
});

test.run();
