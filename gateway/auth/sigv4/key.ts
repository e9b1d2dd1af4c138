/** Signature version 4, task 3: the signing key and the signature. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Scope } from './canonical.js';

function hmac(key: Uint8Array | string, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest();
}

interface Entry {
  secret: string;
  key: Buffer;
}

/** Four HMACs make a key, and it serves a day: kept, oldest out first. */
const cache = new Map<string, Entry>();
const cacheLimit = 1024;

/** The key that signs in this scope. Secrets are UTF-8. */
export function signingKey(accessKey: string, secret: string, scope: Scope): Buffer {
  const id = `${accessKey}\n${scope.date}\n${scope.region}\n${scope.service}`;
  const known = cache.get(id);
  // The secret of a key may be reset at any moment: what was derived from the old one is no longer a key.
  if (known !== undefined && known.secret === secret) return known.key;
  const date = createHmac('sha256', `AWS4${secret}`).update(scope.date, 'latin1').digest();
  const key = hmac(hmac(hmac(date, scope.region), scope.service), 'aws4_request');
  cache.delete(id);
  if (cache.size >= cacheLimit) cache.delete(cache.keys().next().value!);
  cache.set(id, { secret, key });
  return key;
}

/** The signature of a string to sign, in hex. */
export function signature(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(text, 'latin1').digest('hex');
}

/** Compares in a time that tells nothing about the place of the first difference. */
export function sameSignature(expected: string, provided: string): boolean {
  const a = Buffer.from(expected, 'latin1');
  const b = Buffer.from(provided, 'latin1');
  return a.length === b.length && timingSafeEqual(a, b);
}
