/**
 * A filesystem that takes a millisecond for each call, as those of clusters do: there throughput is what waits at the same
 * time. GlusterFS on loopback with its `debug/delay-gen`, beside as many bare threads; needs root, so only when asked for.
 */
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { haveGluster, startVolume } from '../../support/gluster.js';
import { ask, createHost, type Subject } from '../gateway.js';
import { metadata, numbered } from '../ground.js';
import { limits } from '../limits.js';
import { absolute, type Bench, failure } from '../measure.js';
import { cpuSeconds, forgetPeak, peakMiB } from '../process.js';
import { bareThreads, type Reference } from '../references.js';
import { figure, median, type Work } from '../row.js';
import { signedCall } from '../signed.js';
import { drive } from '../wire.js';

const HEADS = 64;
/** Of a directory, all in one page: by as many clients as there are threads, and by one whose page all of them look at. */
const PAGE = 50;
const LARGE = 500;
const name = 'bench-slow';

interface Row {
  load: string;
  workers: number;
  clients: number;
  floor: number | null;
  /** Of a page; undefined: HEAD. */
  keys: number | undefined;
}

export async function slow(bench: Bench): Promise<void> {
  const rows: Row[] = [1, 4, 16, 32].flatMap((workers) => {
    const named = (what: string) => `${what}, 1 ms a call, ${workers} worker${workers > 1 ? 's' : ''}`;
    const [clients, floor] = [2 * workers, limits.slow.floor];
    return [
      { workers, clients, floor, keys: undefined, load: named('HEAD') },
      { workers, clients, floor, keys: PAGE, load: named(`LIST page of ${PAGE}`) },
      { workers, clients: 1, floor: null, keys: LARGE, load: named(`LIST page of ${LARGE}, one client`) },
    ];
  });
  const wanted = rows.filter(({ load }) => bench.wanted(load));
  if (wanted.length === 0) return;
  if (!haveGluster()) {
    for (const { load } of wanted)
      absolute(bench, load, null, 'op/s', undefined, { note: 'no root, FUSE or GlusterFS' });
    return;
  }
  const volume = await startVolume();
  try {
    const [quick, delayed] = [await volume.mount(), await volume.mount({ delayMicros: 1000 })];
    const directory = join(delayed, 'bucket');
    mkdirSync(join(quick, 'bucket'));
    chownSync(join(quick, 'bucket'), 60199, 60199);
    const root = join(bench.scratch, 'slow-root');
    mkdirSync(root, { mode: 0o755 });
    for (const workers of new Set(wanted.map((row) => row.workers))) {
      const host = createHost({
        root: join(root, `${workers}`),
        dist: bench.dist,
        flags: ['--workers', `${workers}`, '--sync', 'off'],
        fspaths: delayed,
      });
      mkdirSync(join(root, `${workers}`), { mode: 0o755 });
      try {
        const subject = await host.gateway('none');
        await fill(subject, directory);
        for (const row of wanted.filter((each) => each.workers === workers)) await one(bench, subject, directory, row);
      } catch (error) {
        for (const { load } of wanted.filter((each) => each.workers === workers))
          absolute(bench, load, null, 'op/s', undefined, { note: `${failure}${(error as Error).message}` });
      } finally {
        await host.stop();
      }
    }
  } finally {
    await volume.stop();
  }
}

/** The bucket, and objects with metadata in it. */
async function fill(subject: Required<Subject>, directory: string): Promise<void> {
  await ask(subject, 'PUT', `/${name}`, '', '', { 'x-ddn-specified-directory': directory });
  const keys = [...numbered('k', HEADS), ...[PAGE, LARGE].flatMap((count) => numbered(`${count}/f`, count))];
  const put = (key: string) =>
    signedCall(subject, { method: 'PUT', path: `/${name}/${key}`, headers: metadata }, Buffer.alloc(100));
  await drive(subject, keys.map(put), { connections: 8 });
}

async function one(
  bench: Bench,
  subject: Required<Subject>,
  directory: string,
  { load, workers, clients, floor, keys }: Row,
): Promise<void> {
  const seconds = Math.max(2, bench.scale.seconds);
  const calls =
    keys === undefined
      ? numbered('k', HEADS).map((key) => signedCall(subject, { method: 'HEAD', path: `/${name}/${key}` }))
      : [signedCall(subject, { method: 'GET', path: `/${name}`, query: `list-type=2&prefix=${keys}%2F` })];
  const run = () => drive(subject, calls, { connections: clients, seconds });
  const to: Reference =
    keys === undefined
      ? await bareThreads(workers, ['heads', directory, seconds], HEADS)
      : await bareThreads(workers, ['pages', join(directory, `${keys}`), seconds]);
  const rate = (work: Work) => figure(work, 'op/s');
  const { pid } = subject.process;
  await run();
  const [ours, bares, cpus]: number[][] = [[], [], []];
  forgetPeak(pid);
  for (let round = 0; round < bench.scale.rounds; round++) {
    const before = cpuSeconds(pid);
    const work = await run();
    cpus!.push(((cpuSeconds(pid) - before) * 1e6) / work.operations);
    ours!.push(rate(work));
    if ('run' in to) bares!.push(rate(await to.run()));
  }
  const compared = bares!.length > 0;
  bench.add({
    load,
    value: median(ours!),
    unit: 'op/s',
    reference: compared ? median(bares!) : null,
    referenceName: to.name,
    ratio: compared ? median(ours!.map((value, i) => value / bares![i]!)) : null,
    floor: compared ? floor : null,
    aim: null,
    better: 'higher',
    cpu: median(cpus!),
    cpuUnit: 'us/op',
    rssMiB: peakMiB([pid]),
    stallMs: null,
    ...('missing' in to && { note: to.missing }),
  });
}
