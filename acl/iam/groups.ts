/**
 * Policy groups: what IAM calls groups. All of a namespace are one document of the kind `policygroups`, so that their
 * names cannot collide whatever happens at once.
 *
 * They have nothing to do with the accounting group of an account (`Account.group`): that is their namespace. Who is in
 * one is said by the accounts (`Account.memberOf`), by the group's id: a request of somebody without groups reads nothing.
 */
import type { Documents } from '../../gateway/storage/types.js';
import { AccountError } from '../account-error.js';
import type { InlinePolicy } from '../identity.js';
import { arnOf, byName, checkName, checkPath, documentId, fold } from './names.js';
import { newId } from './policies.js';

export interface PolicyGroup {
  /** IAM's GroupId. It is never used again, so that no member of a deleted group is found in a new one. */
  id: string;
  name: string;
  path: string;
  /** ISO 8601. */
  created: string;
  /** ARNs of the managed policies that are attached to it. */
  policies: string[];
  inline: InlinePolicy[];
  /** The mark of whoever is about to delete it: it counts still, but nobody can be put into it. */
  deleting?: string;
}

interface Stored {
  namespace: string;
  groups: PolicyGroup[];
}

export interface PolicyGroups {
  /** @throws AccountError EntityAlreadyExists, LimitExceeded, InvalidInput */
  create(namespace: string, name: string, path?: string): Promise<PolicyGroup>;
  /** By name, whatever its case. @throws AccountError NoSuchEntity */
  get(namespace: string, name: string): Promise<PolicyGroup>;
  /** By name. */
  list(namespace: string): Promise<PolicyGroup[]>;
  /** Changes the group as it stands at that moment; what `change` throws is thrown. @throws AccountError NoSuchEntity */
  update(namespace: string, name: string, change: (group: PolicyGroup) => PolicyGroup): Promise<PolicyGroup>;
  /** @throws AccountError NoSuchEntity, EntityAlreadyExists, InvalidInput */
  rename(namespace: string, name: string, to: { name?: string | undefined; path?: string | undefined }): Promise<void>;
  /**
   * @param members says who is in it, one of them or nobody
   * @throws AccountError NoSuchEntity, DeleteConflict while it has policies or members
   */
  remove(namespace: string, name: string, members: (group: PolicyGroup) => Promise<string | undefined>): Promise<void>;
}

/** "Groups in an AWS account: 300". */
export const MAX_GROUPS = 300;

export const groupArn = (namespace: string, { path, name }: Pick<PolicyGroup, 'path' | 'name'>): string =>
  arnOf(namespace, `group${path}${name}`);

export const noGroup = (name: string): AccountError =>
  new AccountError('NoSuchEntity', `The group with name ${name} cannot be found.`);

const taken = (name: string) => new AccountError('EntityAlreadyExists', `Group with name ${name} already exists.`);

export function createPolicyGroups(documents: Documents): PolicyGroups {
  const idOf = (namespace: string): string => documentId(namespace);
  const read = async (namespace: string): Promise<PolicyGroup[]> =>
    (await documents.get<Stored>('policygroups', idOf(namespace)))?.groups ?? [];
  const find = (groups: readonly PolicyGroup[], name: string): PolicyGroup | undefined =>
    groups.find((each) => fold(each.name) === fold(name));
  const change = (namespace: string, to: (groups: PolicyGroup[]) => PolicyGroup[]) =>
    documents.update<Stored>('policygroups', idOf(namespace), (stored) => ({ ...stored, groups: to(stored.groups) }));

  async function update(namespace: string, name: string, to: (group: PolicyGroup) => PolicyGroup | undefined) {
    let changed: PolicyGroup | undefined;
    let found = false;
    await change(namespace, (groups) => {
      const before = find(groups, name);
      if (!before) return groups;
      found = true;
      changed = to(before);
      return groups.flatMap((each) => (each === before ? (changed ?? []) : each));
    });
    if (!found) throw noGroup(name);
    return changed;
  }

  return {
    async create(namespace, name, path = '/') {
      const group: PolicyGroup = {
        id: newId('AGPA'),
        name: checkName('the name of a group', name, 128),
        path: checkPath(path),
        created: new Date().toISOString(),
        policies: [],
        inline: [],
      };
      await documents.create<Stored>('policygroups', idOf(namespace), { namespace, groups: [] });
      await change(namespace, (groups) => {
        if (find(groups, name)) throw taken(name);
        if (groups.length >= MAX_GROUPS) throw new AccountError('LimitExceeded', `there may be ${MAX_GROUPS} groups`);
        return [...groups, group];
      });
      return group;
    },

    async get(namespace, name) {
      const found = find(await read(namespace), name);
      if (!found) throw noGroup(name);
      return found;
    },

    list: async (namespace) => [...(await read(namespace))].sort(byName(({ name }) => name)),

    update: async (namespace, name, to) => (await update(namespace, name, to))!,

    async rename(namespace, name, to) {
      const values = {
        ...(to.name === undefined ? {} : { name: checkName('the name of a group', to.name, 128) }),
        ...(to.path === undefined ? {} : { path: checkPath(to.path) }),
      };
      let found = false;
      await change(namespace, (groups) => {
        const before = find(groups, name);
        const holder = to.name === undefined ? undefined : find(groups, to.name);
        if (holder && holder !== before) throw taken(to.name!);
        found = before !== undefined;
        return groups.map((each) => (each === before ? { ...each, ...values } : each));
      });
      if (!found) throw noGroup(name);
    },

    async remove(namespace, name, members) {
      const conflict = (what: string) => new AccountError('DeleteConflict', `Cannot delete entity, ${what} first.`);
      const mark = newId('');
      const marked = (await update(namespace, name, (group) => {
        if (group.policies.length > 0) throw conflict('must detach all policies');
        if (group.inline.length > 0) throw conflict('must delete policies');
        return { ...group, deleting: mark };
      }))!;
      const member = await members(marked);
      let removed = false;
      await update(namespace, name, (group) => {
        // Of two that delete it the later mark counts: the other one's look at the members is not the last.
        if (group.deleting !== mark) return group;
        removed = member === undefined && group.policies.length === 0 && group.inline.length === 0;
        const { deleting: _, ...kept } = group;
        return removed ? undefined : kept;
      });
      if (member !== undefined) throw conflict(`must remove users from group: ${member}`);
      if (!removed) throw conflict('must detach all policies and wait for others that delete it');
    },
  };
}
