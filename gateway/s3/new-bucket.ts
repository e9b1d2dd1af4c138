/** The rules by which an account gets a bucket: for CreateBucket and for the command alike. */
import type { Account } from '../../acl/identity.js';
import { S3Error } from '../errors.js';
import type { Bucket, NewBucket, Storage } from '../storage/types.js';
import { checkBucketName } from './bucket-name.js';

/**
 * Makes the bucket (of a `directory` that the caller has found to be the account's), or finds that the account has the very same already (`made` is false then).
 * @throws S3Error InvalidBucketName, BucketAlreadyExists (another's), BucketAlreadyOwnedByYou (another directory),
 *   TooManyBuckets
 */
export async function makeBucket(
  storage: Storage,
  account: Account,
  { name, directory, config }: Omit<NewBucket, 'owner'>,
  maxBuckets: number,
): Promise<{ bucket: Bucket; made: boolean }> {
  checkBucketName(name);
  if (!(await ownBucket(storage, account, name, directory))) {
    const mine = (await storage.listBuckets()).filter(({ owner }) => owner === account.uuid).length;
    if (mine >= maxBuckets) throw new S3Error('TooManyBuckets');
  }
  try {
    // One that stands already is tried too: an interrupted deletion may have left its name without a directory.
    const bucket = await storage.createBucket({ name, owner: account.uuid, directory, config }, account.actor);
    return { bucket, made: true };
  } catch (error) {
    // Another request or gateway was first: it may have been ours, retried.
    const lost = error instanceof S3Error && error.code === 'BucketAlreadyExists';
    const bucket = lost ? await ownBucket(storage, account, name, directory) : undefined;
    if (!bucket) throw error;
    return { bucket, made: false };
  }
}

/** The bucket when it is the account's own. @throws S3Error when it is another's, or another directory */
async function ownBucket(
  storage: Storage,
  account: Account,
  name: string,
  directory: string | undefined,
): Promise<Bucket | undefined> {
  const existing = await storage.bucket(name);
  if (!existing) return undefined;
  const fields = { BucketName: name };
  if (existing.owner !== account.uuid) throw new S3Error('BucketAlreadyExists', { fields });
  if (directory !== undefined && directory !== existing.path) {
    const message = `You own this bucket already, and its directory is ${existing.path}`;
    throw new S3Error('BucketAlreadyOwnedByYou', { message, fields });
  }
  return existing;
}
