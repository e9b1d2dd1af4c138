/**
 * Directory objects, the keys that end in `/`: the directory with a marker in its attribute. A body, which clients
 * hardly ever send, lies in the bucket's `bodies/`.
 */

import { nameFor } from '../../../acl/metadata/codec.js';
import { directoryStamp } from '../../../acl/metadata/stamp.js';
import { saveRecord } from '../../../acl/metadata/store.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';
import { S3Error } from '../../errors.js';
import { checkWrite } from '../condition.js';
import type { WriteCondition } from '../types.js';
import { directoryObject, isDirectory, isFile, openDirectory } from './lookup.js';
import { conflict, makeDirectory, type Parent, parentFor } from './parents.js';
import { type BucketDir, syncDirectory } from './paths.js';
import { moveInto, type Published, type Staged, stampFile } from './staged.js';
import { current, removeBody } from './standing.js';
import { AT_SYMLINK_NOFOLLOW, close, E, errnoError, fstat, fsync, tryStatat, tryUnlinkat } from './syscalls.js';

/** As `publishStaged`, for a key that ends in `/`; the key's lock is held. */
export const publishDirectory = (
  bucket: BucketDir,
  staged: Staged,
  key: string,
  meta: ObjectMeta,
  condition: WriteCondition | undefined,
): Published => {
  for (let attempt = 0; attempt < 16; attempt++) {
    const parent = parentFor(bucket, key, condition);
    try {
      const published = tryDirectory(bucket, staged, parent, key, meta, condition);
      if (published) return published;
    } finally {
      parent.close();
    }
  }
  throw new S3Error('SlowDown');
};

const tryDirectory = (
  bucket: BucketDir,
  staged: Staged,
  parent: Parent,
  key: string,
  meta: ObjectMeta,
  condition: WriteCondition | undefined,
): Published | undefined => {
  const directory = openDirectory(bucket, parent.fd, parent.base) ?? makeAndOpen(bucket, parent, condition);
  if (!directory) return undefined;
  const before = directoryObject(bucket, key, directory, true);
  let body: string | undefined;
  try {
    checkWrite(condition, current(before));
    const { size } = fstat(staged.fd);
    let settled = 0n;
    if (size > 0) {
      body = nameFor(directory.stat.ino);
      const stamped = stampFile(bucket, staged.fd, meta);
      const name = body;
      const staging = bucket.area('staging');
      const moved = bucket.asGateway(() => moveInto(staging, staged.name, bucket.area('bodies'), name, false));
      if (moved < 0) {
        stamped.undo();
        throw errnoError(-moved, 'rename');
      }
      settled = stamped.settle();
      if (bucket.ground.durability === 'full') fsync(staged.fd);
      bucket.asGateway(() => syncDirectory(bucket, bucket.area('bodies')));
    }
    const modified = Date.now();
    const saved = saveRecord(bucket, directory.fd, directory.stat, {
      made: directory.loaded.packed?.made === true,
      stamp: directoryStamp(directory.stat),
      marker: body === undefined ? { modified } : { modified, body },
      ...(body === undefined && { meta }),
    });
    // A job may have removed it meanwhile: the attribute of a directory without a name is nothing.
    if (tryStatat(parent.fd, parent.base, AT_SYMLINK_NOFOLLOW)?.ino !== directory.stat.ino) {
      saved.undo();
      throw new S3Error('OperationAborted');
    }
    if (bucket.ground.durability === 'full') fsync(directory.fd);
    syncDirectory(bucket, parent.fd);
    if (before) removeBody(bucket, directory.stat.ino, directory.loaded.packed?.marker?.body, before);
    else directory.loaded.supersede();
    if (body === undefined) tryUnlinkat(bucket.area('staging'), staged.name);
    close(staged.fd);
    staged.fd = -1;
    return { info: { key, size, lastModified: modified, meta }, settled };
  } catch (error) {
    const name = body;
    if (name !== undefined) bucket.asGateway(() => tryUnlinkat(bucket.area('bodies'), name));
    throw error;
  } finally {
    if (before && before.fd !== directory.fd) close(before.fd);
    close(directory.fd);
  }
};

const makeAndOpen = (bucket: BucketDir, parent: Parent, condition: WriteCondition | undefined) => {
  const there = tryStatat(parent.fd, parent.base, AT_SYMLINK_NOFOLLOW);
  if (there && isFile(there)) throw conflict('a file stands where the key needs a directory');
  if (there && !isDirectory(there)) throw conflict('something that is no directory stands at this name');
  checkWrite(condition, undefined);
  const made = makeDirectory(bucket, parent.fd, parent.base);
  if (made < 0 && made !== -E.EEXIST && made !== -E.ENOENT) throw errnoError(-made, 'mkdir');
  return openDirectory(bucket, parent.fd, parent.base);
};
