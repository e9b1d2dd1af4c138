// timeout: 600
/** Buckets with ETag policy `fast` and real clients: no MD5 is computed, and nobody takes the ETag for one. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { md5 } from '../suites/storage-tools.js';
import { command, type Gateway, startGateway } from '../support/gateway.js';
import { haveProgram, mustRun, type Ran, run } from '../support/programs.js';
import { fails, sdk } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const test = suite('fast ETags');
const MiB = 1 << 20;
const noMd5 = /^"[0-9a-f]{32}-0"$/;
const counted = join(tempDir(), 'md5');
let gateway: Gateway;
let client: s3.S3Client;

/** Bytes that the gateway has put through MD5 since it was asked last. */
function md5Bytes(): number {
  const lines = readFileSync(counted, 'utf8').split('\n');
  writeFileSync(counted, '');
  return lines.reduce((sum, line) => sum + Number(line), 0);
}

async function bucket(name: string, policy: 'fast' | 'md5' = 'fast'): Promise<string> {
  await client.send(new s3.CreateBucketCommand({ Bucket: name }));
  await command('tidegate', ['bucket', 'set', name, '--etag', policy], gateway.root);
  return name;
}

test.before(async () => {
  writeFileSync(counted, '', { mode: 0o666 });
  const probe = join(import.meta.dirname, '../support/md5-count.js');
  gateway = await startGateway({
    flags: ['--log-level', 'warn', '--durability', 'none'],
    env: { NODE_OPTIONS: `--import=${probe}`, TIDEGATE_TEST_MD5: counted },
  });
  client = sdk(gateway);
});
test.after(async () => {
  client?.destroy();
  assert.is(await gateway?.stop(), 0, gateway?.output());
});

const sent = randomBytes(6 * MiB);

