/** Clients that stop in the middle of a large transfer: what they hold must not be what others need. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDigests, loadDigests } from '../../../gateway/storage/digest.js';
import type { Body } from '../../../gateway/storage/types.js';
import { until, withTimeout } from '../../support/time.js';
import { pair, sinkTo } from './pair.js';
import { type Bench, openBench } from './store.js';

const test = suite('posix streams');
const size = 3_000_000;
const bytes = Buffer.alloc(size, 'tide');
const meta = { etag: 'x-1', headers: {}, user: {} };

const whole: Body = {
  length: size,
  read: async (sink) => {
    for (let at = 0; at < size; at += 65_536) await sink(bytes.subarray(at, at + 65_536));
  },
};

await loadDigests();

const withBench = async (work: (bench: Bench) => Promise<void>): Promise<void> => {
  const bench = await openBench({
    buffers: {
      tiers: [
        { bytes: 1 << 20, limit: 4 },
        { bytes: 1 << 16, limit: 64 },
      ],
      waitMs: 500,
    },
  });
  try {
    await work(bench);
  } finally {
    await bench.storage.close();
  }
};

test('readers and writers that stand still leave room for others', () =>
  withBench(async ({ storage, at }) => {
    await storage.put(at, 'large', whole, { digests: [], seal: () => meta });
    let letGo = (): void => {};
    const gate = new Promise<void>((resolve) => (letGo = resolve));
    const still: Promise<unknown>[] = [];
    for (let i = 0; i < 10; i++) {
      const object = await storage.open(at, 'large');
      still.push(object.read(0, size, () => gate).finally(() => object.close()));
      const body: Body = { length: size, read: (sink) => gate.then(() => whole.read(sink)) };
      still.push(storage.put(at, `still-${i}`, body, { digests: [], seal: () => meta }));
    }
    await withTimeout(
      'others',
      5_000,
      (async () => {
        await storage.put(at, 'other', whole, { digests: ['md5'], seal: () => meta });
        const object = await storage.open(at, 'other');
        const got: Buffer[] = [];
        await object.read(0, size, (chunk) => void got.push(Buffer.from(chunk)));
        await object.close();
        assert.ok(Buffer.concat(got).equals(bytes), 'through small chunks as well');
      })(),
    );
    letGo();
    await Promise.all(still);
  }));

test('chunks come back whatever becomes of a transfer', () =>
  withBench(async ({ storage, at }) => {
    await storage.put(at, 'large', whole, { digests: [], seal: () => meta });
    const cut = () => Promise.reject(new Error('cut'));
    const read = async (sink: () => Promise<void>): Promise<void> => {
      const object = await storage.open(at, 'large');
      await object.read(0, size, sink).finally(() => object.close());
    };
    // Each takes one at least: of 68 there would be none left in the middle.
    await withTimeout(
      'all transfers',
      30_000,
      (async () => {
        for (let i = 0; i < 40; i++) {
          await read(() => Promise.resolve());
          await read(cut).catch((error) => assert.is(error.message, 'cut'));
          await storage.put(at, 'other', whole, { digests: [], seal: () => meta });
          const body: Body = { length: size, read: (sink) => whole.read(sink).then(cut) };
          await storage.put(at, 'never', body, { digests: [], seal: () => meta }).catch((error) => {
            assert.is(error.message, 'cut');
          });
        }
      })(),
    );
  }));

test('a reader who takes his time gets each piece as it was handed to him', () =>
  withBench(async ({ storage, at }) => {
    const content = randomBytes(3_000_001);
    const body: Body = { length: content.length, read: async (sink) => void (await sink(content)) };
    await storage.put(at, 'slow', body, { digests: [], seal: () => meta });
    const object = await storage.open(at, 'slow');
    const got: Buffer[] = [];
    await object.read(0, content.length, async (chunk) => {
      // Meanwhile the next one is read.
      await new Promise((resolve) => setTimeout(resolve, 30));
      got.push(Buffer.from(chunk));
    });
    await object.close();
    assert.ok(got.length > 2);
    assert.ok(Buffer.concat(got).equals(content));
  }));

test('what is declared and not sent takes no room on the disk', () =>
  withBench(async ({ storage, at, area, root }) => {
    const { statfs } = await import('node:fs/promises');
    const before = (await statfs(root)).bavail;
    let fail: ((_: Error) => void) | undefined;
    const body: Body = { length: 1 << 30, read: () => new Promise((_, reject) => (fail = reject)) };
    const put = storage.put(at, 'declared', body, { digests: [], seal: () => meta });
    put.catch(() => {});
    while (!fail || area('staging').length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    const { bavail, bsize } = await statfs(root);
    assert.ok((before - bavail) * bsize < 1 << 29, 'half of it at most, whatever others write meanwhile');
    fail(new Error('cut'));
    await put.catch(() => {});
    assert.equal(area('staging'), []);
  }));

test('more than the disk has is refused before it is sent', () =>
  withBench(async ({ storage, at, area }) => {
    const body: Body = { length: 2 ** 52, read: () => Promise.reject(new Error('was asked for')) };
    const error = await storage.put(at, 'huge', body, { digests: [], seal: () => meta }).catch((e) => e);
    assert.is(error.code, 'InsufficientStorage');
    assert.equal(area('staging'), []);
  }));

const sockets = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;

const length = (32 << 20) + 77;
const filled = (): Buffer => {
  const content = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) content.writeUInt32LE(at, at);
  return content;
};

for (const usable of [true, false]) {
  test(`a connection that ${usable ? 'takes bytes is written to by workers' : 'does not gets all through the sink'}`, () =>
    withBench(async ({ storage, at, file }) => {
      const before = sockets();
      const content = filled();
      writeFileSync(file('direct'), content);
      const { ours, theirs, end } = await pair();
      const got: Buffer[] = [];
      theirs.on('data', (piece) => got.push(piece));
      const ended = new Promise((resolve) => theirs.once('end', resolve));
      const { sink, counted } = sinkTo(ours, () => usable);
      const object = await storage.open(at, 'direct');
      await withTimeout('reading', 20_000, object.read(5, length - 5, sink));
      await object.close();
      ours.end();
      await ended;
      assert.is(counted.through + counted.past, length - 5);
      assert.ok(Buffer.concat(got).equals(content.subarray(5)));
      // Not half of it: where a read had to wait, on a busy machine, the next 16 MiB go through the sink.
      if (usable) assert.ok(counted.past > length / 16, `${counted.past} bytes sent by workers`);
      else assert.is(counted.past, 0);
      end();
      await until('closed sockets', 5_000, () => (sockets() <= before ? true : undefined));
    }));
}

test('a descriptor that is closed and given to another is not written to', () =>
  withBench(async ({ storage, at, file }) => {
    const before = sockets();
    writeFileSync(file('direct'), filled());
    const first = await pair();
    const { sink, counted } = sinkTo(first.ours);
    const object = await storage.open(at, 'direct');
    const others: Awaited<ReturnType<typeof pair>>[] = [];
    const number = (socket: Socket) => (socket as unknown as { _handle: { fd: number } })._handle.fd;
    const fd = number(first.ours);
    const reading = object.read(0, length, sink).then(
      () => 'read',
      (error) => error.message,
    );
    // Nobody reads: it stands still. Then Node closes it, and the number goes to somebody else.
    await until('a full connection', 5_000, () =>
      counted.past > 0 && first.ours.writableLength > 0 ? true : undefined,
    );
    const stolen: Buffer[] = [];
    first.ours.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    const again = () => others.some(({ ours, theirs }) => number(ours) === fd || number(theirs) === fd);
    while (!again() && others.length < 100) others.push(await pair(first.server));
    assert.ok(again(), 'the number is used again');
    for (const { ours, theirs } of others) {
      for (const socket of [ours, theirs]) socket.on('data', (piece) => stolen.push(piece));
    }
    first.theirs.resume();
    assert.is(await withTimeout('the broken one', 5_000, reading), 'closed');
    // What was sent before is all that its own client gets, and then the end: no descriptor keeps the connection.
    await withTimeout('the end', 5_000, new Promise((resolve) => first.theirs.once('end', resolve)));
    await object.close();
    assert.is(Buffer.concat(stolen).length, 0);
    for (const { end } of [first, ...others]) end();
    await until('closed sockets', 5_000, () => (sockets() <= before ? true : undefined));
  }));

test('a file that becomes shorter ends the connection', () =>
  withBench(async ({ storage, at, file }) => {
    writeFileSync(file('direct'), filled());
    const { ours, theirs, end } = await pair();
    const { sink, counted } = sinkTo(ours);
    const object = await storage.open(at, 'direct');
    const reading = object.read(0, length, sink).catch((error) => error);
    await until('a full connection', 5_000, () => (counted.past > 0 && ours.writableLength > 0 ? true : undefined));
    truncateSync(file('direct'), 100);
    theirs.resume();
    // Nothing of Node's closes it here: the store has ended it.
    await withTimeout('the end', 5_000, new Promise((resolve) => theirs.once('end', resolve)));
    assert.is((await reading).code, 'InternalError');
    await object.close();
    end();
  }));

test('digests of many at once, made apart or where the bytes are written', () =>
  withBench(async ({ storage, at }) => {
    const digests = ['md5', 'sha256', 'crc32c', 'crc64nvme'] as const;
    const one = async (number: number): Promise<void> => {
      const content = Buffer.alloc(size + number, `content ${number} `);
      const expected = createDigests(digests);
      expected.update(content);
      const body: Body = {
        length: content.length,
        read: async (sink) => {
          for (let from = 0; from < content.length; from += 300_000) await sink(content.subarray(from, from + 300_000));
        },
      };
      await storage.put(at, `digests-${number}`, body, {
        digests,
        seal: (received) => {
          assert.equal(received, { size: content.length, digests: expected.finish() });
          return meta;
        },
      });
    };
    await one(0);
    await Promise.all(Array.from({ length: 6 }, (_, i) => one(i + 1)));
  }));

test.run();
