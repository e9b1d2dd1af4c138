/** Whose an object will be that is written now, and who else may have it. */
import { requestedAcl } from '../../acl/canned.js';
import { type Acl, granteeIds } from '../../acl/grants.js';
import { checkUploadAcl, newObjectOwner, refusePublicAcl } from '../../acl/ownership.js';
import { invalidArgument } from '../errors.js';
import type { Headers } from '../http/types.js';
import { accessOf, writeAcl } from './access.js';
import type { Context } from './types.js';

/**
 * Owner and packed ACL for the metadata of a new object.
 * @param headers of the request, or the fields of a form
 * @throws S3Error InvalidArgument, InvalidRequest, AccessControlListNotSupported, AccessDenied (public access block)
 */
export async function newObjectAccess(
  context: Context,
  headers: Headers = context.headers,
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
  return { owner, acl: writeAcl(acl) };
}

/** A grant to nobody would wait for whoever gets that id. @throws S3Error InvalidArgument */
export async function requireGrantees({ isAccount }: Pick<Context, 'isAccount'>, acl: Acl | undefined): Promise<void> {
  if (!acl) return;
  for (const id of granteeIds(acl)) {
    if (id !== acl.owner && !(await isAccount(id))) throw invalidArgument('CanonicalUser/ID', id, 'Invalid id');
  }
}
