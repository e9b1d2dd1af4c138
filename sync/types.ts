/**
 * Words that the parts of the sync engine share.
 *
 * The engine runs in a process of its own (`process.ts`), where synchronous system calls hold nobody up; S3 requests are
 * served by the main thread, which only writes down what it has done (`inbox.ts`) and asks (`engine.ts`).
 *
 * One process leads a bucket (`leader.ts`). It alone writes the bucket's catalog and feed. Whatever tells it that
 * something changed (watcher, changelog, scan, inbox) is a hint to look at a place; what is true is what the filesystem
 * shows then.
 *
 * `KeyBytes`: the UTF-8 bytes of a key as a latin1 string (`toBytes` of `gateway/storage/keys.ts`), so that `<` is S3's
 * order. A directory is named as the prefix of what it holds: '' or `a/b/`.
 */
import type { ChecksumAlgorithm } from '../acl/metadata/types.js';

export type KeyBytes = string;
/** '' or `a/b/`. */
export type DirBytes = string;

// ---- what is known of an object ----------------------------------------------------------------------------------

/** What the catalog keeps of one object. */
export interface Entry {
  /** Bytes. */
  size: number;
  mtimeNs: bigint;
  /** 0n: not looked at yet (known from an S3 write only). */
  ctimeNs: bigint;
  ino: bigint;
  /** As S3 shows it; '' while only a synthetic one can be shown. */
  etag: string;
  /** The S3 write that made this content (`ObjectMeta.write`); '' for what a job wrote. */
  write: string;
}

/** Of a bucket. */
export interface Totals {
  objects: number;
  /** Of the objects' content. */
  bytes: number;
}

// ---- events ------------------------------------------------------------------------------------------------------

/** Names as S3 has them, without the prefix `s3:`. */
export const eventNames = [
  'ObjectCreated:Put',
  'ObjectCreated:Post',
  'ObjectCreated:Copy',
  'ObjectCreated:CompleteMultipartUpload',
  'ObjectRemoved:Delete',
] as const;
export type EventName = (typeof eventNames)[number];

/** Through which door a change came. */
export type Door = 's3' | 'filesystem';

/** A change, before it has its place in the feed. */
export interface EventDraft {
  name: EventName;
  /** The key itself (not `KeyBytes`). */
  key: string;
  door: Door;
  /** Milliseconds since the epoch: of the request, or when the change was found. */
  time: number;
  /** Not of removals. */
  size?: number;
  /** Without quotes; not of removals. */
  etag?: string;
  /** The S3 write (`S3Change.write`). */
  write?: string;
  /** Canonical id of the requester; undefined for the anonymous and for the filesystem. */
  requester?: string;
  /** Of the client. */
  sourceIp?: string;
  requestId?: string;
  /** The key that the file had before a job renamed it. */
  renamedFrom?: string;
}

/** A line of a bucket's feed. */
export interface FeedEvent extends EventDraft {
  /** From 1, without gaps, in the order of the feed. */
  seq: number;
}

// ---- what S3 requests write down ---------------------------------------------------------------------------------

/** One change that came through S3, as the gateway that made it writes it into its inbox. */
export interface S3Change {
  /** Its own; of what was created, also in the object's metadata (`ObjectMeta.write`). `Delete-` and 32 hex digits of others. */
  write: string;
  name: EventName;
  key: string;
  time: number;
  size?: number;
  etag?: string;
  requester?: string;
  sourceIp?: string;
  requestId?: string;
}

/**
 * A deletion through S3, written down before it is made: afterwards nothing is there that could tell who made it. It is
 * over with the `S3Change` of the same `write`, or, where nothing was deleted, with another of these.
 */
export interface S3Removal {
  removal: 'begun' | 'over';
  /** That of the `S3Change` which is to follow. */
  write: string;
  key: string;
  time: number;
}

// ---- hints -------------------------------------------------------------------------------------------------------

