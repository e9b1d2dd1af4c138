// timeout: 240
/**
 * Large uploads that the workers take from connections themselves: each file gets the bytes of its client, and each connection
 * goes on or ends as it should, whatever the clients do.
 */
import { execFileSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from '@node-rs/crc32';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chunkedBody, signV4 } from '../auth/signer.js';
import { ask } from '../bench/gateway.js';
import { signedCall, type Target } from '../bench/signed.js';
import { command, type Gateway, startGateway } from '../support/gateway.js';
import { tempDir } from '../support/temp.js';
import { until, withTimeout } from '../support/time.js';

const test = suite('bodies that workers take');
const MiB = 1 << 20;
let gateway: Gateway;
let target: Target;

let seed = 5;
const random = (below: number) => (seed = (seed * 48_271) % 0x7fffffff) % below;

/** Each 16 bytes say of which body they are, and where in it. */
function content(name: string, size: number): Buffer {
  const bytes = Buffer.alloc(size + 16);
  for (let at = 0; at < size; at += 16) bytes.write(`${name}${at.toString().padStart(15, '0')}`, at, 'latin1');
  return bytes.subarray(0, size);
}

async function start(root?: string): Promise<void> {
  gateway = await startGateway({
    flags: ['--log-level', 'error', '--durability', 'none', '--workers', '3', '--sync', 'off'],
    ...(root && { root }),
  });
  const { port, accessKey, secretKey } = gateway;
  target = { host: '127.0.0.1', port, accessKey, secretKey };
  if (!root) await ask(target, 'PUT', '/bucket');
}
test.before(() => start());
test.after(async () => {
  assert.is(await gateway?.stop(), 0);
});

const file = (name: string) => join(gateway.bucketPath('bucket'), name);
const head = (name: string, length: number, headers: Record<string, string> = {}, method = 'PUT') =>
  signedCall(target, { method, path: `/bucket/${name}`, headers: { ...headers, 'content-length': `${length}` } }).bytes;
const put = (name: string, body: Buffer, headers: Record<string, string> = {}) =>
  Buffer.concat([head(name, body.length, headers), body]);

function same(name: string, expected: Buffer): void {
  const got = readFileSync(file(name));
  if (got.equals(expected)) return;
  let at = 0;
  while (got[at] === expected[at]) at++;
  const seen = got.toString('latin1', at & ~15, (at & ~15) + 32);
  throw new Error(`${name}: ${got.length} of ${expected.length} bytes, other ones from ${at} on: ${seen}`);
}

