/** What a policy is once it has been read: everything checked, everything compiled, nothing left to look up. */
import type { Identity } from '../identity.js';

/**
 * Values of condition keys. Keys are in lower case, but for the tag's own name in `s3:existingobjecttag/<name>` and
 * `s3:requestobjecttag/<name>`: tags differ by case. A `Map` will do; `contextOf` answers from a request's facts.
 */
export interface Context {
  get(key: string): readonly string[] | undefined;
}

/** Where a policy belongs: a bucket's policy speaks of principals and of this one bucket, an account's of neither. */
export type Scope = { bucket: string } | 'identity';

export type Effect = 'Allow' | 'Deny';

/** What is asked of a policy. */
export interface PolicyRequest {
  identity: Identity;
  /** IAM's name, spelt as in `actions.ts`. */
  action: string;
  /** `resourceArn` of the bucket and key; of IAM's actions the ARN of the user, group or policy. */
  resource: string;
  /** Canonical id of the bucket's owner, for `s3:ResourceAccount`. */
  bucketOwner?: string | undefined;
  context: Context;
}

/** Finds the values of a condition key in one request; undefined when the request has none. */
export type Lookup = (key: string) => readonly string[] | undefined;

export interface Condition {
  /** As in `Context`. */
  key: string;
  test: (lookup: Lookup) => boolean;
  /** Holds for few, named callers only: it keeps a statement for everybody from being public (`ownership.ts`). */
  narrow: boolean;
}

export interface Statement {
  /** Position in the document, from 0. */
  index: number;
  sid: string | undefined;
  effect: Effect;
  /** Every action that the statement is about, NotAction already turned around. */
  actions: ReadonlySet<string>;
  /** Undefined in an account's policy. */
  principal: ((identity: Identity) => boolean) | undefined;
  /** The statement allows, and names nobody in particular: `*`. */
  everybody: boolean;
  resource: (arn: string, lookup: Lookup) => boolean;
  conditions: readonly Condition[];
}

export interface Policy {
  statements: readonly Statement[];
  /** Condition keys and policy variables that occur: spares reading tags that nobody asks for. */
  keys: ReadonlySet<string>;
  /** What it is called where a decision is explained: of a policy of an account its ARN, or its name and holder. */
  label?: string;
  /** Gives something to everybody, by AWS's definition ("the meaning of public"). */
  public: boolean;
}

/** Which statement decided; `neither` is the implicit deny. */
export type Verdict = { effect: Effect; statement: Statement } | { effect: 'neither'; statement: undefined };

const ARN = 'arn:aws:s3:::';

/** What patterns are compared with: `arn:aws:s3:::bucket/key`. Without a bucket (ListBuckets): `arn:aws:s3:::*`. */
export function resourceArn({ bucket, key }: { bucket?: string | undefined; key?: string | undefined }): string {
  if (bucket === undefined) return `${ARN}*`;
  return key === undefined ? ARN + bucket : `${ARN}${bucket}/${key}`;
}
