/** The condition keys of a request, worked out only when a policy asks for them. */
import { S3Error } from '../../gateway/errors.js';
import { plainAddress } from './address.js';
import { EXISTING_TAG, headerKeys, queryKeys, REQUEST_TAG } from './condition-keys.js';
import type { Context } from './types.js';

export interface RequestFacts {
  /** Address of the caller, behind trusted proxies. */
  sourceIp: string | undefined;
  /** Milliseconds since the epoch. */
  now: number;
  /** Came over TLS. */
  secure: boolean;
  /** `1.2`, `1.3`. */
  tlsVersion?: string | undefined;
  /** By name in lower case; of a form, its fields under the headers' names. */
  header: (name: string) => string | undefined;
  query: (name: string) => string | undefined;
  /** Decoded source of a copy, `bucket/key`: conditions must not be evaded by percent signs. */
  copySource?: (() => string | undefined) | undefined;
  signature?: {
    version: 'AWS4-HMAC-SHA256' | 'AWS';
    type: 'REST-HEADER' | 'REST-QUERY-STRING' | 'POST';
    /** Milliseconds since the signature was made; of presigned requests. */
    age?: number | undefined;
  };
  /** Puts an object in its place (PutObject, CopyObject, CompleteMultipartUpload); false where that is only prepared. */
  createsObject?: boolean | undefined;
  /** Of the object as it is. Needed only if a policy's `keys` ask (`asksForTags`). */
  existingTags?: ConditionTags | undefined;
  /** That the request would set. */
  requestTags?: (() => ConditionTags | undefined) | undefined;
}

/** Values by key. */
export type ConditionTags = Readonly<Record<string, string>>;

/** Tags that are not in the request itself. */
export interface KnownTags {
  existingTags?: ConditionTags | undefined;
  requestTags?: ConditionTags | undefined;
}

/**
 * Characters of a value that is held against a policy. Twice what a pattern may have, and all that keys and tags can have;
 * thousands of patterns against a header of the greatest length would keep all other requests waiting.
 */
const MAX_VALUE = 4096;

/** `get` throws InvalidRequest for a value that is longer than any that policies are made for. */
export function contextOf(facts: RequestFacts): Context {
  return {
    get(key) {
      if (key === 's3:requestobjecttagkeys') {
        const tags = facts.requestTags?.();
        return tags && Object.keys(tags);
      }
      if (key === 's3:x-amz-copy-source') {
        // AWS's examples write the pattern with and without the leading slash: either form fits.
        const source = facts.copySource?.();
        return source === undefined ? undefined : [source, `/${source}`];
      }
      const value = single(facts, key);
      if (value === undefined) return undefined;
      if (value.length > MAX_VALUE) {
        throw new S3Error('InvalidRequest', {
          message: `The value of ${key} is too long for the conditions of the policy: at most ${MAX_VALUE} characters`,
        });
      }
      return [value];
    },
  };
}

function single(facts: RequestFacts, key: string): string | undefined {
  const header = headerKeys.get(key);
  if (header !== undefined) return facts.header(header);
  const parameter = queryKeys.get(key);
  if (parameter !== undefined) return facts.query(parameter);
  if (key.startsWith(EXISTING_TAG)) return own(facts.existingTags, key.slice(EXISTING_TAG.length));
  if (key.startsWith(REQUEST_TAG)) return own(facts.requestTags?.(), key.slice(REQUEST_TAG.length));
  switch (key) {
    case 'aws:sourceip':
      return facts.sourceIp === undefined ? undefined : plainAddress(facts.sourceIp);
    case 'aws:currenttime':
      return new Date(facts.now).toISOString();
    case 'aws:epochtime':
      return String(Math.floor(facts.now / 1000));
    case 'aws:securetransport':
      return String(facts.secure);
    case 's3:tlsversion':
      return facts.tlsVersion;
    case 's3:signatureversion':
      return facts.signature?.version;
    case 's3:authtype':
      return facts.signature?.type;
    case 's3:signatureage':
      return facts.signature?.age?.toString();
    case 's3:objectcreationoperation':
      return facts.createsObject?.toString();
    default:
      return undefined;
  }
}

const own = (record: Readonly<Record<string, string>> | undefined, name: string): string | undefined =>
  record && Object.hasOwn(record, name) ? record[name] : undefined;

/** The same request with other values of one key: `s3:prefix` decides whether a missing key may be called missing. */
export function withValues(context: Context, key: string, values: readonly string[]): Context {
  return { get: (name) => (name === key ? values : context.get(name)) };
}

/** True when a decision needs the tags that the object has. */
export function asksForTags({ keys }: { keys: ReadonlySet<string> }): boolean {
  for (const key of keys) if (key.startsWith(EXISTING_TAG)) return true;
  return false;
}
