/**
 * Where a record lies: in the attribute, in part in an overflow file that the attribute names, or (on a filesystem
 * without user attributes) in a sidecar file. One interface for all three.
 */
import { E, errnoError, S_IFMT, S_IFREG, type Stat } from '../../gateway/storage/posix/syscalls.js';
import { decode, type Packed } from './codec.js';
import type { MetaGround, Saved } from './files.js';
import { dropSidecar, readSidecar, writeSidecar } from './sidecar.js';
import { judge } from './stamp.js';
import { readAttribute, readOverflow, removeAttribute, removeOverflow, writeAttribute } from './xattr.js';

export interface Loaded {
  packed?: Packed;
  /** The attribute names an overflow file that is not there: its file was replaced this moment, or it is lost. */
  incomplete: boolean;
  /** Removes what lies outside of the attribute, once the file is gone. Keep the file open until then: its inode number names the sidecar. */
  forget(): void;
  /** Removes the overflow file, once the attribute no longer names it. */
  supersede(): void;
}

const isFile = (stat: Stat): boolean => (stat.mode & S_IFMT) === S_IFREG;

const nothing = (): void => undefined;

/** What is stored about an open file or directory. Never throws for what a user has written there. */
export const loadRecord = (bucket: MetaGround, fd: number, stat: Stat): Loaded => {
  const value = bucket.ground.sidecars ? -E.EOPNOTSUPP : readAttribute(fd);
  if (value === -E.EOPNOTSUPP) {
    const bytes = readSidecar(bucket, stat);
    const packed = bytes && decode(bytes);
    // An inode number is given again when its file is deleted: here a record of other content is another file's.
    const other =
      packed && (packed.stamp?.ino !== stat.ino || (isFile(stat) && judge(packed.stamp, stat) === 'changed'));
    const forget = () => dropSidecar(bucket, stat);
    return packed && !other
      ? { packed, incomplete: false, forget, supersede: nothing }
      : { incomplete: false, forget, supersede: nothing };
  }
  if (typeof value === 'number') return { incomplete: false, forget: nothing, supersede: nothing };
  const decoded = decode(value);
  if (!decoded) return { incomplete: false, forget: nothing, supersede: nothing };
  const { overflow, ...packed } = decoded;
  if (!overflow) return { packed, incomplete: false, forget: nothing, supersede: nothing };
  // A copy names the original's overflow file: it is neither read nor removed on the copy's behalf.
  if (packed.stamp?.ino !== stat.ino) return { packed, incomplete: false, forget: nothing, supersede: nothing };
  const meta = readOverflow(bucket, overflow);
  const forget = () => removeOverflow(bucket, overflow);
  const rest = { incomplete: !meta, forget, supersede: forget };
  return { packed: meta ? { ...packed, meta } : packed, ...rest };
};

/** Stores a record; durable only with the fsync of the file that follows (files outside of it are synced here). */
export const saveRecord = (bucket: MetaGround, fd: number, stat: Stat, packed: Packed): Saved => {
  if (!bucket.ground.sidecars) {
    const saved = writeAttribute(bucket, fd, packed);
    if (saved !== undefined) return saved;
  }
  writeSidecar(bucket, stat, packed);
  return {
    restamp: (stamp) => writeSidecar(bucket, stat, { ...packed, stamp }),
    undo: () => dropSidecar(bucket, stat),
  };
};

/** Removes the record of a file or directory that stays. */
export const clearRecord = (bucket: MetaGround, fd: number, stat: Stat): void => {
  if (!bucket.ground.sidecars) {
    const result = removeAttribute(fd);
    if (result === 0 || result === -E.ENODATA) return;
    if (result !== -E.EOPNOTSUPP) throw errnoError(-result, 'fremovexattr');
  }
  dropSidecar(bucket, stat);
};
