import path from 'node:path';
import type { Account } from '../../../acl/identity.js';
import { invalidArgument, notImplemented, S3Error } from '../../errors.js';
import { checkAclHeaders } from '../acl-headers.js';
import { decodeHeader } from '../header-text.js';
import { makeBucket } from '../new-bucket.js';
import { readDocument } from '../payload.js';
import type { Context, Reply } from '../types.js';
import { readCreateBucketConfiguration } from '../xml/shapes.js';

/**
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html — every region is accepted. One's own bucket
 * again is 200, as in us-east-1. `x-ddn-specified-directory` makes a bucket of an existing directory.
 */
export async function createBucket(context: Context): Promise<Reply> {
  const { storage, identity, headers, bucketName: name } = context;
  const { account } = identity;
  if (!account) throw new S3Error('AccessDenied');
  checkHeaders(context);
  const { tags } = readCreateBucketConfiguration(await readDocument(context));
  const named = headers.get('x-ddn-specified-directory');
  const given = named === undefined ? undefined : decodeHeader(named);
  const directory = given === undefined ? undefined : allowedDirectory(given, account);

  const config = tags && Object.keys(tags).length > 0 ? { tagging: JSON.stringify(tags) } : undefined;
  await makeBucket(storage, account, { name, directory, config }, context.maxBuckets);
  return { headers: { location: `/${name}` } };
}

function checkHeaders({ headers }: Context): void {
  checkAclHeaders(headers);
  if (headers.get('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true') {
    throw notImplemented('x-amz-bucket-object-lock-enabled');
  }
  const ownership = headers.get('x-amz-object-ownership');
  // Without ACLs every object is the bucket owner's, which is just what BucketOwnerEnforced says.
  if (ownership !== undefined && ownership !== 'BucketOwnerEnforced') {
    const known = ownership === 'BucketOwnerPreferred' || ownership === 'ObjectWriter';
    throw known ? notImplemented('x-amz-object-ownership') : invalidArgument('x-amz-object-ownership', ownership);
  }
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
