/** Whether ACLs count in a bucket, and whose the objects are that others write into it. */
import { type Acl, grantsOthers } from '../../../acl/grants.js';
import type { Ownership } from '../../../acl/ownership.js';
import { S3Error } from '../../errors.js';
import { accessOf, kinds } from '../access.js';
import { readDocument } from '../payload.js';
import type { Handler } from '../types.js';
import { readOwnershipControls } from '../xml/access-shapes.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketOwnershipControls.html */
export const getOwnershipControls: Handler = async ({ place, bucketName }) => {
  const ownership = place.bucket.config[kinds.ownership];
  if (ownership === undefined) {
    throw new S3Error('OwnershipControlsNotFoundError', { fields: { BucketName: bucketName } });
  }
  return { body: { xml: { OwnershipControls: { Rule: { ObjectOwnership: ownership } } } } };
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketOwnershipControls.html */
export const putOwnershipControls: Handler = async (context) => {
  const { storage, place } = context;
  const ownership = readOwnershipControls(await readDocument(context, 64 * 1024));
  requireFitting(ownership, accessOf(place.bucket).bucketAcl);
  await storage.putConfig(place.bucket, kinds.ownership, ownership);
  return {};
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketOwnershipControls.html */
export const deleteOwnershipControls: Handler = async ({ storage, place }) => {
  if (place.bucket.config[kinds.ownership] !== undefined) {
    await storage.putConfig(place.bucket, kinds.ownership, undefined);
  }
  return { status: 204 };
};

/** Grants that are about to mean nothing must go first. @throws S3Error InvalidBucketAclWithObjectOwnership */
export function requireFitting(ownership: Ownership | undefined, acl: Acl | undefined): void {
  if (ownership === 'BucketOwnerEnforced' && acl && grantsOthers(acl)) {
    throw new S3Error('InvalidBucketAclWithObjectOwnership');
  }
}
