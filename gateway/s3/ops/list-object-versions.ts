import { invalidArgument } from '../../errors.js';
import { listingParameters, objectElements, prefixElements, readPage } from '../listing-reply.js';
import type { Context, Reply } from '../types.js';

/**
 * The truth of a bucket that was never versioned: each object is its one version, `null`.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
 */
export async function listObjectVersions(context: Context): Promise<Reply> {
  const { query } = context;
  const parameters = listingParameters(query);
  const { prefix, delimiter, maxKeys, encode, encodingType } = parameters;
  const keyMarker = query.get('key-marker') ?? '';
  const versionIdMarker = query.get('version-id-marker') ?? '';
  if (versionIdMarker !== '' && keyMarker === '') {
    const message = 'A version-id marker cannot be specified without a key marker.';
    throw invalidArgument('version-id-marker', versionIdMarker, message);
  }
  const page = await readPage(context, parameters, keyMarker);
  const nextIsKey = page.next !== undefined && page.objects.at(-1)?.key === page.next;
  return {
    body: {
      xml: {
        ListVersionsResult: {
          Name: context.bucketName,
          Prefix: encode(prefix),
          KeyMarker: encode(keyMarker),
          VersionIdMarker: versionIdMarker,
          NextKeyMarker: page.next === undefined ? undefined : encode(page.next),
          NextVersionIdMarker: nextIsKey ? 'null' : undefined,
          MaxKeys: maxKeys,
          Delimiter: delimiter === '' ? undefined : encode(delimiter),
          EncodingType: encodingType,
          IsTruncated: page.next !== undefined,
          Version: await objectElements(context, page, parameters, {
            owner: true,
            extra: { VersionId: 'null', IsLatest: true },
          }),
          CommonPrefixes: prefixElements(page, parameters),
        },
      },
    },
  };
}
