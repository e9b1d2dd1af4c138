/** Which scheme a request is signed with, and whether it is signed well. */
import { S3Error } from '../errors.js';
import type { Query } from '../http/types.js';
import { verifyHeaderV2, verifyQueryV2 } from './sigv2.js';
import { trimSpaces } from './sigv4/canonical.js';
import { verifyHeaderV4 } from './sigv4/header.js';
import { verifyQueryV4 } from './sigv4/query.js';
import type { Authenticated, AuthInput } from './types.js';

export { hoistedHeaders, unsignedPayload } from './sigv2.js';

function queryScheme(query: Query): 'v4' | 'v2' | undefined {
  // One parameter of a scheme is enough to be held to it: a URL that lost a piece is an error, not an anonymous request.
  if (query.params.length === 0) return undefined;
  if (query.has('X-Amz-Algorithm') || query.has('X-Amz-Signature') || query.has('X-Amz-Credential')) return 'v4';
  if (query.has('Signature') || query.has('AWSAccessKeyId')) return 'v2';
  return undefined;
}

/**
 * Verifies a request to another service than S3: version 4 in the Authorization header, over the payload too.
 * @throws S3Error MissingAuthenticationToken for every other one, besides AWS's codes for what is wrong with the signature
 */
export async function authenticateService(
  input: AuthInput & Required<Pick<AuthInput, 'service' | 'payloadHash'>>,
): Promise<Authenticated> {
  const authorization = trimSpaces(input.headers.get('authorization') ?? '');
  if (!/^AWS4-HMAC-SHA256[ \t]/.test(authorization)) throw new S3Error('MissingAuthenticationToken');
  const authenticated = await verifyHeaderV4(input, authorization);
  const { payload } = authenticated;
  const hash = await input.payloadHash();
  // What the signature covers must be what is read: a promise of less (UNSIGNED-PAYLOAD) would let others ask in its name.
  if (payload.kind !== 'sha256' || payload.hex !== hash) throw new S3Error('SignatureDoesNotMatch');
  return authenticated;
}

/**
 * Verifies the request's signature. Undefined: the request has none (anonymous).
 * Throws S3Error with AWS's code for everything that is wrong with it.
 */
export function authenticate(input: AuthInput): Promise<Authenticated> | undefined {
  const authorization = trimSpaces(input.headers.get('authorization') ?? '');
  const inQuery = queryScheme(input.request.query);
  if (authorization === '') {
    if (inQuery === 'v4') return verifyQueryV4(input);
    if (inQuery === 'v2') return verifyQueryV2(input);
    return undefined;
  }
  if (inQuery !== undefined) {
    throw new S3Error('InvalidArgument', {
      message:
        'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
      fields: { ArgumentName: 'Authorization', ArgumentValue: authorization },
    });
  }
  if (authorization.startsWith('AWS4-HMAC-SHA256 ')) return verifyHeaderV4(input, authorization);
  const [scheme] = authorization.split(/[ \t]/, 1);
  if (scheme === 'AWS4-HMAC-SHA256') return verifyHeaderV4(input, authorization);
  if (scheme === 'AWS') return verifyHeaderV2(input, authorization);
  throw new S3Error('InvalidArgument', {
    message: 'Unsupported Authorization Type',
    fields: { ArgumentName: 'Authorization', ArgumentValue: authorization },
  });
}
