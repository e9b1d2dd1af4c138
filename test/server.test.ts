/** The HTTP side: connections, continue, overload, errors, draining. Raw sockets where the client library would hide it. */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { operations } from '../gateway/s3/operations.js';
import type { Context, Operation, Reply } from '../gateway/s3/types.js';
import type { Sink } from '../gateway/storage/types.js';
import { hmacV2, presignV4 } from './auth/signer.js';
import { element, keys, type Stage, startStage } from './http/stage.js';
import { until, withTimeout } from './support/time.js';

const test = suite('server');

/** Sends text, optionally more after a pause, and gives everything that comes until the connection ends. */
async function raw(port: number, text: string, waitFor?: RegExp, more?: Buffer): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  let got = '';
  socket.on('data', (piece) => {
    got += piece.toString('latin1');
  });
  socket.on('error', () => {});
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.write(text);
  if (waitFor) {
    await until(`${waitFor}`, 5000, () => (waitFor.test(got) || socket.destroyed ? true : undefined));
    if (more) socket.write(more);
  }
  await withTimeout('end of connection', 15_000, ended);
  return got;
}

function head(method: string, url: string, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return `${[`${method} ${url} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`;
}

/** An operation of our own in place of HeadBucket's neighbour: `GET /b?probe`. */
function withProbe(handler: (context: Context) => Promise<Reply>): { operations: Operation[] } {
  const probe: Operation = {
    name: 'Probe',
    method: 'GET',
    level: 'bucket',
    query: ['probe'],
    action: 's3:ListBucket',
    body: 'none',
    handler,
  };
  return { operations: [...operations, probe] };
}

async function staged(
  work: (stage: Stage) => Promise<void>,
  options: Parameters<typeof startStage>[0] = {},
): Promise<void> {
  const stage = await startStage(options);
  try {
    await stage.send('/bkt', { method: 'PUT' });
    await work(stage);
  } finally {
    await stage.close();
  }
}

test('every reply has ids, server and date; errors are S3 documents', () =>
  staged(async (stage) => {
    const reply = await stage.send('/bkt/none');
    assert.is(reply.status, 404);
    assert.is(reply.headers.server, 'Tidegate');
    assert.ok(reply.headers.date);
    assert.match(String(reply.headers['x-amz-request-id']), /^[0-9A-F]{16}$/);
    assert.is(element(reply, 'RequestId'), reply.headers['x-amz-request-id']);
    assert.is(element(reply, 'HostId'), reply.headers['x-amz-id-2']);
    assert.is(element(reply, 'Code'), 'NoSuchKey');
    assert.is(element(reply, 'Key'), 'none');
    assert.is(element(reply, 'Resource'), '/bkt/none');
    const headed = await stage.send('/bkt/none', { method: 'HEAD' });
    assert.is(headed.status, 404);
    assert.is(headed.body, '');
    // Without it clients of Node's begin a new connection behind it.
    assert.is(headed.headers['content-length'], reply.headers['content-length']);
    const bucket = await stage.send('/bkt', { method: 'HEAD' });
    assert.equal([bucket.status, bucket.headers['transfer-encoding']], [200, 'chunked']);
    const old = head('HEAD', '/bkt', stage.sign('/bkt', { method: 'HEAD' })).replace('HTTP/1.1', 'HTTP/1.0');
    const told = await raw(stage.port, old);
    assert.match(told, /^HTTP\/1\.1 200 /);
    assert.not.match(told, /transfer-encoding/i);
    assert.is((await stage.send('/bkt', { method: 'PATCH' })).status, 405);
    assert.is(element(await stage.send('/bkt?torrent=', { method: 'POST' }), 'Code') !== undefined, true);
  }));

test('objects go in and out; a 304 has no body', () =>
  staged(async (stage) => {
    const body = Buffer.alloc(3_000_000, 'x');
    assert.is((await stage.send('/bkt/big', { method: 'PUT', body })).status, 200);
    const got = await stage.send('/bkt/big');
    assert.is(got.status, 200);
    assert.is(got.headers['content-length'], '3000000');
    assert.ok(got.body === body.toString());
    const part = await stage.send('/bkt/big', { headers: { range: 'bytes=1-3' } });
    assert.is(part.status, 206);
    assert.is(part.body, 'xxx');
    const unchanged = await stage.send('/bkt/big', { headers: { 'if-none-match': String(got.headers.etag) } });
    assert.is(unchanged.status, 304);
    assert.is(unchanged.body, '');
    assert.is(unchanged.headers.etag, got.headers.etag);
  }));

test('100 Continue only for who may', () =>
  staged(async (stage) => {
    const expecting = { 'content-length': '5', expect: '100-continue' };
    const anonymous = { host: `127.0.0.1:${stage.port}`, ...expecting };
    const refused = await raw(stage.port, head('PUT', '/bkt/k', anonymous));
    assert.match(refused, /^HTTP\/1\.1 403 /);
    assert.match(refused, /connection: close/i);
    const signed = { ...stage.sign('/bkt/k', { method: 'PUT', body: 'hello' }), ...expecting, connection: 'close' };
    const taken = await raw(stage.port, head('PUT', '/bkt/k', signed), /100 Continue/, Buffer.from('hello'));
    assert.match(taken, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
    assert.is((await stage.send('/bkt/k')).body, 'hello');
    // Known wrong before a byte of the body: no 100 either.
    const digest = {
      ...stage.sign('/bkt/k', { method: 'PUT', body: 'hello', headers: { 'content-md5': 'x' } }),
      ...expecting,
    };
    assert.match(await raw(stage.port, head('PUT', '/bkt/k', digest)), /^HTTP\/1\.1 400 .*InvalidDigest/s);
    const odd = { ...stage.sign('/bkt', { method: 'HEAD' }), expect: '200', connection: 'close' };
    assert.match(await raw(stage.port, head('HEAD', '/bkt', odd)), /^HTTP\/1\.1 200 /);
  }));

test('the client of a refused upload sees why', () =>
  staged(async (stage) => {
    const reply = await stage.send('/bkt/k', { method: 'PUT', body: Buffer.alloc(20_000_000), as: null });
    assert.is(reply.status, 403);
    assert.is(element(reply, 'Code'), 'AccessDenied');
    assert.is(reply.headers.connection, 'close');
    // A small remainder is read away, and the connection goes on.
    const small = await stage.send('/bkt/k', { method: 'PUT', body: Buffer.alloc(100_000), as: null });
    assert.is(small.status, 403);
    assert.is(small.headers.connection, 'keep-alive');
  }));

test('a broken upload leaves nothing', () =>
  staged(async (stage) => {
    const headers = { ...stage.sign('/bkt/half', { method: 'PUT', body: '0123456789' }), 'content-length': '10' };
    const socket = net.connect(stage.port, '127.0.0.1');
    socket.write(`${head('PUT', '/bkt/half', headers)}01234`);
    await sleep(100);
    socket.destroy();
    await until('the log line', 5000, () => stage.log.find((line) => line['operation'] === 'PutObject'));
    assert.is((await stage.send('/bkt/half')).status, 404);
  }));

test('a client that falls silent in its body is answered RequestTimeout', () =>
  staged(
    async (stage) => {
      const headers = { ...stage.sign('/bkt/idle', { method: 'PUT', body: '0123456789' }), 'content-length': '10' };
      assert.match(
        await raw(stage.port, `${head('PUT', '/bkt/idle', headers)}01`),
        /^HTTP\/1\.1 400 .*RequestTimeout/s,
      );
    },
    { idleMs: 300 },
  ));

test('overload is SlowDown', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await staged(
    async (stage) => {
      const first = stage.send('/bkt?probe');
      await until('the first in work', 5000, async () =>
        (await stage.send('/bkt')).status === 503 ? true : undefined,
      );
      const second = await stage.send('/bkt');
      assert.is(element(second, 'Code'), 'SlowDown');
      assert.is(second.headers['retry-after'], '1');
      release();
      assert.is((await first).status, 200);
      assert.is((await stage.send('/bkt')).status, 200);
    },
    { maxRequests: 1, ...withProbe(async () => held.then(() => ({}))) },
  );
});

test('refused uploads that are not sent are not in the way of others', () =>
  staged(
    async (stage) => {
      const refused = head('PUT', '/bkt/k', { host: 'h', 'content-length': '1000' });
      const sockets = [1, 2, 3].map(() => net.connect(stage.port, '127.0.0.1'));
      const answers = sockets.map((socket) => new Promise((resolve) => socket.once('data', resolve)));
      for (const socket of sockets) {
        socket.write(refused);
        await Promise.all(answers.slice(0, sockets.indexOf(socket) + 1));
      }
      for (const answer of await Promise.all(answers)) assert.match(String(answer), /^HTTP\/1\.1 403 /);
      assert.is((await stage.send('/bkt')).status, 200);
      for (const socket of sockets) socket.destroy();
    },
    { maxRequests: 2 },
  ));

test('an unknown failure is InternalError and logged with its cause, without secrets', () =>
  staged(
    async (stage) => {
      const reply = await stage.send('/bkt?probe&X-Amz-Security-Token=hush');
      assert.is(reply.status, 500);
      assert.is(element(reply, 'Code'), 'InternalError');
      assert.not(reply.body.includes('the disk'));
      const line = JSON.stringify(
        await until('the log', 5000, () => stage.log.find((each) => each['level'] === 'error')),
      );
      assert.ok(line.includes('the disk is on fire'));
      assert.ok(line.includes(String(reply.headers['x-amz-request-id'])));
      assert.not(line.includes('hush'));
    },
    withProbe(async () => {
      throw new Error('the disk is on fire');
    }),
  ));

test('a stream that breaks never looks complete, and is closed', async () => {
  let closed = 0;
  const reply = (parts: number): Reply => ({
    body: {
      length: 300_000,
      send: async (sink) => {
        for (let i = 0; i < parts; i++) await sink(Buffer.alloc(100_000));
      },
      close: async () => {
        closed++;
      },
    },
  });
  await staged(
    async (stage) => {
      assert.is((await stage.send('/bkt?probe=3')).body.length, 300_000);
      const failed = await stage.send('/bkt?probe=1').then(
        () => 'complete',
        () => 'broken',
      );
      assert.is(failed, 'broken');
      // Too much: the announced bytes arrive, and the connection, whose state nobody knows any more, ends.
      const many = await raw(stage.port, head('GET', '/bkt?probe=4', stage.sign('/bkt?probe=4')));
      assert.is(many.split('\r\n\r\n')[1]?.length, 300_000);
      const none = await stage.send('/bkt?probe=0');
      assert.is(none.status, 500);
      await until('closing', 5000, () => (closed === 4 ? true : undefined));
    },
    withProbe(async ({ query }) => reply(Number(query.get('probe')))),
  );
});

test('a client that goes away in the middle of a download ends it', async () => {
  let closed = false;
  let sent = 0;
  const length = 1024 ** 3;
  await staged(
    async (stage) => {
      const socket = net.connect(stage.port, '127.0.0.1');
      socket.write(head('GET', '/bkt?probe', stage.sign('/bkt?probe')));
      await new Promise((resolve) => socket.once('data', resolve));
      socket.pause();
      await sleep(300);
      const before = sent;
      await sleep(200);
      assert.is(sent, before, 'back-pressure holds the source');
      assert.ok(sent < 64 * 1024 * 1024);
      socket.destroy();
      await until('closing', 5000, () => closed || undefined);
      const line = await until('the log', 5000, () => stage.log.find((each) => each['operation'] === 'Probe'));
      assert.is(line['level'], 'debug');
    },
    withProbe(async () => ({
      body: {
        length,
        send: async (sink) => {
          const chunk = Buffer.alloc(1024 * 1024);
          for (; sent < length; sent += chunk.length) await sink(chunk);
        },
        close: async () => {
          closed = true;
        },
      },
    })),
  );
});

test('a presigned URL may carry the headers of a copy', () =>
  staged(async (stage) => {
    await stage.send('/bkt/from', { method: 'PUT', body: 'copied' });
    const headers = { host: `127.0.0.1:${stage.port}` };
    const url = presignV4({ method: 'PUT', url: '/bkt/to?x-amz-copy-source=%2Fbkt%2Ffrom', headers }, keys.anna, 60);
    const reply = await stage.send(url, { method: 'PUT', as: null });
    assert.is(reply.status, 200, reply.body);
    assert.ok(reply.body.includes('CopyObjectResult'));
    assert.is((await stage.send('/bkt/to')).body, 'copied');
  }));

test('the expected owner of a bucket is held to', () =>
  staged(async (stage) => {
    const owner = '00000000-0000-0000-0000-00000000anna';
    const ask = (id: string) => stage.send('/bkt', { headers: { 'x-amz-expected-bucket-owner': id } });
    assert.is((await ask(owner)).status, 200);
    assert.is((await ask('111122223333')).status, 403);
    await stage.send('/bkt/from', { method: 'PUT', body: 'x' });
    const copy = (id: string) =>
      stage.send('/bkt/to', {
        method: 'PUT',
        headers: { 'x-amz-copy-source': '/bkt/from', 'x-amz-source-expected-bucket-owner': id },
      });
    assert.is((await copy('111122223333')).status, 403);
    assert.is((await copy(owner)).status, 200);
  }));

test('a form in place of a signature: signed by its policy, nothing without', () =>
  staged(async (stage) => {
    const policy = Buffer.from(
      JSON.stringify({
        expiration: new Date(Date.now() + 60_000).toISOString(),
        conditions: [{ bucket: 'bkt' }, ['starts-with', '$key', 'up/'], ['content-length-range', 1, 10]],
      }),
    ).toString('base64');
    const form = (fields: Record<string, string>, file: string) => {
      const parts = Object.entries(fields).map(
        ([name, value]) => `--XX\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
      );
      const last = `--XX\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n${file}\r\n--XX--\r\n`;
      const headers = { 'content-type': 'multipart/form-data; boundary=XX' };
      return stage.send('/bkt', { method: 'POST', as: null, headers, body: parts.join('') + last });
    };
    const signed = { policy, AWSAccessKeyId: keys.anna.accessKey, signature: hmacV2(keys.anna.secret, policy) };
    const reply = await form({ key: 'up/1', ...signed }, 'content');
    assert.is(reply.status, 204, reply.body);
    assert.is((await stage.send('/bkt/up/1')).body, 'content');
    assert.is((await form({ key: 'down', ...signed }, 'content')).status, 403);
    assert.is(element(await form({ key: 'up/2', ...signed }, 'much too long'), 'Code'), 'EntityTooLarge');
    assert.is((await stage.send('/bkt/up/2')).status, 404);
    assert.is((await form({ key: 'up/3' }, 'content')).status, 403);
    const bert = { policy, AWSAccessKeyId: keys.bert.accessKey, signature: hmacV2(keys.bert.secret, policy) };
    assert.is((await form({ key: 'up/4', ...bert }, 'content')).status, 403);
  }));

