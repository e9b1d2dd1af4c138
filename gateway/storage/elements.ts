/**
 * A page of a listing as XML elements: written where the page is read, in a worker thread, so that the main thread, which
 * serves everybody, does not stand still over a thousand objects.
 */
import { encodeKey, escapeXml, timestamp } from '../reply-text.js';
import type { ElementForm, ElementPage, ListedObject, ListPage } from './types.js';

/** Bytes for an element, with a key of common length. */
const roughly = 384;
/** Characters that are written at once. */
const enough = 8 << 10;

/** @param into memory for the objects, if it is enough */
export function writeElements(page: ListPage, form: ElementForm, into?: ArrayBuffer): ElementPage {
  const { objects, prefixes, next } = page;
  const encode = form.encoded ? encodeKey : (text: string) => text;
  const owners: (string | undefined)[] = [];
  const ownerPlaces = new Uint32Array(form.owner ? objects.length * 2 : 0);
  const open = `<${form.name}><Key>`;
  const close = `<StorageClass>STANDARD</StorageClass></${form.name}>`;
  const out = createText((objects.length + 2) * roughly, into);
  /** A write costs as much as some elements do. */
  let gathered = '';
  // Files of one directory often have the same of these.
  let [seconds, between] = [Number.NaN, ''];
  let [sum, sumText]: [ListedObject['checksum'], string] = [undefined, ''];
  for (const [i, { key, lastModified, etag, checksum, size, owner }] of objects.entries()) {
    const name = escapeXml(encode(key));
    if (Math.floor(lastModified / 1000) !== seconds) {
      seconds = Math.floor(lastModified / 1000);
      between = `</Key>${form.extra}<LastModified>${timestamp(lastModified)}</LastModified><ETag>&quot;`;
    }
    if (checksum !== sum) [sum, sumText] = [checksum, checksum ? sumElements(checksum) : ''];
    const text = `${open}${name}${between}${escapeXml(etag)}&quot;</ETag>${sumText}<Size>${size}</Size>`;
    if (!form.owner) {
      gathered += text + close;
      if (gathered.length < enough) continue;
      out.write(gathered);
      gathered = '';
      continue;
    }
    let index = owners.indexOf(owner);
    if (index < 0) index = owners.push(owner) - 1;
    ownerPlaces[i * 2] = out.write(text);
    ownerPlaces[i * 2 + 1] = index;
    out.write(close);
  }
  out.write(gathered);
  gathered = '';
  const below = createText(prefixes.length * (roughly / 4));
  for (const prefix of prefixes) {
    gathered += `<CommonPrefixes><Prefix>${escapeXml(encode(prefix))}</Prefix></CommonPrefixes>`;
    if (gathered.length < enough) continue;
    below.write(gathered);
    gathered = '';
  }
  below.write(gathered);
  return {
    objects: out.bytes(),
    prefixes: below.bytes(),
    count: objects.length + prefixes.length,
    ...(next !== undefined && { next }),
    nextIsKey: next !== undefined && objects.at(-1)?.key === next,
    owners,
    ownerPlaces,
  };
}

const sumElements = ({ algorithm, type }: NonNullable<ListedObject['checksum']>): string =>
  `<ChecksumAlgorithm>${algorithm}</ChecksumAlgorithm><ChecksumType>${type}</ChecksumType>`;

/** Text that grows, in UTF-8. */
function createText(expected: number, into?: ArrayBuffer) {
  let bytes = into && into.byteLength >= expected ? Buffer.from(into) : Buffer.allocUnsafeSlow(expected);
  let used = 0;
  return {
    /** @returns the bytes that there are now */
    write(text: string): number {
      // A unit of UTF-16 takes three bytes at most.
      if (bytes.length - used < text.length * 3) {
        const larger = Buffer.allocUnsafeSlow(bytes.length * 2 + text.length * 3);
        bytes.copy(larger, 0, 0, used);
        bytes = larger;
      }
      used += bytes.write(text, used, 'utf8');
      return used;
    },
    bytes: (): Uint8Array<ArrayBuffer> => bytes.subarray(0, used),
  };
}

/** The objects of a page with their owners. @param element the element Owner of each of `owners` */
export function withOwners({ objects, ownerPlaces }: ElementPage, element: readonly string[]): Uint8Array {
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
