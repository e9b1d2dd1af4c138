import { invalidArgument } from '../../errors.js';
import { listingParameters, pageReply, readPage } from '../listing-reply.js';
import type { Context, Reply } from '../types.js';
import { writeElement } from '../xml/write.js';

const extra = writeElement('VersionId', 'null') + writeElement('IsLatest', true);

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
  const page = await readPage(context, parameters, keyMarker, { name: 'Version', owner: true, extra });
  return pageReply(context, page, {
    ListVersionsResult: {
      Name: context.bucketName,
      Prefix: encode(prefix),
      KeyMarker: encode(keyMarker),
      VersionIdMarker: versionIdMarker,
      NextKeyMarker: page.next === undefined ? undefined : encode(page.next),
      NextVersionIdMarker: page.nextIsKey ? 'null' : undefined,
      MaxKeys: maxKeys,
      Delimiter: delimiter === '' ? undefined : encode(delimiter),
      EncodingType: encodingType,
      IsTruncated: page.next !== undefined,
    },
  });
}
