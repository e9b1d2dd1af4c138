/**
 * What S3 requests write down of what they have done, one file of JSON lines a gateway and bucket:
 * `<sync directory>/inbox/<host>-<pid>-<random>-<n>.jsonl`. The leader of the bucket reads all of them (`inbox-reader.ts`).
 *
 *     const recorder = createRecorder({ root, onRecorded: (bucket) => thread.postMessage(…) });   // main thread
 *     createGateway({ …, changes: recorder });                                                    // server.ts
 *
 * A change is recorded when its bytes are in the kernel: it survives a kill -9 of the process, not a crash of the machine.
 * An fsync for each PUT would double its cost; what a crash of the machine takes, the reconciler finds by looking, and
 * `ObjectMeta.write` tells it that it was S3's. A deletion leaves nothing that could tell, so it is written down before it is
 * made as well (`S3Removal`). On NFS the leader on another machine sees the lines when the kernel here
 * has sent them, at the latest when the file is rolled.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Bucket } from '../gateway/storage/types.js';
import { inboxDirectory, removeSyncDirectory, syncDirectory } from './places.js';
import type { S3Change, S3Removal } from './types.js';

const read = (readIt: () => string): string => {
  try {
    return readIt();
  } catch {
    return '';
  }
};

/**
 * 8 hex digits: where a pid of ours means the same process. Not the host's name alone, which containers on one machine and
 * a machine before and after its boot share.
 */
export const hostHash = createHash('sha256')
  .update(hostname())
  .update(read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')))
  .update(read(() => readlinkSync('/proc/self/ns/pid')))
  .digest('hex')
  .slice(0, 8);

/** Names this process: begins with `hostHash` and its pid. */
export const gatewayId = `${hostHash}-${process.pid}-${randomBytes(4).toString('hex')}`;
/** Over all buckets: no name comes twice. */
let files = 0;

/** Milliseconds after which a writer takes a new file, and after which nobody writes into an old one any more. */
export const ROLL_MS = 10 * 60_000;
export const STALE_MS = 6 * ROLL_MS;

export interface InboxOptions {
  /** Bytes at which a file is followed by the next. Default 4 MiB. */
  rollBytes?: number;
  /** Milliseconds likewise. */
  rollMs?: number;
}

export interface Inbox {
  /** Settles when the change is in the kernel; rejects when it could not be written. */
  record(change: S3Change | S3Removal): Promise<void>;
  /** Closes the file when nothing was recorded for so many milliseconds; answers whether nothing is open. */
  rest(idleMs: number): Promise<boolean>;
  /** After what was given to `record` is written. */
  close(): Promise<void>;
}

interface Waiting {
  line: string;
  resolve(): void;
  reject(error: unknown): void;
}

interface OpenFile {
  handle: FileHandle;
  size: number;
  opened: number;
}

/** The file of this process in one inbox. Changes that come while a write is under way are the next write. */
export function openInbox(directory: string, options: InboxOptions = {}): Inbox {
  const { rollBytes = 4 << 20, rollMs = ROLL_MS } = options;
  let queue: Waiting[] = [];
  let working: Promise<void> | undefined;
  let file: OpenFile | undefined;
  let used = Date.now();

  const openNext = async (): Promise<FileHandle> => {
    const path = join(directory, `${gatewayId}-${String(++files).padStart(8, '0')}.jsonl`);
    try {
      return await open(path, 'ax', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await mkdir(directory, { recursive: true, mode: 0o700 });
      return open(path, 'ax', 0o600);
    }
  };

  /** Before the next one is made: on NFS closing is what makes the lines seen elsewhere, and the reader goes by that order. */
  const retire = async (): Promise<void> => {
    const { handle } = file ?? {};
    file = undefined;
    await handle?.close();
  };

  const current = async (): Promise<OpenFile> => {
    if (file && (file.size >= rollBytes || Date.now() - file.opened >= rollMs)) await retire();
    file ??= { handle: await openNext(), size: 0, opened: Date.now() };
    return file;
  };

  const append = async (bytes: Buffer): Promise<void> => {
    const to = await current();
    try {
      for (let at = 0; at < bytes.length; ) at += (await to.handle.write(bytes, at)).bytesWritten;
    } catch (error) {
      // The last line may be torn, and nothing may be written behind it.
      await retire().catch(() => {});
      throw error;
    }
    to.size += bytes.length;
    // A process that was stopped for an hour: its file may have been taken for one that nobody writes any more.
    if (Date.now() - to.opened < 2 * rollMs || (await to.handle.stat()).nlink > 0) return;
    await retire();
    await append(bytes);
  };

  const work = async (): Promise<void> => {
    // Everything of this turn of the event loop is one write.
    await new Promise(setImmediate);
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        await append(Buffer.from(batch.map(({ line }) => line).join(''), 'utf8'));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    working = undefined;
  };

  return {
    record(change) {
      used = Date.now();
      return new Promise((resolve, reject) => {
        queue.push({ line: `${JSON.stringify(change)}\n`, resolve, reject });
        working ??= work();
      });
    },
    async rest(idleMs) {
      if (working || Date.now() - used < idleMs) return false;
      await retire();
      return !working;
    },
    async close() {
      await working;
      await retire();
    },
  };
}

export interface RecorderOptions extends InboxOptions {
  root: string;
  /** Is told after each write, to wake the leader: it may be in this process. */
  onRecorded?: (bucket: Bucket) => void;
}

/** Of `gateway/s3/recorded.ts`, over the files of a root. */
export interface Recorder {
  record(bucket: Bucket, change: S3Change | S3Removal): Promise<void>;
  /** Removes what is kept of a bucket that was deleted. */
  forget(bucket: Bucket): Promise<void>;
  close(): Promise<void>;
}

/** Another one for a bucket that is made anew under the same name. Of each change: so without the work of `nameOf`. */
const idOf = ({ name, created }: Bucket): string => `${name} ${created}`;

/** The inboxes of this process in all buckets. Files that are not used are closed. */
export function createRecorder({ root, onRecorded, ...options }: RecorderOptions): Recorder {
  /** By bucket: see `idOf`. */
  const inboxes = new Map<string, Inbox>();
  const { rollMs = ROLL_MS } = options;

  const sweep = async () => {
    for (const [id, inbox] of inboxes) {
      if ((await inbox.rest(rollMs)) && inboxes.get(id) === inbox) inboxes.delete(id);
    }
  };
  const timer = setInterval(() => void sweep().catch(() => {}), rollMs / 4).unref();

  return {
    async record(bucket, change) {
      const id = idOf(bucket);
      let inbox = inboxes.get(id);
      if (!inbox) {
        inbox = openInbox(inboxDirectory(syncDirectory(root, bucket)), options);
        inboxes.set(id, inbox);
      }
      await inbox.record(change);
      // Of what has not taken effect nothing is to be told.
      if (!('removal' in change)) onRecorded?.(bucket);
    },
    async forget(bucket) {
      const id = idOf(bucket);
      const inbox = inboxes.get(id);
      inboxes.delete(id);
      await inbox?.close().catch(() => {});
      await removeSyncDirectory(root, bucket);
    },
    async close() {
      clearInterval(timer);
      const open = [...inboxes.values()];
      inboxes.clear();
      await Promise.all(open.map((inbox) => inbox.close()));
    },
  };
}
