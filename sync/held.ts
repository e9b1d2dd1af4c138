/** What looks have found, while it is worked on. */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import type { Finding } from './look.js';
import type { SyncCounts, SyncOp } from './types.js';

/** On whose behalf a finding is worked on: a sync that somebody asked for, a scan, or a hint. */
export interface Cause {
  ops: ReadonlySet<SyncOp>;
  dryRun: boolean;
  counts: SyncCounts;
  /** Findings taken and not yet settled. */
  open: number;
  /** `performance.now()` after which a file that is still being written is left for later; Infinity: is waited for. */
  patience: number;
  /** Nanoseconds: what has not changed since is taken up without an event (a catalog that is made anew). */
  silentBefore: bigint;
  /** What is that old is counted now and digested by another scan. */
  digestsLater: boolean;
  /** Whether anybody waits until all that it found is settled. */
  awaited: boolean;
  /** False in a bucket where only a sync that was asked for shows what jobs wrote. */
  publishes: boolean;
  /** Hears of files that could not be worked on. */
  complain(key: string, reason: string): void;
}

/** A file as it was looked at, and whose it was. */
export type SeenFile = Fingerprint & { uid: number; gid: number };

export interface Held {
  finding: Finding;
  cause: Cause;
  /** When it was found, of `performance.now()`. */
  since: number;
  /** The upload that the object is by its own account, and since when its record is waited for. */
  upload?: { write: string; since: number };
  /** The content to digest, as it was when last looked at. */
  seen?: SeenFile;
  /** What it was digested to, and of which state of the file. */
  digest?: { stat: Fingerprint; etag: string };
  /** Other findings of a file that is being written, which come with this one. */
  riders?: Held[];
}

/** They have to be looked at for themselves from now on. */
export const takeRiders = (item: Held): Held[] => {
  const { riders = [] } = item;
  delete item.riders;
  return riders;
};

const needs: Record<Finding['kind'], readonly SyncOp[]> = {
  appeared: ['WRITE'],
  differs: ['UPDATE'],
  unhashed: ['WRITE', 'UPDATE'],
  vanished: ['DELETE'],
};
export const isAsked = ({ kind }: Finding, { ops }: Cause): boolean => needs[kind].some((op) => ops.has(op));

/** @param isNews whether there was anything to tell at this moment: another look may have told it already */
export function count({ finding: { kind }, cause: { counts } }: Held, isNews: boolean, renamed = false): void {
  if (renamed) counts.renamed++;
  else if (kind === 'appeared' || kind === 'unhashed') counts.added++;
  else if (isNews) counts.updated++;
  else counts.unchanged++;
}

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
