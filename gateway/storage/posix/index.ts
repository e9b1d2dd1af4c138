/** The store over a directory tree: `Storage` assembled from worker operations. */
import { mkdir, realpath } from 'node:fs/promises';
import { S3Error } from '../../errors.js';
import { createDigests, loadDigests } from '../digest.js';
import { assertStorableKey, isStorableKey } from '../keys.js';
import { createHasher } from '../md5/hasher.js';
import type { Body, Bucket, ObjectInfo, OpenObject, Place, PutRequest, Storage } from '../types.js';
import { createBuckets } from './buckets.js';
import { type BuffersOptions, createBuffers } from './buffers.js';
import { createBusy } from './busy.js';
import { canLookCached, lookCached } from './cached.js';
import { createContext, untilSettled } from './context.js';
import { deliver } from './deliver.js';
import { createDocuments } from './documents.js';
import { createFilesystems } from './filesystems.js';
import { createMounts } from './mounts.js';
import type { Opened } from './objects.js';
import { createPages } from './pages.js';
import type { Durability } from './paths.js';
import { startReaper } from './reaper.js';
import { receiveBody } from './receive.js';
import type { Published } from './staged.js';
import { abortTransfer, copyObject, INLINE_BYTES, once, ownObject, type Transferring, transfer } from './streams.js';
import { createUploads } from './uploads.js';

export interface PosixOptions {
  /** Made when missing. Symbolic links on its own path are resolved once, here. */
  root: string;
  /** I/O threads for each filesystem. Default: by the cores, more on network filesystems. */
  workers?: number | undefined;
  /** See `FilesystemsOptions`. */
  processes?: number | undefined;
  /** Milliseconds that a call may wait, or stand still in the kernel, before it is answered SlowDown. */
  ioTimeout?: number | undefined;
  durability?: Durability;
  /** Metadata in sidecar files even where the filesystem has attributes; where it has none, they are used anyhow. */
  sidecars?: boolean;
  /** Permissions of new files and directories, before the process's umask. */
  fileMode?: number;
  directoryMode?: number;
  /** Of the whole process; undefined leaves it as it is. */
  umask?: number;
  /** Memory for transfers. */
  buffers?: BuffersOptions;
  /** Milliseconds after which a staged file of another machine is removed, where locks do not reach across. */
  stagingAge?: number;
  /** Milliseconds after which a multipart upload is removed; 0: never. */
  uploadAge?: number;
  /** Removes what crashed writers left aside. Default: yes; no where another process of this gateway does. */
  reaps?: boolean;
  log?: { warn(details: object, message: string): void };
}

/** Bodies up to this size are collected and hashed on the main thread, and stored in one hop. */
const SMALL_BYTES = 128 * 1024;
/** Milliseconds in which a small body comes from a sender that does not take its time. */
const PROMPT_MS = 20;

