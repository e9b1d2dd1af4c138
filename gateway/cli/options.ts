/** Values of options that several commands take. */
import { isAbsolute, normalize } from 'node:path';
import { Complaint } from '../complaint.js';

/** For options that may be repeated, each with several values between commas; an empty value is an empty list. */
export const collect = (value: string, before: string[] = []): string[] => [
  ...before,
  ...value.split(',').filter((part) => part !== ''),
];

export function checkFspath(path: string): string {
  // The gateway compares whole segments; `..` or a relative path would not mean what it seems to.
  if (!isAbsolute(path) || path.split('/').includes('..') || /\p{Cc}/u.test(path)) {
    throw new Complaint(`--fspaths takes absolute directories, not ${JSON.stringify(path)}`, 2);
  }
  const plain = normalize(path);
  return plain.length > 1 && plain.endsWith('/') ? plain.slice(0, -1) : plain;
}

/** One of the words that an option takes. */
export function oneOf<T extends string>(flag: string, words: readonly T[], value: string): T {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw new Complaint(
    `${flag} takes ${words.join(', ').replace(/, ([^,]*)$/, ' or $1')}, not ${JSON.stringify(value)}`,
    2,
  );
}
