/** Who sent a request: the account of its signature, and the policies that count for it. */
import { type Account, anonymous, type Identity } from '../../acl/identity.js';
import type { Policy } from '../../acl/policy/types.js';
import { authenticate } from '../auth/authenticate.js';
import { verifyPostPolicy } from '../auth/post-policy.js';
import type { Authenticated, SecretLookup } from '../auth/types.js';
import { S3Error } from '../errors.js';
import type { Body } from '../storage/types.js';
import { checkedBody } from './body.js';
import type { PipelineOptions } from './options.js';
import { limitLength, readPostForm } from './post-form.js';
import { type Request, wireBody } from './request.js';

/** Who calls, and the payload that the signature speaks of. */
export interface Caller {
  identity: Identity;
  /** Of its account. */
  policies: readonly Policy[];
  /** Accounts of owners of buckets that were looked at, by id. */
  owners: Map<string, Account>;
  /** Whether the key is still what the signature was made with. */
  stands: () => Promise<boolean>;
  authenticated?: Authenticated;
  form?: { fields: ReadonlyMap<string, string>; fileName: string | undefined; file: Body; signed: boolean };
}

export const nobodyInParticular = (): Caller => ({
  identity: anonymous,
  policies: [],
  owners: new Map(),
  stands: async () => true,
});

/** @throws S3Error for a signature that is not good */
export async function identify(request: Request): Promise<Caller> {
  const { options, wire, target, operation, now } = request;
  const finder = accountFinder(options);
  const { lookup } = finder;
  const isBucket = async (name: string) => (await options.storage.bucket(name)) !== undefined;
  const input = { request: wire, target, headers: wire.headers, now, lookup, isBucket };
  const authenticated = await authenticate(input);
  if (operation.body !== 'form') {
    const caller = await callerOf(options, finder, authenticated?.accessKey);
    caller.authenticated = authenticated;
    return caller;
  }

  // The signature of a form is in the form: it has to be read up to its file before anybody is known.
  const body = checkedBody(wireBody(request, authenticated?.payload).body, authenticated?.payload);
  const form = await readPostForm(wire.headers.get('content-type'), body);
  const bucket = target.bucket ?? '';
  const policy = authenticated ? undefined : await verifyPostPolicy(form.fields, { bucket, now, lookup });
  const file = policy?.range ? limitLength(form.file, policy.range.min, policy.range.max) : form.file;
  return {
    ...(await callerOf(options, finder, authenticated?.accessKey ?? policy?.accessKey)),
    authenticated,
    form: { fields: form.fields, fileName: form.fileName, file, signed: policy?.accessKey !== undefined },
  };
}

export interface AccountFinder {
  lookup: SecretLookup;
  /** Once the signature is found good. */
  identity(accessKey: string | undefined): Identity;
  /** Whether the key is there, enabled, and has the secret that the signature was verified with. */
  stands(accessKey: string): Promise<boolean>;
}

/** The secret for the signature, and whose it was once the signature is found good. */
export function accountFinder({ identities }: PipelineOptions): AccountFinder {
  let found: { account: Account; secret: string } | undefined;
  return {
    lookup: (accessKey) => identities.byAccessKey(accessKey).then((now) => (found = now)?.secret),
    identity: (accessKey) => (accessKey !== undefined && found ? { account: found.account, accessKey } : anonymous),
    async stands(accessKey) {
      const now = await identities.byAccessKey(accessKey);
      return now !== undefined && now.secret === found?.secret && now.account.uuid === found.account.uuid;
    },
  };
}

/** @param accessKey of the signature that was found good */
export async function callerOf(
  { identities }: PipelineOptions,
  finder: AccountFinder,
  accessKey: string | undefined,
): Promise<Caller> {
  const identity = finder.identity(accessKey);
  const policies = identity.account ? await identities.policiesOf(identity.account) : [];
  const stands = async () => identity.accessKey === undefined || finder.stands(identity.accessKey);
  return { identity, policies, owners: new Map(), stands };
}

/**
 * The policies of the caller as they are now.
 * @throws S3Error AccessDenied where the account is gone or disabled meanwhile, or the key is, or has another secret
 */
export async function renew({ identities }: PipelineOptions, caller: Caller): Promise<void> {
  const { account, accessKey } = caller.identity;
  if (!account) return;
  const now = await identities.byId(account.uuid);
  if (!now?.enabled) throw new S3Error('AccessDenied', { cause: new Error(`${account.uuid} is disabled or gone`) });
  if (!(await caller.stands())) {
    throw new S3Error('AccessDenied', { cause: new Error(`the key ${accessKey} is disabled, replaced or gone`) });
  }
  caller.policies = await identities.policiesOf(now);
}
