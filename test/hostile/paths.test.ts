/** Keys, buckets, copy sources and directories that try to be somewhere else: over raw HTTP, on real directories. */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, type Key, startGateway } from '../support/gateway.js';
import { tempDir } from '../support/temp.js';
import { type Answer, closeSockets, type Request, send } from './wire.js';

const test = suite('hostile: paths');
const SECRET = 'the secret of bert';
let gateway: Gateway;
let bert: Key;
let work: string;

test.before(async () => {
  work = tempDir('tidegate-paths-');
  chmodSync(work, 0o755);
  for (const name of ['bk2', 'bk2/data', 'bk2x', 'bk2x/data']) {
    mkdirSync(join(work, name));
    chmodSync(join(work, name), 0o777);
  }
  writeFileSync(join(work, 'secret'), SECRET);
  const root = join(work, 'root');
  bert = await createKey(root, 'other', ['--fspaths', join(work, 'bk2')]);
  gateway = await startGateway({
    root,
    // What the sync engine writes in the service area would be taken for a request's doing.
    flags: ['--log-level', 'warn', '--durability', 'none', '--host-style', 's3.test', '--sync', 'off'],
  });
  await done({ method: 'PUT', url: '/bk2' });
  await done({ method: 'PUT', url: '/bk2x', as: bert });
  for (const key of ['secret', 'only-in-bk2x'])
    await done({ method: 'PUT', url: `/bk2x/${key}`, as: bert, body: SECRET });
});
test.after(async () => {
  closeSockets();
  assert.is(await gateway?.stop(), 0);
});

async function done(request: Request): Promise<Answer> {
  const answer = await send(gateway, request);
  assert.ok(answer.status! < 300, `${request.method} ${request.url}: ${answer.text}`);
  return answer;
}

/** All that is not in bk2's own directory: names, contents, and ctimes of files. */
function elsewhere(directory = work): string[] {
  if (directory === gateway.bucketPath('bk2')) return [];
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    const stat = lstatSync(path, { bigint: true });
    // Those that the gateway keeps for itself it makes when it looks into them.
    if (stat.isDirectory()) return [...(path.includes('/.tidegate/') ? [] : [path]), ...elsewhere(path)];
    return [`${path} ${stat.size} ${stat.ctimeNs}`];
  });
}

/** Sends it, and holds that nothing came from elsewhere. */
async function harmless(request: Request): Promise<Answer> {
  const answer = await send(gateway, request);
  const what = `${request.method ?? 'GET'} ${request.target ?? request.url} ${JSON.stringify(request.headers ?? {})}: ${answer.text}`;
  assert.not.match(answer.text, SECRET, what);
  assert.not.match(answer.text, 'only-in-bk2x', what);
  assert.not.match(answer.text, 'root:x:', what);
  assert.ok(answer.status !== undefined && (answer.status < 500 || answer.status === 501), what);
  // Else the signature were the only thing that keeps it.
  assert.is.not(answer.code, 'SignatureDoesNotMatch', what);
  return answer;
}

const refused = async (request: Request): Promise<void> => {
  const answer = await harmless(request);
  assert.ok(answer.status! >= 400, `${request.method} ${request.url}: ${answer.text}`);
};

const etag = 'x'.repeat(32);
const complete = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;

