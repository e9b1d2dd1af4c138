/** The Condition element: every operator of the IAM grammar (IAM user guide, "Condition operators"). */
import { inRange, parseAddress, parseRange } from './address.js';
import { conditionKey } from './condition-keys.js';
import { isObject, malformed, quote } from './document.js';
import { compile, type Grammar, isFixed, isVariable, type Matcher, type Token, tokenize } from './template.js';
import type { Condition, Effect, Lookup } from './types.js';

/** What every value of the policy is turned into: does a value of the request fit it? */
interface Compiled {
  matches: Matcher;
  /** Stands for one caller or few, as "the meaning of public" wants it. */
  narrow: boolean;
  /** No variables: the same value of a request always gets the same answer. */
  constant: boolean;
}

interface Operator {
  negated: boolean;
  compile: (value: string, grammar: Grammar) => Compiled;
}

interface Surroundings {
  effect: Effect;
  variables: boolean;
  keys: Set<string>;
}

// ---- operators ---------------------------------------------------------------------------------------------------

const text =
  (wildcards: boolean, ignoreCase = false) =>
  (value: string, grammar: Grammar): Compiled => {
    const tokens = tokenize(value, { ...grammar, wildcards });
    return { matches: compile(tokens, ignoreCase), narrow: isFixed(tokens), constant: !tokens.some(isVariable) };
  };

/** The values of types without variables: "You can use policy variables in … string operators and ARN operators". */
const typed = <T>(
  kind: string,
  parse: (text: string) => T | undefined,
  fits: (request: T, policy: T) => boolean,
): Operator['compile'] => {
  const parsed = remember(parse);
  return (value, { variables }) => {
    const wanted = parse(value);
    if (wanted === undefined) {
      const why = variables && value.includes('${') ? ' (policy variables are for strings and ARNs)' : '';
      throw malformed(`The value is not a valid ${kind}${why}: ${quote(value)}`);
    }
    const matches: Matcher = (request) => {
      const actual = parsed(request);
      return actual !== undefined && fits(actual, wanted);
    };
    return { matches, narrow: false, constant: true };
  };
};

/** All statements ask about the same value of a request: it is read once. */
function remember<T>(parse: (text: string) => T): (text: string) => T {
  let last: { text: string; value: T } | undefined;
  return (text) => {
    if (last?.text !== text) last = { text, value: parse(text) };
    return last.value;
  };
}

const number = (value: string): number | undefined =>
  /^[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?$/.test(value.trim()) ? Number(value) : undefined;

/** ISO 8601 as the W3C profile has it, with its zone; or seconds since the epoch. In milliseconds. */
function date(value: string): number | undefined {
  if (/^\d{5,12}(\.\d+)?$/.test(value)) return Number(value) * 1000;
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d))?$/.test(value)) return undefined;
  const time = Date.parse(value.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  return Number.isNaN(time) ? undefined : time;
}

function bool(value: string): boolean | undefined {
  const lower = value.toLowerCase();
  return lower === 'true' ? true : lower === 'false' ? false : undefined;
}

/** Base64, in its one canonical spelling. */
const binary = (value: string): string | undefined =>
  /^[A-Za-z0-9+/]*={0,2}$/.test(value) && value.length % 4 === 0
    ? Buffer.from(value, 'base64').toString('base64')
    : undefined;

const requestAddress = remember(parseAddress);

function address(value: string): Compiled {
  const range = parseRange(value);
  if (!range) throw malformed(`The value is not a valid address or CIDR range: ${quote(value)}`);
  return {
    matches: (request) => {
      const actual = requestAddress(request);
      return actual !== undefined && inRange(actual, range);
    },
    // Wider than /8 (IPv4) or /32 (IPv6) is as good as everybody.
    narrow: range.bits >= (range.bytes.length === 4 ? 8 : 32),
    constant: true,
  };
}

