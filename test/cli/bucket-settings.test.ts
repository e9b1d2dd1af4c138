/** `tidegate bucket set | show` and `tidegate role`, and what they leave for the gateway. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { unpackRoles } from '../../acl/roles.js';
import { withService } from '../../gateway/main.js';
import { runHere } from '../support/cli.js';
import type { Ran } from '../support/commands.js';
import { tempDir } from '../support/temp.js';

const test = suite('tidegate bucket set, role');
const root = join(tempDir(), 'root');
const own = [`--uid=${process.getuid?.()}`, `--gid=${process.getgid?.()}`];

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
}
let owner = '';
let bob = '';
const config = async (): Promise<Record<string, string>> => {
  let found: Record<string, string> | undefined;
  await withService({ root }, { make: false }, async ({ storage }) => {
    found = (await storage.bucket('results'))?.config;
  });
  return found!;
};

test.before(async () => {
  owner = (await json('account', 'create', '--name', 'alice', '--group', 'g', ...own)).uuid;
  bob = (await json('account', 'create', '--name', 'bob', '--group', 'g', ...own)).uuid;
  await json('bucket', 'create', '-b', 'results', '-k', (await json('key', 'create', '--account', 'alice')).accesskey);
});

test('a new bucket: files of the owner, reached from everywhere', async () => {
  const { path, created, ...rest } = await json('bucket', 'show', 'results');
  assert.ok(path.endsWith(`/${owner}/results`));
  assert.match(created, /Z$/);
  const expected = {
    actAs: 'owner',
    visibility: 'live',
    etag: 'md5',
    access: 'public',
    cidr: [],
    configured: [],
  };
  assert.equal(rest, { name: 'results', owner, ownerName: 'alice', ...expected });
  assert.match((await tidegate('bucket', 'show', 'results')).stdout, /\| ownerName +\| alice/);
});

test('set stores what the gateway reads, and leaves the rest', async () => {
  assert.is((await json('bucket', 'set', 'results', '--act-as', 'requester')).actAs, 'requester');
  assert.equal(await config(), { actAs: 'requester' });
  const set = await json('bucket', 'set', 'results', '--access', 'custom', '--cidr', '192.0.2.0/24,2001:db8::/32');
  assert.equal([set.access, set.cidr, set.actAs], ['custom', ['192.0.2.0/24', '2001:db8::/32'], 'requester']);
  const cidr = ['192.0.2.0/24', '2001:db8::/32'];
  assert.equal(await config(), { actAs: 'requester', access: JSON.stringify({ mode: 'custom', cidr }) });
  assert.equal((await json('bucket', 'set', 'results', '--cidr', '10.0.0.1')).cidr, ['10.0.0.1']);
  assert.is((await json('bucket', 'set', 'results', '--access', 'private', '--act-as', 'owner')).access, 'private');
  assert.equal(await config(), { access: '{"mode":"private"}' });
  await json('bucket', 'set', 'results', '--access', 'public');
  assert.equal(await config(), {});
  assert.is((await json('bucket', 'set', 'results', '--visibility', 'synced')).visibility, 'synced');
  assert.equal(await config(), { visibility: 'synced' });
  assert.is((await json('bucket', 'set', 'results', '--visibility', 'live')).visibility, 'live');
  assert.equal(await config(), {});
  const fast = await json('bucket', 'set', 'results', '--etag', 'fast');
  assert.equal([fast.etag, fast.configured], ['fast', []]);
  assert.equal(await config(), { etag: 'fast' });
  assert.match((await tidegate('bucket', 'show', 'results')).stdout, /\| etag +\| fast/);
  assert.is((await json('bucket', 'set', 'results', '--etag', 'md5')).etag, 'md5');
  assert.equal(await config(), {});
});

test('what is wrong changes nothing', async () => {
  const set = (...args: string[]) => tidegate('bucket', 'set', 'results', ...args);
  failed(await set(), 2, /nothing to change/);
  failed(await set('--act-as', 'root'), 2, /--act-as takes owner or requester, not "root"/);
  failed(await set('--visibility', 'soon'), 2, /--visibility takes live or synced, not "soon"/);
  failed(await set('--etag', 'sha256'), 2, /--etag takes md5 or fast, not "sha256"/);
  failed(await set('--etag', 'fast', '--visibility', 'soon'), 2, /--visibility takes/);
  failed(await set('--access', 'open'), 2, /--access takes public, private or custom/);
  failed(await set('--access', 'custom'), 2, /--cidr takes 1 to 256 ranges .*, not 0 of them/);
  failed(await set('--access', 'private', '--cidr', '10.0.0.0/8'), 2, /--cidr belongs to --access custom/);
  failed(await set('--act-as', 'requester', '--cidr', '10.0.0.0/33'), 2, /not "10.0.0.0\/33"/);
  failed(await tidegate('bucket', 'set', 'none', '--access', 'private'), 1, /there is no bucket none/);
  assert.equal(await config(), {});
});

test('roles: granted, replaced, listed, revoked', async () => {
  const role = (verb: string, ...args: string[]) => json('role', verb, 'results', ...args);
  assert.equal(await role('list'), []);
  assert.equal(await role('grant', '--account', 'bob', '--role', 'reader'), [
    { account: bob, name: 'bob', role: 'reader' },
  ]);
  assert.is((await role('grant', '--account', bob, '--role', 'writer')).length, 1);
  const stored = unpackRoles(JSON.parse((await config())['roles']!));
  assert.equal(stored, { bindings: [{ account: bob, role: 'writer' }] });
  assert.match((await tidegate('role', 'list', 'results')).stdout, /\| bob +\| writer/);
  const carol = (await json('account', 'create', '--name', 'carol', '--group', 'g', ...own)).uuid;
  await role('grant', '--account', 'carol', '--role', 'maintainer');
  await json('account', 'delete', 'carol');
  assert.equal((await role('list')).at(-1), { account: carol, name: null, role: 'maintainer' });
  await role('revoke', '--account', carol);
  assert.equal(await role('revoke', '--account', 'bob'), []);
  assert.equal(await config(), {});
  const wrong = (...args: string[]) => tidegate('role', ...args);
  failed(await wrong('revoke', 'results', '--account', 'bob'), 1, /bob has no role in results/);
  failed(await wrong('grant', 'results', '--account', 'alice', '--role', 'reader'), 1, /alice owns results/);
  failed(
    await wrong('grant', 'results', '--account', 'bob', '--role', 'admin'),
    2,
    /--role takes maintainer, reader or/,
  );
  failed(await wrong('grant', 'results', '--account', 'x', '--role', 'reader'), 1, /there is no account x/);
});

test.run();