/** The same uploads into a bucket of either policy: small, large, aws-chunked with a trailer, in parts, copied. */
async function uploads(Bucket: string): Promise<Record<string, string>> {
  const etags: Record<string, string> = {};
  const put = async (Key: string, Body: Buffer | Readable, more: Partial<s3.PutObjectCommandInput> = {}) => {
    const { ETag } = await client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }));
    etags[Key] = ETag!;
  };
  await put('small', sent.subarray(0, 1000));
  await put('large', sent);
  await put('streamed', Readable.from([sent.subarray(0, MiB), sent.subarray(MiB)]), { ContentLength: sent.length });
  const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: 'parts' }));
  const part = { Bucket, Key: 'parts', UploadId };
  const first = await client.send(new s3.UploadPartCommand({ ...part, PartNumber: 1, Body: sent }));
  const second = await client.send(
    new s3.UploadPartCopyCommand({ ...part, PartNumber: 2, CopySource: `${Bucket}/large` }),
  );
  const Parts = [
    { PartNumber: 1, ETag: first.ETag },
    { PartNumber: 2, ETag: second.CopyPartResult?.ETag },
  ];
  const MultipartUpload = { Parts };
  const done = await client.send(new s3.CompleteMultipartUploadCommand({ ...part, MultipartUpload }));
  etags['parts'] = done.ETag!;
  const copied = await client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/parts` }));
  etags['copy'] = copied.CopyObjectResult!.ETag!;
  return etags;
}

test('the gateway computes no MD5 of what is uploaded, in any of its threads', async () => {
  await bucket('sdk-md5', 'md5');
  md5Bytes();
  await uploads('sdk-md5');
  // The copy of an object in parts is hashed too.
  assert.ok(md5Bytes() > 6 * sent.length, 'what is counted is the MD5s that there are');

  await bucket('sdk-fast');
  md5Bytes();
  const etags = await uploads('sdk-fast');
  const bytes = md5Bytes();
  assert.ok(bytes < 10_000, `${bytes} bytes`);
  for (const [key, etag] of Object.entries(etags)) {
    if (key === 'parts') assert.match(etag, /^"[0-9a-f]{32}-2"$/);
    else assert.match(etag, noMd5, key);
    const { ETag, Body } = await client.send(new s3.GetObjectCommand({ Bucket: 'sdk-fast', Key: key, IfMatch: etag }));
    assert.is(ETag, etag);
    const whole = Buffer.from(await Body!.transformToByteArray());
    assert.ok(whole.subarray(0, Math.min(whole.length, sent.length)).equals(sent.subarray(0, whole.length)), key);
  }
  const { Contents = [] } = await client.send(new s3.ListObjectsV2Command({ Bucket: 'sdk-fast' }));
  assert.equal(Object.fromEntries(Contents.map(({ Key, ETag }) => [Key, ETag])), etags);
});

test('what the client sends of its content is verified, an MD5 too', async () => {
  const Bucket = await bucket('sdk-checked');
  const put = (more: Partial<s3.PutObjectCommandInput>) =>
    client.send(new s3.PutObjectCommand({ Bucket, Key: 'k', Body: sent, ...more }));
  md5Bytes();
  const ContentMD5 = Buffer.from(md5(sent), 'hex').toString('base64');
  assert.is((await put({ ContentMD5 })).ETag, `"${md5(sent)}"`, 'an MD5 that is there is the ETag');
  assert.ok(md5Bytes() >= sent.length);
  await fails(put({ ContentMD5: Buffer.from(md5('other'), 'hex').toString('base64') }), 'BadDigest');
  await fails(put({ ChecksumCRC32: 'AAAAAA==' }), 'BadDigest');
  await fails(put({ ChecksumSHA256: Buffer.alloc(32).toString('base64') }), 'BadDigest');
  const { ETag } = await put({ IfMatch: `"${md5(sent)}"` });
  assert.match(ETag!, noMd5);
  await fails(put({ IfMatch: `"${md5(sent)}"` }), 'PreconditionFailed');
  await fails(put({ IfNoneMatch: '*' }), 'PreconditionFailed');
  await fails(client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'k', IfMatch: 'x' })), 'PreconditionFailed');
  await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'k', IfMatch: ETag }));
});

test('files of jobs are not put through MD5 either', async () => {
  const Bucket = await bucket('jobs-fast');
  const etagOf = async (Key: string) => (await client.send(new s3.HeadObjectCommand({ Bucket, Key }))).ETag;
  writeFileSync(join(gateway.bucketPath(Bucket), 'settle'), 'x');
  await until('the sync engine', 30_000, async () => {
    const state = JSON.parse(readFileSync(join(gateway.root, `.tidegate/syncs/${Bucket}.json`), 'utf8'));
    return state.lastFullScan;
  }).catch(() => undefined);
  md5Bytes();
  writeFileSync(join(gateway.bucketPath(Bucket), 'job'), sent);
  await command('s3dsbucket', ['sync', `--key=${gateway.accessKey}`, `--bucket=${Bucket}`], gateway.root);
  const etag = await etagOf('job');
  assert.match(etag!, noMd5);
  assert.ok(md5Bytes() < 10_000);
});

// ---- client programs ---------------------------------------------------------------------------------------------

const when = (...programs: string[]) => (programs.map(haveProgram).every(Boolean) ? test : test.skip);

/** Only what the program needs, and a directory `up` with a small file and one that goes up in parts. */
function desk(): { work: string; env: NodeJS.ProcessEnv } {
  const work = tempDir('client-');
  mkdirSync(join(work, 'up'));
  writeFileSync(join(work, 'up/small'), 'small');
  writeFileSync(join(work, 'up/large'), randomBytes(17 * MiB));
  // S3's times are whole seconds: of a file as young as its object, aws cli would say that it is the newer one.
  const earlier = Date.now() / 1000 - 60;
  for (const name of ['small', 'large']) utimesSync(join(work, 'up', name), earlier, earlier);
  const clean = Object.entries(process.env).filter(([name]) => !/^(AWS_|RCLONE_|MC_|S3_)/.test(name));
  const env = {
    ...Object.fromEntries(clean),
    HOME: work,
    AWS_ACCESS_KEY_ID: gateway.accessKey,
    AWS_SECRET_ACCESS_KEY: gateway.secretKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  return { work, env };
}
const sameFiles = (a: string, b: string): Promise<Ran> => mustRun('diff', ['-r', a, b]);
const etagsIn = async (Bucket: string): Promise<Record<string, string>> => {
  const { Contents = [] } = await client.send(new s3.ListObjectsV2Command({ Bucket }));
  return Object.fromEntries(Contents.map(({ Key, ETag }) => [Key!, ETag!]));
};

when('aws')('aws cli', async () => {
  const { work, env } = desk();
  const Bucket = await bucket('prog-aws');
  const aws = (...args: string[]) => mustRun('aws', ['--endpoint-url', gateway.endpoint, 's3', ...args], { env });
  md5Bytes();
  await aws('sync', join(work, 'up'), `s3://${Bucket}/`);
  assert.is((await aws('sync', join(work, 'up'), `s3://${Bucket}/`)).stdout, '', 'nothing is left to do');
  await aws('cp', `s3://${Bucket}/large`, `s3://${Bucket}/copied`);
  assert.ok(md5Bytes() < 10_000);
  const etags = await etagsIn(Bucket);
  assert.match(etags['small']!, noMd5);
  assert.match(etags['large']!, /^"[0-9a-f]{32}-3"$/);
  await aws('rm', `s3://${Bucket}/copied`);
  await aws('sync', `s3://${Bucket}/`, join(work, 'down'));
  await sameFiles(join(work, 'up'), join(work, 'down'));
});

