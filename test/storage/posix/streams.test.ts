/** Clients that stop in the middle of a large transfer: what they hold must not be what others need. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Body } from '../../../gateway/storage/types.js';
import { withTimeout } from '../../support/time.js';
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

test.run();
