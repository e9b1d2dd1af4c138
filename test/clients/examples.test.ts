// timeout: 600
/** The scripts under examples/, run as a user would, with a look at the filesystem afterwards: the other door. */
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, startGateway } from '../support/gateway.js';
import { haveProgram, mustRun, type Ran, run } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const examples = join(process.cwd(), 'examples');
const test = suite('examples');
let gateway: Gateway;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn'] });
});
test.after(async () => {
  assert.is(await gateway?.stop(), 0);
});

/** Only what the script needs: nothing of the developer's own AWS settings. */
function environment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const clean = Object.entries(process.env).filter(([name]) => !/^(AWS_|RCLONE_|MC_|S3_)/.test(name));
  return {
    ...Object.fromEntries(clean),
    HOME: tempDir('home-'),
    TIDEGATE_ENDPOINT: gateway.endpoint,
    TIDEGATE_ROOT: gateway.root,
    AWS_ACCESS_KEY_ID: gateway.accessKey,
    AWS_SECRET_ACCESS_KEY: gateway.secretKey,
    ...more,
  };
}

const example = (name: string, env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  mustRun(join(examples, name), [], { env: environment(env), seconds: 120 });

/** Files below a bucket's directory that are objects, in byte order of their names. */
function files(bucket: string): string[] {
  const path = gateway.bucketPath(bucket);
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('.tidegate') && statSync(join(path, name)).isFile())
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

const read = (bucket: string, key: string): string => readFileSync(join(gateway.bucketPath(bucket), key), 'utf8');

/** A test that needs programs; skipped where one is missing, but in CI. */
const when = (...programs: string[]) => (programs.map(haveProgram).every(Boolean) ? test : test.skip);

test('keys-and-buckets.sh: tables with the fields of S3DS, a bucket that is a directory', async () => {
  const { stdout } = await example('keys-and-buckets.sh', { TIDEGATE_BUCKET: 'ex-keys', TIDEGATE_GROUP: 'hpc01' });
  for (const field of ['accesskey', 'enabled', 'fspaths', 'fsuid', 'secretkey', 'tag', 'uuid']) {
    assert.match(stdout, new RegExp(`\\b${field}\\b`));
  }
  for (const column of ['CreationDate', 'Name', 'Path']) assert.match(stdout, new RegExp(`\\b${column}\\b`));
  assert.match(stdout, /:hpc01/);
  assert.match(stdout, new RegExp(`${gateway.root}/[0-9a-f-]{36}/ex-keys`));
});

test('the same as it is typed in a checkout: npx s3dskey, npx s3dsbucket', async () => {
  const npx = async (...args: string[]) => (await mustRun('npx', [...args, '--root', gateway.root], { env })).stdout;
  const env = environment({ npm_config_offline: 'true' });
  const made = JSON.parse(await npx('s3dskey', 'create', '--group=hpc01', '--json'));
  assert.match(await npx('s3dskey', 'list'), made.accesskey);
  const key = `--key=${made.accesskey}`;
  assert.match(await npx('s3dsbucket', 'create', key, '--bucket=ex-npx'), `${gateway.root}/${made.uuid}/ex-npx`);
  await npx('s3dsbucket', 'delete', key, '--bucket=ex-npx');
});

when('s3curl', 'curl')('s3curl.sh: version 2, files both ways', async () => {
  await example('s3curl.sh', { TIDEGATE_BUCKET: 'ex-s3curl', TIDEGATE_KEEP: '1' });
  assert.equal(files('ex-s3curl'), ['dir/hello.txt', '海.txt']);
  assert.is(read('ex-s3curl', 'dir/hello.txt'), 'hello from s3curl\n');
  await example('s3curl.sh', { TIDEGATE_BUCKET: 'ex-s3curl-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-s3curl-gone')));
});

