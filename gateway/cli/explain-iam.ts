/** `tidegate explain` for what is asked of the IAM endpoint: users, groups and policies in place of buckets and objects. */
import { authorizeIam, type IamDecision } from '../../acl/iam/authorize.js';
import { groupArn } from '../../acl/iam/groups.js';
import { arnOf, userArn } from '../../acl/iam/names.js';
import type { Account, Identity } from '../../acl/identity.js';
import type { Context } from '../../acl/policy/types.js';
import { Complaint } from '../complaint.js';
import type { Service } from '../main.js';

interface IamAsked {
  identity: Identity;
  /** `iam:CreateUser` */
  action: string;
  /** `user/NAME`, `group/NAME`, `policy/NAME`, an ARN of these, or `*`. */
  resource: string;
  context: Context;
}

/** As the IAM endpoint would decide it, and the ARN that it would decide about. */
export async function decideIam(
  service: Service,
  { identity, action, resource: text, context }: IamAsked,
): Promise<{ decision: IamDecision; resource: string }> {
  if (!identity.account) throw new Complaint('IAM answers nobody without a key: say whose request it is with --key', 2);
  const { resource, target } = await resourceOf(service, identity.account, text);
  const policies = await service.registry.iam.policiesOf(identity.account);
  return { resource, decision: authorizeIam({ identity, action, resource, target, policies, context }) };
}

const form = /^(user|group|policy)\/((?:[^/]+\/)*)([^/]+)$/;

async function resourceOf(
  { registry: { iam } }: Service,
  { group: namespace }: Account,
  text: string,
): Promise<{ resource: string; target?: Account }> {
  const [, ofGroup = namespace, named = text] = /^arn:aws:iam::([^:]*):(.*)$/.exec(text) ?? [];
  if (named === '*') return { resource: '*' };
  const [, kind, , name = ''] = form.exec(named) ?? [];
  if (kind === undefined) {
    const shown = JSON.stringify(text);
    throw new Complaint(`--resource takes user/NAME, group/NAME, policy/NAME or an ARN of these, not ${shown}`, 2);
  }
  if (ofGroup !== namespace && !(kind === 'policy' && ofGroup === 'aws')) {
    throw new Complaint(`a key of the group ${namespace} can name nothing of the group ${ofGroup}`);
  }
  // What is there is found by its name, as the endpoint does; its ARN has its own path, or is that of a manager.
  if (kind === 'user') {
    const target = await iam.user(namespace, name).catch(unlessMissing);
    if (target) return { resource: userArn(target), target };
  }
  if (kind === 'group') {
    const group = await iam.groups.get(namespace, name).catch(unlessMissing);
    if (group) return { resource: groupArn(namespace, group) };
  }
  return { resource: arnOf(ofGroup, named) };
}

function unlessMissing(error: unknown): undefined {
  if ((error as { code?: unknown }).code === 'NoSuchEntity') return undefined;
  throw error;
}
