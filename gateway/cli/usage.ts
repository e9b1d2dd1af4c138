/** `tidegate usage`: how much buckets, accounts and groups hold, and what they are billed for a month. */
import type { Command } from 'commander';
import type { Account } from '../../acl/identity.js';
import { nameOf } from '../../sync/places.js';
import { readState } from '../../sync/runs.js';
import { hourOf, readSamples, type Sample, type Series } from '../../sync/samples.js';
import { type BucketUsage, bills, HOURS_OF_A_MONTH, sumBy } from '../../sync/usage.js';
import { Complaint } from '../complaint.js';
import { type Service, withService } from '../main.js';
import { gib } from './figures.js';
import { oneOf } from './options.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface UsageOptions extends CommonOptions {
  bucket?: string;
  account?: string;
  group?: string;
  by?: string;
  total?: boolean;
  month?: string;
}

const by = ['bucket', 'account', 'group'] as const;
type By = (typeof by)[number];

export function addUsageCommand(parent: Command): void {
  const usage = subCommand(parent, 'usage', 'show how many objects and bytes buckets, accounts and groups hold')
    .option('-b, --bucket <BUCKET>', 'only this bucket')
    .option('--account <UUID|NAME>', 'only buckets of this account')
    .option('--group <GROUP>', 'only buckets that are charged to this group')
    .option('--by <WHAT>', `a line for each ${by.join(', ').replace(/, (\w+)$/, ' or $1')}`, 'bucket')
    .option('--total', 'a line for all together instead')
    .option('--month <YYYY-MM>', 'what was there in a month (UTC), hour by hour, as a bill counts it')
    .addHelpText(
      'after',
      `
The leader of a bucket counts as files come and go; "counted" says when it last did. A bucket that no gateway has looked at
is counted by 'tidegate sync -b BUCKET'.
A bill is the sum of the GiB of each hour, divided by ${HOURS_OF_A_MONTH}. The hours are sampled by whichever gateway leads the bucket; for
hours in which none ran, what was counted last is taken ("carried"). Samples are kept for 400 days.`,
    )
    .action(async (_: unknown, command: Command) => show(command.optsWithGlobals()));
  example(
    usage,
    'tidegate usage',
    'tidegate usage --by group',
    'tidegate usage --group climate --total --json',
    'tidegate usage --by group --month 2026-01',
  );
}

async function show(options: UsageOptions): Promise<void> {
  const what = oneOf('--by', by, options.by ?? 'bucket');
  const span = options.month === undefined ? undefined : readMonth(options.month);
  await withService(options, { make: false }, async (service) => {
    const account =
      options.account === undefined ? undefined : (await service.registry.findAccount(options.account)).uuid;
    if (span) return showBills(service, options, what, { ...span, account });
    const all = await bucketUsage(service);
    const rows = all.filter(
      (row) =>
        (options.bucket === undefined || row.bucket === options.bucket) &&
        (account === undefined || row.account === account) &&
        (options.group === undefined || row.group === options.group),
    );
    if (options.bucket !== undefined && rows.length === 0) {
      const there = all.some(({ bucket }) => bucket === options.bucket);
      throw new Complaint(`there is no bucket ${options.bucket}${there ? ' of this account and group' : ''}`);
    }
    if (options.total !== true && what === 'bucket') return printBuckets(options, rows);
    const names = new Map(rows.map((row) => [row.account, row.accountName]));
    const sums = sumBy(rows, (row) => (options.total === true ? 'total' : row[what]));
    if (options.total === true && sums.length === 0) {
      sums.push({ name: 'total', buckets: 0, objects: 0, bytes: 0, counted: undefined, uncounted: 0 });
    }
    const cells = sums.map(({ name, buckets, objects, bytes, counted, uncounted }) => [
      ...(what === 'account' && options.total !== true ? [name, names.get(name) ?? ''] : [name]),
      String(buckets),
      String(objects),
      String(bytes),
      gib(bytes),
      shortTime(counted),
      String(uncounted),
    ]);
    const first = options.total === true ? [''] : what === 'account' ? ['account', 'name'] : [what];
    const head = [...first, 'buckets', 'objects', 'bytes', 'GiB', 'counted (UTC)', 'never counted'];
    print(options, options.total === true ? sums[0] : sums, table(cells, head));
  });
}

