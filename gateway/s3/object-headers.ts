/** Request headers → what is stored with an object, and back into reply headers. Pure. */
import mime from 'mime';
import type { ObjectMeta, SystemHeaders } from '../../acl/metadata/types.js';
import { invalidArgument, notImplemented, S3Error } from '../errors.js';
import type { Headers, Query } from '../http/types.js';
import type { ObjectInfo, WriteCondition } from '../storage/types.js';
import { checksumReplyHeaders } from './checksums.js';
import { bareEtag, quoteEtag } from './etag.js';
import { decodeHeader, encodeHeader, fitsHeader } from './header-text.js';
import { checkTags, objectTags } from './xml/shapes.js';

export const defaultContentType = 'binary/octet-stream';
const userPrefix = 'x-amz-meta-';
/** "The user-defined metadata is limited to 2 KB in size": bytes of all names and values. */
const maxUserBytes = 2048;
/** S3 takes 8 KB of headers in all. What is longer could be stored, but many clients could not read the reply. */
const maxSystemBytes = 6 * 1024;

const systemNames = {
  contentType: 'content-type',
  cacheControl: 'cache-control',
  contentDisposition: 'content-disposition',
  contentEncoding: 'content-encoding',
  contentLanguage: 'content-language',
  expires: 'expires',
  websiteRedirectLocation: 'x-amz-website-redirect-location',
} as const satisfies Record<keyof SystemHeaders, string>;

const systemEntries = Object.entries(systemNames) as [keyof SystemHeaders, string][];

/** The headers to store of a request or a POST form. @throws S3Error InvalidArgument, MetadataTooLarge, InvalidRedirectLocation */
export function systemHeaders(headers: Headers): SystemHeaders {
  const result: SystemHeaders = { contentType: defaultContentType };
  let size = 0;
  for (const [field, name] of systemEntries) {
    const raw = headers.get(name);
    if (raw === undefined || raw === '') continue;
    const value = decodeHeader(raw);
    if (!fitsHeader(value)) throw invalidArgument(name, value);
    size += name.length + raw.length;
    if (size > maxSystemBytes) {
      throw new S3Error('MetadataTooLarge', {
        fields: { Size: String(size), MaxSizeAllowed: String(maxSystemBytes) },
      });
    }
    if (field === 'contentEncoding') {
      // `aws-chunked` tells how the payload travels, not what the object is.
      const kept = value.split(',').map((each) => each.trim());
      const encoding = kept.filter((each) => each.toLowerCase() !== 'aws-chunked');
      if (encoding.length === kept.length) result.contentEncoding = value;
      else if (encoding.length > 0) result.contentEncoding = encoding.join(', ');
    } else result[field] = value;
  }
  const redirect = result.websiteRedirectLocation;
  if (redirect !== undefined && !/^(\/|https?:\/\/)/.test(redirect)) {
    throw new S3Error('InvalidRedirectLocation');
  }
  return result;
}

/**
 * `x-amz-meta-*` of a request or a POST form, to be given back byte for byte: raw UTF-8, latin1 and the encoded words of
 * RFC 2047 each come back in the form that their sender understands. AWS turns all of them into encoded words, which
 * most clients do not decode. @throws S3Error MetadataTooLarge, InvalidArgument
 */
export function userMetadata(headers: Headers): Record<string, string> {
  const entries: [string, string][] = [];
  let size = 0;
  for (const [header, raw] of headers) {
    if (!header.startsWith(userPrefix)) continue;
    const name = header.slice(userPrefix.length);
    // From a form a name may be anything; from a header it is a token already.
    if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name))
      throw invalidArgument(header, raw, 'A metadata name must be a token');
    if (!fitsHeader(raw)) throw invalidArgument(header, raw, 'A metadata value must not contain control characters');
    size += name.length + raw.length;
    entries.push([name, raw]);
  }
  if (size > maxUserBytes) {
    throw new S3Error('MetadataTooLarge', {
      fields: { Size: String(size), MaxSizeAllowed: String(maxUserBytes) },
    });
  }
  // From entries: `__proto__` is a name like any other.
  return Object.fromEntries(entries);
}

/** `x-amz-tagging`: `k=v&k2=v2`, URL-encoded. Undefined without tags. @throws S3Error InvalidTag, InvalidArgument */
export function headerTags(headers: Headers): Record<string, string> | undefined {
  const text = headers.get('x-amz-tagging');
  if (text === undefined || text === '') return undefined;
  const pairs = text
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair): [string, string] => {
      const at = pair.indexOf('=');
      return at < 0 ? [decodeForm(pair), ''] : [decodeForm(pair.slice(0, at)), decodeForm(pair.slice(at + 1))];
    });
  const tags = checkTags(pairs, objectTags);
  return Object.keys(tags).length > 0 ? tags : undefined;
}

function decodeForm(text: string): string {
  try {
    return decodeURIComponent(decodeHeader(text).replaceAll('+', ' '));
  } catch {
    throw invalidArgument(
      'x-amz-tagging',
      text,
      "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
    );
  }
}

// ---- what is refused, since it is not built ------------------------------------------------------------------------

const notBuilt = ['x-amz-server-side-encryption', 'x-amz-object-lock-', 'x-amz-write-offset-bytes'];

