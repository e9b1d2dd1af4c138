/**
 * Where a record lies: in the attribute, in part in an overflow file that the attribute names, or (on a filesystem
 * without user attributes) in a sidecar file. One interface for all three.
 */
import {
  E,
  errnoError,
  fstat,
  S_IFDIR,
  S_IFMT,
  type Stat,
  tryAccess,
  W_OK,
} from '../../gateway/storage/posix/syscalls.js';
import { belongsTo, decode, type Packed } from './codec.js';
import type { MetaGround, Saved } from './files.js';
import { dropSidecar, readSidecar, sidecarName, writeSidecar } from './sidecar.js';
import { isOfDirectory, judge } from './stamp.js';
import { readAttribute, readOverflow, removeAttribute, removeOverflow, writeAttribute } from './xattr.js';

export interface Loaded {
  packed?: Packed;
  /** The attribute names an overflow file that is not there: its file was replaced this moment, or it is lost. */
  incomplete: boolean;
  /** The attribute could not be read. */
  unread?: true;
  /** It lies, or would lie, in a sidecar: that comes and goes without a trace in the status of the file or directory. */
  beside?: true;
  /** Part of it lies in an overflow file. */
  overflows?: true;
  /**
   * Removes what lies outside of the attribute, once the file is gone; nothing while it has other names: it stands under them.
   * To be called with the file still open: its inode number names the sidecar.
   */
  forget(): void;
  /** Removes the overflow file, once the attribute no longer names it. */
  supersede(): void;
}

const isDirectory = (stat: Stat): boolean => (stat.mode & S_IFMT) === S_IFDIR;
/** For what has lost a name since it was looked at. On NFS a file that is open keeps its last link. */
const unlessNamed = (fd: number, seen: Stat, remove: () => void) => (): void => {
  if (seen.nlink <= 1 || isDirectory(seen) || hasGone(fd)) remove();
};

const hasGone = (fd: number): boolean => {
  try {
    return fstat(fd).nlink === 0;
  } catch {
    return true; // ESTALE
  }
};

const nothing = (): void => undefined;
const none: Loaded = { incomplete: false, forget: nothing, supersede: nothing };

/** What is stored about an open file or directory. Never throws for what a user has written there. */
export const loadRecord = (bucket: MetaGround, fd: number, stat: Stat): Loaded => {
  const value = bucket.ground.sidecars ? -E.EOPNOTSUPP : readAttribute(fd);
  if (value === -E.EOPNOTSUPP) return loadSidecar(bucket, fd, stat);
  // A network filesystem does not tell the attributes of a file that has lost its name, although it is open.
  if (value === -E.ESTALE || value === -E.ENOENT) return { ...none, incomplete: true };
  if (typeof value === 'number') return value === -E.ENODATA ? none : { ...none, unread: true };
  const decoded = decode(value);
  if (!decoded || (isDirectory(stat) && !isOfDirectory(decoded.stamp, stat))) return none;
  const { overflow, ...packed } = decoded;
  if (!overflow) return { packed, incomplete: false, forget: nothing, supersede: nothing };
  // A copy names the original's overflow file: it is neither read nor removed on the copy's behalf.
  if (packed.stamp?.ino !== stat.ino || !belongsTo(overflow.name, stat.ino)) return { ...none, packed };
  const meta = readOverflow(bucket, overflow);
  const supersede = () => removeOverflow(bucket, overflow);
  const forget = unlessNamed(fd, stat, supersede);
  const rest = { incomplete: !meta, overflows: true as const, forget, supersede };
  return { packed: meta ? { ...packed, meta } : packed, ...rest };
};

const loadSidecar = (bucket: MetaGround, fd: number, stat: Stat): Loaded => {
  const name = sidecarName(bucket, fd, stat);
  const bytes = readSidecar(bucket, name);
  const packed = bytes && decode(bytes);
  const forget = unlessNamed(fd, stat, () => dropSidecar(bucket, name));
  // An inode number is given again when its file is deleted: here a record of other content is another file's.
  const other = isDirectory(stat)
    ? !isOfDirectory(packed?.stamp, stat)
    : packed?.stamp?.ino !== stat.ino || judge(packed.stamp, stat) === 'changed';
  return { incomplete: false, beside: true, forget, supersede: nothing, ...(packed && !other && { packed }) };
};

/**
 * Stores a record; durable only with the fsync of the file that follows (files outside of it are synced here).
 * @param fresh for what was made this moment: a record that somebody else has stored there already stays
 */
export const saveRecord = (bucket: MetaGround, fd: number, stat: Stat, packed: Packed, fresh = false): Saved => {
  if (!bucket.ground.sidecars) {
    const saved = writeAttribute(bucket, fd, stat.ino, packed, fresh);
    if (saved !== undefined) return saved;
  }
  requireWritable(bucket, fd);
  const name = sidecarName(bucket, fd, stat);
  writeSidecar(bucket, name, packed, fresh);
  return {
    restamp: (stamp) => writeSidecar(bucket, name, { ...packed, stamp }),
    undo: () => dropSidecar(bucket, name),
  };
};

/** Removes the record of a file or directory that stays. */
export const clearRecord = (bucket: MetaGround, fd: number, stat: Stat): void => {
  if (!bucket.ground.sidecars) {
    const result = removeAttribute(fd);
    if (result === 0 || result === -E.ENODATA) return;
    if (result !== -E.EOPNOTSUPP) throw errnoError(-result, 'fremovexattr');
  }
  requireWritable(bucket, fd);
  dropSidecar(bucket, sidecarName(bucket, fd, stat));
};

/** An attribute takes the right to write the file; where the gateway writes beside it, this is asked for. */
const requireWritable = (bucket: MetaGround, fd: number): void => {
  const result = bucket.shared ? tryAccess(fd, W_OK) : 0;
  if (result < 0) throw errnoError(-result, 'faccessat2');
};
