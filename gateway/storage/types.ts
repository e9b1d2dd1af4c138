/**
 * What the S3 operations need of a store. `memory.ts` and `posix/` both pass the suite in `test/suites/storage.ts`.
 *
 * Keys and bucket names are Unicode strings whose UTF-8 form is what is stored; order is always the byte order of that
 * UTF-8. Failures that a client can cause or must hear of are thrown as `S3Error` (`errors.ts`), everything else as
 * itself. Nothing a method rejects with leaves a visible change behind.
 */
import type { Checksum, ChecksumAlgorithm, ChecksumType, ObjectMeta } from '../../acl/metadata/types.js';

// ---- small JSON documents of the service (accounts, keys, buckets) ----------------------------------------------

export type DocumentKind =
  | 'accounts'
  | 'groups'
  | 'names'
  | 'keys'
  | 'policies'
  | 'policygroups'
  | 'buckets'
  | 'webhooks'
  | 'syncs'
  | 'changelogs'
  | 'service';

/**
 * The service area: JSON documents, shared by all gateways and commands of one root. A change is in force for every
 * process at its next `get`.
 */
export interface Documents {
  /**
   * The document, frozen, or undefined. Costs one look at its file, which many who ask at once may share, when it has not
   * changed since this process last read it.
   */
  get<T>(kind: DocumentKind, id: string): Promise<T | undefined>;
  /** Makes the document; false when the id exists already (atomic between all gateways). */
  create<T>(kind: DocumentKind, id: string, value: T): Promise<boolean>;
  /**
   * Read, change, replace under a lock that all processes respect. `change` returning undefined deletes the document.
   * Answers what stands afterwards; undefined when there was nothing to change, or it was deleted.
   */
  update<T>(kind: DocumentKind, id: string, change: (current: T) => T | undefined): Promise<T | undefined>;
  /** All documents of a kind, frozen, by id in byte order. A file that is not a document is left out and logged. */
  list<T>(kind: DocumentKind): Promise<{ id: string; value: T }[]>;
}

// ---- buckets -----------------------------------------------------------------------------------------------------

export interface Bucket {
  name: string;
  /** Canonical id (uuid) of the owning account. */
  owner: string;
  /** Absolute directory of the bucket. */
  path: string;
  /** ISO 8601, UTC. */
  created: string;
  /** Sub-resource documents by kind (`tagging`, later `policy`, `cors` …), as given, after validation. */
  config: Record<string, string>;
}

export interface NewBucket {
  name: string;
  owner: string;
  /** Publish this existing directory instead of `<root>/<owner>/<name>`. */
  directory?: string | undefined;
  /** What `Bucket.config` is from the first moment. Default: nothing. */
  config?: Record<string, string> | undefined;
}

/** The POSIX identity that a file access happens with. */
export interface Actor {
  uid: number;
  gid: number;
  groups: readonly number[];
}

/** Where an operation works, and as whom. */
export interface Place {
  bucket: Bucket;
  actor: Actor;
}

// ---- bytes -------------------------------------------------------------------------------------------------------

/** Takes bytes in order. The chunk may be reused by the caller as soon as the result is settled (at once if void). */
export interface Sink {
  (chunk: Uint8Array): void | Promise<void>;
  /** Where all bytes go unchanged in the end. A store may send some itself, while no chunk is on its way. */
  socket?: SinkSocket;
  /**
   * Where the store can: takes from a connection what it has at once, at most so many bytes, without this thread. The piece lies in
   * memory of the store: it, or parts of it in order, go into the sink before anything else does. The caller lets nobody else
   * read meanwhile. An empty piece: none has come, the connection has ended or is broken.
   * @param descriptor is duplicated before the event loop goes on
   */
  receive?(descriptor: number, most: number): Promise<Taken>;
  /** The same for bytes that go in just as they come: they are in the sink then, and how many there were is told. */
  keep?(descriptor: number, most: number): Promise<Kept>;
}

/** What came from a connection. */
export interface Taken {
  piece: Uint8Array;
  /** There is perhaps more at once. */
  more: boolean;
}

export interface Kept {
  bytes: number;
  /** There is perhaps more at once. */
  more: boolean;
}

/** A connection of this process. */
export interface SinkSocket {
  /**
   * Its descriptor; undefined when it does not take bytes just now but through the sink. Good until the caller lets the
   * event loop go on: afterwards the number may be another client's, so whoever goes on has to duplicate it first.
   */
  descriptor(): number | undefined;
  /** So many bytes, the next in order, have been sent. @throws when nobody is there any more to take others */
  sent(bytes: number): void;
}

