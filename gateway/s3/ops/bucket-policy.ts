/** The policy of a bucket, kept as the text that it came as. */
import { isPublicBucket, refusePublicPolicy } from '../../../acl/ownership.js';
import { MAX_POLICY_BYTES } from '../../../acl/policy/document.js';
import { parsePolicy } from '../../../acl/policy/parse.js';
import { S3Error } from '../../errors.js';
import { accessOf, kinds } from '../access.js';
import { readDocument } from '../payload.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html */
export const getBucketPolicy: Handler = async ({ place, bucketName }) => {
  const text = place.bucket.config[kinds.policy];
  if (text === undefined) throw new S3Error('NoSuchBucketPolicy', { fields: { BucketName: bucketName } });
  return { body: { bytes: Buffer.from(text, 'utf8'), type: 'application/json' } };
};

/**
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html —
 * `x-amz-confirm-remove-self-bucket-access` needs no asking for: the owner keeps the policy calls whatever it says.
 */
export const putBucketPolicy: Handler = async (context) => {
  const { storage, place, bucketName } = context;
  const text = decode(await readDocument(context, MAX_POLICY_BYTES * 2));
  const policy = parsePolicy(text, { bucket: bucketName });
  refusePublicPolicy(accessOf(place.bucket).publicAccessBlock, policy);
  await storage.putConfig(place.bucket, kinds.policy, text);
  return { status: 204 };
};

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new S3Error('MalformedPolicy', { message: 'The policy is not UTF-8', cause: error });
  }
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketPolicy.html */
export const deleteBucketPolicy: Handler = async ({ storage, place }) => {
  if (place.bucket.config[kinds.policy] !== undefined) await storage.putConfig(place.bucket, kinds.policy, undefined);
  return { status: 204 };
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicyStatus.html, the ACL of the bucket included */
export const getBucketPolicyStatus: Handler = async ({ place }) => {
  const { bucketPolicy: policy, bucketAcl: acl, ownership, publicAccessBlock: block } = accessOf(place.bucket);
  return { body: { xml: { PolicyStatus: { IsPublic: isPublicBucket({ policy, acl, ownership, block }) } } } };
};