/** Bytes that the gateway's read calls have brought: Node reads so, from sockets and files; workers do not, from sockets. */
const readBytes = () => Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${gateway.pid}/io`, 'utf8'))?.[1]);

function staged(dir = join(gateway.bucketPath('bucket'), '.tidegate/staging')): string[] {
  return existsSync(dir)
    ? readdirSync(dir).filter((name) => statSync(join(dir, name), { throwIfNoEntry: false })?.isFile())
    : [];
}

/** Nothing is left of what was broken off. */
const released = (before: number) =>
  until('released descriptors and staged files', 30_000, () =>
    gateway.open('bucket') <= before && staged().length === 0 ? true : undefined,
  );

interface Reply {
  status: number;
  head: string;
  body: Buffer;
}

interface Client {
  socket: Socket;
  /** Resolves when the kernel has them. */
  write(bytes: Buffer): Promise<void>;
  /** The next reply. */
  reply(): Promise<Reply>;
  closed: Promise<void>;
}

async function dial(): Promise<Client> {
  const socket = connect(target.port, target.host);
  socket.on('error', () => {});
  const pieces: Buffer[] = [];
  let told = () => {};
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      told();
      resolve();
    });
  });
  socket.on('data', (piece) => {
    pieces.push(piece);
    told();
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  const next = async (): Promise<Reply> => {
    for (;;) {
      const all = Buffer.concat(pieces.splice(0));
      pieces.push(all);
      const end = all.indexOf('\r\n\r\n');
      if (end >= 0) {
        const text = all.toString('latin1', 0, end);
        const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
        if (all.length >= end + 4 + length) {
          pieces[0] = all.subarray(end + 4 + length);
          return { status: Number(text.slice(9, 12)), head: text, body: all.subarray(end + 4, end + 4 + length) };
        }
      }
      if (socket.destroyed) throw new Error(`the connection ended: ${all.toString('latin1', 0, 300)}`);
      await new Promise<void>((resolve) => (told = resolve));
    }
  };
  return {
    socket,
    write: (bytes) => new Promise((resolve) => socket.write(bytes, () => resolve())),
    reply: () => withTimeout('a reply', 30_000, next()),
    closed: withTimeout('the end of the connection', 60_000, closed),
  };
}

async function good(client: Client, what: string): Promise<Reply> {
  const reply = await client.reply();
  assert.is(reply.status, 200, `${what}: ${reply.head}\n${reply.body}`);
  return reply;
}

test('sizes around the limits, one after the other on one connection, with reads in between', async () => {
  const before = gateway.open('bucket');
  const client = await dial();
  const sizes = [...[128, 192, 1024, 1088, 2048, 3072, 4096].map((KiB) => KiB << 10), 5_000_000, 9 * MiB];
  for (const size of sizes.flatMap((each) => [each - 1, each, each + 1, each + 16_384])) {
    const body = content('s', size);
    await client.write(head('sized', size));
    await client.write(body);
    const { head: text } = await good(client, `${size}`);
    assert.match(text, new RegExp(`etag: "${createHash('md5').update(body).digest('hex')}"`, 'i'));
    same('sized', body);
    const range = `bytes=${size - 100}-${size - 1}`;
    await client.write(signedCall(target, { method: 'GET', path: '/bucket/sized', headers: { range } }).bytes);
    const read = await client.reply();
    assert.is(read.status, 206);
    assert.ok(read.body.equals(body.subarray(-100)));
  }
  client.socket.destroy();
  // Nor is any of those held that were replaced.
  await released(before);
});

test('the main thread sees next to nothing of a large upload', async () => {
  const client = await dial();
  const body = content('l', 64 * MiB);
  const seen: number[] = [];
  // Node brings what comes first after each pause of the client, and on a busy machine we make many.
  while (seen.length < 5 && !seen.some((count) => count < 16 * MiB)) {
    const before = readBytes();
    await client.write(put('large', body));
    await good(client, 'large');
    seen.push(readBytes() - before);
    same('large', body);
  }
  assert.ok(Math.min(...seen) < 16 * MiB, `${seen} of ${body.length} bytes came through Node`);
  client.socket.destroy();
});

test('requests that stand right behind a body, and come with it', async () => {
  const client = await dial();
  const bodies = Array.from({ length: 8 }, (_, i) => content(`${i}`, 2 * MiB + i * 300_001));
  const read = signedCall(target, { method: 'GET', path: '/bucket/p0', headers: { range: 'bytes=16-31' } }).bytes;
  void client.write(Buffer.concat(bodies.flatMap((body, i) => [put(`p${i}`, body), read])));
  for (const [i, body] of bodies.entries()) {
    await good(client, `body ${i}`);
    same(`p${i}`, body);
    const { status, body: part } = await client.reply();
    assert.is(status, 206);
    assert.is(part.toString(), '0000000000000016');
  }
  client.socket.destroy();
});

test('large bodies among more reads than come in one piece', async () => {
  const before = gateway.open('bucket');
  const small = content('r', 3_000);
  const large = ['u', 'v'].map((name) => content(name, 9 * MiB));
  const client = await dial();
  await client.write(put('among', small));
  await good(client, 'small');
  // Node reads 64 KiB at a time; behind that nothing more is taken from the connection while replies to these are owed.
  const reads = 600;
  const get = signedCall(target, { method: 'GET', path: '/bucket/among' }).bytes;
  assert.ok(reads * get.length > 2 * 65_536);
  const gets = Buffer.concat(Array.from({ length: reads }, () => get));
  void client.write(Buffer.concat([gets, put('amongu', large[0]!), gets, put('amongv', large[1]!), gets]));
  for (const [round, name] of ['amongu', 'amongv', undefined].entries()) {
    for (let i = 0; i < reads; i++) {
      assert.ok((await good(client, `read ${i} of round ${round}`)).body.equals(small));
    }
    if (name !== undefined) await good(client, name);
  }
  same('amongu', large[0]!);
  same('amongv', large[1]!);
  client.socket.destroy();
  await released(before);
});

test('many at once, quick, slow, in odd pieces and broken off: each file is its own', async () => {
  const before = gateway.open('bucket');
  const one = async (number: number): Promise<void> => {
    const client = await dial();
    for (let round = 0; round < 4; round++) {
      const name = `m${number}-${round}`;
      const body = content(String.fromCharCode(65 + number), 3 * MiB + random(6 * MiB));
      const wire = put(name, body);
      // Before the last piece: what is there whole is an object.
      const breaks = number % 4 === 3 && round === 2 ? random(body.length - 2 * MiB) : Number.POSITIVE_INFINITY;
      for (let at = 0; at < wire.length; ) {
        const piece = wire.subarray(at, at + 1 + random(number % 3 === 1 ? 40_000 : 2 * MiB));
        await client.write(piece);
        at += piece.length;
        if (number % 3 === 1 && random(8) === 0) await sleep(random(4));
        if (at > breaks) {
          client.socket.resetAndDestroy();
          return;
        }
      }
      const { head: text } = await good(client, name);
      assert.match(text, new RegExp(`etag: "${createHash('md5').update(body).digest('hex')}"`, 'i'));
      same(name, body);
    }
    client.socket.destroy();
  };
  await withTimeout('all clients', 100_000, Promise.all(Array.from({ length: 12 }, (_, number) => one(number))));
  assert.not.ok(existsSync(file('m3-2')), 'what was broken off is no object');
  await released(before);
});

test('100-continue, and a client that goes on by itself', async () => {
  const client = await dial();
  const body = content('c', 4 * MiB);
  await client.write(head('continued', body.length, { expect: '100-continue' }));
  assert.is((await client.reply()).status, 100);
  await client.write(body);
  await good(client, 'continued');
  same('continued', body);
  await client.write(put('continued', body.subarray(1), { expect: '100-continue' }));
  assert.is((await client.reply()).status, 100);
  await good(client, 'at once');
  same('continued', body.subarray(1));
  client.socket.destroy();
});

test('clients that end, break or wait in the middle', async () => {
  const before = gateway.open('bucket');
  const body = content('h', 12 * MiB);
  const waiting = await Promise.all(Array.from({ length: 6 }, dial));
  for (const { write } of waiting) {
    await write(head('half', body.length));
    await write(body.subarray(0, 5 * MiB));
  }
  // More than there are workers wait, and others are served.
  await until('six uploads', 20_000, () => staged().length === waiting.length || undefined);
  await sleep(200);
  const since = performance.now();
  const quick = await dial();
  await quick.write(put('small', Buffer.from('small')));
  await good(quick, 'a small one');
  quick.socket.destroy();
  assert.ok(performance.now() - since < 15_000, 'answered while others stand still');
  const [slow, ended, ...gone] = waiting;
  ended!.socket.end();
  for (const [i, { socket }] of gone.entries())
    if (i % 2) socket.destroy();
    else socket.resetAndDestroy();
  await ended!.closed;
  assert.not.ok(existsSync(file('half')));
  await slow!.write(body.subarray(5 * MiB));
  await good(slow!, 'the one that went on');
  same('half', body);
  slow!.socket.destroy();
  await released(before);
});

test('a body that is not what it was promised to be: told when all of it is in, and the connection goes on', async () => {
  const client = await dial();
  const body = content('d', 5 * MiB);
  const wrong = createHash('md5').update('other').digest('base64');
  for (let round = 0; round < 3; round++) {
    // The next request stands right behind.
    void client.write(Buffer.concat([put('bad', body, { 'content-md5': wrong }), put('next', body)]));
    const reply = await client.reply();
    assert.is(reply.status, 400, reply.head);
    assert.match(reply.body.toString(), /<Code>BadDigest</);
    await good(client, 'behind it');
    assert.not.ok(existsSync(file('bad')));
    same('next', body);
  }
  client.socket.destroy();
});

test('more or less than declared', async () => {
  const before = gateway.open('bucket');
  const body = content('x', 4 * MiB);
  const more = await dial();
  void more.write(Buffer.concat([head('more', body.length - MiB), body]));
  await good(more, 'as much as was declared');
  same('more', body.subarray(0, -MiB));
  // What is behind is no request.
  await more.closed;
  const less = await dial();
  await less.write(Buffer.concat([head('less', body.length + 1), body]));
  less.socket.end();
  await less.closed;
  assert.not.ok(existsSync(file('less')));
  await released(before);
});

const crcOf = (bytes: Buffer) => {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
};

test('aws-chunked: signed and unsigned, with a trailer and without, right and wrong', async () => {
  const client = await dial();
  const body = content('k', 6 * MiB + 77);
  const keys = { accessKey: gateway.accessKey, secret: gateway.secretKey };
  const coded = (payload: string, chunkSize: number, damaged = false) => {
    const trailer = payload.endsWith('-TRAILER');
    const headers: Record<string, string> = {
      host: `${target.host}:${target.port}`,
      'content-encoding': 'aws-chunked',
      'x-amz-decoded-content-length': `${body.length}`,
      ...(trailer && { 'x-amz-trailer': 'x-amz-checksum-crc32' }),
    };
    const signed = signV4({ method: 'PUT', url: '/bucket/coded', headers }, keys, payload);
    const bytes = chunkedBody(body, {
      chunkSize,
      ...(payload.includes('AWS4') && { signing: signed.signing }),
      ...(trailer && { trailers: { 'x-amz-checksum-crc32': crcOf(body) } }),
    });
    if (damaged) bytes[bytes.length >> 1]! ^= 1;
    const lines = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return [`PUT /bucket/coded HTTP/1.1\r\n${lines.join('')}content-length: ${bytes.length}\r\n\r\n`, bytes] as const;
  };
  for (const payload of [
    'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
  ]) {
    for (const chunkSize of [8192, 65_536, MiB, 1_300_007]) {
      const [text, bytes] = coded(payload, chunkSize);
      void client.write(Buffer.concat([Buffer.from(text), bytes]));
      await good(client, `${payload} ${chunkSize}`);
      same('coded', body);
    }
    const [text, bytes] = coded(payload, 65_536, true);
    const other = await dial();
    void other.write(Buffer.concat([Buffer.from(text), bytes]));
    const refused = await other.reply();
    assert.ok(refused.status === 403 || refused.status === 400, `${payload}: ${refused.head}`);
    same('coded', body);
    other.socket.destroy();
  }
  client.socket.destroy();
});

test('a signed SHA-256, parts of an upload, and the transfer coding chunked', async () => {
  const client = await dial();
  const body = content('q', 8 * MiB + 1);
  const sha256 = createHash('sha256').update(body).digest('hex');
  for (const [payload, status] of [
    [sha256, 200],
    [createHmac('sha256', 'x').digest('hex'), 400],
  ] as const) {
    const headers = { 'content-length': `${body.length}` };
    const { bytes } = signedCall(target, { method: 'PUT', path: '/bucket/hashed', headers, payload });
    await client.write(Buffer.concat([bytes, body]));
    assert.is((await client.reply()).status, status);
  }
  same('hashed', body);

  await client.write(signedCall(target, { method: 'POST', path: '/bucket/joined', query: 'uploads=' }).bytes);
  const id = /<UploadId>([^<]*)</.exec((await good(client, 'an upload')).body.toString())![1]!;
  const etags: string[] = [];
  for (const number of [1, 2]) {
    const query = `partNumber=${number}&uploadId=${id}`;
    const headers = { 'content-length': `${body.length}` };
    await client.write(signedCall(target, { method: 'PUT', path: '/bucket/joined', query, headers }).bytes);
    await client.write(body);
    etags.push(/etag: ("[^"]*")/i.exec((await good(client, `part ${number}`)).head)![1]!);
  }
  const parts = etags.map((tag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${tag}</ETag></Part>`).join('');
  const document = Buffer.from(`<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`);
  const complete = { method: 'POST', path: '/bucket/joined', query: `uploadId=${id}` };
  await client.write(signedCall(target, complete, document).bytes);
  await good(client, 'the whole');
  same('joined', Buffer.concat([body, body]));

  const headers = { 'transfer-encoding': 'chunked' };
  await client.write(signedCall(target, { method: 'PUT', path: '/bucket/framed', headers }).bytes);
  for (let at = 0; at < body.length; at += MiB) {
    const piece = body.subarray(at, at + MiB);
    await client.write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]));
  }
  await client.write(Buffer.from('0\r\n\r\n'));
  await good(client, 'in chunks');
  same('framed', body);
  client.socket.destroy();
});

