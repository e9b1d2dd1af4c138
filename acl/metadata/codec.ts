/**
 * The stored form of an object's metadata: one version byte, then JSON with short keys. Whoever may write a file may
 * write its attributes too: the decoder takes any bytes, and gives a record in which every value is of its kind and can
 * go into a header, or nothing.
 */
import { randomBytes } from 'node:crypto';
import { S3Error } from '../../gateway/errors.js';
import type { Stamp } from './stamp.js';
import type { ChecksumAlgorithm, ChecksumType, ObjectMeta, PartSummary, SystemHeaders } from './types.js';

/** A directory that is an object itself: the key `dir/`. */
export interface Marker {
  /** Milliseconds since the epoch; the directory's own mtime changes with each entry. */
  modified: number;
  /** File in the bucket's `bodies/` that holds the content and its metadata, when it is not empty. */
  body?: string;
}

/** All that the attribute of a file or directory can say. */
export interface Packed {
  stamp?: Stamp;
  /** `etag` is `''` where none is known. */
  meta?: ObjectMeta;
  marker?: Marker;
  /** The gateway made this directory, so it may remove it when it becomes empty. */
  made?: boolean;
}

/** Where metadata lies that the attribute had no room for. */
export interface Overflow {
  name: string;
  /** SHA-256, hex: keeps a swapped file from being believed. */
  hash: string;
  /** The metadata's, for whoever wants to know no more than that. Older records do not tell it. */
  etag?: string;
}

const VERSION = 1;
/** Larger than any attribute (64 KiB) or overflow file (10,000 parts with SHA-256 checksums) that this program writes. */
export const MAX_PACKED = 2 << 20;

const algorithms: readonly string[] = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] satisfies ChecksumAlgorithm[];
const types: readonly string[] = ['COMPOSITE', 'FULL_OBJECT'] satisfies ChecksumType[];
const headerKeys = {
  t: 'contentType',
  c: 'cacheControl',
  d: 'contentDisposition',
  e: 'contentEncoding',
  l: 'contentLanguage',
  x: 'expires',
  w: 'websiteRedirectLocation',
} as const satisfies Record<string, keyof SystemHeaders>;

/** Names of overflow and body files: they come from attributes that users can write, and must not name anything else. */
export const isFileName = (name: unknown): name is string => typeof name === 'string' && /^[0-9a-f]{32}$/.test(name);

/**
 * A new name for what belongs to one file or directory: its inode number and 64 random bits. Whoever names another's in an
 * attribute that he may write does not get to read or remove it.
 */
export const nameFor = (ino: bigint): string => prefixOf(ino) + randomBytes(8).toString('hex');

export const belongsTo = (name: string, ino: bigint): boolean => name.startsWith(prefixOf(ino));

const prefixOf = (ino: bigint): string => ino.toString(16).padStart(16, '0');

// ---- encoding ----------------------------------------------------------------------------------------------------

const packMeta = (meta: ObjectMeta): object => ({
  e: meta.etag || undefined,
  h: pairsOf(
    Object.entries(headerKeys).map(([short, name]) => [short, meta.headers[name]] as [string, string | undefined]),
  ),
  u: pairsOf(Object.entries(meta.user)),
  t: meta.tags ? (pairsOf(Object.entries(meta.tags)) ?? []) : undefined,
  c: meta.checksum && [meta.checksum.algorithm, meta.checksum.type, meta.checksum.value],
  p: meta.parts?.map((part) =>
    part.checksum === undefined ? [part.number, part.size] : [part.number, part.size, part.checksum],
  ),
  i: meta.uploadId,
  w: meta.write,
  o: meta.owner,
  a: meta.acl,
});

/** Flat, because a name like `__proto__` would be lost as a key of an object literal. */
const pairsOf = (entries: [string, string | undefined][]): string[] | undefined => {
  const flat = entries.filter((entry): entry is [string, string] => entry[1] !== undefined).flat();
  return flat.length ? flat : undefined;
};

const pack = (value: object): Buffer => Buffer.concat([Buffer.of(VERSION), Buffer.from(JSON.stringify(value), 'utf8')]);

