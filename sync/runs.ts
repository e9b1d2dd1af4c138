/** The syncs that were asked for, kept where every gateway and command of the root sees them (documents of the kind `syncs`). */
import { randomUUID } from 'node:crypto';
import type { Bucket, Documents } from '../gateway/storage/types.js';
import { type SyncCounts, type SyncOp, type SyncRequest, type SyncRun, type SyncState, syncOps } from './types.js';

export const noCounts = (): SyncCounts => ({
  added: 0,
  updated: 0,
  deleted: 0,
  unchanged: 0,
  renamed: 0,
  bytesHashed: 0,
  errors: 0,
  unsettled: 0,
});

/** Of syncs that ended, so many are kept; and of those that whoever asked for them may not have looked at yet, more. */
const KEPT = 20;
const FRESH_MS = 60_000;
const MOST_KEPT = 200;
/** So many may wait; one more is refused. */
export const MAX_QUEUED = 100;

type Named = Pick<Bucket, 'name' | 'created'>;

const empty = ({ created }: Named): SyncState => ({ bucketCreated: created, queued: [], ended: [] });

/** Undefined: nothing was ever asked for, and nobody has led the bucket. */
export async function readState(documents: Documents, bucket: Named): Promise<SyncState | undefined> {
  const state = await documents.get<SyncState>('syncs', bucket.name);
  return state?.bucketCreated === bucket.created ? state : undefined;
}

/** Changes the state under the lock that all processes take. */
export async function changeState(
  documents: Documents,
  bucket: Named,
  change: (state: SyncState) => SyncState,
): Promise<SyncState> {
  const changeOf = (state: SyncState) => change(state.bucketCreated === bucket.created ? state : empty(bucket));
  for (;;) {
    const changed = await documents.update<SyncState>('syncs', bucket.name, changeOf);
    if (changed) return changed;
    const made = change(empty(bucket));
    if (await documents.create('syncs', bucket.name, made)) return made;
  }
}

const covers = (one: SyncRequest, other: SyncRequest): boolean =>
  one.dryRun === other.dryRun &&
  other.prefix.startsWith(one.prefix) &&
  other.ops.every((op) => one.ops.includes(op)) &&
  // A sync that does more than was asked for is another one.
  one.ops.length === other.ops.length;

/**
 * Asks for a sync. One that waits already and covers this one is joined: it has not begun, so it will see all that is there
 * now. One that runs may have passed by what was just written, so it is not.
 * @returns the run to wait for, and whether it was there already; undefined: too many wait
 */
export async function requestRun(
  documents: Documents,
  bucket: Named,
  request: SyncRequest,
  requester: string,
): Promise<{ run: SyncRun; joined: boolean } | undefined> {
  const wanted: SyncRun = {
    ...request,
    ops: syncOps.filter((op) => request.ops.includes(op)),
    id: randomUUID(),
    state: 'queued',
    requester,
    requested: new Date().toISOString(),
    counts: noCounts(),
    progress: { seen: 0, expected: 0 },
  };
  let answer: { run: SyncRun; joined: boolean } | undefined;
  await changeState(documents, bucket, (state) => {
    const waiting = state.queued.find((run) => covers(run, wanted));
    answer = waiting ? { run: waiting, joined: true } : { run: wanted, joined: false };
    if (waiting) return state;
    if (state.queued.length >= MAX_QUEUED) {
      answer = undefined;
      return state;
    }
    return { ...state, queued: [...state.queued, wanted] };
  });
  return answer;
}

/** Where a run stands; undefined: it was forgotten, a minute after many others had ended, or the bucket has gone. */
export function findRun(state: SyncState | undefined, id: string): SyncRun | undefined {
  if (!state) return undefined;
  return [...(state.running ? [state.running] : []), ...state.queued, ...state.ended].find((run) => run.id === id);
}

/** For a leader: takes the next run that waits. One that a leader left behind half-way is begun again. */
export async function takeRun(documents: Documents, bucket: Named, now: Date): Promise<SyncRun | undefined> {
  let taken: SyncRun | undefined;
  await changeState(documents, bucket, (state) => {
    const [next, ...queued] = state.running ? [state.running, ...state.queued] : state.queued;
    if (!next) return state;
    taken = { ...next, state: 'running', started: now.toISOString(), counts: noCounts() };
    return { ...state, queued, running: taken };
  });
  return taken;
}

/** For a leader: tells how far a run is, or that it has ended. */
export async function tellRun(documents: Documents, bucket: Named, run: SyncRun): Promise<void> {
  await changeState(documents, bucket, (state) => {
    if (run.state === 'running') return { ...state, running: run };
    const { running, ...rest } = state;
    const others = running && running.id !== run.id ? { running } : {};
    return { ...rest, ...others, ended: kept([run, ...state.ended]) };
  });
}

/** @param ended newest first */
function kept(ended: readonly SyncRun[]): SyncRun[] {
  const time = ({ finished }: SyncRun): number => Date.parse(finished ?? '');
  const fresh = time(ended[0]!) - FRESH_MS;
  return ended.filter((run, i) => i < KEPT || (i < MOST_KEPT && time(run) > fresh));
}

export const allOps: ReadonlySet<SyncOp> = new Set(syncOps);

/** The buckets of which a state is kept; they may be gone. Of a document that is no state it is not told whose it is. */
export async function statesKept(documents: Pick<Documents, 'list'>): Promise<Named[]> {
  const found = await documents.list<Partial<SyncState> | null>('syncs');
  return found.flatMap(({ id, value }) => {
    const created = value?.bucketCreated;
    return typeof created === 'string' ? [{ name: id, created }] : [];
  });
}

/** Removes the state of a bucket that is gone; that of one that was made anew under its name stays. */
export async function forgetState(documents: Pick<Documents, 'update'>, { name, created }: Named): Promise<void> {
  await documents.update<SyncState>('syncs', name, (now) => (now.bucketCreated === created ? undefined : now));
}
