import { S3Error } from '../../errors.js';
import type { Context, Reply } from '../types.js';

/** OPTIONS for CORS: no bucket has a CORS configuration, so none is allowed. (PreflightRequest, user guide "CORS") */
export async function preflight({ headers }: Context): Promise<Reply> {
  if (!headers.get('origin')) {
    throw new S3Error('BadRequest', { message: 'Insufficient information. Origin request header needed.' });
  }
  const method = headers.get('access-control-request-method');
  if (!method) {
    throw new S3Error('BadRequest', { message: 'Invalid Access-Control-Request-Method: null' });
  }
  throw new S3Error('AccessForbidden', { fields: { Method: method, ResourceType: 'BUCKET' } });
}
