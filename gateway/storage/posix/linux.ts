/**
 * Linux's numbers: system calls and flags, which differ between x64 and arm64, and the names of errno values.
 * Sources: the kernel's `arch/x86/entry/syscalls/syscall_64.tbl`, `include/uapi/asm-generic/{unistd,fcntl}.h` and
 * `include/uapi/linux/{openat2,stat,fs,magic}.h`.
 */
import { constants as fs } from 'node:fs';
import { arch, constants as os } from 'node:os';

const x64 = {
  chdir: 80,
  fchdir: 81,
  unshare: 272,
  read: 0,
  flock: 73,
  fallocate: 285,
  ftruncate: 77,
  fchmod: 91,
  fchown: 93,
  fsync: 74,
  fdatasync: 75,
  close: 3,
  setgroups: 116,
  setfsuid: 122,
  setfsgid: 123,
  capget: 125,
  capset: 126,
  fstatfs: 138,
  fsetxattr: 190,
  lgetxattr: 192,
  fgetxattr: 193,
  fremovexattr: 199,
  getdents64: 217,
  clockGettime: 228,
  mkdirat: 258,
  unlinkat: 263,
  linkat: 265,
  utimensat: 280,
  renameat2: 316,
  copyFileRange: 326,
  statx: 332,
  openat2: 437,
  preadv2: 327,
  ioctl: 16,
  prctl: 157,
  fcntl: 72,
  execve: 59,
  faccessat2: 439,
  inotifyAddWatch: 254,
  inotifyRmWatch: 255,
  ppoll: 271,
  eventfd2: 290,
  inotifyInit1: 294,
  setpriority: 141,
  schedSetscheduler: 144,
  fadvise64: 221,
  ioprioSet: 251,
  cachestat: 451,
  exitGroup: 231,
  sendto: 44,
  recvfrom: 45,
  sync_file_range: 277,
  shutdown: 48,
  getrusage: 98,
  socket: 41,
  connect: 42,
  listen: 50,
  bind: 49,
  setsockopt: 54,
  getsockname: 51,
};

const arm64: typeof x64 = {
  chdir: 49,
  fchdir: 50,
  unshare: 97,
  read: 63,
  fsetxattr: 7,
  preadv2: 286,
  lgetxattr: 9,
  fgetxattr: 10,
  fremovexattr: 16,
  ioctl: 29,
  flock: 32,
  mkdirat: 34,
  unlinkat: 35,
  linkat: 37,
  fstatfs: 44,
  fallocate: 47,
  ftruncate: 46,
  fchmod: 52,
  fchown: 55,
  close: 57,
  getdents64: 61,
  fsync: 82,
  fdatasync: 83,
  utimensat: 88,
  capget: 90,
  capset: 91,
  clockGettime: 113,
  setfsuid: 151,
  setfsgid: 152,
  setgroups: 159,
  renameat2: 276,
  copyFileRange: 285,
  statx: 291,
  openat2: 437,
  prctl: 167,
  fcntl: 25,
  execve: 221,
  faccessat2: 439,
  eventfd2: 19,
  inotifyInit1: 26,
  inotifyAddWatch: 27,
  inotifyRmWatch: 28,
  ppoll: 73,
  ioprioSet: 30,
  setpriority: 140,
  schedSetscheduler: 119,
  fadvise64: 223,
  cachestat: 451,
  exitGroup: 94,
  sendto: 206,
  recvfrom: 207,
  sync_file_range: 84,
  shutdown: 210,
  getrusage: 165,
  socket: 198,
  connect: 203,
  listen: 201,
  bind: 200,
  setsockopt: 208,
  getsockname: 204,
};

/** By architecture, for the test that compares them. */
export const tables = { x64, arm64 };

/** The numbers of this machine; undefined where Tidegate cannot run. */
export const numbers = tables[arch() as keyof typeof tables] as typeof x64 | undefined;

// Node's constants are those of the machine it was compiled for: O_DIRECTORY and O_NOFOLLOW differ on arm64.
export const O_RDONLY = fs.O_RDONLY;
export const O_WRONLY = fs.O_WRONLY;
export const O_RDWR = fs.O_RDWR;
export const O_CREAT = fs.O_CREAT;
export const O_EXCL = fs.O_EXCL;
export const O_TRUNC = fs.O_TRUNC;
export const O_APPEND = fs.O_APPEND;
export const O_NONBLOCK = fs.O_NONBLOCK;
export const O_DIRECTORY = fs.O_DIRECTORY;
export const O_NOFOLLOW = fs.O_NOFOLLOW;
export const O_CLOEXEC = 0o2000000;
export const O_NOATIME = 0o1000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
/** Since Linux 5.12: EAGAIN unless the whole path is in memory. */
export const RESOLVE_CACHED = 0x20;
/** How every path under a bucket is walked: nothing leads out of it, no symbolic link is followed. */
export const RESOLVE_INSIDE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;
/** A network filesystem asks its server, whatever it remembers. */
export const AT_STATX_FORCE_SYNC = 0x2000;
export const AT_EACCESS = 0x200;
export const W_OK = 2;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

export const S_ISGID = 0o2000;
export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

export const DT_UNKNOWN = 0;
export const DT_DIR = 4;
export const DT_REG = 8;
export const DT_LNK = 10;

export const CLOCK_REALTIME = 0;
/** The clock that local filesystems without multigrain timestamps stamp with. */
export const CLOCK_REALTIME_COARSE = 5;

// capabilities(7), by number.
export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_FOWNER = 3;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_NICE = 23;
export const CAP_NET_BIND_SERVICE = 10;

export const PR_CAPBSET_READ = 23;
export const PR_CAPBSET_DROP = 24;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;

/** errno values by name, e.g. `E.ENOENT`. */
export const E = os.errno;

const names = new Map<number, string>();
// EWOULDBLOCK and EAGAIN, EOPNOTSUPP and ENOTSUP are the same numbers: the first name wins here and everywhere.
for (const [name, value] of Object.entries(os.errno)) if (!names.has(value)) names.set(value, name);
names.set(116, 'ESTALE');
names.set(122, 'EDQUOT');

/** `ENOENT` for 2; `E999` for a value that has no name here. */
export const errnoName = (errno: number): string => names.get(errno) ?? `E${errno}`;

/** What kind of filesystem it is, from statfs's magic number. */
export const filesystemName = (magic: number): string => magics[magic >>> 0] ?? `0x${(magic >>> 0).toString(16)}`;

const magics: Record<number, string> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  801189825: 'zfs',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
  26985: 'nfs',
  198183888: 'lustre',
  1196443219: 'gpfs',
  12805120: 'ceph',
  1702057286: 'fuse',
  4076150800: 'f2fs',
  4283649346: 'cifs',
  4266872130: 'smb2',
  16914839: '9p',
  428016422: 'beegfs',
  3393526350: 'bcachefs',
};

export interface ErrnoError extends Error {
  /** `ENOENT`, … */
  code: string;
  /** Positive. */
  errno: number;
  syscall: string;
}

/** An error of the system, as Node's own look (but `errno` is positive). */
export const errnoError = (errno: number, syscall: string): ErrnoError => {
  const code = errnoName(errno);
  return Object.assign(new Error(`${code}: ${syscall}`), { code, errno, syscall });
};

export const isErrno = (error: unknown): error is ErrnoError =>
  error instanceof Error && typeof (error as Partial<ErrnoError>).code === 'string' && 'syscall' in error;
