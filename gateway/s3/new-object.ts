/** Whose an object will be that is written now, and who else may have it. */
import { requestedAcl } from '../../acl/canned.js';
import { type Acl, granteeIds } from '../../acl/grants.js';
import type { ObjectMeta } from '../../acl/metadata/types.js';
import { checkUploadAcl, newObjectOwner, refusePublicAcl } from '../../acl/ownership.js';
import { invalidArgument } from '../errors.js';
import type { Headers } from '../http/types.js';
import { accessOf, writeAcl } from './access.js';
import type { Context } from './types.js';

export interface NewObject {
  key: string;
  /** Of the request, or the fields of a form. */
  headers: Headers;
  tags: ObjectMeta['tags'];
}

/**
 * Owner and packed ACL for the metadata of a new object. An ACL and tags take permissions of their own: "you must have
 * s3:PutObjectAcl", "s3:PutObjectTagging" (API reference, PutObject).
 * @throws S3Error InvalidArgument, InvalidRequest, AccessControlListNotSupported, AccessDenied
 */
export async function newObjectAccess(
  context: Context,
  { key, headers, tags }: NewObject,
): Promise<{ owner: string; acl: string | undefined }> {
  const { identity, place, byRole } = context;
  const bucketOwner = place.bucket.owner;
  const { ownership, publicAccessBlock } = accessOf(place.bucket);
  const canned = headers.get('x-amz-acl');
  const owner = newObjectOwner({ ownership, writer: identity.account?.uuid, bucketOwner, canned, byRole });
  const acl = requestedAcl((name) => headers.get(name), { kind: 'object', owner, bucketOwner });
  checkUploadAcl({ ownership, canned, bucketOwner }, acl);
  refusePublicAcl(publicAccessBlock, acl);
  await requireGrantees(context, acl);
  const text = writeAcl(acl);
  if (text !== undefined) context.permitNew(place, key, 's3:PutObjectAcl', owner);
  if (tags) context.permitNew(place, key, 's3:PutObjectTagging', owner);
  return { owner, acl: text };
}

/** A grant to nobody would wait for whoever gets that id. @throws S3Error InvalidArgument */
export async function requireGrantees({ isAccount }: Pick<Context, 'isAccount'>, acl: Acl | undefined): Promise<void> {
  if (!acl) return;
  for (const id of granteeIds(acl)) {
    if (id !== acl.owner && !(await isAccount(id))) throw invalidArgument('CanonicalUser/ID', id, 'Invalid id');
  }
}
