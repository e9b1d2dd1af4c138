// timeout: 240
/**
 * Large objects that the workers send themselves: every byte in its place, on its own connection, and nothing left open,
 * whatever the clients do.
 */
import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ask } from '../bench/gateway.js';
import { type Asked, signedCall, type Target } from '../bench/signed.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { until, withTimeout } from '../support/time.js';

const test = suite('objects that workers send');
const MiB = 1 << 20;
const size = 24 * MiB + 4321;
const names = ['a', 'b', 'c', 'd'];
let gateway: Gateway;
let target: Target;

/** Each 16 bytes of a file say of which one they are, and where in it. */
function content(name: string): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 16) bytes.write(`${name}${at.toString().padStart(15, '0')}`, at, 'latin1');
  return bytes;
}
const contents = new Map(names.map((name) => [name, content(name)]));

test.before(async () => {
  gateway = await startGateway({
    flags: ['--log-level', 'error', '--durability', 'none', '--workers', '2', '--sync', 'off'],
  });
  const { port, accessKey, secretKey } = gateway;
  target = { host: '127.0.0.1', port, accessKey, secretKey };
  await ask(target, 'PUT', '/direct');
  for (const [name, bytes] of contents) writeFileSync(file(name), bytes);
});
test.after(async () => {
  assert.is(await gateway?.stop(), 0);
});

const file = (name: string) => join(gateway.bucketPath('direct'), name);
const request = (name: string, headers: Record<string, string> = {}, more: Partial<Asked> = {}) =>
  signedCall(target, { method: 'GET', path: `/direct/${name}`, headers, ...more }).bytes;

const released = (before: number) =>
  until('released descriptors', 10_000, () => (gateway.open('direct') <= before ? true : undefined));

interface Reader {
  socket: Socket;
  /** The next so many bytes. */
  take(count: number): Promise<Buffer>;
  /** Head of the next reply, and how long its body is. */
  head(): Promise<{ text: string; length: number }>;
  /** What came until the connection ended. */
  rest(): Promise<Buffer>;
}

/** A client that takes no more from its connection than it is asked for. */
async function dial(): Promise<Reader> {
  const socket = connect(target.port, target.host);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve));
  const next = async (count: number): Promise<Buffer | undefined> => {
    for (;;) {
      const some = socket.read(Math.min(count, 65_536)) ?? (socket.readableEnded ? undefined : socket.read());
      if (some) {
        if (some.length > count) socket.unshift(some.subarray(count));
        return some.subarray(0, count);
      }
      if (socket.readableEnded || socket.destroyed) return undefined;
      await new Promise<void>((resolve) => {
        const go = () => {
          for (const event of ['readable', 'end', 'close']) socket.off(event, go);
          resolve();
        };
        for (const event of ['readable', 'end', 'close']) socket.on(event, go);
      });
    }
  };
  const take = async (count: number): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const piece = await next(left);
      if (!piece) throw new Error(`the connection ended ${left} bytes early`);
      pieces.push(piece);
      left -= piece.length;
    }
    return Buffer.concat(pieces);
  };
  return {
    socket,
    take: (count) => withTimeout(`${count} bytes`, 30_000, take(count)),
    async head() {
      let text = '';
      while (!text.endsWith('\r\n\r\n')) text += (await withTimeout('a head', 30_000, take(1))).toString('latin1');
      return { text, length: Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1]) };
    },
    async rest() {
      const pieces: Buffer[] = [];
      for (let piece: Buffer | undefined; (piece = await withTimeout('the end', 30_000, next(size))); )
        pieces.push(piece);
      return Buffer.concat(pieces);
    },
  };
}

const same = (got: Buffer, expected: Buffer, what: string) => {
  if (got.equals(expected)) return;
  let at = 0;
  while (got[at] === expected[at]) at++;
  const seen = got.toString('latin1', at & ~15, (at & ~15) + 32);
  throw new Error(`${what}: ${got.length} of ${expected.length} bytes, other ones from ${at} on: ${seen}`);
};

