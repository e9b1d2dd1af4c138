/** Patterns of resources and conditions: wildcards, and the policy variables of version 2012-10-17. */
import { conditionKey } from './condition-keys.js';
import { malformed, quote } from './document.js';
import type { Lookup } from './types.js';
import { ANY, compileGlob, type Glob, type GlobToken, STAR } from './wildcard.js';

/** A policy variable: its value in the request, else the default that the policy gives. */
export interface Variable {
  key: string;
  fallback: string | undefined;
}
export type Token = GlobToken | Variable;

export interface Grammar {
  /** The version of the policy is 2012-10-17: only there `${…}` is a variable. */
  variables: boolean;
  wildcards: boolean;
  /** Collects the keys of variables. */
  keys: Set<string>;
}

/** True, false, or undefined: a variable has no value in this request. */
export type Matcher = (text: string, lookup: Lookup) => boolean | undefined;

/** No key is longer than 1,024 bytes; this keeps the work for a single comparison small. */
const MAX_PATTERN = 2048;

/** @throws S3Error MalformedPolicy for variables that are not evaluated */
export function tokenize(text: string, { variables, wildcards, keys }: Grammar): Token[] {
  if (text.length > MAX_PATTERN) throw malformed(`The value is longer than ${MAX_PATTERN} characters: ${quote(text)}`);
  const tokens: Token[] = [];
  const special = variables ? /\$\{([^}]*)\}|\$\{|[*?]/g : /[*?]/g;
  let from = 0;
  for (let found = special.exec(text); found; found = special.exec(text)) {
    const [piece, inner] = found;
    let token: Token;
    if (inner !== undefined) token = '*?$'.includes(inner) && inner.length === 1 ? inner : variable(inner, keys);
    else if (piece === '${') throw malformed(`The policy variable is not closed: ${quote(text)}`);
    else if (wildcards) token = piece === '*' ? STAR : ANY;
    else continue;
    if (found.index > from) tokens.push(text.slice(from, found.index));
    if (token !== STAR || tokens.at(-1) !== STAR) tokens.push(token);
    from = found.index + piece.length;
  }
  if (from < text.length) tokens.push(text.slice(from));
  return tokens;
}

/** `aws:username`, or with a default: `aws:username, 'nobody'`. */
function variable(inner: string, keys: Set<string>): Variable {
  const [, name = '', fallback] = /^\s*([^,\s]+)\s*(?:,\s*'([^']*)'\s*)?$/.exec(inner) ?? [];
  const key = conditionKey(name);
  if (key === undefined) throw malformed(`Unknown policy variable: ${quote(`\${${inner}}`)}`);
  keys.add(key);
  return { key, fallback };
}

export const isVariable = (token: Token): token is Variable => typeof token === 'object';

/** True when one text only can match. */
export const isFixed = (tokens: readonly Token[]): boolean => tokens.every((token) => typeof token === 'string');

/** @param ignoreCase texts are compared in lower case */
export function compile(tokens: readonly Token[], ignoreCase = false): Matcher {
  const fold = (text: string) => (ignoreCase ? text.toLowerCase() : text);
  const folded = tokens.map((token) => (typeof token === 'string' ? fold(token) : token));
  const fixed = folded.filter((token): token is GlobToken => !isVariable(token));
  if (fixed.length === folded.length) {
    const glob = compileGlob(fixed);
    return (text) => glob(fold(text));
  }
  const variables = folded.filter(isVariable);
  const literal = folded.reduce((sum, token) => sum + (typeof token === 'string' ? token.length : 0), 0);
  // Most requests in a row are one caller's: the pattern for the values of last time is kept.
  const values: (string | undefined)[] = variables.map(() => undefined);
  let shortest = 0;
  let glob: Glob | undefined;
  return (text, lookup) => {
    for (let at = 0; at < variables.length; at++) {
      const value = valueIn(variables[at]!, lookup);
      if (value === undefined) return undefined;
      if (value === values[at]) continue;
      values[at] = value;
      shortest = -1;
    }
    if (shortest < 0) {
      shortest = values.reduce((sum, value) => sum + fold(value ?? '').length, literal);
      glob = undefined;
    }
    const folding = fold(text);
    // A pattern longer than the text fits nothing. It is not even put together: a hundred variables of a long value are long.
    if (shortest > folding.length) return false;
    if (!glob) {
      let at = 0;
      // What a variable stands for is literal: an account called `*` is not everybody.
      glob = compileGlob(folded.map((token) => (isVariable(token) ? fold(values[at++] ?? '') : token)));
    }
    return glob(folding);
  };
}

function valueIn({ key, fallback }: Variable, lookup: Lookup): string | undefined {
  const values = lookup(key);
  return values?.length === 1 ? values[0] : fallback;
}