/** "Each of the six colon-delimited components of the ARN is checked separately." */
function arn(value: string, grammar: Grammar): Compiled {
  const tokens = tokenize(value, { ...grammar, wildcards: true });
  const parts = splitArn(tokens);
  if (parts.length !== 6) throw malformed(`The value is not a valid ARN: ${quote(value)}`);
  const matchers = parts.map((part) => compile(part));
  return {
    matches: (request, lookup) => {
      const actual = request.split(':');
      if (actual.length < 6) return false;
      const components = [...actual.slice(0, 5), actual.slice(5).join(':')];
      const results = components.map((component, at) => matchers[at]!(component, lookup));
      return results.includes(undefined) ? undefined : !results.includes(false);
    },
    narrow: isFixed(tokens),
    constant: !tokens.some(isVariable),
  };
}

function splitArn(tokens: readonly Token[]): Token[][] {
  const parts: Token[][] = [[]];
  for (const token of tokens) {
    if (typeof token !== 'string') {
      parts.at(-1)!.push(token);
      continue;
    }
    token.split(':').forEach((piece, at) => {
      if (at > 0 && parts.length < 6) parts.push([]);
      else if (at > 0) parts.at(-1)!.push(':');
      if (piece !== '') parts.at(-1)!.push(piece);
    });
  }
  return parts;
}

const both = (name: string, negation: string, make: Operator['compile']): [string, Operator][] => [
  [name, { negated: false, compile: make }],
  [negation, { negated: true, compile: make }],
];
const only = (name: string, make: Operator['compile']): [string, Operator] => [name, { negated: false, compile: make }];
const same = <T>(request: T, policy: T): boolean => request === policy;
const numeric = (fits: (request: number, policy: number) => boolean) => typed('number', number, fits);
const dated = (fits: (request: number, policy: number) => boolean) => typed('date', date, fits);

const operators: ReadonlyMap<string, Operator> = new Map([
  ...both('StringEquals', 'StringNotEquals', text(false)),
  ...both('StringEqualsIgnoreCase', 'StringNotEqualsIgnoreCase', text(false, true)),
  ...both('StringLike', 'StringNotLike', text(true)),
  ...both('ArnEquals', 'ArnNotEquals', arn),
  ...both('ArnLike', 'ArnNotLike', arn),
  ...both('IpAddress', 'NotIpAddress', address),
  ...both('NumericEquals', 'NumericNotEquals', numeric(same)),
  ...both('DateEquals', 'DateNotEquals', dated(same)),
  ...(['Numeric', 'Date'] as const).flatMap((type) => {
    const make = type === 'Numeric' ? numeric : dated;
    return [
      only(
        `${type}LessThan`,
        make((request, policy) => request < policy),
      ),
      only(
        `${type}LessThanEquals`,
        make((request, policy) => request <= policy),
      ),
      only(
        `${type}GreaterThan`,
        make((request, policy) => request > policy),
      ),
      only(
        `${type}GreaterThanEquals`,
        make((request, policy) => request >= policy),
      ),
    ];
  }),
  only('Bool', typed('boolean', bool, same)),
  only('BinaryEquals', typed('base64 value', binary, same)),
]);

/** Without case, as IAM takes them. */
const byLowerCase = new Map([...operators].map(([name, operator]) => [name.toLowerCase(), operator]));

// ---- the element -------------------------------------------------------------------------------------------------

/** All of them must hold. @throws S3Error MalformedPolicy naming what is not evaluated */
export function compileConditions(element: unknown, surroundings: Surroundings): Condition[] {
  if (element === undefined) return [];
  if (!isObject(element)) throw malformed('Condition must be an object');
  return Object.entries(element).flatMap(([operator, block]) => {
    if (!isObject(block)) throw malformed(`The condition ${quote(operator)} must be an object of keys and values`);
    return Object.entries(block).map(([key, value]) => compileCondition(operator, key, value, surroundings));
  });
}

