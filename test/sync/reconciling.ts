/** A reconciler by itself, over real files, catalog and inbox: the test is its leader, and is slow where it likes. */
import { recordChanges } from '../../gateway/s3/recorded.js';
import { type BucketDir, withBucket } from '../../gateway/storage/posix/paths.js';
import { type Catalog, openCatalog } from '../../sync/catalog.js';
import { split } from '../../sync/changes.js';
import type { Cause } from '../../sync/held.js';
import { settleHome } from '../../sync/home.js';
import { openInbox } from '../../sync/inbox.js';
import { drain, type Positions } from '../../sync/inbox-reader.js';
import { lookAtName } from '../../sync/look.js';
import { createMounts } from '../../sync/mounts.js';
import { inboxDirectory } from '../../sync/places.js';
import { createReconciler } from '../../sync/reconcile.js';
import { createRecords } from '../../sync/records.js';
import { allOps, noCounts } from '../../sync/runs.js';
import type { FeedEvent, S3Change, S3Removal } from '../../sync/types.js';
import { put } from '../suites/storage-tools.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { told } from '../support/two-doors.js';
import { openStamping } from './stamping.js';

export interface Reconciling {
  /** The path of a key's file. */
  file(key: string): string;
  /** As a gateway does it: the record is written before it resolves. */
  put(key: string, content: string): Promise<void>;
  remove(key: string): Promise<void>;
  /** Another gateway's. */
  record(change: S3Change | S3Removal): Promise<void>;
  /** Until what it returns is called nothing that a gateway writes down comes to its inbox, and no request ends. */
  holdRecords(which: (record: S3Change | S3Removal) => boolean): () => void;
  /** Gives the reconciler what a look at the key shows now. */
  look(key: string): void;
  /** As a leader's turn begins. */
  takeRecords(): void;
  tick(): void;
  /** Ticks, and looks where it is asked to, until nothing waits any more. */
  settle(): Promise<void>;
  /** Ticks until all that was found is settled; takes no records by itself, and looks at nothing more. */
  finish(): Promise<void>;
  /** As S3 shows it. */
  etag(key: string): Promise<string>;
  /** Events so far: `door name key`, and the beginning of the ETag. */
  events(): string[];
  /** Their request ids. */
  requests(): (string | undefined)[];
  /** How often something was written into the catalog. */
  commits(): number;
  close(): Promise<void>;
}

/** @param recent events that a leader before this one has told */
export async function openReconciling(recent: readonly FeedEvent[] = []): Promise<Reconciling> {
  const bench = await openStamping();
  const directory = tempDir();
  const inbox = openInbox(inboxDirectory(directory));
  const opened = openCatalog(directory, 0);
  let commits = 0;
  const catalog: Catalog = {
    ...opened,
    commit(commit) {
      commits++;
      return opened.commit(commit);
    },
  };
  const again = new Set<string>();
  let positions: Positions = {};
  const lookAgain = (key: string) => void again.add(key);
  const { path } = bench.at.bucket;
  const ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 } as const;
  const inside = <T>(work: (bucket: BucketDir) => T): T => withBucket(ground, 'service', work);
  settleHome(inside, catalog, false);
  const records = createRecords({
    catalog,
    recent,
    drain: () => drain(inboxDirectory(directory), positions),
    taken: (drained) => {
      ({ positions } = drained);
    },
    committed: () => {},
    lookAgain,
  });
  const reconciler = createReconciler({
    catalog,
    records,
    mounts: createMounts(catalog),
    inside,
    stamp: (key, seen, trusted) => bench.stamp(key, trusted ? { trusted } : {}, seen),
    committed: () => {},
    lookAgain,
  });

  let holds: (record: S3Change | S3Removal) => boolean = () => false;
  let held: Promise<void> = Promise.resolve();
  const storage = recordChanges({
    storage: bench.storage,
    changes: {
      async record(_, record) {
        if (holds(record)) await held;
        await inbox.record(record);
      },
      forget: async () => {},
    },
    operation: 'PutObject',
    requester: 'anna',
    sourceIp: '127.0.0.1',
    requestId: 'R',
    next: async () => {},
    failed(error) {
      throw error;
    },
  });
  const cause: Cause = {
    ops: allOps,
    dryRun: false,
    counts: noCounts(),
    open: 0,
    patience: Number.POSITIVE_INFINITY,
    silentBefore: 0n,
    digestsLater: false,
    awaited: false,
    publishes: true,
    complain(key, reason) {
      throw new Error(`${key}: ${reason}`);
    },
  };
  const world: Reconciling = {
    file: bench.file,
    async put(key, content) {
      await put(storage, bench.at, key, content);
    },
    record: inbox.record,
    async remove(key) {
      await storage.remove(bench.at, key);
    },
    holdRecords(which) {
      let release = () => {};
      held = new Promise((resolve) => {
        release = resolve;
      });
      holds = which;
      return () => {
        holds = () => false;
        release();
      };
    },
    look(key) {
      const { dir, name } = split(key);
      const { finding } = inside((bucket) => lookAtName(bucket, catalog, dir, name));
      if (finding) reconciler.take([finding], cause);
    },
    takeRecords: () => void records.take(),
    tick: () => void reconciler.tick(),
    async settle() {
      await until('everything is settled', 20_000, () => {
        records.take();
        reconciler.tick();
        for (const key of [...again]) {
          again.delete(key);
          world.look(key);
        }
        return (cause.open === 0 && again.size === 0) || undefined;
      });
    },
    async finish() {
      await until('what was found is settled', 20_000, () => {
        reconciler.tick();
        return cause.open === 0 || undefined;
      });
    },
    etag: async (key) => (await bench.storage.head(bench.at, key)).meta.etag,
    commits: () => commits,
    requests: () => catalog.outbox().map(({ requestId }) => requestId),
    events: () => catalog.outbox().map((event) => `${told(event)}${event.etag ? ` ${event.etag.slice(0, 8)}` : ''}`),
    async close() {
      reconciler.stop();
      await inbox.close();
      await catalog.close();
      await bench.close();
    },
  };
  return world;
}