const shortTime = (time: string | undefined): string => (time ?? '-').slice(0, 19).replace('T', ' ');

function printBuckets(options: UsageOptions, rows: readonly BucketUsage[]): void {
  const cells = rows.map(({ bucket, accountName, group, objects, bytes, counted }) => [
    bucket,
    accountName,
    group,
    objects === undefined ? '-' : String(objects),
    bytes === undefined ? '-' : String(bytes),
    bytes === undefined ? '-' : gib(bytes),
    counted === undefined ? 'never' : shortTime(counted),
  ]);
  const shown = rows.map(({ objects = null, bytes = null, counted = null, ...row }) => ({
    ...row,
    objects,
    bytes,
    counted,
  }));
  print(options, shown, table(cells, ['bucket', 'account', 'group', 'objects', 'bytes', 'GiB', 'counted (UTC)']));
}

/** Every bucket of the root with what its leader last counted, by name. */
export async function bucketUsage({
  storage,
  registry,
}: Pick<Service, 'storage' | 'registry'>): Promise<BucketUsage[]> {
  const accounts = new Map<string, Account | undefined>();
  const rows: BucketUsage[] = [];
  for (const bucket of await storage.listBuckets()) {
    const { name, owner, path } = bucket;
    if (!accounts.has(owner)) accounts.set(owner, await registry.account(owner));
    const account = accounts.get(owner);
    const totals = (await readState(storage.documents, bucket))?.totals;
    rows.push({
      bucket: name,
      path,
      account: owner,
      accountName: account?.displayName ?? owner,
      group: account?.group ?? '-',
      objects: totals?.objects,
      bytes: totals?.bytes,
      counted: totals?.at,
    });
  }
  return rows;
}

/** Whether a bucket that was sampled is there still. */
export async function standingBuckets({ storage }: Pick<Service, 'storage'>): Promise<(one: Series) => boolean> {
  const ids = new Set((await storage.listBuckets()).map(nameOf));
  return ({ id }) => ids.has(id);
}

// ---- bills -------------------------------------------------------------------------------------------------------

interface Span {
  from: number;
  to: number;
}

function readMonth(text: string): Span {
  const from = Date.parse(`${text}-01T00:00:00Z`);
  if (!/^\d{4}-\d\d$/.test(text) || Number.isNaN(from)) {
    throw new Complaint(`--month takes a month such as 2026-01, not ${JSON.stringify(text)}`, 2);
  }
  const next = new Date(from);
  next.setUTCMonth(next.getUTCMonth() + 1);
  // Of this month, what has passed so far, with the hour that is.
  return { from: hourOf(from), to: Math.min(hourOf(next.getTime()), hourOf(Date.now()) + 1) };
}

async function showBills(
  service: Service,
  options: UsageOptions,
  what: By,
  { from, to, account }: Span & { account: string | undefined },
): Promise<void> {
  const { root } = service.config;
  const stands = await standingBuckets(service);
  const isAsked = (one: Series, sample: Sample) =>
    (options.bucket === undefined || one.bucket === options.bucket) &&
    (account === undefined || sample.account === account) &&
    (options.group === undefined || sample.group === options.group);
  const nameIn = (one: Series, sample: Sample) => (what === 'bucket' ? one.bucket : sample[what]);
  const label = (one: Series, sample: Sample) => (options.total === true ? 'total' : nameIn(one, sample));
  const found = bills(from < to ? readSamples(root, from, to) : [], { from, to }, stands, (one, sample) =>
    isAsked(one, sample) ? label(one, sample) : undefined,
  );
  const rows = found.map(({ name, byteHours, peak, counted, carried }) => {
    const gibHours = byteHours / 1024 ** 3;
    return { name, gibHours, billed: gibHours / HOURS_OF_A_MONTH, peak, counted, carried };
  });
  const cells = rows.map(({ name, gibHours, billed, peak, counted, carried }) => [
    name,
    gibHours.toFixed(3),
    billed.toFixed(6),
    gib(peak),
    String(counted),
    String(carried),
  ]);
  const first = options.total === true ? '' : what;
  const head = [first, 'GiB-hours', `GiB-hours / ${HOURS_OF_A_MONTH}`, 'most GiB', 'hours counted', 'hours carried'];
  print(options, rows, table(cells, head));
}
