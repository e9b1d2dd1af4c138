/**
 * From where requests may come: the listener's allow-list, each bucket's access mode, and whose word on a client's
 * address is taken. Pure. Asked before anybody is asked for permissions, so presigned URLs obey it too.
 */
import { inRange, parseAddress, parseRange, plainAddress, type Range } from './policy/address.js';

/** As in the configuration: ranges in CIDR notation (`192.0.2.0/24`, `2001:db8::/32`) or single addresses. */
export interface AddressSettings {
  /** Who is served at all; empty: everybody. */
  allowFrom: readonly string[];
  /** Proxies whose X-Forwarded-For is believed. */
  trustedProxies: readonly string[];
  /** What the access mode `private` means. */
  privateNetworks: readonly string[];
}

/** Loopback, RFC 1918, and unique local addresses (RFC 4193). */
export const defaultPrivateNetworks: readonly string[] = [
  '127.0.0.0/8',
  '::1',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  'fc00::/7',
];

export interface Addresses {
  /**
   * The client's address in its usual spelling (IPv4-mapped as IPv4), '' when nobody can tell it.
   * @param forwarded the X-Forwarded-For header
   */
  client(peer: string, forwarded: string | undefined): string;
  /** May this client speak to the gateway? Not one that is nowhere: `NotIpAddress` would be true of it. */
  served(client: string): boolean;
  /** May this client reach the bucket? @param access its configuration of the kind `access` */
  reaches(access: string | undefined, client: string): boolean;
}

/** @throws Error for a range that is none; the configuration has checked them before */
export function createAddresses(settings: Partial<AddressSettings>): Addresses {
  const allowFrom = rangesOf(settings.allowFrom ?? []);
  const trusted = rangesOf(settings.trustedProxies ?? []);
  const privateNetworks = rangesOf(settings.privateNetworks ?? defaultPrivateNetworks);
  const compiled = new Map<string, readonly Range[] | undefined>();

  function rangesOfBucket(access: string): readonly Range[] | undefined {
    if (compiled.has(access)) return compiled.get(access);
    const read = unpackAccess(access);
    const ranges =
      read?.mode === 'public' ? undefined : read?.mode === 'private' ? privateNetworks : rangesOf(read?.cidr ?? []);
    if (compiled.size >= 1000) compiled.clear();
    compiled.set(access, ranges);
    return ranges;
  }

  return {
    client: (peer, forwarded) => clientAddress(peer, forwarded, trusted),
    served: (client) => client !== '' && (allowFrom.length === 0 || isWithin(allowFrom, client)),
    reaches(access, client) {
      const ranges = access === undefined ? undefined : rangesOfBucket(access);
      return ranges === undefined || isWithin(ranges, client);
    },
  };
}

function isWithin(ranges: readonly Range[], client: string): boolean {
  const address = parseAddress(client);
  return address !== undefined && ranges.some((range) => inRange(address, range));
}

/**
 * Each proxy appends the address that it was called from. From right to left, as long as a trusted proxy says so: the
 * first address that is no trusted proxy's is the client; what stands left of it may be the client's invention.
 * Something that is no address, said by a trusted proxy, leaves the client unknown: to take the proxy's own address
 * instead would let its clients into private networks.
 */
function clientAddress(peer: string, forwarded: string | undefined, trusted: readonly Range[]): string {
  let client = plainAddress(peer);
  if (forwarded === undefined || trusted.length === 0) return client;
  for (const entry of forwarded.split(',').reverse()) {
    if (!isWithin(trusted, client)) return client;
    const address = withoutPort(entry.trim());
    if (parseAddress(address) === undefined) return '';
    client = plainAddress(address);
  }
  return client;
}

/** Some proxies append the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
const withoutPort = (entry: string): string =>
  entry.replace(/^\[(.*)\](?::\d+)?$/, '$1').replace(/^([\d.]+):\d+$/, '$1');

// ---- the access mode of a bucket ---------------------------------------------------------------------------------

export type Access = { mode: 'public' | 'private'; cidr?: undefined } | { mode: 'custom'; cidr: readonly string[] };

/** A long list costs every request; whoever needs more than this wants larger ranges. */
export const MAX_RANGES = 256;

export const isRange = (text: unknown): text is string => typeof text === 'string' && parseRange(text) !== undefined;

/** The form to store; undefined for `public`, which restricts nothing and needs no document. */
export const packAccess = (access: Access): string | undefined =>
  access.mode === 'public' ? undefined : JSON.stringify(access);

/** Undefined for what is no access mode: then nobody reaches the bucket, since what was meant is unknown. */
export function unpackAccess(text: string | undefined): Access | undefined {
  if (text === undefined) return { mode: 'public' };
  const { mode, cidr } = objectOf(text);
  if (mode === 'public' || mode === 'private') return { mode };
  return mode === 'custom' && Array.isArray(cidr) && cidr.every(isRange) ? { mode, cidr } : undefined;
}

function objectOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function rangesOf(list: readonly string[]): Range[] {
  return list.map((text) => {
    const range = parseRange(text);
    if (!range) throw new Error(`${JSON.stringify(text)} is no range of addresses`);
    return range;
  });
}
