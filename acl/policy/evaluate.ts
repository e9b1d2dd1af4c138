/** Asking a policy. Pure and quick: it runs for every request. */
import { ownKeys, ownValue } from './condition-keys.js';
import type { Lookup, Policy, PolicyRequest, Statement, Verdict } from './types.js';

const own = new Set(ownKeys);

/**
 * "By default, all requests are implicitly denied. An explicit allow overrides this default. An explicit deny in any
 * policy overrides any allows." The order of statements means nothing.
 */
export function evaluate(policy: Policy, request: PolicyRequest): Verdict {
  const lookup = lookupIn(request);
  let allowing: Statement | undefined;
  for (const statement of policy.statements) {
    if (statement.effect === 'Allow' && allowing) continue;
    if (!applies(statement, request, lookup)) continue;
    if (statement.effect === 'Deny') return { effect: 'Deny', statement };
    allowing = statement;
  }
  return allowing ? { effect: 'Allow', statement: allowing } : { effect: 'neither', statement: undefined };
}

function applies(statement: Statement, { identity, action, resource }: PolicyRequest, lookup: Lookup): boolean {
  return (
    statement.actions.has(action) &&
    (statement.principal === undefined || statement.principal(identity)) &&
    statement.resource(resource, lookup) &&
    statement.conditions.every((condition) => condition.test(lookup))
  );
}

function lookupIn({ identity, context, bucketOwner }: PolicyRequest): Lookup {
  return (key) => {
    if (!own.has(key)) return context.get(key);
    const value = ownValue(key, identity, bucketOwner);
    return value === undefined ? undefined : [value];
  };
}