/** Keys (after `/bk2/`) that must not be. */
const nowhere = [
  '../bk2x/secret',
  'x/../../bk2x/secret',
  '%2e%2e/bk2x/secret',
  '%2E%2E/bk2x/secret',
  '.%2e/bk2x/secret',
  '%2e./bk2x/secret',
  '..%2fbk2x/secret',
  '..%2Fbk2x%2Fsecret',
  '%2e%2e%2fbk2x%2fsecret',
  'x/%2e%2e/%2e%2e/bk2x/secret',
  './secret',
  '%2e/secret',
  'x/./y',
  'x/..',
  'x/%2e%2e/',
  '/etc/passwd',
  '%2fetc%2fpasswd',
  '%2F%2Fetc/passwd',
  'x//y',
  'x%2f%2fy',
  // Overlong and broken UTF-8: no second spelling of a dot, a slash or nothing.
  '%c0%ae%c0%ae/bk2x/secret',
  '%c0%ae%c0%ae%c0%afbk2x%c0%afsecret',
  '..%c0%afbk2x/secret',
  '%e0%80%ae%e0%80%ae/bk2x/secret',
  '%f0%80%80%ae/x',
  '%c0%80',
  '%ed%a0%80',
  '%ff%fe',
  '%80',
  'x%00',
  '%00',
  '..%00/bk2x/secret',
  'secret%00.txt',
  '%',
  '%2',
  '%zz',
  '%u002e%u002e/bk2x/secret',
  // Ours, in every spelling.
  '.tidegate',
  '.tidegate/',
  '.tidegate/staging/x',
  '.tidegate/uploads/x',
  '%2etidegate/staging/x',
  '.tidegat%65/x',
  '%2E%74%69%64%65%67%61%74%65/x',
  '.tidegate%2fx',
  'x/.tidegate/y',
  'x/.tidegate',
  'x/%2etidegate/',
];

/** Keys that only look so: each is the file of that very name. `[on the wire, name]` */
const ordinary: [string, string][] = [
  ['%252e%252e/bk2x/secret', '%2e%2e/bk2x/secret'],
  ['..%252fbk2x%252fsecret', '..%2fbk2x%2fsecret'],
  ['%252e%252e%252fbk2x', '%2e%2e%2fbk2x'],
  ['..%5cbk2x%5csecret', '..\\bk2x\\secret'],
  ['..\\bk2x\\secret2', '..\\bk2x\\secret2'],
  ['.../bk2x/secret', '.../bk2x/secret'],
  ['..bk2x/secret', '..bk2x/secret'],
  ['bk2x../secret', 'bk2x../secret'],
  ['%2e%2e%20/secret', '.. /secret'],
  ['..%0a/secret', '..\n/secret'],
  ['~/secret', '~/secret'],
  ['..;/bk2x/secret', '..;/bk2x/secret'],
  ['%ef%bc%8e%ef%bc%8e/bk2x', '．．/bk2x'],
  ['%e2%80%a5/bk2x', '‥/bk2x'],
  ['..%e2%88%95bk2x', '..∕bk2x'],
  ['.tidegate2/x', '.tidegate2/x'],
  ['.tidegate%20/x', '.tidegate /x'],
  ['tidegate/x', 'tidegate/x'],
  ['%252etidegate/x', '%2etidegate/x'],
];

test('no key leads out of its bucket, or to our own files, whatever its encoding and whatever is asked', async () => {
  const before = elsewhere();
  for (const key of nowhere) {
    const url = `/bk2/${key}`;
    await refused({ url });
    await refused({ method: 'HEAD', url });
    await refused({ url: `${url}?acl` });
    await refused({ url: `${url}?tagging` });
    await refused({ method: 'PUT', url, body: 'evil' });
    await refused({ method: 'PUT', url, body: 'e'.repeat(200_000) });
    await refused({ method: 'PUT', url: `${url}?tagging`, body: '<Tagging><TagSet/></Tagging>' });
    await refused({ method: 'PUT', url: `${url}?acl`, headers: { 'x-amz-acl': 'public-read' } });
    await refused({ method: 'PUT', url, headers: { 'x-amz-copy-source': '/bk2/k' } });
    await refused({ method: 'POST', url: `${url}?uploads` });
    await refused({ method: 'PUT', url: `${url}?partNumber=1&uploadId=..%2f..%2fx`, body: 'evil' });
    await refused({ method: 'POST', url: `${url}?uploadId=../../x`, body: complete });
    // What cannot be stored is gone as asked, or is no address at all.
    await harmless({ method: 'DELETE', url });
    await harmless({ method: 'DELETE', url: `${url}?uploadId=x` });
  }
  const written = nowhere.map(decodeOr).filter((key) => key !== undefined);
  const list = `<Delete>${written.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`;
  await harmless({ method: 'POST', url: '/bk2?delete', body: list });
  assert.equal(elsewhere(), before);
  assert.equal(
    readdirSync(gateway.bucketPath('bk2')).filter((name) => name !== '.tidegate'),
    [],
  );
});