when('s3curl', 'curl')('sync.sh: what a job writes, taken up by s3dsbucket, s3curl and curl', async () => {
  const { stdout } = await example('sync.sh', { TIDEGATE_BUCKET: 'ex-sync', TIDEGATE_KEEP: '1' });
  assert.equal(files('ex-sync'), ['run1/answer.txt', 'run1/more.txt']);
  // Of the sync, of s3curl's and of curl's; then the list of what is there.
  assert.match(stdout, /^sync of ex-sync \(WRITE,UPDATE,DELETE\): done$/m);
  assert.is(stdout.match(/<BucketSyncResult/g)?.length, 2);
  assert.match(stdout, /<Operations>WRITE,UPDATE<\/Operations><Prefix>run1\/<\/Prefix>/);
  assert.match(stdout, /<BucketSyncStatus/);
  assert.match(stdout, /^"ex-sync","run1\/more.txt","3"/m);
  await example('sync.sh', { TIDEGATE_BUCKET: 'ex-sync-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-sync-gone')));
});

for (const region of ['', 'osakau', 'us-east-1']) {
  when('aws', 'curl')(`aws-cli.sh: region '${region}'`, async () => {
    const bucket = `ex-aws-${region || 'blank'}`;
    await example('aws-cli.sh', { TIDEGATE_BUCKET: bucket, TIDEGATE_REGION: region, TIDEGATE_KEEP: '1' });
    assert.equal(files(bucket), ['hello.txt', 'tree/sub/two.txt', 'tree/日本語 フォルダ/三つ + 100%.txt']);
    assert.is(read(bucket, 'hello.txt'), 'hello\n');
    assert.is(read(bucket, 'tree/日本語 フォルダ/三つ + 100%.txt'), '3\n');
  });
}

when('aws', 'curl')('aws-cli.sh: cleans up after itself', async () => {
  await example('aws-cli.sh', { TIDEGATE_BUCKET: 'ex-aws-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-aws-gone')));
});

when('aws')('a file that a job copies into the bucket is listed, synced and served by aws', async () => {
  const env = environment({ AWS_DEFAULT_REGION: 'osakau', AWS_PAGER: '' });
  const aws = (...args: string[]) => mustRun('aws', ['--endpoint-url', gateway.endpoint, ...args], { env });
  await aws('s3', 'mb', 's3://ex-doors');
  const work = tempDir();
  writeFileSync(join(work, '結果.nc'), 'from the job');
  mkdirSync(join(gateway.bucketPath('ex-doors'), 'run/1'), { recursive: true });
  copyFileSync(join(work, '結果.nc'), join(gateway.bucketPath('ex-doors'), 'run/1/結果.nc'));
  assert.match((await aws('s3', 'ls', '--recursive', 's3://ex-doors/')).stdout, / 12 run\/1\/結果\.nc/);
  await aws('s3', 'sync', 's3://ex-doors/', join(work, 'down'));
  assert.is(readFileSync(join(work, 'down/run/1/結果.nc'), 'utf8'), 'from the job');
  const head = ['s3api', 'head-object', '--bucket', 'ex-doors', '--key', 'run/1/結果.nc'];
  const etag = async () => JSON.parse((await aws(...head)).stdout).ETag.replaceAll('"', '');
  const digest = createHash('md5').update('from the job').digest('hex');
  // Until the sync engine has digested it, one that no client takes for an MD5.
  assert.match(await etag(), new RegExp(`-|^${digest}$`));
  await until('the digest', 30_000, async () => ((await etag()) === digest ? true : undefined));
  await aws('s3', 'sync', `${work}/down`, 's3://ex-doors/again/');
  assert.is(read('ex-doors', 'again/run/1/結果.nc'), 'from the job');
});

