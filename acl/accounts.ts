/**
 * Accounts and groups, kept as documents of the service area (kinds `accounts`, `groups`, `names`).
 *
 * Nothing is remembered here: every look-up asks the documents, so that what a command or another gateway changes is in
 * force on the next request.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Documents } from '../gateway/storage/types.js';
import { AccountError } from './account-error.js';
import { fold } from './iam/names.js';
import type { Account, AccountGroup } from './identity.js';

export { AccountError } from './account-error.js';

export interface NewAccount extends Pick<Account, 'displayName' | 'group' | 'actor'> {
  kind?: Account['kind'];
  user?: string | undefined;
  fspaths?: string[];
  /** Refuse a name that another account has; the account outlives its keys. */
  unique?: boolean;
  /** See `Account`. */
  limited?: boolean;
  path?: string;
}

/** What may change of an account. */
export type AccountChange = Partial<Omit<Account, 'uuid' | 'created' | 'named' | 'user'>> & {
  user?: string | undefined;
};
/** Being renamed gives an account a name of its own, too. */
type Written = AccountChange & { named?: true | undefined };

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
/** Of a claim: to IAM two names that differ by case alone are one. */
const claimOf = (name: string): string => idOf(fold(name));
const same = (one: string, other: string): boolean => fold(one) === fold(other);

export const draftAccount = ({
  displayName,
  group,
  kind = 'user',
  actor,
  user,
  unique,
  limited,
  path,
  fspaths = [],
}: NewAccount): Account => ({
  uuid: randomUUID(),
  displayName,
  group,
  kind,
  actor,
  ...(user === undefined ? {} : { user }),
  ...(unique ? { named: true } : {}),
  ...(limited ? { limited: true } : {}),
  ...(path === undefined || path === '/' ? {} : { path }),
  fspaths,
  enabled: true,
  created: new Date().toISOString(),
});

export function createAccounts(documents: Documents): Accounts {
  // Ids come from requests and become file names: the form is checked before anything else.
  const account = (uuid: string): Promise<Account | undefined> =>
    isUuid(uuid) ? documents.get('accounts', uuid) : Promise.resolve(undefined);
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
    const others = (await accounts()).filter((each) => same(each.displayName, name) && each.uuid !== uuid);
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
      if (await documents.create<Claim>('names', claimOf(name), mine)) return;
      const found = await documents.get<Claim>('names', claimOf(name));
      if (found === undefined) continue;
      const holder = found.account === uuid ? undefined : await account(found.account);
      if (holder && same(holder.displayName, name)) throw taken(name);
      const now = await documents.update<Claim>('names', claimOf(name), (current) =>
        current.account === found.account ? mine : current,
      );
      if (now?.account === uuid) return;
    }
  }

  const giveUp = (name: string, uuid: string) =>
    documents.update<Claim>('names', claimOf(name), (current) => (current.account === uuid ? undefined : current));

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
    const write = (values: Written) =>
      documents.update<Account>('accounts', uuid, (current) => {
        if (values.group !== undefined && values.group !== current.group) refusePolicies(current);
        return { ...current, ...values } as Account;
      });
    // What it is called from now on is nobody else's.
    const after = await write(renamed ? { ...change, named: true } : change);
    if (!renamed || !after) return after;
    try {
      await claim(displayName, uuid);
    } catch (error) {
      await write({ displayName: before.displayName, named: before.named });
      throw error;
    }
    if (!same(before.displayName, displayName)) await giveUp(before.displayName, uuid);
    return after;
  }

  /** They are the managers' of the old group: taken along they could not be managed, and dropped a Deny would be lost. */
  function refusePolicies({ displayName, policies = [], inline = [], memberOf = [] }: Account): void {
    if (policies.length + inline.length + memberOf.length === 0) return;
    const why = `${displayName} has policies, or is in policy groups, of its group: detach them before it changes the group`;
    throw new AccountError('DeleteConflict', why);
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
