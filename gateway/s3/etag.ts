/** Entity tags as S3 makes and compares them. No I/O. */
import { createHash, randomBytes } from 'node:crypto';
import { unpackEtagPolicy } from '../storage/etag-policy.js';
import type { Bucket, Digest, Received } from '../storage/types.js';

/** As it stands in a header or in XML. */
export function quoteEtag(etag: string): string {
  return `"${etag}"`;
}

/** An ETag as a client wrote it: quotes, a weak mark and spaces are not part of it (SDKs send it with and without). */
export function bareEtag(text: string): string {
  const trimmed = text.trim().replace(/^W\//, '');
  return trimmed.length >= 2 && trimmed.startsWith('"') && trimmed.endsWith('"') ? trimmed.slice(1, -1) : trimmed;
}

/** True for the plain MD5 of some bytes; multipart and synthetic ETags carry a `-`. */
export function isMd5Etag(etag: string): boolean {
  return /^[0-9a-f]{32}$/.test(etag);
}

/**
 * The digests that a new content in this bucket needs: those that are asked for otherwise, and what its ETag takes. This is
 * the one place where that is decided, for every way in.
 * @param asked what the request promises of the payload, and checksums that are stored
 */
export function digestsFor({ config }: Pick<Bucket, 'config'>, asked: readonly Digest[]): Digest[] {
  const own: Digest[] = unpackEtagPolicy(config['etag']) === 'md5' ? ['md5'] : [];
  return [...new Set([...asked, ...own])];
}

/**
 * The ETag of a content (or of a part), from the digests that there are.
 *
 * An MD5 is the ETag whenever it is known, also with the policy `fast`: who sends Content-MD5 may compare (s3fs with
 * `enable_content_md5` does, and rclone the ETags of uploads in parts, as providers AWS and Minio have them).
 *
 * Otherwise 32 hex digits and `-0`, like the ETag of a file that nothing is known of (`syntheticEtag`). A signed payload has a
 * SHA-256: nobody has two contents for the same first half of one, so it says as much as an MD5 does. A CRC does not: other
 * contents with the same CRC and size are made in no time, and an If-Match (or the parts of CompleteMultipartUpload) would
 * take one for the other. So without a strong digest the ETag is that of this one write: the same content, written twice, has
 * two ETags then, and two contents never have one.
 */
export function etagOf({ digests: { md5, sha256 } }: Pick<Received, 'digests'>): string {
  if (md5) return Buffer.from(md5).toString('hex');
  return `${Buffer.from(sha256 ?? randomBytes(16)).toString('hex', 0, 16)}-0`;
}

/**
 * The ETag of a completed multipart upload: MD5 of the parts' MD5s (in order), `-`, how many. Of parts without one the 16
 * bytes of their ETag take its place: so it is S3's own for clients that send Content-MD5, and as unique as those of the parts
 * otherwise.
 */
export function multipartEtag(partEtags: readonly string[]): string {
  const hash = createHash('md5');
  for (const etag of partEtags) hash.update(Buffer.from(etag.slice(0, 32), 'hex'));
  return `${hash.digest('hex')}-${partEtags.length}`;
}
