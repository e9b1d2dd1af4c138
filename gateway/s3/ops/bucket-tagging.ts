/** Tags of a bucket, kept as a JSON object of the kind `tagging`. */
import { S3Error } from '../../errors.js';
import { readDocument } from '../payload.js';
import type { Context, Reply } from '../types.js';
import { bucketTags, readTagging, type TagSet } from '../xml/shapes.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketTagging.html */
export async function getBucketTagging({ place, bucketName }: Context): Promise<Reply> {
  const text = place.bucket.config['tagging'];
  if (text === undefined) throw new S3Error('NoSuchTagSet', { fields: { BucketName: bucketName } });
  const tags = Object.entries(JSON.parse(text) as TagSet).map(([Key, Value]) => ({ Key, Value }));
  return { body: { xml: { Tagging: { TagSet: { Tag: tags } } } } };
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html */
export async function putBucketTagging(context: Context): Promise<Reply> {
  const { storage, place } = context;
  const tags = readTagging(await readDocument(context), bucketTags);
  await storage.putConfig(place.bucket, 'tagging', JSON.stringify(tags));
  return { status: 204 };
}

export async function deleteBucketTagging({ storage, place }: Context): Promise<Reply> {
  if (place.bucket.config['tagging'] !== undefined) await storage.putConfig(place.bucket, 'tagging', undefined);
  return { status: 204 };
}
