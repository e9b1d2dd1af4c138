import { countOf } from '../../storage/elements.js';
import { decodeToken, encodeToken, listingParameters, pageReply, readPage } from '../listing-reply.js';
import type { Context, Reply } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
export async function listObjectsV2(context: Context): Promise<Reply> {
  const { query } = context;
  const parameters = listingParameters(query);
  const { prefix, delimiter, maxKeys, encode, encodingType } = parameters;
  const token = query.get('continuation-token');
  const startAfter = query.get('start-after') || undefined;
  // A token goes before start-after: it is further on.
  const page = await readPage(context, parameters, token ? decodeToken(token) : (startAfter ?? ''), {
    name: 'Contents',
    owner: query.get('fetch-owner') === 'true',
  });
  return pageReply(context, page, {
    ListBucketResult: {
      Name: context.bucketName,
      Prefix: encode(prefix),
      MaxKeys: maxKeys,
      Delimiter: delimiter === '' ? undefined : encode(delimiter),
      EncodingType: encodingType,
      KeyCount: countOf(page),
      IsTruncated: page.next !== undefined,
      ContinuationToken: token,
      NextContinuationToken: page.next === undefined ? undefined : encodeToken(page.next),
      StartAfter: startAfter === undefined ? undefined : encode(startAfter),
    },
  });
}
