// timeout: 400
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Ran, runCommand } from '../support/commands.js';
import { tempDir } from '../support/temp.js';

const keys = suite('s3dskey');
const isRoot = process.getuid?.() === 0;
let root = '';
keys.before.each(() => {
  root = join(tempDir(), 'root');
});

const s3dskey = (...args: string[]) => runCommand('s3dskey', [...args, '--root', root]);
const create = async (...args: string[]) => json(await s3dskey('create', '--group=hpc01', '--json', ...args));

// biome-ignore lint/suspicious/noExplicitAny: what a user's script would parse
function json(ran: Ran): any {
  assert.is(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout);
}

/** One line that begins with the command's name, and no stack. */
function failed(ran: Ran, code: number, message: RegExp): void {
  assert.is(ran.code, code, ran.stderr);
  assert.is(ran.stdout, '');
  assert.is(ran.stderr.trimEnd().split('\n').length, 1, ran.stderr);
  assert.match(ran.stderr, message);
}

keys('create prints the fields of S3DS as a table, with the secret', async () => {
  const ran = await s3dskey('create', '--group=hpc01');
  assert.is(ran.code, 0, ran.stderr);
  const lines = ran.stdout.trimEnd().split('\n');
  assert.match(lines[0]!, /^\+-+\+-+\+$/);
  assert.is(lines.at(-1), lines[0]);
  assert.equal(
    lines.slice(1, -1).map((line) => line.split('|')[1]!.trim()),
    ['accesskey', 'enabled', 'fspaths', 'fsuid', 'secretkey', 'tag', 'uuid'],
  );
  const values = lines.slice(1, -1).map((line) => line.split('|')[2]!.trim());
  assert.match(values[0]!, /^AKIA[A-Z2-7]{16}$/);
  assert.equal(values.slice(1, 3), ['True', 'None']);
  assert.is(values[3], `${process.getuid?.()}:${process.getgid?.()}`);
  assert.match(values[4]!, /^[A-Za-z0-9+/]{40}$/);
  assert.match(values[5]!, /^0001:[^:]+:hpc01$/);
  assert.match(values[6]!, /^[0-9a-f]{8}-/);
});

keys('the service area is for its owner alone', async () => {
  await create();
  assert.is(statSync(join(root, '.tidegate')).mode & 0o777, 0o700);
  assert.is(statSync(join(root, '.tidegate', 'master.key')).mode & 0o777, 0o600);
});

keys('each create makes an account of its own; --account gives one a further key', async () => {
  const one = await create();
  const two = await create();
  assert.is.not(one.uuid, two.uuid);
  assert.is(two.tag.slice(0, 5), '0002:');
  const further = await create('--account', one.uuid);
  assert.is(further.uuid, one.uuid);
  assert.is.not(further.accesskey, one.accesskey);
  failed(
    await s3dskey('create', '--group=g', '--account', '00000000-0000-0000-0000-000000000000'),
    1,
    /there is no account 0{8}/,
  );
});

keys('fsuid and fspaths are taken as given', async () => {
  const made = await create('--fsuid', '60101:10', '--fspaths', '/work/a,/work/b/', '--fspaths=/work/c');
  assert.is(made.fsuid, '60101:10');
  assert.equal(made.fspaths, ['/work/a', '/work/b', '/work/c']);
});

keys('under sudo the caller is meant; without root nobody can pretend', async () => {
  const ran = await runCommand('s3dskey', ['create', '--group=g', '--json', '--root', root], {
    env: { SUDO_UID: '60101', SUDO_GID: '10' },
  });
  assert.is(json(ran).fsuid, isRoot ? '60101:10' : `${userInfo().uid}:${userInfo().gid}`);
});

(isRoot ? keys : keys.skip)('who makes an account of root is told what that means', async () => {
  const told = /^note: the files of this account belong to root, .*--fsuid UID:GID.*\n$/;
  assert.match((await s3dskey('create', '--group=g')).stderr, told);
  assert.is((await s3dskey('create', '--group=g', '--fsuid=0:0')).stderr, '');
  assert.is((await s3dskey('create', '--group=g', '--fsuid=60101:10')).stderr, '');
});

keys('a new root in a bucket or in another root is refused', async () => {
  const { accesskey } = await create();
  const made = await runCommand('s3dsbucket', ['create', '-k', accesskey, '-b', 'abc', '--json', '--root', root]);
  const bucket = json(made).Path;
  mkdirSync(join(bucket, 'made'));
  symlinkSync(join(bucket, 'made'), `${root}-link`);
  for (const inside of [join(root, 'new/deep'), join(bucket, 'new'), join(bucket, 'made'), bucket, `${root}-link`]) {
    const ran = await runCommand('s3dskey', ['create', '--group=g', '--root', inside]);
    failed(ran, 1, /^s3dskey: cannot make the root \S+: \S+ is a bucket or a root already: take a directory outside$/m);
  }
  assert.equal([existsSync(join(root, 'new')), existsSync(join(bucket, 'new'))], [false, false]);
  assert.equal(readdirSync(join(bucket, 'made')), []);
});

