/**
 * Accounts and their access keys, kept as documents of the service area (kinds `accounts` and `keys`).
 *
 * Nothing is remembered here but opened secrets: every look-up asks the documents, so that what a command or another
 * gateway changes is in force on the next request.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { Documents } from '../gateway/storage/types.js';
import { AccountError, type Accounts, createAccounts, draftAccount, type NewAccount } from './accounts.js';
import { createIam, type Iam } from './iam/iam.js';
import type { AccessKey, Account } from './identity.js';
import type { Policy } from './policy/types.js';

export type { NewAccount } from './accounts.js';

/** What the registry needs of `gateway/auth/credentials.ts`. */
export interface SecretSealer {
  seal(accessKey: string, secret: string): string;
  open(accessKey: string, sealed: string): string;
}

/** A key and whose it is. */
export interface KeyEntry {
  key: AccessKey;
  account: Account;
}

/** The only moments at which a secret leaves the registry for a person: when it was made or replaced. */
export interface KeyWithSecret extends KeyEntry {
  secret: string;
}

/** What the request pipeline asks. */
export interface Identities {
  /** Undefined when the key or its account is unknown or disabled. */
  byAccessKey(accessKey: string): Promise<{ account: Account; secret: string } | undefined>;
  /** The account of a canonical id, enabled or not. */
  byId(uuid: string): Promise<Account | undefined>;
  /** The policies of the account and of the groups that it is in, as they are now. */
  policiesOf(account: Account): Promise<readonly Policy[]>;
}

export interface Registry extends Accounts {
  readonly identities: Identities;
  readonly iam: Iam;
  /**
   * @param maxKeys keys that the account may have with this one; no limit when not given
   * @throws AccountError LimitExceeded
   */
  createKey(account: Account, maxKeys?: number): Promise<KeyWithSecret>;
  /** Enabled or not. */
  find(accessKey: string): Promise<KeyEntry | undefined>;
  /** All keys, oldest first. A key whose account is gone is left out: it opens nothing. */
  list(): Promise<KeyEntry[]>;
  /** The opened secret of a key, for showing it. */
  reveal(key: AccessKey): string;
  /** Undefined, here and below: there is no such key. */
  setEnabled(accessKey: string, enabled: boolean): Promise<KeyEntry | undefined>;
  /** A new secret; the old one is dead at once. */
  reset(accessKey: string): Promise<KeyWithSecret | undefined>;
  /** A new key of the same account instead of this one, which is dead at once. */
  rotate(accessKey: string): Promise<KeyWithSecret | undefined>;
  /** Revokes the key. Its account stays until `removeAccount`. */
  remove(accessKey: string): Promise<KeyEntry | undefined>;
  /**
   * Makes the account and key of a first start, once among all gateways; undefined when there is an account already.
   * @param account asked for only then
   */
  ensureFirst(account: () => NewAccount | Promise<NewAccount>): Promise<KeyWithSecret | undefined>;
}

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const accessKeyForm = /^[A-Za-z0-9]{16,128}$/;

/** `AKIA` and 16 characters of base32, as AWS's long-term keys look: clients check the form. */
const newAccessKey = () => `AKIA${Array.from({ length: 16 }, () => base32[randomInt(32)]).join('')}`;
/** 40 characters of base64 (240 random bits), as AWS's. */
const newSecret = () => randomBytes(30).toString('base64');

/** The plan of a first start, kept while it is carried out, so that a crash in between loses nothing. */
interface FirstStart {
  account: Account;
  key: AccessKey;
}

export interface RegistryOptions {
  documents: Documents;
  sealer: SecretSealer;
  /** Milliseconds to wait for another gateway that is at the first start, before doing it in its place. */
  patience?: number;
}

