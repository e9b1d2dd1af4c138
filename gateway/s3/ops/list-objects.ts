import { listingParameters, pageReply, readPage } from '../listing-reply.js';
import type { Context, Reply } from '../types.js';

/** V1. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html */
export async function listObjects(context: Context): Promise<Reply> {
  const parameters = listingParameters(context.query);
  const { prefix, delimiter, maxKeys, encode, encodingType } = parameters;
  const marker = context.query.get('marker') ?? '';
  const page = await readPage(context, parameters, marker, { name: 'Contents', owner: true });
  return pageReply(context, page, {
    ListBucketResult: {
      Name: context.bucketName,
      // Not encoded: clients of V1 decode Key, Marker and NextMarker, and take this one as it is.
      Prefix: prefix,
      Marker: encode(marker),
      // "This element is returned only if you have the delimiter request parameter specified."
      NextMarker: page.next !== undefined && delimiter !== '' ? encode(page.next) : undefined,
      MaxKeys: maxKeys,
      Delimiter: delimiter === '' ? undefined : encode(delimiter),
      EncodingType: encodingType,
      IsTruncated: page.next !== undefined,
    },
  });
}
