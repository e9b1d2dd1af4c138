// timeout: 400
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Ran, runCommand } from '../support/commands.js';
import { tempDir } from '../support/temp.js';

const buckets = suite('s3dsbucket');
let root = '';
let key = '';
let uuid = '';
buckets.before.each(async () => {
  root = tempDir();
  const made = json(await runCommand('s3dskey', ['create', '--group=g', '--json', '--root', root]));
  key = made.accesskey;
  uuid = made.uuid;
});

const s3dsbucket = (...args: string[]) => runCommand('s3dsbucket', [...args, '--root', root]);

// biome-ignore lint/suspicious/noExplicitAny: what a user's script would parse
function json(ran: Ran): any {
  assert.is(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout);
}

function failed(ran: Ran, code: number, message: RegExp): void {
  assert.is(ran.code, code, ran.stderr);
  assert.is(ran.stdout, '');
  assert.is(ran.stderr.trimEnd().split('\n').length, 1, ran.stderr);
  assert.match(ran.stderr, message);
}

buckets('create makes <root>/<uuid>/<bucket>, list shows it', async () => {
  const made = json(await s3dsbucket('create', `--key=${key}`, '--bucket=results', '--json'));
  assert.is(made.Name, 'results');
  assert.is(made.Path, join(root, uuid, 'results'));
  assert.ok(statSync(made.Path).isDirectory());
  assert.equal(json(await s3dsbucket('list', '--json')), [made]);
  const text = (await s3dsbucket('list')).stdout;
  assert.match(text, /\| CreationDate +\| Name +\| Path +\|/);
  assert.match(text, /\| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| results \| \//);
});

buckets('list --key shows those of one account', async () => {
  const other = json(await runCommand('s3dskey', ['create', '--group=g', '--json', '--root', root]));
  await s3dsbucket('create', '-k', key, '-b', 'mine');
  await s3dsbucket('create', '-k', other.accesskey, '-b', 'hers');
  assert.equal(
    json(await s3dsbucket('list', '--json')).map((one: { Name: string }) => one.Name),
    ['hers', 'mine'],
  );
  assert.is(json(await s3dsbucket('list', '--json', '--key', key))[0].Name, 'mine');
  failed(await s3dsbucket('delete', '-k', key, '-b', 'hers'), 1, /does not belong to the account of AKIA/);
  failed(await s3dsbucket('create', '-k', key, '-b', 'hers'), 1, /belongs to another account: take another name/);
  failed(await s3dsbucket('create', '-k', key, '-b', 'mine'), 1, /bucket mine is yours already, at \//);
});

buckets('delete refuses a bucket with something in it; --force wants the name', async () => {
  const { Path: path } = json(await s3dsbucket('create', '-k', key, '-b', 'full', '--json'));
  mkdirSync(join(path, 'a'));
  writeFileSync(join(path, 'a', 'b'), 'written by a job');
  failed(await s3dsbucket('delete', '-k', key, '-b', 'full'), 1, /BucketNotEmpty/);
  failed(await s3dsbucket('delete', '-k', key, '-b', 'full', '--force'), 2, /give --yes-delete full/);
  failed(await s3dsbucket('delete', '-k', key, '-b', 'full', '--yes-delete', 'full'), 2, /give both, or neither/);
  failed(
    await s3dsbucket('delete', '-k', key, '-b', 'full', '--force', '--yes-delete', 'ful'),
    2,
    /not the name of the bucket \(full\): nothing was deleted/,
  );
  assert.ok(existsSync(join(path, 'a', 'b')));
});

buckets('delete --force empties and deletes', async () => {
  const { Path: path } = json(await s3dsbucket('create', '-k', key, '-b', 'full', '--json'));
  for (let n = 0; n < 40; n++) writeFileSync(join(path, `${n}`), 'x');
  const ran = await s3dsbucket('delete', '-k', key, '-b', 'full', '--force', '--yes-delete', 'full', '--json');
  assert.equal(json(ran), { deleted: 'full', objects: 40 });
  assert.not(existsSync(path));
  assert.equal(json(await s3dsbucket('list', '--json')), []);
});

buckets('an empty bucket is deleted; the account of a deleted key stays while it owns one', async () => {
  await s3dsbucket('create', '-k', key, '-b', 'empty');
  const gone = json(await runCommand('s3dskey', ['delete', key, '--json', '--root', root]));
  assert.equal([gone.accountKept, gone.buckets], [true, ['empty']]);
  const again = json(await runCommand('s3dskey', ['create', '--group=g', '--account', uuid, '--json', '--root', root]));
  assert.is((await s3dsbucket('delete', '-k', again.accesskey, '-b', 'empty')).stdout, 'deleted bucket empty\n');
  failed(await s3dsbucket('delete', '-k', again.accesskey, '-b', 'empty'), 1, /there is no bucket empty/);
});

buckets('a bucket whose directory has gone is made again for its owner', async () => {
  const { Path: path } = json(await s3dsbucket('create', '-k', key, '-b', 'lost', '--json'));
  rmSync(path, { recursive: true });
  assert.is(json(await s3dsbucket('create', '-k', key, '-b', 'lost', '--json')).Path, path);
  assert.ok(statSync(path).isDirectory());
});

buckets('names and keys are checked', async () => {
  failed(await s3dsbucket('create', '-k', key, '-b', '../x'), 2, /is no name for a bucket: 3 to 63 of a-z/);
  failed(await s3dsbucket('create', '-k', 'AKIAXXXXXXXXXXXXXXXX', '-b', 'abc'), 1, /there is no access key/);
  failed(await s3dsbucket('create', '-k', key), 2, /required option '-b, --bucket <BUCKET>'/);
});

buckets('the limit of buckets holds here too', async () => {
  await s3dsbucket('create', '-k', key, '-b', 'one');
  const ran = await runCommand('s3dsbucket', ['create', '-k', key, '-b', 'two', '--root', root], {
    env: { TIDEGATE_MAX_BUCKETS: '1' },
  });
  failed(ran, 1, /the account has as many buckets as maxBuckets allows: 1$/m);
});

buckets.run();
