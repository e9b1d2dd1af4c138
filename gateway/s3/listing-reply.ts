/** What the listings share: their parameters, validated as S3 does, and their elements. */
import { invalidArgument } from '../errors.js';
import type { Query } from '../http/types.js';
import { encodeKey } from '../reply-text.js';
import { withOwners, writeElements } from '../storage/elements.js';
import type { ElementForm, ElementPage, Sink } from '../storage/types.js';
import { ownerOf } from './owner.js';
import type { Context, Reply, XmlValue } from './types.js';
import { writeAround, writeElement } from './xml/write.js';

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
export async function readPage(
  context: Context,
  { prefix, delimiter, maxKeys, encodingType }: ListingParameters,
  after: string,
  form: Pick<ElementForm, 'name' | 'owner'> & { extra?: string },
): Promise<ElementPage> {
  const request = { prefix, delimiter, after, limit: maxKeys };
  const whole = { extra: '', ...form, encoded: encodingType === 'url' };
  if (maxKeys === 0) return writeElements({ objects: [], prefixes: [] }, whole);
  return context.storage.listElements(context.place, request, whole);
}

/** More bytes are not copied together: it would be much memory that waits for the collector. */
const inOneWrite = 64 << 10;

/** The reply: what is told of the page as a whole, then its objects and common prefixes. */
export async function pageReply(
  context: Context,
  page: ElementPage,
  document: { [root: string]: XmlValue },
): Promise<Reply> {
  const [before, after] = writeAround(document);
  const objects: Uint8Array[] = [];
  for (const part of page.parts) {
    const owners = await Promise.all(part.owners.map((id) => ownerOf(context, id)));
    const elements = owners.map((owner) => writeElement('Owner', { ...owner }));
    objects.push(withOwners(part, elements));
  }
  const pieces = [before, ...objects, Buffer.concat([...page.parts.map(({ prefixes }) => prefixes), after])];
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length <= inOneWrite) {
    const bytes = Buffer.concat(pieces, length);
    page.done?.();
    return { body: { bytes, type: 'application/xml' } };
  }
  const send = async (sink: Sink) => {
    for (const piece of pieces) await sink(piece);
  };
  const close = async () => page.done?.();
  return { headers: { 'content-type': 'application/xml' }, body: { length, send, close } };
}
