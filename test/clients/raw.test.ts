/** What no SDK sends: raw HTTP over a socket. */
import { createHash, createHmac } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Gateway, startGateway } from '../support/gateway.js';
import { withTimeout } from '../support/time.js';

const test = suite('raw http');
let gateway: Gateway;
const open = new Set<Socket>();

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn', '--durability', 'none'] });
  for (const bucket of ['b', 'c']) {
    const reply = await send(signed('PUT', `/raw-${bucket}`), '');
    assert.is(reply.status, 200, reply.text);
  }
});
test.after(async () => {
  for (const socket of open) socket.destroy();
  assert.is(await gateway?.stop(), 0);
});

/** Request line and headers (v2 signature, which ignores the length) without the blank line. */
function signed(method: string, path: string, more: string[] = [], options: { target?: string; http?: string } = {}) {
  const date = new Date().toUTCString();
  const [resource] = path.split('?');
  const amz = more
    .filter((line) => line.toLowerCase().startsWith('x-amz-'))
    .map((line) => `${line.replace(/^([^:]*):\s*/, (_, name: string) => `${name.toLowerCase()}:`)}\n`)
    .sort()
    .join('');
  const type = more.find((line) => line.toLowerCase().startsWith('content-type:'))?.replace(/^[^:]*:\s*/, '') ?? '';
  const signature = createHmac('sha1', gateway.secretKey)
    .update(`${method}\n\n${type}\n${date}\n${amz}${resource}`)
    .digest('base64');
  return [
    `${method} ${options.target ?? path} HTTP/${options.http ?? '1.1'}`,
    `Host: 127.0.0.1:${gateway.port}`,
    `Date: ${date}`,
    `Authorization: AWS ${gateway.accessKey}:${signature}`,
    ...more,
  ];
}

interface Connection {
  socket: Socket;
  /** Everything received so far. */
  received(): string;
  closed: Promise<void>;
}

function dial(): Connection {
  const socket = connect(gateway.port, '127.0.0.1');
  open.add(socket);
  let received = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (received += chunk));
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  return { socket, received: () => received, closed };
}

/** One request on a connection of its own; the whole answer. */
async function send(head: string[], body: string, close = true) {
  const { socket, received, closed } = dial();
  socket.write(`${[...head, ...(close ? ['Connection: close'] : [])].join('\r\n')}\r\n\r\n${body}`);
  await withTimeout(head[0]!, 10_000, closed);
  const text = received();
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text };
}

async function see(connection: Connection, pattern: RegExp, ms = 5000): Promise<string> {
  const end = Date.now() + ms;
  while (!pattern.test(connection.received())) {
    if (Date.now() > end) throw new Error(`no ${pattern} in: ${connection.received()}`);
    await sleep(10);
  }
  return connection.received();
}

const file = (bucket: string, key: string) => join(gateway.bucketPath(`raw-${bucket}`), key);

