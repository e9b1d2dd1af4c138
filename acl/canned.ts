/** Canned ACLs, and the ACL that a request asks for in its headers. */
import { invalidArgument, notImplemented, S3Error } from '../gateway/errors.js';
import { type Acl, type Grant, grantHeaders, makeAcl, type Permission, parseGrantHeader } from './grants.js';

/** What an ACL is made for. */
export interface Place {
  kind: 'bucket' | 'object';
  /** Canonical id of the owner of the bucket or object. */
  owner: string;
  /** Of a bucket itself the same as `owner`. */
  bucketOwner: string;
}

const to = (id: string, permission: Permission): Grant => ({ grantee: { id }, permission });
const toAll = (permission: Permission): Grant => ({ grantee: { group: 'AllUsers' }, permission });

const none: readonly Grant[] = [];
type Extras = (place: Place) => readonly Grant[];
/** What each gives besides the owner's FULL_CONTROL. */
const canned: ReadonlyMap<string, Extras> = new Map<string, Extras>([
  ['private', () => none],
  ['public-read', () => [toAll('READ')]],
  ['public-read-write', () => [toAll('READ'), toAll('WRITE')]],
  ['authenticated-read', () => [{ grantee: { group: 'AuthenticatedUsers' }, permission: 'READ' }]],
  ['bucket-owner-read', (place) => toBucketOwner(place, 'READ')],
  ['bucket-owner-full-control', (place) => toBucketOwner(place, 'FULL_CONTROL')],
  [
    'log-delivery-write',
    ({ kind }) => {
      if (kind === 'object') throw invalidArgument('x-amz-acl', 'log-delivery-write', 'This ACL is for buckets');
      return (['WRITE', 'READ_ACP'] as const).map((permission) => ({ grantee: { group: 'LogDelivery' }, permission }));
    },
  ],
  [
    'aws-exec-read',
    () => {
      // It is for Amazon EC2, which is not here: the grant could never be used.
      throw notImplemented('x-amz-acl', 'The canned ACL aws-exec-read is not implemented');
    },
  ],
]);

/** "If you specify this canned ACL when creating a bucket, Amazon S3 ignores it." */
const toBucketOwner = ({ kind, owner, bucketOwner }: Place, permission: Permission): readonly Grant[] =>
  kind === 'bucket' || owner === bucketOwner ? none : [to(bucketOwner, permission)];

/** @throws S3Error InvalidArgument for a name that S3 does not have, NotImplemented for aws-exec-read */
export function cannedAcl(name: string, place: Place): Acl {
  const grants = canned.get(name);
  if (!grants) throw invalidArgument('x-amz-acl', name);
  return makeAcl(place.owner, [to(place.owner, 'FULL_CONTROL'), ...grants(place)]);
}

/**
 * The ACL that `x-amz-acl` or the `x-amz-grant-*` headers ask for; undefined when there are none. Grant headers say
 * everything: the owner has what they give him.
 * @param header finds a header by its name in lower case
 * @throws S3Error InvalidRequest for both kinds at once, and what their parts throw
 */
export function requestedAcl(header: (name: string) => string | undefined, place: Place): Acl | undefined {
  const name = header('x-amz-acl');
  const grants = grantHeaders.flatMap(([each, permission]) => {
    const value = header(each);
    return value === undefined ? [] : parseGrantHeader(each, value, permission);
  });
  if (name === undefined) return grants.length > 0 ? makeAcl(place.owner, grants) : undefined;
  if (grants.length > 0) {
    throw new S3Error('InvalidRequest', {
      message: 'Specifying both Canned ACLs and Header Grants is not allowed',
    });
  }
  return cannedAcl(name, place);
}
