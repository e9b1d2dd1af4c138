/**
 * What S3 adds to a file. It is stored packed in one extended attribute (`codec.ts`, `xattr.ts`), or in a sidecar
 * file where the filesystem has no user attributes (`sidecar.ts`).
 */

/** The checksum algorithms of S3, spelt as in `x-amz-checksum-algorithm`. */
export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256';

/** `COMPOSITE`: a checksum of the parts' checksums, written `value-N`. `FULL_OBJECT`: of the object's bytes. */
export type ChecksumType = 'COMPOSITE' | 'FULL_OBJECT';

export interface Checksum {
  algorithm: ChecksumAlgorithm;
  type: ChecksumType;
  /** Base64, big-endian for the CRCs; a composite value ends in `-N`. */
  value: string;
}

/** One part of a completed multipart upload, for `partNumber` and GetObjectAttributes. */
export interface PartSummary {
  number: number;
  /** Bytes. */
  size: number;
  /** Base64 checksum of the part in the object's own checksum algorithm, if it has one. */
  checksum?: string;
}

/** The headers that S3 stores and gives back verbatim. */
export interface SystemHeaders {
  contentType?: string;
  cacheControl?: string;
  contentDisposition?: string;
  contentEncoding?: string;
  contentLanguage?: string;
  /** As the client wrote it: S3 does not parse it. */
  expires?: string;
  websiteRedirectLocation?: string;
}

export interface ObjectMeta {
  /** Without quotes: 32 hex digits of an MD5, `md5-N` of a multipart upload, or 32 others and `-0` where no MD5 is known. */
  etag: string;
  headers: SystemHeaders;
  /** `x-amz-meta-*`: names in lower case without the prefix; values as on the wire, one character a byte. */
  user: Record<string, string>;
  tags?: Record<string, string>;
  checksum?: Checksum;
  parts?: PartSummary[];
  /** The multipart upload that made the object: makes a repeated CompleteMultipartUpload answer as the first did. */
  uploadId?: string;
  /**
   * The S3 write that made this content: `Put-`, `Post-`, `Copy-` or `CompleteMultipartUpload-` and 32 hex digits. Tells the
   * sync engine which event it is, and that it has been told already.
   */
  write?: string;
  /** Canonical id of the account that wrote the object. */
  owner?: string;
  /** Its access control list, packed (`packAcl`, as JSON); absent: the owner alone. */
  acl?: string;
}