test('Expect: 100-continue comes only after authorisation', async () => {
  const good = dial();
  good.socket.write(
    `${signed('PUT', '/raw-b/expected', ['Content-Length: 5', 'Expect: 100-continue']).join('\r\n')}\r\n\r\n`,
  );
  assert.match(await see(good, /\r\n\r\n/), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  good.socket.write('hello');
  assert.match(await see(good, /200 OK/), /\r\netag: "5d41402abc4b2a76b9719d911017c592"\r\n/i);
  assert.is(readFileSync(file('b', 'expected'), 'utf8'), 'hello');

  const bad = dial();
  const wrong = signed('PUT', '/raw-b/refused', ['Content-Length: 5', 'Expect: 100-continue']).map((line) =>
    line.startsWith('Authorization') ? `Authorization: AWS ${gateway.accessKey}:AAAAAAAAAAAAAAAAAAAAAAAAAAA=` : line,
  );
  bad.socket.write(`${wrong.join('\r\n')}\r\n\r\n`);
  const answer = await see(bad, /<\/Error>/);
  assert.match(answer, /^HTTP\/1\.1 403 /);
  assert.match(answer, 'SignatureDoesNotMatch');
  assert.not.ok(existsSync(file('b', 'refused')));
});

test('chunked transfer coding: whole when it ends, nothing when it is cut', async () => {
  const head = signed('PUT', '/raw-c/chunked', ['Transfer-Encoding: chunked']);
  const whole = await send(head, '5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n');
  assert.is(whole.status, 200, whole.text);
  assert.is(readFileSync(file('c', 'chunked'), 'utf8'), 'hello world');
  const cut = dial();
  cut.socket.end(`${head.join('\r\n')}\r\n\r\n5\r\nlater\r\n`);
  await withTimeout('the cut connection', 10_000, cut.closed);
  assert.is(readFileSync(file('c', 'chunked'), 'utf8'), 'hello world');
});

test('aws-chunked without the decoded length is 411', async () => {
  const more = ['Content-Encoding: aws-chunked', 'x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER'];
  const reply = await send(signed('PUT', '/raw-b/streamed', [...more, 'Content-Length: 5']), '0\r\n\r\n');
  assert.is(reply.status, 411, reply.text);
  assert.not.ok(existsSync(file('b', 'streamed')));
});

test('no length at all is 411', async () => {
  assert.is((await send(signed('PUT', '/raw-b/nolength'), '')).status, 411);
});

test('no path leads out of its bucket, whatever dots it has', async () => {
  writeFileSync(file('c', 'secret'), 'of another bucket');
  for (const path of [
    '/raw-b/%2e%2e/raw-c/secret',
    '/raw-b/../raw-c/secret',
    '/raw-b/x/../../raw-c/secret',
    '/raw-b/%2e%2e%2fraw-c%2fsecret',
    '/raw-b/..%2fraw-c/secret',
    '/raw-b/./secret',
    '/raw-b//secret',
    '/raw-b/.tidegate/secret',
    '/raw-b/%00',
    '/raw-b/a%00b',
    '/raw-b/%ff%fe',
    '/raw-b/%zz',
    '/raw-b/%',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/../../etc/passwd',
    '/.tidegate/master.key',
    '/.tidegate/%2e%2e/raw-c/secret',
  ]) {
    const get = await send(signed('GET', path), '');
    assert.ok(get.status >= 400 && get.status < 500, `GET ${path}: ${get.text}`);
    assert.not.match(get.text, /of another bucket|root:/, path);
    const put = await send(signed('PUT', path, ['Content-Length: 4']), 'evil');
    assert.ok(put.status >= 400 && put.status < 500, `PUT ${path}: ${put.text}`);
  }
  assert.is(readFileSync(file('c', 'secret'), 'utf8'), 'of another bucket');
  assert.not.ok(existsSync(join(gateway.root, 'secret')));
  assert.equal(
    readdirSync(gateway.bucketPath('raw-b')).filter((name) => name !== '.tidegate'),
    ['expected'],
  );
});

test('absolute-form targets, repeated slashes before the bucket, fragments', async () => {
  const target = `http://127.0.0.1:${gateway.port}/raw-b/expected`;
  const absolute = await send(signed('GET', '/raw-b/expected', [], { target }), '');
  assert.is(absolute.status, 200, absolute.text);
  assert.match(absolute.text, /\r\n\r\nhello$/);
  for (const path of ['//raw-b/expected', '/raw-b/expected#fragment']) {
    const reply = await send(signed('GET', path), '');
    assert.ok(reply.status >= 400 && reply.status < 500, `${path}: ${reply.text}`);
  }
});

test('HTTP/1.0: answered, and the connection closed', async () => {
  const reply = await send(signed('GET', '/raw-b/expected', [], { http: '1.0' }), '', false);
  assert.is(reply.status, 200);
  assert.match(reply.text, /hello$/);
});

test('several requests on one connection, errors among them', async () => {
  const one = dial();
  const request = (head: string[], body = '') => one.socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  request(signed('PUT', '/raw-b/again', ['Content-Length: 3']), 'one');
  await see(one, /200 OK/);
  // The body of a refused request must not be taken for the next request.
  request(signed('PUT', '/raw-b/a//b', ['Content-Length: 3']), 'two');
  await see(one, /<\/Error>/);
  const keepsAlive = !/connection: close/i.test(one.received());
  if (keepsAlive) {
    request(signed('GET', '/raw-b/again'));
    await see(one, /\r\n\r\none/);
  }
  assert.is(readFileSync(file('b', 'again'), 'utf8'), 'one');
});

test('a body that ends too early publishes nothing', async () => {
  const cut = dial();
  cut.socket.write(`${signed('PUT', '/raw-b/cut', ['Content-Length: 100']).join('\r\n')}\r\n\r\nonly this`);
  await sleep(200);
  cut.socket.destroy();
  writeFileSync(file('b', 'kept'), 'as it was');
  const over = dial();
  over.socket.write(`${signed('PUT', '/raw-b/kept', ['Content-Length: 3000000']).join('\r\n')}\r\n\r\n`);
  over.socket.write('x'.repeat(2_500_000));
  await sleep(300);
  over.socket.destroy();
  await sleep(300);
  assert.not.ok(existsSync(file('b', 'cut')));
  assert.is(readFileSync(file('b', 'kept'), 'utf8'), 'as it was');
  const staging = join(gateway.bucketPath('raw-b'), '.tidegate/staging');
  assert.equal(existsSync(staging) ? readdirSync(staging) : [], []);
});

test('a payload that is not the signed one publishes nothing', async () => {
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = `${now.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  const host = `127.0.0.1:${gateway.port}`;
  const names = 'host;x-amz-content-sha256;x-amz-date';
  const canonical = `PUT\n/raw-b/lie\n\nhost:${host}\nx-amz-content-sha256:${hash('truth')}\nx-amz-date:${now}\n\n${names}\n${hash('truth')}`;
  const toSign = `AWS4-HMAC-SHA256\n${now}\n${scope}\n${hash(canonical)}`;
  const key = [now.slice(0, 8), 'us-east-1', 's3', 'aws4_request'].reduce<string | Buffer>(
    (secret, part) => createHmac('sha256', secret).update(part).digest(),
    `AWS4${gateway.secretKey}`,
  );
  const signature = createHmac('sha256', key).update(toSign).digest('hex');
  const head = [
    'PUT /raw-b/lie HTTP/1.1',
    `Host: ${host}`,
    `X-Amz-Date: ${now}`,
    `X-Amz-Content-SHA256: ${hash('truth')}`,
    `Authorization: AWS4-HMAC-SHA256 Credential=${gateway.accessKey}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
    'Content-Length: 5',
  ];
  const lie = await send(head, 'lying');
  assert.is(lie.status, 400, lie.text);
  assert.match(lie.text, '<Code>XAmzContentSHA256Mismatch</Code>');
  assert.not.ok(existsSync(file('b', 'lie')));
  assert.is((await send(head, 'truth')).status, 200);
});

