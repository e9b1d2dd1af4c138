import { timestamp } from '../../reply-text.js';
import { checksumElements, digestOf, receivedChecksum } from '../checksums.js';
import { parseCopyRange } from '../copy-source.js';
import { digestsFor, etagOf, quoteEtag } from '../etag.js';
import { ownUpload } from '../own-upload.js';
import type { Handler } from '../types.js';
import { openSource, requireSize, requireUnchanged } from './copy-object.js';
import { partNumber } from './upload-part.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html */
export const uploadPartCopy: Handler = async (context) => {
  const { storage, place, key, headers, query } = context;
  const number = partNumber(query);
  const id = query.get('uploadId') ?? '';
  const { checksum } = await ownUpload(context, id);
  const source = await openSource(context, {});
  const work = async () => {
    try {
      const { info } = source;
      const asked = headers.get('x-amz-copy-source-range');
      const range = asked === undefined ? { start: 0, length: info.size } : parseCopyRange(asked, info.size);
      requireSize(range.length);
      const part = await storage.copyPart(source, range, place, key, id, number, {
        digests: digestsFor(place.bucket, checksum ? [digestOf(checksum.algorithm)] : []),
        seal(received) {
          requireUnchanged({ ...info, size: range.length }, received.size);
          return {
            etag: etagOf(received),
            checksum: checksum && receivedChecksum(checksum.algorithm, received),
          };
        },
      });
      return {
        CopyPartResult: {
          LastModified: timestamp(part.lastModified),
          ETag: quoteEtag(part.etag),
          ...checksumElements(part.checksum),
          // The type is the object's, of a part there is none to tell.
          ChecksumType: undefined,
        },
      };
    } finally {
      await source.close();
    }
  };
  return { body: { slowXml: work() } };
};
