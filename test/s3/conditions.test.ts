import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../gateway/errors.js';
import { checkCopyConditions, checkReadConditions, matchesEtag, parseHttpDate } from '../../gateway/s3/conditions.js';

const test = suite('s3/conditions');
const current = { etag: 'e', lastModified: Date.parse('2026-01-02T03:04:05.678Z') };
const before = 'Fri, 02 Jan 2026 03:04:04 GMT';
const same = 'Fri, 02 Jan 2026 03:04:05 GMT';
const after = 'Fri, 02 Jan 2026 03:04:06 GMT';

function outcome(check: typeof checkReadConditions, headers: Record<string, string>): number {
  try {
    check(new Map(Object.entries(headers)), current);
    return 200;
  } catch (error) {
    return (error as S3Error).status;
  }
}

const rows: [headers: Record<string, string>, read: number, copy: number][] = [
  [{}, 200, 200],
  [{ 'if-match': '"e"' }, 200, 200],
  [{ 'if-match': 'e' }, 200, 200],
  [{ 'if-match': '*' }, 200, 200],
  [{ 'if-match': '"x", W/"e"' }, 200, 200],
  [{ 'if-match': '"x"' }, 412, 412],
  [{ 'if-none-match': '"e"' }, 304, 412],
  [{ 'if-none-match': 'W/"e"' }, 304, 412],
  [{ 'if-none-match': '*' }, 304, 412],
  [{ 'if-none-match': '"x"' }, 200, 200],
  [{ 'if-modified-since': before }, 200, 200],
  [{ 'if-modified-since': same }, 304, 412],
  [{ 'if-modified-since': after }, 304, 412],
  [{ 'if-unmodified-since': before }, 412, 412],
  [{ 'if-unmodified-since': same }, 200, 200],
  [{ 'if-unmodified-since': after }, 200, 200],
  [{ 'if-modified-since': 'yesterday' }, 200, 200],
  [{ 'if-unmodified-since': '5' }, 200, 200],
  // If-Match outweighs If-Unmodified-Since, If-None-Match outweighs If-Modified-Since.
  [{ 'if-match': '"e"', 'if-unmodified-since': before }, 200, 200],
  [{ 'if-none-match': '"x"', 'if-modified-since': after }, 200, 200],
  [{ 'if-match': '"x"', 'if-none-match': '"e"' }, 412, 412],
  [{ 'if-match': '"e"', 'if-none-match': '"e"' }, 304, 412],
];
for (const [headers, read, copy] of rows) {
  test(JSON.stringify(headers), () => {
    assert.is(outcome(checkReadConditions, headers), read);
    const prefixed = Object.fromEntries(Object.entries(headers).map(([k, v]) => [`x-amz-copy-source-${k}`, v]));
    assert.is(outcome(checkCopyConditions, prefixed), copy);
    // Each looks at its own headers only.
    assert.is(outcome(checkReadConditions, prefixed), 200);
  });
}

test('a 304 carries the validators', () => {
  try {
    checkReadConditions(new Map([['if-none-match', 'e']]), current);
    assert.unreachable();
  } catch (error) {
    assert.equal((error as S3Error).headers, { etag: '"e"', 'last-modified': same });
  }
});

test('lists of ETags', () => {
  assert.ok(matchesEtag('"a,b" , "c"', 'a,b'));
  assert.not(matchesEtag('"a,b"', 'b'));
  assert.not(matchesEtag('', ''));
  assert.ok(matchesEtag('"d41d8-1"', 'd41d8-1'));
});

test('dates', () => {
  const time = Date.parse('1994-11-06T08:49:37Z');
  for (const text of [
    'Sun, 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 1994',
    '1994-11-06T08:49:37Z',
  ]) {
    assert.is(parseHttpDate(text), time, text);
  }
  for (const text of [undefined, '', '5', 'never', '1994']) assert.is(parseHttpDate(text), undefined);
});

test.run();
