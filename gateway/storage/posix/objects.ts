/** Operations on objects that a worker thread runs in one go. */

import { requireStorable } from '../../../acl/metadata/codec.js';
import { directoryStamp, judge } from '../../../acl/metadata/stamp.js';
import { clearRecord, saveRecord } from '../../../acl/metadata/store.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import { S3Error } from '../../errors.js';
import { checkWrite, requireSame } from '../condition.js';
import type { MetaChange, ObjectInfo, WriteCondition } from '../types.js';
import { tickFor } from './clock.js';
import { letGo } from './held.js';
import { withKeyLock } from './locks.js';
import { type Found, findObject, isDirectory, openDirectory } from './lookup.js';
import { absent, findParent, removeEmptyParents } from './parents.js';
import { type BucketDir, type Ground, syncDirectory, withBucket } from './paths.js';
import { publishStaged } from './publish.js';
import { awaitTurn, claim, passTurn, type Relay } from './relay.js';
import { AGAIN, isUnchanged, type Seen } from './seen.js';
import { awaitRoom, sendNow } from './sockets.js';
import { discard, type Published, settle, stage } from './staged.js';
import { current, removeBody } from './standing.js';
import { AT_REMOVEDIR, close, E, errnoError, fsync, pread, pwrite, threadUsage, tryUnlinkat } from './syscalls.js';

export interface Opened {
  info: ObjectInfo;
  /** The whole content, when it is small; then nothing stays open. */
  bytes?: Uint8Array;
  /** Otherwise a descriptor, for any worker; to be closed with `closeObject`. */
  fd: number;
  /** What the ETag holds for: see `isUnchanged`. */
  seen?: Seen;
}

/** What one call has sent, and why it ended. */
export interface Sent {
  /** Bytes that went out. */
  sent: number;
  /** What was read behind them and not taken, as the connection is full or broken: its place in the chunk. */
  from: number;
  to: number;
  /** Most reads had to wait: the content is not in memory. */
  slow: boolean;
}

/** How long one call sends or receives at most. */
export interface Turn {
  ms: number;
  /** It is worth a moment's wait when the connection is full, or empty, because its client is quick. */
  patient: boolean;
}

/** So much one call sends at most, though its time is not over: what it has sent is counted when it returns. */
const TURN_BYTES = 64 << 20;
export const PATIENCE_MS = 1;

/** EIO when the file has become shorter: what was promised cannot be delivered. */
const fill = (fd: number, into: Uint8Array, position: number): void => {
  if (pread(fd, into, position) < into.length) throw errnoError(E.EIO, 'read');
};

/** A job has written to the file: the ETag that was told, or is about to be, is not that of the bytes. */
const requireUnchanged = (fd: number, seen: Seen | undefined): void => {
  if (seen === undefined || isUnchanged(fd, seen, AGAIN)) return;
  throw new S3Error('ServiceUnavailable', {
    message: 'The object was changed in place while it was read. Please try again.',
  });
};

const required = (found: Found | undefined): Found => {
  if (!found) throw new S3Error('NoSuchKey');
  return found;
};

/** The file that holds the bytes; a directory object without a body has none. */
const holdsBytes = ({ stat }: Found): boolean => !isDirectory(stat);

