/** The condition keys that are evaluated. A policy that names another one is refused: it would not do what it says. */
import { userArn } from '../iam/names.js';
import type { Identity } from '../identity.js';

/** Keys that are the value of a request header. Key: header. */
export const headerKeys: ReadonlyMap<string, string> = new Map([
  ['aws:useragent', 'user-agent'],
  ['aws:referer', 'referer'],
  ['s3:if-match', 'if-match'],
  ['s3:if-none-match', 'if-none-match'],
  ['s3:object-lock-mode', 'x-amz-object-lock-mode'],
  ['s3:object-lock-retain-until-date', 'x-amz-object-lock-retain-until-date'],
  ['s3:object-lock-legal-hold', 'x-amz-object-lock-legal-hold'],
  ...[
    'acl',
    'grant-full-control',
    'grant-read',
    'grant-read-acp',
    'grant-write',
    'grant-write-acp',
    'metadata-directive',
    'storage-class',
    'content-sha256',
    'object-ownership',
    'website-redirect-location',
    'server-side-encryption',
    'server-side-encryption-aws-kms-key-id',
    'server-side-encryption-customer-algorithm',
  ].map((name): [string, string] => [`s3:x-amz-${name}`, `x-amz-${name}`]),
]);

/** Keys that are the value of a query parameter. Key: parameter. */
export const queryKeys: ReadonlyMap<string, string> = new Map([
  ['s3:prefix', 'prefix'],
  ['s3:delimiter', 'delimiter'],
  ['s3:max-keys', 'max-keys'],
  ['s3:versionid', 'versionId'],
]);

/** Keys that `contextOf` answers from other facts of the request. */
export const factKeys: readonly string[] = [
  'aws:sourceip',
  'aws:currenttime',
  'aws:epochtime',
  'aws:securetransport',
  's3:x-amz-copy-source',
  's3:requestobjecttagkeys',
  's3:signatureversion',
  's3:authtype',
  's3:signatureage',
  's3:tlsversion',
  's3:objectcreationoperation',
];

/** Keys that follow from the caller and the bucket: the evaluator knows them itself, no context can contradict it. */
export const ownKeys: readonly string[] = [
  'aws:username',
  'aws:userid',
  'aws:principalarn',
  'aws:principalaccount',
  'aws:principaltype',
  's3:resourceaccount',
  'aws:resourceaccount',
];

/** One key for each tag. */
export const EXISTING_TAG = 's3:existingobjecttag/';
export const REQUEST_TAG = 's3:requestobjecttag/';

const known = new Set([...headerKeys.keys(), ...queryKeys.keys(), ...factKeys, ...ownKeys]);

/** The key in the form that a `Context` goes by; undefined for one that is not evaluated. */
export function conditionKey(name: string): string | undefined {
  const lower = name.toLowerCase();
  if (known.has(lower)) return lower;
  // "Condition key names are not case-sensitive", but two tags of an object may differ by case alone.
  const family = [EXISTING_TAG, REQUEST_TAG].find((prefix) => lower.startsWith(prefix) && lower !== prefix);
  return family && family + name.slice(family.length);
}

/** Value of one of `ownKeys`. */
export function ownValue(key: string, { account }: Identity, bucketOwner: string | undefined): string | undefined {
  switch (key) {
    case 'aws:username':
      return account?.displayName;
    case 'aws:userid':
      return account?.uuid ?? 'anonymous';
    case 'aws:principalarn':
      return account && userArn(account);
    case 'aws:principalaccount':
      return account?.uuid ?? 'anonymous';
    case 'aws:principaltype':
      return account ? 'User' : 'Anonymous';
    default:
      return bucketOwner;
  }
}
