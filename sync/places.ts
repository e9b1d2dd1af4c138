/** Where the sync engine keeps what it knows of a bucket: in the service area, mode 0700, as the gateway itself. */
import { mkdtempSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
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

async function mayBeUsed(path: string): Promise<boolean> {
  if (!basename(path).startsWith(ASIDE)) return false;
  const made = await stat(path).catch(() => undefined);
  return made !== undefined && Date.now() - made.mtimeMs < ASIDE_MS;
}

/** Of a bucket that is deleted. What a leader or a late request makes again meanwhile is left to the next sweep. */
export async function removeSyncDirectory(root: string, bucket: Named): Promise<void> {
  await rm(syncDirectory(root, bucket), { recursive: true, force: true, maxRetries: 3 });
}

/**
 * Removes the directories of buckets that are gone: deleted by a process that died in between, or made again by one that
 * was late. Answers their names. Where no bucket is known at all nothing is removed: the documents may be away, as while an
 * operator brings back a copy of them.
 */
export async function sweepSyncDirectories(root: string, listBuckets: () => Promise<Named[]>): Promise<string[]> {
  const found = await readdir(areaOf(root)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (found.length === 0) return [];
  // Looked up afterwards: a bucket is registered before anything is written about it.
  const known = new Set((await listBuckets()).map(nameOf));
  if (known.size === 0) return [];
  const gone = found.filter((name) => !known.has(name));
  const removed: string[] = [];
  for (const name of gone) {
    const path = join(areaOf(root), name);
    if (await mayBeUsed(path)) continue;
    // What cannot be removed now waits for the next time, and the others do not wait for it.
    await rm(path, { recursive: true, force: true, maxRetries: 3 }).then(
      () => removed.push(name),
      () => {},
    );
  }
  return removed;
}
