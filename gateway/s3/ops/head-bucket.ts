import type { Context, Reply } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html */
export async function headBucket({ region }: Context): Promise<Reply> {
  return { headers: { 'x-amz-bucket-region': region, 'x-amz-access-point-alias': 'false' } };
}
