/** The AWS SDK as a client of a test gateway. */
import { S3Client, type S3ClientConfig, S3ServiceException } from '@aws-sdk/client-s3';
import * as assert from 'uvu/assert';
import type { Gateway, Key } from './gateway.js';

/** Path style and the SDK's defaults otherwise: checksums on, region us-east-1. */
export function sdk(gateway: Gateway, options: S3ClientConfig & { key?: Key } = {}): S3Client {
  const { key = gateway, ...config } = options;
  return new S3Client({
    endpoint: gateway.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: key.accessKey, secretAccessKey: key.secretKey },
    maxAttempts: 1,
    ...config,
  });
}

/** The work must fail with this S3 code (and status); answers the error for further looks. */
export async function fails(work: Promise<unknown>, code: string, status?: number): Promise<S3ServiceException> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) throw new Error(`expected ${code}, but it succeeded`);
  if (!(error instanceof S3ServiceException)) throw error;
  assert.is(error.name, code, `${error.name}: ${error.message}`);
  if (status !== undefined) assert.is(error.$metadata.httpStatusCode, status);
  return error;
}