test('a form that is refused before its file was read is let go', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
  await staged(
    async (stage) => {
      const part = (name: string, text: string) =>
        `--XX\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`;
      const headers = { 'content-type': 'multipart/form-data; boundary=XX' };
      const before = timers();
      for (let i = 0; i < 20; i++) {
        // The one comes in one piece, the other in several.
        const body = `${part('key', 'k')}${part('file', 'x'.repeat(i % 2 ? 40_000 : 100_000))}--XX--\r\n`;
        assert.is((await stage.send('/bkt', { method: 'POST', as: null, headers, body })).status, 403);
      }
      await sleep(50);
      assert.ok(timers() < before + 10, `${timers()} timers, ${before} before`);
    },
    { idleMs: 20_000 },
  );
});

test('pipelined requests take effect one after the other', () =>
  staged(
    async (stage) => {
      const one = (method: string, value?: string) => {
        const url = '/bkt/piped';
        const headers = stage.sign(url, { method, ...(value === undefined ? {} : { body: value }) });
        return head(method, url, value ? { ...headers, 'content-length': `${value.length}` } : headers) + (value ?? '');
      };
      const socket = net.connect(stage.port, '127.0.0.1');
      let got = '';
      socket.on('data', (piece) => {
        got += piece.toString('latin1');
      });
      const rounds = 50;
      socket.write([one('PUT', 'first'), one('GET'), one('DELETE'), one('GET')].join('').repeat(rounds));
      const codes = () => [...got.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code).join();
      const expected = Array(rounds).fill('200,200,204,404').join();
      await until('the replies', 10_000, () => codes().length >= expected.length || undefined);
      assert.is(codes(), expected);
      // Behind a reply that ends the connection nothing is done any more.
      socket.write(one('PUT', 'second') + head('GET', '/bkt', { host: 'h', connection: 'close' }) + one('DELETE'));
      await new Promise((resolve) => socket.once('close', resolve));
      assert.is((await stage.send('/bkt/piped')).body, 'second');
    },
    { maxRequests: 2 },
  ));

