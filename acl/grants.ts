/** Access control lists of buckets and objects: an owner, and who else has which permission. */
import { invalidArgument, S3Error } from '../gateway/errors.js';
import type { Identity } from './identity.js';

export type Permission = 'READ' | 'WRITE' | 'READ_ACP' | 'WRITE_ACP' | 'FULL_CONTROL';
export type Group = 'AllUsers' | 'AuthenticatedUsers' | 'LogDelivery';
/** An account by its canonical id, or one of S3's predefined groups. */
export type Grantee = { id: string; group?: undefined } | { group: Group; id?: undefined };

export interface Grant {
  grantee: Grantee;
  permission: Permission;
}

export interface Acl {
  /** Canonical id. */
  owner: string;
  /** Groups first, in which order clients and test suites take them. */
  grants: readonly Grant[];
}

/** "You can have up to 100 grants in an ACL." */
export const MAX_GRANTS = 100;

export const groupUris: Readonly<Record<Group, string>> = {
  AllUsers: 'http://acs.amazonaws.com/groups/global/AllUsers',
  AuthenticatedUsers: 'http://acs.amazonaws.com/groups/global/AuthenticatedUsers',
  LogDelivery: 'http://acs.amazonaws.com/groups/s3/LogDelivery',
};
const groups = Object.keys(groupUris) as Group[];

/** The headers that grant, in the order in which their grants are kept. */
export const grantHeaders: readonly (readonly [header: string, permission: Permission])[] = [
  ['x-amz-grant-read', 'READ'],
  ['x-amz-grant-write', 'WRITE'],
  ['x-amz-grant-read-acp', 'READ_ACP'],
  ['x-amz-grant-write-acp', 'WRITE_ACP'],
  ['x-amz-grant-full-control', 'FULL_CONTROL'],
];
const permissions = grantHeaders.map(([, permission]) => permission);

/** What an ACL may name as an account; whether there is such an account is for the caller to find out (`granteeIds`). */
const idForm = /^[A-Za-z0-9._@-]{1,128}$/;

// ---- making ------------------------------------------------------------------------------------------------------

/** The ACL of what has none stored: everything for the owner. */
export const privateAcl = (owner: string): Acl => ({
  owner,
  grants: [{ grantee: { id: owner }, permission: 'FULL_CONTROL' }],
});

/** @throws S3Error MalformedACLError when there are too many grants */
export function makeAcl(owner: string, grants: readonly Grant[]): Acl {
  const distinct = new Map(grants.map((grant) => [`${nameOf(grant.grantee)} ${grant.permission}`, grant]));
  if (distinct.size > MAX_GRANTS) {
    throw new S3Error('MalformedACLError', { message: `An access control list can have up to ${MAX_GRANTS} grants` });
  }
  const list = [...distinct.values()];
  return { owner, grants: [...list.filter(isToGroup), ...list.filter((grant) => !isToGroup(grant))] };
}

const isToGroup = ({ grantee }: Grant): boolean => grantee.group !== undefined;
/** For sentences. */
export const nameOf = ({ id, group }: Grantee): string => group ?? id;

/**
 * One Grant element of an AccessControlPolicy document, as the texts of its elements.
 * @throws S3Error MalformedACLError, InvalidArgument, UnresolvableGrantByEmailAddress
 */
export function readGrant(element: {
  id?: string | undefined;
  uri?: string | undefined;
  email?: string | undefined;
  permission: string | undefined;
}): Grant {
  const permission = permissions.find((each) => each === element.permission);
  const named = (['id', 'uri', 'email'] as const).filter((kind) => element[kind] !== undefined);
  const kind = named[0];
  if (!permission || !kind || named.length > 1) throw new S3Error('MalformedACLError');
  return { grantee: granteeOf(kind, element[kind]!), permission };
}

function granteeOf(kind: 'id' | 'uri' | 'email', value: string): Grantee {
  if (kind === 'email') throw new S3Error('UnresolvableGrantByEmailAddress');
  if (kind === 'id') {
    if (!idForm.test(value)) throw invalidArgument('CanonicalUser/ID', value, 'Invalid id');
    return { id: value };
  }
  const group = groups.find((each) => groupUris[each] === value);
  if (!group) throw invalidArgument('Group/URI', value, 'Invalid group uri');
  return { group };
}

/**
 * The grants of one header: `id="…", uri="…"`; clients also leave the quotation marks out.
 * @throws S3Error InvalidArgument, UnresolvableGrantByEmailAddress
 */
export function parseGrantHeader(header: string, value: string, permission: Permission): Grant[] {
  const one = /\s*(id|uri|emailAddress)\s*=\s*(?:"([^"]*)"|([^",\s]+))\s*(,|$)/iy;
  const grants: Grant[] = [];
  for (;;) {
    const found = one.exec(value);
    if (!found) throw invalidArgument(header, value, 'Argument format not recognized');
    const [, type = '', quoted, bare = '', comma] = found;
    const kind = type.toLowerCase() === 'id' ? 'id' : type.toLowerCase() === 'uri' ? 'uri' : 'email';
    grants.push({ grantee: granteeOf(kind, quoted ?? bare), permission });
    if (comma === '') return grants;
  }
}