function decodeOr(key: string): string | undefined {
  try {
    const text = decodeURIComponent(key);
    return text.includes('\0') || text.includes('&') ? undefined : text;
  } catch {
    return undefined;
  }
}

test('keys that only look like ways out are files of that very name', async () => {
  const before = elsewhere();
  for (const [wire, name] of ordinary) {
    await harmless({ method: 'PUT', url: `/bk2/${wire}`, body: name });
    assert.is(readFileSync(join(gateway.bucketPath('bk2'), `./${name}`), 'utf8'), name, wire);
    assert.is(Buffer.from((await harmless({ url: `/bk2/${wire}` })).body, 'latin1').toString(), name);
    await done({ method: 'DELETE', url: `/bk2/${wire}` });
    assert.not.ok(existsSync(join(gateway.bucketPath('bk2'), `./${name}`)), wire);
  }
  assert.equal(elsewhere(), before);
});

test('no bucket is a way through the root, in path style or in host style', async () => {
  const before = elsewhere();
  const names = [
    '..',
    '.',
    '.tidegate',
    '%2e%2e',
    '%2etidegate',
    'bk2%2f..%2fbk2x',
    '..%2fbk2x',
    `${bert.uuid}%2fbk2x`,
  ];
  for (const name of [...names, 'bk2%00', 'bk2%00x', '%ff', 'bk2\\..\\bk2x', '%2fetc', 'bk2%252f..%252fbk2x', '/']) {
    for (const rest of ['', '/secret', '/bk2x/secret', '?list-type=2', '?policy']) {
      await refused({ url: `/${name}${rest}`, as: gateway });
    }
    await refused({ method: 'PUT', url: `/${name}` });
    await refused({ method: 'DELETE', url: `/${name}` });
    await refused({ method: 'PUT', url: `/${name}/evil`, body: 'evil' });
    await refused({ method: 'PUT', url: '/bk2/copy', headers: { 'x-amz-copy-source': `${name}/secret` } });
  }
  const hosts = [
    '..',
    '.',
    '.tidegate',
    'bk2/../bk2x',
    'bk2%2f..%2fbk2x',
    '../bk2x',
    'bk2\\..\\bk2x',
    `${bert.uuid}/bk2x`,
  ];
  for (const name of [...hosts, 'bk2..', '..bk2x', 'bk2x/', 'bk2,bk2x', 'bk2x bk2']) {
    for (const url of ['/secret', '/', '/?list-type=2', '/../bk2x/secret', '/%2e%2e/bk2x/secret']) {
      await refused({ url, headers: { host: `${name}.s3.test` } });
      await refused({ method: 'PUT', url, headers: { host: `${name}.s3.test` }, body: 'evil' });
    }
  }
  // The address itself works, else all of this shows nothing.
  await done({ method: 'PUT', url: '/k', headers: { host: 'bk2.s3.test' }, body: 'k' });
  assert.is((await done({ url: '/k', headers: { host: 'BK2.S3.test:80' } })).body, 'k');
  await refused({ url: '/secret', headers: { host: 'bk2x.s3.test' } });
  assert.equal(elsewhere(), before);
});

test('targets in absolute form, with a fragment, a user, another host: what was signed is what is meant', async () => {
  const host = `127.0.0.1:${gateway.port}`;
  assert.is((await harmless({ url: '/bk2/k', target: `http://${host}/bk2/k` })).body, 'k');
  for (const target of [
    `http://${host}/bk2x/secret`,
    `http://bk2x.s3.test/secret`,
    `http://bk2x.s3.test@${host}/secret`,
    `http://${host}@bk2x.s3.test/secret`,
    `http://${host}\\@bk2x.s3.test/secret`,
    `http://bk2x.s3.test:80:80/secret`,
    `//bk2x.s3.test/secret`,
    `/bk2/../bk2x/secret`,
    `/bk2x/secret#/bk2/k`,
    `bk2x/secret`,
    `*`,
    `ftp://${host}/bk2x/secret`,
  ]) {
    const answer = await send(gateway, { url: '/bk2/k', target });
    assert.not.match(answer.text, SECRET, target);
    assert.ok(
      answer.status === undefined || (answer.status >= 400 && answer.status < 500),
      `${target}: ${answer.text}`,
    );
  }
});

