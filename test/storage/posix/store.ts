/** A store over a new directory for tests that look at the files as well. */
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { directoryStamp } from '../../../acl/metadata/stamp.js';
import { saveRecord } from '../../../acl/metadata/store.js';
import { createPosixStorage, type PosixOptions } from '../../../gateway/storage/posix/index.js';
import { type Ground, withBucket } from '../../../gateway/storage/posix/paths.js';
import { fstat } from '../../../gateway/storage/posix/syscalls.js';
import type { Actor, Place, Storage } from '../../../gateway/storage/types.js';
import { tempDir } from '../../support/temp.js';

export const me: Actor = { uid: process.getuid!(), gid: process.getgid!(), groups: [] };

export interface Bench {
  root: string;
  storage: Storage;
  at: Place;
  /** The path of a key's file. */
  file(key: string): string;
  /** Files in a directory of the bucket's `.tidegate`. */
  area(name: string): string[];
}

export const openBench = async (options: Partial<PosixOptions> = {}): Promise<Bench> => {
  const root = options.root ?? tempDir();
  const storage = await createPosixStorage({ durability: 'none', workers: 3, ...options, root });
  const bucket =
    (await storage.bucket('bucket')) ?? (await storage.createBucket({ name: 'bucket', owner: 'owner' }, me));
  return {
    root,
    storage,
    at: { bucket, actor: me },
    file: (key) => join(bucket.path, key),
    area: (name) => {
      try {
        return readdirSync(join(bucket.path, '.tidegate', name));
      } catch {
        return [];
      }
    },
  };
};

/** Makes a directory that is there the object of a key `a/b/`. */
export function mark(ground: Ground, key: string): void {
  withBucket(ground, 'read', (bucket) => {
    const fd = openSync(join(ground.path, key), 'r');
    saveRecord(bucket, fd, fstat(fd), {
      stamp: directoryStamp(fstat(fd)),
      marker: { modified: 1_700_000_000_000 },
      meta: { etag: 'd41d8cd98f00b204e9800998ecf8427e', headers: {}, user: {} },
    });
    closeSync(fd);
  });
}