/** The accounts that an ACL names: each of them must exist, or the ACL is refused (InvalidArgument). */
export function granteeIds({ grants }: Acl): string[] {
  return [...new Set(grants.flatMap(({ grantee }) => (grantee.id === undefined ? [] : [grantee.id])))];
}

// ---- storing -----------------------------------------------------------------------------------------------------

const VERSION = 1;

/** A compact JSON value: `[1, owner, "i" + id or "g" + group, permission, …]`. */
export function packAcl({ owner, grants }: Acl): (number | string)[] {
  const flat = grants.flatMap(({ grantee, permission }) => [
    grantee.id === undefined ? `g${grantee.group}` : `i${grantee.id}`,
    permission,
  ]);
  return [VERSION, owner, ...flat];
}

/**
 * Undefined for whatever `packAcl` does not make: the value lies in attributes that users can write. An ACL that
 * cannot be read gives nothing to anybody but the owner.
 */
export function unpackAcl(value: unknown): Acl | undefined {
  if (!Array.isArray(value) || value[0] !== VERSION || value.length % 2 !== 0) return undefined;
  const owner: unknown = value[1];
  if (!isId(owner) || value.length > 2 + 2 * MAX_GRANTS) return undefined;
  const grants: Grant[] = [];
  for (let at = 2; at < value.length; at += 2) {
    const grantee = unpackGrantee(value[at]);
    const permission = permissions.find((each) => each === value[at + 1]);
    if (!grantee || !permission) return undefined;
    grants.push({ grantee, permission });
  }
  return { owner, grants };
}

const isId = (value: unknown): value is string => typeof value === 'string' && idForm.test(value);

function unpackGrantee(value: unknown): Grantee | undefined {
  if (typeof value !== 'string') return undefined;
  const rest = value.slice(1);
  if (value.startsWith('i')) return isId(rest) ? { id: rest } : undefined;
  const group = value.startsWith('g') ? groups.find((each) => each === rest) : undefined;
  return group && { group };
}

// ---- asking ------------------------------------------------------------------------------------------------------

/**
 * "Mapping of ACL permissions and access policy permissions", in S3's guide. An action that is in neither list is
 * nothing that an ACL could give.
 */
const bucketPermissions: ReadonlyMap<string, Permission> = new Map([
  ['s3:ListBucket', 'READ'],
  ['s3:ListBucketVersions', 'READ'],
  ['s3:ListBucketMultipartUploads', 'READ'],
  ['s3:PutObject', 'WRITE'],
  // "Allows grantee to create, overwrite, and delete objects": but versions only the owner can destroy.
  ['s3:DeleteObject', 'WRITE'],
  ['s3:GetBucketSync', 'READ'],
  ['s3:PutBucketSync', 'WRITE'],
  ['s3:GetBucketAcl', 'READ_ACP'],
  ['s3:PutBucketAcl', 'WRITE_ACP'],
]);
/** WRITE on an object is stored and shown, and gives nothing: "Not applicable" in S3's table. */
const objectPermissions: ReadonlyMap<string, Permission> = new Map([
  ['s3:GetObject', 'READ'],
  ['s3:GetObjectVersion', 'READ'],
  ['s3:GetObjectTorrent', 'READ'],
  ['s3:GetObjectVersionTorrent', 'READ'],
  ['s3:GetObjectAcl', 'READ_ACP'],
  ['s3:GetObjectVersionAcl', 'READ_ACP'],
  ['s3:PutObjectAcl', 'WRITE_ACP'],
  ['s3:PutObjectVersionAcl', 'WRITE_ACP'],
]);

/** Which ACL decides about an action, and which permission it must give; undefined when no ACL can give it. */
export function aclNeeded(action: string): { acl: 'bucket' | 'object'; permission: Permission } | undefined {
  const onBucket = bucketPermissions.get(action);
  if (onBucket) return { acl: 'bucket', permission: onBucket };
  const onObject = objectPermissions.get(action);
  return onObject && { acl: 'object', permission: onObject };
}

const isPublicGrant = ({ grantee }: Grant): boolean =>
  grantee.group === 'AllUsers' || grantee.group === 'AuthenticatedUsers';

/** "S3 considers an ACL public if it grants any permissions to … AllUsers or AuthenticatedUsers." */
export const isPublicAcl = ({ grants }: Acl): boolean => grants.some(isPublicGrant);

/** The grant that gives the caller a permission. @param ignorePublic grants to everybody do not count */
export function grantFor(
  acl: Acl,
  identity: Identity,
  permission: Permission,
  ignorePublic: boolean,
): Grant | undefined {
  return acl.grants.find(
    (grant) =>
      (grant.permission === permission || grant.permission === 'FULL_CONTROL') &&
      !(ignorePublic && isPublicGrant(grant)) &&
      isIn(grant.grantee, identity),
  );
}

function isIn({ id, group }: Grantee, { account }: Identity): boolean {
  if (group === undefined) return account?.uuid === id;
  // LogDelivery has no member that sends requests: the log is written by the gateway itself.
  return group === 'AllUsers' || (group === 'AuthenticatedUsers' && account !== undefined);
}

/** Gives something to somebody besides the owner. */
export const grantsOthers = ({ owner, grants }: Acl): boolean => grants.some(({ grantee }) => grantee.id !== owner);
