/**
 * Accounts and groups, kept as documents of the service area (kinds `accounts`, `groups`, `names`).
 *
 * Nothing is remembered here: every look-up asks the documents, so that what a command or another gateway changes is in
 * force on the next request.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Documents } from '../gateway/storage/types.js';
import type { Account, AccountGroup } from './identity.js';

export interface NewAccount extends Pick<Account, 'displayName' | 'group' | 'actor'> {
  kind?: Account['kind'];
  user?: string | undefined;
  fspaths?: string[];
  /** Refuse a name that another account has; the account outlives its keys. */
  unique?: boolean;
}

/** What may change of an account. */
export type AccountChange = Partial<Omit<Account, 'uuid' | 'created' | 'named' | 'user'>> & {
  user?: string | undefined;
};

/** What was asked for cannot be done; the message says why. The codes are IAM's. */
export class AccountError extends Error {
  override name = 'AccountError';
  readonly code: 'EntityAlreadyExists' | 'NoSuchEntity' | 'LimitExceeded' | 'DeleteConflict' | 'InvalidInput';
  constructor(code: AccountError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface Accounts {
  /** @throws AccountError EntityAlreadyExists, InvalidInput */
  createAccount(account: NewAccount): Promise<Account>;
  accounts(): Promise<Account[]>;
  account(uuid: string): Promise<Account | undefined>;
  /** By uuid or name. @throws AccountError NoSuchEntity, or InvalidInput where several accounts have the name */
  findAccount(uuidOrName: string): Promise<Account>;
  /** Undefined: there is none. @throws AccountError EntityAlreadyExists, InvalidInput */
  updateAccount(uuid: string, change: AccountChange): Promise<Account | undefined>;
  removeAccount(uuid: string): Promise<void>;

  /** @throws AccountError EntityAlreadyExists, InvalidInput */
  createGroup(name: string): Promise<AccountGroup>;
  /** Those that were made and those that only accounts name, by name. */
  groups(): Promise<{ name: string; created: string | undefined; members: Account[] }[]>;
  /** @throws AccountError NoSuchEntity, DeleteConflict */
  removeGroup(name: string): Promise<void>;
}

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const isUuid = (text: string): boolean => uuidForm.test(text);

/** Control characters and colons would make tags and tables ambiguous. */
export const isName = (text: string): boolean => /^[^\s:\p{Cc}][^:\p{Cc}]{0,63}$/u.test(text) && !/\s$/.test(text);

/** Who has a name. */
interface Claim {
  name: string;
  account: string;
}

/** Names are any Unicode, ids of documents are not. */
const idOf = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 40);

export const draftAccount = ({
  displayName,
  group,
  kind = 'user',
  actor,
  user,
  unique,
  fspaths = [],
}: NewAccount): Account => ({
  uuid: randomUUID(),
  displayName,
  group,
  kind,
  actor,
  ...(user === undefined ? {} : { user }),
  ...(unique ? { named: true } : {}),
  fspaths,
  enabled: true,
  created: new Date().toISOString(),
});

export function createAccounts(documents: Documents): Accounts {
  // Ids come from requests and become file names: the form is checked before anything else.
  const account = async (uuid: string) => (isUuid(uuid) ? documents.get<Account>('accounts', uuid) : undefined);
  const accounts = async () => (await documents.list<Account>('accounts')).map(({ value }) => value);
  const removeAccount = async (uuid: string) => {
    const old = await account(uuid);
    if (!old) return;
    await documents.update<Account>('accounts', uuid, () => undefined);
    await giveUp(old.displayName, uuid);
  };

  const taken = (name: string) => new AccountError('EntityAlreadyExists', `there is an account called ${name} already`);

  async function refuseTaken(name: string, uuid?: string): Promise<void> {
    if (!isName(name) || isUuid(name)) {
      throw new AccountError('InvalidInput', `a name has 1 to 64 letters without ':', not ${JSON.stringify(name)}`);
    }
    const others = (await accounts()).filter((each) => each.displayName === name && each.uuid !== uuid);
    if (others.length > 0) throw taken(name);
  }

  /**
   * Called when the account has the name already: of two that take one at the same moment one gets it. A claim whose
   * account is gone, or goes by another name, is a crash's remainder.
   * @throws AccountError EntityAlreadyExists
   */
  async function claim(name: string, uuid: string): Promise<void> {
    const mine: Claim = { name, account: uuid };
    for (;;) {
      if (await documents.create<Claim>('names', idOf(name), mine)) return;
      const found = await documents.get<Claim>('names', idOf(name));
      if (found === undefined) continue;
      const holder = found.account === uuid ? undefined : await account(found.account);
      if (holder?.displayName === name) throw taken(name);
      const now = await documents.update<Claim>('names', idOf(name), (current) =>
        current.account === found.account ? mine : current,
      );
      if (now?.account === uuid) return;
    }
  }

  const giveUp = (name: string, uuid: string) =>
    documents.update<Claim>('names', idOf(name), (current) => (current.account === uuid ? undefined : current));

  async function createAccount(wanted: NewAccount): Promise<Account> {
    const { unique = false } = wanted;
    if (unique) await refuseTaken(wanted.displayName);
    const made = draftAccount(wanted);
    if (!(await documents.create('accounts', made.uuid, made))) throw new Error('a random uuid came twice');
    if (unique) {
      await claim(made.displayName, made.uuid).catch(async (error: unknown) => {
        await removeAccount(made.uuid);
        throw error;
      });
    }
    return made;
  }

  async function updateAccount(uuid: string, change: AccountChange): Promise<Account | undefined> {
    const before = await account(uuid);
    if (!before) return undefined;
    const { displayName = before.displayName } = change;
    const renamed = displayName !== before.displayName;
    if (renamed) await refuseTaken(displayName, uuid);
    const write = (values: AccountChange) =>
      documents.update<Account>('accounts', uuid, (current) => ({ ...current, ...values }) as Account);
    const after = await write(change);
    if (!renamed || !after) return after;
    try {
      await claim(displayName, uuid);
    } catch (error) {
      await write({ displayName: before.displayName });
      throw error;
    }
    await giveUp(before.displayName, uuid);
    return after;
  }

  async function groups() {
    const all = new Map<string, { name: string; created: string | undefined; members: Account[] }>();
    for (const { value } of await documents.list<AccountGroup>('groups'))
      all.set(value.name, { ...value, members: [] });
    for (const member of await accounts()) {
      const { group: name } = member;
      if (!all.has(name)) all.set(name, { name, created: undefined, members: [] });
      all.get(name)!.members.push(member);
    }
    return [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  return {
    account,
    accounts,
    createAccount,
    updateAccount,
    removeAccount,
    groups,

    async findAccount(uuidOrName) {
      if (isUuid(uuidOrName)) {
        const found = await account(uuidOrName);
        if (found) return found;
      }
      const [one, ...more] = (await accounts()).filter(({ displayName }) => displayName === uuidOrName);
      if (!one) throw new AccountError('NoSuchEntity', `there is no account ${uuidOrName}`);
      if (more.length === 0) return one;
      const which = [one, ...more].map(({ uuid }) => uuid).join(', ');
      throw new AccountError('InvalidInput', `several accounts are called ${uuidOrName}: say which of ${which}`);
    },

    async createGroup(name) {
      if (!isName(name)) {
        throw new AccountError(
          'InvalidInput',
          `a group's name has 1 to 64 letters without ':', not ${JSON.stringify(name)}`,
        );
      }
      const group: AccountGroup = { name, created: new Date().toISOString() };
      if (await documents.create('groups', idOf(name), group)) return group;
      throw new AccountError('EntityAlreadyExists', `there is a group called ${name} already`);
    },

    async removeGroup(name) {
      const found = (await groups()).find((each) => each.name === name);
      if (!found) throw new AccountError('NoSuchEntity', `there is no group ${name}`);
      if (found.members.length > 0) {
        const who = found.members.map(({ displayName, uuid }) => `${displayName} (${uuid})`).join(', ');
        throw new AccountError('DeleteConflict', `the group ${name} has accounts: ${who}`);
      }
      await documents.update<AccountGroup>('groups', idOf(name), () => undefined);
    },
  };
}
