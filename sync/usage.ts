/** How much buckets, accounts and groups hold, and held over time. Pure. */
import type { Sample, Series } from './samples.js';

/** A bucket as it is now. */
export interface BucketUsage {
  bucket: string;
  /** Absolute directory. */
  path: string;
  /** Canonical id, and how people call it. */
  account: string;
  accountName: string;
  group: string;
  /** Undefined: nobody has counted yet. */
  objects: number | undefined;
  bytes: number | undefined;
  /** ISO 8601. */
  counted: string | undefined;
}

/** Several buckets together. */
export interface UsageSum {
  name: string;
  buckets: number;
  objects: number;
  bytes: number;
  /** The oldest count among them, ISO 8601. */
  counted: string | undefined;
  /** So many were never counted, and are not in the sums. */
  uncounted: number;
}

/** Sums by what `nameOf` says, by name. */
export function sumBy(rows: readonly BucketUsage[], nameOf: (row: BucketUsage) => string): UsageSum[] {
  const sums = new Map<string, UsageSum>();
  for (const row of rows) {
    const name = nameOf(row);
    const sum = sums.get(name) ?? { name, buckets: 0, objects: 0, bytes: 0, counted: undefined, uncounted: 0 };
    sums.set(name, sum);
    sum.buckets++;
    if (row.counted === undefined) sum.uncounted++;
    else if (sum.counted === undefined || row.counted < sum.counted) sum.counted = row.counted;
    sum.objects += row.objects ?? 0;
    sum.bytes += row.bytes ?? 0;
  }
  return [...sums.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** One hour of a bucket. */
export interface Hour {
  hour: number;
  sample: Sample;
  /** Nobody was there to count in this hour: what was counted last before it stands for it. */
  carried: boolean;
}

/**
 * Every hour from `from` to `to` (exclusive) in which the bucket is known to have been there: from its first sample to the
 * last, and when it `stands` still, to the end. A gateway that was down makes nothing free of charge.
 */
export function* hours(
  { samples }: Pick<Series, 'samples'>,
  from: number,
  to: number,
  stands: boolean,
): Generator<Hour> {
  for (const [i, sample] of samples.entries()) {
    const next = samples[i + 1]?.hour ?? (stands ? to : sample.hour + 1);
    for (let hour = Math.max(sample.hour, from); hour < Math.min(next, to); hour++) {
      yield { hour, sample, carried: hour > sample.hour };
    }
  }
}

/** A bill counts a month as 720 hours, as long as it may be. */
export const HOURS_OF_A_MONTH = 720;

export interface Bill {
  name: string;
  /** Bytes, each for as many hours as it was there. */
  byteHours: number;
  /** The most that was there at once, bytes: of one bucket, or of all together. */
  peak: number;
  /** Bucket-hours that were counted, and those in which nobody was there to count. */
  counted: number;
  carried: number;
}

/** Bills by what `nameOf` says, by name; undefined: not asked for. */
export function bills(
  series: Iterable<Series>,
  span: { from: number; to: number },
  stands: (one: Series) => boolean,
  nameOf: (one: Series, sample: Sample) => string | undefined,
): Bill[] {
  const found = new Map<string, Bill>();
  const atOnce = new Map<string, Map<number, number>>();
  for (const one of series) {
    for (const { hour, sample, carried } of hours(one, span.from, span.to, stands(one))) {
      const name = nameOf(one, sample);
      if (name === undefined) continue;
      const bill = found.get(name) ?? { name, byteHours: 0, peak: 0, counted: 0, carried: 0 };
      found.set(name, bill);
      bill.byteHours += sample.bytes;
      bill[carried ? 'carried' : 'counted']++;
      const byHour = atOnce.get(name) ?? new Map<number, number>();
      atOnce.set(name, byHour);
      byHour.set(hour, (byHour.get(hour) ?? 0) + sample.bytes);
    }
  }
  for (const [name, byHour] of atOnce) found.get(name)!.peak = [...byHour.values()].reduce((a, b) => Math.max(a, b), 0);
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

export interface DayUsage {
  /** Days since the epoch. */
  day: number;
  group: string;
  objects: number;
  bytes: number;
}

/** What each group held at the end of each day from `from` to `to` (days, `to` exclusive; `now`: the hour that is). */
export function byDay(
  series: Iterable<Series>,
  { from, to, now }: { from: number; to: number; now: number },
  stands: (one: Series) => boolean,
): DayUsage[] {
  const found = new Map<string, DayUsage>();
  for (const one of series) {
    for (let day = from; day < to; day++) {
      const last = Math.min(day * 24 + 23, now);
      for (const { sample } of hours(one, last, last + 1, stands(one))) {
        const key = `${day}/${sample.group}`;
        const sum = found.get(key) ?? { day, group: sample.group, objects: 0, bytes: 0 };
        found.set(key, sum);
        sum.objects += sample.objects;
        sum.bytes += sample.bytes;
      }
    }
  }
  return [...found.values()].sort((a, b) => a.day - b.day || (a.group < b.group ? -1 : 1));
}
