/** Users, policy groups and policies of the namespaces, and what attaches the one to the other. */
import type { Documents } from '../../gateway/storage/types.js';
import { AccountError } from '../account-error.js';
import type { Accounts } from '../accounts.js';
import type { Account } from '../identity.js';
import type { Policy } from '../policy/types.js';
import { createEffectivePolicies } from './effective.js';
import { createPolicyGroups, noGroup, type PolicyGroup, type PolicyGroups } from './groups.js';
import { attach, detach, type Holder } from './holders.js';
import { byName, fold, userName } from './names.js';
import { createPolicies, type Policies } from './policies.js';

export interface Entities {
  users: Account[];
  groups: PolicyGroup[];
}

export interface Iam {
  groups: PolicyGroups;
  policies: Omit<Policies, 'remove'>;
  /** Accounts of a namespace, by UserName. */
  users(namespace: string): Promise<Account[]>;
  /** By UserName, whatever its case, or by id. @throws AccountError NoSuchEntity */
  user(namespace: string, name: string): Promise<Account>;
  /** Changes the account as it stands at that moment; what `change` throws is thrown. @throws AccountError NoSuchEntity */
  updateUser(account: Account, change: (account: Account) => Account): Promise<Account>;
  /** @throws AccountError NoSuchEntity, DeleteConflict */
  removeGroup(namespace: string, name: string): Promise<void>;
  /** @throws AccountError NoSuchEntity, LimitExceeded */
  addToGroup(account: Account, name: string): Promise<void>;
  /** @throws AccountError NoSuchEntity */
  removeFromGroup(account: Account, name: string): Promise<void>;
  members(namespace: string, group: PolicyGroup): Promise<Account[]>;
  /** @throws AccountError NoSuchEntity, DeleteConflict, InvalidInput */
  removePolicy(namespace: string, arn: string): Promise<void>;
  /** Who holds a policy. */
  holders(namespace: string, arn: string): Promise<Entities>;
  /** @throws AccountError NoSuchEntity, LimitExceeded */
  attachToUser(account: Account, arn: string): Promise<void>;
  /** @throws AccountError NoSuchEntity, LimitExceeded */
  attachToGroup(namespace: string, name: string, arn: string): Promise<void>;
  /** Those that count for an account, compiled: asked for every request. */
  policiesOf(account: Account): Promise<readonly Policy[]>;
}

/** "Groups an IAM user can be a member of: 10". */
const MAX_MEMBERSHIPS = 10;

export const noUser = (name: string): AccountError =>
  new AccountError('NoSuchEntity', `The user with name ${name} cannot be found.`);

export function createIam(documents: Documents, { account, accounts }: Pick<Accounts, 'account' | 'accounts'>): Iam {
  const policies = createPolicies(documents);
  const groups = createPolicyGroups(documents);

  const users = async (namespace: string) =>
    (await accounts()).filter(({ group }) => group === namespace).sort(byName(userName));

  async function updateUser({ uuid, group }: Account, change: (account: Account) => Account): Promise<Account> {
    const after = await documents.update<Account>('accounts', uuid, (current) => {
      // An administrator may have moved it to another group meanwhile.
      if (current.group !== group) throw noUser(uuid);
      return change(current);
    });
    if (!after) throw noUser(uuid);
    return after;
  }

  const members = async (namespace: string, { id }: PolicyGroup) =>
    (await users(namespace)).filter(({ memberOf }) => memberOf?.includes(id));

  async function holders(namespace: string, arn: string): Promise<Entities> {
    const holds = ({ policies: held }: Holder) => held?.includes(arn) === true;
    return { users: (await users(namespace)).filter(holds), groups: (await groups.list(namespace)).filter(holds) };
  }

  /** What is deleted meanwhile must not stay attached, see `policies.ts`. */
  async function attachable(namespace: string, arn: string): Promise<void> {
    const { deleting } = await policies.get(namespace, arn);
    if (deleting) throw new AccountError('NoSuchEntity', `Policy ${arn} is being deleted.`);
  }

  /** @param change the holder as it stands, with the policy or without it */
  async function attaching(
    namespace: string,
    arn: string,
    change: (to: <T extends Holder>(holder: T) => T) => Promise<unknown>,
  ): Promise<void> {
    await attachable(namespace, arn);
    let added = false;
    await change((holder) => {
      const after = attach(holder, arn);
      added = after !== holder;
      return after;
    });
    await attachable(namespace, arn).catch(async (error: unknown) => {
      // What was attached before is not ours to take away.
      if (added) await change((holder) => (holder.policies?.includes(arn) ? detach(holder, arn) : holder));
      throw error;
    });
  }

  const leave = (holder: Account, id: string): Account => ({
    ...holder,
    memberOf: (holder.memberOf ?? []).filter((each) => each !== id),
  });

  return {
    groups,
    policies,
    users,
    updateUser,
    members,
    holders,
    policiesOf: createEffectivePolicies(policies, groups),

    async user(namespace, name) {
      const byId = await account(name);
      if (byId?.group === namespace) return byId;
      const found = (await users(namespace)).find((each) => fold(userName(each)) === fold(name));
      if (!found) throw noUser(name);
      return found;
    },

    removeGroup: (namespace, name) =>
      groups.remove(namespace, name, async (group) => {
        const [one] = await members(namespace, group);
        return one && userName(one);
      }),

    async addToGroup(user, name) {
      const { id } = await groups.get(user.group, name);
      let added = false;
      await updateUser(user, (current) => {
        const { memberOf = [] } = current;
        added = !memberOf.includes(id);
        if (!added) return current;
        if (memberOf.length >= MAX_MEMBERSHIPS) {
          throw new AccountError('LimitExceeded', `Cannot exceed quota for GroupsPerUser: ${MAX_MEMBERSHIPS}`);
        }
        return { ...current, memberOf: [...memberOf, id] };
      });
      const after = (await groups.list(user.group)).find((group) => group.id === id);
      if (after && !after.deleting) return;
      if (added) await updateUser(user, (current) => leave(current, id));
      throw noGroup(name);
    },

    async removeFromGroup(user, name) {
      const { id } = await groups.get(user.group, name);
      await updateUser(user, (current) => {
        if (!current.memberOf?.includes(id)) {
          throw new AccountError('NoSuchEntity', `The user ${userName(current)} is not in the group ${name}.`);
        }
        return leave(current, id);
      });
    },

    removePolicy: (namespace, arn) =>
      policies.remove(namespace, arn, async () => {
        const held = await holders(namespace, arn);
        return held.users.map(userName)[0] ?? held.groups[0]?.name;
      }),

    attachToUser: (user, arn) => attaching(user.group, arn, (change) => updateUser(user, change)),

    attachToGroup: (namespace, name, arn) =>
      attaching(namespace, arn, (change) => groups.update(namespace, name, change)),
  };
}
