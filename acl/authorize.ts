/** May this caller do this? Pure: everything it goes by is an argument. */
import type { Identity } from './identity.js';

export interface Question {
  identity: Identity;
  /** IAM's name, e.g. `s3:PutObject`. */
  action: string;
  /** Canonical id of the bucket's owner; undefined where no bucket is concerned yet (ListBuckets, CreateBucket). */
  bucketOwner: string | undefined;
}

export interface Decision {
  allow: boolean;
  /** For the log: never shown to the caller. */
  reason: string;
}

const deny = (reason: string): Decision => ({ allow: false, reason });
const allow = (reason: string): Decision => ({ allow: true, reason });

/**
 * The owner of a bucket may do everything in it, nobody else anything. Every object in a bucket belongs to the
 * bucket's owner in this sense, as with S3's "bucket owner enforced".
 */
export function authorize({ identity, action, bucketOwner }: Question): Decision {
  if (identity.account === undefined) return deny(`${action}: anonymous`);
  if (!identity.account.enabled) return deny(`${action}: account ${identity.account.uuid} is disabled`);
  if (bucketOwner === undefined) return allow(`${action}: an account about its own buckets`);
  return identity.account.uuid === bucketOwner
    ? allow(`${action}: owner of the bucket`)
    : deny(`${action}: ${identity.account.uuid} is not the owner of the bucket`);
}