function compileCondition(name: string, keyName: string, value: unknown, surroundings: Surroundings): Condition {
  const [, set = '', base = '', suffix = ''] = /^(ForAllValues:|ForAnyValue:)?(.*?)(IfExists)?$/is.exec(name) ?? [];
  const key = conditionKey(keyName);
  if (key === undefined) throw malformed(`Policy has an invalid condition key: ${quote(keyName)}`);
  surroundings.keys.add(key);
  const values = valuesOf(keyName, value);
  if (base.toLowerCase() === 'null' && set === '' && suffix === '') return nullCondition(key, values);

  const operator = byLowerCase.get(base.toLowerCase());
  if (!operator) throw malformed(`Policy has an invalid condition operator: ${quote(name)}`);
  const grammar = { variables: surroundings.variables, wildcards: false, keys: surroundings.keys };
  const compiled = values.map((each) => operator.compile(each, grammar));
  const quantifier = set === '' ? 'one' : set.toLowerCase() === 'forallvalues:' ? 'all' : 'any';
  const ifExists = suffix !== '';
  return {
    key,
    test: tester(key, compiled, { negated: operator.negated, quantifier, ifExists, effect: surroundings.effect }),
    narrow:
      !operator.negated &&
      !ifExists &&
      quantifier !== 'all' &&
      identifies(key) &&
      compiled.every((each) => each.narrow),
  };
}

function valuesOf(key: string, value: unknown): string[] {
  const list = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw malformed(`The condition key ${quote(key)} has no value`);
  return list.map((each) => {
    if (typeof each === 'string' || typeof each === 'boolean' || typeof each === 'number') return String(each);
    throw malformed(`The condition key ${quote(key)} has a value that is no string: ${quote(each)}`);
  });
}

/** "Null": "true" says that the key is absent. Several values cannot be meant. */
function nullCondition(key: string, values: string[]): Condition {
  const absent = values.length === 1 ? bool(values[0]!) : undefined;
  if (absent === undefined) throw malformed(`Null takes true or false: ${quote(values)}`);
  return { key, test: (lookup) => (lookup(key) === undefined) === absent, narrow: false };
}

/** Keys whose fixed values name the caller: AWS's list, and what stands for an account here. */
const identifying = new Set([
  'aws:sourceip',
  'aws:userid',
  'aws:username',
  'aws:principalarn',
  'aws:principalaccount',
  's3:x-amz-server-side-encryption-aws-kms-key-id',
]);
const identifies = (key: string): boolean => identifying.has(key);

interface Mode {
  negated: boolean;
  quantifier: 'one' | 'all' | 'any';
  ifExists: boolean;
  effect: Effect;
}

function tester(key: string, compiled: Compiled[], { negated, quantifier, ifExists, effect }: Mode): Condition['test'] {
  /** One value of the request against all of the policy: one must fit, or with a negated operator none. */
  const compare = (value: string, lookup: Lookup): boolean => {
    let unknown = false;
    for (const { matches } of compiled) {
      const result = matches(value, lookup);
      if (result) return !negated;
      unknown ||= result === undefined;
    }
    // A variable without a value fits nothing. That must not be what opens something: "not equal to nothing" allows
    // nobody, and denies everybody.
    return negated && (!unknown || effect === 'Deny');
  };
  const constant = compiled.every((each) => each.constant);
  // A request that names a thousand keys has one address and one user agent: they are compared once.
  let last: { value: string; held: boolean } | undefined;
  const holds = (value: string, lookup: Lookup): boolean => {
    if (!constant) return compare(value, lookup);
    if (last?.value !== value) last = { value, held: compare(value, lookup) };
    return last.held;
  };
  return (lookup) => {
    const values = lookup(key);
    if (values === undefined || values.length === 0) {
      if (quantifier === 'all' || ifExists) return true;
      // "If the key is not present, … negated operators return true", but there is no "any" value among none.
      return negated && quantifier === 'one';
    }
    if (quantifier === 'all') return values.every((value) => holds(value, lookup));
    if (quantifier === 'any') return values.some((value) => holds(value, lookup));
    return negated ? values.every((value) => holds(value, lookup)) : values.some((value) => holds(value, lookup));
  };
}
