import { invalidArgument, S3Error } from '../../errors.js';
import type { Headers } from '../../http/types.js';
import type { Place, Storage, WriteCondition } from '../../storage/types.js';
import { namesOtherVersion, oneEtag } from '../object-headers.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html */
export const deleteObject: Handler = async ({ storage, place, key, headers, query }) => {
  const condition = deleteCondition(headers);
  if (!namesOtherVersion(query.get('versionId'))) await removeObject(storage, place, key, condition);
  return { status: 204 };
};

/**
 * Deletes what stands there. What is not there, cannot be stored under such a name, or went meanwhile is gone as asked:
 * "If the ETag matches or if the object doesn't exist, the operation will return a 204 Success (No Content) response".
 */
export async function removeObject(
  storage: Storage,
  place: Place,
  key: string,
  condition: WriteCondition | undefined,
): Promise<void> {
  try {
    await storage.remove(place, key, condition);
  } catch (error) {
    if (error instanceof S3Error && (error.code === 'NoSuchKey' || error.code === 'InvalidArgument')) return;
    throw error;
  }
}

function deleteCondition(headers: Headers): WriteCondition | undefined {
  const ifMatch = headers.get('if-match');
  const time = headers.get('x-amz-if-match-last-modified-time');
  const size = headers.get('x-amz-if-match-size');
  if (ifMatch === undefined && time === undefined && size === undefined) return undefined;
  const condition: WriteCondition = {};
  if (ifMatch !== undefined) condition.ifMatch = oneEtag('if-match', ifMatch);
  if (time !== undefined) condition.ifMatchLastModified = timeSeconds('x-amz-if-match-last-modified-time', time);
  if (size !== undefined) {
    if (!/^\d{1,15}$/.test(size)) throw invalidArgument('x-amz-if-match-size', size);
    condition.ifMatchSize = Number(size);
  }
  return condition;
}

/** Seconds since the epoch of an HTTP date or an ISO 8601 time. @throws S3Error InvalidArgument */
export function timeSeconds(name: string, value: string): number {
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw invalidArgument(name, value);
  return Math.floor(time / 1000);
}
