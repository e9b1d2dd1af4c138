/**
 * What a file has of the directory that it is made in: the group of one with the setgid bit (mkdir(2), "BSD group
 * semantics"), and the default ACL of one that has such (acl(5), "OBJECT CREATION AND DEFAULT ACLs"). Files are made in
 * `staging/`, so they are given it before they get their name.
 */
import { readFileSync } from 'node:fs';
import { effectiveGid } from './identity.js';
import type { BucketDir } from './paths.js';
import {
  E,
  fchmod,
  fstat,
  procPath,
  S_ISGID,
  tryFchgrp,
  tryFgetxattr,
  tryFremovexattr,
  tryFsetxattr,
  tryLgetxattr,
} from './syscalls.js';

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

/** More entries than this are refused by the kernel's own limit of an attribute. */
const buffer = Buffer.allocUnsafe(65_536);
const small = buffer.subarray(0, 512);

/**
 * Makes a staged file look as if its writer had made it in the directory `parent`.
 * @returns false when that is only possible by making it there (`restage`): a group that the writer is not in
 */
export const inherit = (bucket: BucketDir, fd: number, parent: number): boolean => {
  const [directory, file] = [fstat(parent), fstat(fd)];
  if (file.gid !== (directory.mode & S_ISGID ? directory.gid : effectiveGid())) {
    // Neither his own nor that of a setgid `staging`: filesystems mounted with `grpid` always take the directory's.
    const always = !(directory.mode & S_ISGID) && !(fstat(bucket.area('staging')).mode & S_ISGID);
    const gid = directory.mode & S_ISGID || always ? directory.gid : effectiveGid();
    if (file.gid !== gid && tryFchgrp(fd, gid) < 0) return false;
  }
  const mode = bucket.ground.fileMode;
  const acl = defaultAcl(parent);
  if (acl) return tryFsetxattr(fd, ACCESS, masked(acl, mode)) === 0;
  // Born with one, because `staging` has a default ACL of its own (`setfacl -R -d` on the bucket).
  if (tryFgetxattr(fd, ACCESS, small) !== -E.ENODATA && tryFremovexattr(fd, ACCESS) === 0) fchmod(fd, mode & ~umask());
  return true;
};

/** Undefined where there is none, or no such thing. */
const defaultAcl = (directory: number): Buffer | undefined => {
  // By path: the descriptor was opened to go through, not to read.
  const path = `${procPath(directory)}/.`;
  let length = tryLgetxattr(path, DEFAULT, small);
  if (length === -E.ERANGE) length = tryLgetxattr(path, DEFAULT, buffer);
  return length > 4 ? Buffer.from(buffer.subarray(0, length)) : undefined;
};

// Entries of include/uapi/linux/posix_acl_xattr.h: u16 tag, u16 permissions, u32 id, behind a u32 version.
const [USER_OBJ, GROUP_OBJ, MASK, OTHER] = [0x01, 0x04, 0x10, 0x20];

/**
 * "The access ACL of the file is the default ACL of the directory; permissions of its entries that correspond to the mode
 * bits are those that both have." No umask then. The group's bits are those of the mask where there is one.
 */
const masked = (acl: Buffer, mode: number): Buffer => {
  const entries = (acl.length - 4) >> 3;
  const tagOf = (entry: number) => acl.readUInt16LE(4 + 8 * entry);
  const hasMask = Array.from({ length: entries }, (_, entry) => tagOf(entry)).includes(MASK);
  const bits = new Map([
    [USER_OBJ, mode >> 6],
    [hasMask ? MASK : GROUP_OBJ, mode >> 3],
    [OTHER, mode],
  ]);
  for (let entry = 0; entry < entries; entry++) {
    const most = bits.get(tagOf(entry));
    const at = 4 + 8 * entry + 2;
    if (most !== undefined) acl.writeUInt16LE(acl.readUInt16LE(at) & most & 7, at);
  }
  return acl;
};

let known: number | undefined;

/** Of the process; read, because process.umask() sets it for a moment, and other threads make files. */
const umask = (): number =>
  (known ??= Number.parseInt(/^Umask:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '22', 8));