/** A payload on its way in. */
export interface Body {
  /** Decoded length in bytes where the sender declared it. */
  readonly length: number | undefined;
  /**
   * Delivers the whole payload, once. Resolves when everything has been taken and everything that the sender promised
   * of it (length, chunk signatures) held; rejects with an `S3Error` otherwise, also on a broken connection.
   */
  read(sink: Sink): Promise<void>;
}

export type Digest = 'md5' | 'sha1' | 'sha256' | 'crc32' | 'crc32c' | 'crc64nvme';

/** What arrived: its size in bytes and the digests that were asked for, raw, CRCs big-endian. */
export interface Received {
  size: number;
  digests: Partial<Record<Digest, Uint8Array>>;
}

// ---- objects -----------------------------------------------------------------------------------------------------

export interface ObjectInfo {
  key: string;
  size: number;
  /** Milliseconds since the epoch. */
  lastModified: number;
  /**
   * What holds for this very content. For a file that a job wrote or changed it has a synthetic `etag`, no headers, no
   * user metadata; `headers.contentType` is undefined then and told by the name.
   */
  meta: ObjectMeta;
}

/** Guards of a write, evaluated atomically with it against what stands under the key at that moment. */
export interface WriteCondition {
  /** An ETag without quotes, or `*` for "anything": PreconditionFailed on mismatch, NoSuchKey when absent. */
  ifMatch?: string;
  /** `*`: PreconditionFailed when anything stands there. An ETag: when just that stands there. */
  ifNoneMatch?: string;
  /** DeleteObject: seconds since the epoch (x-amz-if-match-last-modified-time). */
  ifMatchLastModified?: number;
  /** DeleteObject: bytes (x-amz-if-match-size). */
  ifMatchSize?: number;
}

export interface PutRequest {
  digests: readonly Digest[];
  /** Called when every byte is in and before anything is visible: checks, and makes the metadata. Throwing undoes all. */
  seal(received: Received): ObjectMeta;
  condition?: WriteCondition;
}

/** An object that is open: what it hands out is one content, whatever replaces the name meanwhile. Must be closed. */
export interface OpenObject {
  readonly info: ObjectInfo;
  /** The whole content, where opening it has read that: then there is nothing to close. */
  readonly bytes?: Uint8Array;
  /** Delivers `length` bytes from `start`; rejects when the file has become shorter. */
  read(start: number, length: number, sink: Sink): Promise<void>;
  close(): Promise<void>;
}

/** What may change on an object without its bytes. `null` removes. */
export interface MetaChange {
  tags?: Record<string, string> | null;
  /** See `ObjectMeta`; `null`: the owner alone. */
  acl?: string | null;
  /** The object that is meant: OperationAborted when one of another owner or ACL, or of other tags if there are any here, stands there. */
  of?: Pick<ObjectMeta, 'owner' | 'acl' | 'tags'>;
}

// ---- listing -----------------------------------------------------------------------------------------------------

export interface ListRequest {
  prefix: string;
  /** Empty: no grouping. */
  delimiter: string;
  /** Exclusive: only keys and common prefixes behind this one. */
  after: string;
  /** Keys and common prefixes together, 0 to 1000. */
  limit: number;
}

export interface ListedObject {
  key: string;
  size: number;
  lastModified: number;
  etag: string;
  owner?: string;
  checksum?: { algorithm: ChecksumAlgorithm; type: ChecksumType };
}

export interface ListPage {
  objects: ListedObject[];
  /** Common prefixes, in order. */
  prefixes: string[];
  /** The last key or common prefix of the page, when more follow. */
  next?: string;
}

/** How the elements of a page are written, see `ElementPage`. */
export interface ElementForm {
  /** Of an object: `Contents`. */
  name: string;
  /** XML that each object has behind its key. */
  extra: string;
  /** `encoding-type=url`. */
  encoded: boolean;
  /** Objects have the element Owner. */
  owner: boolean;
}

/** A `ListPage` written down as XML elements. */
export interface ElementPage {
  /** All objects of the parts in turn, then all their common prefixes. */
  parts: readonly ElementPart[];
  next?: string;
  /** `next` is a key, not a common prefix. */
  nextIsKey: boolean;
  /** Called when the bytes are not needed any more: others may be written in their place. */
  done?(): void;
}

/** Some of the elements of a page, in UTF-8. */
export interface ElementPart {
  /** One for each object, without the element Owner: a store does not know the names of owners. */
  objects: Uint8Array;
  /** One element CommonPrefixes for each common prefix. */
  prefixes: Uint8Array;
  /** Objects and common prefixes together. */
  count: number;
  /** The owners that occur; undefined: none is stored. */
  owners: (string | undefined)[];
  /** Of each object in turn: where in `objects` its element Owner belongs, and the index of the owner. */
  ownerPlaces: Uint32Array;
}

