/** Accounts and policies for the tests of permissions. */
import { type Account, anonymous, type Identity } from '../../acl/identity.js';
import { evaluate } from '../../acl/policy/evaluate.js';
import { parsePolicy } from '../../acl/policy/parse.js';
import { type Context, type Policy, resourceArn, type Scope } from '../../acl/policy/types.js';

export const account = (name: string, more: Partial<Account> = {}): Account => ({
  uuid: `id-${name}`,
  displayName: name,
  group: 'users',
  kind: 'user',
  named: true,
  actor: { uid: 1, gid: 1, groups: [1] },
  fspaths: [],
  enabled: true,
  created: '2026-01-01T00:00:00.000Z',
  ...more,
});
export const person = (name: string, more: Partial<Account> = {}): Identity => ({
  account: account(name, more),
  accessKey: 'AKIAAAAAAAAAAAAAAAAA',
});

export const alice = person('alice');
export const bob = person('bob', { group: 'climate' });
export const carol = person('carol', { group: 'climate' });
export { anonymous };

export type Draft = Record<string, unknown>;

/** A statement for everybody about everything in the bucket `b`, but for what is given. */
export const allow = (more: Draft = {}): Draft => ({
  Effect: 'Allow',
  Principal: '*',
  Action: 's3:*',
  Resource: ['b', 'b/*'],
  ...more,
});
export const deny = (more: Draft = {}): Draft => allow({ Effect: 'Deny', ...more });

export const text = (statements: Draft | Draft[], version?: string): string =>
  JSON.stringify({ Version: version, Statement: statements });
export const policy = (statements: Draft | Draft[], version = '2012-10-17', scope: Scope = { bucket: 'b' }): Policy =>
  parsePolicy(text(statements, version), scope);
/** A policy to attach to accounts. */
export const attached = (statements: Draft | Draft[]): Policy => policy(statements, '2012-10-17', 'identity');

export interface Ask {
  identity?: Identity;
  action?: string;
  bucket?: string;
  key?: string | undefined;
  context?: Record<string, string | string[]>;
}

export const contextFrom = (values: Record<string, string | string[]>): Context =>
  new Map(Object.entries(values).map(([key, value]) => [key, [value].flat()]));

/** Asks a policy: by default whether alice may read `b/k`. */
export function ask(compiled: Policy, asked: Ask = {}): 'Allow' | 'Deny' | 'neither' {
  const { identity = alice, action = 's3:GetObject', bucket = 'b', context = {} } = asked;
  const key = 'key' in asked ? asked.key : 'k';
  const resource = resourceArn({ bucket, key });
  return evaluate(compiled, { identity, action, resource, bucketOwner: 'id-owner', context: contextFrom(context) })
    .effect;
}
