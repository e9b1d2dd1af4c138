/** Slow replies: the true status while it can be told, then white space, then the document. */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { ClientGone, type Exchange, sendError, sendReply } from '../../gateway/http/reply.js';
import type { XmlValue } from '../../gateway/s3/types.js';
import type { Sink } from '../../gateway/storage/types.js';
import { withTimeout } from '../support/time.js';

const test = suite('http/reply');

type Document = { [root: string]: XmlValue };

const exchangeOf = (incoming: http.IncomingMessage, outgoing: http.ServerResponse): Exchange => ({
  incoming,
  outgoing,
  requestId: 'R',
  hostId: 'H',
  resource: '/b/k',
  bucket: 'b',
  key: 'k',
  awaitsContinue: false,
  last: () => true,
  pace: { first: 100, every: 50 },
});

/** @param seen told of all that has come so far */
async function slow(
  work: () => Promise<Document>,
  seen: (text: string) => void = () => {},
): Promise<{ status: number; body: string; late: string | undefined }> {
  let late: string | undefined;
  const server = http.createServer(async (incoming, outgoing) => {
    const exchange = exchangeOf(incoming, outgoing);
    try {
      late = (await sendReply(exchange, { body: { slowXml: work() } }))?.code;
    } catch (error) {
      await sendError(exchange, error as S3Error);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const reply = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/b/k`);
  let body = '';
  for await (const piece of reply.body!) seen((body += Buffer.from(piece).toString()));
  await new Promise((resolve) => server.close(resolve));
  return { status: reply.status, body, late };
}

test('one length, whatever a handler says of it, and no header without a value', async () => {
  const bytes = Buffer.from('four');
  const server = http.createServer((incoming, outgoing) => {
    const headers = { 'content-length': '99', etag: '"e"', 'x-amz-absent': undefined };
    void sendReply(exchangeOf(incoming, outgoing), { headers, body: { bytes } });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const request = http.get(`http://127.0.0.1:${(server.address() as AddressInfo).port}/b/k`);
  const [reply] = (await once(request, 'response')) as [http.IncomingMessage];
  const names = reply.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  assert.is(names.filter((name) => name === 'content-length').length, 1);
  assert.is(reply.headers['content-length'], '4');
  assert.is(reply.headers['etag'], '"e"');
  assert.not.ok(names.includes('x-amz-absent'));
  reply.resume();
  await once(reply, 'end');
  await new Promise((resolve) => server.close(resolve));
});

test('a HEAD is told the length of what it does not get, and none where nobody knows it; its connection goes on', async () => {
  const server = http.createServer((incoming, outgoing) => {
    const exchange = { ...exchangeOf(incoming, outgoing), last: () => false };
    void sendReply(exchange, incoming.url === '/b/k' ? { length: 11 } : {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  // Node's client takes a connection for spent on which neither a length nor that there is none was told of a HEAD.
  for (const [at, path, length, encoding] of [
    [0, '/b/k', '11', undefined],
    [1, '/b', undefined, 'chunked'],
    [2, '/b', undefined, 'chunked'],
    [3, '/b/k', '11', undefined],
  ] as const) {
    const request = http.request({ port, path, method: 'HEAD', agent }).end();
    const [reply] = (await once(request, 'response')) as [http.IncomingMessage];
    assert.is(reply.headers['content-length'], length);
    assert.is(reply.headers['transfer-encoding'], encoding);
    reply.resume();
    await once(reply, 'end');
    // What follows a head is the next reply.
    assert.is(request.reusedSocket, at > 0);
    await new Promise((resolve) => setImmediate(resolve));
  }
  agent.destroy();
  await new Promise((resolve) => server.close(resolve));
});

test('a reply is out when the client has taken it, or is gone', async () => {
  const sent: Promise<unknown>[] = [];
  const out: number[] = [];
  const server = http.createServer((incoming, outgoing) => {
    const body = { bytes: Buffer.alloc(32 << 20), type: 'text/plain' };
    const at = sent.length;
    const exchange = { ...exchangeOf(incoming, outgoing), last: () => false };
    sent.push(Promise.resolve(sendReply(exchange, { body })).then(() => out.push(at)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  // The connection goes on behind the first.
  const agent = new http.Agent({ keepAlive: true });
  for (const at of [0, 1]) {
    const request = http.get({ port, path: '/b/k', agent });
    const [reply] = (await once(request, 'response')) as [http.IncomingMessage];
    await sleep(50);
    assert.not.ok(out.includes(at));
    if (at === 0) reply.resume();
    else request.destroy();
    await withTimeout('a reply', 5_000, sent[at]!);
    if (at === 0) assert.not.ok(request.socket?.destroyed);
  }
  agent.destroy();
  await new Promise((resolve) => server.close(resolve));
});

test('quick success', async () => {
  const { status, body } = await slow(async () => ({ Error: { A: 1 } }));
  assert.is(status, 200);
  assert.is(body, '<?xml version="1.0" encoding="UTF-8"?>\n<Error><A>1</A></Error>');
});

test('quick failure has its status', async () => {
  const { status, body } = await slow(async () => {
    throw new S3Error('InvalidPart');
  });
  assert.is(status, 400);
  assert.match(body, /<Code>InvalidPart<\/Code>/);
});

test('slow success', async () => {
  let end = (_: Document): void => {};
  const work = new Promise<Document>((resolve) => (end = resolve));
  const { status, body } = await slow(
    () => work,
    (text) => text.endsWith('    ') && end({ Error: { A: 1 } }),
  );
  assert.is(status, 200);
  assert.match(body, /^<\?xml version="1.0" encoding="UTF-8"\?>\n {4,}<Error><A>1<\/A><\/Error>$/);
});

test('slow failure comes in the document, and is reported', async () => {
  const { status, body, late } = await slow(async () => {
    await sleep(250);
    throw new Error('disk');
  });
  assert.is(status, 200);
  assert.match(body, /<Error><Code>InternalError<\/Code>.*<RequestId>R<\/RequestId>/);
  assert.is(late, 'InternalError');
});

/** Serves one reply whose bytes `send` brings; what the client got of it, and what the reply ended with. */
async function streamed(length: number, send: (sink: Sink, outgoing: http.ServerResponse) => Promise<void>) {
  let ended: Promise<unknown> = Promise.resolve();
  const server = http.createServer((incoming, outgoing) => {
    const body = { length, send: (sink: Sink) => send(sink, outgoing), close: async () => {} };
    ended = Promise.resolve(sendReply(exchangeOf(incoming, outgoing), { body })).catch((error) => error);
  });
  server.timeout = 300;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/b/k`;
  const text = await fetch(url)
    .then((reply) => reply.text())
    .catch(() => undefined);
  const error = await ended;
  await new Promise((resolve) => server.close(resolve));
  return { text, error };
}

test('what a store writes to the connection itself is part of the reply, and no silence of the client', async () => {
  const { text, error } = await streamed(14, async (sink, outgoing) => {
    assert.is(sink.socket!.descriptor(), undefined, 'the head is not out');
    const first = sink(Buffer.from('ab'));
    assert.is(sink.socket!.descriptor(), undefined, 'the first bytes are on their way');
    await first;
    for (let i = 0; i < 5; i++) {
      const fd = sink.socket!.descriptor()!;
      assert.ok(fd > 2);
      writeSync(fd, 'cd');
      sink.socket!.sent(2);
      await sleep(120);
    }
    outgoing.socket!.cork();
    const last = sink(Buffer.from('yz'));
    assert.is(sink.socket!.descriptor(), undefined, 'bytes wait in the socket');
    outgoing.socket!.uncork();
    await last;
  });
  assert.is(error, undefined);
  assert.is(text, 'abcdcdcdcdcdyz');
});

test('more than was announced, and bytes for nobody, end the reply', async () => {
  const more = await streamed(3, async (sink) => {
    await sink(Buffer.from('ab'));
    sink.socket!.sent(2);
  });
  assert.is(more.text, undefined);
  assert.match((more.error as Error).message, 'longer than its Content-Length');
  const gone = await streamed(10, async (sink, outgoing) => {
    await sink(Buffer.from('ab'));
    outgoing.socket!.destroy();
    await sleep(20);
    assert.is(sink.socket!.descriptor(), undefined);
    sink.socket!.sent(2);
  });
  assert.is(gone.text, undefined);
  assert.instance(gone.error, ClientGone);
});

test.run();