keys('list hides the secrets unless asked', async () => {
  const made = await create();
  const [hidden] = json(await s3dskey('list', '--json'));
  assert.equal(hidden, { ...made, secretkey: '**' });
  const [shown] = json(await s3dskey('list', '--json', '--show-secrets'));
  assert.equal(shown, made);
  const text = (await s3dskey('list')).stdout;
  assert.match(text, /^\+-+\+.*\n\| accesskey +\| enabled \| fspaths \| fsuid +\| secretkey \| tag +\| uuid +\|\n\+-/);
  assert.not.match(text, made.secretkey);
});

keys('disable, enable, reset and delete, by argument or by --key', async () => {
  const made = await create();
  assert.is(json(await s3dskey('disable', made.accesskey, '--json')).enabled, false);
  assert.is(json(await s3dskey('list', '--json'))[0].enabled, false);
  assert.match((await s3dskey('list')).stdout, /\| False +\|/);
  assert.is(json(await s3dskey('enable', '--key', made.accesskey, '--json')).enabled, true);
  const again = json(await s3dskey('reset', '-k', made.accesskey, '--json'));
  assert.is(again.accesskey, made.accesskey);
  assert.is.not(again.secretkey, made.secretkey);
  assert.equal(json(await s3dskey('delete', made.accesskey, '--json')), {
    deleted: made.accesskey,
    uuid: made.uuid,
    accountKept: false,
    buckets: [],
  });
  assert.equal(json(await s3dskey('list', '--json')), []);
});

keys('`tidegate key` is the same, and options may stand before the sub-command', async () => {
  const made = await create();
  const ran = await runCommand('tidegate', ['--json', '--root', root, 'key', 'list']);
  assert.is(json(ran)[0].accesskey, made.accesskey);
});

keys('what is wrong is one line that says what to do', async () => {
  failed(await s3dskey('create'), 2, /^s3dskey: required option '--group <GROUP>' not specified; /);
  failed(await s3dskey('create', '--group=a:b'), 2, /--group takes a name/);
  failed(await s3dskey('create', '--group=g', '--fsuid=me'), 2, /--fsuid takes UID:GID as two numbers/);
  failed(await s3dskey('create', '--group=g', '--fsuid=4294967295:0'), 2, /--fsuid takes UID:GID/);
  failed(await s3dskey('create', '--group=g', '--fspaths=work'), 2, /--fspaths takes absolute directories/);
  failed(await s3dskey('create', '--group=g', '--fspaths=/a/../etc'), 2, /--fspaths takes absolute directories/);
  failed(await s3dskey('frobnicate'), 2, /unknown command 'frobnicate'/);
  failed(await s3dskey('list', 'x'), 2, /too many arguments/);
  failed(await s3dskey('list'), 1, /cannot use the root .*: no such file or directory: give the right one by --root/);
  await create();
  failed(await s3dskey('disable'), 2, /say which key/);
  failed(await s3dskey('disable', 'AKIAXXXXXXXXXXXXXXXX'), 1, /there is no access key AKIAX+: 'list' shows/);
  failed(await s3dskey('reset', '../accounts/x'), 1, /there is no access key/);
});

/** Another user, where there can be one who gets at the program: not in a checkout below /root. */
const nobody = { uid: 65534, gid: 65534 };
const another = isRoot && spawnSync(process.execPath, ['--check', import.meta.filename], nobody).status === 0;
(another ? keys : keys.skip)('a root that belongs to somebody else is told with whom', async () => {
  await create();
  // Who can get at the program and at the root, but not at the service area.
  const ran = await runCommand('s3dskey', ['list', '--root', root], nobody);
  failed(ran, 1, /permission denied/);
});

keys('another master key is refused with what to do', async () => {
  await create();
  writeFileSync(join(root, 'other.key'), `${'ab'.repeat(32)}\n`, { mode: 0o600 });
  const env = { TIDEGATE_MASTER_KEY_FILE: join(root, 'other.key') };
  const ran = await runCommand('s3dskey', ['list', '--root', root], { env });
  failed(ran, 2, /other\.key is not the one that the secrets under .* give the right one by --master-key-file/);
});

keys('the version, help and its examples', async () => {
  const version = await runCommand('s3dskey', ['--version']);
  const { version: expected } = JSON.parse(readFileSync('package.json', 'utf8'));
  assert.equal([version.stdout, version.code], [`${expected}\n`, 0]);
  const top = await runCommand('s3dskey', ['help']);
  assert.is(top.code, 0);
  assert.match(top.stdout, /^ {2}help/m);
  const verbs = ['create', 'list', 'enable', 'disable', 'reset', 'delete'];
  const helps = await Promise.all(verbs.map((verb) => runCommand('s3dskey', [verb, '--help'])));
  for (const [index, verb] of verbs.entries()) {
    assert.match(top.stdout, new RegExp(`^ {2}${verb}`, 'm'));
    const ran = helps[index]!;
    assert.is(ran.code, 0);
    assert.match(ran.stdout, new RegExp(`Example:\n {2}s3dskey ${verb}`));
    assert.match(ran.stdout, '--root <DIR>');
  }
  assert.is((await runCommand('s3dskey', [])).code, 2);
});

keys.run();