test('the gateway stops while a client sends: the upload is finished', async () => {
  const client = await dial();
  const body = content('e', 10 * MiB);
  await client.write(head('end', body.length));
  await client.write(body.subarray(0, 4 * MiB));
  // A connection of which it has read nothing yet is closed.
  await until('the upload', 20_000, () => staged().length === 1 || undefined);
  const stopped = gateway.stop();
  await sleep(200);
  await client.write(body.subarray(4 * MiB));
  await good(client, 'while it stops');
  await client.closed;
  assert.is(await stopped, 0);
  same('end', body);
  await start(gateway.root);
});

if (process.getuid!() === 0) {
  test('a disk that fills up: the upload is refused, and nothing is left', async () => {
    const point = tempDir();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', point]);
    try {
      mkdirSync(join(point, 'bucket'));
      const { root, uuid } = gateway;
      await command('tidegate', ['account', 'update', uuid, '--fspaths', point], root);
      const creator = await dial();
      const headers = { 'x-ddn-specified-directory': join(point, 'bucket') };
      await creator.write(signedCall(target, { method: 'PUT', path: '/full', headers }).bytes);
      await good(creator, 'a bucket');
      creator.socket.destroy();
      const body = content('f', 16 * MiB);
      // Each alone has room when it begins.
      const clients = await Promise.all([dial(), dial(), dial()]);
      const heads = clients.map((_, i) =>
        signedCall(target, { method: 'PUT', path: `/full/f${i}`, headers: { 'content-length': `${body.length}` } }),
      );
      for (const [i, client] of clients.entries()) await client.write(heads[i]!.bytes);
      for (const { write } of clients) void write(body);
      const replies = await Promise.all(clients.map(({ reply }) => reply()));
      const refused = replies.filter(({ status }) => status !== 200);
      assert.ok(refused.length >= 2, replies.map(({ status }) => status).join());
      for (const { head: text, body: document } of refused)
        assert.match(`${text}${document}`, /507|InsufficientStorage/i);
      for (const { socket } of clients) socket.destroy();
      await until('an empty staging', 30_000, () =>
        staged(join(point, 'bucket/.tidegate/staging')).length === 0 ? true : undefined,
      );
    } finally {
      await until('unmounted', 30_000, () => {
        try {
          execFileSync('umount', [point], { stdio: 'ignore' });
          return true;
        } catch {
          return undefined;
        }
      });
    }
  });
}

test.run();
