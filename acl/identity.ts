/** Who somebody is: accounts, their groups and their access keys, as they lie in the service area. */
import type { Actor } from '../gateway/storage/types.js';

export interface Account {
  /** The canonical id: S3 shows it as owner, and ACLs name it. */
  uuid: string;
  displayName: string;
  /** Usage is charged to it, and policies may name it. IAM's namespace: its managers manage the accounts in it. */
  group: string;
  kind: 'user' | 'manager';
  actor: Actor;
  /** The login of the system that `actor` was taken from; absent where it was given as numbers. */
  user?: string;
  /** Nobody else has its name, and it outlives its keys. Accounts that `s3dskey create` makes come and go with theirs. */
  named?: true;
  /** What policies allow is all that it may do, from the first: accounts that a manager made through IAM. */
  limited?: true;
  /** IAM's path, `/` when absent. */
  path?: string;
  /** ARNs of the managed policies that are attached to it. */
  policies?: string[];
  /** Policies that belong to it alone. */
  inline?: InlinePolicy[];
  /** Ids of the policy groups (`iam/groups.ts`) that it is in. */
  memberOf?: string[];
  /** Directories that the account may publish as buckets. */
  fspaths: string[];
  enabled: boolean;
  /** ISO 8601. */
  created: string;
}

export interface InlinePolicy {
  name: string;
  /** As it was given. */
  document: string;
}

/** Accounts may name a group that has no document: then it is just a name. */
export interface AccountGroup {
  name: string;
  /** ISO 8601. */
  created: string;
}

export interface AccessKey {
  accessKey: string;
  account: string;
  enabled: boolean;
  /** The secret, sealed with the master key (AES-256-GCM; `credentials.ts`). */
  sealedSecret: string;
  /** `serial:user:group`, as S3DS shows it. */
  tag: string;
  created: string;
}

/** The caller of a request: an account through one of its keys, or nobody in particular. */
export type Identity = { account: Account; accessKey: string } | { account: undefined; accessKey: undefined };

export const anonymous: Identity = { account: undefined, accessKey: undefined };
