/** A store over a new directory for tests that look at the files as well. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createPosixStorage, type PosixOptions } from '../../../gateway/storage/posix/index.js';
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
