import type { ObjectMeta } from '../../../acl/metadata/types.js';
import type { Headers } from '../../http/types.js';
import type { ObjectInfo } from '../../storage/types.js';
import { digestsFor, etagOf } from '../etag.js';
import { newObjectAccess } from '../new-object.js';
import {
  headerTags,
  refuseUnsupportedWrite,
  systemHeaders,
  userMetadata,
  writeCondition,
  writtenHeaders,
} from '../object-headers.js';
import { objectBody, payloadPromise } from '../payload.js';
import type { Context, Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
export const putObject: Handler = async (context) => {
  const condition = writeCondition(context.headers);
  const tags = headerTags(context.headers);
  const info = await storeObject(context, context.key, context.headers, { tags, condition });
  return { headers: writtenHeaders(info.meta) };
};

/**
 * Stores the payload of the request with what `headers` (those of the request, or the fields of a form) say of it.
 * Everything that can be refused is refused before the first byte is read.
 */
export async function storeObject(
  context: Context,
  key: string,
  headers: Headers,
  { tags, condition }: { tags: ObjectMeta['tags']; condition?: ReturnType<typeof writeCondition> },
): Promise<ObjectInfo> {
  refuseUnsupportedWrite(headers);
  const system = systemHeaders(headers);
  const user = userMetadata(headers);
  const access = await newObjectAccess(context, { key, headers, tags });
  const promise = payloadPromise(context, headers);
  const body = objectBody(context);
  return context.storage.put(context.place, key, body, {
    digests: digestsFor(context.place.bucket, promise.digests),
    condition,
    seal(received) {
      const checksum = promise.verify(received);
      return {
        etag: etagOf(received),
        headers: system,
        user,
        tags,
        checksum,
        ...access,
      };
    },
  });
}
