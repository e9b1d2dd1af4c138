/**
 * The chain of chunk signatures of a streaming upload: each covers the one before, the first one the request's.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
 */
import type { ChunkVerifier } from '../types.js';
import { emptySha256, type Scope, scopeText, sha256Hex } from './canonical.js';
import { type SigningKey, sameSignature, signature } from './key.js';

/** `seed` is the signature (hex) of the request, `timestamp` its time in ISO 8601 basic. */
export function chunkVerifier(signing: {
  key: SigningKey;
  scope: Scope;
  timestamp: string;
  seed: string;
}): ChunkVerifier {
  const { key, timestamp } = signing;
  const scope = scopeText(signing.scope);
  let previous = signing.seed;
  const check = (provided: string, text: string) => {
    const expected = signature(key, text);
    // The chain goes on from what is right: after a wrong signature nothing fits any more.
    previous = expected;
    return sameSignature(expected, provided);
  };
  return {
    chunk: (provided, sha256) =>
      check(
        provided,
        `AWS4-HMAC-SHA256-PAYLOAD\n${timestamp}\n${scope}\n${previous}\n${emptySha256}\n${Buffer.from(sha256).toString('hex')}`,
      ),
    trailer: (provided, canonicalTrailer) =>
      check(provided, `AWS4-HMAC-SHA256-TRAILER\n${timestamp}\n${scope}\n${previous}\n${sha256Hex(canonicalTrailer)}`),
  };
}
