/** The documents of a bucket that say who may do what, read from its configuration and kept compiled. */
import type { Documents } from '../../acl/authorize.js';
import { type Acl, packAcl, privateAcl, unpackAcl } from '../../acl/grants.js';
import { defaultOwnership, isOwnership, type Ownership, type PublicAccessBlock } from '../../acl/ownership.js';
import { compilePolicy, parsePolicy } from '../../acl/policy/parse.js';
import type { Policy } from '../../acl/policy/types.js';
import { rolesPolicy, unpackRoles } from '../../acl/roles.js';
import type { Bucket, ObjectInfo } from '../storage/types.js';

/** Kinds of `Bucket.config`. */
export const kinds = {
  acl: 'acl',
  policy: 'policy',
  ownership: 'ownership',
  publicAccessBlock: 'publicAccessBlock',
  roles: 'roles',
} as const;

export type BucketAccess = Pick<Documents, 'bucketPolicy' | 'bucketAcl' | 'publicAccessBlock' | 'roles'> & {
  ownership: Ownership;
};

/** Of a bucket that has none of them: most buckets. */
const plain: BucketAccess = { ownership: defaultOwnership };

/** By the configuration that it was read from, which is replaced as a whole when something of it changes. */
const read = new WeakMap<Bucket['config'], { name: string; owner: string; access: BucketAccess }>();

export function accessOf(bucket: Bucket): BucketAccess {
  const { name, owner, config } = bucket;
  const { acl, policy, ownership, publicAccessBlock, roles } = config;
  if (!acl && !policy && !ownership && !publicAccessBlock && !roles) return plain;
  const known = read.get(config);
  if (known?.name === name && known.owner === owner) return known.access;
  const access = readAccess(bucket);
  if (Object.isFrozen(config)) read.set(config, { name, owner, access });
  return access;
}

function readAccess(bucket: Bucket): BucketAccess {
  const { name, config } = bucket;
  const { acl, policy, ownership, publicAccessBlock, roles } = config;
  return {
    bucketAcl: acl === undefined ? undefined : readAcl(acl, bucket.owner),
    bucketPolicy: policy === undefined ? undefined : policyOf(policy, name),
    ownership: isOwnership(ownership) ? ownership : defaultOwnership,
    publicAccessBlock: publicAccessBlock === undefined ? undefined : readPublicAccessBlock(publicAccessBlock),
    roles: roles === undefined ? undefined : rolesOf(roles, name),
  };
}

// ---- ACLs --------------------------------------------------------------------------------------------------------

/** What to store; undefined for the ACL that everything has which has none stored. */
export function writeAcl(acl: Acl | undefined): string | undefined {
  if (!acl) return undefined;
  const text = JSON.stringify(packAcl(acl));
  return text === JSON.stringify(packAcl(privateAcl(acl.owner))) ? undefined : text;
}

/** 100 grants with the longest ids. */
const MAX_ACL = 32 * 1024;

/** A stored ACL; the private one for what is none. The owner is not told by it: it lies where users can write. */
export function readAcl(text: string | undefined, owner: string): Acl {
  if (text === undefined || text.length > MAX_ACL) return privateAcl(owner);
  const grants = remembered(acls, text, () => unpackAcl(parsed(text))?.grants);
  return grants ? { owner, grants } : privateAcl(owner);
}

/** Canonical id of an object's owner. Files of jobs, and everything where ACLs are off, are the bucket owner's. */
export function objectOwner(bucket: Bucket, { meta }: Pick<ObjectInfo, 'meta'>): string {
  return accessOf(bucket).ownership === 'BucketOwnerEnforced' ? bucket.owner : (meta.owner ?? bucket.owner);
}

// ---- the rest ----------------------------------------------------------------------------------------------------

const flags = ['blockPublicAcls', 'ignorePublicAcls', 'blockPublicPolicy', 'restrictPublicBuckets'] as const;

/** What cannot be read blocks everything: it was there to keep the bucket closed. */
export function readPublicAccessBlock(text: string): PublicAccessBlock {
  const value = parsed(text) as Partial<PublicAccessBlock> | undefined;
  const entries = flags.map((flag) => [flag, value?.[flag] !== false] as const);
  return Object.fromEntries(entries) as unknown as PublicAccessBlock;
}

function policyOf(text: string, bucket: string): Policy {
  return remembered(policies, `${bucket} ${text}`, () => {
    try {
      return parsePolicy(text, { bucket });
    } catch {
      return unreadable(bucket);
    }
  });
}

/**
 * In place of a policy that was stored and is refused now (by an older gateway of the same root, say): it may have
 * denied something, so everything is denied, but for the calls with which the owner replaces it.
 */
function unreadable(bucket: string): Policy {
  const Resource = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
  const deny = { Sid: 'TheStoredPolicyCannotBeRead', Effect: 'Deny', Principal: '*', Action: 's3:*', Resource };
  return compilePolicy({ Version: '2012-10-17', Statement: [deny] }, { bucket });
}

function rolesOf(text: string, bucket: string): Policy | undefined {
  return remembered(rolePolicies, `${bucket} ${text}`, () => {
    const roles = unpackRoles(parsed(text));
    return roles && rolesPolicy(roles, bucket);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** By the text that they were made of: a changed document is another entry, so nothing here can be out of date. */
const policies = new Map<string, Policy>();
const rolePolicies = new Map<string, Policy | undefined>();
const acls = new Map<string, Acl['grants'] | undefined>();
const MAX_REMEMBERED = 1000;

function remembered<T>(cache: Map<string, T>, text: string, make: () => T): T {
  if (cache.has(text)) return cache.get(text) as T;
  const made = make();
  if (cache.size >= MAX_REMEMBERED) cache.clear();
  cache.set(text, made);
  return made;
}
