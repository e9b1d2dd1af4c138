/** Matching `*` and `?` in time linear in the text: whoever writes a policy must not be able to stop the gateway. */

/** Any characters, also none. */
export const STAR = Symbol('*');
/** Exactly one character. */
export const ANY = Symbol('?');
/** Strings are taken literally. */
export type GlobToken = string | typeof STAR | typeof ANY;
export type Glob = (text: string) => boolean;

/** Above this product of lengths `indexOf`, which is quick but quadratic, gives way to the automaton. */
const QUADRATIC = 1 << 18;

/** @param tokens the pattern; matching compares by Unicode characters and with case */
export function compileGlob(tokens: readonly GlobToken[]): Glob {
  if (tokens.every((token) => typeof token === 'string')) {
    const exact = tokens.join('');
    return (text) => text === exact;
  }
  let automaton: Glob | undefined;
  const slow: Glob = (text) => (automaton ??= compileAutomaton(tokens))(text);
  return tokens.includes(ANY) ? slow : compileSegments(tokens as (string | typeof STAR)[], slow);
}

/** Literal stretches between stars: the leftmost place is always good enough for each. */
function compileSegments(tokens: readonly (string | typeof STAR)[], slow: Glob): Glob {
  const segments = [''];
  for (const token of tokens) {
    if (token === STAR) segments.push('');
    else segments[segments.length - 1] += token;
  }
  const prefix = segments[0]!;
  const suffix = segments.at(-1)!;
  const middle = segments.slice(1, -1).filter((segment) => segment !== '');
  const length = segments.reduce((sum, segment) => sum + segment.length, 0);
  return (text) => {
    if (text.length < length || !text.startsWith(prefix) || !text.endsWith(suffix)) return false;
    if (middle.length === 0) return true;
    if (text.length * length > QUADRATIC) return slow(text);
    let at = prefix.length;
    for (const segment of middle) {
      const found = text.indexOf(segment, at);
      if (found < 0) return false;
      at = found + segment.length;
    }
    return at <= text.length - suffix.length;
  };
}

/**
 * All states of the pattern at once, a bit each (Baeza-Yates and Gonnet's Shift-And): bit i says that the first i
 * characters of the pattern fit what has been read; a star before character i lets bit i stay.
 */
function compileAutomaton(tokens: readonly GlobToken[]): Glob {
  const pattern: (string | typeof ANY)[] = [];
  const stars: number[] = [];
  for (const token of tokens) {
    if (token === STAR) stars.push(pattern.length);
    else if (token === ANY) pattern.push(ANY);
    else pattern.push(...token);
  }
  const size = (pattern.length >>> 5) + 1;
  const set = (indices: Iterable<number>): Int32Array => {
    const bits = new Int32Array(size);
    for (const at of indices) bits[at >>> 5]! |= 1 << (at & 31);
    return bits;
  };
  const places = new Map<string | typeof ANY, number[]>([[ANY, []]]);
  pattern.forEach((char, at) => {
    const list = places.get(char);
    if (list) list.push(at);
    else places.set(char, [at]);
  });
  const anything = set(places.get(ANY)!);
  const fits = new Map<string, Int32Array>();
  // Nearly all texts are ASCII, and looking in a Map for each of their characters would be most of the work.
  const ascii: Int32Array[] = new Array(128).fill(anything);
  for (const [char, list] of places) {
    if (char === ANY) continue;
    const bits = set(list).map((word, at) => word | anything[at]!);
    fits.set(char, bits);
    if (char.length === 1 && char < '\x80') ascii[char.charCodeAt(0)] = bits;
  }
  const fitOf = (text: string, at: number): Int32Array => {
    const code = text.charCodeAt(at);
    return code < 128 ? ascii[code]! : (fits.get(String.fromCodePoint(text.codePointAt(at)!)) ?? anything);
  };
  return size === 1 ? oneWord(fitOf, set(stars)[0]!, pattern.length) : manyWords(fitOf, set(stars), pattern.length);
}

/** The bits of the places that the character at this position fits. */
type Fit = (text: string, at: number) => Int32Array;

/** A policy may hold thousands of short patterns: each costs a few instructions a character. */
const oneWord =
  (fitOf: Fit, loops: number, last: number): Glob =>
  (text) => {
    if (text.length < last) return false;
    let state = 1;
    for (let at = 0; at < text.length; at += isPair(text, at) ? 2 : 1) {
      state = ((state & fitOf(text, at)[0]!) << 1) | (state & loops);
      // No state is left that any further character could bring on.
      if (state === 0) return false;
    }
    return (state & (1 << last)) !== 0;
  };

const manyWords =
  (fitOf: Fit, loops: Int32Array, last: number): Glob =>
  (text) => {
    // A character is one unit of a string, or two.
    if (text.length < last) return false;
    const size = loops.length;
    const state = new Int32Array(size);
    state[0] = 1;
    for (let at = 0; at < text.length; at += isPair(text, at) ? 2 : 1) {
      const fit = fitOf(text, at);
      let carry = 0;
      for (let word = 0; word < size; word++) {
        const before = state[word]!;
        const moved = before & fit[word]!;
        state[word] = (moved << 1) | carry | (before & loops[word]!);
        carry = moved >>> 31;
      }
    }
    return (state[last >>> 5]! & (1 << (last & 31))) !== 0;
  };

const isPair = (text: string, at: number): boolean =>
  (text.charCodeAt(at) & 0xfc00) === 0xd800 && text.codePointAt(at)! > 0xffff;
