/** Users: the accounts of the caller's group. */
import { AccountError } from '../../acl/account-error.js';
import { MAX_GROUPS } from '../../acl/iam/groups.js';
import { checkName, checkPath, userName } from '../../acl/iam/names.js';
import { MAX_POLICIES } from '../../acl/iam/policies.js';
import { page } from './params.js';
import { members, userShape } from './shapes.js';
import type { IamContext, IamHandler } from './types.js';

export const getUser: IamHandler = async ({ user }) => ({ User: userShape(user()) });

export const listUsers: IamHandler = async ({ registry, namespace, params }) => {
  const prefix = params.get('PathPrefix') ?? '/';
  const users = (await registry.iam.users(namespace)).filter(({ path = '/' }) => path.startsWith(prefix));
  const { items, ...rest } = page(users, params, userName);
  return { Users: members(items.map(userShape)), ...rest };
};

/**
 * Its files belong to the POSIX user of the caller: nobody can give away another. It may do nothing until a policy allows
 * something (`Account.limited`).
 */
export const createUser: IamHandler = async ({ registry, caller, namespace, need, params }) => {
  const account = await registry.createAccount({
    displayName: checkName('the name of a user', need('UserName'), 64),
    path: checkPath(params.get('Path') ?? '/'),
    group: namespace,
    actor: caller.actor,
    unique: true,
    limited: true,
  });
  return { User: userShape(account) };
};

export const updateUser: IamHandler = async ({ registry, user, params }) => {
  const { uuid } = user();
  const [name, path] = [params.get('NewUserName'), params.get('NewPath')];
  await registry.updateAccount(uuid, {
    ...(path === undefined ? {} : { path: checkPath(path) }),
    ...(name === undefined ? {} : { displayName: checkName('the name of a user', name, 64) }),
  });
  return undefined;
};

/** With its keys, policies or buckets it is not deleted; that it is in groups is no obstacle. */
export const deleteUser: IamHandler = async (context) => {
  const { registry, user } = context;
  const { uuid, enabled } = user();
  await refuseUsed(context);
  // From here on no request makes a bucket or a key for it; one that was under way may just have done so.
  await registry.updateAccount(uuid, { enabled: false });
  await refuseUsed(context).catch(async (error: unknown) => {
    await registry.updateAccount(uuid, { enabled });
    throw error;
  });
  await registry.removeAccount(uuid);
  return undefined;
};

async function refuseUsed({ registry, storage, user, caller }: IamContext): Promise<void> {
  const { uuid } = user();
  const conflict = (what: string) => new AccountError('DeleteConflict', `Cannot delete entity, must ${what} first.`);
  const account = await registry.account(uuid);
  if (uuid === caller.uuid) throw new AccountError('DeleteConflict', 'Nobody can delete himself.');
  if (account?.policies?.length) throw conflict('detach all policies');
  if (account?.inline?.length) throw conflict('delete policies');
  if ((await registry.list()).some((entry) => entry.account.uuid === uuid)) throw conflict('delete access keys');
  const buckets = (await storage.listBuckets()).filter(({ owner }) => owner === uuid).map(({ name }) => name);
  if (buckets.length > 0) throw conflict(`delete the buckets ${buckets.slice(0, 10).join(', ')}`);
}

export const getAccountSummary: IamHandler = async ({ registry, namespace, maxKeys }) => {
  const { iam } = registry;
  const [users, groups, policies] = [iam.users(namespace), iam.groups.list(namespace), iam.policies.list(namespace)];
  const numbers = {
    Users: (await users).length,
    Groups: (await groups).length,
    GroupsQuota: MAX_GROUPS,
    // As many as there is room for: it is the number that AWS has by default.
    UsersQuota: 5000,
    Policies: (await policies).length,
    PoliciesQuota: MAX_POLICIES,
    AccessKeysPerUserQuota: maxKeys,
    AttachedPoliciesPerUserQuota: 10,
    AttachedPoliciesPerGroupQuota: 10,
    GroupsPerUserQuota: 10,
    UserPolicySizeQuota: 2048,
    GroupPolicySizeQuota: 5120,
    PolicySizeQuota: 6144,
    VersionsPerPolicyQuota: 1,
  };
  return { SummaryMap: { entry: Object.entries(numbers).map(([key, value]) => ({ key, value })) } };
};
