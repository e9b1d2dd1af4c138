/** ACLs of buckets and objects. */
import { type Place as AclPlace, requestedAcl } from '../../../acl/canned.js';
import { type Acl, privateAcl } from '../../../acl/grants.js';
import { refusePublicAcl, requireAcls } from '../../../acl/ownership.js';
import { S3Error } from '../../errors.js';
import { accessOf, kinds, objectOwner, readAcl, writeAcl } from '../access.js';
import { requireGrantees } from '../new-object.js';
import { requireCurrentVersion } from '../object-headers.js';
import { readDocument } from '../payload.js';
import type { Context, Handler, Reply } from '../types.js';
import { accessControlPolicy, readAccessControlPolicy } from '../xml/access-shapes.js';

const told = async (acl: Acl, { displayName }: Context): Promise<Reply> => ({
  body: { xml: await accessControlPolicy(acl, displayName) },
});

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html */
export const getBucketAcl: Handler = async (context) => {
  const { bucket } = context.place;
  return told(accessOf(bucket).bucketAcl ?? privateAcl(bucket.owner), context);
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html */
export const putBucketAcl: Handler = async (context) => {
  const { storage, place } = context;
  const { bucket } = place;
  const acl = await requestedByPut(context, { kind: 'bucket', owner: bucket.owner, bucketOwner: bucket.owner });
  await storage.putConfig(bucket, kinds.acl, writeAcl(acl));
  return {};
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html */
export const getObjectAcl: Handler = async (context) => {
  const { storage, place, key, query } = context;
  requireCurrentVersion(query, key);
  const { bucket } = place;
  const info = await storage.head(place, key);
  const owner = objectOwner(bucket, info);
  // "…ACLs are disabled and no longer affect permissions": the owner of the bucket has everything.
  const enforced = accessOf(bucket).ownership === 'BucketOwnerEnforced';
  return told(enforced ? privateAcl(owner) : readAcl(info.meta.acl, owner), context);
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html */
export const putObjectAcl: Handler = async (context) => {
  const { storage, place, key, query } = context;
  requireCurrentVersion(query, key);
  const info = await storage.head(place, key);
  const owner = objectOwner(place.bucket, info);
  const acl = await requestedByPut(context, { kind: 'object', owner, bucketOwner: place.bucket.owner });
  await storage.updateMeta(place, key, { acl: writeAcl(acl) ?? null });
  return {};
};

/**
 * What the headers or the document ask for.
 * @throws S3Error AccessControlListNotSupported, AccessDenied (public access block), UnexpectedContent for both at once,
 *   MissingSecurityHeader for neither, and what their parts throw
 */
async function requestedByPut(context: Context, place: AclPlace): Promise<Acl> {
  requireAcls(accessOf(context.place.bucket).ownership);
  const byHeaders = requestedAcl((name) => context.headers.get(name), place);
  const document = await readDocument(context);
  if (byHeaders && document.byteLength > 0) throw new S3Error('UnexpectedContent');
  if (!byHeaders && document.byteLength === 0) {
    throw new S3Error('MissingSecurityHeader', { fields: { MissingHeaderName: 'x-amz-acl' } });
  }
  const acl = byHeaders ?? readAccessControlPolicy(document, place.owner);
  // As it is now: the document may have taken its time.
  const { ownership, publicAccessBlock } = accessOf(context.place.bucket);
  requireAcls(ownership);
  refusePublicAcl(publicAccessBlock, acl);
  await requireGrantees(context, acl);
  return acl;
}