/** "Look here." Sources of change give these, and nothing else. */
export interface Hint {
  dir: DirBytes;
  /** One entry of the directory; undefined: all of them. */
  name?: string;
  /** With everything below: of the entry, or of the directory. */
  deep?: boolean;
  /**
   * To be called when what was found there is durable. Only a source that can tell everything again has it: until then it
   * keeps what made the hint, and after a crash it gives the hint again. Never calling it costs a repetition, no more.
   */
  settled?: () => void;
}

/** Where hints come from. Started by the leader of a bucket, stopped when it ends or loses the bucket. */
export interface Source {
  /** Resolves when everything that stands is watched: a change after that is told, or `lost` is. */
  start(sink: HintSink): Promise<void>;
  stop(): Promise<void> | void;
}

export interface HintSink {
  hint(hint: Hint): void;
  /** Hints were dropped (a queue overflowed): everything below has to be looked at. `settled` as in `Hint`. */
  lost(dir: DirBytes, why: string, settled?: () => void): void;
}

// ---- BucketSync --------------------------------------------------------------------------------------------------

/** S3DS's operation types. WRITE takes up new files, UPDATE changed ones, DELETE forgets vanished ones. */
export const syncOps = ['WRITE', 'UPDATE', 'DELETE'] as const;
export type SyncOp = (typeof syncOps)[number];

export interface SyncRequest {
  ops: readonly SyncOp[];
  /** Only keys that begin with it; '' for all. */
  prefix: string;
  /** Says what it would do, and does nothing. */
  dryRun: boolean;
}

export interface SyncCounts {
  added: number;
  updated: number;
  deleted: number;
  unchanged: number;
  /** Renamed files, which are among neither `added` nor `deleted`. */
  renamed: number;
  /** Bytes whose digest was computed. */
  bytesHashed: number;
  /** Files that could not be read or stamped. */
  errors: number;
  /** Files that are being written: taken up when they have come to rest. */
  unsettled: number;
}

/** One sync: as it stands while it runs, and as it was when it is over. */
export interface SyncRun extends SyncRequest {
  /** A uuid. */
  id: string;
  state: 'queued' | 'running' | 'done' | 'failed';
  /** Canonical id of the account that asked; '' for the operator's command. */
  requester: string;
  /** ISO 8601. */
  requested: string;
  started?: string;
  finished?: string;
  counts: SyncCounts;
  /** Entries of directories looked at so far; and how many the last complete one had, 0 when not known. */
  progress: { seen: number; expected: number };
  /** Why it failed; of the first of `errors`, what it was. */
  message?: string;
}

/** The document of a bucket's syncs (kind `syncs`): asked for, running, and the last that ended. */
export interface SyncState {
  /** Bucket's `created`: a bucket made anew under the same name has none of these. */
  bucketCreated: string;
  queued: SyncRun[];
  running?: SyncRun;
  /** The last that ended, newest first, a few. */
  ended: SyncRun[];
  /** The last complete look at the whole bucket, ISO 8601. */
  lastFullScan?: string;
  leader?: { host: string; pid: number; since: string };
  totals?: Totals & { at: string };
}

// ---- settings ----------------------------------------------------------------------------------------------------

export interface SyncSettings {
  /** Milliseconds that a file must not have changed before its content is hashed and its event sent. */
  quietMs: number;
  /** Whether changes on this machine are watched (inotify). */
  watch: boolean;
  /** Bytes that the feed of a bucket keeps. */
  feedBytes: number;
  /** Milliseconds between two looks at everything, and between two at the directories whose times have changed. */
  scanMs: number;
  quickScanMs: number;
  /** Hashing threads. */
  hashers: number;
  /** Bytes per second that hashing reads at most; 0: as fast as it goes. */
  hashRate: number;
  /** Operations per second of hashing at most, one for each file and one for each further MiB; 0: as they come. */
  hashIops: number;
  /** A checksum to compute and store beside the MD5. */
  checksum?: Extract<ChecksumAlgorithm, 'CRC64NVME' | 'SHA256'> | undefined;
}
