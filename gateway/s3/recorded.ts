/**
 * The methods by which a request changes something: what took effect is written down before it is told, for the sync engine, which
 * makes the bucket's events of it.
 */
import { randomBytes } from 'node:crypto';
import type { EventName, S3Change, S3Removal } from '../../sync/types.js';
import type { Bucket, ObjectInfo, Place, PutRequest, Storage } from '../storage/types.js';

/** Takes down what S3 requests have done (`sync/inbox.ts`). */
export interface ChangeRecorder {
  /** Resolves when it is written. */
  record(bucket: Bucket, change: S3Change | S3Removal): Promise<void>;
  /** The bucket is deleted, and what is kept of it may go. */
  forget(bucket: Bucket): Promise<void>;
}

export interface Recording {
  storage: Storage;
  changes: ChangeRecorder;
  /** AWS's name of the operation: one of PostObject is another event than one of PutObject. */
  operation: string;
  /** Canonical id; undefined for the anonymous. */
  requester: string | undefined;
  /** Of the client. */
  sourceIp: string;
  requestId: string;
  /** Waited for when a change is written down: that is done of many at once, which would all go on in one turn of the loop. */
  next(): Promise<void>;
  /** Hears of changes that could not be written down. They have taken effect: the reconciler will find them. */
  failed(error: unknown, change: S3Change): void;
}

const mark = (kind: string): string => `${kind}-${randomBytes(16).toString('hex')}`;

/** The methods that change something, in the place of those of `storage`. */
export type Recorded = Pick<Storage, 'put' | 'copy' | 'completeUpload' | 'remove' | 'deleteBucket'>;

export function recordChanges(recording: Recording): Recorded {
  const { storage, changes, operation, requester, sourceIp, requestId, next, failed } = recording;

  async function record(
    { bucket }: Place,
    of: Pick<S3Change, 'write' | 'name' | 'key' | 'size' | 'etag'>,
  ): Promise<void> {
    // "The time when Amazon S3 finished processing the request" (user guide, "Event message structure").
    const change: S3Change = { ...of, time: Date.now(), requester, sourceIp, requestId };
    try {
      await changes.record(bucket, change);
      await next();
    } catch (error) {
      failed(error, change);
    }
  }

  async function created(at: Place, name: EventName, write: string, info: ObjectInfo): Promise<ObjectInfo> {
    // A completion that is repeated finds the object of the first one, which has been told.
    if (info.meta.write === write) {
      await record(at, { write, name, key: info.key, size: info.size, etag: info.meta.etag });
    }
    return info;
  }

  const marked = (request: PutRequest, write: string): PutRequest => ({
    ...request,
    seal: (received) => ({ ...request.seal(received), write }),
  });

  return {
    async put(at, key, body, request) {
      const kind = operation === 'PostObject' ? 'Post' : 'Put';
      const write = mark(kind);
      return created(at, `ObjectCreated:${kind}`, write, await storage.put(at, key, body, marked(request, write)));
    },
    async copy(source, at, key, request) {
      const write = mark('Copy');
      return created(at, 'ObjectCreated:Copy', write, await storage.copy(source, at, key, marked(request, write)));
    },
    async completeUpload(at, key, id, parts, meta, condition) {
      const kind = 'CompleteMultipartUpload';
      const write = mark(kind);
      const info = await storage.completeUpload(at, key, id, parts, { ...meta, write }, condition);
      return created(at, `ObjectCreated:${kind}`, write, info);
    },
    async remove(at, key, condition) {
      const write = mark('Delete');
      const tell = (removal: S3Removal['removal']) =>
        // Where it cannot be written (a full disk), whoever misses the object first cannot tell whose doing that was.
        changes.record(at.bucket, { removal, write, key, time: Date.now() }).catch(() => {});
      await tell('begun');
      let removed = false;
      try {
        removed = await storage.remove(at, key, condition);
      } finally {
        if (!removed) void tell('over');
      }
      if (removed) await record(at, { write, name: 'ObjectRemoved:Delete', key });
      return removed;
    },
    async deleteBucket(at) {
      await storage.deleteBucket(at);
      await changes.forget(at.bucket).catch(() => {
        // What is left is swept when an engine starts.
      });
    },
  };
}
