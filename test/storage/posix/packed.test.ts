/** Names in one piece of memory are in the order of their bytes. */

import { closeSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { settledAfter, tickOf } from '../../../gateway/storage/posix/clock.js';
import { cacheBytes, type Names, namesFrom, perStretch, stretchBytes } from '../../../gateway/storage/posix/names.js';
import { createNameBag, MOST_EMPTY, type PackedNames } from '../../../gateway/storage/posix/packed.js';
import { fstat } from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';

const test = suite('packed names');

const listOf = (names: PackedNames): string[] => Array.from({ length: names.count }, (_, i) => names.at(i));

function bagOf(items: readonly string[]) {
  const bag = createNameBag();
  for (const item of items) {
    const slash = item.endsWith('/');
    const bytes = Buffer.from(`..${item}`, 'latin1');
    bag.add(bytes, 2, item.length - (slash ? 1 : 0), slash);
  }
  return bag;
}

/** Bytes as latin1: few of them, so that many names begin alike, and some up to the greatest length. */
const piece = fc.string({ unit: fc.constantFrom('a', 'b', '!', '-', '0', '\x01', '\xff', '\x80'), maxLength: 7 });
const name = fc
  .tuple(
    fc.constantFrom('', 'station-', 'x'.repeat(5), 'y'.repeat(248), '\xff\xff\xff\xff\xff'),
    piece,
    fc.constantFrom('', '/'),
  )
  .map(([common, rest, slash]) => `${common}${rest || 'z'}${slash}`);
const many = fc.uniqueArray(name, { minLength: 1, maxLength: 400 });

test('as the plain sort', () => {
  fc.assert(
    fc.property(many, name, fc.nat(), (items, wanted, low) => {
      const names = bagOf(items).sorted();
      const expected = [...items].sort();
      assert.equal(listOf(names), expected);
      const from = low % (items.length + 1);
      const behind = expected.findIndex((item, i) => i >= from && item >= wanted);
      assert.is(names.lowerBound(wanted, from), behind < 0 ? items.length : behind);
    }),
    { numRuns: 300 },
  );
});

test('a hundred thousand, of which many begin alike', () => {
  const all = new Set<string>();
  for (let i = 0; all.size < 100_000; i++) {
    const mixed = (Math.imul(i, 0x9e3779b1) >>> 0).toString(i % 3 === 0 ? 36 : 16);
    all.add(i % 2 ? `station-00${i % 7}-2024-${mixed}` : mixed);
  }
  const items = [...all];
  assert.equal(listOf(bagOf(items).sorted()), items.sort());
});

test('what is left is the smallest, and more can be added', () => {
  fc.assert(
    fc.property(many, many, fc.integer({ min: 1, max: 50 }), name, (first, second, most, floor) => {
      const bag = bagOf(first);
      const sorted = [...first].sort();
      const last = bag.shrink(most, 1e9);
      const left = sorted.slice(0, Math.max(2, most));
      assert.is(last, left.at(-1));
      assert.is(bag.count, left.length);
      bag.dropBelow(floor);
      const kept = left.filter((item) => item >= floor);
      const more = second.filter((item) => !kept.includes(item));
      for (const item of more) {
        const slash = item.endsWith('/');
        bag.add(Buffer.from(item, 'latin1'), 0, item.length - (slash ? 1 : 0), slash);
      }
      assert.equal(listOf(bag.sorted()), [...kept, ...more].sort());
    }),
    { numRuns: 200 },
  );
});

test('sorted names stay what they are when the next ones are put together', () => {
  for (const [count, length] of [
    [10, 3],
    [4096, 255],
    [9000, 255],
  ] as const) {
    const items = Array.from({ length: count }, (_, i) => `${i}`.padStart(length, '0'));
    const names = bagOf(items).sorted();
    bagOf(Array.from({ length: 20_000 }, (_, i) => `other-${20_000 - i}`)).sorted();
    assert.equal(listOf(names), items, `${count} of ${length}`);
  }
});

test('what a bag says that it takes, it takes', () => {
  const items = Array.from({ length: 1000 }, (_, i) => `name-${i}`);
  const bag = bagOf(items);
  const expected = items.reduce((sum, { length }) => sum + length + 5, 0);
  assert.is(bag.bytes, expected);
  assert.is(bag.sorted().bytes, expected);
  bag.shrink(1e9, expected / 2);
  assert.ok(bag.bytes <= expected / 2 + 20 && bag.bytes > expected / 2 - 20);
});

test('sorted names take hardly more memory than they need, and are kept', () => {
  for (const [count, length] of [
    [9000, 255],
    [70_000, 17],
    [130_000, 100],
  ] as const) {
    const items = Array.from({ length: count }, (_, i) => `${i}`.padStart(length, '0'));
    const names = bagOf(items).sorted();
    const needed = count * (length + 5);
    assert.ok(names.bytes >= needed && names.bytes <= needed * MOST_EMPTY, `${names.bytes} for ${needed}`);
    assert.equal(listOf(names), items);
  }
  assert.ok(stretchBytes * MOST_EMPTY < cacheBytes);
});

/** Bytes that this process holds, once what nobody holds is given back. */
const used = async (): Promise<number> => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Memory of buffers is given back by another thread, some time after their objects.
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

const lookInto = (directory: string): void => {
  const fd = openSync(directory, 'r');
  namesFrom(fd, '');
  closeSync(fd);
};

test('the names of a small directory take no more of the cache than is counted', async () => {
  const [root, count] = [tempDir(), 2_000];
  for (let i = 0; i < count; i++) {
    mkdirSync(join(root, `${i}`));
    writeFileSync(join(root, `${i}`, 'x'), '');
  }
  // What has changed just now is not kept.
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  const before = await used();
  for (let i = 0; i < count; i++) lookInto(join(root, `${i}`));
  const each = ((await used()) - before) / count;
  assert.ok(each > 200, `they are kept: ${each} bytes`);
  assert.ok(each < perStretch, `${each} bytes`);
});

test('a directory that changes all the time takes no more of the cache than one that does not', async () => {
  const root = tempDir();
  const count = 20_000;
  for (let i = 0; i < count; i++) writeFileSync(join(root, `a name of some length ${i}`), '');
  const file = openSync(join(root, 'x'), 'w');
  const { dev } = fstat(file);
  tickOf(file, dev);
  closeSync(file);
  // Where changes take seconds to be seen, nothing is kept that was changed a moment ago: that is tested above.
  if (settledAfter(dev) > 100) return;
  const look = (): Names => {
    const fd = openSync(root, 'r');
    try {
      return namesFrom(fd, '', stretchBytes, undefined, true);
    } finally {
      closeSync(fd);
    }
  };
  const change = async (round: number): Promise<number> => {
    renameSync(join(root, round % 2 === 0 ? 'x' : 'y'), join(root, round % 2 === 0 ? 'y' : 'x'));
    await new Promise((resolve) => setTimeout(resolve, settledAfter(dev) + 2));
    return look().items.bytes;
  };
  const each = await change(0);
  const before = await used();
  const rounds = 2 * Math.ceil(cacheBytes / each / 2);
  for (let round = 1; round <= rounds; round++) await change(round);
  const grown = (await used()) - before;
  assert.ok(grown < 10 * each, `${grown} bytes, ${each} for one look of ${rounds}`);
  // What was forgotten is not counted any more: else there would be no room for anything.
  assert.is(look(), look());
});

test.run();
