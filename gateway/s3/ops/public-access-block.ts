/** What keeps a bucket from becoming public. */
import { S3Error } from '../../errors.js';
import { accessOf, kinds } from '../access.js';
import { readDocument } from '../payload.js';
import type { Handler } from '../types.js';
import { publicAccessBlockConfiguration, readPublicAccessBlockConfiguration } from '../xml/access-shapes.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetPublicAccessBlock.html */
export const getPublicAccessBlock: Handler = async ({ place, bucketName }) => {
  const { publicAccessBlock } = accessOf(place.bucket);
  if (!publicAccessBlock) {
    throw new S3Error('NoSuchPublicAccessBlockConfiguration', { fields: { BucketName: bucketName } });
  }
  return { body: { xml: publicAccessBlockConfiguration(publicAccessBlock) } };
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutPublicAccessBlock.html */
export const putPublicAccessBlock: Handler = async (context) => {
  const { storage, place } = context;
  const block = readPublicAccessBlockConfiguration(await readDocument(context, 64 * 1024));
  await storage.putConfig(place.bucket, kinds.publicAccessBlock, JSON.stringify(block));
  return {};
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeletePublicAccessBlock.html */
export const deletePublicAccessBlock: Handler = async ({ storage, place }) => {
  if (place.bucket.config[kinds.publicAccessBlock] !== undefined) {
    await storage.putConfig(place.bucket, kinds.publicAccessBlock, undefined);
  }
  return { status: 204 };
};
