/** Whose a multipart upload is while it is under way. */
import type { Identity } from '../../acl/identity.js';
import { S3Error } from '../errors.js';
import type { Upload } from '../storage/types.js';
import type { Context } from './types.js';

/** Canonical id of whoever begins an upload. All who are nobody are one. */
export const initiatorOf = ({ account }: Identity): string => account?.uuid ?? 'anonymous';

/**
 * The upload, for somebody who adds to it or completes it. The object will carry its owner's name: a right to write the
 * key is none to put bytes under another's name. Bucket owners and those with a role in the bucket work together.
 * @throws S3Error NoSuchUpload, AccessDenied
 */
export async function ownUpload({ storage, place, key, identity, byRole }: Context, id: string): Promise<Upload> {
  const upload = await storage.upload(place, key, id);
  const caller = initiatorOf(identity);
  if (byRole || caller === upload.initiator || caller === place.bucket.owner) return upload;
  throw new S3Error('AccessDenied', {
    cause: new Error(`the upload ${id} is of ${upload.initiator}, not of ${caller}`),
  });
}