test('no copy source is another’s, however it is written', async () => {
  const before = elsewhere();
  for (const source of [
    'bk2x/secret',
    '/bk2x/secret',
    'bk2x%2fsecret',
    '%2Fbk2x%2Fsecret',
    '%62%32%78/secret',
    'bk2x/secret?versionId=null',
    'bk2x/secret?versionId=null?versionId=null',
    'bk2x/secret%3FversionId=null',
    '//bk2x/secret',
    'bk2//../bk2x/secret',
    'bk2/../bk2x/secret',
    'bk2%2f..%2fbk2x%2fsecret',
    'bk2/%2e%2e/bk2x/secret',
    'bk2/..%2fbk2x/secret',
    'bk2/%c0%ae%c0%ae/bk2x/secret',
    'bk2%00/../bk2x/secret',
    '../bk2x/secret',
    '.tidegate/master.key',
    'bk2/.tidegate/uploads',
    'bk2/%2etidegate/uploads',
    `${bert.uuid}/bk2x/secret`,
    `arn:aws:s3:::bk2x/secret`,
    `arn:aws:s3:us-east-1:${bert.uuid}:accesspoint/bk2x/object/secret`,
    `http://127.0.0.1:${gateway.port}/bk2x/secret`,
    'bk2x/secret, bk2/k',
    'bk2/k, bk2x/secret',
    '',
    '/',
    'bk2x',
    'bk2x/',
  ]) {
    await refused({ method: 'PUT', url: '/bk2/copied', headers: { 'x-amz-copy-source': source } });
    const begun = await done({ method: 'POST', url: '/bk2/copied?uploads' });
    const id = /<UploadId>([^<]+)/.exec(begun.body)?.[1];
    const url = `/bk2/copied?partNumber=1&uploadId=${id}`;
    await refused({ method: 'PUT', url, headers: { 'x-amz-copy-source': source } });
    assert.not.match((await done({ url: `/bk2/copied?uploadId=${id}` })).body, '<Part>');
    await done({ method: 'DELETE', url: `/bk2/copied?uploadId=${id}` });
  }
  await refused({ url: '/bk2/copied' });
  assert.equal(elsewhere(), before);
});

test('no parameter of a listing leads anywhere else', async () => {
  for (const value of [
    '../',
    '../bk2x/',
    '%2e%2e/bk2x/',
    '..%2fbk2x%2f',
    '/',
    '//',
    '.tidegate/',
    '%2etidegate/',
    '.',
    '..',
    'x/../../bk2x/',
    '%00',
    '%ff',
    '%c0%ae%c0%ae/',
    'a'.repeat(5000),
  ]) {
    for (const parameters of [
      `prefix=${value}`,
      `prefix=${value}&delimiter=/`,
      `marker=${value}`,
      `list-type=2&start-after=${value}`,
      `list-type=2&continuation-token=${value}`,
      `list-type=2&continuation-token=${Buffer.from(decodeOr(value) ?? value).toString('base64url')}`,
      `list-type=2&prefix=${value}&start-after=${value}`,
      `delimiter=${value}`,
      `versions&key-marker=${value}&prefix=${value}`,
      `uploads&prefix=${value}&key-marker=${value}&upload-id-marker=${value}`,
    ]) {
      const { text } = await harmless({ url: `/bk2?${parameters}` });
      assert.not.match(text, /<Key>(?!k<)|<CommonPrefixes>/, parameters);
    }
  }
});

const policy = (bucket: string, Resource: string[], more: object = {}) =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: '*', Action: 's3:*', Resource, ...more }],
  }).replaceAll('BUCKET', bucket);

