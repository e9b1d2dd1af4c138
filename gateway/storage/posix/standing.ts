/** What a write finds under its key, seen under the key's lock. */

import { belongsTo } from '../../../acl/metadata/codec.js';
import { believe } from '../../../acl/metadata/stamp.js';
import { loadRecord } from '../../../acl/metadata/store.js';
import type { Current } from '../condition.js';
import { examine, type Found, isDirectory, isFile, milliseconds, READ } from './lookup.js';
import { conflict, type Parent } from './parents.js';
import type { BucketDir } from './paths.js';
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  close,
  E,
  errnoError,
  fstat,
  O_NOFOLLOW,
  RESOLVE_INSIDE,
  tryOpenat2,
  tryStatat,
  tryUnlinkat,
} from './syscalls.js';

export type Standing = Found;

export const current = (standing: Standing | undefined): Current | undefined =>
  standing && {
    etag: standing.info.meta.etag,
    size: standing.info.size,
    lastModified: standing.info.lastModified,
  };

/**
 * The file under a key, open; undefined when there is nothing. The caller closes it (-1: it may not be read).
 * Throws KeyConflict for what is no file. A directory that the gateway made and that is empty is removed for the write.
 */
export const openStanding = (bucket: BucketDir, parent: Parent, key: string): Standing | undefined => {
  const fd = tryOpenat2(parent.fd, parent.base, READ | O_NOFOLLOW, 0, RESOLVE_INSIDE);
  if (fd === -E.ENOENT) return undefined;
  if (fd === -E.ELOOP) throw conflict('a symbolic link stands at this name');
  if (fd === -E.ENXIO || fd === -E.ENODEV) throw conflict('a special file stands at this name');
  if (fd === -E.EACCES || fd === -E.EPERM) return unreadable(parent, key);
  if (fd < 0) throw errnoError(-fd, 'openat2');
  try {
    const stat = fstat(fd);
    if (isFile(stat)) return examine(bucket, key, fd, stat, true);
    if (!isDirectory(stat)) throw conflict('a special file stands at this name');
    const { packed, forget } = loadRecord(bucket, fd, stat);
    const ours = packed?.made && !packed.marker;
    if (!ours || tryUnlinkat(parent.fd, parent.base, AT_REMOVEDIR) < 0) {
      throw conflict('a directory with objects stands at this name');
    }
    forget();
    close(fd);
    return undefined;
  } catch (error) {
    close(fd);
    throw error;
  }
};

/** Who may write the directory may replace the file, but what is stored about it cannot be seen. */
const unreadable = (parent: Parent, key: string): Standing | undefined => {
  const stat = tryStatat(parent.fd, parent.base, AT_SYMLINK_NOFOLLOW);
  if (!stat) return undefined;
  if (isDirectory(stat)) throw conflict('a directory with objects stands at this name');
  if (!isFile(stat)) throw conflict('a special file stands at this name');
  const meta = believe(undefined, undefined, stat);
  return {
    fd: -1,
    stat,
    loaded: { incomplete: false, forget: () => undefined, supersede: () => undefined },
    info: { key, size: stat.size, lastModified: milliseconds(stat.mtimeNs), meta },
  };
};

/** Removes what a directory object had outside of its attribute, when another takes its place or nothing does. */
export const removeBody = (bucket: BucketDir, directory: bigint, body: string | undefined, before: Found): void => {
  if (body === undefined) {
    before.loaded.supersede();
    return;
  }
  if (belongsTo(body, directory)) bucket.asGateway(() => tryUnlinkat(bucket.area('bodies'), body));
  before.loaded.forget();
};
