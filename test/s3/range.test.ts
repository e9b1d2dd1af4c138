import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../gateway/errors.js';
import { contentRange, parseRange, rangeStands } from '../../gateway/s3/range.js';

const test = suite('s3/range');

const ranges: [header: string | undefined, size: number, expected: [number, number] | 'whole' | 'InvalidRange'][] = [
  [undefined, 10, 'whole'],
  ['bytes=0-4', 10, [0, 5]],
  ['bytes=4-', 10, [4, 6]],
  ['bytes=-3', 10, [7, 3]],
  ['bytes=-30', 10, [0, 10]],
  ['bytes=9-9', 10, [9, 1]],
  ['bytes=5-1000', 10, [5, 5]],
  ['Bytes = 0-0', 10, [0, 1]],
  ['bytes=10-', 10, 'InvalidRange'],
  ['bytes=10-20', 10, 'InvalidRange'],
  ['bytes=-0', 10, 'InvalidRange'],
  ['bytes=0-', 0, 'InvalidRange'],
  ['bytes=-5', 0, 'InvalidRange'],
  ['bytes=99999999999999999999-', 10, 'InvalidRange'],
  ['bytes=0-99999999999999999999', 10, [0, 10]],
  ['bytes=5-4', 10, 'whole'],
  ['bytes=0-1,3-4', 10, 'whole'],
  ['bytes=-', 10, 'whole'],
  ['bytes=a-b', 10, 'whole'],
  ['bytes=--1', 10, 'whole'],
  ['bytes=', 10, 'whole'],
  ['items=0-4', 10, 'whole'],
];
for (const [header, size, expected] of ranges) {
  test(`${header} of ${size}`, () => {
    let result: unknown;
    try {
      const range = parseRange(header, size);
      result = range ? [range.start, range.length] : 'whole';
    } catch (error) {
      result = (error as S3Error).code;
    }
    assert.equal(result, expected);
  });
}

test('a 416 says the size', () => {
  try {
    parseRange('bytes=10-', 10);
    assert.unreachable();
  } catch (error) {
    assert.equal((error as S3Error).fields, { RangeRequested: 'bytes=10-', ActualObjectSize: '10' });
    assert.is((error as S3Error).headers['content-range'], 'bytes */10');
  }
});

test('a range never leaves the object', () => {
  const n = fc.nat({ max: 50 });
  fc.assert(
    fc.property(n, n, n, (first, last, size) => {
      for (const header of [`bytes=${first}-${last}`, `bytes=${first}-`, `bytes=-${last}`]) {
        try {
          const range = parseRange(header, size);
          if (range) assert.ok(range.start >= 0 && range.length >= 1 && range.start + range.length <= size);
        } catch (error) {
          assert.is((error as S3Error).code, 'InvalidRange');
        }
      }
    }),
  );
});

test('content-range', () => assert.is(contentRange({ start: 2, length: 3 }, 10), 'bytes 2-4/10'));

test('if-range', () => {
  const at = { etag: 'e', lastModified: Date.parse('2026-01-02T03:04:05.678Z') };
  const stands = (value?: string) => rangeStands(new Map(value === undefined ? [] : [['if-range', value]]), at);
  assert.ok(stands());
  assert.ok(stands('"e"'));
  assert.ok(stands('Fri, 02 Jan 2026 03:04:05 GMT'));
  assert.not(stands('W/"e"'));
  assert.not(stands('"f"'));
  assert.not(stands('Fri, 02 Jan 2026 03:04:06 GMT'));
});

test.run();
