/**
 * Signature version 4 in query parameters: presigned URLs.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 */
import { S3Error } from '../../errors.js';
import { maxSkew, parseBasic, serverTime } from '../time.js';
import type { Authenticated, AuthInput } from '../types.js';
import { signingKey } from './key.js';
import {
  checkSignature,
  checkSignedHeaders,
  parseCredential,
  payloadCheck,
  refuseToken,
  repeatedParameter,
} from './verify.js';

/** Seven days. */
const maxExpires = 604800;

function wrong(message: string, status?: number): S3Error {
  return new S3Error('AuthorizationQueryParametersError', { message, status });
}

/** Verifies a request whose query has `X-Amz-…` authentication parameters. */
export async function verifyQueryV4(input: AuthInput): Promise<Authenticated> {
  const { request, headers } = input;
  const { query } = request;
  // The signature itself is not signed: of two, another reader might take the other one.
  const repeated = repeatedParameter(query, (name) => name.startsWith('X-Amz-'));
  if (repeated !== undefined) throw wrong(`The parameter ${repeated} must be given once.`);
  const [algorithm, credentialText, signature, date, signedHeaders, expiresText] = [
    'X-Amz-Algorithm',
    'X-Amz-Credential',
    'X-Amz-Signature',
    'X-Amz-Date',
    'X-Amz-SignedHeaders',
    'X-Amz-Expires',
  ].map((name) => query.get(name));
  if (!algorithm || !credentialText || !signature || !date || !signedHeaders || !expiresText) {
    throw wrong(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    );
  }
  if (algorithm !== 'AWS4-HMAC-SHA256') {
    throw wrong('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"');
  }
  const credential = parseCredential(credentialText);
  if (credential === undefined || credential.accessKey === '' || credential.terminal !== 'aws4_request') {
    throw wrong(
      'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
    );
  }
  if (credential.service !== 's3') {
    throw wrong(
      `Error parsing the X-Amz-Credential parameter; incorrect service "${credential.service}". This endpoint belongs to "s3".`,
    );
  }
  const time = parseBasic(date);
  if (time === undefined) throw wrong("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
  if (!date.startsWith(credential.date) || credential.date.length !== 8) {
    throw wrong(
      `Invalid credential date "${credential.date}". This date is not the same as X-Amz-Date: "${date.slice(0, 8)}".`,
    );
  }
  if (!/^[+-]?\d{1,15}$/.test(expiresText)) throw wrong('X-Amz-Expires should be a number');
  const expires = Number(expiresText);
  // 403, as ceph/s3-tests has it: a lifetime that nobody may grant, rather than a request that cannot be read.
  if (expires < 0) throw wrong('X-Amz-Expires must be non-negative', 403);
  if (expires > maxExpires) {
    throw wrong(
      'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
      403,
    );
  }
  if (headers.get('host') === undefined)
    throw new S3Error('MissingSecurityHeader', { fields: { MissingHeaderName: 'host' } });
  refuseToken(query.get('X-Amz-Security-Token') ?? headers.get('x-amz-security-token'));
  const secret = await input.lookup(credential.accessKey);
  if (secret === undefined)
    throw new S3Error('InvalidAccessKeyId', { fields: { AWSAccessKeyId: credential.accessKey } });
  const end = time + expires * 1000;
  if (input.now >= end) {
    throw new S3Error('AccessDenied', {
      message: 'Request has expired',
      fields: { 'X-Amz-Expires': expiresText, Expires: serverTime(end), ServerTime: serverTime(input.now) },
    });
  }
  // A clock that is a little fast made the date; one that is days ahead would stretch the lifetime.
  if (time - input.now > maxSkew) throw new S3Error('AccessDenied', { message: 'Request is not valid yet' });
  const signed = signedHeaders.toLowerCase().split(';');
  checkSignedHeaders(headers, signed);
  // "You don't include a payload hash in the Canonical Request, because when you create a presigned URL, you don't know
  // the payload content": a client that names one all the same has signed that.
  const payload = query.get('X-Amz-Content-Sha256') ?? headers.get('x-amz-content-sha256') ?? 'UNSIGNED-PAYLOAD';
  const key = signingKey(credential.accessKey, secret, credential);
  checkSignature(
    {
      method: request.method,
      rawPath: request.rawPath,
      query,
      headers,
      signedHeaders: signed,
      payloadHash: payload,
      without: 'X-Amz-Signature',
      credential,
      timestamp: date,
      signature,
    },
    key,
  );
  return {
    accessKey: credential.accessKey,
    scheme: 'v4-query',
    payload: payloadCheck(payload, { key, scope: credential, timestamp: date, seed: signature }),
  };
}