test('an offer to upgrade the protocol is not taken up, and does no harm', () =>
  staged(async (stage) => {
    const offer = { upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings, close', 'http2-settings': 'AAMAAABkAAQ' };
    const got = await raw(stage.port, head('GET', '/bkt', { ...stage.sign('/bkt'), ...offer }));
    assert.match(got, /^HTTP\/1\.1 200 /);
  }));

test('no header is left out, however many there are', () =>
  staged(async (stage) => {
    await stage.send('/bkt/k', { method: 'PUT', body: 'first' });
    const many = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`y${i}`, '1']));
    const headers = { ...many, 'if-none-match': '*' };
    assert.is((await stage.send('/bkt/k', { method: 'PUT', body: 'second', headers })).status, 412);
    assert.is((await stage.send('/bkt/k')).body, 'first');
  }));

test('what is no HTTP is answered and closed', () =>
  staged(async (stage) => {
    assert.match(await raw(stage.port, 'NONSENSE\r\n\r\n'), /^HTTP\/1\.1 400 .*<Code>BadRequest<\/Code>/s);
    const negative = head('PUT', '/bkt/k', { host: 'h', 'content-length': '-1' });
    assert.match(await raw(stage.port, negative), /^HTTP\/1\.1 400 /);
    const huge = head('GET', '/bkt', { host: 'h', 'x-huge': 'x'.repeat(70_000) });
    assert.match(await raw(stage.port, huge), /RequestHeaderSectionTooLarge/);
    assert.match(await raw(stage.port, 'GET /bkt/%zz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n'), /InvalidURI/);
  }));

