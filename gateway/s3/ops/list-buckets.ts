import { S3Error } from '../../errors.js';
import { decodeToken, encodeToken, integerParameter } from '../listing-reply.js';
import type { Context, Reply } from '../types.js';

/** The buckets of the caller. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html */
export async function listBuckets({ storage, identity, query, region }: Context): Promise<Reply> {
  const { account } = identity;
  if (!account) throw new S3Error('AccessDenied');
  const max = integerParameter(query, 'max-buckets', { min: 1, max: 10_000, fallback: 10_000 });
  const prefix = query.get('prefix') ?? '';
  const token = query.get('continuation-token');
  const after = token ? decodeToken(token) : '';
  const regions = query.get('bucket-region');

  // Names are ASCII: the order of strings is the byte order.
  const mine = (await storage.listBuckets()).filter(
    ({ owner, name }) => owner === account.uuid && name.startsWith(prefix) && name > after,
  );
  const matching = regions === undefined || regions === region ? mine : [];
  const page = matching.slice(0, max);
  const paged = query.has('max-buckets') || query.has('prefix') || token !== undefined;
  const last = page.at(-1);
  return {
    body: {
      xml: {
        ListAllMyBucketsResult: {
          Owner: { ID: account.uuid, DisplayName: account.displayName },
          Buckets: {
            Bucket: page.map(({ name, created }) => ({
              Name: name,
              CreationDate: created,
              BucketRegion: paged ? region : undefined,
            })),
          },
          ContinuationToken: last && matching.length > page.length ? encodeToken(last.name) : undefined,
          Prefix: query.has('prefix') ? prefix : undefined,
        },
      },
    },
  };
}
