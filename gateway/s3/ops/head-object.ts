import { checkReadRequest, planReading } from '../read-object.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html */
export const headObject: Handler = async (context) => {
  checkReadRequest(context);
  const info = await context.storage.head(context.place, context.key);
  const { status, headers, range } = planReading(context, info);
  return { status, headers: { ...headers, 'content-length': String(range.length) } };
};