test('a policy of bk2 says nothing of bk2x, nor one of dir of dirx', async () => {
  const put = (body: string) => send(gateway, { method: 'PUT', url: '/bk2?policy', body });
  for (const foreign of [
    'bk2x',
    'bk2x/*',
    'arn:aws:s3:::bk2x',
    'arn:aws:s3:::bk2x/*',
    'b',
    'bk2?',
    '*x/*',
    'bk2/../bk2x/*x/../bk2x',
  ]) {
    if (foreign.startsWith('bk2/')) continue;
    assert.is((await put(policy('bk2', [foreign]))).code, 'MalformedPolicy', foreign);
  }
  // Patterns that fit both names are of the bucket that they are attached to, and of no other.
  for (const wide of ['arn:aws:s3:::bk2*', 'arn:aws:s3:::*', 'bk2*/*', '*']) {
    assert.is((await put(policy('bk2', [wide, 'bk2/*']))).status, 204, wide);
    assert.is((await send(gateway, { url: '/bk2/k', as: null })).body, 'k');
    for (const as of [null, gateway]) {
      assert.is((await send(gateway, { url: '/bk2x/secret', as })).code, 'AccessDenied');
      assert.is((await send(gateway, { url: '/bk2x', as })).code, 'AccessDenied');
      assert.is((await send(gateway, { method: 'PUT', url: '/bk2x/evil', as, body: 'evil' })).code, 'AccessDenied');
    }
  }
  for (const key of ['dir/k', 'dirx/k', 'dir-', 'Dir/k']) await done({ method: 'PUT', url: `/bk2/${key}x`, body: 'k' });
  assert.is((await put(policy('bk2', ['arn:aws:s3:::bk2/dir/*']))).status, 204);
  assert.is((await send(gateway, { url: '/bk2/dir/kx', as: bert })).status, 200);
  for (const key of [
    'dirx/kx',
    'Dir/kx',
    'dirx',
    'dir%2f%2e%2e%2fdirx%2fkx',
    'dir/../dirx/kx',
    'k',
    '',
    '?list-type=2',
  ]) {
    const answer = await send(gateway, { url: `/bk2/${key}`, as: bert });
    assert.ok(answer.status === 403 || answer.status === 404, `${key}: ${answer.text}`);
    assert.not.match(answer.body, /^k$/, key);
  }
  // A deny holds for the key as it is decoded, however it is written.
  assert.is(
    (
      await put(
        policy('bk2', ['bk2', 'bk2/*']).replace(
          '}]}',
          '},{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"bk2/dir/*"}]}',
        ),
      )
    ).status,
    204,
  );
  assert.is((await send(gateway, { url: '/bk2/dirx/kx', as: bert })).status, 200);
  for (const key of ['dir/kx', 'dir%2fkx', '%64ir/kx', 'dir/%6bx', '%64%69%72%2F%6B%78']) {
    assert.is((await send(gateway, { url: `/bk2/${key}`, as: bert })).code, 'AccessDenied', key);
    const headers = { 'x-amz-copy-source': `bk2/${key}` };
    assert.is(
      (await send(gateway, { method: 'PUT', url: '/bk2x/stolen', as: bert, headers })).code,
      'AccessDenied',
      key,
    );
  }
  await done({ method: 'DELETE', url: '/bk2?policy' });
});

test('a directory is published below the key’s own paths only', async () => {
  const before = elsewhere();
  const own = join(work, 'bk2');
  const make = (directory: string, name = 'published', as = bert) =>
    harmless({ method: 'PUT', url: `/${name}`, as, headers: { 'x-ddn-specified-directory': directory } });
  for (const directory of [
    `${own}x`,
    `${own}x/data`,
    `${own}/../bk2x/data`,
    `${own}/./data`,
    `${own}//data`,
    `${own}/data/../../bk2x`,
    `${own}%2f..%2fbk2x`,
    `${own}\\..\\bk2x`,
    `${own}/data/.tidegate`,
    work,
    '/',
    '/etc',
    gateway.root,
    join(gateway.root, bert.uuid),
    gateway.bucketPath('bk2'),
    'bk2/data',
    '.',
    '..',
  ]) {
    const answer = await make(directory);
    assert.ok(answer.status === 403 || answer.status === 400 || answer.status === 409, `${directory}: ${answer.text}`);
  }
  assert.ok((await make(join(own, 'data'), 'published', gateway)).status === 403, 'another key');
  assert.equal(elsewhere(), before);
  assert.is((await make(join(own, 'data'))).status, 200);
  await done({ method: 'PUT', url: '/published/k', as: bert, body: 'k' });
  assert.is(readFileSync(join(own, 'data/k'), 'utf8'), 'k');
});

test.run();
