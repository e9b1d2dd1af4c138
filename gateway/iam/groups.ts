/** Policy groups and who is in them. */
import { userName } from '../../acl/iam/names.js';
import { page } from './params.js';
import { groupShape, members, userShape } from './shapes.js';
import type { IamHandler } from './types.js';

export const createGroup: IamHandler = async ({ registry, namespace, need, params }) => {
  const group = await registry.iam.groups.create(namespace, need('GroupName'), params.get('Path'));
  return { Group: groupShape(namespace, group) };
};

export const getGroup: IamHandler = async ({ registry, namespace, need, params }) => {
  const group = await registry.iam.groups.get(namespace, need('GroupName'));
  const { items, ...rest } = page(await registry.iam.members(namespace, group), params, userName);
  return { Group: groupShape(namespace, group), Users: members(items.map(userShape)), ...rest };
};

export const listGroups: IamHandler = async ({ registry, namespace, params }) => {
  const prefix = params.get('PathPrefix') ?? '/';
  const groups = (await registry.iam.groups.list(namespace)).filter(({ path }) => path.startsWith(prefix));
  const { items, ...rest } = page(groups, params, ({ name }) => name);
  return { Groups: members(items.map((each) => groupShape(namespace, each))), ...rest };
};

export const listGroupsForUser: IamHandler = async ({ registry, namespace, user, params }) => {
  const { memberOf = [] } = user();
  const groups = (await registry.iam.groups.list(namespace)).filter(({ id }) => memberOf.includes(id));
  const { items, ...rest } = page(groups, params, ({ name }) => name);
  return { Groups: members(items.map((each) => groupShape(namespace, each))), ...rest };
};

export const updateGroup: IamHandler = async ({ registry, namespace, need, params }) => {
  const to = { name: params.get('NewGroupName'), path: params.get('NewPath') };
  await registry.iam.groups.rename(namespace, need('GroupName'), to);
  return undefined;
};

export const deleteGroup: IamHandler = async ({ registry, namespace, need }) => {
  await registry.iam.removeGroup(namespace, need('GroupName'));
  return undefined;
};

export const addUserToGroup: IamHandler = async ({ registry, user, need }) => {
  await registry.iam.addToGroup(user(), need('GroupName'));
  return undefined;
};

export const removeUserFromGroup: IamHandler = async ({ registry, user, need }) => {
  await registry.iam.removeFromGroup(user(), need('GroupName'));
  return undefined;
};