test('service endpoints', () =>
  staged(async (stage) => {
    assert.is((await stage.send('/.tidegate/live', { as: null })).body, '{"status":"live"}');
    const ready = await stage.send('/.tidegate/ready?from=probe', { as: null });
    assert.equal(
      [ready.status, ready.body, ready.headers['content-type']],
      [200, '{"status":"ready"}', 'application/json'],
    );
    const head = await stage.send('/.tidegate/ready', { as: null, method: 'HEAD' });
    assert.equal([head.status, head.body], [200, '']);
    const posted = await stage.send('/.tidegate/live', { as: null, method: 'POST', body: 'x' });
    assert.equal([posted.status, posted.headers['connection']], [404, 'close']);
    assert.is((await stage.send('/.tidegate/else', { as: null })).status, 404);
    // So HAProxy asks, unless it is told otherwise.
    assert.match(await raw(stage.port, 'GET /.tidegate/ready HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 .*"ready"/s);
  }));

test('close finishes what is in work, and takes nothing new', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const stage = await startStage(withProbe(async () => held.then(() => ({ body: { xml: { Done: 'yes' } } }))));
  await stage.send('/bkt', { method: 'PUT' });
  const running = stage.send('/bkt?probe');
  await sleep(100);
  const closing = stage.gateway.close();
  await sleep(50);
  const refused = await stage.send('/bkt').then(
    (reply) => reply.status,
    () => 'refused',
  );
  assert.is(refused, 'refused');
  release();
  const reply = await running;
  assert.is(element(reply, 'Done'), 'yes');
  // Or the client would send its next request into a connection that is about to be closed.
  assert.is(reply.headers['connection'], 'close');
  await withTimeout('closing', 5000, closing);
  await stage.close();
});

test('close cuts what does not end', async () => {
  const stage = await startStage({ drainMs: 200, ...withProbe(() => new Promise(() => {})) });
  await stage.send('/bkt', { method: 'PUT' });
  const running = stage.send('/bkt?probe').then(
    () => 'answered',
    () => 'cut',
  );
  await sleep(100);
  await withTimeout('closing', 5000, stage.gateway.close());
  assert.is(await running, 'cut');
  await stage.close();
});

test('a taken port is an error of listen', async () => {
  const stage = await startStage();
  try {
    const code = await startStage({ port: stage.port }).then(
      (second) => second.close().then(() => 'listens'),
      (error) => error.code,
    );
    assert.is(code, 'EADDRINUSE');
    assert.is((await stage.send('/')).status, 200);
  } finally {
    await stage.close();
  }
});

test('bytes behind a complete request do not take its answer', () =>
  staged(async ({ port }) => {
    // A Content-Length that is too small: the rest of the body is no request.
    const got = await raw(port, `${head('PUT', '/bkt/k', { host: 'x', 'content-length': '2' })}bar\r\n\r\n`);
    assert.match(got, /^HTTP\/1.1 403 /);
    assert.match(got, /<Code>AccessDenied<\/Code>/);
    assert.is(got.match(/HTTP\/1.1/g)?.length, 1);
  }));

test('what is no HTTP behind a request is no part of its answer, however far that is', async () => {
  const bad = 'PUT /bkt/k HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n';
  let goOn = () => {};
  const probe = withProbe(async ({ query }) => {
    const told = new Promise<void>((resolve) => (goOn = resolve));
    if (query.get('probe') === 'late') await told;
    const send: (sink: Sink) => Promise<void> = async (sink) => {
      await sink(Buffer.alloc(1000, 'a'));
      if (query.get('probe') === 'begun') await told;
      await sink(Buffer.alloc(1000, 'b'));
    };
    return { body: { length: 2000, send, close: async () => {} } };
  });
  await staged(async (stage) => {
    const request = (how: string, more = {}) =>
      head('GET', `/bkt?probe=${how}`, { ...stage.sign(`/bkt?probe=${how}`), ...more });
    const bodyOf = (text: string) => text.slice(text.indexOf('\r\n\r\n') + 4);
    const whole = 'a'.repeat(1000) + 'b'.repeat(1000);
    /** @param seen of the answer, before `behind` is sent; undefined: together with the request */
    const answered = async (first: string, behind: string, seen?: RegExp): Promise<string> => {
      const begun = seen ? raw(stage.port, first, seen, Buffer.from(behind)) : raw(stage.port, first + behind);
      await sleep(200);
      goOn();
      return begun;
    };
    assert.is(bodyOf(await answered(request('begun'), bad, /a{1000}/)), whole, 'another request, while it is sent');
    assert.is(bodyOf(await answered(request('late'), bad)), whole, 'before it is sent');
    assert.is(bodyOf(await answered(request('late'), 'ZZZ\r\n\r\n')), whole, 'no request at all');
    // Its own body: then the answer is cut, which its length tells.
    const own = await answered(request('begun', { 'transfer-encoding': 'chunked' }), 'ZZZ\r\n', /a{1000}/);
    assert.match(own, /\r\ncontent-length: 2000\r\n/i);
    assert.match(bodyOf(own), /^a{1000}$/);
    // Nothing of an answer is out: it can be told.
    const early = await answered(request('late', { 'transfer-encoding': 'chunked' }), 'ZZZ\r\n');
    assert.match(early, /^HTTP\/1\.1 400 .*<Code>BadRequest</s);
  }, probe);
});

test.run();
