import { requireCurrentVersion } from '../object-headers.js';
import { readDocument } from '../payload.js';
import type { Handler } from '../types.js';
import { objectTags, readTagging } from '../xml/shapes.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html */
export const putObjectTagging: Handler = async (context) => {
  const { storage, place, key, query } = context;
  requireCurrentVersion(query, key);
  const tags = readTagging(await readDocument(context), objectTags);
  await storage.updateMeta(place, key, { tags: Object.keys(tags).length > 0 ? tags : null });
  return {};
};