export const objectOps = {
  headObject(ground: Ground, key: string): ObjectInfo {
    return withBucket(ground, 'read', (bucket) => {
      const found = required(findObject(bucket, key));
      close(found.fd);
      return found.info;
    });
  },

  /** @param inline content of at most so many bytes comes with the answer */
  openObject(ground: Ground, key: string, inline: number): Opened {
    return withBucket(ground, 'read', (bucket) => {
      for (let attempt = 0; ; attempt++) {
        const found = required(findObject(bucket, key));
        const { fd, info, stat } = found;
        let keep = false;
        try {
          if (!holdsBytes(found)) return { info, fd: -1, bytes: new Uint8Array(0) };
          const { size, mtimeNs, ctimeNs, nlink } = stat;
          const seen = { etag: info.meta.etag, digest: found.whole === true, size, mtimeNs, ctimeNs, nlink };
          if (info.size <= inline) {
            const bytes = new Uint8Array(info.size);
            const got = pread(fd, bytes, 0);
            // A file that is written all the time is handed out as it comes, but never under the digest of another content.
            const good = got === bytes.length && (isUnchanged(fd, seen, 0) || (attempt > 3 && !found.whole));
            if (good) return { info, fd: -1, bytes };
            if (attempt > 7) throw errnoError(E.EIO, 'read');
            continue;
          }
          keep = true;
          // Known to others from now on, of whom any may close it.
          letGo(fd);
          return { info, fd, seen };
        } finally {
          if (!keep) close(fd);
        }
      }
    });
  },

  closeObject(fd: number): void {
    close(fd);
  },

  /** Fills `into` from `position` on, as `fill` does. */
  readObject(fd: number, into: Uint8Array, position: number, seen: Seen | undefined): void {
    fill(fd, into, position);
    requireUnchanged(fd, seen);
  },

  /**
   * Sends from `position` on what a connection takes at once, through `chunk`, for a while.
   * @param socket a descriptor of it that nobody closes in the meantime, and only those of this relay write to
   * @param relay of two calls, or of this one alone: their chunks are equally long
   */
  sendObject(
    fd: number,
    socket: number,
    chunk: Uint8Array,
    position: number,
    length: number,
    seen: Seen | undefined,
    { ms, patient }: Turn,
    relay: Relay,
  ): Sent {
    const end = performance.now() + ms;
    const most = Math.min(length, TURN_BYTES);
    let [sent, reads, waits] = [0, 0, 0];
    const result = (from = 0, to = 0): Sent => ({ sent, from, to, slow: waits > reads / 2 });
    do {
      const index = claim(relay);
      const at = index * chunk.length;
      if (at >= most) break;
      const part = chunk.subarray(0, Math.min(chunk.length, length - at));
      let taken = 0;
      try {
        const before = threadUsage().waits;
        // Never from the page cache itself (sendfile): a job could change what goes out after it was looked at.
        fill(fd, part, position + at);
        reads++;
        if (threadUsage().waits > before) waits++;
        requireUnchanged(fd, seen);
        if (!awaitTurn(relay, index)) break;
        for (;;) {
          const some = sendNow(socket, part.subarray(taken));
          taken += some;
          sent += some;
          if (taken === part.length) break;
          const worthIt = patient && performance.now() < end && awaitRoom(socket, PATIENCE_MS);
          // What has room and takes nothing is broken.
          if (!worthIt || some === 0) return result(taken, part.length);
        }
      } finally {
        passTurn(relay, index, taken === part.length);
      }
    } while (performance.now() < end);
    return result();
  },

  /** After a copy, before anything is told of it. */
  checkObject(fd: number, seen: Seen): void {
    requireUnchanged(fd, seen);
  },

  /** The whole of a small PUT: its bytes are here, and checked. */
  putSmall(
    ground: Ground,
    key: string,
    bytes: Uint8Array,
    meta: ObjectMeta,
    condition: WriteCondition | undefined,
  ): Published {
    return withBucket(ground, 'write', (bucket) => {
      const staged = stage(bucket);
      try {
        if (bytes.length > 0) pwrite(staged.fd, bytes, 0);
        return publishStaged(bucket, staged, key, meta, condition);
      } finally {
        discard(bucket, staged);
      }
    });
  },

  /** Whether an object was there. */
  removeObject(ground: Ground, key: string, condition: WriteCondition | undefined): boolean {
    return withBucket(ground, 'write', (bucket) => {
      const removed = withKeyLock(bucket, key, () =>
        key.endsWith('/') ? removeDirectoryObject(bucket, key, condition) : removeFile(bucket, key, condition),
      );
      if (removed === 'name') removeEmptyParents(bucket, key);
      return removed !== 'nothing';
    });
  },

  updateObject(ground: Ground, key: string, change: MetaChange): Published {
    return withBucket(ground, 'write', (bucket) => withKeyLock(bucket, key, () => update(bucket, key, change)));
  },
};