const shell = (packed: Packed): Record<string, unknown> => ({
  s: packed.stamp && [
    packed.stamp.size,
    packed.stamp.mtimeNs.toString(36),
    packed.stamp.ino.toString(36),
    packed.stamp.bound.toString(36),
  ],
  k:
    packed.marker &&
    (packed.marker.body === undefined ? [packed.marker.modified] : [packed.marker.modified, packed.marker.body]),
  d: packed.made ? 1 : undefined,
});

/** The whole record in one value. */
export const encode = (packed: Packed): Buffer => pack({ ...shell(packed), m: packed.meta && packMeta(packed.meta) });

/** The value of an attribute whose metadata lies in an overflow file. */
export const encodeReference = (packed: Packed, overflow: Overflow): Buffer =>
  pack({ ...shell(packed), x: [overflow.name, overflow.hash, overflow.etag] });

/** The content of an overflow file. */
export const encodeMeta = (meta: ObjectMeta): Buffer => pack(packMeta(meta));

/**
 * Throws InvalidArgument for metadata that would not come back as it was given, so that nothing is lost silently:
 * control characters, which no header can carry, and halves of surrogate pairs.
 */
export const requireStorable = (meta: ObjectMeta): void => {
  const back = decodeMeta(encodeMeta(meta));
  if (!back)
    throw new S3Error('InvalidArgument', { message: 'The metadata contains characters that cannot be stored.' });
};

// ---- decoding ----------------------------------------------------------------------------------------------------

/** The record in an attribute's value, and where the rest of it lies; undefined for anything that is not a record. */
export const decode = (bytes: Uint8Array): (Packed & { overflow?: Overflow }) | undefined => {
  const value = parse(bytes);
  if (!value) return undefined;
  const packed: Packed & { overflow?: Overflow } = {};
  if (value['s'] !== undefined && !(packed.stamp = readStamp(value['s']))) return undefined;
  if (value['k'] !== undefined && !(packed.marker = readMarker(value['k']))) return undefined;
  if (value['d'] === 1) packed.made = true;
  if (value['m'] !== undefined && !(packed.meta = readMeta(value['m']))) return undefined;
  if (value['x'] !== undefined) {
    const [name, hash, etag] = Array.isArray(value['x']) ? value['x'] : [];
    if (!isFileName(name) || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) return undefined;
    packed.overflow = isEtag(etag) ? { name, hash, etag } : { name, hash };
  }
  return packed;
};

/** The content of an overflow file; undefined for anything else. */
export const decodeMeta = (bytes: Uint8Array): ObjectMeta | undefined => {
  const value = parse(bytes);
  return value && readMeta(value);
};

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const parse = (bytes: Uint8Array): Record<string, unknown> | undefined => {
  if (bytes.byteLength < 3 || bytes.byteLength > MAX_PACKED || bytes[0] !== VERSION) return undefined;
  try {
    const value: unknown = JSON.parse(textOf(bytes));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
};

/** Behind the version. Nearly all is ASCII, which takes no decoder. */
const textOf = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.byteLength - 1).toString('latin1');
  return printable.test(text) ? text : utf8.decode(bytes.subarray(1));
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

// A header is split at a line end: a stored value must not be able to add one. Tab is allowed (RFC 9110, 5.5).
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unfit = /[\0-\x08\x0a-\x1f\x7f]|\p{Surrogate}/u;
const printable = /^[ -~]*$/;
const isText = (value: unknown): value is string =>
  typeof value === 'string' && (printable.test(value) || !unfit.test(value));

/** A value as it is on the wire, one character a byte: what a header can hold. */
const isBytes = (text: string): boolean => printable.test(text) || !/[^\0-\xff]/.test(text);
/** What goes into headers and documents as it is: base64, with a number behind it. */
const isChecksum = (value: unknown): value is string => typeof value === 'string' && printable.test(value);

const tenDigits = 36n ** 10n;

const readBig = (value: unknown): bigint | undefined => {
  if (typeof value !== 'string' || !/^-?[0-9a-z]{1,13}$/.test(value)) return undefined;
  const negative = value.startsWith('-');
  const digits = negative ? value.slice(1) : value;
  // Ten digits fit into a number: they are read much faster than as a bigint.
  const low = BigInt(Number.parseInt(digits.slice(-10), 36));
  const result = digits.length > 10 ? BigInt(Number.parseInt(digits.slice(0, -10), 36)) * tenDigits + low : low;
  return negative ? -result : result;
};

