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

type AllVerdict = Readonly<Verdict & { limited: boolean; label?: string | undefined }>;

const none: AllVerdict = Object.freeze({ effect: 'neither', statement: undefined, limited: false });

/**
 * Asks all the policies of an account: a Deny in one of them wins over every Allow in the others. `limited`: they allow
 * something, so that they say all that is allowed. A Deny alone takes only itself away.
 */
export function evaluateAll(policies: readonly Policy[], request: PolicyRequest): AllVerdict {
  if (policies.length === 0) return none;
  let verdict: Verdict & { label?: string | undefined } = { effect: 'neither', statement: undefined };
  for (const policy of policies) {
    const next = evaluate(policy, request);
    if (next.effect === 'Deny') return { ...next, limited: true, label: policy.label };
    if (verdict.effect === 'neither') verdict = { ...next, label: policy.label };
  }
  const limited = policies.some(({ statements }) => statements.some(({ effect }) => effect === 'Allow'));
  return { ...verdict, limited };
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
