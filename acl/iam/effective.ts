/** The policies that count for an account: its own, and those of the policy groups that it is in. Kept compiled. */
import type { Account } from '../identity.js';
import { compilePolicy, parsePolicy } from '../policy/parse.js';
import type { Policy } from '../policy/types.js';
import type { PolicyGroups } from './groups.js';
import type { Holder } from './holders.js';
import { userName } from './names.js';
import type { Policies } from './policies.js';

/**
 * In place of a policy that is gone, or was stored and is refused now (by an older gateway of the same root, say): it may
 * have denied something, so everything is denied.
 */
const unreadable: Policy = compilePolicy(
  {
    Version: '2012-10-17',
    Statement: { Sid: 'AnAttachedPolicyCannotBeRead', Effect: 'Deny', Action: '*', Resource: '*' },
  },
  'identity',
);

/** By name and text, so that nothing here can be out of date. */
const compiled = new Map<string, Policy>();
const MAX_COMPILED = 1000;

function compiledPolicy(label: string, text: string): Policy {
  const id = `${label}\n${text}`;
  const known = compiled.get(id);
  if (known) return known;
  let policy: Policy;
  try {
    policy = { ...parsePolicy(text, 'identity'), label };
  } catch {
    policy = { ...unreadable, label };
  }
  if (compiled.size >= MAX_COMPILED) compiled.clear();
  compiled.set(id, policy);
  return policy;
}

/**
 * Asks the documents at every call, so that what another gateway changes is in force on the next request: nothing at all
 * for an account without policies and groups, else one look (a stat when nothing changed) for each policy and for the
 * groups.
 */
export function createEffectivePolicies(policies: Policies, groups: PolicyGroups) {
  return async (account: Account): Promise<readonly Policy[]> => {
    const { memberOf = [], group: namespace } = account;
    // Most accounts, at each of their requests.
    if (memberOf.length === 0 && !account.policies?.length && !account.inline?.length) return [];
    const joined = memberOf.length === 0 ? [] : await groups.list(namespace);
    const own = { ...account, name: userName(account) };
    const holders: (Holder & { name: string })[] = [own, ...joined.filter(({ id }) => memberOf.includes(id))];
    const attached = [...new Set(holders.flatMap((holder) => holder.policies ?? []))];
    const texts = attached.map(async (arn) => (await policies.get(namespace, arn)).document);
    const managed = (await Promise.all(texts.map((text) => text.catch(onlyIfGone)))).map((text, at) =>
      text === undefined ? { ...unreadable, label: attached[at]! } : compiledPolicy(attached[at]!, text),
    );
    const inline = holders.flatMap((holder) =>
      (holder.inline ?? []).map(({ name, document }) => compiledPolicy(`${name} of ${holder.name}`, document)),
    );
    return [...managed, ...inline];
  };
}

function onlyIfGone(error: unknown): undefined {
  if ((error as { code?: unknown }).code === 'NoSuchEntity') return undefined;
  throw error;
}
