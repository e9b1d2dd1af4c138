/** `s3dsbucket sync`, `tidegate sync` and `tidegate sync status`. */
import type { Command } from 'commander';
import { createBell } from '../../sync/bells.js';
import { createSyncControl } from '../../sync/control.js';
import { type SyncOp, type SyncRequest, type SyncRun, type SyncState, syncOps } from '../../sync/types.js';
import { Complaint } from '../complaint.js';
import { type Service, withService } from '../main.js';
import type { Bucket } from '../storage/types.js';
import { type CommandEngine, leadMeanwhile } from '../syncing.js';
import { duration, size } from './figures.js';
import { collect } from './options.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { createProgress, type Progress, progressText } from './sync-progress.js';
import { printable, table } from './table.js';

interface SyncOptions extends CommonOptions {
  key?: string;
  bucket?: string;
  prefix?: string;
  ops?: string[];
  dryRun?: boolean;
  background?: boolean;
}

const about = `
WRITE takes up new files, UPDATE changed ones, DELETE forgets those that are gone. Files themselves are not changed: what
is taken up gets its ETag (MD5), is counted, and its event is sent. Whichever gateway leads the bucket does the work; where
none runs, this command does it. Interrupting it is safe: the sync is finished by the next that leads the bucket.
Ends with 1 when the sync failed or could not take up a file, and says which.`;

const keyFlags = '-k, --key <ACCESSKEY>';
const keyHelp = "a key of the bucket's owner";

/** `s3dsbucket sync`, as S3DS has it: the key says who asks. */
export function addBucketSyncCommand(parent: Command, name: string): void {
  const command = subCommand(parent, 'sync', 'take up what jobs did to the files of a bucket').requiredOption(
    keyFlags,
    keyHelp,
  );
  example(
    withSyncOptions(command),
    `${name} sync --key=AKIAABCDEFGHIJKLMNOP --bucket=results`,
    `${name} sync -k AKIAABCDEFGHIJKLMNOP -b results --prefix run1/ --ops WRITE,UPDATE`,
  );
}

/** `tidegate sync`: whoever has the root needs no key. */
export function addSyncCommand(parent: Command): void {
  const sync = subCommand(parent, 'sync', 'take up what jobs did to the files of a bucket').option(keyFlags, keyHelp);
  example(withSyncOptions(sync), 'tidegate sync -b results', 'tidegate sync -b results --prefix run1/ --dry-run');
  const status = subCommand(sync, 'status', 'show the sync that runs, those that wait, and the last that ended')
    .usage('-b <BUCKET> [options]')
    // Its parent's options, but for the bucket, mean nothing to it.
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: () =>
        [...(parent.options ?? []), ...sync.options].filter(({ long }) =>
          ['--root', '--config', '--json', '--bucket'].includes(long ?? ''),
        ),
    })
    .action(async (_: unknown, command: Command) => onBucket(command.optsWithGlobals(), printStatus));
  example(status, 'tidegate sync status -b results', 'tidegate sync status -b results --json');
}

const withSyncOptions = (command: Command): Command =>
  command
    .requiredOption('-b, --bucket <BUCKET>', 'name of the bucket')
    .option('--prefix <PREFIX>', 'only keys that begin with it')
    .option('--ops <OPERATIONS>', `what to do: ${syncOps.join(', ')}; commas between (default: all)`, collect)
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--background', 'do not wait: a gateway does it, and tidegate sync status tells how far it is')
    .action(async (_: unknown, self: Command) => onBucket(self.optsWithGlobals(), sync))
    .addHelpText('after', about);

async function onBucket(
  options: SyncOptions,
  work: (service: Service, bucket: Bucket, options: SyncOptions) => Promise<void>,
): Promise<void> {
  await withService(options, { make: false }, async (service) => {
    const bucket = await service.storage.bucket(options.bucket ?? '');
    if (!bucket) throw new Complaint(`there is no bucket ${options.bucket}: 'tidegate bucket list' shows them`);
    await work(service, bucket, options);
  });
}

// ---- sync --------------------------------------------------------------------------------------------------------

async function sync(service: Service, bucket: Bucket, options: SyncOptions): Promise<void> {
  const { documents } = service.storage;
  const request: SyncRequest = {
    ops: readOps(options.ops),
    prefix: options.prefix ?? '',
    dryRun: options.dryRun === true,
  };
  const requester = await requesterOf(service, bucket, options.key);
  const bell = createBell(service.config.root);
  const control = createSyncControl(documents, bell.ring);
  const asked = await control.request(bucket, request, requester);
  if (!asked) throw new Complaint(`too many syncs of bucket ${bucket.name} wait already`);
  await bell.close();
  const { run } = asked;
  if (options.background === true) {
    const hint = `'tidegate sync status -b ${bucket.name}' tells how far it is`;
    print(
      options,
      run,
      `sync ${run.id} of ${bucket.name} ${asked.joined ? 'waits already' : 'is asked for'}: ${hint}\n`,
    );
    return;
  }
  const quiet = { write: () => {} };
  const progress = createProgress(bucket.name, options.json === true ? quiet : process.stderr);
  const ended = await carryOut(service, bucket, run, progress);
  if (!ended) throw new Complaint(`bucket ${bucket.name} was deleted meanwhile`);
  print(options, ended, summary(bucket.name, ended));
  if (ended.state === 'failed') throw new Complaint(`the sync failed: ${ended.message ?? 'for no known reason'}`);
  if (ended.counts.errors > 0) {
    const { errors } = ended.counts;
    const files = errors === 1 ? '1 file' : `${errors} files`;
    throw new Complaint(
      `${files} could not be given ${errors === 1 ? 'its ETag' : 'their ETags'}; the first: ${printable(ended.message ?? '')}`,
    );
  }
}

