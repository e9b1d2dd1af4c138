// timeout: 400
import { once } from 'node:events';
import { copyFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { GetObjectCommand, ListBucketsCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Ran, runCommand, type Serving, serve } from '../support/commands.js';
import { run as runProgram } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const serving = suite('tidegate serve');
const fixtures = join(process.cwd(), 'test', 'fixtures', 'tls');
let dir = '';
let root = '';
const running: Serving[] = [];
serving.before.each(() => {
  dir = tempDir();
  root = join(dir, 'root');
});
serving.after.each(async () => {
  for (const one of running.splice(0)) {
    one.child.kill('SIGKILL');
    await one.ended;
  }
});

async function start(...args: string[]): Promise<Serving> {
  const one = await serve(['--root', root, ...args], { cwd: dir });
  running.push(one);
  return one;
}

function failed(ran: Ran, code: number, message: RegExp): void {
  assert.is(ran.code, code, ran.stderr);
  assert.is(ran.stderr.trimEnd().split('\n').length, 1, ran.stderr);
  assert.match(ran.stderr, message);
  assert.not.match(ran.stderr, /^\s+at /m);
}

const credentials = (text: string) => ({
  accessKeyId: /export AWS_ACCESS_KEY_ID=(\S+)/.exec(text)?.[1] ?? '',
  secretAccessKey: /export AWS_SECRET_ACCESS_KEY=(\S+)/.exec(text)?.[1] ?? '',
});
const client = (url: string, keys: { accessKeyId: string; secretAccessKey: string }) =>
  new S3Client({
    endpoint: url,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: keys,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });

/** Which fixture the server shows: the subject's common name. */
async function certificateOf(url: string): Promise<string | undefined> {
  const socket = connectTls({ port: Number(new URL(url).port), host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return Array.isArray(name) ? name[0] : name;
}

serving('the first start makes an account and tells how to use it, the second does not', async () => {
  const first = await start();
  const keys = credentials(first.stdout());
  assert.match(keys.accessKeyId, /^AKIA/);
  assert.match(first.stdout(), `aws --endpoint-url ${first.url} s3 mb s3://demo`);
  assert.match(first.stdout(), 'export AWS_DEFAULT_REGION=us-east-1');
  assert.match(first.stdout(), /\ntidegate: listening on http:\/\/127\.0\.0\.1:\d+\n$/);
  const s3 = client(first.url, keys);
  assert.equal((await s3.send(new ListBucketsCommand({}))).Buckets ?? [], []);
  s3.destroy();
  assert.not.match(first.stderr(), keys.secretAccessKey);
  first.child.kill('SIGTERM');
  assert.is(await first.ended, 0);
  const second = await start();
  assert.is(second.stdout(), `tidegate: listening on ${second.url}\n`);
});

serving('gateways that start first at once make one account, and all of them know it', async () => {
  const all = await Promise.all([start(), start(), start()]);
  const told = all.filter((one) => one.stdout().includes('AWS_SECRET_ACCESS_KEY'));
  assert.is(told.length, 1);
  for (const one of all) {
    const s3 = client(one.url, credentials(told[0]!.stdout()));
    await s3.send(new ListBucketsCommand({}));
    s3.destroy();
  }
  assert.is(readdirSync(join(root, '.tidegate', 'keys')).filter((name) => name.endsWith('.json')).length, 1);
});

serving('what a command changes is in force on the next request', async () => {
  const one = await start();
  const keys = credentials(one.stdout());
  const s3 = client(one.url, keys);
  const attempt = () =>
    s3.send(new ListBucketsCommand({})).then(
      () => 'ok',
      (error: Error) => error.name,
    );
  const s3dskey = (verb: string) => runCommand('s3dskey', [verb, keys.accessKeyId, '--root', root, '--json']);
  assert.is(await attempt(), 'ok');
  await s3dskey('disable');
  assert.is(await attempt(), 'InvalidAccessKeyId');
  await s3dskey('enable');
  assert.is(await attempt(), 'ok');
  await s3dskey('reset');
  assert.is(await attempt(), 'SignatureDoesNotMatch');
  await s3dskey('delete');
  assert.is(await attempt(), 'InvalidAccessKeyId');
  s3.destroy();
});

serving('SIGTERM finishes the upload in work and takes no more', async () => {
  const one = await start();
  const keys = credentials(one.stdout());
  await runCommand('s3dsbucket', ['create', '-k', keys.accessKeyId, '-b', 'demo', '--root', root]);
  const s3 = client(one.url, keys);
  const url = await getSignedUrl(s3, new PutObjectCommand({ Bucket: 'demo', Key: 'half' }));
  const upload = request(url, { method: 'PUT', headers: { 'content-length': 200_000 } });
  const answered = once(upload, 'response');
  // Once answered, a broken connection is no news.
  upload.on('error', () => {});
  upload.write(Buffer.alloc(100_000, 1));
  await new Promise((resolve) => setTimeout(resolve, 300));
  one.child.kill('SIGTERM');
  await until('draining', 5000, async () => one.stderr().includes('SIGTERM') || undefined);
  await until('refused connections', 5000, () =>
    fetch(one.url).then(
      () => undefined,
      () => true,
    ),
  );
  upload.end(Buffer.alloc(100_000, 2));
  const [response] = await answered;
  assert.is(response.statusCode, 200);
  response.resume();
  assert.is(await one.ended, 0);
  const again = await start();
  const reader = client(again.url, keys);
  const got = await reader.send(new GetObjectCommand({ Bucket: 'demo', Key: 'half' }));
  assert.is((await got.Body!.transformToByteArray()).length, 200_000);
  reader.destroy();
  s3.destroy();
});

serving('nobody reads what it says any more: it serves, and ends as it should', async () => {
  const one = await start('--log-level', 'debug');
  one.child.stdout!.destroy();
  one.child.stderr!.destroy();
  for (let i = 0; i < 3; i++) assert.is((await fetch(one.url)).status, 403);
  one.child.kill('SIGTERM');
  assert.is(await one.ended, 0);
});

serving('a second signal stops at once', async () => {
  const one = await start();
  const keys = credentials(one.stdout());
  await runCommand('s3dsbucket', ['create', '-k', keys.accessKeyId, '-b', 'demo', '--root', root]);
  const s3 = client(one.url, keys);
  const url = await getSignedUrl(s3, new PutObjectCommand({ Bucket: 'demo', Key: 'half' }));
  const upload = request(url, { method: 'PUT', headers: { 'content-length': 200_000 } }).on('error', () => {});
  upload.write(Buffer.alloc(100_000, 1));
  await new Promise((resolve) => setTimeout(resolve, 300));
  one.child.kill('SIGINT');
  // One Ctrl-C may come twice at once: that is not the second.
  one.child.kill('SIGINT');
  await until('draining', 5000, async () => one.stderr().includes('SIGINT') || undefined);
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.is(one.child.exitCode, null);
  one.child.kill('SIGINT');
  assert.is(await one.ended, 130);
  upload.destroy();
  s3.destroy();
});

serving('a taken port is one line', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const ran = await runCommand('tidegate', ['serve', '--root', root, '--port', `${port}`]);
  failed(ran, 1, /^tidegate: cannot listen on 127\.0\.0\.1:\d+: the address is in use already: .*another --port$/m);
  assert.is(ran.stdout, '');
  server.close();
  // The secret was not used up by the start that failed.
  assert.match((await start()).stdout(), 'AWS_SECRET_ACCESS_KEY');
});

serving('bad settings and roots are one line', async () => {
  const bad = (args: string[], env = {}) => runCommand('tidegate', ['serve', ...args], { cwd: dir, env });
  failed(await bad(['--port', 'x']), 2, /^tidegate: setting port \(from --port\) must be a number from 0 to 65535/);
  failed(await bad([], { TIDEGATE_WORKERS: '-1' }), 2, /setting workers \(from TIDEGATE_WORKERS\) must be auto or/);
  failed(await bad(['--colour']), 2, /unknown option '--colour'/);
  failed(await bad(['--tls-cert', 'none.pem', '--tls-key', 'none.pem']), 2, /cannot read the TLS certificate .*none/);
  writeFileSync(join(dir, 'file'), '');
  failed(await bad(['--root', 'file']), 1, /the root .*file is not a directory/);
  failed(await bad(['--root', 'file/below']), 1, /cannot use the root .*file.below: /);
  failed(await bad(['--root', '/proc/none/root']), 1, /cannot use the root .proc.none.root: /);
  writeFileSync(join(dir, 'tidegate.json'), '{"prot": 1}');
  failed(await bad([]), 2, /unknown setting "prot" in .*did you mean port\?/);
});

serving('a directory that is gone is named', async () => {
  const program = join(import.meta.dirname, '../../gateway/cli/tidegate.js');
  const gone = 'mkdir gone && cd gone && rmdir "$PWD" && exec "$0" "$@"';
  const ran = await runProgram('sh', ['-c', gone, process.execPath, program, 'check'], { cwd: dir });
  assert.equal([ran.code, ran.stderr], [1, 'tidegate: the current directory: no such file or directory\n']);
});

serving('a renewed certificate is taken up by itself and on SIGHUP, a broken one is not', async () => {
  const [cert, key] = [join(dir, 'tls.crt'), join(dir, 'tls.key')];
  const install = (name: string) => {
    for (const [from, to] of [
      [`${name}.crt`, cert],
      [`${name}.key`, key],
    ] as const) {
      copyFileSync(join(fixtures, from), `${to}.new`);
      renameSync(`${to}.new`, to);
    }
  };
  const shows = (url: string, name: string) =>
    until(`certificate ${name}`, 40_000, async () => (await certificateOf(url)) === name || undefined);
  install('first');
  const one = await start('--tls-cert', cert, '--tls-key', key);
  assert.match(one.url, /^https:/);
  assert.is(await certificateOf(one.url), 'first');

  install('second');
  await shows(one.url, 'second');

  writeFileSync(cert, 'no certificate');
  one.child.kill('SIGHUP');
  await until('the refusal', 10_000, async () => one.stderr().includes('stays in force') || undefined);
  assert.is(await certificateOf(one.url), 'second');

  install('first');
  one.child.kill('SIGHUP');
  await shows(one.url, 'first');
});

serving('check tells what the filesystem offers', async () => {
  const ran = await runCommand('tidegate', ['check', dir]);
  assert.is(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /\| user attributes +\| (no|\d+ bytes) /);
  const found = JSON.parse((await runCommand('tidegate', ['check', dir, '--json'])).stdout);
  assert.is(found.directory, dir);
  assert.is(typeof found.xattr.supported, 'boolean');
  assert.equal(readdirSync(dir), []);
  failed(
    await runCommand('tidegate', ['check', join(dir, 'none')]),
    1,
    /cannot check .*none: no such file or directory/,
  );
});

serving.run();
