/** What the signature schemes share. They are pure: whoever calls them finds the secret and the time. */
import type { Headers, Target, WireRequest } from '../http/types.js';

/** Finds the secret of an access key; undefined for an unknown or disabled one (→ InvalidAccessKeyId). */
export type SecretLookup = (accessKey: string) => Promise<string | undefined>;

/**
 * How the payload is protected.
 * - `none`: nothing is promised (v2, UNSIGNED-PAYLOAD, presigned).
 * - `sha256`: the whole payload has this SHA-256 (hex), else XAmzContentSHA256Mismatch.
 * - `chunks`: aws-chunked; `verify` is given when chunks (and the trailer) are signed.
 */
export type PayloadCheck =
  | { kind: 'none' }
  | { kind: 'sha256'; hex: string }
  | { kind: 'chunks'; trailer: boolean; verify: ChunkVerifier | undefined };

/** Verifies the chain of chunk signatures of one streaming upload; each call must be made in order. */
export interface ChunkVerifier {
  /** True when the signature fits the chunk with this SHA-256 (raw bytes). */
  chunk(signature: string, sha256: Uint8Array): boolean;
  /** True when the signature fits the canonical trailer text (`name:value\n` …). */
  trailer(signature: string, canonicalTrailer: string): boolean;
}

/** A request whose signature was found good. */
export interface Authenticated {
  accessKey: string;
  scheme: 'v4' | 'v4-query' | 'v2' | 'v2-query';
  payload: PayloadCheck;
}

export interface AuthInput {
  request: WireRequest;
  target: Target;
  headers: Headers;
  /** Milliseconds since the epoch. */
  now: number;
  lookup: SecretLookup;
  /**
   * Whether a bucket of this name exists. Some version 2 clients sign `/HOST/bucket/key`, which is also what signs the key
   * `bucket/key` of a bucket called HOST: with this the two are told apart. Without it only addresses count as hosts.
   */
  isBucket?: (name: string) => Promise<boolean>;
  /** The service that version 4 signs for. Default `s3`. */
  service?: 's3' | 'iam';
  /** SHA-256 (hex) of the payload, of services whose clients do not send it: asked for when the key and the date are good. */
  payloadHash?: () => Promise<string>;
}