/** Waits for the end of a run, and leads the bucket itself meanwhile where nobody else does. */
async function carryOut(
  service: Service,
  bucket: Bucket,
  run: SyncRun,
  progress: Progress,
): Promise<SyncRun | undefined> {
  const control = createSyncControl(service.storage.documents, () => {});
  const stop = new AbortController();
  let signal: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    signal = name;
    stop.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  let engine: CommandEngine | undefined;
  try {
    engine = await leadMeanwhile(service, bucket, (line) => progress.note(`note: ${line}`));
    return await control.wait(bucket, run.id, { signal: stop.signal, progress: (now) => progress.show(now) });
  } catch (error) {
    if (signal === undefined) throw error;
    const line = `interrupted: sync ${run.id} goes on when a gateway, or the next sync, leads the bucket`;
    throw new Complaint(line, signal === 'SIGINT' ? 130 : 143, error);
  } finally {
    progress.end();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await engine?.close();
  }
}

function readOps(words: readonly string[] | undefined): SyncOp[] {
  if (words === undefined) return [...syncOps];
  const unknown = words.find((word) => !(syncOps as readonly string[]).includes(word));
  if (unknown === undefined && words.length > 0) return syncOps.filter((op) => words.includes(op));
  throw new Complaint(`--ops takes ${syncOps.join(', ')}, commas between, not ${JSON.stringify(unknown ?? '')}`, 2);
}

/** Canonical id of the account of a key, which must own the bucket; '' for the operator, who gives none. */
async function requesterOf({ registry }: Service, bucket: Bucket, accessKey?: string): Promise<string> {
  if (accessKey === undefined) return '';
  const entry = await registry.find(accessKey);
  if (!entry) throw new Complaint(`there is no access key ${accessKey}: 's3dskey list' shows the keys`);
  if (entry.account.uuid === bucket.owner) return bucket.owner;
  throw new Complaint(`bucket ${bucket.name} does not belong to the account of ${accessKey}: give a key of its owner`);
}

const countNames = ['added', 'updated', 'deleted', 'renamed', 'unchanged', 'unsettled', 'errors'] as const;

const secondsOf = ({ started, finished }: SyncRun): string =>
  started === undefined ? '' : duration(Date.parse(finished ?? new Date().toISOString()) - Date.parse(started));

function summary(bucket: string, run: SyncRun): string {
  const { counts } = run;
  const cells = [...countNames.map((name) => String(counts[name])), size(counts.bytesHashed), secondsOf(run)];
  const title = `${run.dryRun ? 'dry run: a sync' : 'sync'} of ${bucket}${run.prefix === '' ? '' : ` below ${run.prefix}`}`;
  const unsettled =
    counts.unsettled > 0 ? `${counts.unsettled} still being written: taken up once they have come to rest\n` : '';
  return `${title} (${run.ops.join(',')}): ${run.state}\n${table([cells], [...countNames, 'hashed', 'took'])}${unsettled}`;
}

// ---- status ------------------------------------------------------------------------------------------------------

async function printStatus({ storage }: Service, bucket: Bucket, options: SyncOptions): Promise<void> {
  const state = await createSyncControl(storage.documents, () => {}).state(bucket);
  const { lastFullScan = null, leader = null, totals = null } = state ?? {};
  const runs = state ? [...(state.running ? [state.running] : []), ...state.queued, ...state.ended] : [];
  const rows = runs.map((run) => [
    run.id,
    run.dryRun ? `${run.state} (dry run)` : run.state,
    run.ops.join(','),
    run.prefix,
    (run.started ?? run.requested).slice(0, 19).replace('T', ' '),
    run.finished === undefined ? '' : secondsOf(run),
    progressText(run),
    run.message ?? '',
  ]);
  const head = ['id', 'state', 'operations', 'prefix', 'since (UTC)', 'took', 'progress', 'message'];
  const text = rows.length === 0 ? 'no sync was asked for\n' : table(rows, head);
  const { queued = [], ended = [] } = state ?? {};
  const shown = { bucket: bucket.name, lastFullScan, leader, totals, running: state?.running ?? null, queued, ended };
  print(options, shown, headline(bucket, state) + text);
}

function headline({ name }: Bucket, state: SyncState | undefined): string {
  if (!state?.leader) return `bucket ${name}: nobody has looked at its files yet\n`;
  const { leader, lastFullScan, totals } = state;
  const counted = totals ? `${totals.objects} objects, ${size(totals.bytes)}` : 'not counted yet';
  const lines = [
    `bucket ${name}: ${counted}`,
    `all of it was last looked at: ${lastFullScan ?? 'never'}`,
    `last led by process ${leader.pid} on ${leader.host}, since ${leader.since}`,
  ];
  return `${lines.join('\n')}\n`;
}
