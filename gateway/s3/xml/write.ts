/** Object literals → XML of a reply. */
import { escapeXml } from '../../reply-text.js';
import type { XmlValue } from '../types.js';

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';
/** Roots that S3 sends without a namespace. */
const bare: ReadonlySet<string> = new Set(['Error', 'PostResponse']);
export const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';

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

/** The two ends of a document, between which elements come that are written already: behind those of the root. */
export function writeAround(document: { [root: string]: XmlValue }): [before: Buffer, after: Buffer] {
  const text = writeXml(document);
  const end = text.lastIndexOf('</');
  return [Buffer.from(text.slice(0, end), 'utf8'), Buffer.from(text.slice(end), 'utf8')];
}

/** Elements of one name, for a document of which they are a part. */
export const writeElement = (name: string, value: XmlValue): string => element(name, value, '');
