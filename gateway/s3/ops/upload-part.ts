import { invalidArgument, notImplemented } from '../../errors.js';
import type { Query } from '../../http/types.js';
import { checksumHeader, checksumMismatch, digestOf, receivedChecksum } from '../checksums.js';
import { digestsFor, etagOf, quoteEtag } from '../etag.js';
import { ownUpload } from '../own-upload.js';
import { objectBody, payloadPromise } from '../payload.js';
import type { Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html */
export const uploadPart: Handler = async (context) => {
  const { storage, place, key, headers, query } = context;
  const number = partNumber(query);
  const id = query.get('uploadId') ?? '';
  for (const header of headers.keys()) {
    if (header.startsWith('x-amz-server-side-encryption')) throw notImplemented(header);
  }
  const promise = payloadPromise(context);
  const body = objectBody(context);
  const upload = await ownUpload(context, id);
  const wanted = upload.checksum?.algorithm;
  const given = promise.checksum?.algorithm;
  if (wanted && given && wanted !== given) throw checksumMismatch(wanted, given);

  const part = await storage.putPart(place, key, id, number, body, {
    digests: digestsFor(place.bucket, wanted ? [...promise.digests, digestOf(wanted)] : promise.digests),
    seal(received) {
      const verified = promise.verify(received);
      return {
        etag: etagOf(received),
        // The upload's own checksum is calculated when a client leaves it out: the object's is made of the parts'.
        checksum: verified ?? (wanted && receivedChecksum(wanted, received)),
      };
    },
  });
  const { checksum } = part;
  return {
    headers: {
      etag: quoteEtag(part.etag),
      ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }),
    },
  };
};

/** @throws S3Error InvalidArgument */
export function partNumber(query: Query): number {
  const text = query.get('partNumber') ?? '';
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= 10_000) return number;
  throw invalidArgument('partNumber', text, 'Part number must be an integer between 1 and 10000, inclusive');
}
