/**
 * A page of a listing as XML elements: written where the page is read, in a worker thread, so that the main thread, which
 * serves everybody, does not stand still over a thousand objects.
 */
import { encodeKey, escapeXml, timestamp } from '../reply-text.js';
import { fromBytes, toBytes } from './keys.js';
import type { ElementForm, ElementPage, ElementPart, ListedObject, ListPage } from './types.js';

/** Bytes for an element, with a key of common length. */
const roughly = 384;

/** Writes elements of a page, one after the other. */
export interface ElementWriter {
  /** @param key its bytes, latin1 */
  object(key: string, entry: Omit<ListedObject, 'key'>): void;
  /** Once, when all objects are written. */
  part(prefixes: readonly string[]): ElementPart;
}

/** @param expected so many objects @param into memory for them, if it is enough */
export function createElements(form: ElementForm, expected: number, into?: ArrayBuffer): ElementWriter {
  const encode = form.encoded ? encodeKey : (text: string) => text;
  const plain = form.encoded ? plainInUrls : plainInXml;
  const owners: (string | undefined)[] = [];
  let ownerPlaces = new Uint32Array(form.owner ? expected * 2 : 0);
  const open = `<${form.name}><Key>`;
  const close = `<StorageClass>STANDARD</StorageClass></${form.name}>`;
  const out = createText((expected + 2) * roughly, into);
  const [first, end, seam] = [open, close, close + open].map((text) => Buffer.from(text));
  const untilTime = Buffer.from(`</Key>${form.extra}<LastModified>`);
  // Files of one directory often have the same of these.
  let [time, between] = ['', untilTime];
  let [sum, behindEtag]: [ListedObject['checksum'], Buffer] = [undefined, Buffer.from(quoteAndSize(undefined))];
  let count = 0;

  return {
    object(key, { lastModified, etag, checksum, size, owner }) {
      const text = timestamp(lastModified);
      if (text !== time) {
        if (text.length !== time.length) {
          between = Buffer.concat([untilTime, Buffer.from(`${text}</LastModified><ETag>&quot;`)]);
        } else for (let i = 0; i < text.length; i++) between[untilTime.length + i] = text.charCodeAt(i);
        time = text;
      }
      if (checksum !== sum) [sum, behindEtag] = [checksum, Buffer.from(quoteAndSize(checksum))];
      // Where owners come in between, each element stands by itself.
      out.bytes(count === 0 || form.owner ? first! : seam!);
      if (!out.plain(key, plain)) out.text(escapeXml(encode(fromBytes(key))));
      out.bytes(between);
      if (!out.plain(etag, plainInXml)) out.text(escapeXml(etag));
      out.bytes(behindEtag);
      out.plain(`${size}`, plainInXml);
      out.bytes(sizeEnd);
      if (form.owner) {
        let index = owners.indexOf(owner);
        if (index < 0) index = owners.push(owner) - 1;
        if (ownerPlaces.length < (count + 1) * 2) {
          const more = new Uint32Array((count + 1) * 4);
          more.set(ownerPlaces);
          ownerPlaces = more;
        }
        ownerPlaces[count * 2] = out.used();
        ownerPlaces[count * 2 + 1] = index;
        out.bytes(end!);
      }
      count++;
    },
    part(prefixes) {
      if (count > 0 && !form.owner) out.bytes(end!);
      const below = createText(prefixes.length * (roughly / 4));
      for (const prefix of prefixes) {
        below.bytes(prefixOpen);
        if (!below.plain(prefix, plain)) below.text(escapeXml(encode(prefix)));
        below.bytes(prefixClose);
      }
      return {
        objects: out.written(),
        prefixes: below.written(),
        count: count + prefixes.length,
        owners,
        ownerPlaces: ownerPlaces.subarray(0, form.owner ? count * 2 : 0),
      };
    },
  };
}

