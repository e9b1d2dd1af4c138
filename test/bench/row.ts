/** The words of the benchmark: what is measured, and what a row says. */

/** What one run of a load has done. */
export interface Work {
  operations: number;
  bytes: number;
  seconds: number;
}

export type Unit = 'op/s' | 'us' | 'ms' | 's' | 'MB/s' | 'ms/GB' | 'MiB';

/** The least that must be reached, and what is aimed at: of the ratio where there is a reference, else of the value. */
export interface Limit {
  floor: number;
  aim: number | null;
}

export interface Row {
  load: string;
  /** Median of the rounds; null: not measured, `note` says why. */
  value: number | null;
  unit: Unit;
  /** The reference in the same unit, measured beside it; null: none, the limits hold for the value. */
  reference: number | null;
  referenceName: string;
  ratio: number | null;
  floor: number | null;
  aim: number | null;
  better: 'higher' | 'lower';
  /** What the gateway's process used, all its threads: µs per operation, or ms per GB (10^9 bytes). */
  cpu: number | null;
  cpuUnit: 'us/op' | 'ms/GB';
  /** Peak resident memory of the gateway while this ran. */
  rssMiB: number | null;
  /** 99th percentile of how much later than due the gateway's main thread came to a timer of 1 ms. */
  stallMs: number | null;
  /** The same load on the server given by --against. */
  other?: number | null;
  note?: string;
}

/** `{machine, commit, date, rows}`: what --json writes. */
export interface Report {
  machine: string;
  commit: string;
  date: string;
  command: string;
  rows: Row[];
}

export const better = (unit: Unit): Row['better'] => (unit === 'op/s' || unit === 'MB/s' ? 'higher' : 'lower');

/** One run as a figure. Seconds, ms and us are those of one operation. */
export function figure({ operations, bytes, seconds }: Work, unit: Unit): number {
  switch (unit) {
    case 'op/s':
      return operations / seconds;
    case 'MB/s':
      return bytes / 1e6 / seconds;
    case 's':
      return seconds / operations;
    case 'ms':
      return (seconds * 1e3) / operations;
    case 'us':
      return (seconds * 1e6) / operations;
    default:
      throw new Error(`${unit} is not made from work done`);
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Whether a row keeps its floor (or aim); undefined where there is none or nothing was measured. */
export function reaches(row: Row, what: 'floor' | 'aim'): boolean | undefined {
  const limit = row[what];
  const measured = row.reference === null ? row.value : row.ratio;
  if (limit === null || measured === null) return undefined;
  return row.better === 'higher' ? measured >= limit : measured <= limit;
}