const boto3 = haveProgram('python3') && (await run('python3', ['-c', 'import boto3'])).code === 0;
(boto3 ? test : test.skip)('boto3', async () => {
  const { work, env } = desk();
  const Bucket = await bucket('prog-boto3');
  const script = `
import boto3, sys
client = boto3.client('s3', endpoint_url='${gateway.endpoint}')
for name in ['small', 'large']:
    client.upload_file('${work}/up/' + name, '${Bucket}', name)
    client.download_file('${Bucket}', name, '${work}/down/' + name)
    head = client.head_object(Bucket='${Bucket}', Key=name)
    client.get_object(Bucket='${Bucket}', Key=name, IfMatch=head['ETag'])
`;
  mkdirSync(join(work, 'down'));
  await mustRun('python3', ['-c', script], { env });
  await sameFiles(join(work, 'up'), join(work, 'down'));
  assert.match((await etagsIn(Bucket))['small']!, noMd5);
});

// With some providers (Minio, AWS) rclone compares the ETag of an upload in parts with the MD5s that it has sent.
for (const [provider, compares] of [
  ['Other', 'false'],
  ['Minio', 'true'],
] as const) {
  when('rclone')(`rclone, provider ${provider}`, async () => {
    const { work, env: desktop } = desk();
    const Bucket = await bucket(`prog-rclone-${provider.toLowerCase()}`);
    const env = {
      ...desktop,
      RCLONE_CONFIG: join(work, 'none.conf'),
      RCLONE_CONFIG_TIDE_TYPE: 's3',
      RCLONE_CONFIG_TIDE_PROVIDER: provider,
      RCLONE_CONFIG_TIDE_ACCESS_KEY_ID: gateway.accessKey,
      RCLONE_CONFIG_TIDE_SECRET_ACCESS_KEY: gateway.secretKey,
      RCLONE_CONFIG_TIDE_ENDPOINT: gateway.endpoint,
      RCLONE_CONFIG_TIDE_FORCE_PATH_STYLE: 'true',
      RCLONE_CONFIG_TIDE_USE_MULTIPART_ETAG: compares,
      RCLONE_CONFIG_TIDE_UPLOAD_CUTOFF: '6M',
      RCLONE_CONFIG_TIDE_CHUNK_SIZE: '5M',
    };
    const rclone = (...args: string[]) => mustRun('rclone', ['--retries', '1', ...args], { env });
    await rclone('sync', join(work, 'up'), `tide:${Bucket}/a`);
    await rclone('check', join(work, 'up'), `tide:${Bucket}/a`);
    // A job's file beside: neither sizes nor times make it the same, and no hash can be had.
    writeFileSync(join(gateway.bucketPath(Bucket), 'a/job'), 'from a job');
    writeFileSync(join(work, 'up/job'), 'from a job');
    await rclone('check', join(work, 'up'), `tide:${Bucket}/a`);
    await rclone('check', '--download', join(work, 'up'), `tide:${Bucket}/a`);
    await rclone('sync', `tide:${Bucket}/a`, `tide:${Bucket}/b`);
    await rclone('sync', '--checksum', `tide:${Bucket}/b`, join(work, 'down'));
    await sameFiles(join(work, 'up'), join(work, 'down'));
  });
}

