/** Multipart uploads to a posix store, for tests: a bucket of its own for each, and what is left of them. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createPosixStorage } from '../../../gateway/storage/posix/index.js';
import type { Ground } from '../../../gateway/storage/posix/paths.js';
import type { Part, Place, Storage, Upload } from '../../../gateway/storage/types.js';
import { md5, owner } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';

export interface Context {
  root: string;
  storage: Storage;
  at: Place;
  /** `.tidegate` of the bucket. */
  own: string;
  ground: Ground;
}

export const actor = { uid: process.getuid!(), gid: process.getgid!(), groups: process.getgroups!() };
let serial = 0;

export const newName = (prefix: string): string => `${prefix}-${serial++}`;

export const openContext = async (context: Context): Promise<void> => {
  context.root = tempDir();
  context.storage = await createPosixStorage({ root: context.root, workers: 2 });
};

export const newBucket = async (context: Context): Promise<void> => {
  const bucket = await context.storage.createBucket({ name: newName('bucket'), owner }, actor);
  context.at = { bucket, actor };
  context.own = join(bucket.path, '.tidegate');
  context.ground = {
    path: bucket.path,
    durability: 'full',
    sidecars: false,
    fileMode: 0o644,
    directoryMode: 0o755,
  };
};

export const metaOf = (upload: Upload, parts: readonly Part[]) => ({
  ...upload.meta,
  etag: `${md5(Buffer.concat(parts.map(({ etag }) => Buffer.from(etag, 'hex'))))}-${parts.length}`,
  parts: parts.map(({ number, size }) => ({ number, size })),
  uploadId: upload.id,
});

export const complete = (storage: Storage, at: Place, upload: Upload, parts: readonly Part[], condition = {}) =>
  storage.completeUpload(at, upload.key, upload.id, parts, metaOf(upload, parts), condition);

export const leftovers = (own: string) =>
  ['staging', 'uploads'].flatMap((area) => (existsSync(join(own, area)) ? readdirSync(join(own, area)) : []));

export const partsOf = async (storage: Storage, at: Place, { key, id }: Upload) =>
  (await storage.listParts(at, key, id, 0, 1000)).parts;
