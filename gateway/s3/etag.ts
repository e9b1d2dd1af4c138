/** Entity tags as S3 makes and compares them. Pure. */
import { createHash } from 'node:crypto';

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

/** The ETag of a completed multipart upload: MD5 of the parts' MD5s (given in hex, in order), `-`, how many. */
export function multipartEtag(partEtags: readonly string[]): string {
  const hash = createHash('md5');
  for (const etag of partEtags) hash.update(Buffer.from(etag, 'hex'));
  return `${hash.digest('hex')}-${partEtags.length}`;
}
