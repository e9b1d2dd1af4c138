import type { Checksum, ChecksumAlgorithm, ObjectMeta } from '../../../acl/metadata/types.js';
import { versionAction } from '../../../acl/policy/actions.js';
import { invalidArgument, S3Error } from '../../errors.js';
import type { Headers } from '../../http/types.js';
import { timestamp } from '../../reply-text.js';
import type { ObjectInfo, OpenObject } from '../../storage/types.js';
import { checksumElements, digestOf, receivedChecksum, requestedAlgorithm } from '../checksums.js';
import { checkCopyConditions } from '../conditions.js';
import { parseCopySource } from '../copy-source.js';
import { digestsFor, etagOf, isMd5Etag, quoteEtag } from '../etag.js';
import { newObjectAccess } from '../new-object.js';
import {
  contentTypeOf,
  headerTags,
  namesOtherVersion,
  refuseReadEncryption,
  refuseUnsupportedWrite,
  systemHeaders,
  userMetadata,
  writeCondition,
} from '../object-headers.js';
import { maxPutBytes } from '../payload.js';
import type { Context, Handler } from '../types.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
export const copyObject: Handler = async (context) => {
  const { storage, place, key, headers, bucketName } = context;
  refuseUnsupportedWrite(headers);
  const replaceMeta = directive(headers, 'x-amz-metadata-directive', 'Unknown metadata directive.') === 'REPLACE';
  const replaceTags = directive(headers, 'x-amz-tagging-directive', 'Unknown tagging directive.') === 'REPLACE';
  const condition = writeCondition(headers);
  const algorithm = requestedAlgorithm(headers);
  const named = systemHeaders(headers);
  const replaced = replaceMeta ? { headers: named, user: userMetadata(headers) } : undefined;
  const replacedTags = replaceTags ? { tags: headerTags(headers) } : undefined;
  const from = parseCopySource(headers.get('x-amz-copy-source') ?? '');
  // The one storage class that there is counts as a change when it is named: AWS accepts the same class too.
  const changes =
    replaceMeta ||
    algorithm !== undefined ||
    named.websiteRedirectLocation !== undefined ||
    headers.has('x-amz-storage-class');
  if (from.bucket === bucketName && from.key === key && !changes) {
    throw new S3Error('InvalidRequest', {
      message:
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    });
  }

  // "The ACL is not preserved": the copy has the one that this request asks for.
  const access = await newObjectAccess(context, { key, headers, tags: replacedTags?.tags });
  const source = await openSource(context, replaceTags ? {} : { tagsFor: access.owner });
  const work = async () => {
    try {
      const { info } = source;
      requireSize(info.size);
      const checksumBy = checksumToCompute(info.meta.checksum, algorithm);
      const asked = checksumBy ? [digestOf(checksumBy)] : [];
      // The same bytes have the same MD5, and the kernel copies them.
      const known = isMd5Etag(info.meta.etag) ? info.meta.etag : undefined;
      const copied = await storage.copy(source, place, key, {
        digests: known === undefined ? digestsFor(place.bucket, asked) : asked,
        condition,
        seal(received): ObjectMeta {
          requireUnchanged(info, received.size);
          return {
            ...(replaced ?? copiedMeta(info, named.websiteRedirectLocation)),
            tags: replacedTags ? replacedTags.tags : info.meta.tags,
            etag: known ?? etagOf(received),
            checksum: checksumBy ? receivedChecksum(checksumBy, received) : info.meta.checksum,
            ...access,
          };
        },
      });
      return {
        CopyObjectResult: {
          LastModified: timestamp(copied.lastModified),
          ETag: quoteEtag(copied.meta.etag),
          ...checksumElements(copied.meta.checksum),
        },
      };
    } finally {
      await source.close();
    }
  };
  return { body: { slowXml: work() } };
};

/**
 * Opens what `x-amz-copy-source` names, under its own authorisation, and checks the `x-amz-copy-source-if-*` headers on
 * it. The caller closes it.
 * @param tagsFor they are copied too, to an object of this owner: with s3:GetObjectTagging and s3:PutObjectTagging
 * @throws S3Error InvalidArgument, NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied, PreconditionFailed
 */
export async function openSource(context: Context, { tagsFor }: { tagsFor?: string }): Promise<OpenObject> {
  const { storage, headers } = context;
  refuseReadEncryption(new Map([...headers].filter(([name]) => name.startsWith('x-amz-copy-source-'))));
  const { bucket, key, versionId } = parseCopySource(headers.get('x-amz-copy-source') ?? '');
  const from = await context.otherPlace(bucket, key, versionAction('s3:GetObject', versionId));
  if (namesOtherVersion(versionId)) {
    throw new S3Error('NoSuchVersion', { fields: { Key: key, VersionId: versionId! } });
  }
  const source = await storage.open(from, key).catch((error: unknown) => {
    if (!(error instanceof S3Error) || error.code !== 'NoSuchKey') throw error;
    // The key of the request is the destination's.
    throw new S3Error('NoSuchKey', { cause: error, fields: { Key: key } });
  });
  try {
    if (tagsFor !== undefined && source.info.meta.tags) {
      const { tags } = source.info.meta;
      await context.permit(from, key, versionAction('s3:GetObjectTagging', versionId), source.info);
      context.permitNew(context.place, context.key, 's3:PutObjectTagging', tagsFor, tags);
    }
    checkCopyConditions(headers, { etag: source.info.meta.etag, lastModified: source.info.lastModified });
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** A source that a job writes to while it is copied would be given the ETag of what it was. @throws OperationAborted */
export function requireUnchanged(source: ObjectInfo, copiedSize: number): void {
  if (copiedSize === source.size) return;
  throw new S3Error('OperationAborted', {
    message: 'The copy source was changed while it was copied. Please try again.',
  });
}

/** "You can create a copy of your object up to 5 GB in size in a single atomic action." @throws InvalidRequest */
export function requireSize(size: number): void {
  if (size <= maxPutBytes) return;
  throw new S3Error('InvalidRequest', {
    message: `The specified copy source is larger than the maximum allowable size for a copy source: ${maxPutBytes}`,
  });
}

function directive(headers: Headers, name: string, message: string): 'COPY' | 'REPLACE' {
  const value = headers.get(name) ?? 'COPY';
  if (value === 'COPY' || value === 'REPLACE') return value;
  throw invalidArgument(name, value, message);
}

/** The redirect "is unique to each object and is not copied when using the x-amz-metadata-directive". */
function copiedMeta(source: ObjectInfo, redirect: string | undefined): Pick<ObjectMeta, 'headers' | 'user'> {
  const contentType = contentTypeOf(source);
  return {
    headers: { ...source.meta.headers, contentType, websiteRedirectLocation: redirect },
    user: source.meta.user,
  };
}

/**
 * A full-object checksum holds for the copy too; a composite one does not, since the copy has no parts: "S3 computes a
 * direct checksum" in its algorithm then.
 */
function checksumToCompute(
  source: Checksum | undefined,
  asked: ChecksumAlgorithm | undefined,
): ChecksumAlgorithm | undefined {
  if (asked && (source?.algorithm !== asked || source.type !== 'FULL_OBJECT')) return asked;
  return source?.type === 'COMPOSITE' ? source.algorithm : undefined;
}
