/**
 * Roles that the owner of a bucket gives to accounts: three words for statements of a policy, kept apart from the
 * bucket's own policy so that neither overwrites the other.
 */
import { compilePolicy } from './policy/parse.js';
import type { Policy } from './policy/types.js';

export type Role = 'maintainer' | 'reader' | 'writer';

export interface Roles {
  bindings: readonly { account: string; role: Role }[];
}

const readerActions = [
  'GetObject',
  'GetObjectVersion',
  'GetObjectAttributes',
  'GetObjectVersionAttributes',
  'GetObjectTagging',
  'GetObjectVersionTagging',
  'ListBucket',
  'ListBucketVersions',
  'GetBucketLocation',
  'GetBucketVersioning',
  'GetBucketSync',
];
/** Old versions stay: destroying history is more than editing. */
const writerActions = [
  ...readerActions,
  'PutObject',
  'DeleteObject',
  'PutObjectTagging',
  'DeleteObjectTagging',
  'RestoreObject',
  'AbortMultipartUpload',
  'ListMultipartUploadParts',
  'ListBucketMultipartUploads',
  'PutBucketSync',
];
const s3 = (names: readonly string[]): string[] => names.map((name) => `s3:${name}`);

/** "Maintainer: rights to read, write, manage permissions, and manage policy": all but removing the bucket itself. */
const meaning: Readonly<Record<Role, object>> = {
  maintainer: { NotAction: 's3:DeleteBucket' },
  reader: { Action: s3(readerActions) },
  writer: { Action: s3(writerActions) },
};
const roles = Object.keys(meaning) as Role[];

export const isRole = (value: unknown): value is Role => roles.includes(value as Role);

/** The statements that say what the roles mean, as they would stand in a bucket policy. */
export function roleStatements({ bindings }: Roles, bucket: string): object[] {
  return roles.flatMap((role) => {
    const accounts = bindings.filter((binding) => binding.role === role).map(({ account }) => account);
    const Resource = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
    if (accounts.length === 0) return [];
    return [{ Sid: role, Effect: 'Allow', Principal: { CanonicalUser: accounts }, ...meaning[role], Resource }];
  });
}

/** Compiled, for `authorize`; undefined when nobody has a role. */
export function rolesPolicy(document: Roles, bucket: string): Policy | undefined {
  const Statement = roleStatements(document, bucket);
  return Statement.length > 0 ? compilePolicy({ Version: '2008-10-17', Statement }, { bucket }) : undefined;
}

const VERSION = 1;

/** The form to store. */
export const packRoles = ({ bindings }: Roles): object => ({ version: VERSION, bindings });

/** Undefined for what is not a document of roles: then nobody has one. */
export function unpackRoles(value: unknown): Roles | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { version, bindings } = value as Record<string, unknown>;
  if (version !== VERSION || !Array.isArray(bindings)) return undefined;
  const read = bindings.map((binding: unknown) => {
    const { account, role } = (binding ?? {}) as Record<string, unknown>;
    return typeof account === 'string' && /^[A-Za-z0-9._@-]{1,128}$/.test(account) && isRole(role)
      ? { account, role }
      : undefined;
  });
  return read.includes(undefined) ? undefined : { bindings: read as Roles['bindings'] };
}
