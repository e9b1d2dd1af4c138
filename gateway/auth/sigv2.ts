/**
 * Signature version 2: `Authorization: AWS KEY:SIGNATURE`, and presigned with `AWSAccessKeyId`, `Expires`, `Signature`.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
 */
import { createHmac } from 'node:crypto';
import { S3Error } from '../errors.js';
import type { Headers, WireRequest } from '../http/types.js';
import { trimSpaces } from './sigv4/canonical.js';
import { sameSignature } from './sigv4/key.js';
import { hexBytes, payloadCheck, refuseToken, repeatedParameter } from './sigv4/verify.js';
import { checkSkew, requestTime, serverTime } from './time.js';
import type { Authenticated, AuthInput, PayloadCheck } from './types.js';
import { canonicalResources, hostResources } from './v2-resource.js';

/** HMAC-SHA1 in base64 over the bytes of a latin1 string. */
export function signatureV2(secret: string, text: string): string {
  return createHmac('sha1', secret).update(text, 'latin1').digest('base64');
}

/** CanonicalizedAmzHeaders: sorted, unfolded, `name:value\n`. */
function amzHeaders(headers: Iterable<readonly [string, string]>): string {
  const lines: string[] = [];
  for (const [name, value] of headers) {
    if (name.startsWith('x-amz-')) lines.push(`${name}:${trimSpaces(value).replace(/[\r\n]+[ \t]*/g, ' ')}\n`);
  }
  return lines.sort((a, b) => (a.slice(0, a.indexOf(':')) < b.slice(0, b.indexOf(':')) ? -1 : 1)).join('');
}

/** `dateLine`: the Date header, '' where x-amz-date takes its place, or the expiry of a presigned URL. */
async function check(
  input: AuthInput,
  claim: { accessKey: string; signature: string; secret: string; dateLine: string; headers: Headers },
): Promise<void> {
  const { request, target, isBucket } = input;
  const { headers } = claim;
  const head =
    `${request.method}\n${trimSpaces(headers.get('content-md5') ?? '')}\n${trimSpaces(headers.get('content-type') ?? '')}\n` +
    `${claim.dateLine}\n${amzHeaders(headers)}`;
  const fits = (resource: string) => sameSignature(signatureV2(claim.secret, head + resource), claim.signature);
  const resources = canonicalResources(request, target);
  if (resources.some(fits)) return;
  if ((await hostResources(request, headers, isBucket)).some(fits)) return;
  const text = head + resources[0]!;
  throw new S3Error('SignatureDoesNotMatch', {
    fields: {
      AWSAccessKeyId: claim.accessKey,
      StringToSign: Buffer.from(text, 'latin1').toString('utf8'),
      SignatureProvided: claim.signature,
      StringToSignBytes: hexBytes(text),
    },
  });
}

/** Verifies a request that carries `Authorization: AWS …`. */
export async function verifyHeaderV2(input: AuthInput, authorization: string): Promise<Authenticated> {
  const { headers } = input;
  const value = authorization.slice('AWS '.length).trim();
  // The signature is base64 and has no colon; an access key might.
  const colon = value.lastIndexOf(':');
  if (colon < 1 || colon === value.length - 1) {
    throw new S3Error('InvalidArgument', {
      message: 'AWS authorization header is invalid.  Expected AwsAccessKeyId:signature',
      fields: { ArgumentName: 'Authorization', ArgumentValue: authorization },
    });
  }
  const accessKey = value.slice(0, colon);
  const amzDate = headers.get('x-amz-date');
  // "When an x-amz-date header is present in a request, the system will ignore any Date header" and its line is empty.
  const date = amzDate ?? headers.get('date');
  const time = requestTime(date);
  refuseToken(headers.get('x-amz-security-token'));
  const secret = await input.lookup(accessKey);
  if (secret === undefined) throw new S3Error('InvalidAccessKeyId', { fields: { AWSAccessKeyId: accessKey } });
  checkSkew(time, input.now, date!);
  const dateLine = amzDate === undefined ? trimSpaces(date!) : '';
  await check(input, { accessKey, signature: value.slice(colon + 1), secret, dateLine, headers });
  return { accessKey, scheme: 'v2', payload: unsignedPayload(headers) };
}

/** Verifies a request whose query has `AWSAccessKeyId`, `Expires` and `Signature`. */
export async function verifyQueryV2(input: AuthInput): Promise<Authenticated> {
  const { query } = input.request;
  const accessKey = query.get('AWSAccessKeyId');
  const expires = query.get('Expires');
  // Base64 has no space: one that is there was a `+` that somebody did not escape.
  const signature = query.get('Signature')?.replaceAll(' ', '+');
  if (!accessKey || !expires || !signature) {
    throw new S3Error('AccessDenied', {
      message: 'Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters',
    });
  }
  const repeated = repeatedParameter(query, (name) => /^(AWSAccessKeyId|Expires|Signature)$/.test(name));
  if (repeated !== undefined) {
    throw new S3Error('AccessDenied', { message: `The parameter ${repeated} must be given once` });
  }
  if (!/^\d{1,15}$/.test(expires)) {
    throw new S3Error('AccessDenied', { message: `Invalid date (should be seconds since epoch): ${expires}` });
  }
  const headers = hoistedHeaders(input.request, input.headers);
  refuseToken(headers.get('x-amz-security-token'));
  const secret = await input.lookup(accessKey);
  if (secret === undefined) throw new S3Error('InvalidAccessKeyId', { fields: { AWSAccessKeyId: accessKey } });
  if (input.now >= Number(expires) * 1000) {
    throw new S3Error('AccessDenied', {
      message: 'Request has expired',
      fields: { Expires: expires, ServerTime: serverTime(input.now) },
    });
  }
  await check(input, { accessKey, signature, secret, dateLine: expires, headers });
  return { accessKey, scheme: 'v2-query', payload: unsignedPayload(headers) };
}

const authParameter =
  /^x-amz-(?:algorithm|credential|signature|date|signedheaders|expires|security-token|content-sha256)$/;

/**
 * The headers of a presigned request, with those that the signer moved into the query (`x-amz-acl`, `x-amz-meta-…`,
 * with version 2 also `content-type` and `content-md5`): S3 takes such parameters for headers. A real header wins.
 */
export function hoistedHeaders(request: WireRequest, headers: Headers): Headers {
  let merged: Map<string, string> | undefined;
  const v2 = request.query.has('AWSAccessKeyId');
  for (const param of request.query.params) {
    const name = param.name.toLowerCase();
    const moved = name.startsWith('x-amz-')
      ? v2 || !authParameter.test(name)
      : v2 && (name === 'content-type' || name === 'content-md5');
    if (!moved || headers.has(name)) continue;
    merged ??= new Map(headers);
    merged.set(name, Buffer.from(param.value, 'utf8').toString('latin1'));
  }
  return merged ?? headers;
}

/**
 * What is promised of a payload that no version 4 signature covers (version 2, anonymous). A given hash is held to,
 * aws-chunked framing is undone; chunk signatures cannot be verified there: InvalidArgument.
 */
export function unsignedPayload(headers: Headers): PayloadCheck {
  const value = headers.get('x-amz-content-sha256');
  return value === undefined || value === '' ? { kind: 'none' } : payloadCheck(value);
}
