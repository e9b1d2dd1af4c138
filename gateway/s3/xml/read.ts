/**
 * XML of a request body → a small tree. sax in strict mode still lets through two roots, empty input, repeated
 * attributes and DOCTYPE: all of these are refused here, so that no two readers can understand one document differently.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import sax from 'sax';
import { S3Error } from '../../errors.js';

export interface XmlElement {
  /** Local name, without a namespace prefix. */
  name: string;
  /** By the name as written. */
  attributes: Readonly<Record<string, string>>;
  children: XmlElement[];
  /** Character data, untrimmed (a key may be a space); '' where there are children. */
  text: string;
}

/** Of the lists of keys and parts: 1,000 keys of 1,024 bytes, each byte as a character reference of six bytes, fit. */
export const maxListBytes = 8 * 1024 * 1024;
/** Of all other documents: 100 grants with the longest ids, ten tags with every character escaped. */
export const maxXmlBytes = 128 * 1024;
const maxDepth = 24;
/** Characters that are parsed in one go, and milliseconds after which others get their turn. */
const sliceLength = 16 * 1024;
const maxTurn = 8;
/** Characters of one start tag. A larger one would have to be looked through in one go. */
const maxTag = 64 * 1024;

// XML 1.0 section 2.2: these may not stand in a document.
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
const forbidden = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

/**
 * The five of XML, and references to control characters: only XML 1.1 has those, but keys hold such characters, and S3
 * itself writes them so. Without a prototype, or `&constructor;` would be an entity.
 */
const entities: Record<string, string> = Object.assign(Object.create(null), {
  amp: '&',
  gt: '>',
  lt: '<',
  quot: '"',
  apos: "'",
});
for (let code = 1; code < 0x20; code++) {
  const character = String.fromCharCode(code);
  entities[`#${code}`] =
    entities[`#x${code.toString(16)}`] =
    entities[`#x${code.toString(16).padStart(2, '0')}`] =
      character;
}

function malformed(why: string, cause?: unknown): S3Error {
  return new S3Error('MalformedXML', { cause: cause ?? new Error(why) });
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw malformed('not UTF-8', error);
  }
}

/**
 * Reads a small document whose root element is `root`.
 * @throws S3Error MalformedXML for anything that is not one well-formed document without DOCTYPE in UTF-8;
 *   MaxMessageLengthExceeded above `maxXmlBytes`.
 */
export function readXml(bytes: Uint8Array, root: string): XmlElement {
  if (bytes.byteLength > maxXmlBytes) throw new S3Error('MaxMessageLengthExceeded');
  const source = decode(bytes);
  const reader = createReader(source, root, Number.POSITIVE_INFINITY);
  reader.to(source.length);
  return reader.end();
}

/**
 * Reads a document that may be large, and lets other requests have their turn meanwhile.
 * @param maxElements elements in all: what has more cannot be what is asked for
 * @throws S3Error as `readXml`; MaxMessageLengthExceeded above `maxListBytes`
 */
export async function readLongXml(bytes: Uint8Array, root: string, maxElements: number): Promise<XmlElement> {
  if (bytes.byteLength > maxListBytes) throw new S3Error('MaxMessageLengthExceeded');
  const source = decode(bytes);
  const reader = createReader(source, root, maxElements);
  let began = performance.now();
  for (let at = 0; at < source.length; at += sliceLength) {
    reader.to(Math.min(at + sliceLength, source.length));
    if (performance.now() - began < maxTurn) continue;
    await nextTurn();
    began = performance.now();
  }
  return reader.end();
}

interface Reader {
  /** Parses up to this position. */
  to(position: number): void;
  end(): XmlElement;
}

function createReader(source: string, root: string, maxElements: number): Reader {
  const parser = sax.parser(true, { position: true });
  parser.ENTITIES = entities;
  const open: XmlElement[] = [];
  let document: XmlElement | undefined;
  let elements = 0;
  let done = 0;

  const text = (data: string) => {
    const top = open.at(-1);
    if (top) top.text += data;
    else if (data.trim() !== '') throw malformed('text outside of the root');
  };
  parser.onerror = (error) => {
    throw malformed('not well-formed', error);
  };
  parser.ondoctype = () => {
    throw malformed('DOCTYPE');
  };
  parser.onsgmldeclaration = () => {
    throw malformed('a declaration');
  };
  parser.onprocessinginstruction = ({ name, body }) => {
    if (name.toLowerCase() !== 'xml') return;
    const encoding = /encoding\s*=\s*["']([^"']*)/.exec(body)?.[1];
    if (encoding && !/^(utf-?8|us-ascii)$/i.test(encoding)) throw malformed(`encoding ${encoding}`);
  };
  parser.ontext = text;
  parser.oncdata = text;
  parser.onattribute = () => {
    if (parser.position - parser.startTagPosition > maxTag) throw malformed('a start tag too long');
  };
  parser.onopentag = (tag) => {
    if (open.length === 0 && document) throw malformed('two roots');
    if (open.length >= maxDepth) throw malformed('too deep');
    if (++elements > maxElements) throw malformed('too many elements');
    // sax drops a repeated attribute without a word: count what the tag itself says.
    const raw = source.slice(parser.startTagPosition - 1, parser.position).replace(/"[^"]*"|'[^']*'/g, '');
    const attributes = tag.attributes as Record<string, string>;
    if (raw.split('=').length - 1 !== Object.keys(attributes).length) throw malformed('an attribute twice');
    const element: XmlElement = { name: local(tag.name), attributes, children: [], text: '' };
    open.at(-1)?.children.push(element);
    document ??= element;
    open.push(element);
  };
  parser.onclosetag = () => {
    const element = open.pop();
    if (!element) return;
    if (element.children.length > 0) {
      if (element.text.trim() !== '') throw malformed('text beside elements');
      element.text = '';
    }
    // A reference may name half of a surrogate pair, which no UTF-8 text can hold.
    if (/\p{Cs}/u.test(element.text) || element.text.includes('\0')) throw malformed('not a character');
  };
  const guarded = (work: () => void) => {
    try {
      work();
    } catch (error) {
      throw error instanceof S3Error ? error : malformed('not well-formed', error);
    }
  };
  return {
    to(position) {
      const slice = source.slice(done, position);
      if (forbidden.test(slice)) throw malformed('a character that XML does not allow');
      guarded(() => parser.write(slice));
      done = position;
    },
    end() {
      guarded(() => parser.close());
      if (!document || open.length > 0) throw malformed('no document');
      if (document.name !== root) throw malformed(`the root is ${document.name}`);
      return document;
    },
  };
}

function local(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

/** The only child of that name, or undefined. @throws S3Error MalformedXML when there are several. */
export function child(element: XmlElement, name: string): XmlElement | undefined {
  const found = element.children.filter((each) => each.name === name);
  if (found.length > 1) throw malformed(`${name} several times`);
  return found[0];
}

/** Text of the only child of that name, or undefined. @throws S3Error MalformedXML when it has elements in it. */
export function childText(element: XmlElement, name: string): string | undefined {
  const found = child(element, name);
  if (found && found.children.length > 0) throw malformed(`elements in ${name}`);
  return found?.text;
}

/** Refuses children that the schema does not know. @throws S3Error MalformedXML */
export function onlyChildren(element: XmlElement, ...names: string[]): void {
  for (const each of element.children) {
    if (!names.includes(each.name)) throw malformed(`${each.name} in ${element.name}`);
  }
}
