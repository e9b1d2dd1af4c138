import { compareUtf8 } from '../../storage/keys.js';
import { requireCurrentVersion } from '../object-headers.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html */
export const getObjectTagging: Handler = async ({ storage, place, key, query }) => {
  requireCurrentVersion(query, key);
  const { meta } = await storage.head(place, key);
  // Sorted, since a set has no order of its own and clients compare what they get.
  const tags = Object.entries(meta.tags ?? {})
    .sort(([a], [b]) => compareUtf8(a, b))
    .map(([Key, Value]) => ({ Key, Value }));
  return { body: { xml: { Tagging: { TagSet: { Tag: tags } } } } };
};
