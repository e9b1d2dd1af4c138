import path from 'node:path';
import type { Account } from '../../../acl/identity.js';
import { invalidArgument, notImplemented, S3Error } from '../../errors.js';
import { checkAclHeaders } from '../acl-headers.js';
import { checkBucketName } from '../bucket-name.js';
import { decodeHeader } from '../header-text.js';
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
  checkBucketName(name);
  checkHeaders(context);
  const { tags } = readCreateBucketConfiguration(await readDocument(context));
  const named = headers.get('x-ddn-specified-directory');
  const given = named === undefined ? undefined : decodeHeader(named);
  const directory = given === undefined ? undefined : allowedDirectory(given, account);

  const done: Reply = { headers: { location: `/${name}` } };
  if (await standsAlready(context, account, directory)) return done;
  const mine = (await storage.listBuckets()).filter(({ owner }) => owner === account.uuid).length;
  if (mine >= context.maxBuckets) throw new S3Error('TooManyBuckets');
  try {
    const bucket = await storage.createBucket({ name, owner: account.uuid, directory }, account.actor);
    if (tags && Object.keys(tags).length > 0) await storage.putConfig(bucket, 'tagging', JSON.stringify(tags));
  } catch (error) {
    // Another request or gateway was first: it may have been ours, retried.
    const lost = error instanceof S3Error && error.code === 'BucketAlreadyExists';
    if (!lost || !(await standsAlready(context, account, directory))) throw error;
  }
  return done;
}

/** True when the same bucket is the caller's own already. @throws S3Error when it is another's, or another directory */
async function standsAlready(context: Context, account: Account, directory: string | undefined): Promise<boolean> {
  const existing = await context.storage.bucket(context.bucketName);
  if (!existing) return false;
  const fields = { BucketName: context.bucketName };
  if (existing.owner !== account.uuid) throw new S3Error('BucketAlreadyExists', { fields });
  if (directory !== undefined && directory !== existing.path) {
    const message = `You own this bucket already, and its directory is ${existing.path}`;
    throw new S3Error('BucketAlreadyOwnedByYou', { message, fields });
  }
  return true;
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
