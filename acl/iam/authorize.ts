/**
 * May this caller do this to users, groups and policies? Pure. What it is about is of the caller's own namespace: others
 * cannot be named at all.
 *
 * 1. A Deny in the caller's policies always wins.
 * 2. A manager may do everything. His policies limit what he does in S3, not here: else nobody could mend them.
 * 3. Of managers' accounts others may do nothing, whatever their policies allow: a key of his would make a manager of them.
 * 4. Everybody may ask about himself.
 * 5. What else a policy allows.
 */
import { accountPolicy, type Decision } from '../authorize.js';
import type { Account, Identity } from '../identity.js';
import { evaluateAll } from '../policy/evaluate.js';
import type { Context, Policy } from '../policy/types.js';

export interface IamQuestion {
  identity: Identity;
  /** IAM's name, e.g. `iam:CreateUser`. */
  action: string;
  /** ARN of the user, group or policy. */
  resource: string;
  /** The account that it is about, if there is one. */
  target?: Account | undefined;
  /** The caller's. */
  policies: readonly Policy[];
  context: Context;
}

export interface IamDecision {
  allow: boolean;
  /** A sentence, for the log and for `tidegate explain`: never shown to the caller. */
  reason: string;
  /** `default`: nothing gives it. */
  by: 'deny' | 'manager' | 'self' | 'identity-policy' | 'default';
  /** The statement that decided. */
  statement?: Decision['statement'];
}

const aboutOneself: ReadonlySet<string> = new Set(
  [
    'GetUser',
    'ListAccessKeys',
    'ListAttachedUserPolicies',
    'ListUserPolicies',
    'GetUserPolicy',
    'ListGroupsForUser',
  ].map((name) => `iam:${name}`),
);

export function authorizeIam({ identity, action, resource, target, policies, context }: IamQuestion): IamDecision {
  const { account } = identity;
  const who = account ? `${account.displayName} (${account.uuid})` : 'an anonymous caller';
  const say = (by: IamDecision['by'], allow: boolean, why: string): IamDecision => ({
    allow,
    by,
    reason: `${action} on ${resource} is ${allow ? 'allowed' : 'denied'} to ${who}: ${why}`,
  });
  if (!account?.enabled) return say('default', false, 'the caller is no account that is enabled');
  const verdict = evaluateAll(policies, { identity, action, resource, context });
  const byPolicy = (by: IamDecision['by'], does: string): IamDecision => {
    const [document, { index, sid, effect }] = [accountPolicy(verdict), verdict.statement!];
    const why = `statement ${index + 1} of the ${document} ${does} it`;
    return { ...say(by, effect === 'Allow', why), statement: { document, index, sid, effect } };
  };
  if (verdict.effect === 'Deny') return byPolicy('deny', 'denies');
  if (account.kind === 'manager') return say('manager', true, 'the caller manages the group');
  if (target?.kind === 'manager') return say('default', false, 'it is about the account of a manager');
  if (target?.uuid === account.uuid && aboutOneself.has(action)) return say('self', true, 'it is about the caller');
  return verdict.effect === 'Allow'
    ? byPolicy('identity-policy', 'allows')
    : say('default', false, 'the caller is no manager, and no policy of his allows it');
}
