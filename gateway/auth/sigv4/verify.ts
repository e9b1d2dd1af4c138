/** What header and query authentication of version 4 have in common: the credential, the check, the payload. */
import { S3Error } from '../../errors.js';
import type { Headers, Query } from '../../http/types.js';
import type { PayloadCheck } from '../types.js';
import {
  type CanonicalInput,
  canonicalRequest,
  type Scope,
  standardForm,
  stringToSign,
  tolerantRequests,
} from './canonical.js';
import { chunkVerifier } from './chunks.js';
import { type SigningKey, sameSignature, signature } from './key.js';

export interface Credential extends Scope {
  accessKey: string;
  terminal: string;
}

/**
 * `AKID/yyyymmdd/region/service/aws4_request`, read from the right, so that an access key may have slashes. Undefined
 * when parts are missing. The region may be blank or anything.
 */
export function parseCredential(text: string): Credential | undefined {
  const parts = text.split('/');
  if (parts.length < 5) return undefined;
  const [date, region, service, terminal] = parts.slice(-4) as [string, string, string, string];
  return { accessKey: parts.slice(0, -4).join('/'), date, region, service, terminal };
}

export interface Claim extends CanonicalInput {
  credential: Credential;
  /** ISO 8601 basic. */
  timestamp: string;
  signature: string;
}

/** Throws SignatureDoesNotMatch unless the signature is that of the request in one of its accepted forms. */
export function checkSignature(claim: Claim, key: SigningKey): void {
  const canonical = canonicalRequest(claim, standardForm(claim));
  const text = stringToSign(claim.timestamp, claim.credential, canonical);
  if (sameSignature(signature(key, text), claim.signature)) return;
  for (const other of tolerantRequests(claim)) {
    const otherText = stringToSign(claim.timestamp, claim.credential, other);
    if (sameSignature(signature(key, otherText), claim.signature)) return;
  }
  throw new S3Error('SignatureDoesNotMatch', {
    fields: {
      AWSAccessKeyId: claim.credential.accessKey,
      StringToSign: text,
      SignatureProvided: claim.signature,
      StringToSignBytes: hexBytes(text),
      CanonicalRequest: Buffer.from(canonical, 'latin1').toString('utf8'),
      CanonicalRequestBytes: hexBytes(canonical),
    },
  });
}

/** `41 57 53 34`: what S3 shows beside the text, so that invisible differences can be seen. */
export function hexBytes(text: string): string {
  return Buffer.from(text, 'latin1')
    .toString('hex')
    .replace(/..(?!$)/g, '$& ');
}

/**
 * Every `x-amz-*` header and the host must be under the signature, or somebody on the way could add one. The payload's
 * hash is part of the canonical request by itself.
 */
export function checkSignedHeaders(headers: Headers, signed: readonly string[]): void {
  const missing: string[] = [];
  if (!signed.includes('host')) missing.push('host');
  for (const name of headers.keys()) {
    if (name.startsWith('x-amz-') && name !== 'x-amz-content-sha256' && !signed.includes(name)) missing.push(name);
  }
  if (missing.length === 0) return;
  throw new S3Error('AccessDenied', {
    message: 'There were headers present in the request which were not signed',
    fields: { HeadersNotSigned: missing.join(', ') },
  });
}

/** The first parameter of these that is given more than once. */
export function repeatedParameter({ params }: Query, among: (name: string) => boolean): string | undefined {
  const seen = new Set<string>();
  for (const { name } of params) {
    if (!among(name)) continue;
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}

/** Temporary credentials are not issued here, so no token can be a good one. */
export function refuseToken(token: string | undefined): void {
  if (token !== undefined && token !== '') throw new S3Error('InvalidToken', { fields: { 'Token-0': token } });
}

const hex64 = /^[0-9a-fA-F]{64}$/;

/**
 * What `x-amz-content-sha256` promises of the payload.
 * `signing`: the signature that a chain of chunk signatures starts from; absent where the request has no v4 signature.
 * Throws InvalidArgument for a value that is none, NotImplemented for SigV4A.
 */
export function payloadCheck(
  value: string,
  signing?: { key: SigningKey; scope: Scope; timestamp: string; seed: string },
): PayloadCheck {
  if (hex64.test(value)) return { kind: 'sha256', hex: value.toLowerCase() };
  switch (value) {
    case 'UNSIGNED-PAYLOAD':
      return { kind: 'none' };
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { kind: 'chunks', trailer: true, verify: undefined };
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      // Without a version 4 signature there is no seed: chunk signatures could only be believed, not verified.
      if (signing === undefined) break;
      return { kind: 'chunks', trailer: value.endsWith('-TRAILER'), verify: chunkVerifier(signing) };
    case 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD':
    case 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER':
      throw new S3Error('NotImplemented', { message: 'AWS4-ECDSA-P256-SHA256 signatures are not implemented' });
  }
  throw new S3Error('InvalidArgument', {
    message:
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
    fields: { ArgumentName: 'x-amz-content-sha256', ArgumentValue: value },
  });
}
