/** What holds policies: accounts and policy groups. Pure changes of what is stored of them. */
import { AccountError } from '../account-error.js';
import type { InlinePolicy } from '../identity.js';
import { parsePolicy } from '../policy/parse.js';
import { byName, checkName, fold } from './names.js';
import { checkSize } from './policies.js';

export interface Holder {
  policies?: string[];
  inline?: InlinePolicy[];
}

/** "Managed policies attached to an IAM user (or group): 10". */
const MAX_ATTACHED = 10;

/** Attaching what is attached is no error. @throws AccountError LimitExceeded */
export function attach<T extends Holder>(holder: T, arn: string): T {
  const { policies = [] } = holder;
  if (policies.includes(arn)) return holder;
  if (policies.length >= MAX_ATTACHED) {
    throw new AccountError('LimitExceeded', `Cannot exceed quota for PoliciesPerEntity: ${MAX_ATTACHED}`);
  }
  return { ...holder, policies: [...policies, arn] };
}

/** @throws AccountError NoSuchEntity */
export function detach<T extends Holder>(holder: T, arn: string): T {
  const { policies = [] } = holder;
  if (!policies.includes(arn)) throw new AccountError('NoSuchEntity', `Policy ${arn} was not found.`);
  return { ...holder, policies: policies.filter((each) => each !== arn) };
}

const named = (name: string) => (each: InlinePolicy) => fold(each.name) === fold(name);
const noPolicy = (name: string) => new AccountError('NoSuchEntity', `The policy with name ${name} cannot be found.`);

/**
 * In place of one of that name.
 * @param most characters of all its inline policies: 2,048 of a user, 5,120 of a group
 * @throws AccountError LimitExceeded, InvalidInput; S3Error MalformedPolicy
 */
export function putInline<T extends Holder>(holder: T, { name, document }: InlinePolicy, most: number): T {
  checkName('the name of a policy', name, 128);
  parsePolicy(document, 'identity');
  const others = (holder.inline ?? []).filter((each) => !named(name)(each));
  const inline = [...others, { name, document }].sort(byName((each) => each.name));
  checkSize(
    'the policies of a user or group',
    inline.map((each) => each.document),
    most,
  );
  return { ...holder, inline };
}

/** @throws AccountError NoSuchEntity */
export function getInline({ inline = [] }: Holder, name: string): InlinePolicy {
  const found = inline.find(named(name));
  if (!found) throw noPolicy(name);
  return found;
}

/** @throws AccountError NoSuchEntity */
export function removeInline<T extends Holder>(holder: T, name: string): T {
  const { inline = [] } = holder;
  if (!inline.some(named(name))) throw noPolicy(name);
  return { ...holder, inline: inline.filter((each) => !named(name)(each)) };
}
