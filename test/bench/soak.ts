/**
 * Whether a gateway stays as it is: a mixed load with clients that leave, uploads that are given up and jobs beside it, while
 * memory, descriptors, threads and what lies aside are watched. Ends with 1 when something grows. `--help` tells its options.
 */
import { chmodSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { tempDir } from '../support/temp.js';
import { ask, createHost } from './gateway.js';
import { createLoad, type Load } from './soak-load.js';
import { judge, look, type Sample } from './soak-watch.js';

const usage = `Usage: npm run bench:soak -- [options]

Whether memory, descriptors, threads and what lies aside stay as they are under a mixed load, with clients that leave, uploads
that are given up, and jobs. Ends with 1 when something grows.

  --seconds N        how long (300); less than that tells little of memory
  --operations N     how many at most
  --connections N    at once (16)
  --seed N           chooses what is done (1)
  --dist DIR         another build
  --dir DIR          on the filesystem of this directory
  --help             this text

Example: npm run bench:soak -- --seconds 3600
`;

const { values: args } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '300' },
    operations: { type: 'string', default: 'Infinity' },
    connections: { type: 'string', default: '16' },
    seed: { type: 'string', default: '1' },
    dist: { type: 'string' },
    dir: { type: 'string' },
  },
});
if (args.help) {
  console.log(usage);
  process.exit(0);
}
const bucket = 'soak';
/** So long the sync engine may have to do with the last files of jobs, and sockets to close. */
const RETURN_MS = 60_000;
const SAMPLE_MS = 1000;
const SHORTEST = 40;

/** mulberry32: small, seeded, good enough to choose what is next. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Keeps so many connections busy until the time or the number is over; the number of what was done. */
async function run(load: Load, { seconds, operations }: { seconds: number; operations: number }): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let done = 0;
  const client = async () => {
    while (performance.now() < end && done < operations) {
      done++;
      await load.step();
    }
  };
  await Promise.all(Array.from({ length: Number(args.connections) }, client));
  return done;
}

async function main(): Promise<boolean> {
  if (args.dir !== undefined) process.env['TMPDIR'] = resolve(args.dir);
  const scratch = tempDir('tidegate-soak-');
  chmodSync(scratch, 0o711);
  const dist = resolve(args.dist ?? join(import.meta.dirname, '../..'));
  const host = createHost({ root: join(scratch, 'root'), dist });
  try {
    const subject = await host.gateway('none');
    await ask(subject, 'PUT', `/${bucket}`);
    await ask(subject, 'PUT', `/${bucket}/large`, '', 'x'.repeat(8 << 20));
    const directory = subject.process.path(bucket);
    const seen = async (): Promise<Sample> => look(subject.process.pid, directory, await subject.process.heapMiB());
    // All threads, documents and directories are there from then on.
    const warm = createLoad(subject, bucket, directory, randomFrom(Number(args.seed) + 1));
    await run(warm, { seconds: Math.min(15, Number(args.seconds) / 4), operations: Number(args.operations) });
    warm.close();
    /** When it holds no more than `most`, or does not come back to that. */
    const calm = async (most?: Sample): Promise<Sample> => {
      const end = performance.now() + RETURN_MS;
      for (let before = await seen(); ; ) {
        await sleep(3 * SAMPLE_MS);
        const now = await seen();
        const settled = most
          ? now.descriptors <= most.descriptors && now.staged <= most.staged
          : now.descriptors === before.descriptors;
        if (settled || performance.now() > end) return now;
        before = now;
      }
    };
    const before = await calm();
    const samples: Sample[] = [];
    const load = createLoad(subject, bucket, directory, randomFrom(Number(args.seed)));
    const from = performance.now();
    let running = true;
    const watching = (async () => {
      while (running) {
        samples.push(await seen());
        await sleep(SAMPLE_MS);
      }
    })();
    const done = await run(load, { seconds: Number(args.seconds), operations: Number(args.operations) }).finally(() => {
      running = false;
    });
    await watching;
    load.close();
    const seconds = (performance.now() - from) / 1000;
    const after = await calm(before);
    if (samples.length < SHORTEST) throw new Error(`${samples.length} samples tell nothing: give it more time`);
    console.log(`${done} operations in ${seconds.toFixed(0)} s, ${samples.length} samples`);
    console.log([...load.counts].map(([name, count]) => `${name} ${count}`).join(', '));
    const verdicts = judge(samples, [before, after]);
    for (const { name, before, after, flat } of verdicts)
      console.log(
        `${name.padEnd(12)} ${before.toFixed(1).padStart(12)} → ${after.toFixed(1).padStart(12)}  ${flat ? 'flat' : 'GROWS'}`,
      );
    return verdicts.every(({ flat }) => flat);
  } finally {
    await host.stop();
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
process.exit((await main()) ? 0 : 1);