when('aws', 'curl')('acl.sh: canned ACLs, a grant, a policy, and what others can do then', async () => {
  const other = await createKey(gateway.root);
  const { stdout } = await example('acl.sh', {
    TIDEGATE_BUCKET: 'ex-acl',
    TIDEGATE_OTHER_ID: other.uuid,
    TIDEGATE_OTHER_KEY_ID: other.accessKey,
    TIDEGATE_OTHER_SECRET_KEY: other.secretKey,
  });
  assert.match(stdout, 'http://acs.amazonaws.com/groups/global/AuthenticatedUsers');
  assert.match(stdout, '"Permission": "WRITE"');
  assert.match(stdout, `"DDN": ["${other.uuid}"]`);
  assert.match(stdout, '"IsPublic": false');
  assert.match(stdout, 'MalformedPolicy, as it should be');
});

when('aws', 'curl')('sharing a bucket with the commands of the handbook', async () => {
  const other = await createKey(gateway.root);
  const env = environment({ AWS_DEFAULT_REGION: 'osakau', AWS_PAGER: '' });
  const aws = (...args: string[]) => run('aws', ['--endpoint-url', gateway.endpoint, ...args], { env });
  const must = async (...args: string[]) => {
    const ran = await aws(...args);
    assert.is(ran.code, 0, ran.stderr);
    return ran.stdout;
  };
  const at = ['--bucket', 'ex-shared', '--key', 'k.txt'];
  const file = join(tempDir(), 'k.txt');
  writeFileSync(file, 'shared');
  await must('s3', 'mb', 's3://ex-shared');
  await must('s3', 'cp', file, 's3://ex-shared/k.txt');
  await must('s3api', 'put-bucket-acl', '--bucket', 'ex-shared', '--acl', 'authenticated-read');
  await must('s3api', 'put-object-acl', ...at, '--acl', 'public-read');
  assert.is(await (await fetch(`${gateway.endpoint}/ex-shared/k.txt`)).text(), 'shared');
  assert.is((await fetch(`${gateway.endpoint}/ex-shared/`)).status, 403);
  await must('s3api', 'put-object-acl', ...at, '--grant-write', `id=${other.uuid}`);
  assert.is((await fetch(`${gateway.endpoint}/ex-shared/k.txt`)).status, 403);
  const { Grants } = JSON.parse(await must('s3api', 'get-object-acl', ...at));
  assert.equal(
    Grants.map((grant: { Grantee: { ID: string }; Permission: string }) => [grant.Grantee.ID, grant.Permission]),
    [[other.uuid, 'WRITE']],
  );
  const none = await aws('s3api', 'get-bucket-policy', '--bucket', 'ex-shared');
  assert.is.not(none.code, 0);
  assert.match(none.stderr, 'NoSuchBucketPolicy');
  await must('s3', 'rb', '--force', 's3://ex-shared');
});

when('rclone')('rclone.sh: versions 2 and 4, both directions and between two remotes', async () => {
  await example('rclone.sh', { TIDEGATE_BUCKET: 'ex-rclone', TIDEGATE_KEEP: '1' });
  const tree = ['plain/one.txt', 'データ/2024年/観測 +1 100%.txt', 'データ/大きい.bin'];
  const under = (prefix: string, names: string[]) => names.map((name) => `${prefix}/${name}`);
  // The sync at the end has deleted one file of `up` of the first remote.
  assert.equal(files('ex-rclone'), [...under('from-2', tree), ...under('up', tree.slice(1))]);
  assert.equal(files('ex-rclone-b'), [...under('from-4', tree), ...under('up', tree)]);
  assert.is(read('ex-rclone-b', 'from-4/データ/2024年/観測 +1 100%.txt'), '二\n');
  const big = (bucket: string, prefix: string) =>
    readFileSync(join(gateway.bucketPath(bucket), prefix, 'データ/大きい.bin'));
  assert.ok(big('ex-rclone', 'up').equals(big('ex-rclone-b', 'from-4')));
  assert.is(big('ex-rclone', 'up').length, 6_000_000);
  await example('rclone.sh', { TIDEGATE_BUCKET: 'ex-rclone-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-rclone-gone')));
});

