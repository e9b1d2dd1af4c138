import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PayloadCheck } from '../../gateway/auth/types.js';
import { S3Error } from '../../gateway/errors.js';
import { createBody, readAll } from '../../gateway/http/body.js';
import { parseWire } from '../../gateway/http/target.js';
import type { Body } from '../../gateway/storage/types.js';
import { chunkedBody } from '../auth/signer.js';

const t = suite('body');
const none: PayloadCheck = { kind: 'none' };

interface Made {
  body: Body;
  trailers: Map<string, string>;
  incoming: IncomingMessage;
}

/** Sends raw bytes, hands the body to `use`, and answers what `use` comes to. */
async function send(
  pieces: (string | Buffer)[],
  use: (made: Made) => Promise<unknown>,
  options: { payload?: PayloadCheck; idleMs?: number; stay?: boolean } = {},
): Promise<unknown> {
  const server: Server = createServer();
  const outcome = new Promise<unknown>((resolve) => {
    server.on('request', (incoming, reply) => {
      const { headers } = parseWire(incoming);
      const run = async () => use({ ...createBody(incoming, { payload: none, headers, ...options }), incoming });
      void run()
        .catch((error: unknown) => (error instanceof S3Error ? error.code : error))
        .then((value) => {
          resolve(value);
          reply.end();
        });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (options.stay !== true) socket.end();
  const value = await outcome;
  socket.destroy();
  server.closeAllConnections();
  server.close();
  return value;
}

const head = (headers: string) => `PUT /b/k HTTP/1.1\r\nHost: h\r\n${headers}\r\n\r\n`;
const text = async ({ body }: Made) => (await readAll(body, 1 << 24)).toString();

t('a plain body', async () => {
  assert.is(await send([head('Content-Length: 5'), 'he', 'llo'], text), 'hello');
  assert.is(await send([head('Content-Length: 5'), 'hello'], async ({ body }) => body.length), 5);
  assert.is(await send([head('Content-Length: 0')], text), '');
  assert.is(await send([head('X: y')], async (made) => `${made.body.length}${await text(made)}`), '0');
});

t('chunked transfer coding has no length', async () => {
  const wire = [head('Transfer-Encoding: chunked'), '2\r\nhe\r\n', '3\r\nllo\r\n0\r\n\r\n'];
  assert.is(await send(wire, async (made) => `${made.body.length} ${await text(made)}`), 'undefined hello');
});

t('another transfer coding is refused, not stored', async () => {
  const wire = [head('Transfer-Encoding: gzip, chunked'), '2\r\nhe\r\n0\r\n\r\n'];
  assert.is(await send(wire, text), 'NotImplemented');
});

t('a length beyond all bounds is a length', async () => {
  assert.is(await send([head('Content-Length: 9007199254740992')], async ({ body }) => body.length), 2 ** 53);
});

t('an early end is IncompleteBody', async () => {
  assert.is(await send([head('Content-Length: 5'), 'he'], text), 'IncompleteBody');
  assert.is(await send([head('Transfer-Encoding: chunked'), '2\r\nhe\r\n'], text), 'IncompleteBody');
  assert.is(
    await send([head('Content-Length: 5'), 'he'], async ({ body, incoming }) => {
      await new Promise((resolve) => incoming.on('close', resolve));
      await body.read(() => {});
    }),
    'IncompleteBody',
    'broken before it is read',
  );
});

t('a slow sink pauses the stream, and gets every byte in order', async () => {
  const payload = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251));
  const result = await send(
    [head(`Content-Length: ${payload.length}`), payload],
    async ({ body }) => {
      const out: Buffer[] = [];
      let running = 0;
      await body.read(async (piece) => {
        assert.is(++running, 1, 'one piece at a time');
        await new Promise((resolve) => setTimeout(resolve, 1));
        out.push(Buffer.from(piece));
        running--;
      });
      return Buffer.concat(out).equals(payload);
    },
    { stay: true },
  );
  assert.is(result, true);
});

t('what a sink throws is what read rejects with, and the rest can be drained', async () => {
  for (const sink of [
    () => {
      throw new S3Error('SlowDown');
    },
    async () => {
      throw new S3Error('SlowDown');
    },
  ]) {
    const result = await send(
      [head('Content-Length: 100000'), Buffer.alloc(60000), Buffer.alloc(40000)],
      async ({ body, incoming }) => {
        const code = await body.read(sink).catch((error: S3Error) => error.code);
        incoming.resume();
        await new Promise((resolve) => incoming.on('end', resolve));
        return code;
      },
    );
    assert.is(result, 'SlowDown');
  }
});

t('only once', async () => {
  const result = await send([head('Content-Length: 1'), 'a'], async (made) => {
    await text(made);
    return made.body.read(() => {}).catch((error: Error) => error.message);
  });
  assert.match(String(result), 'only once');
});

t('an idle client', async () => {
  const wire = [head('Content-Length: 5'), 'he'];
  assert.is(await send(wire, text, { idleMs: 40, stay: true }), 'RequestTimeout');
  const slow = await send(
    [head('Content-Length: 5'), 'hello'],
    async ({ body }) => {
      await body.read(() => new Promise((resolve) => setTimeout(resolve, 120)));
      return 'taken';
    },
    { idleMs: 40, stay: true },
  );
  assert.is(slow, 'taken', 'our own slowness is not the idleness of the client');
});

t('aws-chunked', async () => {
  const payload: PayloadCheck = { kind: 'chunks', trailer: true, verify: undefined };
  const data = Buffer.alloc(200_000, 'x');
  const coded = chunkedBody(data, { trailers: { 'x-amz-checksum-crc32': 'v' } });
  const headers = (length: number) =>
    head(
      `Content-Length: ${coded.length}\r\nx-amz-trailer: x-amz-checksum-crc32\r\nx-amz-decoded-content-length: ${length}`,
    );
  const use = async (made: Made) => {
    const whole = await readAll(made.body, 1 << 20);
    return `${made.body.length} ${whole.equals(data)} ${made.trailers.get('x-amz-checksum-crc32')}`;
  };
  assert.is(await send([headers(200_000), coded], use, { payload }), '200000 true v');
  assert.is(await send([headers(199_999), coded], use, { payload }), 'IncompleteBody');
  assert.is(await send([headers(200_000), coded.subarray(0, 100_000)], use, { payload }), 'IncompleteBody');
  const missing = head(`Content-Length: ${coded.length}`);
  assert.is(await send([missing, coded], use, { payload }), 'MissingContentLength');
  const bad = head(`Content-Length: ${coded.length}\r\nx-amz-decoded-content-length: x`);
  assert.is(await send([bad, coded], use, { payload }), 'InvalidArgument');
});

t('readAll holds to its limit and to the promised hash', async () => {
  const wire = [head('Content-Length: 5'), 'hello'];
  const sha256 = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
  assert.is(await send(wire, ({ body }) => readAll(body, 4)), 'MaxMessageLengthExceeded');
  assert.is(
    await send([head('Transfer-Encoding: chunked'), '5\r\nhello\r\n0\r\n\r\n'], ({ body }) => readAll(body, 4)),
    'MaxMessageLengthExceeded',
  );
  assert.is(String(await send(wire, ({ body }) => readAll(body, 5, { sha256 }))), 'hello');
  assert.is(
    await send(wire, ({ body }) => readAll(body, 5, { sha256: sha256.replace('2c', '2d') })),
    'XAmzContentSHA256Mismatch',
  );
});

t.run();
