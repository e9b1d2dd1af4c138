/** Header values beyond ASCII: UTF-8 bytes as node delivers them, and the encoded words of RFC 2047. Pure. */

/** Node gives header bytes as latin1: UTF-8 is read as such, other bytes stay the latin1 that they may well be. */
export function decodeHeader(value: string): string {
  if (isPlain(value)) return value;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(value, 'latin1'));
  } catch {
    return value;
  }
}

/** Text as node's `writeHead` wants it, one character a byte, UTF-8 on the wire. */
export function encodeHeader(value: string): string {
  return isPlain(value) ? value : Buffer.from(value, 'utf8').toString('latin1');
}

/**
 * User metadata as a client sends it. "Values of such headers are character decoded as per RFC 2047 before storing and
 * encoded as per RFC 2047 to make them mail-safe before returning" (S3 user guide, "Working with object metadata").
 */
export function decodeUserMetadata(value: string): string {
  const text = decodeHeader(value);
  if (!text.includes('=?')) return text;
  // White space between two encoded words is none (RFC 2047 section 6.2).
  const joined = text.replace(/(\?=)\s+(?==\?[^?\s]+\?[bq]\?)/gi, '$1');
  // Neighbours of one charset and encoding are joined first: a sender may have cut a character in two.
  return joined.replace(/(?:=\?utf-8(?:\*[^?]*)?\?[bq]\?[^?\s]*\?=)+/gi, (run) => {
    const bytes: Buffer[] = [];
    for (const [, encoding, data] of run.matchAll(/=\?[^?]+\?([bq])\?([^?\s]*)\?=/gi)) {
      bytes.push(encoding!.toLowerCase() === 'b' ? Buffer.from(data!, 'base64') : decodeQ(data!));
    }
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(bytes));
    } catch {
      return run;
    }
  });
}

function decodeQ(data: string): Buffer {
  const text = data
    .replaceAll('_', ' ')
    .replace(/=([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(text, 'latin1');
}

/**
 * User metadata for a reply: as it is when it is printable ASCII that nobody would take for an encoded word, else in
 * encoded words of at most 75 characters. So nothing that was stored can break out of its header line.
 */
export function encodeUserMetadata(value: string): string {
  if (/^[\x20-\x7e]*$/.test(value) && !/=\?utf-8/i.test(value)) return value;
  const words: string[] = [];
  let word = '';
  for (const character of value) {
    // 45 bytes are 60 characters of base64 and 12 of frame.
    if (Buffer.byteLength(word) + Buffer.byteLength(character) > 45) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  words.push(word);
  return words.map((each) => `=?UTF-8?B?${Buffer.from(each, 'utf8').toString('base64')}?=`).join(' ');
}

function isPlain(value: string): boolean {
  return /^[\x20-\x7e\t]*$/.test(value);
}

/** True when a header may hold it: no control characters but tab. */
export function fitsHeader(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  return !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value);
}
