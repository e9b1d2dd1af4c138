import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ANY, compileGlob, type GlobToken, STAR } from '../../../acl/policy/wildcard.js';
import { processorMs } from '../../support/processor.js';

const tokens = (pattern: string): GlobToken[] =>
  [...pattern].map((char) => (char === '*' ? STAR : char === '?' ? ANY : char));
const glob = (pattern: string, text: string) => compileGlob(tokens(pattern))(text);

/** The definition, without a thought for time. */
function model(pattern: readonly string[], text: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return text.length === 0;
  if (first === '*') return model(rest, text) || (text.length > 0 && model(pattern, text.slice(1)));
  return text.length > 0 && (first === '?' || first === text[0]) && model(rest, text.slice(1));
}

test('patterns', () => {
  const cases: [string, string, boolean][] = [
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['*', 'a/b/c', true],
    ['?', '', false],
    ['?', '😀', true],
    ['a*', 'a', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['*a*a*', 'aba', true],
    ['ab*ba', 'aba', false],
    ['*.nc', 'x/y.nc', true],
    ['a?c*e', 'abcde', true],
    ['A', 'a', false],
  ];
  for (const [pattern, text, expected] of cases) assert.is(glob(pattern, text), expected, `${pattern} ~ ${text}`);
});

test('agrees with the definition', () => {
  const char = fc.constantFrom('a', 'b', '/', '😀');
  const pattern = fc.array(fc.oneof(char, fc.constantFrom('*', '?')), { maxLength: 9 });
  fc.assert(
    fc.property(pattern, fc.array(char, { maxLength: 9 }), (p, t) => {
      assert.is(glob(p.join(''), t.join('')), model(p, t));
    }),
    { numRuns: 3000 },
  );
});

test('both ways of matching agree on long texts', () => {
  const char = fc.constantFrom('a', 'b');
  const pattern = fc.array(fc.oneof(char, fc.constant('*')), { maxLength: 80 });
  fc.assert(
    fc.property(pattern, fc.array(char, { minLength: 60, maxLength: 120 }), (p, t) => {
      // A `?` for the first character makes the same question go through the automaton.
      assert.is(glob(`a${p.join('')}`, `a${t.join('')}`), glob(`?${p.join('')}`, `a${t.join('')}`));
    }),
  );
});

test('hostile patterns cost linear time', () => {
  const hostile = ['a*'.repeat(1000), `${'*a'.repeat(1000)}b`, `*${'a'.repeat(1000)}b*`, `*${'?a'.repeat(900)}b*`];
  const text = 'a'.repeat(16_000);
  for (const pattern of hostile) {
    const matches = compileGlob(tokens(pattern));
    const start = processorMs();
    assert.is(matches(text), pattern.endsWith('a*'));
    assert.ok(processorMs() - start < 250, `${pattern.slice(0, 10)}: ${processorMs() - start} ms`);
  }
});

test.run();