export function createRegistry({ documents, sealer, patience = 3000 }: RegistryOptions): Registry {
  const people = createAccounts(documents);
  const { account: getAccount } = people;
  const iam = createIam(documents, people);
  /** Sealed text → secret: opening costs more than a stat, and a sealed text never means another secret. */
  const opened = new Map<string, string>();

  /** Whose a key was when it was last used. */
  const owners = new Map<string, string>();

  function open(key: AccessKey): string {
    const known = opened.get(key.sealedSecret);
    if (known !== undefined) return known;
    const secret = sealer.open(key.accessKey, key.sealedSecret);
    if (opened.size >= 10_000) opened.clear();
    opened.set(key.sealedSecret, secret);
    return secret;
  }

  // Access keys and ids come from requests and become file names: the form is checked before anything else.
  const getKey = (accessKey: string): Promise<AccessKey | undefined> =>
    accessKeyForm.test(accessKey) ? documents.get('keys', accessKey) : Promise.resolve(undefined);

  const usable = (key: AccessKey, account: Account | undefined) =>
    account?.enabled && key.enabled ? { account, secret: open(key) } : undefined;

  async function entry(key: AccessKey | undefined): Promise<KeyEntry | undefined> {
    const account = key === undefined ? undefined : await getAccount(key.account);
    return key === undefined || account === undefined ? undefined : { key, account };
  }

  async function changeKey(accessKey: string, change: (key: AccessKey) => AccessKey | undefined) {
    if (!accessKeyForm.test(accessKey)) return undefined;
    return documents.update<AccessKey>('keys', accessKey, change);
  }

  async function nextSerial(): Promise<number> {
    await documents.create('service', 'serial', { last: 0 });
    const counter = await documents.update<{ last: number }>('service', 'serial', ({ last }) => ({ last: last + 1 }));
    if (counter === undefined) throw new Error('the serial counter of the service area vanished');
    return counter.last;
  }

  async function draftKey(account: Account): Promise<{ key: AccessKey; secret: string }> {
    const serial = String(await nextSerial()).padStart(4, '0');
    const accessKey = newAccessKey();
    const secret = newSecret();
    const key: AccessKey = {
      accessKey,
      account: account.uuid,
      enabled: true,
      sealedSecret: sealer.seal(accessKey, secret),
      tag: `${serial}:${account.displayName}:${account.group}`,
      created: new Date().toISOString(),
    };
    return { key, secret };
  }

  async function isFresh(): Promise<boolean> {
    return (await documents.list('accounts')).length === 0 && (await documents.list('keys')).length === 0;
  }

  async function ensureFirst(wanted: () => NewAccount | Promise<NewAccount>): Promise<KeyWithSecret | undefined> {
    const pending = await documents.get<FirstStart>('service', 'first-start');
    if (pending !== undefined) return finishAnothers();
    if (!(await isFresh())) return undefined;
    const account = draftAccount(await wanted());
    const { key, secret } = await draftKey(account);
    if (!(await documents.create<FirstStart>('service', 'first-start', { account, key }))) return finishAnothers();
    // Another gateway may have begun and finished between our look and our claim.
    if (await isFresh()) {
      await carryOut({ account, key });
      return { account, key, secret };
    }
    await forgetPlan(key.accessKey);
    return undefined;
  }

  async function carryOut(plan: FirstStart): Promise<void> {
    await documents.create('accounts', plan.account.uuid, plan.account);
    await documents.create('keys', plan.key.accessKey, plan.key);
    await forgetPlan(plan.key.accessKey);
  }

  const forgetPlan = (accessKey: string) =>
    documents.update<FirstStart>('service', 'first-start', (plan) =>
      plan.key.accessKey === accessKey ? undefined : plan,
    );

  /** Waits for the gateway that is at it; if that one died, does it in its place. */
  async function finishAnothers(): Promise<KeyWithSecret | undefined> {
    for (const until = Date.now() + patience; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
      const plan = await documents.get<FirstStart>('service', 'first-start');
      if (plan === undefined) return undefined;
      if (Date.now() < until) continue;
      await carryOut(plan);
      return { ...plan, secret: open(plan.key) };
    }
  }

  const keysOf = async ({ uuid }: Account) =>
    (await documents.list<AccessKey>('keys')).filter(({ value }) => value.account === uuid).length;

  async function createKey(account: Account, maxKeys = Number.POSITIVE_INFINITY): Promise<KeyWithSecret> {
    const refuseAbove = async (most: number) => {
      const count = await keysOf(account);
      if (count <= most) return;
      const message = `${account.displayName} (${account.uuid}) has ${Math.min(count, maxKeys)} keys, and maxKeys allows ${maxKeys}`;
      throw new AccountError('LimitExceeded', message);
    };
    await refuseAbove(maxKeys - 1);
    const { key, secret } = await draftKey(account);
    if (!(await documents.create('keys', key.accessKey, key))) throw new Error('a random access key came twice');
    // Others may have made keys since we counted: rather none of us than one too many.
    await refuseAbove(maxKeys).catch(async (error: unknown) => {
      await revoke(key.accessKey);
      throw error;
    });
    return { key, account, secret };
  }

  async function revoke(accessKey: string): Promise<AccessKey | undefined> {
    let removed: AccessKey | undefined;
    await changeKey(accessKey, (key) => {
      removed = key;
      return undefined;
    });
    return removed;
  }

  return {
    ...people,
    iam,
    createKey,
    identities: {
      async byAccessKey(accessKey) {
        // Both in one message: a key hardly ever changes its account.
        const guess = owners.get(accessKey);
        const guessed = guess === undefined ? undefined : getAccount(guess);
        // Should it be for nothing.
        guessed?.catch(() => {});
        const key = await getKey(accessKey);
        if (!key) return undefined;
        if (key.account === guess) return usable(key, await guessed);
        if (owners.size >= 10_000) owners.clear();
        owners.set(accessKey, key.account);
        return usable(key, await getAccount(key.account));
      },
      byId: getAccount,
      policiesOf: iam.policiesOf,
    },

    find: async (accessKey) => entry(await getKey(accessKey)),

    async list() {
      const accounts = new Map((await documents.list<Account>('accounts')).map(({ id, value }) => [id, value]));
      return (await documents.list<AccessKey>('keys'))
        .flatMap(({ value: key }) => {
          const account = accounts.get(key.account);
          return account === undefined ? [] : [{ key, account }];
        })
        .sort((a, b) => serialOf(a.key) - serialOf(b.key));
    },

    reveal: open,

    setEnabled: async (accessKey, enabled) => entry(await changeKey(accessKey, (key) => ({ ...key, enabled }))),

    async reset(accessKey) {
      const secret = newSecret();
      const sealedSecret = sealer.seal(accessKey, secret);
      const found = await entry(await changeKey(accessKey, (key) => ({ ...key, sealedSecret })));
      return found === undefined ? undefined : { ...found, secret };
    },

    async rotate(accessKey) {
      const old = await entry(await getKey(accessKey));
      if (old === undefined) return undefined;
      const { key, secret } = await draftKey(old.account);
      // The new one first: to die in between leaves one key too many, and nobody locked out.
      const next = { ...key, enabled: old.key.enabled };
      if (!(await documents.create('keys', next.accessKey, next))) throw new Error('a random access key came twice');
      if ((await revoke(accessKey)) !== undefined) return { key: next, account: old.account, secret };
      // Somebody else revoked or rotated it meanwhile: that must not end with a key more.
      await revoke(next.accessKey);
      return undefined;
    },

    remove: async (accessKey) => entry(await revoke(accessKey)),
    ensureFirst,
  };
}

const serialOf = (key: AccessKey) => Number.parseInt(key.tag, 10);
