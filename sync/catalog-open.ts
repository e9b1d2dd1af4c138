/** What LMDB has to find when it opens the files of a catalog: where it does not, it may end the process (SIGSEGV). */
import { closeSync, constants, linkSync, openSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeAside } from './places.js';

const filesOf = (path: string): [file: string, lock: string] => [path, `${path}-lock`];

/** So many LMDB needs, and some for whoever else takes one now. @throws EMFILE */
export function requireDescriptors(): void {
  const taken: number[] = [];
  try {
    while (taken.length < 8) taken.push(openSync('/dev/null', 'r'));
  } finally {
    for (const fd of taken) closeSync(fd);
  }
}

/** Room for its files, and the right to open them: they are opened before, a moment earlier. @throws errno errors */
export function requireFiles(path: string): void {
  for (const each of filesOf(path)) closeSync(openSync(each, constants.O_RDWR | constants.O_CREAT, 0o664));
}

/**
 * LMDB opens its files one after the other, and must find all of them, while those of a bucket that is deleted vanish: so it opens
 * them by names that nobody else knows; by their own where the filesystem has no hard links. @throws errno errors, and those of LMDB
 */
export function openAside<T extends { close(): Promise<void> }>(path: string, open: (path: string) => T): T {
  const aside = makeAside(dirname(dirname(path)));
  const clear = () => {
    try {
      rmSync(aside, { recursive: true, force: true });
    } catch {
      // NFS keeps a name for as long as the file is open.
    }
  };
  try {
    const opened = open(linked(path, aside) ? join(aside, basename(path)) : path);
    return { ...opened, close: () => opened.close().finally(clear) };
  } finally {
    clear();
  }
}

/** False where that cannot be. @throws ENOENT when the files are gone */
function linked(path: string, aside: string): boolean {
  try {
    for (const each of filesOf(path)) linkSync(each, join(aside, basename(each)));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error;
    return false;
  }
}
