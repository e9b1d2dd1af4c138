import path from 'node:path';
import { requestedAcl } from '../../../acl/canned.js';
import type { Account } from '../../../acl/identity.js';
import { isOwnership } from '../../../acl/ownership.js';
import { invalidArgument, notImplemented, S3Error } from '../../errors.js';
import { accessOf, kinds, writeAcl } from '../access.js';
import { decodeHeader } from '../header-text.js';
import { makeBucket } from '../new-bucket.js';
import { requireGrantees } from '../new-object.js';
import { readDocument } from '../payload.js';
import type { Context, Reply } from '../types.js';
import { readCreateBucketConfiguration } from '../xml/shapes.js';
import { requireFitting } from './ownership-controls.js';

/**
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html — every region is accepted. One's own bucket
 * again is 200, as in us-east-1. `x-ddn-specified-directory` makes a bucket of an existing directory.
 */
export async function createBucket(context: Context): Promise<Reply> {
  const { storage, identity, headers, bucketName: name } = context;
  const { account } = identity;
  if (!account) throw new S3Error('AccessDenied');
  checkHeaders(context);
  const access = await requestedAccess(context, account.uuid);
  const { tags } = readCreateBucketConfiguration(await readDocument(context));
  const named = headers.get('x-ddn-specified-directory');
  const given = named === undefined ? undefined : decodeHeader(named);
  const directory = given === undefined ? undefined : allowedDirectory(given, account);

  const config = { ...access, ...(tags && Object.keys(tags).length > 0 && { tagging: JSON.stringify(tags) }) };
  const { bucket, made } = await makeBucket(storage, account, { name, directory, config }, context.maxBuckets);
  // One's own bucket again is fine, but it must not seem to have an ACL or an ownership that it does not have.
  const { bucketAcl, ownership } = accessOf(bucket);
  const differs = writeAcl(bucketAcl) !== access[kinds.acl] || ownership !== (access[kinds.ownership] ?? ownership);
  if (!made && differs) {
    const message = 'You own this bucket already, and its ACL or ownership is another: it is not changed by this';
    throw new S3Error('BucketAlreadyExists', { message, fields: { BucketName: name } });
  }
  return { headers: { location: `/${name}` } };
}

function checkHeaders({ headers }: Context): void {
  if (headers.get('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true') {
    throw notImplemented('x-amz-bucket-object-lock-enabled');
  }
}

/** What `x-amz-acl`, the grant headers and `x-amz-object-ownership` ask for, as it is stored. */
async function requestedAccess(context: Context, owner: string): Promise<Record<string, string>> {
  const { headers } = context;
  const ownership = headers.get('x-amz-object-ownership');
  if (ownership !== undefined && !isOwnership(ownership)) throw invalidArgument('x-amz-object-ownership', ownership);
  const acl = requestedAcl((name) => headers.get(name), { kind: 'bucket', owner, bucketOwner: owner });
  await requireGrantees(context, acl);
  requireFitting(ownership, acl);
  const text = writeAcl(acl);
  return { ...(text !== undefined && { [kinds.acl]: text }), ...(ownership && { [kinds.ownership]: ownership }) };
}

/** The directory itself may be an `fspath`, or lie below one: compared by whole segments, so `/b2x` is not in `/b2`. */
function allowedDirectory(given: string, account: Account): string {
  const header = 'x-ddn-specified-directory';
  // PATH_MAX; what is compared below takes its time for a header full of slashes.
  if (given.length > 4096) throw invalidArgument(header, given.slice(0, 100), 'The directory has too long a path');
  const wanted = given.replace(/\/+$/, '') || '/';
  if (!wanted.startsWith('/') || wanted.includes('\0') || path.posix.normalize(wanted) !== wanted) {
    throw invalidArgument(header, given, 'The directory must be an absolute path without "." and ".." segments');
  }
  if (wanted.split('/').includes('.tidegate')) {
    throw invalidArgument(header, given, 'The name .tidegate is reserved');
  }
  const under = account.fspaths.some((each) => {
    const allowed = path.posix.normalize(each).replace(/\/+$/, '');
    return allowed.startsWith('/') && (wanted === allowed || wanted.startsWith(`${allowed}/`));
  });
  if (!under) {
    throw new S3Error('AccessDenied', { message: 'The directory is not under a path that this account may publish' });
  }
  return wanted;
}
