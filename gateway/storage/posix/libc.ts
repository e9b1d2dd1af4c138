/**
 * The only module that loads the C library. What it offers to those in this directory that make system calls (`syscalls.ts` makes
 * most): one declaration for each shape of arguments, and what a result means. `receive.ts` moves bytes with it. Nobody else
 * imports it.
 *
 * Everything goes through the C library's `syscall(2)`: it exists in glibc and musl alike, knows openat2 and renameat2
 * whatever the library's age, and acts on the calling thread only, which matters for setfsuid, setgroups and capset
 * (glibc's own wrappers of the latter change every thread of the process).
 *
 * Paths are strings (stored as UTF-8) or Buffers of raw bytes. A NUL would cut a path short and name another file, so
 * it is refused with EINVAL.
 */
import koffi from 'koffi';
import { E, errnoError, numbers } from './linux.js';

/** A path or name: text, or raw bytes. */
export type Path = string | Buffer;

if (!numbers) throw new Error(`Tidegate runs on Linux, x64 and arm64 (here: ${process.platform} ${process.arch})`);
/** The numbers of the system calls. */
export const nr = numbers;

const libc = koffi.load(null);

/**
 * `syscall` with these arguments after the number. `const char *` takes a string or a Buffer, `void *` a Buffer or null.
 */
export const bind = (args: string): ((...args: unknown[]) => number) => libc.func(`long syscall(long number${args})`);

let counted: Int32Array = new Int32Array(2);
/** From now on the system calls of this thread are counted in [1]: others see by it whether the thread stands still. */
export const countCalls = (into: Int32Array): void => {
  counted = into;
};

/** The result, or -errno. */
export const outcome = (result: number): number => {
  counted[1]!++;
  return result < 0 ? -koffi.errno() : result;
};

export const orThrow = (result: number, syscall: string): number => {
  counted[1]!++;
  if (result < 0) throw errnoError(koffi.errno(), syscall);
  return result;
};

/**
 * Bytes that stay where they are, and where that is, for structures that name them, and for calls that take an address as a number:
 * to look at a Buffer, or to copy a text, costs a fifth of a call.
 */
export interface Placed {
  bytes: Buffer;
  address: number;
}

/** @param value bytes, of memory that nobody resizes, or a name, which gets its NUL */
export const placed = (value: Buffer | string): Placed => {
  const bytes = typeof value === 'string' ? Buffer.from(`${value}\0`) : value;
  return { bytes, address: Number(koffi.address(bytes)) };
};

const name = placed(Buffer.allocUnsafeSlow(4096));

/**
 * The bytes of a name (latin1), for a call that is made at once: the next name takes their place. It holds no NUL, as it came
 * out of a directory. @returns where they are
 */
export const cName = (latin1: string): number => {
  const { length } = latin1;
  const { bytes } = name;
  if (length >= bytes.length) throw errnoError(E.ENAMETOOLONG, 'name');
  for (let i = 0; i < length; i++) bytes[i] = latin1.charCodeAt(i);
  bytes[length] = 0;
  return name.address;
};

const memmove = libc.func('void memmove(void *to, void *from, long length)');

/** Copies `from` to the beginning of `to`; they may overlap. V8 copies shared memory byte by byte, a tenth as fast. */
export const moveBytes = (to: Uint8Array, from: Uint8Array): void => {
  if (to.byteLength < from.byteLength) throw new RangeError('more bytes than there is room for');
  if (from.byteLength > 0) memmove(to, from, from.byteLength);
};

const presentation = libc.func('int inet_pton(int family, const char *text, void *bytes)');

/** The bytes of an IP address (inet_pton(3)): 4 of AF_INET, 16 of AF_INET6. */
export const addressBytes = (family: number, text: string): Buffer => {
  const bytes = Buffer.alloc(16);
  if (presentation(family, text, bytes) !== 1) throw errnoError(E.EADDRNOTAVAIL, 'inet_pton');
  return bytes;
};

const NUL = Buffer.alloc(1);

export const cPath = (path: Path, syscall: string): Path => {
  if (path.includes('\0')) throw errnoError(E.EINVAL, syscall);
  return typeof path === 'string' ? path : Buffer.concat([path, NUL]);
};
