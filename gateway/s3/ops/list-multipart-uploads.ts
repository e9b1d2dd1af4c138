import { timestamp } from '../../reply-text.js';
import { integerParameter, listingParameters } from '../listing-reply.js';
import { ownerOf } from '../owner.js';
import type { Handler, XmlValue } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html */
export const listMultipartUploads: Handler = async (context) => {
  const { storage, place, bucketName, query } = context;
  const { prefix, delimiter, encode, encodingType } = listingParameters(query);
  const limit = Math.min(integerParameter(query, 'max-uploads', { min: 0, max: 2_147_483_647, fallback: 1000 }), 1000);
  const keyMarker = query.get('key-marker') ?? '';
  // "If key-marker is not specified, the upload-id-marker parameter is ignored."
  const uploadIdMarker = keyMarker === '' ? '' : (query.get('upload-id-marker') ?? '');
  const page =
    limit === 0
      ? { uploads: [], prefixes: [], next: undefined }
      : await storage.listUploads(place, { prefix, delimiter, keyMarker, uploadIdMarker, limit });
  const uploads = await Promise.all(
    page.uploads.map(async (upload): Promise<XmlValue> => {
      const [initiator, owner] = await Promise.all([
        ownerOf(context, upload.initiator),
        ownerOf(context, upload.meta.owner),
      ]);
      return {
        Key: encode(upload.key),
        UploadId: upload.id,
        Initiator: { ...initiator },
        Owner: { ...owner },
        StorageClass: 'STANDARD',
        Initiated: timestamp(upload.initiated),
        ChecksumAlgorithm: upload.checksum?.algorithm,
        ChecksumType: upload.checksum?.type,
      };
    }),
  );
  return {
    body: {
      xml: {
        ListMultipartUploadsResult: {
          Bucket: bucketName,
          KeyMarker: encode(keyMarker),
          UploadIdMarker: uploadIdMarker,
          NextKeyMarker: page.next && encode(page.next.key),
          NextUploadIdMarker: page.next?.uploadId,
          Prefix: encode(prefix),
          Delimiter: delimiter === '' ? undefined : encode(delimiter),
          EncodingType: encodingType,
          MaxUploads: limit,
          IsTruncated: page.next !== undefined,
          Upload: uploads,
          CommonPrefixes: page.prefixes.map((each) => ({ Prefix: encode(each) })),
        },
      },
    },
  };
};
