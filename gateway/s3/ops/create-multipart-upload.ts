import { uploadChecksum } from '../checksums.js';
import { headerTags, refuseUnsupportedWrite, systemHeaders, userMetadata } from '../object-headers.js';
import type { Handler } from '../types.js';
import { ownerOf } from './put-object.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
export const createMultipartUpload: Handler = async (context) => {
  const { storage, place, bucketName, key, headers } = context;
  refuseUnsupportedWrite(headers);
  const checksum = uploadChecksum(headers);
  const owner = ownerOf(context);
  const upload = await storage.createUpload(place, key, {
    meta: { headers: systemHeaders(headers), user: userMetadata(headers), tags: headerTags(headers), owner },
    checksum,
    initiator: owner,
  });
  return {
    headers: { 'x-amz-checksum-algorithm': checksum?.algorithm, 'x-amz-checksum-type': checksum?.type },
    body: { xml: { InitiateMultipartUploadResult: { Bucket: bucketName, Key: key, UploadId: upload.id } } },
  };
};