test('every answer names its request; errors are XML; unknown methods and garbage do no harm', async () => {
  const missing = await send(signed('GET', '/raw-b/missing'), '');
  assert.is(missing.status, 404);
  assert.match(missing.text, /x-amz-request-id: (\S+)/i);
  const id = /x-amz-request-id: (\S+)/i.exec(missing.text)![1]!;
  assert.match(missing.text, `<RequestId>${id}</RequestId>`);
  assert.match(missing.text, '<?xml version="1.0" encoding="UTF-8"?>');
  assert.match(missing.text, '<Resource>/raw-b/missing</Resource>');
  const head = await send(signed('HEAD', '/raw-b/missing'), '');
  assert.is(head.status, 404);
  assert.match(head.text, /\r\n\r\n$/);
  const method = await send(signed('PATCH', '/raw-b/expected'), '');
  assert.is(method.status, 405, method.text);
  const garbage = await send(['not http at all'], '', false);
  assert.is(garbage.status, 400);
  assert.is((await send(signed('GET', '/raw-b/expected'), '')).status, 200);
});

test('nobody in particular may nothing', async () => {
  const unsigned = (method: string, path: string) =>
    send([`${method} ${path} HTTP/1.1`, `Host: 127.0.0.1:${gateway.port}`, 'Content-Length: 0'], '');
  for (const [method, path] of [
    ['GET', '/raw-b'],
    ['GET', '/raw-b/expected'],
    ['PUT', '/raw-b/anonymous'],
    ['DELETE', '/raw-b/expected'],
    ['PUT', '/anonymous-bucket'],
  ] as const) {
    const reply = await unsigned(method, path);
    assert.is(reply.status, 403, `${method} ${path}: ${reply.text}`);
    assert.match(reply.text, '<Code>AccessDenied</Code>');
  }
});

test('connections that send nothing, or very slowly, keep nobody waiting', async () => {
  const idle = Array.from({ length: 200 }, dial);
  for (const { socket } of idle) socket.write('GET /raw-b/expected HTTP/1.1\r\nX-Slow: ');
  await sleep(100);
  const started = Date.now();
  assert.is((await send(signed('GET', '/raw-b/expected'), '')).status, 200);
  assert.ok(Date.now() - started < 10_000);
  for (const { socket } of idle) socket.destroy();
});

test('headers that are too large, and too many, are refused', async () => {
  const large = await send(signed('GET', '/raw-b/expected', [`X-Large: ${'x'.repeat(200_000)}`]), '');
  assert.ok([400, 431].includes(large.status), large.text.slice(0, 200));
});

test('live and ready', async () => {
  for (const path of ['live', 'ready']) {
    assert.is((await fetch(`${gateway.endpoint}/.tidegate/${path}`)).status, 200);
  }
});

test.run();
