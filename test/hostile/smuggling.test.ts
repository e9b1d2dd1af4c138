/** Requests of which one part of the world might understand something else than another: raw HTTP over sockets. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { presignV2 } from '../auth/signer.js';
import { createKey, type Gateway, type Key, startGateway } from '../support/gateway.js';
import { type Answer, closeSockets, compose, exchange, presigned, type Request, send } from './wire.js';

const test = suite('hostile: smuggling');
let gateway: Gateway;
let bert: Key;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn', '--durability', 'none'] });
  bert = await createKey(gateway.root, 'other');
  for (const url of ['/anna-1', '/anna-1/k', '/anna-1/private']) await done({ method: 'PUT', url, body: url.slice(8) });
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
const code = async (request: Request): Promise<string> => {
  const { code, status } = await send(gateway, request);
  return code ?? String(status);
};
const stored = (key: string): string | undefined => {
  const path = join(gateway.bucketPath('anna-1'), key);
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
};

/** Headers that would change what a request means: none may be added to what somebody else has signed. */
const meaningful: [name: string, value: () => string][] = [
  ['x-amz-acl', () => 'public-read-write'],
  ['x-amz-grant-full-control', () => `id=${bert.uuid}`],
  ['x-amz-grant-read', () => `id=${bert.uuid}`],
  ['x-amz-grant-write-acp', () => `id=${bert.uuid}`],
  ['x-amz-copy-source', () => '/anna-1/private'],
  ['x-amz-tagging', () => 'public=yes'],
  ['x-amz-meta-owner', () => 'bert'],
  ['x-amz-meta-content_md5', () => 'x'],
  ['x-amz-storage-class', () => 'STANDARD'],
  ['x-amz-website-redirect-location', () => 'http://evil.test/'],
  ['x-amz-metadata-directive', () => 'REPLACE'],
  ['x-amz-object-ownership', () => 'ObjectWriter'],
  ['x-amz-bypass-governance-retention', () => 'true'],
  ['x-amz-expected-bucket-owner', () => gateway.uuid],
  ['x-amz-date', () => '20260101T000000Z'],
  ['x-amz-security-token', () => ''],
  ['x-amz-server-side-encryption', () => 'AES256'],
  ['x-amz-decoded-content-length', () => '1'],
  ['x-amz-trailer', () => 'x-amz-checksum-crc32'],
  ['x-amz-whatever', () => '1'],
];

test('no x-amz-* header is added to a signed request, or to a presigned URL', async () => {
  for (const [name, value] of meaningful) {
    for (const spelling of [name, name.toUpperCase()]) {
      const lines = [`${spelling}: ${value()}`];
      for (const version of [4, 2] as const) {
        const answer = await send(gateway, { method: 'PUT', url: '/anna-1/added', body: 'x', lines, version });
        assert.is(answer.status, name === 'x-amz-date' ? answer.status : 403, `${version} ${name}: ${answer.text}`);
        assert.ok(answer.status! >= 400, `${version} ${name}: ${answer.text}`);
      }
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const url = presigned(gateway, method, '/anna-1/added');
        const answer = await send(gateway, { method, url, as: null, body: method === 'PUT' ? 'x' : '', lines });
        assert.match(
          answer.code ?? '',
          /AccessDenied|SignatureDoesNotMatch|Invalid/,
          `${method} ${name}: ${answer.text}`,
        );
      }
      const keys = { accessKey: gateway.accessKey, secret: gateway.secretKey };
      const host = { host: `127.0.0.1:${gateway.port}` };
      const expires = Math.floor(Date.now() / 1000) + 600;
      const url = presignV2({ method: 'PUT', url: '/anna-1/added', headers: host }, keys, expires, '/anna-1/added');
      assert.is((await send(gateway, { method: 'PUT', url, as: null, body: 'x', lines })).status, 403, name);
    }
  }
  assert.is(stored('added'), undefined);
  const url = presigned(gateway, 'PUT', '/anna-1/added');
  assert.is((await send(gateway, { method: 'PUT', url, as: null, body: 'x' })).status, 200, 'the URL itself is good');
});

