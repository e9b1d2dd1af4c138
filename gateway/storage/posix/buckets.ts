/** The registry of buckets, one document each, and their directories. */
import { S3Error } from '../../errors.js';
import { compareUtf8, reservedSegment } from '../keys.js';
import type { Actor, Bucket, Documents, Place, Storage } from '../types.js';
import type { Ground } from './paths.js';
import type { Pool } from './pool-types.js';

export type BucketMethods = Pick<Storage, 'createBucket' | 'bucket' | 'listBuckets' | 'deleteBucket' | 'putConfig'>;

export interface BucketContext {
  /** Absolute, without symbolic links. */
  root: string;
  poolOf(bucket: Pick<Bucket, 'path'>): Pick<Pool, 'run'>;
  documents: Documents;
  groundOf(bucket: Bucket): Ground;
  directoryMode: number;
}

/** By the documents that they were made of, where these are remembered. */
const known = new WeakMap<Bucket, { root: string; bucket: Bucket }>();

/**
 * The bucket of a document. Buckets in the root are stored with a path relative to it, so that a root can be moved;
 * undefined for a record that is not whole.
 */
const bucketOf = (root: string, record: Bucket | undefined): Bucket | undefined => {
  if (record === undefined) return undefined;
  const before = known.get(record);
  if (before?.root === root) return before.bucket;
  const bucket = made(root, record);
  if (bucket && Object.isFrozen(record)) known.set(record, { root, bucket: Object.freeze(bucket) });
  return bucket;
};

const made = (root: string, record: Bucket): Bucket | undefined => {
  if (typeof record.name !== 'string' || typeof record.path !== 'string' || typeof record.owner !== 'string') return;
  const path = record.path.startsWith('/') ? record.path : `${root}/${record.path}`;
  return { ...record, config: record.config ?? {}, path };
};

/** The bucket of this name, if there is one. */
export const findBucket = async (
  documents: Pick<Documents, 'get'>,
  root: string,
  name: string,
): Promise<Bucket | undefined> =>
  /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,249}$/.test(name)
    ? bucketOf(root, await documents.get<Bucket>('buckets', name))
    : undefined;

/** All that are registered, by name in byte order. */
export const listBuckets = async (documents: Pick<Documents, 'list'>, root: string): Promise<Bucket[]> => {
  const records = await documents.list<Bucket>('buckets');
  const buckets = records.map(({ value }) => bucketOf(root, value)).filter((bucket) => bucket !== undefined);
  return buckets.sort((a, b) => compareUtf8(a.name, b.name));
};

const contains = (outer: string, inner: string): boolean =>
  inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);

const invalid = (path: string, reason: string): S3Error =>
  new S3Error('InvalidArgument', { message: `The directory ${path} cannot be a bucket: ${reason}.` });

/** The next millisecond, ISO 8601. */
const after = (time: string): string => new Date(Date.parse(time) + 1).toISOString();

export const createBuckets = ({ root, poolOf, documents, groundOf, directoryMode }: BucketContext): BucketMethods => {
  const find = (name: string) => findBucket(documents, root, name);

  const list = () => listBuckets(documents, root);

  /** A directory must not be reachable through two buckets, nor our own files through any. */
  const checkDirectory = async (path: string, actor: Actor): Promise<void> => {
    const clean =
      path.startsWith('/') &&
      path
        .split('/')
        .slice(1)
        .every((part) => part !== '' && part !== '.' && part !== '..');
    if (!clean || path.includes('\0')) throw invalid(path, 'an absolute path without "." and ".." is needed');
    if (path.split('/').includes(reservedSegment)) throw invalid(path, `${reservedSegment} is reserved`);
    if (contains(path, root)) throw invalid(path, "it contains the service's root");
    for (const other of await list()) {
      if (contains(other.path, path) || contains(path, other.path)) {
        throw invalid(path, 'it is, contains or lies in the directory of another bucket');
      }
    }
    await poolOf({ path }).run('checkBucketDirectory', [path], { actor, context: 'write' });
  };

  return {
    bucket: find,
    listBuckets: list,

    createBucket: async ({ name, owner, directory, config = {} }, actor) => {
      // Both become names of files; the rules of S3 for bucket names are checked by the operation.
      for (const part of [name, owner]) {
        if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,249}$/.test(part)) throw new S3Error('InvalidBucketName');
      }
      const path = directory === undefined ? `${owner}/${name}` : directory.replace(/(?<=.)\/+$/, '');
      const record: Bucket = { name, owner, path, created: new Date().toISOString(), config };
      const bucket = bucketOf(root, record)!;
      const make = async (): Promise<void> => {
        const pool = poolOf(bucket);
        if (directory === undefined) await pool.run('makeBucketDirectory', [root, owner, name, actor, directoryMode]);
        else await pool.run('prepareBucket', [groundOf(bucket)], { actor, context: 'write' });
      };
      const existing = await find(name);
      if (existing) {
        const mine = existing.owner === owner && existing.path === bucket.path;
        if (!mine || (await poolOf(bucket).run('hasDirectory', [bucket.path])))
          throw new S3Error('BucketAlreadyExists');
        // A deletion that was interrupted, or is under way, has left the document alone: what is made now is another
        // bucket, so that the deletion does not take its document.
        if (record.created <= existing.created) record.created = after(existing.created);
        bucket.created = record.created;
        await documents.update<Bucket>('buckets', name, (current) =>
          current.created === existing.created ? undefined : current,
        );
      }
      if (directory !== undefined) await checkDirectory(path, actor);
      await make();
      if (!(await documents.create('buckets', name, record))) throw new S3Error('BucketAlreadyExists');
      // A deletion of the same bucket that was under way may have taken the directory along.
      await make();
      return bucket;
    },

    deleteBucket: async ({ bucket, actor }: Place) => {
      const keep = bucket.path !== `${root}/${bucket.owner}/${bucket.name}`;
      try {
        // As ourselves: the directory above is not the owner's.
        await poolOf(bucket).run('removeBucketDirectory', [groundOf(bucket), keep ? undefined : root]);
      } catch (error) {
        // The directory is gone, by an interrupted deletion or by hand: so is the bucket.
        if (!(error instanceof S3Error) || error.code !== 'NoSuchBucket') throw error;
      }
      let mine = false;
      const other = await documents.update<Bucket>('buckets', bucket.name, (current) => {
        mine = current.created === bucket.created;
        return mine ? undefined : current;
      });
      if (mine) return;
      // Deleted and made again meanwhile: what we removed may have been the directory of the new one.
      if (other?.path === `${other?.owner}/${other?.name}`) {
        await poolOf(bucket).run('makeBucketDirectory', [root, other.owner, other.name, actor, directoryMode]);
      }
      throw new S3Error('NoSuchBucket');
    },

    putConfig: async (bucket, kind, text) => {
      const changed = await documents.update<Bucket>('buckets', bucket.name, (current) => {
        // Deleted and made anew meanwhile, perhaps by another account: not the bucket that was meant.
        if (current.created !== bucket.created || current.owner !== bucket.owner) throw new S3Error('NoSuchBucket');
        const { [kind]: before, ...config } = current.config ?? {};
        const after = typeof text === 'function' ? text(before) : text;
        return { ...current, config: after === undefined ? config : { ...config, [kind]: after } };
      });
      if (!changed) throw new S3Error('NoSuchBucket');
    },
  };
};
