/** Access keys of a user. */
import { AccountError } from '../../acl/account-error.js';
import type { KeyEntry } from '../../acl/registry.js';
import { page } from './params.js';
import { keyShape, members } from './shapes.js';
import type { IamContext, IamHandler } from './types.js';

/** The secret is told here, and nowhere else. */
export const createAccessKey: IamHandler = async ({ registry, user, maxKeys }) => {
  const { key, account, secret } = await registry.createKey(user(), maxKeys);
  return { AccessKey: { ...keyShape(key, account), SecretAccessKey: secret } };
};

export const listAccessKeys: IamHandler = async ({ registry, user, params }) => {
  const account = user();
  const keys = (await registry.list()).filter((entry) => entry.account.uuid === account.uuid).map(({ key }) => key);
  const { items, ...rest } = page(keys, params, ({ accessKey }) => accessKey);
  return { AccessKeyMetadata: members(items.map((key) => keyShape(key, account))), ...rest };
};

/** Whose key it is decides: the permission is for the user, and a key of another must not be reached by it. */
async function keyOf({ registry, user, need }: IamContext): Promise<KeyEntry> {
  const { uuid } = user();
  const id = need('AccessKeyId');
  const entry = await registry.find(id);
  if (entry?.account.uuid === uuid) return entry;
  throw noKey(id);
}

const noKey = (id: string): AccountError =>
  new AccountError('NoSuchEntity', `The Access Key with id ${id} cannot be found.`);

export const updateAccessKey: IamHandler = async (context) => {
  const { key } = await keyOf(context);
  // Deleted or rotated since: it would be a lie to say that it is what it was asked to be.
  const enabled = context.need('Status') === 'Active';
  if (!(await context.registry.setEnabled(key.accessKey, enabled))) throw noKey(key.accessKey);
  return undefined;
};

/** The account stays, with or without keys. */
export const deleteAccessKey: IamHandler = async (context) => {
  const { key } = await keyOf(context);
  if (!(await context.registry.remove(key.accessKey))) throw noKey(key.accessKey);
  return undefined;
};
