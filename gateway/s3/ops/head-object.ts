import { S3Error } from '../../errors.js';
import { checkReadRequest, planReading } from '../read-object.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html */
export const headObject: Handler = async (context) => {
  checkReadRequest(context);
  const info = await context.storage.head(context.place, context.key).catch(absent);
  const { status, headers, range } = planReading(context, info);
  return { status, headers, length: range.length };
};

/** Says that no delete marker stands there, as other servers do: a HEAD has no document to tell the two apart. */
function absent(error: unknown): never {
  if (!(error instanceof S3Error) || error.code !== 'NoSuchKey') throw error;
  throw new S3Error('NoSuchKey', { cause: error, headers: { ...error.headers, 'x-amz-delete-marker': 'false' } });
}