export function writeElements({ objects, prefixes, next }: ListPage, form: ElementForm): ElementPage {
  const out = createElements(form, objects.length);
  for (const object of objects) out.object(toBytes(object.key), object);
  return { parts: [out.part(prefixes)], ...goesOn(next, objects.at(-1)?.key) };
}

/** Objects and common prefixes of a page together. */
export const countOf = ({ parts }: Pick<ElementPage, 'parts'>): number =>
  parts.reduce((sum, part) => sum + part.count, 0);

/** How a page says where the next one begins. @param last key of its last object */
export const goesOn = (next: string | undefined, last: string | undefined): Pick<ElementPage, 'next' | 'nextIsKey'> =>
  next === undefined ? { nextIsKey: false } : { next, nextIsKey: next === last };

const [prefixOpen, prefixClose] = ['<CommonPrefixes><Prefix>', '</Prefix></CommonPrefixes>'].map((text) =>
  Buffer.from(text),
) as [Buffer, Buffer];
const sizeEnd = Buffer.from('</Size>');

const quoteAndSize = (checksum: ListedObject['checksum']): string => {
  const sum = checksum
    ? `<ChecksumAlgorithm>${checksum.algorithm}</ChecksumAlgorithm><ChecksumType>${checksum.type}</ChecksumType>`
    : '';
  return `&quot;</ETag>${sum}<Size>`;
};

/** The ASCII characters that such a function leaves as they are. */
const unchanged = (by: (text: string) => string): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, code) => {
    const character = String.fromCharCode(code);
    return code < 0x80 && by(character) === character ? 1 : 0;
  });
const plainInXml = unchanged(escapeXml);
const plainInUrls = unchanged((text) => escapeXml(encodeKey(text)));

/** Text that grows, in UTF-8. Most of it is ASCII, byte by byte: a string for each element costs more than to write it. */
function createText(expected: number, into?: ArrayBuffer) {
  let bytes = into && into.byteLength >= expected ? Buffer.from(into) : Buffer.allocUnsafeSlow(expected);
  let used = 0;
  const room = (length: number): void => {
    if (bytes.length - used >= length) return;
    const larger = Buffer.allocUnsafeSlow(bytes.length * 2 + length);
    bytes.copy(larger, 0, 0, used);
    bytes = larger;
  };
  return {
    used: () => used,
    bytes(some: Uint8Array): void {
      room(some.length);
      bytes.set(some, used);
      used += some.length;
    },
    /** Writes it if it consists of such characters only. */
    plain(text: string, characters: Uint8Array): boolean {
      const { length } = text;
      room(length);
      for (let i = 0; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code >= 0x80 || characters[code] === 0) return false;
        bytes[used + i] = code;
      }
      used += length;
      return true;
    },
    text(text: string): void {
      // A unit of UTF-16 takes three bytes at most.
      room(text.length * 3);
      used += bytes.write(text, used, 'utf8');
    },
    written: (): Uint8Array<ArrayBuffer> => bytes.subarray(0, used),
  };
}

/** Objects with their owners. @param element the element Owner of each of `owners` */
export function withOwners({ objects, ownerPlaces }: ElementPart, element: readonly string[]): Uint8Array {
  if (ownerPlaces.length === 0) return objects;
  const texts = element.map((text) => Buffer.from(text, 'utf8'));
  let length = objects.length;
  for (let i = 1; i < ownerPlaces.length; i += 2) length += texts[ownerPlaces[i]!]!.length;
  const all = Buffer.allocUnsafe(length);
  let [from, to] = [0, 0];
  for (let i = 0; i < ownerPlaces.length; i += 2) {
    const [until, text] = [ownerPlaces[i]!, texts[ownerPlaces[i + 1]!]!];
    all.set(objects.subarray(from, until), to);
    to += until - from;
    all.set(text, to);
    [from, to] = [until, to + text.length];
  }
  all.set(objects.subarray(from), to);
  return all;
}
