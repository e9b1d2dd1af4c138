/** What the worker threads do for multipart uploads. The main thread's side is `uploads.ts`. */
import { randomBytes } from 'node:crypto';
import { requireStorable } from '../../../acl/metadata/codec.js';
import type { Checksum, ObjectMeta } from '../../../acl/metadata/types.js';
import { S3Error } from '../../errors.js';
import { checkWrite } from '../condition.js';
import { assertStorableKey } from '../keys.js';
import { uploadPage } from '../listing.js';
import type { NewUpload, ObjectInfo, Part, Upload, UploadListRequest, UploadPage, WriteCondition } from '../types.js';
import { end, openOnly, publishLent } from './lend.js';
import { findObject, milliseconds } from './lookup.js';
import { findParent, splitKey } from './parents.js';
import { asRequester, type BucketDir, type Ground, randomName, syncDirectory, withBucket } from './paths.js';
import { publishStaged } from './publish.js';
import { copyBytes } from './restage.js';
import { openObject, storeSlot } from './slots.js';
import { writeSmall } from './small-files.js';
import type { Published, Staged } from './staged.js';
import {
  AT_REMOVEDIR,
  awaitWritten,
  beginWriting,
  close,
  closeReplaced,
  E,
  errnoError,
  fstat,
  fsync,
  O_DIRECTORY,
  O_RDONLY,
  openat2,
  RESOLVE_INSIDE,
  readEntries,
  type Stat,
  tryMkdirat,
  tryRenameat2,
  tryUnlinkat,
} from './syscalls.js';
import { closeFiles, syncTransfer, takeTransfer, transferOf } from './transfer.js';
import { encodeUpload, isUploadId, type UploadDir, withUpload } from './upload-files.js';
import {
  closePart,
  openOwnPart,
  partName,
  partsAfter,
  removeUpload,
  requirePart,
  stampPart,
  UPLOAD_FILE,
} from './upload-parts.js';

/** A stretch of a part, for `uploadJoin`. */
export interface Piece {
  part: Part;
  /** Within the part. */
  start: number;
  length: number;
}

/** Those of an upload: all but the last are of one size. */
export interface Layout {
  size: number;
  count: number;
  last: Part;
}