when('s3cmd')('s3cmd', async () => {
  const { work, env } = desk();
  const Bucket = await bucket('prog-s3cmd');
  const host = gateway.endpoint.replace('http://', '');
  const config = [
    '[default]',
    `access_key = ${gateway.accessKey}`,
    `secret_key = ${gateway.secretKey}`,
    `host_base = ${host}`,
    `host_bucket = ${host}`,
    'use_https = False',
  ];
  writeFileSync(join(work, 's3cfg'), config.join('\n'));
  const s3cmd = (...args: string[]) =>
    mustRun('s3cmd', ['--no-progress', '-c', join(work, 's3cfg'), '--multipart-chunk-size-mb=5', ...args], { env });
  const first = await s3cmd('sync', `${work}/up/`, `s3://${Bucket}/`);
  assert.not.match(first.stderr, /MD5|WARNING|ERROR/);
  const again = await s3cmd('sync', `${work}/up/`, `s3://${Bucket}/`);
  assert.not.match(again.stdout, /^upload:/m);
  mkdirSync(join(work, 'down'));
  const down = await s3cmd('sync', `s3://${Bucket}/`, `${work}/down/`);
  assert.not.match(down.stderr, /MD5|WARNING|ERROR/);
  await sameFiles(join(work, 'up'), join(work, 'down'));
  await s3cmd('cp', `s3://${Bucket}/small`, `s3://${Bucket}/copied`);
});

when('mc')('mc', async () => {
  const { work, env: desktop } = desk();
  const Bucket = await bucket('prog-mc');
  const env = { ...desktop, MC_CONFIG_DIR: join(work, 'mc'), MC_DISABLE_PAGER: '1' };
  const mc = (...args: string[]) => mustRun('mc', ['-q', ...args], { env });
  await mc('alias', 'set', 'tide', gateway.endpoint, gateway.accessKey, gateway.secretKey);
  await mc('mirror', join(work, 'up'), `tide/${Bucket}`);
  await mc('cp', '--md5', join(work, 'up/large'), `tide/${Bucket}/with-md5`);
  await mc('cp', `tide/${Bucket}/large`, `tide/${Bucket}/copied`);
  assert.is((await mc('diff', join(work, 'up'), `tide/${Bucket}`)).stdout.match(/^</gm), null);
  for (const key of ['with-md5', 'copied']) await mc('rm', `tide/${Bucket}/${key}`);
  await mc('mirror', `tide/${Bucket}`, join(work, 'down'));
  await sameFiles(join(work, 'up'), join(work, 'down'));
});

function mayMount(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
const mounts = mayMount() && haveProgram('s3fs') && haveProgram('fusermount');
for (const option of ['', 'enable_content_md5']) {
  (mounts ? test : test.skip)(`s3fs ${option}`, async () => {
    const { work, env } = desk();
    const Bucket = await bucket(`prog-s3fs${option === '' ? '' : '-md5'}`);
    const mount = join(work, 'mount');
    mkdirSync(mount);
    writeFileSync(join(work, 'passwd'), `${gateway.accessKey}:${gateway.secretKey}`, { mode: 0o600 });
    const options = [`url=${gateway.endpoint}`, 'use_path_request_style', `passwd_file=${work}/passwd`];
    // In parts, whatever the size of the file.
    options.push('multipart_size=5', 'singlepart_copy_limit=5', ...(option === '' ? [] : [option]));
    const { AWS_ACCESS_KEY_ID: _, AWS_SECRET_ACCESS_KEY: __, ...rest } = env;
    await mustRun('s3fs', [Bucket, mount, ...options.flatMap((each) => ['-o', each])], { env: rest });
    try {
      await until('the mount', 20_000, () => (statSync(mount).dev !== statSync(work).dev ? true : undefined));
      await mustRun('cp', [join(work, 'up/small'), join(work, 'up/large'), mount]);
      await mustRun('mv', [join(mount, 'large'), join(mount, 'renamed')]);
      await mustRun('cmp', [join(mount, 'renamed'), join(work, 'up/large')]);
    } finally {
      await mustRun('fusermount', ['-u', mount]);
    }
    const path = gateway.bucketPath(Bucket);
    await mustRun('cmp', [join(path, 'renamed'), join(work, 'up/large')]);
    await mustRun('cmp', [join(path, 'small'), join(work, 'up/small')]);
    assert.match((await etagsIn(Bucket))['small']!, option === '' ? noMd5 : `"${md5('small')}"`);
    rmSync(path, { recursive: true });
  });
}

test.run();
