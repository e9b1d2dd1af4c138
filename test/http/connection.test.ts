/** Bodies of which a store takes parts from the connection itself: Node's parser, and the next request, must not notice. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PayloadCheck } from '../../gateway/auth/types.js';
import { S3Error } from '../../gateway/errors.js';
import { createBody } from '../../gateway/http/body.js';
import { connectionBehind } from '../../gateway/http/connection.js';
import { parseWire } from '../../gateway/http/target.js';
import { receiveNow } from '../../gateway/storage/posix/sockets.js';
import type { Sink } from '../../gateway/storage/types.js';
import { chunkedBody } from '../auth/signer.js';
import { withTimeout } from '../support/time.js';

const t = suite('a connection that is read by others');
const MiB = 1 << 20;
const none: PayloadCheck = { kind: 'none' };
const unsigned: PayloadCheck = { kind: 'chunks', trailer: true, verify: undefined };

let seed = 11;
const random = (below: number) => (seed = (seed * 48_271) % 0x7fffffff) % below;

interface Taken {
  hash: string;
  /** Bytes that came through Node, and those that did not. */
  through: number;
  direct: number;
}

/** What each call takes at most; `wait` comes before it answers. */
interface Receiving {
  most(): number;
  wait?: () => Promise<void>;
  /** What comes from the connection is kept at once. */
  keeps?: boolean;
}

/** A sink like that of a store: a piece of its own memory comes back, in parts. */
function createSink({ most, wait, keeps }: Receiving): { sink: Sink; taken(): Taken } {
  const hash = createHash('sha256');
  const own = Buffer.alloc(MiB);
  let [through, direct] = [0, 0];
  const sink: Sink = (bytes) => {
    hash.update(bytes);
    if (bytes.buffer === own.buffer) direct += bytes.length;
    else through += bytes.length;
    return random(30) === 0 ? sleep(random(3)) : undefined;
  };
  sink.receive = async (descriptor, limit) => {
    // At once: afterwards the number may be another connection's.
    const room = own.subarray(0, Math.min(limit, Math.max(1, most())));
    const count = receiveNow(descriptor, room);
    await (wait ? wait() : immediate());
    return { piece: room.subarray(0, count), more: count === room.length };
  };
  if (keeps) {
    const { receive } = sink;
    sink.keep = async (descriptor, limit) => {
      const { piece, more } = await receive(descriptor, limit);
      hash.update(piece);
      direct += piece.length;
      return { bytes: piece.length, more };
    };
  }
  return { sink, taken: () => ({ hash: hash.digest('hex'), through, direct }) };
}

interface Served {
  port: number;
  bodies: (Taken | string)[];
  close(): void;
}

