/** What was seen of an open file when its ETag was told, and whether that still holds for its bytes. */
import { decode } from '../../../acl/metadata/codec.js';
import { judge } from '../../../acl/metadata/stamp.js';
import { readAttribute } from '../../../acl/metadata/xattr.js';
import { fstat, type Stat } from './syscalls.js';

export interface Seen {
  etag: string;
  /** The ETag is a digest of the content. */
  digest: boolean;
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  nlink: number;
}

/** So often those look again who may wait, a millisecond apart: by then a writer has come to his next step, also on a busy machine. */
export const AGAIN = 20;
const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Whether an open file still has the content that was looked at. A later ctime alone is explained by a name that went (an
 * overwrite takes it away), or by a record that speaks of this very state (a change of tags, a sync), and where a digest was told,
 * of the same one; else it may be a write whose mtime was put back, as well as a chmod or a rename.
 *
 * Without a digest a file that has grown is taken for one that is appended to, as the results of a job are while it runs: what
 * was there at the beginning is there still.
 *
 * Who comes in between the steps of others looks again: an append sets the ctime first, then the mtime, and the size when its
 * bytes are there (Linux, `inode_update_timestamps`); a record may hold only when it has been stamped once more (`settle`).
 * @param again so often at most, a millisecond apart: 0 where nobody may wait
 */
export const isUnchanged = (fd: number, seen: Seen, again: number): boolean => {
  for (let looks = 0; ; looks++) {
    const now = fstat(fd);
    if (!seen.digest && now.size > seen.size) return true;
    const same = now.size === seen.size && now.mtimeNs === seen.mtimeNs;
    if (same && isExplained(fd, now, seen)) return true;
    const appended = !seen.digest && now.size === seen.size;
    if (looks >= again || !(same || appended)) return false;
    Atomics.wait(pause, 0, 0, 1);
  }
};

/** Whether it is known why the ctime is another one, if it is. */
const isExplained = (fd: number, now: Stat, seen: Seen): boolean => {
  if (now.ctimeNs === seen.ctimeNs || now.nlink < seen.nlink) return true;
  const value = readAttribute(fd);
  const record = typeof value === 'number' ? undefined : decode(value);
  if (seen.digest && (record?.meta ?? record?.overflow)?.etag !== seen.etag) return false;
  return judge(record?.stamp, now) === 'whole';
};
