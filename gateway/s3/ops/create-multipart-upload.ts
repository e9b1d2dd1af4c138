import { uploadChecksum } from '../checksums.js';
import { newObjectAccess } from '../new-object.js';
import { headerTags, refuseUnsupportedWrite, systemHeaders, userMetadata } from '../object-headers.js';
import { initiatorOf } from '../own-upload.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
export const createMultipartUpload: Handler = async (context) => {
  const { storage, place, bucketName, key, headers, identity } = context;
  refuseUnsupportedWrite(headers);
  const checksum = uploadChecksum(headers);
  const tags = headerTags(headers);
  const access = await newObjectAccess(context, { key, headers, tags });
  const upload = await storage.createUpload(place, key, {
    meta: { headers: systemHeaders(headers), user: userMetadata(headers), tags, ...access },
    checksum,
    initiator: initiatorOf(identity),
  });
  return {
    headers: { 'x-amz-checksum-algorithm': checksum?.algorithm, 'x-amz-checksum-type': checksum?.type },
    body: { xml: { InitiateMultipartUploadResult: { Bucket: bucketName, Key: key, UploadId: upload.id } } },
  };
};