test('many at once, whole and in ranges, quick, slow and broken off: each gets its own bytes', async () => {
  const before = gateway.open('direct');
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48_271) % 0x7fffffff) % below;
  const client = async (number: number) => {
    const reader = await dial();
    for (let round = 0; round < 5; round++) {
      const name = names[random(names.length)]!;
      const from = round % 2 ? random(size) : 0;
      const to = round % 2 ? from + random(size - from) : size - 1;
      reader.socket.write(request(name, round % 2 ? { range: `bytes=${from}-${to}` } : {}));
      const { text, length } = await reader.head();
      assert.match(text, round % 2 ? /^HTTP\/1\.1 206 / : /^HTTP\/1\.1 200 /);
      assert.is(length, to - from + 1);
      const expected = contents.get(name)!.subarray(from, to + 1);
      const pieces: Buffer[] = [];
      for (let left = length; left > 0; ) {
        const piece = await reader.take(Math.min(left, 1 + random(3 * MiB)));
        pieces.push(piece);
        left -= piece.length;
        if (number % 4 === 1) await sleep(random(30));
        if (number % 4 === 2 && round === 3 && left < length / 2) {
          reader.socket.destroy();
          return;
        }
      }
      same(Buffer.concat(pieces), expected, `client ${number}, round ${round}, ${name} ${from}-${to}`);
    }
    reader.socket.destroy();
  };
  await withTimeout('all clients', 100_000, Promise.all(Array.from({ length: 12 }, (_, number) => client(number))));
  await released(before);
});

test('replies on one connection come one after the other, and it ends when it should', async () => {
  const before = gateway.open('direct');
  const reader = await dial();
  // At once: the second waits for the end of the first, a HEAD has no body.
  reader.socket.write(
    Buffer.concat([
      request('a'),
      request('b', {}, { method: 'HEAD' }),
      request('b'),
      request('c', { connection: 'close' }),
    ]),
  );
  for (const name of ['a', 'HEAD', 'b', 'c']) {
    const { text, length } = await reader.head();
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.is(length, size);
    if (name !== 'HEAD') same(await reader.take(length), contents.get(name)!, name);
  }
  assert.is((await reader.rest()).length, 0, 'closed, with nothing behind the last reply');
  const old = await dial();
  old.socket.write(request('d').toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'), 'latin1');
  assert.is((await old.head()).length, size);
  same(await old.rest(), contents.get('d')!, 'HTTP/1.0');
  await released(before);
});

test('clients that stop reading hold no worker, and what they hold is given back', async () => {
  const before = gateway.open('direct');
  // More than there are workers.
  const readers = await Promise.all(Array.from({ length: 6 }, dial));
  for (const reader of readers) {
    reader.socket.write(request('a'));
    assert.is((await reader.head()).length, size);
  }
  await sleep(300);
  for (let i = 0; i < 20; i++) {
    const small = await dial();
    const since = performance.now();
    small.socket.write(request('b', { range: 'bytes=16-31', connection: 'close' }));
    same((await small.rest()).subarray(-16), contents.get('b')!.subarray(16, 32), 'small');
    assert.ok(performance.now() - since < 2_000, 'answered while others stand still');
  }
  const [slow, ...others] = readers;
  for (const { socket } of others) socket.destroy();
  same(await slow!.take(size), contents.get('a')!, 'the one that goes on');
  slow!.socket.destroy();
  await released(before);
});

test('a file that a job overwrites is cut: nothing of the new content goes out', async () => {
  const before = gateway.open('direct');
  const bytes = content('e');
  for (const [name, change] of [
    ['overwritten', () => overwrite('overwritten', bytes)],
    ['shortened', () => truncateSync(file('shortened'), size - 1)],
  ] as const) {
    writeFileSync(file(name), bytes);
    const reader = await dial();
    reader.socket.write(request(name));
    assert.is((await reader.head()).length, size);
    const first = await reader.take(MiB);
    await sleep(200);
    change();
    const got = Buffer.concat([first, await reader.rest()]);
    assert.ok(got.length < size, `${name}: ended after ${got.length} bytes`);
    same(got, bytes.subarray(0, got.length), name);
  }
  await released(before);
});

/** In place, everything of it. */
function overwrite(name: string, bytes: Buffer): void {
  const fd = openSync(file(name), 'r+');
  try {
    for (let at = 0; at < size; at += MiB) writeSync(fd, Buffer.alloc(Math.min(MiB, size - at), 'X'), 0, undefined, at);
    assert.is(bytes.length, size);
  } finally {
    closeSync(fd);
  }
}

test('the gateway stops while a client reads: it gets the whole object', async () => {
  const reader = await dial();
  reader.socket.write(request('a'));
  assert.is((await reader.head()).length, size);
  const first = await reader.take(MiB);
  const stopped = gateway.stop();
  await sleep(200);
  same(Buffer.concat([first, await reader.take(size - MiB)]), contents.get('a')!, 'while it stops');
  assert.is(await stopped, 0);
});

test.run();
