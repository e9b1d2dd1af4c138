/** Which keys a path can hold, and their order. Pure. */
import { S3Error } from '../errors.js';

/** The name that is ours in every directory of a bucket. */
export const reservedSegment = '.tidegate';

/** UTF-8 bytes of a whole key: S3's limit. */
export const maxKeyBytes = 1024;

/** UTF-8 bytes of one segment: NAME_MAX of every filesystem in use. */
export const maxSegmentBytes = 255;

/** What is wrong with a key, told so that its owner can mend it; undefined when it can be stored. */
export function keyProblem(key: string): { code: 'InvalidArgument' | 'KeyTooLongError'; message: string } | undefined {
  const invalid = (message: string) => ({ code: 'InvalidArgument' as const, message });
  if (key === '') return invalid('A key must not be empty');
  // No UTF-8 stands for half a surrogate pair; encoding it anyway would alias it with U+FFFD.
  if (!key.isWellFormed()) return invalid('The key is not valid Unicode');
  const bytes = Buffer.byteLength(key);
  if (bytes > maxKeyBytes) {
    return { code: 'KeyTooLongError', message: `Your key is too long: ${bytes} bytes, at most ${maxKeyBytes}` };
  }
  if (key.includes('\0')) return invalid('A file name cannot hold a NUL character');
  const segments = key.split('/');
  // `dir/` is the directory itself.
  if (segments.length > 1 && segments.at(-1) === '') segments.pop();
  for (const segment of segments) {
    if (segment === '') return invalid('A path cannot hold an empty segment ("//", or "/" at the beginning)');
    if (segment === '.' || segment === '..') return invalid(`A path cannot hold the segment "${segment}"`);
    if (segment === reservedSegment) return invalid(`The segment "${reservedSegment}" is reserved`);
    if (segment.length * 3 > maxSegmentBytes && Buffer.byteLength(segment) > maxSegmentBytes) {
      return invalid(`A segment between slashes must not be longer than ${maxSegmentBytes} bytes in UTF-8`);
    }
  }
  return undefined;
}

/** For writes: throws InvalidArgument or KeyTooLongError with a message that says why. */
export function assertStorableKey(key: string): void {
  const problem = keyProblem(key);
  if (!problem) return;
  throw new S3Error(problem.code, {
    message: problem.message,
    fields:
      problem.code === 'KeyTooLongError'
        ? { Size: String(Buffer.byteLength(key)), MaxSizeAllowed: String(maxKeyBytes) }
        : { ArgumentName: 'key' },
  });
}

/** For reads: a key that cannot be stored is simply not there. */
export const isStorableKey = (key: string): boolean => keyProblem(key) === undefined;

/** The keys of the directories above a key, outermost first, without the slash: `a/b/c` and `a/b/c/` give `a`, `a/b`. */
export function parentsOf(key: string): string[] {
  const parents: string[] = [];
  for (let i = key.indexOf('/'); i >= 0 && i < key.length - 1; i = key.indexOf('/', i + 1))
    parents.push(key.slice(0, i));
  return parents;
}

/**
 * Byte order of the UTF-8 forms: negative, 0 or positive. UTF-16 order differs in one thing only: surrogates (from
 * U+10000) come before U+E000 to U+FFFF there, and after them in UTF-8.
 */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    return x >= 0xd800 && y >= 0xd800 ? lift(x) - lift(y) : x - y;
  }
  return a.length - b.length;
}

const lift = (unit: number) => (unit >= 0xe000 ? unit - 0x800 : unit + 0x2000);

/** UTF-8 bytes as a latin1 string: one character a byte, so that `<` is byte order and slices are cheap. */
export const toBytes = (text: string): string => (isAscii(text) ? text : Buffer.from(text).toString('latin1'));

/** Undoes `toBytes`. */
export const fromBytes = (bytes: string): string =>
  isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');

const isAscii = (text: string) => !/[^\0-\x7f]/.test(text);
