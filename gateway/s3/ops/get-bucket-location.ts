import type { Context, Reply } from '../types.js';

/** "Buckets in Region us-east-1 have a LocationConstraint of null." (API_GetBucketLocation) */
export async function getBucketLocation({ region }: Context): Promise<Reply> {
  return { body: { xml: { LocationConstraint: region === 'us-east-1' ? {} : region } } };
}
