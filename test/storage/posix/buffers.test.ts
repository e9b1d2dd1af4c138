import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createBuffers } from '../../../gateway/storage/posix/buffers.js';

test('chunks are shared memory of their size, recycled, never lent twice', async () => {
  const buffers = createBuffers({ tiers: [{ limit: 4, bytes: 1024 }] });
  const [a, b] = await buffers.acquire(2);
  assert.instance(a!.buffer, SharedArrayBuffer);
  assert.is(a!.byteLength, 1024);
  assert.ok(Math.abs(a!.byteOffset - b!.byteOffset) >= 1024, 'they do not overlap');
  buffers.release([a!]);
  assert.throws(() => buffers.release([a!]), /not lent/);
  const [again] = await buffers.acquire(1);
  assert.is(again, a);
  assert.equal(buffers.stats(), { made: 2, free: 0, waiting: 0 });
});

test('within the bound at once, beyond it in the order of asking, a large wish is not overtaken', async () => {
  const buffers = createBuffers({ tiers: [{ limit: 3, bytes: 16 }] });
  const first = await buffers.acquire(2);
  const order: string[] = [];
  const two = buffers.acquire(2).then((chunks) => {
    order.push('two');
    return chunks;
  });
  const one = buffers.acquire(1).then((chunks) => {
    order.push('one');
    return chunks;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(order, []);
  buffers.release(first);
  const lent = [...(await two), ...(await one)];
  assert.equal(order, ['two', 'one']);
  assert.is(new Set(lent).size, 3);
  buffers.release(lent);
  assert.equal(buffers.stats(), { made: 3, free: 3, waiting: 0 });
});

test('who waits too long hears SlowDown, and those behind it are served', async () => {
  const buffers = createBuffers({ tiers: [{ limit: 2, bytes: 16 }], waitMs: 30 });
  const [held] = await buffers.acquire(1);
  const large = buffers.acquire(2);
  const small = buffers.acquire(1);
  let code = '';
  await large.catch((error) => {
    code = error.code;
  });
  assert.is(code, 'SlowDown');
  assert.is((await small).length, 1);
  buffers.release([held!]);
});

test('when the large ones are lent, and for short streams, there are small ones', async () => {
  const buffers = createBuffers({
    tiers: [
      { limit: 2, bytes: 64 },
      { limit: 4, bytes: 8 },
    ],
    waitMs: 30,
  });
  const short = await buffers.acquire(2, 8);
  assert.equal(
    short.map((chunk) => chunk.length),
    [8, 8],
  );
  const large = await buffers.acquire(2, 9);
  const more = await buffers.acquire(2);
  assert.equal(
    [...large, ...more].map((chunk) => chunk.length),
    [64, 64, 8, 8],
  );
  buffers.release(large);
  assert.is((await buffers.acquire(1))[0]!.length, 64, 'large again as soon as there is one');
  buffers.release([...short, ...more]);
});

test('by default a few streams have the largest chunks, many more smaller ones, and each no more than it needs', async () => {
  const buffers = createBuffers();
  const sizes = async (count: number, each: number, bytes?: number, most?: number) => {
    const all = await Promise.all(Array.from({ length: count }, () => buffers.acquire(each, bytes, most)));
    return all.map(([chunk]) => chunk!.length / 1024);
  };
  assert.equal(await sizes(1, 1, 65_536), [64]);
  assert.equal(await sizes(1, 1, 65_537), [512]);
  assert.equal(await sizes(1, 1, 524_289), [1024]);
  assert.equal(await sizes(1, 1, 1_048_577), [2048]);
  assert.equal(await sizes(1, 3, undefined, 1_048_576), [1024], 'large enough');
  assert.equal(await sizes(3, 1), Array(3).fill(2048));
  assert.equal(await sizes(4, 2), Array(4).fill(1024));
  assert.equal(await sizes(55, 2), Array(55).fill(512));
  assert.equal(new Set(await sizes(1000, 2)), new Set([64]));
});

test('who waits takes the first that there is, of whatever size, and holds nobody up', async () => {
  const tiers = [
    { limit: 1, bytes: 64 },
    { limit: 1, bytes: 8 },
  ];
  const buffers = createBuffers({ tiers });
  const [large, small] = [await buffers.acquire(1), await buffers.acquire(1)];
  const waiting = [buffers.acquire(1, 8), buffers.acquire(1, undefined, 8)];
  buffers.release(large);
  assert.is((await waiting[0]!)[0]!.length, 64);
  buffers.release(small);
  assert.is((await waiting[1]!)[0]!.length, 8);
  const third = buffers.acquire(1, undefined, 8);
  buffers.release(await waiting[0]!);
  assert.is((await third)[0]!.length, 64);
});

test('more than there can ever be is refused at once', async () => {
  let refused = false;
  await createBuffers({ tiers: [{ limit: 2, bytes: 16 }] })
    .acquire(3)
    .catch(() => {
      refused = true;
    });
  assert.ok(refused);
});

test.run();
