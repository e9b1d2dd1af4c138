/** What an S3 operation is: a row of the table in `operations.ts`, a handler, a request context, a reply. */
import type { Identity } from '../../acl/identity.js';
import type { ObjectMeta } from '../../acl/metadata/types.js';
import type { SyncControl } from '../../sync/control.js';
import type { S3Error } from '../errors.js';
import type { Headers, Query } from '../http/types.js';
import type { Body, Bucket, ObjectInfo, Place, Storage } from '../storage/types.js';

/** Everything a handler may use. It never decides who may do what, logs, counts, or sees the socket. */
export interface Context {
  storage: Storage;
  identity: Identity;
  headers: Headers;
  query: Query;
  /** Names, '' where the level has none. Existence is checked by `place`. */
  bucketName: string;
  key: string;
  /** The existing bucket and the POSIX identity to act with; only on rows of level bucket and object. */
  place: Place;
  /**
   * Another bucket (CopyObject's source), of the owner that the header `x-amz-source-expected-bucket-owner` names:
   * NoSuchBucket, AccessDenied. Whether `action` is permitted on the key is told when `storage` opens it.
   */
  otherPlace(bucketName: string, key: string, action: string): Promise<Place>;
  /** May the caller do this to a key, too? `object`: when it is open already. @throws S3Error AccessDenied, NoSuchKey */
  permit(at: Place, key: string, action: string, object?: ObjectInfo): Promise<void>;
  /**
   * May the caller give this (ACL, tags) to the object that it is about to write?
   * @param owner canonical id of the owner that it will have
   * @param tags that it gets, when the request does not name them itself
   * @throws S3Error AccessDenied
   */
  permitNew(at: Place, key: string, action: string, owner: string, tags?: ObjectMeta['tags']): void;
  /** The caller was let in by a role: what he writes is the bucket owner's. */
  byRole: boolean;
  /** The decoded payload (aws-chunked undone, signatures checked as it is read). */
  body: Body;
  /** PostObject: the fields of the form, names in lower case; the file itself is `body`. */
  form?: { fields: ReadonlyMap<string, string>; fileName: string | undefined };
  /** Checksum trailers announced by `x-amz-trailer`: complete once `body.read` has resolved. */
  trailers: ReadonlyMap<string, string>;
  /** SHA-256 (hex) that the signature promises of the payload, if it does. */
  payloadSha256: string | undefined;
  /** Milliseconds since the epoch. */
  now: number;
  /** URL of an object of this bucket, in the style in which the client addresses it: for Location elements. */
  objectUrl(key: string): string;
  requestId: string;
  region: string;
  /** CreateBucket answers TooManyBuckets above this number of buckets of an account. */
  maxBuckets: number;
  /** Display name of an account; '' when it is gone. */
  displayName(accountId: string): Promise<string>;
  /** Undefined where the sync engine is switched off. */
  sync: SyncControl | undefined;
  /** There is an account of this canonical id. */
  isAccount(id: string): Promise<boolean>;
  /** Sends a message to a registered webhook in the background; its failure is logged. Undefined: there is no sender. */
  testEvent?: ((webhook: string, message: object) => void) | undefined;
}

/** An XML document as an object literal: keys are element names, arrays repeat, undefined is left out. */
export type XmlValue = string | number | boolean | undefined | XmlValue[] | { [name: string]: XmlValue };

export type ReplyBody =
  | undefined
  | { xml: { [root: string]: XmlValue } }
  | { bytes: Uint8Array; type?: string }
  /** Bytes of an object; `send` runs after the headers are out. `close` always runs. */
  | { length: number; send: (sink: import('../storage/types.js').Sink) => Promise<void>; close: () => Promise<void> }
  /** 200 at once, white space while it works, then the document (CompleteMultipartUpload, CopyObject). */
  | { slowXml: Promise<{ [root: string]: XmlValue }> };

export interface Reply {
  status?: number;
  headers?: Readonly<Record<string, string | undefined>>;
  body?: ReplyBody;
  /** Bytes of the body that a HEAD speaks of and does not get. */
  length?: number;
  /** What failed of a request that is answered as a success (keys of DeleteObjects): for the log. */
  failures?: readonly S3Error[];
}

export type Handler = (context: Context) => Promise<Reply>;

export interface Operation {
  /** AWS's name, e.g. `PutObjectTagging`. */
  name: string;
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE' | 'OPTIONS';
  level: 'service' | 'bucket' | 'object';
  /** Sub-resource parameters that must be there (`tagging`, or `uploadId` and `partNumber`). */
  query?: readonly string[];
  /** A query parameter with a fixed value (`list-type=2`). */
  queryValue?: readonly [name: string, value: string];
  /** A header that must be there (`x-amz-copy-source`). */
  header?: string;
  /** The IAM action that the caller needs, e.g. `s3:PutObjectTagging`. */
  action: string;
  /** A second action that the caller needs. */
  also?: string;
  /**
   * The handler looks at the object before it tells or changes anything of it: permission is asked as `storage` opens it.
   */
  looks?: boolean;
  /** Whoever began the multipart upload may do it too. */
  uploader?: boolean;
  /** The handler asks for permission, for each of the keys that the document names. */
  eachKey?: boolean;
  body: 'none' | 'xml' | 'stream' | 'form';
  /** The bucket need not exist (CreateBucket): no `place`, and permission is asked without an owner. */
  bucketOptional?: boolean;
  /** Anybody may ask (CORS preflight): neither signature nor bucket are looked at, and there is no `place`. */
  open?: boolean;
  /**
   * Not of S3 but another API of this endpoint, whose name for what is asked stands in the form that is sent: who may do it,
   * what it does and how it fails is that API's own (`gateway/iam/`).
   */
  api?: 'iam';
  /** Absent: the row answers NotImplemented. */
  handler?: Handler;
}

export type { Bucket };
