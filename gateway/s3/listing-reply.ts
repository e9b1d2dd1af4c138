/** What the listings share: their parameters, validated as S3 does, and their elements. */
import { invalidArgument } from '../errors.js';
import type { Query } from '../http/types.js';
import type { ListedObject, ListPage } from '../storage/types.js';
import { ownerOf } from './owner.js';
import type { Context, XmlValue } from './types.js';

export interface ListingParameters {
  prefix: string;
  /** '' when none was given, or an empty one: both mean no grouping. */
  delimiter: string;
  maxKeys: number;
  /** Applied to every key-like text of the reply. */
  encode: (text: string) => string;
  /** `url`, or undefined: the element EncodingType. */
  encodingType: string | undefined;
}

/** @throws S3Error InvalidArgument */
export function listingParameters(query: Query): ListingParameters {
  const encodingType = query.get('encoding-type') || undefined;
  if (encodingType !== undefined && encodingType !== 'url') {
    throw invalidArgument('encoding-type', encodingType, 'Invalid Encoding Method specified in Request');
  }
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    maxKeys: Math.min(integerParameter(query, 'max-keys', { min: 0, max: 2_147_483_647, fallback: 1000 }), 1000),
    encode: encodingType === 'url' ? encodeKey : (text) => text,
    encodingType,
  };
}

/** A whole number between `min` and `max`; `fallback` when it is not given or empty. @throws S3Error InvalidArgument */
export function integerParameter(
  query: Query,
  name: string,
  { min, max, fallback }: { min: number; max: number; fallback: number },
): number {
  const text = query.get(name);
  if (text === undefined || text === '') return fallback;
  if (!/^[+-]?\d+$/.test(text)) {
    throw invalidArgument(name, text, `Provided ${name} not an integer or within integer range`);
  }
  const value = Number(text);
  if (value < min || value > max) {
    throw invalidArgument(name, text, `Argument ${name} must be an integer between ${min} and ${max}`);
  }
  return value;
}

/**
 * `encoding-type=url`: percent-encoded UTF-8 with `/`, `*` and the unreserved characters but `~` left as they are. A
 * space becomes `%20`, which every decoder understands, those of forms included.
 */
export function encodeKey(text: string): string {
  if (/^[A-Za-z0-9_.*/-]*$/.test(text)) return text;
  return encodeURIComponent(text.replace(/\p{Cs}/gu, '\ufffd'))
    .replace(/%2F/g, '/')
    .replace(/[!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

// ---- continuation tokens -----------------------------------------------------------------------------------------

/** First byte of a token: another form may follow it one day. */
const tokenVersion = '1';

/** An opaque token for "go on behind this name". It says nothing that the client may not ask for anyway. */
export function encodeToken(after: string): string {
  return Buffer.from(tokenVersion + after, 'utf8').toString('base64url');
}

/** @throws S3Error InvalidArgument for anything that `encodeToken` did not make */
export function decodeToken(token: string): string {
  const bytes = Buffer.from(token, 'base64url');
  const text = bytes.toString('utf8');
  // Decoders are lenient: only what encodes to the very same token was one of ours.
  if (!text.startsWith(tokenVersion) || encodeToken(text.slice(1)) !== token) {
    throw invalidArgument('continuation-token', token, 'The continuation token provided is incorrect');
  }
  return text.slice(1);
}

// ---- pages and elements ------------------------------------------------------------------------------------------

/** A page behind `after`. `max-keys=0` asks for nothing and gets it, not truncated. */
export async function readPage(context: Context, parameters: ListingParameters, after: string): Promise<ListPage> {
  const { prefix, delimiter, maxKeys } = parameters;
  if (maxKeys === 0) return { objects: [], prefixes: [] };
  return context.storage.list(context.place, { prefix, delimiter, after, limit: maxKeys });
}

let last = { seconds: Number.NaN, text: '' };

/** Listings give whole seconds, as `Last-Modified` does: clients compare the two. */
export function timestamp(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  // A job writes many files in one second.
  if (seconds !== last.seconds) last = { seconds, text: new Date(seconds * 1000).toISOString() };
  return last.text;
}

/** Contents of ListObjects, or Version of ListObjectVersions with `extra` in it. */
export async function objectElements(
  context: Context,
  page: ListPage,
  { encode }: ListingParameters,
  options: { owner: boolean; extra?: Record<string, XmlValue> },
): Promise<XmlValue[]> {
  const element = async (object: ListedObject): Promise<XmlValue> => ({
    Key: encode(object.key),
    ...options.extra,
    LastModified: timestamp(object.lastModified),
    ETag: `"${object.etag}"`,
    ChecksumAlgorithm: object.checksum?.algorithm,
    ChecksumType: object.checksum?.type,
    Size: object.size,
    Owner: options.owner ? { ...(await ownerOf(context, object.owner)) } : undefined,
    StorageClass: 'STANDARD',
  });
  return Promise.all(page.objects.map(element));
}

export function prefixElements(page: ListPage, { encode }: ListingParameters): XmlValue[] {
  return page.prefixes.map((prefix) => ({ Prefix: encode(prefix) }));
}
