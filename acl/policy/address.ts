/** Internet addresses and ranges in CIDR notation. */
import { isIPv4, isIPv6 } from 'node:net';

export interface Range {
  /** 4 or 16 bytes. */
  bytes: readonly number[];
  /** Leading bits that count. */
  bits: number;
}

/** The bytes of an address; an IPv4-mapped one (`::ffff:192.0.2.1`) is the IPv4 address. Undefined if it is none. */
export function parseAddress(text: string): number[] | undefined {
  if (isIPv4(text)) return text.split('.').map(Number);
  // A zone (`fe80::1%eth0`) is this machine's business.
  const plain = text.split('%', 1)[0]!;
  if (!isIPv6(plain)) return undefined;
  const bytes = ipv6Bytes(plain);
  return isMapped(bytes) ? bytes.slice(12) : bytes;
}

function ipv6Bytes(text: string): number[] {
  const hex = text.replace(/[\d.]+$/, (tail) => {
    if (!tail.includes('.')) return tail;
    const [a, b, c, d] = tail.split('.').map(Number);
    return `${((a! << 8) | b!).toString(16)}:${((c! << 8) | d!).toString(16)}`;
  });
  const [head = '', tail] = hex.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
  return all.flatMap((group) => [group >> 8, group & 255]);
}

const isMapped = (bytes: readonly number[]): boolean =>
  bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;

/** The usual spelling of an address: IPv4-mapped ones as IPv4. */
export function plainAddress(text: string): string {
  if (isIPv4(text)) return text;
  const bytes = parseAddress(text);
  return bytes?.length === 4 ? bytes.join('.') : text.split('%', 1)[0]!;
}

/** `192.0.2.0/24`, `2001:db8::/32`, or a single address. Undefined for anything else. */
export function parseRange(text: string): Range | undefined {
  const [, address = '', length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (address.includes('%')) return undefined;
  const bytes = parseAddress(address);
  if (!bytes) return undefined;
  const mapped = bytes.length === 4 && address.includes(':');
  const bits = length === undefined ? bytes.length * 8 : Number(length) - (mapped ? 96 : 0);
  return bits >= 0 && bits <= bytes.length * 8 ? { bytes, bits } : undefined;
}

/** An IPv4 address is in no IPv6 range, not even `::/0`. */
export function inRange(address: readonly number[], { bytes, bits }: Range): boolean {
  if (address.length !== bytes.length) return false;
  const whole = bits >> 3;
  for (let at = 0; at < whole; at++) if (address[at] !== bytes[at]) return false;
  const rest = bits & 7;
  return rest === 0 || (address[whole]! ^ bytes[whole]!) >> (8 - rest) === 0;
}