/** What went: the name with the object, the object of a directory that stays, or nothing. */
type Removed = 'name' | 'object' | 'nothing';

const removeFile = (bucket: BucketDir, key: string, condition: WriteCondition | undefined): Removed => {
  const parent = findParent(bucket, key);
  if (!parent) return 'nothing';
  try {
    let found: Found | undefined;
    let unreadable = false;
    try {
      found = findObject(bucket, key, true, true);
    } catch (error) {
      // Deleting takes rights on the directory alone; without the record no condition can be checked.
      if (condition || (error as { code?: string }).code !== 'EACCES') throw error;
      unreadable = true;
    }
    if (!found && !unreadable) return 'nothing';
    try {
      checkWrite(condition, current(found));
      const result = tryUnlinkat(parent.fd, parent.base);
      // ESTALE: its directory has gone meanwhile, and that was empty.
      if (absent(result) || result === -E.EISDIR || result === -E.ESTALE) return 'nothing';
      if (result < 0) throw errnoError(-result, 'unlink');
      found?.loaded.forget();
      syncDirectory(bucket, parent.fd);
      return 'name';
    } finally {
      if (found) close(found.fd);
    }
  } finally {
    parent.close();
  }
};

const removeDirectoryObject = (bucket: BucketDir, key: string, condition: WriteCondition | undefined): Removed => {
  const found = findObject(bucket, key, true);
  if (!found) return 'nothing';
  const parent = findParent(bucket, key);
  const directory = parent && openDirectory(bucket, parent.fd, parent.base);
  try {
    if (!parent || !directory) return 'nothing';
    checkWrite(condition, current(found));
    const { made, marker } = directory.loaded.packed ?? {};
    if (made) saveRecord(bucket, directory.fd, directory.stat, { made, stamp: directoryStamp(directory.stat) });
    else clearRecord(bucket, directory.fd, directory.stat);
    if (bucket.ground.durability === 'full') fsync(directory.fd);
    removeBody(bucket, directory.stat.ino, marker?.body, found);
    if (made && tryUnlinkat(parent.fd, parent.base, AT_REMOVEDIR) === 0) {
      directory.loaded.forget();
      syncDirectory(bucket, parent.fd);
      return 'name';
    }
    return 'object';
  } finally {
    if (directory) close(directory.fd);
    parent?.close();
    close(found.fd);
  }
};

const update = (bucket: BucketDir, key: string, change: MetaChange): Published => {
  const found = required(findObject(bucket, key, true));
  const { fd, stat, loaded, info } = found;
  try {
    requireSame(change.of, info.meta);
    const { packed } = loaded;
    const meta: ObjectMeta = { ...info.meta };
    if (change.tags === null) delete meta.tags;
    else if (change.tags) meta.tags = change.tags;
    if (change.acl === null) delete meta.acl;
    else if (change.acl !== undefined) meta.acl = change.acl;
    requireStorable(meta);
    if (isDirectory(stat)) {
      if (!packed || packed.marker?.body !== undefined)
        throw new S3Error('InternalError', { cause: new Error('body lost') });
      saveRecord(bucket, fd, stat, { ...packed, meta });
      loaded.supersede();
      if (bucket.ground.durability === 'full') fsync(fd);
      return { info: { ...info, meta }, settled: 0n };
    }
    // What was not known of the content before is not known now; the synthetic value changes with the ctime.
    const whole = packed?.meta !== undefined && packed.meta.etag !== '' && judge(packed.stamp, stat) === 'whole';
    const stamp = { size: stat.size, mtimeNs: stat.mtimeNs, ino: stat.ino, bound: stat.ctimeNs };
    const saved = saveRecord(bucket, fd, stat, { stamp, meta: whole ? meta : { ...meta, etag: '' } });
    const settled = settle(bucket, fd, saved, stamp, tickFor(bucket, stat.dev));
    loaded.supersede();
    if (bucket.ground.durability === 'full') fsync(fd);
    if (whole) return { info: { ...info, meta }, settled };
    const now = required(findObject(bucket, key, true));
    close(now.fd);
    return { info: now.info, settled };
  } finally {
    close(fd);
  }
};
