import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import {
  assertStorableKey,
  compareUtf8,
  fromBytes,
  isStorableKey,
  parentsOf,
  toBytes,
} from '../../gateway/storage/keys.js';

const test = suite('keys');

const good = [
  'a',
  'a/b/c',
  'a/',
  'a/b/',
  '...',
  '..a',
  'a..',
  '.tidegate2',
  'x.tidegate',
  'a b+%&?#',
  '日本語/ファイル',
  '😀',
  '\u0001\n\u007f',
  'é'.repeat(127),
  `${'a'.repeat(255)}/${'b'.repeat(255)}/${'c'.repeat(255)}/${'d'.repeat(255)}`,
];
const bad: [key: string, code: string][] = [
  ['', 'InvalidArgument'],
  ['/', 'InvalidArgument'],
  ['/a', 'InvalidArgument'],
  ['a//b', 'InvalidArgument'],
  ['a//', 'InvalidArgument'],
  ['.', 'InvalidArgument'],
  ['..', 'InvalidArgument'],
  ['./', 'InvalidArgument'],
  ['a/../b', 'InvalidArgument'],
  ['a/./b', 'InvalidArgument'],
  ['a/..', 'InvalidArgument'],
  ['.tidegate', 'InvalidArgument'],
  ['.tidegate/x', 'InvalidArgument'],
  ['a/.tidegate', 'InvalidArgument'],
  ['a/.tidegate/b', 'InvalidArgument'],
  ['a\0b', 'InvalidArgument'],
  ['\ud800', 'InvalidArgument'],
  ['a\udc00b', 'InvalidArgument'],
  ['a'.repeat(256), 'InvalidArgument'],
  ['é'.repeat(128), 'InvalidArgument'],
  [`${'a'.repeat(255)}/`.repeat(5), 'KeyTooLongError'],
];

test('keys that a path can hold', () => {
  for (const key of good) {
    assertStorableKey(key);
    assert.ok(isStorableKey(key), key);
  }
});

test('keys that it cannot', () => {
  for (const [key, code] of bad) {
    assert.not.ok(isStorableKey(key), JSON.stringify(key));
    try {
      assertStorableKey(key);
      assert.unreachable(`${JSON.stringify(key)} was taken`);
    } catch (error) {
      assert.instance(error, S3Error);
      assert.is((error as S3Error).code, code, JSON.stringify(key));
      assert.is((error as S3Error).status, 400);
      assert.ok((error as S3Error).message.length > 10);
    }
  }
});

test('parents', () => {
  assert.equal(parentsOf('a'), []);
  assert.equal(parentsOf('a/'), []);
  assert.equal(parentsOf('a/b/c'), ['a', 'a/b']);
  assert.equal(parentsOf('a/b/c/'), ['a', 'a/b']);
});

test('the order of the bytes', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'é', '日', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}', '/'),
    maxLength: 6,
  });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const expected = Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      assert.is(Math.sign(compareUtf8(a, b)), expected);
      assert.is(toBytes(a) < toBytes(b) ? -1 : toBytes(a) > toBytes(b) ? 1 : 0, expected);
      assert.is(fromBytes(toBytes(a)), a);
    }),
    { numRuns: 2000 },
  );
});

test.run();
