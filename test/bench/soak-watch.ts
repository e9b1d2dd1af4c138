/** What a gateway and its sync engine hold, seen from outside, and whether it stays so. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { median } from './row.js';

/** Of all processes of a gateway together, at one moment. */
export interface Sample {
  /** MiB */
  rss: number;
  /** Of the main thread: MiB in use. */
  heap: number;
  descriptors: number;
  threads: number;
  /** Bytes that are aside: uploads in work, and what was left of others. */
  staged: number;
}

/** A process and those that it started. */
function family(pid: number): number[] {
  const all = [pid];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // The fourth field of proc_pid_stat(5), behind a name that may hold anything.
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid) all.push(Number(name));
    } catch {
      // It has ended meanwhile.
    }
  }
  return all;
}

/** Bytes of all files below; what vanishes meanwhile does not count. */
function bytesBelow(directory: string): number {
  try {
    return readdirSync(directory, { withFileTypes: true }).reduce((sum, entry) => {
      const path = join(directory, entry.name);
      return sum + (entry.isDirectory() ? bytesBelow(path) : statSync(path).size);
    }, 0);
  } catch {
    return 0;
  }
}

/**
 * @param bucket directory of the bucket
 * @param heap MiB, as the process tells it
 */
export function look(pid: number, bucket: string, heap: number): Sample {
  const sample: Sample = { rss: 0, heap, descriptors: 0, threads: 0, staged: 0 };
  for (const each of family(pid)) {
    const status = readFileSync(`/proc/${each}/status`, 'latin1');
    const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    sample.rss += field('VmRSS') / 1024;
    sample.threads += field('Threads');
    sample.descriptors += readdirSync(`/proc/${each}/fd`).length;
  }
  for (const area of ['staging', 'uploads']) sample.staged += bytesBelow(join(bucket, '.tidegate', area));
  return sample;
}

/** More than noise: a share of what was there, and a fixed amount for what is small. */
const GROWTH = 0.05;
const NOISE: Partial<Record<keyof Sample, number>> = { rss: 10, heap: 10, threads: 0 };

export interface Verdict {
  name: keyof Sample;
  before: number;
  after: number;
  flat: boolean;
}

/**
 * Compares the second quarter with the last: the first one is the warm-up.
 * @param samples in the order of time, while the load ran
 * @param idle once before the load, and once after it: what must have come back
 */
export function judge(samples: readonly Sample[], idle: readonly [before: Sample, after: Sample]): Verdict[] {
  const quarter = Math.floor(samples.length / 4);
  const of = (part: readonly Sample[], name: keyof Sample) => median(part.map((sample) => sample[name]));
  const grown = (['rss', 'heap', 'threads'] as const).map((name) => {
    const before = of(samples.slice(quarter, 2 * quarter), name);
    const after = of(samples.slice(-quarter), name);
    return { name, before, after, flat: after <= before * (1 + (name === 'threads' ? 0 : GROWTH)) + NOISE[name]! };
  });
  const returned = (['descriptors', 'staged'] as const).map((name) => {
    const [before, after] = [idle[0][name], idle[1][name]];
    return { name, before, after, flat: after <= before };
  });
  return [...grown, ...returned];
}
