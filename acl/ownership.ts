/** Who owns an object, whether ACLs count, and what keeps a bucket from being public. */
import { S3Error } from '../gateway/errors.js';
import { type Acl, isPublicAcl } from './grants.js';
import type { Policy } from './policy/types.js';

export type Ownership = 'BucketOwnerEnforced' | 'BucketOwnerPreferred' | 'ObjectWriter';

/** Of a bucket without ownership controls. S3's own default since 2023 turns ACLs off; here people share by them. */
export const defaultOwnership: Ownership = 'ObjectWriter';

export const isOwnership = (value: unknown): value is Ownership =>
  value === 'BucketOwnerEnforced' || value === 'BucketOwnerPreferred' || value === 'ObjectWriter';

/** A PublicAccessBlockConfiguration. */
export interface PublicAccessBlock {
  blockPublicAcls: boolean;
  ignorePublicAcls: boolean;
  blockPublicPolicy: boolean;
  restrictPublicBuckets: boolean;
}

/** What decides about the owner of a new object. */
export interface Upload {
  ownership: Ownership;
  /** Canonical id; undefined for an anonymous caller. */
  writer: string | undefined;
  bucketOwner: string;
  /** `x-amz-acl` of the request. */
  canned: string | undefined;
  /** The writer was let in by a role: he works for the bucket's owner, and what he writes is part of the common work. */
  byRole?: boolean;
}

/** Canonical id of the new object's owner. Nobody is no owner: what the anonymous write is the bucket owner's. */
export function newObjectOwner({ ownership, writer, bucketOwner, canned, byRole }: Upload): string {
  if (writer === undefined || byRole || ownership === 'BucketOwnerEnforced') return bucketOwner;
  return ownership === 'BucketOwnerPreferred' && canned === 'bucket-owner-full-control' ? bucketOwner : writer;
}

/**
 * With BucketOwnerEnforced, uploads may ask for no other ACL than the one that objects have anyway.
 * @param requested as of `requestedAcl`
 * @throws S3Error AccessControlListNotSupported
 */
export function checkUploadAcl(
  { ownership, canned, bucketOwner }: Pick<Upload, 'ownership' | 'canned' | 'bucketOwner'>,
  requested: Acl | undefined,
): void {
  if (ownership !== 'BucketOwnerEnforced' || !requested) return;
  const harmless =
    canned === undefined
      ? requested.grants.every(({ grantee, permission }) => grantee.id === bucketOwner && permission === 'FULL_CONTROL')
      : canned === 'bucket-owner-full-control';
  if (!harmless) throw new S3Error('AccessControlListNotSupported');
}

/** PutBucketAcl and PutObjectAcl. @throws S3Error AccessControlListNotSupported */
export function requireAcls(ownership: Ownership): void {
  if (ownership === 'BucketOwnerEnforced') throw new S3Error('AccessControlListNotSupported');
}

/** "PUT Bucket ACL and PUT Object ACL calls fail if the specified ACL is public"; uploads with such an ACL too. @throws S3Error AccessDenied */
export function refusePublicAcl(block: PublicAccessBlock | undefined, acl: Acl | undefined): void {
  if (block?.blockPublicAcls && acl && isPublicAcl(acl)) {
    throw new S3Error('AccessDenied', {
      cause: new Error('the public access block of the bucket refuses public ACLs'),
    });
  }
}

/** @throws S3Error AccessDenied */
export function refusePublicPolicy(block: PublicAccessBlock | undefined, policy: Policy): void {
  if (block?.blockPublicPolicy && policy.public) {
    throw new S3Error('AccessDenied', {
      cause: new Error('the public access block of the bucket refuses public policies'),
    });
  }
}

/** IsPublic of GetBucketPolicyStatus: somebody who is not named can do something here. */
export function isPublicBucket(documents: {
  policy?: Policy | undefined;
  acl?: Acl | undefined;
  ownership?: Ownership | undefined;
  block?: PublicAccessBlock | undefined;
}): boolean {
  const { policy, acl, ownership, block } = documents;
  if (policy?.public) return !block?.restrictPublicBuckets;
  const aclsCount = ownership !== 'BucketOwnerEnforced' && !block?.ignorePublicAcls;
  return aclsCount && acl !== undefined && isPublicAcl(acl);
}