const boto3 = haveProgram('python3') && (await run('python3', ['-c', 'import boto3'])).code === 0;
if (!boto3 && process.env.CI === 'true') throw new Error('boto3 is missing, and CI must have it');
(boto3 ? test : test.skip)('boto3_tour.py: upload_file, download_file, every kind of list', async () => {
  await example('boto3_tour.py', { TIDEGATE_BUCKET: 'ex-boto3', TIDEGATE_KEEP: '1' });
  assert.equal(files('ex-boto3'), ['dir/large.bin', 'small.txt', 'データ/観測 + 100%.txt']);
  assert.is(statSync(join(gateway.bucketPath('ex-boto3'), 'dir/large.bin')).size, 20 * 1024 * 1024);
  assert.is(read('ex-boto3', 'データ/観測 + 100%.txt'), 'hello from boto3\n');
  await example('boto3_tour.py', { TIDEGATE_BUCKET: 'ex-boto3-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-boto3-gone')));
});

when('mc')('mc.sh: alias, cp with a hash, stat, mirror', async () => {
  await example('mc.sh', { TIDEGATE_BUCKET: 'ex-mc', TIDEGATE_KEEP: '1' });
  assert.equal(files('ex-mc'), ['hashed.txt', 'test.txt', 'tree/データ/観測.txt']);
  await example('mc.sh', { TIDEGATE_BUCKET: 'ex-mc-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-mc-gone')));
});

when('s3cmd')('s3cmd.sh: --configure with its test, sync', async () => {
  await example('s3cmd.sh', { TIDEGATE_BUCKET: 'ex-s3cmd', TIDEGATE_KEEP: '1' });
  assert.equal(files('ex-s3cmd'), ['large.bin', 'one.txt', 'sub/two.txt', '三つ 目.txt']);
  assert.is(read('ex-s3cmd', 'one.txt'), '1\n');
  assert.is(statSync(join(gateway.bucketPath('ex-s3cmd'), 'large.bin')).size, 17_000_000);
  await example('s3cmd.sh', { TIDEGATE_BUCKET: 'ex-s3cmd-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-s3cmd-gone')));
});

when('aws', 'curl')('aws-multipart.sh: parts, abort, presign, rb --force', async () => {
  await example('aws-multipart.sh', { TIDEGATE_BUCKET: 'ex-parts', TIDEGATE_KEEP: '1' });
  assert.equal(files('ex-parts'), ['dir/whole.bin']);
  assert.is(statSync(join(gateway.bucketPath('ex-parts'), 'dir/whole.bin')).size, 12_000_000);
  // Neither the completed upload nor the aborted one has left its parts.
  const uploads = join(gateway.bucketPath('ex-parts'), '.tidegate/uploads');
  const left = existsSync(uploads) ? readdirSync(uploads, { recursive: true, withFileTypes: true }) : [];
  assert.equal(
    left.filter((entry) => entry.isFile()).map((entry) => entry.name),
    [],
  );
  await example('aws-multipart.sh', { TIDEGATE_BUCKET: 'ex-parts-gone' });
  assert.not.ok(existsSync(gateway.bucketPath('ex-parts-gone')));
});

/** A container of CI may have no /dev/fuse; a developer may not be allowed to use it. */
function mayMount(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
const mounts = mayMount() && ['aws', 's3fs'].map(haveProgram).every(Boolean);
(mounts ? test : test.skip)('s3fs.sh: a mount, where this machine lets us', async () => {
  await example('s3fs.sh', { TIDEGATE_BUCKET: 'ex-s3fs', TIDEGATE_KEEP: '1' });
  assert.equal(files('ex-s3fs'), ['folder/renamed.txt', 'uploaded.txt', '日本語/三.txt']);
  assert.is(read('ex-s3fs', 'folder/renamed.txt'), 'written through s3fs\n');
});

test.run();
