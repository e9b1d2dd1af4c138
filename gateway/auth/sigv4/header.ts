/**
 * Signature version 4 in the Authorization header.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
 */
import { S3Error } from '../../errors.js';
import { checkSkew, formatBasic, requestTime } from '../time.js';
import type { Authenticated, AuthInput } from '../types.js';
import { signingKey } from './key.js';
import {
  type Credential,
  checkSignature,
  checkSignedHeaders,
  parseCredential,
  payloadCheck,
  refuseToken,
} from './verify.js';

function malformed(why: string): S3Error {
  return new S3Error('AuthorizationHeaderMalformed', { message: `The authorization header is malformed; ${why}` });
}

interface Parsed {
  credential: Credential;
  signedHeaders: readonly string[];
  signature: string;
}

/** As nearly all clients write it. */
const usual = /^AWS4-HMAC-SHA256 Credential=([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=([^,\s]+)$/;

const SIGNATURE = 'Signature=';
/** What the last ones had in front of their signature: a client says the same all day. */
const fronts = new Map<string, Omit<Parsed, 'signature'>>();
const MAX_FRONTS = 1024;
/** Longer ones are not remembered: who is not known yet may send as many as he likes. */
const MAX_REMEMBERED = 1024;

/** Reads `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`. Throws AuthorizationHeaderMalformed. */
export function parseAuthorization(header: string, service = 's3'): Parsed {
  const end = header.lastIndexOf(SIGNATURE);
  const front = header.slice(0, end);
  const known = fronts.get(front);
  if (known?.credential.service === service) {
    const signature = header.slice(end + SIGNATURE.length);
    if (/^[^,\s]+$/.test(signature))
      return { credential: known.credential, signedHeaders: known.signedHeaders, signature };
  }
  const [, credentialText, list, signature] = usual.exec(header) ?? componentsOf(header);
  const credential = goodCredential(credentialText!, service);
  const signedHeaders = list!.toLowerCase().split(';');
  if (header.length <= MAX_REMEMBERED && front + SIGNATURE + signature === header) {
    if (fronts.size >= MAX_FRONTS) fronts.clear();
    fronts.set(front, { credential, signedHeaders });
  }
  return { credential, signedHeaders, signature: signature! };
}

/** In the order of `usual`. @throws S3Error AuthorizationHeaderMalformed */
function componentsOf(header: string): [string, string, string, string] {
  const parts = new Map<string, string>();
  for (const piece of header.slice('AWS4-HMAC-SHA256'.length).split(',')) {
    const text = piece.trim();
    if (text === '') continue;
    const equals = text.indexOf('=');
    if (equals < 0) throw malformed(`the authorization component "${text}" is malformed.`);
    const name = text.slice(0, equals);
    if (parts.has(name)) throw malformed(`the authorization component "${name}" is given more than once.`);
    parts.set(name, text.slice(equals + 1));
  }
  const get = (name: string) => {
    const value = parts.get(name);
    if (value === undefined || value === '')
      throw malformed(`the authorization header requires the ${name} component.`);
    return value;
  };
  return [header, get('Credential'), get('SignedHeaders'), get('Signature')];
}

/** @throws S3Error AuthorizationHeaderMalformed */
function goodCredential(text: string, service: string): Credential {
  const credential = parseCredential(text);
  if (credential === undefined) {
    throw malformed('the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".');
  }
  if (credential.accessKey === '') throw malformed('a non-empty Access Key (AKID) must be provided in the credential.');
  if (credential.terminal !== 'aws4_request') {
    throw malformed(`incorrect terminal "${credential.terminal}". This endpoint uses "aws4_request".`);
  }
  if (credential.service !== service) {
    throw malformed(`incorrect service "${credential.service}". This endpoint belongs to "${service}".`);
  }
  if (!/^\d{8}$/.test(credential.date)) {
    throw malformed(
      `incorrect date format "${credential.date}". This date in the credential must be in the format "yyyyMMdd".`,
    );
  }
  return credential;
}

/** Verifies a request that carries `Authorization: AWS4-HMAC-SHA256 …`. */
export async function verifyHeaderV4(input: AuthInput, authorization: string): Promise<Authenticated> {
  const { request, headers } = input;
  const { credential, signedHeaders, signature } = parseAuthorization(authorization, input.service);
  if (headers.get('host') === undefined)
    throw new S3Error('MissingSecurityHeader', { fields: { MissingHeaderName: 'host' } });
  const sent = headers.get('x-amz-content-sha256');
  if (sent === undefined && !input.payloadHash) {
    throw new S3Error('InvalidRequest', { message: 'Missing required header for this request: x-amz-content-sha256' });
  }
  // An empty header is as good as none: `x-amz-date` comes first, then `Date`.
  const date = headers.get('x-amz-date') || headers.get('date');
  const time = requestTime(date);
  const timestamp = formatBasic(time);
  if (!timestamp.startsWith(credential.date)) {
    throw malformed(
      `Invalid credential date "${credential.date}". This date is not the same as X-Amz-Date: "${timestamp.slice(0, 8)}".`,
    );
  }
  refuseToken(headers.get('x-amz-security-token'));
  const secret = await input.lookup(credential.accessKey);
  if (secret === undefined)
    throw new S3Error('InvalidAccessKeyId', { fields: { AWSAccessKeyId: credential.accessKey } });
  checkSkew(time, input.now, date!);
  checkSignedHeaders(headers, signedHeaders);
  const payload = sent ?? (await input.payloadHash!());
  const key = signingKey(credential.accessKey, secret, credential);
  checkSignature(
    {
      method: request.method,
      rawPath: request.rawPath,
      query: request.query,
      headers,
      signedHeaders,
      payloadHash: payload,
      credential,
      timestamp,
      signature,
    },
    key,
  );
  return {
    accessKey: credential.accessKey,
    scheme: 'v4',
    payload: payloadCheck(payload, { key, scope: credential, timestamp, seed: signature }),
  };
}