const makeDirectory = (bucket: BucketDir, id: string): number => {
  const made = tryMkdirat(bucket.area('uploads'), id, 0o700);
  if (made < 0) throw errnoError(-made, 'mkdir');
  return openat2(bucket.area('uploads'), id, O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
};

export const uploadOps = {
  uploadCreate(ground: Ground, key: string, upload: NewUpload): Upload {
    assertStorableKey(key);
    requireStorable({ ...upload.meta, etag: '' });
    return withBucket(ground, 'write', (bucket) => {
      const initiated = Date.now();
      const id = initiated.toString(16).padStart(12, '0') + randomBytes(10).toString('hex');
      const fd = makeDirectory(bucket, id);
      const draft = randomName();
      try {
        // Aside and renamed: nobody reads half of it.
        writeSmall(bucket, fd, draft, encodeUpload(key, initiated, upload));
        const result = tryRenameat2(fd, draft, fd, UPLOAD_FILE);
        if (result < 0) throw errnoError(-result, 'rename');
        syncDirectory(bucket, fd);
        syncDirectory(bucket, bucket.area('uploads'));
      } catch (error) {
        tryUnlinkat(fd, draft);
        tryUnlinkat(bucket.area('uploads'), id, AT_REMOVEDIR);
        throw error;
      } finally {
        close(fd);
      }
      return { ...upload, key, id, initiated };
    });
  },

  uploadGet: (ground: Ground, key: string, id: string): Upload =>
    withBucket(ground, 'write', (bucket) => withAnyUpload(bucket, id, key, 'none', ({ upload }) => upload)),

  uploadList: (ground: Ground, request: UploadListRequest): UploadPage =>
    withBucket(ground, 'write', (bucket) => {
      const uploads = uploadsIn(bucket);
      for (const requester of bucket.requesters()) uploads.push(...asRequester(bucket, requester, uploadsIn));
      return uploadPage(uploads, request);
    }),

  /**
   * Makes what a transfer of this lane has brought the part of its number; one of the same number sent before is replaced
   * as a whole. On failure the transfer is still there.
   */
  partPublish(
    transfer: number,
    key: string,
    id: string,
    number: number,
    sealed: { etag: string; checksum?: Checksum },
  ): Part {
    if (!Number.isInteger(number) || number < 1 || number > 10_000) throw new S3Error('InvalidArgument');
    const arrived = transferOf(transfer);
    const { ground, staged, slot } = arrived;
    return withBucket(ground, 'write', (bucket) => {
      syncTransfer(arrived);
      const part = withUpload(bucket, id, key, 'shared', (at) => {
        const { size, mtimeNs } = slot
          ? storeSlot(bucket, at, { staged, slot, size: arrived.size }, sealed)
          : storeOwn(bucket, at, number, staged, sealed);
        syncDirectory(bucket, at.fd);
        const made: Part = { number, size, lastModified: milliseconds(mtimeNs), etag: sealed.etag };
        if (sealed.checksum) made.checksum = sealed.checksum;
        if (slot) made.placed = true;
        return made;
      });
      takeTransfer(transfer);
      closeFiles(arrived);
      return part;
    });
  },

  partList: (ground: Ground, key: string, id: string, after: number, limit: number): { parts: Part[]; more: boolean } =>
    withBucket(ground, 'write', (bucket) =>
      // While one is lent the parts are not there.
      withAnyUpload(bucket, id, key, 'shared', (at, his) => {
        const parts: Part[] = [];
        if (limit <= 0) return { parts, more: false };
        for (const part of partsAfter(his, at.fd, after)) {
          if (parts.length === limit) return { parts, more: true };
          parts.push(part);
        }
        return { parts, more: false };
      }),
    ),

  /**
   * Before the parts are joined: the object itself, when an earlier try has finished and only its answer was lost; a
   * condition that does not hold is refused here already, which spares the copy.
   */
  uploadBegin: (
    ground: Ground,
    key: string,
    id: string,
    condition: WriteCondition | undefined,
  ): ObjectInfo | undefined =>
    withBucket(ground, 'write', (bucket) => {
      const found = withUpload(bucket, id, key, 'none', () => standing(bucket, key));
      if (found?.meta.uploadId === id) {
        withUpload(bucket, id, key, 'exclusive', (at) => removeUpload(bucket, id, at.fd));
        return found;
      }
      checkWrite(condition, found && { ...found, etag: found.meta.etag });
      return undefined;
    }),

  /** Appends pieces to a transfer of this lane. InvalidPart when a part is not any more what the caller has seen. */
  uploadJoin(transfer: number, key: string, id: string, pieces: readonly Piece[]): void {
    const into = transferOf(transfer);
    const { fd } = into.staged;
    const before = into.size;
    const synced = into.ground.durability !== 'none';
    withBucket(into.ground, 'write', (bucket) =>
      withUpload(bucket, id, key, 'shared', (at) => {
        for (const { part, start, length } of pieces) {
          const found = requirePart(bucket, at.fd, part);
          try {
            copyBytes(found.bytes.fd, found.bytes.start + start, fd, into.size, length);
          } finally {
            closePart(found);
          }
          if (synced && length > 0) beginWriting(fd, into.size, length);
          into.size += length;
        }
        // Slice by slice: one sync of terabytes at the end would occupy this thread for minutes. The disk is at one slice while
        // the next is copied.
        if (synced && before > 0) awaitWritten(fd, 0, before);
      }),
    );
  },

  /** Publishes what was joined and ends the upload. On failure both are still there. */
  uploadPublish(
    transfer: number,
    key: string,
    id: string,
    meta: ObjectMeta,
    condition: WriteCondition | undefined,
  ): Published {
    const { ground, staged } = transferOf(transfer);
    return withBucket(ground, 'write', (bucket) =>
      // The lock makes two completions, or one and an abort, come one after the other: the later finds no upload.
      withUpload(bucket, id, key, 'exclusive', (at) => {
        const published = publishStaged(bucket, staged, key, meta, condition);
        takeTransfer(transfer);
        end(bucket, at);
        return published;
      }),
    );
  },

  /**
   * Publishes an upload of one part, whose file becomes the object's, or of several that are in their places, as `partList` has
   * said of all but the last. On failure the upload is as it was. Undefined: the parts have to be copied,
   * because that is not so, the key lies on another filesystem, or is a directory, or nothing can be locked.
   */
  uploadLent: (
    ground: Ground,
    key: string,
    id: string,
    { size, count, last }: Layout,
    meta: ObjectMeta,
    condition: WriteCondition | undefined,
  ): Published | undefined =>
    withBucket(ground, 'write', (bucket) =>
      withUpload(bucket, id, key, 'exclusive', (at) => {
        if (!at.locks || key.endsWith('/') || !onSameFilesystem(bucket, key)) return undefined;
        requireStorable(meta);
        const lent =
          (last.number === count ? openObject(bucket, at, size, last) : undefined) ??
          (count === 1 ? openOnly(bucket, at, last) : undefined);
        return lent && publishLent(bucket, at, lent, key, meta, condition);
      }),
    ),

  uploadAbort: (ground: Ground, key: string, id: string): void =>
    withBucket(ground, 'write', (bucket) =>
      withAnyUpload(bucket, id, key, 'exclusive', (at, his) => removeUpload(his, id, at.fd)),
    ),
};

type Sealed = Pick<Part, 'etag' | 'checksum'>;

const storeOwn = (bucket: BucketDir, at: UploadDir, number: number, staged: Staged, sealed: Sealed): Stat => {
  const stamped = stampPart(bucket, staged.fd, sealed);
  const before = openOwnPart(bucket, at.fd, number);
  try {
    const result = tryRenameat2(bucket.area('staging'), staged.name, at.fd, partName(number));
    if (result < 0) {
      stamped.undo();
      throw errnoError(-result, 'rename');
    }
    before?.loaded.forget();
  } finally {
    if (before) closeReplaced(before.fd, before.stat.size);
  }
  stamped.settle();
  if (bucket.ground.durability === 'full') fsync(staged.fd);
  return stamped.stat;
};

/**
 * As `withUpload`; the keeper of a shared bucket may also look at the uploads of all the others, and abort them. They are
 * worked on as those to whom they belong.
 */
const withAnyUpload = <T>(
  bucket: BucketDir,
  id: string,
  key: string,
  lock: 'none' | 'shared' | 'exclusive',
  work: (at: UploadDir, his: BucketDir) => T,
): T => {
  try {
    return withUpload(bucket, id, key, lock, (at) => work(at, bucket));
  } catch (error) {
    if (!isMissing(error)) throw error;
    for (const requester of bucket.requesters()) {
      try {
        return asRequester(bucket, requester, (his) => withUpload(his, id, key, lock, (at) => work(at, his)));
      } catch (other) {
        if (!isMissing(other)) throw other;
      }
    }
    throw error;
  }
};

const isMissing = (error: unknown): boolean => error instanceof S3Error && error.code === 'NoSuchUpload';

const uploadsIn = (bucket: BucketDir): Upload[] => {
  const uploads: Upload[] = [];
  const fd = openat2(bucket.area('uploads'), '.', O_RDONLY | O_DIRECTORY, 0, RESOLVE_INSIDE);
  try {
    for (const { name } of readEntries(fd)) {
      if (!isUploadId(name)) continue;
      const upload = unlessGone(() => withUpload(bucket, name, undefined, 'none', (at) => at.upload));
      if (upload) uploads.push(upload);
    }
  } finally {
    close(fd);
  }
  return uploads;
};

const onSameFilesystem = (bucket: BucketDir, key: string): boolean => {
  for (let at = key; ; at = splitKey(at).directory) {
    const parent = findParent(bucket, at);
    if (!parent) continue; // the directories that will be made are where the last one is that exists
    try {
      return fstat(parent.fd).dev === bucket.dev();
    } finally {
      parent.close();
    }
  }
};

const standing = (bucket: BucketDir, key: string): ObjectInfo | undefined => {
  const found = findObject(bucket, key);
  if (found && found.fd >= 0) close(found.fd);
  return found?.info;
};

/** An upload that ends while a listing passes is left out of it; so is one that is none, or not for this user. */
const unlessGone = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch (error) {
    if (isMissing(error)) return undefined;
    const code = (error as { errno?: number }).errno;
    if (code === E.EACCES || code === E.EPERM) return undefined;
    throw error;
  }
};
