/** `show_cs_usage` and `show_cs_quota`: usage with the names and columns that users of the ABCI cloud storage know. */
import type { Command } from 'commander';
import { HOUR_MS, hourOf, readSamples } from '../../sync/samples.js';
import { byDay, sumBy } from '../../sync/usage.js';
import { Complaint } from '../complaint.js';
import { withService } from '../main.js';
import { gib } from './figures.js';
import { oneOf } from './options.js';
import { type CommonOptions, createProgram, example, print } from './run.js';
import { printable } from './table.js';
import { bucketUsage, standingBuckets } from './usage.js';

interface CsOptions extends CommonOptions {
  group?: string;
  date?: string;
  unit?: string;
}

const groupFlag = '-g, --group <GROUP>';
const groupHelp = 'only this group (default: all that own buckets)';
const DAY_MS = 24 * HOUR_MS;

/** Left-aligned words and right-aligned numbers, two blanks between. */
function columns(rows: readonly (readonly string[])[], words: number): string {
  const shown = rows.map((row) => row.map(printable));
  const widths = shown[0]!.map((_, i) => Math.max(...shown.map((row) => row[i]!.length)));
  const lines = shown.map((row) =>
    row.map((cell, i) => (i < words ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
  );
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

export function showCsUsage(): Command {
  const program = createProgram('show_cs_usage', 'Shows how much the buckets of each group hold, or held on a day.')
    .option('-d, --date <YYYYMMDD>', 'as it was at the end of this day (UTC; default: as it is now)')
    .option(groupFlag, groupHelp)
    .allowExcessArguments(false)
    .action(async (_: unknown, command: Command) => printUsage(command.opts()));
  return example(program, 'show_cs_usage', 'show_cs_usage -d 20260131 -g climate');
}

async function printUsage(options: CsOptions): Promise<void> {
  const asked = options.date === undefined ? undefined : readDay(options.date);
  await withService(options, { make: false }, async (service) => {
    const now = Date.now();
    const day = asked ?? Math.floor(now / DAY_MS);
    const stands = await standingBuckets(service);
    // What is there now is known to the second; of other days, to the hour.
    const all =
      asked === undefined
        ? sumBy(await bucketUsage(service), ({ group }) => group).map(({ name, ...sum }) => ({ group: name, ...sum }))
        : byDay(
            readSamples(service.config.root, day * 24, (day + 1) * 24),
            { from: day, to: day + 1, now: hourOf(now) },
            stands,
          );
    const date = new Date(day * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '/');
    const rows = all
      .filter(({ group }) => options.group === undefined || group === options.group)
      .map(({ group, objects, bytes }) => ({ date, group, objects, bytes }));
    const cells = rows.map(({ group, bytes }) => [date, group, gib(bytes)]);
    const text = `Cloud storage usage by group\n${columns([['Date', 'Group', 'used(GiB)'], ...cells], 2)}`;
    print(options, rows, text);
    if (rows.length === 0) process.stderr.write(`note: nothing is known of ${date}\n`);
  });
}

/** Days since the epoch. */
function readDay(text: string): number {
  const iso = text.replace(/^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3');
  const time = Date.parse(`${iso}T00:00:00Z`);
  const known = !Number.isNaN(time) && new Date(time).toISOString().slice(0, 10) === iso;
  if (known && time <= Date.now()) return time / DAY_MS;
  throw new Complaint(`-d takes a day that has begun, such as 20260131, not ${JSON.stringify(text)}`, 2);
}

const unitNames = ['K', 'M', 'G', 'T'] as const;

export function showCsQuota(): Command {
  const program = createProgram('show_cs_quota', 'Shows how much each directory of a bucket holds, by group.')
    .option(groupFlag, groupHelp)
    .option('-b, --unit <UNIT>', `${unitNames.join(', ').replace(/, (\w)$/, ' or $1')}: KiB, MiB, GiB or TiB`, 'G')
    .allowExcessArguments(false)
    .addHelpText(
      'after',
      `
Quotas of buckets are not enforced, so the limits show "-". What the filesystem itself allows a user, a group or a project
is told by its own commands ('lfs quota', 'quota'); a write above it is refused with QuotaExceeded or by the kernel.`,
    )
    .action(async (_: unknown, command: Command) => printQuota(command.opts()));
  return example(program, 'show_cs_quota', 'show_cs_quota -g climate -b T');
}

async function printQuota(options: CsOptions): Promise<void> {
  const unit = oneOf('-b', unitNames, options.unit ?? 'G');
  await withService(options, { make: false }, async (service) => {
    const rows = (await bucketUsage(service)).filter(
      ({ group }) => options.group === undefined || group === options.group,
    );
    const bytesOf = 1024 ** (unitNames.indexOf(unit) + 1);
    const inUnits = (bytes: number) => (Math.ceil((bytes / bytesOf) * 1000) / 1000).toFixed(3);
    const head = ['Directory', `used(${unit}iB)`, `limit(${unit}iB)`, 'used(nfiles)', 'limit(nfiles)'];
    const text = [...new Set(rows.map(({ group }) => group))].sort().map((group) => {
      const cells = rows
        .filter((row) => row.group === group)
        .map(({ path, bytes, objects }) => [
          path,
          bytes === undefined ? '-' : inUnits(bytes),
          '-',
          `${objects ?? '-'}`,
          '-',
        ]);
      return `Disk quotas for group ${printable(group)}\n${columns([head, ...cells], 1)}`;
    });
    const shown = rows.map(({ group, path, bytes = null, objects = null }) => ({
      group,
      directory: path,
      used: bytes,
      limit: null,
      files: objects,
      fileLimit: null,
    }));
    print(options, shown, text.join('\n') || 'there are no buckets\n');
  });
}
