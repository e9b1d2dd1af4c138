import { uploadChecksum } from '../checksums.js';
import { newObjectAccess } from '../new-object.js';
import { headerTags, refuseUnsupportedWrite, systemHeaders, userMetadata } from '../object-headers.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
export const createMultipartUpload: Handler = async (context) => {
  const { storage, place, bucketName, key, headers, identity } = context;
  refuseUnsupportedWrite(headers);
  const checksum = uploadChecksum(headers);
  const access = await newObjectAccess(context);
  const upload = await storage.createUpload(place, key, {
    meta: { headers: systemHeaders(headers), user: userMetadata(headers), tags: headerTags(headers), ...access },
    checksum,
    initiator: identity.account?.uuid ?? place.bucket.owner,
  });
  return {
    headers: { 'x-amz-checksum-algorithm': checksum?.algorithm, 'x-amz-checksum-type': checksum?.type },
    body: { xml: { InitiateMultipartUploadResult: { Bucket: bucketName, Key: key, UploadId: upload.id } } },
  };
};