test('nor is any to a presigned URL by way of its query', async () => {
  for (const [name, value] of meaningful) {
    const url = `${presigned(gateway, 'PUT', '/anna-1/queried')}&${name}=${encodeURIComponent(value())}`;
    assert.match(
      await code({ method: 'PUT', url, as: null, body: 'x' }),
      /SignatureDoesNotMatch|InvalidToken|Denied/,
      name,
    );
  }
  for (const parameter of [
    'acl',
    'tagging',
    'policy',
    'uploads',
    'versionId=null',
    'uploadId=x&partNumber=1',
    'delete',
  ]) {
    const url = presigned(gateway, 'PUT', '/anna-1/queried');
    const wrong = /SignatureDoesNotMatch|MethodNotAllowed/;
    assert.match(await code({ method: 'PUT', url: `${url}&${parameter}`, as: null, body: 'x' }), wrong, parameter);
    const path = url.replace('?', `?${parameter}&`);
    assert.match(await code({ method: 'PUT', url: path, as: null, body: 'x' }), wrong, parameter);
  }
  assert.is(stored('queried'), undefined);
});

test('a signed header that comes twice is not what was signed', async () => {
  const base = { method: 'PUT', url: '/anna-1/twice', body: 'x' };
  for (const version of [4, 2] as const) {
    const headers = { 'x-amz-meta-a': '1', 'x-amz-acl': 'private', 'content-type': 'text/plain' };
    for (const line of ['x-amz-meta-a: 2', 'X-Amz-Meta-A: 1', 'x-amz-acl: public-read', 'content-type: text/html']) {
      const answer = await send(gateway, { ...base, headers, version, lines: [line] });
      // A second Content-Type reaches nobody: node drops it from its own headers, and the raw ones are what is signed.
      assert.is(answer.status, 403, `${version} ${line}: ${answer.text}`);
      const before = (all: string[]) => [all[0]!, line, ...all.slice(1)];
      assert.is((await send(gateway, { ...base, headers, version, change: before })).status, 403, line);
    }
  }
  for (const [line, expected] of [
    [`host: 127.0.0.1:${gateway.port}`, /BadRequest|400/],
    ['host: evil.test', /BadRequest|400/],
    ['x-amz-date: 20300101T000000Z', /AccessDenied|RequestTimeTooSkewed|Malformed/],
    ['x-amz-content-sha256: UNSIGNED-PAYLOAD', /Invalid|SignatureDoesNotMatch/],
    ['content-length: 2', /BadRequest/],
    ['content-length: 1', /BadRequest|200/],
  ] as const) {
    const answer = await code({ ...base, lines: [line] });
    assert.match(answer, expected, line);
  }
  assert.ok(stored('twice') === undefined || stored('twice') === 'x');
});

