/** Managed policies. Each has one version: another text is another policy. */
import { AccountError } from '../../acl/account-error.js';
import { AWS } from '../../acl/iam/managed.js';
import { userName } from '../../acl/iam/names.js';
import { type ManagedPolicy, policyArn } from '../../acl/iam/policies.js';
import { page } from './params.js';
import { members, policyShape, VERSION_ID, versionShape } from './shapes.js';
import type { IamContext, IamHandler } from './types.js';

const policyOf = ({ registry, namespace, need }: IamContext): Promise<ManagedPolicy> =>
  registry.iam.policies.get(namespace, need('PolicyArn'));

/** How often each policy is attached in the namespace, by ARN. */
async function attachments({ registry, namespace }: IamContext): Promise<Map<string, number>> {
  const { iam } = registry;
  const counts = new Map<string, number>();
  for (const { policies = [] } of [...(await iam.users(namespace)), ...(await iam.groups.list(namespace))]) {
    for (const arn of policies) counts.set(arn, (counts.get(arn) ?? 0) + 1);
  }
  return counts;
}

export const createPolicy: IamHandler = async ({ registry, namespace, need, params }) => {
  const policy = await registry.iam.policies.create(namespace, {
    name: need('PolicyName'),
    path: params.get('Path'),
    description: params.get('Description'),
    document: need('PolicyDocument'),
  });
  return { Policy: policyShape(policy, 0) };
};

export const getPolicy: IamHandler = async (context) => {
  const policy = await policyOf(context);
  return { Policy: policyShape(policy, (await attachments(context)).get(policyArn(policy)) ?? 0) };
};

export const listPolicies: IamHandler = async (context) => {
  const { registry, namespace, params } = context;
  const [scope, prefix] = [params.get('Scope') ?? 'All', params.get('PathPrefix') ?? '/'];
  const counts = await attachments(context);
  const { policies } = registry.iam;
  const all = [
    ...(scope === 'AWS' ? [] : await policies.list(namespace)),
    ...(scope === 'Local' ? [] : await policies.list(AWS)),
  ];
  const wanted = all.filter(
    (each) => each.path.startsWith(prefix) && (params.get('OnlyAttached') !== 'true' || counts.has(policyArn(each))),
  );
  const { items, ...rest } = page(wanted, params, policyArn);
  return { Policies: members(items.map((each) => policyShape(each, counts.get(policyArn(each)) ?? 0))), ...rest };
};

export const deletePolicy: IamHandler = async ({ registry, namespace, need }) => {
  await registry.iam.removePolicy(namespace, need('PolicyArn'));
  return undefined;
};

export const getPolicyVersion: IamHandler = async (context) => {
  const policy = await policyOf(context);
  const id = context.need('VersionId');
  if (id !== VERSION_ID)
    throw new AccountError('NoSuchEntity', `Policy ${policyArn(policy)} version ${id} does not exist.`);
  return { PolicyVersion: versionShape(policy, true) };
};

export const listPolicyVersions: IamHandler = async (context) => ({
  Versions: members([versionShape(await policyOf(context), false)]),
  IsTruncated: false,
});

export const listEntitiesForPolicy: IamHandler = async (context) => {
  const { registry, namespace, params } = context;
  const { users, groups } = await registry.iam.holders(namespace, policyArn(await policyOf(context)));
  const filter = params.get('EntityFilter');
  const entities = [
    ...(filter === 'Group' ? [] : users.map((each) => ({ UserName: userName(each), UserId: each.uuid }))),
    ...(filter === 'User' ? [] : groups.map((each) => ({ GroupName: each.name, GroupId: each.id }))),
  ];
  const idOf = (each: (typeof entities)[number]) => ('UserId' in each ? each.UserId : each.GroupId);
  const { items, ...rest } = page(entities, params, idOf);
  return {
    PolicyUsers: members(items.filter((each) => 'UserId' in each)),
    PolicyGroups: members(items.filter((each) => 'GroupId' in each)),
    PolicyRoles: members([]),
    ...rest,
  };
};