/** Starts the store; rejects when a worker cannot start or the root cannot be used. */
export const createPosixStorage = async (options: PosixOptions): Promise<Storage> => {
  const { durability = 'full', sidecars = false, fileMode = 0o644, directoryMode = 0o755, log } = options;
  if (options.umask !== undefined) process.umask(options.umask);
  await mkdir(options.root, { recursive: true });
  const root = await realpath(options.root);
  await loadDigests();
  const mounts = createMounts();
  const { workers, processes, ioTimeout: timeoutMs } = options;
  const filesystems = createFilesystems({ root, workers, processes, timeoutMs, mounts });
  const poolOf = ({ path }: Pick<Bucket, 'path'>) => filesystems.poolOf(path);
  try {
    await filesystems.root.ready();
  } catch (error) {
    await filesystems.close();
    throw error;
  }
  const buffers = createBuffers(options.buffers);
  const hasher = createHasher(buffers.memory, { warn: (details, message) => log?.warn(details, message) });
  const documents = createDocuments(root, filesystems.root, { warn: (message) => log?.warn({}, message), mounts });
  const context = createContext(poolOf, { buffers, hasher }, documents, {
    durability,
    sidecars,
    fileMode,
    directoryMode,
  });
  const { groundOf, inBucket } = context;
  const buckets = createBuckets({ root, poolOf, documents, groundOf, directoryMode });
  const reaper =
    options.reaps === false ? undefined : startReaper(context, filesystems.root, root, buckets.listBuckets, options);

  const told = async ({ info, settled }: Published): Promise<ObjectInfo> => {
    await untilSettled(settled);
    return info;
  };

  const missing = () => new S3Error('NoSuchKey');

  /** What needs no worker: see `cached.ts`. */
  const lookAt = ({ bucket, actor }: Place, key: string, inline?: number): Promise<Opened | undefined> =>
    canLookCached() && filesystems.isLocal(bucket.path)
      ? lookCached(groundOf(bucket), actor, key, inline)
      : Promise.resolve(undefined);

  const putSmall = async (at: Place, key: string, bytes: Uint8Array, request: PutRequest): Promise<ObjectInfo> => {
    const digests = createDigests(request.digests);
    digests.update(bytes);
    const meta = request.seal({ size: bytes.length, digests: digests.finish() });
    const published = await inBucket(at, (ground, pool) =>
      pool.run('putSmall', [ground, key, bytes, meta, request.condition], { actor: at.actor, context: 'write' }),
    );
    return told(published);
  };

  /** Asked when a staged file is there: its directory is then that of this bucket, or is gone. @throws NoSuchBucket */
  const requireStillThere = async ({ name, created, owner }: Bucket): Promise<void> => {
    const now = await buckets.bucket(name);
    if (now?.created !== created || now.owner !== owner) throw new S3Error('NoSuchBucket');
  };

  /** From a payload in a staged file to an object. */
  const putStaged = async (
    at: Place,
    key: string,
    length: number | undefined,
    request: PutRequest,
    fill: (where: Transferring) => Promise<void>,
    chunked = false,
  ): Promise<ObjectInfo> => {
    const { actor } = at;
    const filled = once(async (where) => {
      await requireStillThere(at.bucket);
      return fill(where);
    });
    const { pool, lane, id, received } = await inBucket(at, (ground, pool) =>
      transfer({ ground, pool, actor, hasher }, { digests: request.digests, length, chunked }, filled),
    );
    try {
      const meta = request.seal(received);
      const args = [id, key, meta, request.condition] as const;
      const options = { actor, lane, context: 'write', bytes: received.size } as const;
      return await told(await pool.run('transferPublish', [...args], options));
    } catch (error) {
      await abortTransfer({ pool, lane, id, actor }, error);
      throw await context.explained(at, error);
    }
  };

  const put = async (at: Place, key: string, body: Body, request: PutRequest): Promise<ObjectInfo> => {
    assertStorableKey(key);
    if (body.length === undefined || body.length > SMALL_BYTES) {
      return putStaged(at, key, body.length, request, (where) => receiveBody(context, at.actor, body, where), true);
    }
    const small = collect(body, body.length);
    if (await isPrompt(small)) return putSmall(at, key, await small, request);
    // Whoever was let in may wait until another bucket has the place of this one. Staged from now on, the file goes with the
    // bucket that it was meant for.
    return putStaged(at, key, body.length, request, async ({ pool, lane, id }) => {
      const bytes = await small;
      if (bytes.length > 0) await pool.run('transferWrite', [id, bytes], { actor: at.actor, lane, context: 'write' });
    });
  };

  const open = async (at: Place, key: string): Promise<OpenObject> => {
    if (!isStorableKey(key)) throw missing();
    const { actor } = at;
    const { bucket } = at;
    const release = async (descriptor: number) => poolOf(bucket).run('closeObject', [descriptor], { surely: true });
    const close = (descriptor: number) => {
      if (descriptor >= 0) void release(descriptor).catch(() => {});
    };
    const opened =
      (await lookAt(at, key, INLINE_BYTES)) ??
      (await inBucket(at, (ground, pool) =>
        pool.run('openObject', [ground, key, INLINE_BYTES], {
          actor,
          context: 'read',
          orphan: (late) => close((late as { fd: number }).fd),
        }),
      ));
    const { info, bytes, fd, seen } = opened;
    if (bytes) return inMemory(info, bytes);
    const busy = createBusy();
    const file = { fd, bucket, busy, ...(seen && { seen }) };
    let reads: Promise<unknown> = Promise.resolve();
    let closed = false;
    const object: OpenObject = {
      info,
      read: async (start, length, sink) => {
        if (closed) throw new Error('the object is closed');
        const done = deliver(context, actor, file, start, length, sink);
        reads = Promise.allSettled([reads, done]);
        await done;
      },
      close: async () => {
        if (closed) return;
        closed = true;
        await reads;
        // Its number may name another file once it is closed: not before the last call has ended.
        busy.after(() => close(fd));
      },
    };
    return ownObject(object, file);
  };

  return {
    documents,
    ...buckets,
    head: async (at, key) => {
      if (!isStorableKey(key)) throw missing();
      const seen = await lookAt(at, key);
      if (seen) return seen.info;
      return inBucket(at, (ground, pool) =>
        pool.run('headObject', [ground, key], { actor: at.actor, context: 'read' }),
      );
    },
    open,
    put,
    copy: async (source, at, key, request) => {
      assertStorableKey(key);
      const { size } = source.info;
      if (size <= INLINE_BYTES) {
        const body: Body = { length: size, read: (sink) => source.read(0, size, sink) };
        return putSmall(at, key, await collect(body, size), request);
      }
      return putStaged(at, key, size, request, (where) =>
        copyObject(context, at.actor, source, { start: 0, length: size }, where),
      );
    },
    remove: async (at, key, condition) => {
      // What no path can hold is not there.
      if (!isStorableKey(key)) return false;
      return inBucket(at, (ground, pool) =>
        pool.run('removeObject', [ground, key, condition], { actor: at.actor, context: 'write' }),
      );
    },
    updateMeta: async (at, key, change) => {
      if (!isStorableKey(key)) throw missing();
      return told(
        await inBucket(at, (ground, pool) =>
          pool.run('updateObject', [ground, key, change], { actor: at.actor, context: 'write' }),
        ),
      );
    },
    ...createPages(context, filesystems.isLocal),
    ...createUploads(context),
    close: async () => {
      await Promise.all([reaper?.stop(), filesystems.close()]);
      await hasher.close();
    },
  };
};

/** A small object, whose content came with the answer: nothing is open. */
const inMemory = (info: ObjectInfo, bytes: Uint8Array): OpenObject => ({
  info,
  bytes,
  read: async (start, length, sink) => {
    if (length > 0) await sink(bytes.subarray(start, start + length));
  },
  close: () => Promise.resolve(),
});

/** Whether it settles within a moment. */
const isPrompt = async (work: Promise<unknown>): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, PROMPT_MS, false)));
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
    // Looked at later, if at all: the transfer may fail first.
    work.catch(() => {});
  }
};

/** A body of known length, whole. */
const collect = async (body: Body, length: number): Promise<Uint8Array> => {
  const bytes = Buffer.allocUnsafeSlow(length);
  let used = 0;
  await body.read((chunk) => {
    if (used + chunk.length > length) throw new S3Error('IncompleteBody');
    bytes.set(chunk, used);
    used += chunk.length;
  });
  if (used < length) throw new S3Error('IncompleteBody');
  return bytes;
};