test('two signatures: in two headers, in header and query, in the query twice', async () => {
  const own = compose(gateway, { url: '/anna-1/private' }).head;
  const authorization = /^authorization: .*$/im.exec(own)![0];
  const foreign = compose(gateway, { url: '/anna-1/private', as: bert }).head;
  const other = /^authorization: .*$/im.exec(foreign)![0];
  for (const lines of [[authorization], [other], ['Authorization: Basic eDp5']]) {
    const answer = await send(gateway, { url: '/anna-1/private', lines });
    assert.match(answer.code ?? '', /Malformed|InvalidArgument|SignatureDoesNotMatch/, `${lines}: ${answer.text}`);
  }
  const url = presigned(gateway, 'GET', '/anna-1/private');
  assert.is(await code({ url }), 'InvalidArgument', 'header and query');
  assert.is(await code({ url, as: null }), '200');
  assert.is(await code({ url, as: null, version: 2, lines: ['Authorization: AWS a:b'] }), 'InvalidArgument');
  const [, signature] = /X-Amz-Signature=([0-9a-f]+)/.exec(url)!;
  for (const added of [
    `X-Amz-Signature=${signature}`,
    'X-Amz-Signature=0',
    'X-Amz-Signature=',
    `X-Amz-Expires=604800`,
    `X-Amz-Credential=x`,
    'X-Amz-SignedHeaders=host',
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Date=20300101T000000Z`,
    'x-amz-signature=0',
    'AWSAccessKeyId=x',
    'Signature=x',
    'Expires=9999999999',
  ]) {
    for (const both of [`${url}&${added}`, url.replace('?', `?${added}&`)]) {
      assert.is.not(await code({ url: both, as: null }), '200', added);
    }
  }
  const keys = { accessKey: gateway.accessKey, secret: gateway.secretKey };
  const headers = { host: `127.0.0.1:${gateway.port}` };
  const expires = Math.floor(Date.now() / 1000) + 600;
  const old = presignV2({ method: 'GET', url: '/anna-1/private', headers }, keys, expires, '/anna-1/private');
  assert.is(await code({ url: old, as: null }), '200');
  for (const added of ['Signature=x', 'Expires=9999999999', `AWSAccessKeyId=${keys.accessKey}`]) {
    for (const both of [`${old}&${added}`, old.replace('?', `?${added}&`)]) {
      assert.is.not(await code({ url: both, as: null }), '200', added);
    }
  }
});

test('parameters that select something else, twice: what is signed is what is done, or nothing is', async () => {
  const id = /<UploadId>([^<]+)/.exec((await done({ method: 'POST', url: '/anna-1/m?uploads' })).body)?.[1];
  const part = `/anna-1/m?partNumber=1&uploadId=${id}`;
  for (const added of [
    `uploadId=${id}`,
    'uploadId=x',
    'uploadId',
    'partNumber=2',
    'partNumber',
    'acl',
    'versionId=x',
  ]) {
    for (const target of [`${part}&${added}`, part.replace('?', `?${added}&`)]) {
      for (const version of [4, 2] as const) {
        const answer = await send(gateway, { method: 'PUT', url: part, target, body: 'x', version });
        assert.ok(answer.status! >= 400, `${version} ${target}: ${answer.text}`);
      }
    }
  }
  assert.not.match((await done({ url: `/anna-1/m?uploadId=${id}` })).body, '<Part>');
});

// ---- one message or two? -----------------------------------------------------------------------------------------

const hidden = (): string => compose(gateway, { method: 'PUT', url: '/anna-1/smuggled', body: '' }).head;

/** Sends raw bytes that hide a second, signed request; answers what came. The second must not be carried out. */
async function hides(head: string[], body: string): Promise<Answer> {
  const answer = await exchange(gateway, `${head.join('\r\n')}\r\n\r\n${body}`);
  assert.is(stored('smuggled'), undefined, `${head.join(' | ')}: ${answer.text}`);
  return answer;
}

const signed = (more: string[], body = ''): string[] => {
  const lines = compose(gateway, { method: 'PUT', url: '/anna-1/outer', body, headers: {} }).head.trim().split('\r\n');
  return [...lines.filter((line) => !/^(content-length|connection):/i.test(line)), ...more];
};

test('lengths that contradict each other: 400, and the connection ends', async () => {
  const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
  const lengths: string[][] = [
    ['Content-Length: 5', 'Transfer-Encoding: chunked'],
    ['Transfer-Encoding: chunked', 'Content-Length: 5'],
    ['Content-Length: 5', 'Content-Length: 6'],
    ['Content-Length: 5, 6'],
    ['Content-Length: +5'],
    ['Content-Length: 0x5'],
    ['Content-Length: 5 5'],
    ['Content-Length: -1'],
    ['Content-Length: 5', 'Transfer-Encoding: xchunked'],
    ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
    ['Transfer-Encoding: identity, chunked, identity'],
    ['Transfer-Encoding : chunked'],
    ['Transfer-Encoding:\tchunked, chunked', 'Content-Length: 3'],
    ['Content-Length : 5'],
  ];
  for (const more of lengths) {
    const answer = await hides(signed(more, 'hello'), `${chunked('hello')}${hidden()}`);
    assert.ok(answer.status === undefined || answer.status >= 400, `${more}: ${answer.text}`);
    assert.is(stored('outer'), undefined, more.join(' | '));
    assert.is((answer.text.match(/^HTTP\/1\.1 /gm) ?? []).length <= 1, true, answer.text);
  }
});

test('chunks that are none: nothing is stored of them, and nothing after them is done', async () => {
  for (const body of [
    `5\r\nhelloX\r\n0\r\n\r\n`,
    `5;a\nb\r\nhello\r\n0\r\n\r\n`,
    `0x5\r\nhello\r\n0\r\n\r\n`,
    `-5\r\nhello\r\n0\r\n\r\n`,
    `5 \r\nhello\r\n0\r\n\r\n`,
    `\r\n5\r\nhello\r\n0\r\n\r\n`,
    `fffffffffffffffff\r\nhello\r\n0\r\n\r\n`,
    `5\nhello\n0\n\n`,
    `5\rhello\r0\r\r`,
  ]) {
    const answer = await hides(signed(['Transfer-Encoding: chunked'], 'hello'), `${body}${hidden()}`);
    assert.ok(answer.status === undefined || answer.status >= 400, `${JSON.stringify(body)}: ${answer.text}`);
    assert.is(stored('outer'), undefined, JSON.stringify(body));
  }
});

test('folded lines, spaces before the colon, bare line ends, control characters: no header by the back door', async () => {
  for (const more of [
    ['x-a: 1', ' x-amz-acl: public-read'],
    ['x-a: 1\r\n\tx-amz-copy-source: /anna-1/private'],
    ['x-amz-acl : public-read'],
    ['x-amz-acl\t: public-read'],
    ['x-a: 1\nx-amz-acl: public-read'],
    ['x-a: 1\rx-amz-acl: public-read'],
    ['x-a: 1\0x-amz-acl: public-read'],
    ['x-amz-acl\0: public-read'],
    [' x-amz-acl: public-read'],
    [': public-read'],
    ['x-amz-acl'],
    ['x amz acl: public-read'],
    ['x-amz-acl;: public-read', 'x-amz-acl:public-read'],
  ]) {
    const answer = await hides(signed([...more, 'Content-Length: 0', 'Connection: close']), '');
    if (answer.status === 200) {
      // Then it was one header of another name, and what is stored is private.
      assert.is((await send(gateway, { url: '/anna-1/outer', as: null })).code, 'AccessDenied', JSON.stringify(more));
      assert.is(stored('outer'), '', JSON.stringify(more));
      await done({ method: 'DELETE', url: '/anna-1/outer' });
    } else assert.ok(answer.status === undefined || answer.status === 400 || answer.status === 403, answer.text);
    assert.is(stored('outer'), undefined);
  }
});

test('the second of two requests on one connection is judged by itself', async () => {
  const bucket = gateway.bucketPath('anna-1');
  const first = compose(gateway, { url: '/anna-1/k' }).head.replace('connection: close\r\n', '');
  const second = [`GET /anna-1/private HTTP/1.1`, `host: 127.0.0.1:${gateway.port}`, 'connection: close', '', ''];
  const answer = await exchange(gateway, `${first}${second.join('\r\n')}`);
  assert.match(answer.text, /^HTTP\/1\.1 200 /);
  assert.match(answer.text, 'AccessDenied');
  assert.not.match(answer.text, /\r\n\r\nprivate/);
  assert.ok(readdirSync(bucket).includes('private'));
});

// ---- names that imitate our own ----------------------------------------------------------------------------------

test('metadata of any name is metadata, and nothing else', async () => {
  const names = [
    'content_md5',
    'content-md5',
    'etag',
    'user.tidegate',
    'tidegate',
    'owner',
    'acl',
    'tags',
    'size',
    'stamp',
  ];
  const more = [
    '__proto__',
    'constructor',
    'prototype',
    'hasownproperty',
    'tostring',
    'x-amz-acl',
    'x-amz-meta-a',
    '0',
  ];
  for (const name of [
    ...names,
    ...more,
    'x-amz-server-side-encryption',
    'last-modified',
    'content-length',
    'checksum',
  ]) {
    const headers = { [`x-amz-meta-${name}`]: `v-${name}` };
    const put = await done({ method: 'PUT', url: '/anna-1/meta', headers, body: 'hello' });
    for (const text of [put.text, (await done({ method: 'HEAD', url: '/anna-1/meta' })).text]) {
      assert.match(text, /\r\netag: "5d41402abc4b2a76b9719d911017c592"\r\n/i, name);
    }
    const got = await done({ url: '/anna-1/meta' });
    assert.ok(got.text.toLowerCase().includes(`\r\nx-amz-meta-${name}: v-${name}\r\n`), `${name}: ${got.text}`);
    assert.is(got.text.match(/\r\nx-amz-meta-/gi)?.length, 1, got.text);
    assert.match(got.text, /\r\ncontent-length: 5\r\n/i);
    assert.is((await send(gateway, { url: '/anna-1/meta', as: null })).code, 'AccessDenied', name);
    // A copy and a change of tags write the record anew.
    await done({ method: 'PUT', url: '/anna-1/copy', headers: { 'x-amz-copy-source': '/anna-1/meta' } });
    await done({ method: 'PUT', url: '/anna-1/copy?acl', headers: { 'x-amz-acl': 'private' } });
    const copied = await done({ method: 'HEAD', url: '/anna-1/copy' });
    assert.ok(copied.text.toLowerCase().includes(`\r\nx-amz-meta-${name}: v-${name}\r\n`), `${name}: ${copied.text}`);
  }
});

test.run();