// ---- multipart uploads -------------------------------------------------------------------------------------------

export interface NewUpload {
  /** Everything the object will have, but for what only its bytes tell. */
  meta: Omit<ObjectMeta, 'etag' | 'checksum' | 'parts' | 'uploadId'>;
  checksum?: { algorithm: ChecksumAlgorithm; type: ChecksumType };
  /** Canonical id of the initiator. */
  initiator: string;
}

export interface Upload extends NewUpload {
  key: string;
  id: string;
  /** Milliseconds since the epoch. */
  initiated: number;
}

export interface Part {
  number: number;
  size: number;
  lastModified: number;
  /** MD5 in hex, or 32 other hex digits and `-0`. */
  etag: string;
  checksum?: Checksum;
  /** The store's own note, for `completeUpload`: its bytes lie where they belong in the object. */
  placed?: boolean;
}

export interface PartRequest {
  digests: readonly Digest[];
  seal(received: Received): { etag: string; checksum?: Checksum };
}

export interface UploadListRequest {
  prefix: string;
  delimiter: string;
  keyMarker: string;
  uploadIdMarker: string;
  limit: number;
}

export interface UploadPage {
  uploads: Upload[];
  prefixes: string[];
  next?: { key: string; uploadId: string };
}

/** Of a sub-resource document; undefined: there is none. */
export type ConfigText = string | undefined;

// ---- the store ---------------------------------------------------------------------------------------------------

export interface Storage {
  readonly documents: Documents;

  /** Throws BucketAlreadyExists. */
  createBucket(bucket: NewBucket, actor: Actor): Promise<Bucket>;
  bucket(name: string): Promise<Bucket | undefined>;
  /** By name in byte order. */
  listBuckets(): Promise<Bucket[]>;
  /** BucketNotEmpty while an object, or anything else that is not ours, is in it. */
  deleteBucket(at: Place): Promise<void>;
  /**
   * Replaces or (undefined) removes one sub-resource document. A function is given the text as it stands, under the lock
   * that all writers take; what it throws is thrown, and nothing is changed.
   */
  putConfig(bucket: Bucket, kind: string, text: ConfigText | ((current: ConfigText) => ConfigText)): Promise<void>;

  /** NoSuchKey when absent or not an object (a plain directory, FIFO, socket, device, symbolic link). */
  head(at: Place, key: string): Promise<ObjectInfo>;
  open(at: Place, key: string): Promise<OpenObject>;
  put(at: Place, key: string, body: Body, request: PutRequest): Promise<ObjectInfo>;
  /** Independent bytes from an open object; `digests: []` lets the kernel copy and calls `seal` with no digest. */
  copy(source: OpenObject, at: Place, key: string, request: PutRequest): Promise<ObjectInfo>;
  /** Deleting what is not there is no error. Resolves to whether an object was there. */
  remove(at: Place, key: string, condition?: WriteCondition): Promise<boolean>;
  updateMeta(at: Place, key: string, change: MetaChange): Promise<ObjectInfo>;
  list(at: Place, request: ListRequest): Promise<ListPage>;
  /** As `list`, for a reply in XML. */
  listElements(at: Place, request: ListRequest, form: ElementForm): Promise<ElementPage>;

  createUpload(at: Place, key: string, upload: NewUpload): Promise<Upload>;
  /** NoSuchUpload when there is none of this id and key. */
  upload(at: Place, key: string, id: string): Promise<Upload>;
  putPart(at: Place, key: string, id: string, number: number, body: Body, request: PartRequest): Promise<Part>;
  copyPart(
    source: OpenObject,
    range: { start: number; length: number },
    at: Place,
    key: string,
    id: string,
    number: number,
    request: PartRequest,
  ): Promise<Part>;
  /** By number; `after` exclusive. */
  listParts(
    at: Place,
    key: string,
    id: string,
    after: number,
    limit: number,
  ): Promise<{ parts: Part[]; more: boolean }>;
  listUploads(at: Place, request: UploadListRequest): Promise<UploadPage>;
  /** Joins the parts in the order given, publishes, forgets the upload. The caller has checked the parts. */
  completeUpload(
    at: Place,
    key: string,
    id: string,
    parts: readonly Part[],
    meta: ObjectMeta,
    condition?: WriteCondition,
  ): Promise<ObjectInfo>;
  abortUpload(at: Place, key: string, id: string): Promise<void>;

  /** Finishes what runs, releases threads and descriptors. */
  close(): Promise<void>;
}
