import type { Context, Reply } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html (BucketNotEmpty comes from the store) */
export async function deleteBucket({ storage, place }: Context): Promise<Reply> {
  await storage.deleteBucket(place);
  return { status: 204 };
}
