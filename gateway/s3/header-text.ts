/** Header values beyond ASCII: UTF-8 bytes, as node delivers and takes them one character a byte. Pure. */

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

function isPlain(value: string): boolean {
  return /^[\x20-\x7e\t]*$/.test(value);
}

/** True when a header may hold it: no control characters but tab. */
export function fitsHeader(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  return !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value);
}
