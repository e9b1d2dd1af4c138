/** Object literals → XML of a reply. */
import type { XmlValue } from '../types.js';

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';
/** Roots that S3 sends without a namespace. */
const bare: ReadonlySet<string> = new Set(['Error', 'PostResponse']);
export const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not go out raw
const special = /[&<>"\u0000-\u001f\u007f-\u009f\u2028\ufffe\uffff]/g;

/**
 * A control character goes out as a reference: a raw CR would arrive as LF (XML 1.0 section 2.11). For those that XML
 * 1.0 has no reference for, S3 writes one nevertheless: a strict parser then stops, where leaving the character out
 * would name another key. `encoding-type=url` exists for such keys.
 */
function escapeCharacter(character: string): string {
  switch (character) {
    case '&':
      return '&amp;';
    case '<':
      return '&lt;';
    case '>':
      return '&gt;';
    case '"':
      return '&quot;';
    case '\n':
      return '&#10;';
    default:
      return `&#x${character.charCodeAt(0).toString(16).toUpperCase()};`;
  }
}

/** ASCII without the characters of markup. */
const plain = /^[ !#-%'-;=?-~]*$/;

/** Text for an element or a quoted attribute. */
export function escapeXml(text: string): string {
  if (plain.test(text)) return text;
  return text.replace(/\p{Cs}/gu, '\ufffd').replace(special, escapeCharacter);
}

function element(name: string, value: XmlValue, xmlns: string): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return `<${name}${xmlns}>${escapeXml(value)}</${name}>`;
  if (typeof value !== 'object') return `<${name}${xmlns}>${value}</${name}>`;
  let attributes = xmlns;
  let content = '';
  if (Array.isArray(value)) {
    for (const each of value) content += element(name, each, xmlns);
    return content;
  }
  // Not `Object.entries`: a page of a listing has ten thousand of them.
  for (const key of Object.keys(value)) {
    const inner = value[key];
    if (inner === undefined) continue;
    if (key.startsWith('@')) attributes += ` ${key.slice(1)}="${escapeXml(String(inner))}"`;
    else if (key === '#text') content += escapeXml(String(inner));
    else content += element(key, inner, '');
  }
  return `<${name}${attributes}>${content}</${name}>`;
}

/**
 * A document with S3's namespace on its root (but for the `bare` ones, and those that name another: `@xmlns`). In an object, keys are element names, arrays repeat
 * the element, undefined is left out, `@name` is an attribute, `#text` the text beside attributes.
 */
export function writeXml(document: { [root: string]: XmlValue }, withDeclaration = true): string {
  const [entry, ...more] = Object.entries(document);
  if (!entry || more.length > 0) throw new TypeError('a document has one root');
  const [name, value] = entry;
  const named = typeof value === 'object' && '@xmlns' in value;
  const xmlns = named || bare.has(name) ? '' : ` xmlns="${namespace}"`;
  return (withDeclaration ? declaration : '') + element(name, value ?? {}, xmlns);
}
