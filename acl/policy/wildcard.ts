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
  const bit = (set: Int32Array, at: number) => {
    set[at >>> 5]! |= 1 << (at & 31);
  };
  const loops = new Int32Array(size);
  for (const at of stars) bit(loops, at);
  const anything = new Int32Array(size);
  const fits = new Map<string, Int32Array>();
  for (const char of pattern) if (char !== ANY && !fits.has(char)) fits.set(char, new Int32Array(size));
  pattern.forEach((char, at) => {
    for (const set of char === ANY ? [anything, ...fits.values()] : [fits.get(char)!]) bit(set, at);
  });
  return (text) => {
    const state = new Int32Array(size);
    state[0] = 1;
    for (const char of text) {
      const fit = fits.get(char) ?? anything;
      let carry = 0;
      for (let word = 0; word < size; word++) {
        const before = state[word]!;
        const moved = before & fit[word]!;
        state[word] = (moved << 1) | carry | (before & loops[word]!);
        carry = moved >>> 31;
      }
    }
    return (state[pattern.length >>> 5]! & (1 << (pattern.length & 31))) !== 0;
  };
}
