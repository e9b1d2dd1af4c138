/** The Resource and NotResource elements: which buckets and keys, or users, groups and policies, a statement is about. */
import { malformed, quote, strings } from './document.js';
import { compile, type Matcher, type Token, tokenize } from './template.js';
import type { Effect, Scope, Statement } from './types.js';
import { compileGlob, type GlobToken, STAR } from './wildcard.js';

const ARN = 'arn:aws:s3:::';
const IAM = 'arn:aws:iam::';

interface Surroundings {
  scope: Scope;
  variables: boolean;
  keys: Set<string>;
  effect: Effect;
}

/**
 * `arn:aws:s3:::bucket`, `arn:aws:s3:::bucket/key*`, or without the first part, as S3DS and its clients write it.
 * In an account's policy also `arn:aws:iam::ACCOUNT:user/NAME`, with `group` and `policy`, and `*` for all that there is.
 * @throws S3Error MalformedPolicy: of a bucket's policy also for what is not about this bucket
 */
export function compileResources(
  element: string,
  value: unknown,
  { scope, variables, keys, effect }: Surroundings,
  negated: boolean,
): Statement['resource'] {
  const matchers = strings(element, value).map((pattern): Matcher => {
    const ofAccount = scope === 'identity' ? compileOfAccount(pattern, { variables, keys }) : undefined;
    if (ofAccount) return ofAccount;
    const path = pattern.startsWith(ARN) ? pattern.slice(ARN.length) : pattern;
    const tokens = tokenize(path, { variables, wildcards: true, keys });
    const foreign = path === '' || path.startsWith('arn:');
    if (foreign || (scope !== 'identity' && !isAbout(scope.bucket, tokens))) {
      throw malformed(`Policy has invalid resource: ${quote(pattern)}`);
    }
    return compile([ARN, ...tokens]);
  });
  // A variable without a value makes a pattern that fits nothing. That must not be what opens something: "all but nothing"
  // allows nobody.
  return (arn, lookup) => {
    let unknown = false;
    for (const matches of matchers) {
      const result = matches(arn, lookup);
      if (result) return !negated;
      unknown ||= result === undefined;
    }
    return negated && (!unknown || effect === 'Deny');
  };
}

/** Patterns that only an account's policy may have. An account can ask about its own namespace alone: none names it too. */
function compileOfAccount(
  pattern: string,
  { variables, keys }: Omit<Surroundings, 'scope' | 'effect'>,
): Matcher | undefined {
  if (pattern !== '*' && !pattern.startsWith(IAM)) return undefined;
  const tokens = tokenize(pattern, { variables, wildcards: true, keys });
  const [first] = tokens;
  const rest = `${IAM}:`;
  if (typeof first !== 'string' || !first.startsWith(rest)) return compile(tokens);
  return compile([IAM, STAR, first.slice(IAM.length), ...tokens.slice(1)]);
}

/** What stands before the first slash must fit the bucket's name, and say so without knowing the request. */
function isAbout(bucket: string, tokens: readonly Token[]): boolean {
  const name: GlobToken[] = [];
  for (const token of tokens) {
    if (typeof token === 'object') return false;
    if (typeof token === 'string' && token.includes('/')) {
      name.push(token.slice(0, token.indexOf('/')));
      break;
    }
    name.push(token);
  }
  return compileGlob(name)(bucket);
}
