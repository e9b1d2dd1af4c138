/** The ACL headers of requests that make something, as long as a bucket knows only its owner. */
import { invalidArgument, notImplemented } from '../errors.js';
import type { Headers } from '../http/types.js';

const canned = new Set([
  'private',
  'public-read',
  'public-read-write',
  'authenticated-read',
  'aws-exec-read',
  'bucket-owner-read',
  'bucket-owner-full-control',
  'log-delivery-write',
]);

const grants = [
  'x-amz-grant-full-control',
  'x-amz-grant-read',
  'x-amz-grant-read-acp',
  'x-amz-grant-write',
  'x-amz-grant-write-acp',
];

/**
 * Lets through what gives nobody but the owner anything. Anything else must fail: a grant that is accepted and then
 * ignored would be a lie about who can read.
 * @throws S3Error InvalidArgument for a canned ACL that S3 does not have, NotImplemented for one that we do not
 */
export function checkAclHeaders(headers: Headers): void {
  const acl = headers.get('x-amz-acl');
  if (acl !== undefined && acl !== 'private' && acl !== 'bucket-owner-full-control') {
    throw canned.has(acl) ? notImplemented('x-amz-acl') : invalidArgument('x-amz-acl', acl);
  }
  const grant = grants.find((name) => headers.has(name));
  if (grant) throw notImplemented(grant);
}
