import { requireCurrentVersion } from '../object-headers.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectTagging.html */
export const deleteObjectTagging: Handler = async ({ storage, place, key, query }) => {
  requireCurrentVersion(query, key);
  await storage.updateMeta(place, key, { tags: null });
  return { status: 204 };
};
