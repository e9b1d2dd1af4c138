import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html */
export const abortMultipartUpload: Handler = async ({ storage, place, key, query }) => {
  await storage.abortUpload(place, key, query.get('uploadId') ?? '');
  return { status: 204 };
};
