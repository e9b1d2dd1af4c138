/**
 * How much each bucket held, hour by hour, for bills: `<root>/.tidegate/usage/<YYYY-MM>/<bucket>.<created>`, a line for each
 * hour. They outlive their bucket, whose last days have to be paid too.
 *
 * The leader of a bucket alone writes its lines. Should a leader that was taken over write one more, or die within a line,
 * a reader sees one sample of each hour all the same.
 */
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Bucket } from '../gateway/storage/types.js';
import { bucketOfName, nameOf } from './places.js';

/** What a bucket held in one hour, and whose it was. */
export interface Sample {
  /** Hours since the epoch. */
  hour: number;
  objects: number;
  bytes: number;
  /** Canonical id of the owner, and the group that he was charged to. */
  account: string;
  group: string;
}

/** All that is known of one bucket in a span of time. */
export interface Series {
  bucket: string;
  /** As `nameOf` has it: tells buckets that followed each other under one name apart. */
  id: string;
  /** By hour, one of each. */
  samples: Sample[];
}

export interface SampleWriter {
  /** Writes the sample, unless there is one of its hour. @returns whether it was written */
  write(sample: Sample): boolean;
}

export const HOUR_MS = 3_600_000;
/** Samples of so many days are kept; months go as a whole. */
export const KEPT_DAYS = 400;

export const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS);
/** `2026-01`, in UTC. */
const monthOf = (hour: number): string => new Date(hour * HOUR_MS).toISOString().slice(0, 7);
const areaOf = (root: string): string => join(root, '.tidegate', 'usage');

/** `["2026-01-02T03",12,3456,"account","group"]` */
const lineOf = ({ hour, objects, bytes, account, group }: Sample): string =>
  JSON.stringify([new Date(hour * HOUR_MS).toISOString().slice(0, 13), objects, bytes, account, group]);

function readLine(line: string): Sample | undefined {
  try {
    const [time, objects, bytes, account, group] = JSON.parse(line) as unknown[];
    const hour = hourOf(Date.parse(`${time}:00:00Z`));
    const counts = [hour, objects, bytes].every((number) => Number.isSafeInteger(number));
    if (!counts || typeof account !== 'string' || typeof group !== 'string') return undefined;
    return { hour, objects: objects as number, bytes: bytes as number, account, group };
  } catch {
    // Cut off by a crash.
    return undefined;
  }
}

function readMonth(path: string): Sample[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => readLine(line) ?? []);
}

/** For the leader of a bucket. */
export function openSampleWriter(root: string, bucket: Pick<Bucket, 'name' | 'created'>): SampleWriter {
  let month = '';
  let known = new Set<number>();
  return {
    write(sample) {
      const now = monthOf(sample.hour);
      const directory = join(areaOf(root), now);
      const path = join(directory, nameOf(bucket));
      if (now !== month) {
        known = new Set(readMonth(path).map(({ hour }) => hour));
        month = now;
      }
      if (known.has(sample.hour)) return false;
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      append(path, lineOf(sample));
      known.add(sample.hour);
      return true;
    },
  };
}

function append(path: string, line: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600);
  try {
    const { size } = fstatSync(fd);
    const last = Buffer.alloc(1);
    // What a crash has cut off must not take this line with it.
    const torn = size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
    const bytes = Buffer.from(`${torn ? '\n' : ''}${line}\n`);
    if (writeSync(fd, bytes) !== bytes.length) throw new Error('a sample of usage was written in part only');
  } finally {
    closeSync(fd);
  }
}

const monthsIn = (root: string): string[] => {
  try {
    return readdirSync(areaOf(root))
      .filter((name) => /^\d{4}-\d\d$/.test(name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
};

/**
 * What was sampled from `from` to `to` (hours, `to` exclusive), a bucket at a time. What was known last before `from` is
 * among it, when it was sampled in the month of `from` or the one before.
 */
export function* readSamples(root: string, from: number, to: number): Generator<Series> {
  const first = monthOf(hourOf(Date.parse(`${monthOf(from)}-01T00:00:00Z`)) - 1);
  const months = monthsIn(root).filter((month) => month >= first && month <= monthOf(to - 1));
  const files = new Map<string, string[]>();
  for (const month of months) {
    for (const id of readdirSync(join(areaOf(root), month))) files.set(id, [...(files.get(id) ?? []), month]);
  }
  for (const [id, of] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const byHour = new Map<number, Sample>();
    for (const month of of) {
      // The first of an hour: what a leader that was taken over has added comes later.
      for (const each of readMonth(join(areaOf(root), month, id)))
        if (!byHour.has(each.hour)) byHour.set(each.hour, each);
    }
    const samples = [...byHour.values()].filter(({ hour }) => hour < to).sort((a, b) => a.hour - b.hour);
    const before = samples.findLastIndex(({ hour }) => hour < from);
    const within = samples.slice(Math.max(0, before));
    if (within.length > 0) yield { bucket: bucketOfName(id), id, samples: within };
  }
}

/** Removes the months that are older than what is kept. @returns their names */
export function sweepSamples(root: string, now: number): string[] {
  const oldest = monthOf(hourOf(now) - KEPT_DAYS * 24);
  const gone = monthsIn(root).filter((month) => month < oldest);
  for (const month of gone) rmSync(join(areaOf(root), month), { recursive: true, force: true, maxRetries: 3 });
  return gone;
}