/** Reads the body of each request with such a sink. */
async function serve(receiving: Receiving, payload: PayloadCheck = none, idleMs?: number): Promise<Served> {
  const bodies: (Taken | string)[] = [];
  const server = createServer((incoming: IncomingMessage, reply) => {
    const { headers } = parseWire(incoming);
    const { sink, taken } = createSink(receiving);
    const { body } = createBody(incoming, { payload, headers, ...(idleMs && { idleMs }) });
    const number = bodies.push('not yet') - 1;
    const outcome = body
      .read(sink)
      .then(taken, (error: unknown) => (error instanceof S3Error ? error.code : `${error}`));
    void outcome.then((result) => {
      bodies[number] = result;
      reply.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    bodies,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

interface Client {
  socket: Socket;
  /** Everything that has come. */
  text(): string;
  write(bytes: Buffer | string): Promise<void>;
  /** Resolves when the replies to so many requests have come. */
  answered(count: number): Promise<void>;
  closed: Promise<void>;
}

function dial(port: number): Client {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (piece) => (text += piece.toString('latin1')));
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  return {
    socket,
    text: () => text,
    write: (bytes) => new Promise((resolve) => socket.write(bytes, () => resolve())),
    answered: (count) =>
      withTimeout(
        `${count} replies`,
        20_000,
        (async () => {
          while ((text.match(/HTTP\/1\.1 200/g) ?? []).length < count && !socket.destroyed) await sleep(5);
        })(),
      ),
    closed: withTimeout('the end of the connection', 30_000, closed),
  };
}

const head = (length: number, more = '') => `PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n${more}\r\n`;
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const chunksOf = (length: number) =>
  `x-amz-decoded-content-length: ${length}\r\nx-amz-trailer: x-amz-checksum-crc32\r\n`;

for (const keeps of [false, true]) {
  t(
    `pipelined bodies, in pieces of any size, ${keeps ? 'kept' : 'handed over'}: each gets its bytes, most directly`,
    async () => {
      const served = await serve({ most: () => random(300_000), keeps });
      const client = dial(served.port);
      try {
        const sizes = [5 * MiB + 3, 100, MiB, 2 * MiB + 1, 0, MiB - 1, 3 * MiB, 64 << 10, MiB + 7, 6 * MiB];
        const bodies = sizes.map((size) => randomBytes(size));
        const wire = Buffer.concat(bodies.flatMap((body) => [Buffer.from(head(body.length)), body]));
        for (let at = 0; at < wire.length; ) {
          const length = random(3) ? 1 + random(400_000) : 1 + random(1000);
          await client.write(wire.subarray(at, at + length));
          at += length;
          if (random(5) === 0) await sleep(random(4));
        }
        await client.answered(bodies.length);
        const all = served.bodies as Taken[];
        assert.equal(
          all.map(({ hash }) => hash),
          bodies.map(sha256),
        );
        const direct = all.reduce((sum, each) => sum + each.direct, 0);
        assert.ok(direct > wire.length / 3, `${direct} of ${wire.length} bytes came directly`);
        assert.not.match(client.text(), /400/);
      } finally {
        client.socket.destroy();
        served.close();
      }
    },
  );
}

t('frames of aws-chunked that are cut anywhere', async () => {
  for (const chunkSize of [8192, 65_536, 1_000_003]) {
    // Small takes meet the middle of every frame; what is large takes many of them.
    for (const largest of [97, 70_000, MiB]) {
      const served = await serve({ most: () => (random(3) ? largest : random(largest)) }, unsigned);
      const client = dial(served.port);
      try {
        const body = randomBytes(largest === 97 ? 3 * MiB : 4 * MiB + 1);
        const coded = chunkedBody(body, { chunkSize, trailers: { 'x-amz-checksum-crc32': 'AAAAAA==' } });
        await client.write(Buffer.concat([Buffer.from(head(coded.length, chunksOf(body.length))), coded]));
        await client.answered(1);
        const [taken] = served.bodies as Taken[];
        assert.is(taken?.hash, sha256(body), `${chunkSize}, ${largest}: ${String(served.bodies[0])}`);
        assert.ok(taken!.direct > 0, `${chunkSize}, ${largest}: nothing came directly`);
      } finally {
        client.socket.destroy();
        served.close();
      }
    }
  }
});

t('a client that ends, breaks or stalls while the store takes', async () => {
  const size = 8 * MiB;
  for (const [how, expected] of [
    ['end', 'IncompleteBody'],
    ['destroy', 'IncompleteBody'],
    ['reset', 'IncompleteBody'],
    ['stall', 'RequestTimeout'],
  ] as const) {
    const served = await serve({ most: () => 100_000, wait: () => sleep(2) }, none, 300);
    const client = dial(served.port);
    try {
      await client.write(head(size));
      await client.write(Buffer.alloc(size / 2));
      if (how === 'end') client.socket.end();
      if (how === 'destroy') client.socket.destroy();
      if (how === 'reset') client.socket.resetAndDestroy();
      const since = performance.now();
      await withTimeout(
        `the end of ${how}`,
        5_000,
        waitFor(() => ![undefined, 'not yet'].includes(served.bodies[0] as string)),
      );
      assert.equal(served.bodies, [expected], how);
      if (how === 'stall') assert.ok(performance.now() - since > 200, 'not before its time');
    } finally {
      client.socket.destroy();
      served.close();
    }
  }
});

async function waitFor(so: () => boolean): Promise<void> {
  while (!so()) await sleep(5);
}

t('a store that takes its time is no silence of the client', async () => {
  let calls = 0;
  const served = await serve({ most: () => MiB, wait: () => sleep(++calls === 1 ? 700 : 0) }, none, 250);
  const client = dial(served.port);
  try {
    const body = randomBytes(8 * MiB);
    await client.write(Buffer.concat([Buffer.from(head(body.length)), body]));
    await client.answered(1);
    assert.is((served.bodies[0] as Taken).hash, sha256(body));
    assert.ok(calls > 1);
  } finally {
    client.socket.destroy();
    served.close();
  }
});

t('a failing store leaves the connection to whoever replies', async () => {
  let failed = 0;
  const server = createServer((incoming, reply) => {
    const { headers } = parseWire(incoming);
    const sink: Sink = () => undefined;
    sink.receive = async (descriptor) => {
      receiveNow(descriptor, Buffer.alloc(1000));
      await sleep(1);
      throw new S3Error('SlowDown');
    };
    createBody(incoming, { payload: none, headers })
      .body.read(sink)
      .catch((error: S3Error) => {
        failed++;
        assert.is(error.code, 'SlowDown');
        reply.writeHead(503, { connection: 'close' });
        reply.end('later');
        incoming.resume();
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = dial((server.address() as AddressInfo).port);
  try {
    // A request that would come to be seen if the parser took what was lost for the end of the body.
    const evil = Buffer.from('GET /evil HTTP/1.1\r\nHost: h\r\n\r\n');
    await client.write(Buffer.concat([Buffer.from(head(4 * MiB)), Buffer.alloc(4 * MiB - evil.length), evil, evil]));
    await client.closed;
    assert.match(client.text(), /^HTTP\/1\.1 503 .*later/s);
    assert.is(failed, 1);
  } finally {
    client.socket.destroy();
    server.closeAllConnections();
    server.close();
  }
});

t('what the parser does not see so ends the connection, and is never a request', async () => {
  let requests = 0;
  let outcome = '';
  const server = createServer((incoming) => {
    requests++;
    const connection = connectionBehind(incoming);
    assert.ok((connection.hold() ?? -1) >= 0);
    try {
      connection.consume(2 * MiB);
    } catch (error) {
      outcome = String(error);
    }
    connection.release();
  });
  server.on('clientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = dial((server.address() as AddressInfo).port);
  try {
    await client.write(head(MiB + 5));
    await client.closed;
    assert.match(outcome, /lost its place/);
    assert.is(requests, 1);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

t('Node goes on reading what it wanted to read meanwhile', async () => {
  let seen = '';
  const server = createServer(async (incoming, reply) => {
    const connection = connectionBehind(incoming);
    assert.ok((connection.hold() ?? -1) >= 0);
    incoming.on('data', (piece) => (seen += piece));
    incoming.pause();
    incoming.resume();
    await sleep(100);
    assert.is(seen, '', 'held');
    assert.is(incoming.readableLength, 0);
    connection.release();
    incoming.on('end', () => reply.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = dial((server.address() as AddressInfo).port);
  try {
    await client.write(head(5));
    await sleep(20);
    await client.write('hello');
    await client.answered(1);
    assert.is(seen, 'hello');
  } finally {
    client.socket.destroy();
    server.closeAllConnections();
    server.close();
  }
});

t('what is encrypted comes through Node', async () => {
  const read = (name: string) => readFileSync(`test/fixtures/tls/${name}`);
  const body = randomBytes(4 * MiB);
  let direct = 0;
  const server = https.createServer({ cert: read('first.crt'), key: read('first.key') }, (incoming, reply) => {
    const hash = createHash('sha256');
    const sink: Sink = (piece) => void hash.update(piece);
    sink.receive = async () => {
      direct++;
      throw new Error('ciphertext');
    };
    void createBody(incoming, { payload: none, headers: parseWire(incoming).headers })
      .body.read(sink)
      .then(
        () => hash.digest('hex'),
        (error: unknown) => `${error}`,
      )
      .then((text) => reply.end(text));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const answer = await new Promise<string>((resolve, reject) => {
      const options = { port, method: 'PUT', rejectUnauthorized: false, agent: false };
      const request = https.request(options, (response) => {
        let text = '';
        response.on('data', (piece) => (text += piece));
        response.on('end', () => resolve(text));
      });
      request.on('error', reject);
      request.setHeader('content-length', body.length);
      request.end(body);
    });
    assert.is(answer, sha256(body));
    assert.is(direct, 0);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

t.run();
