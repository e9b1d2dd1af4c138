/** A request as it came over the wire, before anybody interprets it. */

/** Lower-case header names; a header that came several times is joined with `,` as RFC 9110 section 5.3 allows. */
export type Headers = ReadonlyMap<string, string>;

/** Query parameters in wire order, percent-decoded; `raw*` keep the wire form for signatures. */
export interface QueryParam {
  name: string;
  value: string;
  rawName: string;
  /** Undefined when there was no `=`. */
  rawValue: string | undefined;
}

export interface Query {
  readonly params: readonly QueryParam[];
  /** The first value, or undefined. A parameter without `=` has the value ''. */
  get(name: string): string | undefined;
  has(name: string): boolean;
}

export interface WireRequest {
  method: string;
  /** Path of the request target exactly as received, without the query. */
  rawPath: string;
  /** Query exactly as received, without `?`; '' when there is none. */
  rawQuery: string;
  headers: Headers;
  query: Query;
  /** Address of the peer; behind proxies that are believed, of the client (`acl/addresses.ts`); '' when unknown. */
  remoteAddress: string;
  /** TLS connection. */
  secure: boolean;
}

/** What the request is about: from path style or virtual-host style, decoded. */
export interface Target {
  bucket: string | undefined;
  /** Undefined for the bucket itself; never ''. */
  key: string | undefined;
  style: 'path' | 'host';
}