/**
 * Refuses what would have to be kept with the object and is not built, rather than storing the object without it.
 * @throws S3Error NotImplemented, InvalidStorageClass, InvalidArgument
 */
export function refuseUnsupportedWrite(headers: Headers): void {
  for (const header of headers.keys()) {
    if (notBuilt.some((prefix) => header.startsWith(prefix))) throw notImplemented(header);
  }
  // One filesystem, one class: another name would be a promise that nobody keeps.
  const storageClass = headers.get('x-amz-storage-class');
  if (storageClass !== undefined && storageClass !== 'STANDARD') throw new S3Error('InvalidStorageClass');
}

/** Keys for an object that has none: nothing here is encrypted by us. @throws S3Error InvalidRequest */
export function refuseReadEncryption(headers: Headers): void {
  for (const header of headers.keys()) {
    if (/^x-amz-(copy-source-)?server-side-encryption/.test(header)) {
      throw new S3Error('InvalidRequest', {
        message: 'The encryption parameters are not applicable to this object.',
      });
    }
  }
}

// ---- conditions and versions ---------------------------------------------------------------------------------------

/** `If-Match` and `If-None-Match` of a write. @throws S3Error NotImplemented for what S3 does not know on a write */
export function writeCondition(headers: Headers): WriteCondition | undefined {
  for (const name of ['if-modified-since', 'if-unmodified-since']) {
    if (headers.has(name)) throw notImplemented(name);
  }
  const ifMatch = headers.get('if-match');
  const ifNoneMatch = headers.get('if-none-match');
  if (ifMatch !== undefined && ifNoneMatch !== undefined) throw notImplemented('if-none-match');
  if (ifMatch !== undefined) return { ifMatch: oneEtag('if-match', ifMatch) };
  if (ifNoneMatch !== undefined) return { ifNoneMatch: oneEtag('if-none-match', ifNoneMatch) };
  return undefined;
}

/** A list of ETags would need a write that waits for several states: S3 takes one. */
export function oneEtag(name: string, value: string): string {
  const etag = bareEtag(value);
  if (etag.includes(',') || etag.includes('"')) throw notImplemented(name);
  return etag;
}

/**
 * Without versioning the one version of an object is `null`. True when a `versionId` names another, that nothing here
 * can have. @throws S3Error InvalidArgument when no version id looks like that
 */
export function namesOtherVersion(versionId: string | undefined): boolean {
  if (versionId === undefined || versionId === 'null') return false;
  if (versionId === '') throw invalidArgument('versionId', '', 'Version id cannot be the empty string');
  if (!/^[A-Za-z0-9._-]{16,1024}$/.test(versionId)) {
    throw invalidArgument('versionId', versionId, 'Invalid version id specified');
  }
  return true;
}

/** For reads. @throws S3Error NoSuchVersion, InvalidArgument */
export function requireCurrentVersion(query: Query, key: string): void {
  const versionId = query.get('versionId');
  if (!namesOtherVersion(versionId)) return;
  throw new S3Error('NoSuchVersion', { fields: { Key: key, VersionId: versionId! } });
}

// ---- replies -------------------------------------------------------------------------------------------------------

/** The type that is told to clients: the stored one; of a file that a job wrote, by the extension of its name. */
export function contentTypeOf(info: ObjectInfo): string {
  return info.meta.headers.contentType ?? mime.getType(info.key) ?? defaultContentType;
}

/** By the metadata that they were made of, where a store remembers these for all who ask. */
const known = new WeakMap<
  ObjectMeta,
  { key: string; lastModified: number; headers: Readonly<Record<string, string>> }
>();

/** What GetObject and HeadObject say of an object, but for length and range. */
export function objectReplyHeaders(info: ObjectInfo): Readonly<Record<string, string>> {
  const { key, lastModified, meta } = info;
  const before = known.get(meta);
  if (before?.key === key && before.lastModified === lastModified) return before.headers;
  const headers = replyHeadersOf(info);
  // Everybody gets the same.
  if (Object.isFrozen(meta)) known.set(meta, { key, lastModified, headers: Object.freeze(headers) });
  return headers;
}

function replyHeadersOf(info: ObjectInfo): Record<string, string> {
  const { meta } = info;
  const headers: Record<string, string> = {
    etag: quoteEtag(meta.etag),
    'last-modified': new Date(info.lastModified).toUTCString(),
    'accept-ranges': 'bytes',
    'content-type': encodeHeader(contentTypeOf(info)),
  };
  for (const [field, name] of systemEntries) {
    const value = meta.headers[field];
    if (value !== undefined && field !== 'contentType') headers[name] = encodeHeader(value);
  }
  for (const [name, value] of Object.entries(meta.user)) headers[userPrefix + name] = value;
  const tags = Object.keys(meta.tags ?? {}).length;
  if (tags > 0) headers['x-amz-tagging-count'] = String(tags);
  return headers;
}

/** ETag and checksum, as the replies of writes have them. */
export function writtenHeaders(meta: Pick<ObjectMeta, 'etag' | 'checksum'>): Record<string, string> {
  return { etag: quoteEtag(meta.etag), ...checksumReplyHeaders(meta.checksum) };
}
