import { setImmediate as nextTurn } from 'node:timers/promises';
import { versionAction } from '../../../acl/policy/actions.js';
import { S3Error } from '../../errors.js';
import type { WriteCondition } from '../../storage/types.js';
import { bareEtag } from '../etag.js';
import { namesOtherVersion } from '../object-headers.js';
import { readDocument } from '../payload.js';
import type { Context, Handler, XmlValue } from '../types.js';
import { maxListBytes } from '../xml/read.js';
import { type DeleteEntry, readDelete } from '../xml/shapes.js';
import { removeObject, timeSeconds } from './delete-object.js';

/** Deletions at a time: a parallel filesystem likes some, a hung one must not fill the pool. */
const width = 16;
/** Milliseconds after which others get their turn. */
const maxTurn = 8;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
export const deleteObjects: Handler = async (context) => {
  requireIntegrity(context);
  const { quiet, objects } = await readDelete(await readDocument(context, maxListBytes));
  const failures: (S3Error | undefined)[] = new Array(objects.length);
  let next = 0;
  let began = performance.now();
  let pausing: Promise<void> | undefined;
  const pause = async () => {
    await nextTurn();
    began = performance.now();
    pausing = undefined;
  };
  const worker = async () => {
    while (next < objects.length) {
      // What a policy denies waits for no filesystem: a thousand decisions in a row would keep other requests waiting.
      while (performance.now() - began > maxTurn) await (pausing ??= pause());
      const at = next++;
      if (at < objects.length) failures[at] = await deleteEntry(context, objects[at]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, objects.length) }, worker));

  const deleted: XmlValue[] = [];
  const errors: XmlValue[] = [];
  objects.forEach(({ key, versionId }, at) => {
    const failure = failures[at];
    if (failure) errors.push({ Key: key, VersionId: versionId, Code: failure.code, Message: failure.message });
    else if (!quiet) deleted.push({ Key: key, VersionId: versionId });
  });
  return {
    body: { xml: { DeleteResult: { Deleted: deleted, Error: errors } } },
    failures: failures.filter((failure) => failure !== undefined),
  };
};

/**
 * "The Content-MD5 request header is required for all Multi-Object Delete requests", unless a checksum stands in for it.
 * A payload whose SHA-256 is signed cannot have changed either: clients that rely on that are let in.
 */
function requireIntegrity({ headers, payloadSha256 }: Context): void {
  if (headers.has('content-md5') || payloadSha256 !== undefined) return;
  const trailer = headers.get('x-amz-trailer') ?? '';
  if ([...headers.keys(), trailer].some((name) => /^x-amz-checksum-(crc|sha)/i.test(name))) return;
  throw new S3Error('InvalidRequest', { message: 'Missing required header for this request: Content-MD5' });
}

async function deleteEntry(context: Context, entry: DeleteEntry): Promise<S3Error | undefined> {
  const { storage, place } = context;
  try {
    await context.permit(place, entry.key, versionAction('s3:DeleteObject', entry.versionId));
    if (!namesOtherVersion(entry.versionId)) await removeObject(storage, place, entry.key, entryCondition(entry));
    return undefined;
  } catch (error) {
    // One bad entry must not hide what became of the others.
    return error instanceof S3Error ? error : new S3Error('InternalError', { cause: error });
  }
}

function entryCondition({ etag, lastModified, size }: DeleteEntry): WriteCondition | undefined {
  if (etag === undefined && lastModified === undefined && size === undefined) return undefined;
  return {
    ifMatch: etag === undefined ? undefined : bareEtag(etag),
    ifMatchLastModified: lastModified === undefined ? undefined : timeSeconds('LastModifiedTime', lastModified),
    ifMatchSize: size,
  };
}
