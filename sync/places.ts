/** Where the sync engine keeps what it knows of a bucket: in the service area, mode 0700, as the gateway itself. */
import { mkdtempSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bucket } from '../gateway/storage/types.js';

type Named = Pick<Bucket, 'name' | 'created'>;

/** ISO 8601 without what a file name does not need: `20260101T000000000Z`. */
const compact = (time: string): string => time.replace(/[^0-9A-Za-z]/g, '');
/** Of files and directories that belong to a bucket; another bucket that is made under its name has another one. */
export const nameOf = ({ name, created }: Named): string => `${name}.${compact(created)}`;
/** The bucket of what `nameOf` made. */
export const bucketOfName = (name: string): string => name.slice(0, name.lastIndexOf('.'));
const areaOf = (root: string): string => join(root, '.tidegate', 'sync');

/**
 * `<root>/.tidegate/sync/<bucket name>.<created>`: a bucket that is made anew under the same name has another one.
 * Nobody makes it in advance; whoever writes there does.
 */
export const syncDirectory = (root: string, bucket: Named): string => join(areaOf(root), nameOf(bucket));

export const inboxDirectory = (sync: string): string => join(sync, 'inbox');
export const feedDirectory = (sync: string): string => join(sync, 'feed');
export const deliveriesDirectory = (sync: string): string => join(sync, 'deliveries');

const ASIDE = '.aside-';
/** A new directory beside those of the buckets, for a moment. @param area in which they are */
export const makeAside = (area: string): string => mkdtempSync(join(area, ASIDE));
/** Whoever made one is dead by then, or keeps it on NFS, which does not let it be removed. */
const ASIDE_MS = 3_600_000;

/** Of a bucket that is deleted. What a leader or a late request makes again meanwhile is left to the next sweep. */
export const removeSyncDirectory = (root: string, bucket: Named): Promise<void> =>
  removeKeptDirectory(root, nameOf(bucket));

/** @param name of `keptDirectories` */
export const removeKeptDirectory = (root: string, name: string): Promise<void> =>
  rm(join(areaOf(root), name), { recursive: true, force: true, maxRetries: 3 });

/**
 * The directories of buckets, by the names that `nameOf` gave them. What was left aside is removed.
 * @param now milliseconds since the epoch
 */
export async function keptDirectories(root: string, now: number): Promise<string[]> {
  const found = await readdir(areaOf(root)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  for (const name of found.filter(isAside)) {
    const made = await stat(join(areaOf(root), name)).catch(() => undefined);
    if (made !== undefined && now - made.mtimeMs < ASIDE_MS) continue;
    // The others do not wait for one that cannot be removed.
    await removeKeptDirectory(root, name).catch(() => {});
  }
  return found.filter((name) => !isAside(name));
}

const isAside = (name: string): boolean => name.startsWith(ASIDE);
