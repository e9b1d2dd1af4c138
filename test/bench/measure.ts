/** Measures a load beside its references, in turns, and makes rows of it. */
import type { Durability, Host, Subject } from './gateway.js';
import { calm, cpuSeconds, forgetPeak, peakMiB, sum } from './process.js';
import type { Reference } from './references.js';
import { better, figure, type Limit, median, type Row, type Unit, type Work } from './row.js';
import type { Scale } from './scale.js';
import type { Target } from './signed.js';

export interface Bench {
  scale: Scale;
  host: Host;
  /** The build that is served. */
  dist: string;
  /** A further server, of --against. */
  other?: Target | undefined;
  /** A directory on the filesystem that is measured. */
  scratch: string;
  rows: Row[];
  /** Whether rows of this name are wanted, and time is left. Says so in the table when it is not. */
  wanted(load: string): boolean;
  /** Drops the kernel's caches, where that was asked for. */
  forgetDisk(): void;
  add(row: Row): void;
}

export interface Compared {
  /** Of the load's name; default: none. */
  suffix?: string;
  to: Reference;
  limit?: Limit | undefined;
}

export interface Load {
  load: string;
  unit: Unit;
  durability: Durability;
  /** Of the gateway; default: 1. */
  processes?: number;
  per: Row['cpuUnit'];
  rounds?: number;
  /** Each round meets a gateway that has just been started, and with --drop-caches a kernel that remembers nothing. */
  cold?: boolean;
  /** Makes what the load needs, and answers what is measured. */
  ready(subject: Subject): Promise<() => Promise<Work>>;
  /** One row each; asked only when the load is wanted. */
  compared(gateway: Required<Subject>): Promise<readonly Compared[]>;
  note?: string | undefined;
}

/** What a load did to the gateway, besides its work. */
export interface Cost {
  cpu: number;
  rssMiB: number;
  stallMs: number;
}

/** Runs a load on the gateway, and says what it cost. */
async function costOf(
  subject: Required<Subject>,
  { load, per }: Load,
  run: () => Promise<Work>,
): Promise<{ work: Work; cost: Cost }> {
  const pids = subject.process.pids();
  pids.forEach(forgetPeak);
  await subject.process.watch(load);
  const before = sum(pids, cpuSeconds);
  const work = await run();
  const used = sum(pids, cpuSeconds) - before;
  const { p99 } = await subject.process.watched();
  const cpu = per === 'us/op' ? (used * 1e6) / work.operations : (used * 1e3) / (work.bytes / 1e9);
  return { work, cost: { cpu, rssMiB: peakMiB(pids), stallMs: p99 } };
}

/**
 * Gateway, reference, gateway, reference …: what else the machine does meets all of them. A load that fails is a row that
 * says so; the others go on.
 */
export async function measure(bench: Bench, load: Load): Promise<void> {
  if (!bench.wanted(load.load)) return;
  try {
    const compared = await load.compared(await bench.host.gateway(load.durability, load.processes));
    const rounds = await inTurns(bench, load, compared);
    for (const [index, one] of compared.entries()) bench.add(rowOf(load, one, rounds, index));
  } catch (error) {
    absolute(bench, load.load, null, load.unit, undefined, { note: `${failure}${(error as Error).message}` });
  }
}

/** How the note of a row begins whose load failed. */
export const failure = 'failed: ';

interface Rounds {
  values: number[];
  costs: Cost[];
  /** Of each reference. */
  references: number[][];
  others: number[];
}

async function inTurns(bench: Bench, load: Load, compared: readonly Compared[]): Promise<Rounds> {
  const { host, other, scale } = bench;
  const measured: Rounds = { values: [], costs: [], references: compared.map(() => []), others: [] };
  const value = (work: Work) => figure(work, load.unit);
  for (let round = 0; round < (load.rounds ?? scale.rounds); round++) {
    if (load.cold) {
      await host.stop();
      bench.forgetDisk();
    }
    const subject = await host.gateway(load.durability, load.processes);
    if (!load.cold && round === 0) await warmUp(scale, subject, load);
    const run = await load.ready(subject);
    await calm(subject.process.pids, scale.patience);
    const { work, cost } = await costOf(subject, load, run);
    measured.values.push(value(work));
    measured.costs.push(cost);
    for (const [index, { to }] of compared.entries()) {
      if (!('run' in to)) continue;
      if (load.cold) bench.forgetDisk();
      measured.references[index]!.push(value(await to.run()));
    }
    if (other) measured.others.push(value(await (await load.ready(other))()));
  }
  return measured;
}

const warmed = new Set<number>();

/** Code that has just been loaded is slow. In a quick run there is time for it once for each process. */
async function warmUp({ quick }: Scale, subject: Required<Subject>, load: Load): Promise<void> {
  const { pid } = subject.process;
  if (quick && warmed.has(pid)) return;
  warmed.add(pid);
  await (await load.ready(subject))();
}

function rowOf(load: Load, { to, suffix = '', limit }: Compared, measured: Rounds, index: number): Row {
  const { values, costs, others } = measured;
  const found = measured.references[index]!;
  const reference = found.length > 0 ? median(found) : null;
  const note = [load.note, 'missing' in to ? to.missing : undefined].filter((text) => text !== undefined).join('; ');
  // The limits of a ratio say nothing about a value.
  const { floor, aim } = (reference !== null && limit) || { floor: null, aim: null };
  return {
    load: load.load + suffix,
    value: median(values),
    unit: load.unit,
    reference,
    referenceName: to.name,
    // Rounds are pairs: the median of their ratios is not moved by a round that was slow for both.
    ratio: reference === null ? null : median(found.map((other, round) => values[round]! / other)),
    floor,
    aim,
    better: better(load.unit),
    cpu: median(costs.map(({ cpu }) => cpu)),
    cpuUnit: load.per,
    rssMiB: Math.max(...costs.map(({ rssMiB }) => rssMiB)),
    stallMs: Math.max(...costs.map(({ stallMs }) => stallMs)),
    ...(others.length > 0 ? { other: median(others) } : {}),
    ...(note ? { note } : {}),
  };
}

/** A row whose limits hold for the value itself. */
export function absolute(
  bench: Bench,
  load: string,
  value: number | null,
  unit: Unit,
  limit?: Limit,
  rest: Partial<Row> = {},
): void {
  bench.add({
    load,
    value,
    unit,
    reference: null,
    referenceName: '',
    ratio: null,
    floor: limit?.floor ?? null,
    aim: limit?.aim ?? null,
    better: better(unit),
    cpu: null,
    cpuUnit: 'us/op',
    rssMiB: null,
    stallMs: null,
    ...rest,
  });
}
