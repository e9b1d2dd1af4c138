/** How texts stand in replies. Pure. */

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

const SECONDS_OF_DAY = 86_400;
const twoDigits = Array.from({ length: 60 }, (_, number) => `${number}`.padStart(2, '0'));
let today = { day: Number.NaN, date: '' };
let last = { seconds: Number.NaN, text: '' };

/** Listings give whole seconds, as `Last-Modified` does: clients compare the two. */
export function timestamp(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  // A job writes many files in one second, and most in few days.
  if (seconds !== last.seconds) last = { seconds, text: textOf(seconds) };
  return last.text;
}

function textOf(seconds: number): string {
  const day = Math.floor(seconds / SECONDS_OF_DAY);
  if (day !== today.day) {
    today = { day, date: new Date(seconds * 1000).toISOString().slice(0, -'hh:mm:ss.000Z'.length) };
  }
  const time = seconds - day * SECONDS_OF_DAY;
  const minutes = Math.floor(time / 60);
  return `${today.date}${twoDigits[Math.floor(minutes / 60)]}:${twoDigits[minutes % 60]}:${twoDigits[time % 60]}.000Z`;
}
