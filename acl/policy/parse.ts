/**
 * Reading a policy. Whatever would not be evaluated is refused and named (elements, operators, keys, actions, kinds of
 * principals): a policy that is stored and then partly ignored would be a lie about who can do what.
 */
import { accountActionsByLowerCase, actionsByLowerCase } from './actions.js';
import { compileConditions } from './conditions.js';
import { isObject, malformed, quote, readDocument, strings } from './document.js';
import { compilePrincipals } from './principals.js';
import { compileResources } from './resources.js';
import { tokenize } from './template.js';
import type { Policy, Scope, Statement } from './types.js';
import { compileGlob, type GlobToken } from './wildcard.js';

const MAX_STATEMENTS = 256;

const topElements = new Set(['Version', 'Id', 'Statement']);
const elements = new Set([
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]);

/**
 * The compiled form of a policy; the caller keeps it as long as the text stays the same.
 * @param scope the bucket that the policy is for, or `identity`: a policy attached to accounts, without principals
 * @throws S3Error MalformedPolicy, with a message that names what is wrong
 */
export function parsePolicy(text: string, scope: Scope): Policy {
  return compilePolicy(readDocument(text), scope);
}

/** As `parsePolicy`, for a document that was made here and not written by somebody. */
export function compilePolicy(document: object, scope: Scope): Policy {
  for (const name of Object.keys(document)) {
    if (!topElements.has(name)) throw malformed(`Unknown field ${quote(name)}`);
  }
  const { Version, Id, Statement: list } = document as Record<string, unknown>;
  // "If you do not include a Version element, the value defaults to 2008-10-17."
  if (Version !== undefined && Version !== '2008-10-17' && Version !== '2012-10-17') {
    throw malformed(`The policy must contain a valid version string, not ${quote(Version)}`);
  }
  if (Id !== undefined && typeof Id !== 'string') throw malformed('Id must be a string');
  const statements = Array.isArray(list) ? list : [list];
  if (list === undefined || statements.length === 0) throw malformed('Missing required field Statement');
  if (statements.length > MAX_STATEMENTS) throw malformed(`The policy has more than ${MAX_STATEMENTS} statements`);

  const keys = new Set<string>();
  const sids = new Set<string>();
  const compiled = statements.map((statement, index) => {
    const result = compileStatement(statement, index, { scope, variables: Version === '2012-10-17', keys });
    if (result.sid !== undefined && sids.has(result.sid)) {
      throw malformed(`Statement IDs (SID) in a single policy must be unique: ${quote(result.sid)}`);
    }
    if (result.sid) sids.add(result.sid);
    return result;
  });
  return { statements: compiled, keys, public: compiled.some(isPublic) };
}

/**
 * "The meaning of public": everybody is allowed something, and no condition limits that to fixed values that name the
 * callers. Deny statements do not make a policy less public.
 */
const isPublic = ({ everybody, conditions }: Statement): boolean =>
  everybody && !conditions.some((condition) => condition.narrow);

interface Surroundings {
  scope: Scope;
  variables: boolean;
  keys: Set<string>;
}

function compileStatement(statement: unknown, index: number, surroundings: Surroundings): Statement {
  if (!isObject(statement)) throw malformed('Statement must be an object or a list of objects');
  for (const name of Object.keys(statement)) if (!elements.has(name)) throw malformed(`Unknown field ${quote(name)}`);
  const { Sid: sid, Effect: effect } = statement;
  if (sid !== undefined && typeof sid !== 'string') throw malformed('Sid must be a string');
  if (effect === undefined) throw malformed('Missing required field Effect cannot be empty!');
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed(`Invalid effect: ${quote(effect)}`);
  const action = oneOf(statement, 'Action');
  const resource = oneOf(statement, 'Resource');
  const principals = principalsOf(statement, surroundings.scope, effect);
  return {
    index,
    sid,
    effect,
    actions: compileActions(action, surroundings.scope),
    principal: principals?.matches,
    everybody: effect === 'Allow' && (principals?.everybody ?? false),
    resource: compileResources(resource.name, resource.value, { ...surroundings, effect }, resource.negated),
    conditions: compileConditions(statement['Condition'], { ...surroundings, effect }),
  };
}

/** An element or its opposite: exactly one of them. */
function oneOf(statement: Record<string, unknown>, name: 'Action' | 'Resource' | 'Principal') {
  const negation = `Not${name}`;
  const negated = statement[negation] !== undefined;
  const value = statement[negated ? negation : name];
  if (value === undefined) throw malformed(`Missing required field ${name} cannot be empty!`);
  if (negated && statement[name] !== undefined) throw malformed(`${name} and ${negation} exclude each other`);
  return { name: negated ? negation : name, value, negated };
}

function principalsOf(statement: Record<string, unknown>, scope: Scope, effect: string) {
  if (scope === 'identity') {
    const given = ['Principal', 'NotPrincipal'].find((name) => statement[name] !== undefined);
    if (given) throw malformed(`Policy document should not specify a principal: ${given}`);
    return undefined;
  }
  const { value, negated } = oneOf(statement, 'Principal');
  // It would allow everybody else in the world, and the anonymous too.
  if (negated && effect === 'Allow') throw malformed('Allow with NotPrincipal is not supported');
  const principals = compilePrincipals(value, negated);
  if (negated && principals.everybody) throw malformed('NotPrincipal "*" leaves nobody');
  return principals;
}

/** @throws S3Error MalformedPolicy for a pattern that fits no action of S3, nor of IAM in the policy of an account */
function compileActions({ name, value, negated }: ReturnType<typeof oneOf>, scope: Scope): Set<string> {
  const all = scope === 'identity' ? accountActionsByLowerCase : actionsByLowerCase;
  const named = new Set<string>();
  const seen = new Set<string>();
  for (const pattern of strings(name, value)) {
    const folded = pattern.toLowerCase();
    if (seen.has(folded)) continue;
    seen.add(folded);
    const grammar = { variables: false, wildcards: true, keys: new Set<string>() };
    const fits = compileGlob(tokenize(folded, grammar) as GlobToken[]);
    let found = false;
    for (const [lower, action] of all) {
      if (!fits(lower)) continue;
      found = true;
      named.add(action);
    }
    if (!found) throw malformed(`Policy has invalid action: ${quote(pattern)}`);
  }
  return negated ? new Set([...all.values()].filter((action) => !named.has(action))) : named;
}
