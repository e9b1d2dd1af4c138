/** The request documents that S3 operations take, typed and validated. */
import type { ChecksumAlgorithm } from '../../../acl/metadata/types.js';
import { S3Error } from '../../errors.js';
import { child, childText, onlyChildren, readLongXml, readXml, type XmlElement } from './read.js';

function malformed(why: string): S3Error {
  return new S3Error('MalformedXML', { cause: new Error(why) });
}

function required(element: XmlElement, name: string): string {
  const text = childText(element, name);
  if (text === undefined) throw malformed(`${element.name} without ${name}`);
  return text;
}

// ---- CreateBucket ------------------------------------------------------------------------------------------------

/** `{}` for an empty body: the configuration is optional. @throws S3Error MalformedXML, NotImplemented */
export function readCreateBucketConfiguration(bytes: Uint8Array): { locationConstraint?: string; tags?: TagSet } {
  if (bytes.byteLength === 0) return {};
  const root = readXml(bytes, 'CreateBucketConfiguration');
  onlyChildren(root, 'LocationConstraint', 'Location', 'Bucket', 'Tags');
  // A directory bucket is another kind of bucket: it must not silently become an ordinary one.
  if (child(root, 'Location') || child(root, 'Bucket')) {
    throw new S3Error('NotImplemented', { message: 'Directory buckets are not implemented' });
  }
  const tags = child(root, 'Tags');
  return {
    locationConstraint: childText(root, 'LocationConstraint'),
    tags: tags && checkTags(tags.children.map(readTag), bucketTags),
  };
}

// ---- DeleteObjects -----------------------------------------------------------------------------------------------

export interface DeleteEntry {
  key: string;
  versionId?: string;
  /** As written, perhaps with quotes. */
  etag?: string;
  /** As written (RFC 9110 date or ISO 8601). */
  lastModified?: string;
  /** Bytes. */
  size?: number;
}

/** 1 to 1,000 entries. @throws S3Error MalformedXML */
export async function readDelete(bytes: Uint8Array): Promise<{ quiet: boolean; objects: DeleteEntry[] }> {
  const root = await readLongXml(bytes, 'Delete', 2 + 1000 * 6);
  onlyChildren(root, 'Object', 'Quiet');
  const objects = root.children.filter((each) => each.name === 'Object').map(readDeleteEntry);
  if (objects.length === 0 || objects.length > 1000) throw malformed(`${objects.length} objects`);
  return { quiet: readBoolean(childText(root, 'Quiet')), objects };
}

function readDeleteEntry(element: XmlElement): DeleteEntry {
  onlyChildren(element, 'Key', 'VersionId', 'ETag', 'LastModifiedTime', 'Size');
  const key = required(element, 'Key');
  if (key === '') throw new S3Error('UserKeyMustBeSpecified', { message: 'The key must not be empty' });
  const size = childText(element, 'Size');
  return {
    key,
    versionId: childText(element, 'VersionId') || undefined,
    etag: childText(element, 'ETag'),
    lastModified: childText(element, 'LastModifiedTime'),
    size: size === undefined ? undefined : readInteger(size),
  };
}

function readBoolean(text: string | undefined): boolean {
  const value = text?.trim().toLowerCase() ?? 'false';
  if (value !== 'true' && value !== 'false') throw malformed(`"${value}" is no boolean`);
  return value === 'true';
}

function readInteger(text: string): number {
  const trimmed = text.trim();
  if (!/^\d{1,15}$/.test(trimmed)) throw malformed(`"${trimmed}" is no number`);
  return Number(trimmed);
}

// ---- CompleteMultipartUpload -------------------------------------------------------------------------------------

export interface CompletedPart {
  number: number;
  /** Without quotes. */
  etag: string;
  /** Base64, as the client has them. */
  checksums: Partial<Record<ChecksumAlgorithm, string>>;
}

const checksumElements: readonly [name: string, algorithm: ChecksumAlgorithm][] = [
  ['ChecksumCRC32', 'CRC32'],
  ['ChecksumCRC32C', 'CRC32C'],
  ['ChecksumCRC64NVME', 'CRC64NVME'],
  ['ChecksumSHA1', 'SHA1'],
  ['ChecksumSHA256', 'SHA256'],
];

/**
 * The parts in the order given; whether they are in order and exist is not looked at.
 * @throws S3Error MalformedXML for none, more than 10,000, or a number outside 1 to 10,000
 */
export async function readCompleteMultipartUpload(bytes: Uint8Array): Promise<CompletedPart[]> {
  const root = await readLongXml(bytes, 'CompleteMultipartUpload', 1 + 10_000 * 8);
  onlyChildren(root, 'Part');
  if (root.children.length === 0 || root.children.length > 10_000) throw malformed(`${root.children.length} parts`);
  return root.children.map((part) => {
    const number = readInteger(required(part, 'PartNumber'));
    if (number < 1 || number > 10_000) throw malformed(`part number ${number}`);
    const checksums: CompletedPart['checksums'] = {};
    for (const [name, algorithm] of checksumElements) {
      const value = childText(part, name);
      if (value !== undefined) checksums[algorithm] = value.trim();
    }
    return {
      number,
      etag: required(part, 'ETag')
        .trim()
        .replace(/^"(.*)"$/, '$1'),
      checksums,
    };
  });
}

// ---- Tagging -----------------------------------------------------------------------------------------------------

export type TagSet = Record<string, string>;

export interface TagRules {
  what: 'Object' | 'Bucket';
  max: number;
}

export const objectTags: TagRules = { what: 'Object', max: 10 };
export const bucketTags: TagRules = { what: 'Bucket', max: 50 };

/** Unicode letters, spaces, numbers and + - = . _ : / @, as the user guide "Categorizing your objects" lists them. */
const tagText = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

/**
 * Validates pairs from XML or from the header `x-amz-tagging`.
 * @throws S3Error InvalidTag: too many, a key twice, above 128 (key) or 256 (value) characters, other characters
 */
export function checkTags(pairs: readonly (readonly [key: string, value: string])[], rules: TagRules): TagSet {
  if (pairs.length > rules.max) {
    throw new S3Error('InvalidTag', { message: `${rules.what} tags cannot be greater than ${rules.max}` });
  }
  const tags: [string, string][] = [];
  const seen = new Set<string>();
  for (const [key, value] of pairs) {
    const field = (message: string) => new S3Error('InvalidTag', { message, fields: { TagKey: key } });
    // The limits are in UTF-16 units, as the Java side of AWS counts them.
    if (key === '' || key.length > 128 || !tagText.test(key)) throw field('The TagKey you have provided is invalid');
    if (value.length > 256 || !tagText.test(value)) throw field('The TagValue you have provided is invalid');
    if (/^aws:/i.test(key)) throw field('System tags cannot be added/updated by requester');
    if (seen.has(key)) throw field('Cannot provide multiple Tags with the same key');
    seen.add(key);
    tags.push([key, value]);
  }
  // From entries: `__proto__` is a tag like any other.
  return Object.fromEntries(tags);
}

function readTag(element: XmlElement): [string, string] {
  if (element.name !== 'Tag') throw malformed(`${element.name} in place of Tag`);
  onlyChildren(element, 'Key', 'Value');
  return [required(element, 'Key'), required(element, 'Value')];
}

/** @throws S3Error MalformedXML, InvalidTag */
export function readTagging(bytes: Uint8Array, rules: TagRules): TagSet {
  const root = readXml(bytes, 'Tagging');
  onlyChildren(root, 'TagSet');
  const set = child(root, 'TagSet');
  if (!set) throw malformed('no TagSet');
  return checkTags(set.children.map(readTag), rules);
}