const readStamp = (value: unknown): Stamp | undefined => {
  if (!Array.isArray(value) || value.length !== 4 || !isCount(value[0])) return undefined;
  const [mtimeNs, ino, bound] = value.slice(1).map(readBig);
  if (mtimeNs === undefined || ino === undefined || bound === undefined) return undefined;
  return { size: value[0], mtimeNs, ino, bound };
};

const readMarker = (value: unknown): Marker | undefined => {
  if (!Array.isArray(value) || !isCount(value[0])) return undefined;
  if (value[1] === undefined) return { modified: value[0] };
  return isFileName(value[1]) ? { modified: value[0], body: value[1] } : undefined;
};

const readPairs = (value: unknown, isName: (name: string) => boolean): [string, string][] | undefined => {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length % 2 || !value.every(isText)) return undefined;
  const pairs: [string, string][] = [];
  for (let i = 0; i < value.length; i += 2) {
    const [name, text] = value.slice(i, i + 2) as [string, string];
    if (!isName(name)) return undefined;
    pairs.push([name, text]);
  }
  return pairs;
};

const isHeaderKey = (name: string): name is keyof typeof headerKeys => Object.hasOwn(headerKeys, name);
const isToken = (name: string): boolean => /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name);
// entity-tag without its quotes (RFC 9110, 8.8.3), the ASCII part of it.
const isEtag = (value: unknown): value is string => typeof value === 'string' && /^[!#-~]{1,128}$/.test(value);

/** See `ObjectMeta.write`. */
export const isWriteId = (value: unknown): value is string =>
  typeof value === 'string' && /^(Put|Post|Copy|CompleteMultipartUpload)-[0-9a-f]{32}$/.test(value);

const readMeta = (value: unknown): ObjectMeta | undefined => {
  if (!isRecord(value)) return undefined;
  const { e: etag = '', i: uploadId, o: owner } = value;
  const headers = readPairs(value['h'], isHeaderKey);
  const user = readPairs(value['u'], isToken);
  const tags = readPairs(value['t'], () => true);
  if ((etag !== '' && !isEtag(etag)) || !headers || !user || !tags) return undefined;
  if (!user.every(([, text]) => isBytes(text))) return undefined;
  const meta: ObjectMeta = {
    etag: etag as string,
    headers: {},
    // `fromEntries` defines properties, it never calls the setter of `__proto__`.
    user: Object.fromEntries(user),
  };
  for (const [short, text] of headers) meta.headers[headerKeys[short as keyof typeof headerKeys]] = text;
  if (value['t'] !== undefined) meta.tags = Object.fromEntries(tags);
  if (value['c'] !== undefined) {
    const [algorithm, type, text] = Array.isArray(value['c']) ? value['c'] : [];
    if (!algorithms.includes(algorithm) || !types.includes(type) || !isChecksum(text)) return undefined;
    meta.checksum = { algorithm, type, value: text };
  }
  if (value['p'] !== undefined) {
    if (!Array.isArray(value['p']) || value['p'].length > 10_000) return undefined;
    const parts = value['p'].map(readPart);
    if (!parts.every((part) => part !== undefined)) return undefined;
    meta.parts = parts as PartSummary[];
  }
  if (uploadId !== undefined) {
    if (!isText(uploadId)) return undefined;
    meta.uploadId = uploadId;
  }
  if (owner !== undefined) {
    if (!isText(owner)) return undefined;
    meta.owner = owner;
  }
  if (isWriteId(value['w'])) meta.write = value['w'];
  // What is no ACL gives nothing to anybody: not a reason to lose the rest.
  if (isText(value['a'])) meta.acl = value['a'];
  return meta;
};

const readPart = (value: unknown): PartSummary | undefined => {
  if (!Array.isArray(value) || !isCount(value[0]) || !isCount(value[1])) return undefined;
  if (value[2] === undefined) return { number: value[0], size: value[1] };
  return isChecksum(value[2]) ? { number: value[0], size: value[1], checksum: value[2] } : undefined;
};
