/**
 * What the sync engine costs and how soon it tells: the time from a write to the event in the feed, through both doors, and
 * PUTs per second with the engine and without it (`--sync off` records nothing).
 *
 *     node dist/test/bench/events.js [ROUNDS] [PUTS]
 *
 * The quiet period is 0, so what is measured is the engine: gathering by the watcher (50 ms) and the rest of a directory
 * (200 ms) are in the time of a file. The two gateways take turns, so that a machine under load slows both; the times mean
 * something on a quiet machine only.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as s3 from '@aws-sdk/client-s3';
import { openFeedReader } from '../../sync/feed-reader.js';
import { feedDirectory } from '../../sync/places.js';
import { startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';
import { withTimeout } from '../support/time.js';
import { openTwoDoors } from '../support/two-doors.js';

const [rounds = 200, puts = 1000] = process.argv.slice(2).map(Number);
const LONGEST_MS = 30_000;
const TURNS = 7;
const AT_ONCE = 16;

const percentile = (sorted: readonly number[], p: number): string =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]!.toFixed(1);

async function latency(): Promise<void> {
  const world = await openTwoDoors();
  mkdirSync(world.file('d'));
  const sync = join(world.gateway.root, '.tidegate/sync');
  const reader = openFeedReader(feedDirectory(join(sync, readdirSync(sync)[0]!)));
  let read = 0;
  const told = async (key: string): Promise<void> => {
    for (;;) {
      const { events, last } = reader.read(read, 1000);
      read = last;
      if (events.some((event) => event.key === key)) return;
      await sleep(1);
    }
  };
  const measure = async (door: string, write: (key: string) => Promise<void> | void) => {
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const key = `d/${door}${i}`;
      // Not in step with what the engine does now and then.
      await sleep(20 + Math.random() * 60);
      await write(key);
      const since = performance.now();
      await withTimeout(`the event of ${key}`, LONGEST_MS, told(key));
      times.push(performance.now() - since);
    }
    times.sort((a, b) => a - b);
    console.log(
      `${door}: median ${percentile(times, 0.5)} ms until its event, p99 ${percentile(times, 0.99)} ms, ${rounds} times`,
    );
  };
  await measure('file', (key) => writeFileSync(world.file(key), key));
  await measure('PUT', (key) => world.put(key, key));
  await world.end();
}

/** PUTs of 1 KiB per second. */
async function rate(client: s3.S3Client, prefix: string): Promise<number> {
  const Body = Buffer.alloc(1024, 'x');
  let next = 0;
  const begun = performance.now();
  const lane = async () => {
    for (let i = next++; i < puts; i = next++) {
      await client.send(new s3.PutObjectCommand({ Bucket: 'cost', Key: `${prefix}/${i % 10}/${i}`, Body }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return (puts / (performance.now() - begun)) * 1000;
}

async function cost(): Promise<void> {
  const flags = (sync: string) => ['--log-level', 'warn', '--durability', 'none', '--sync', sync];
  const gateways = [await startGateway({ flags: flags('on') }), await startGateway({ flags: flags('off') })] as const;
  const clients = gateways.map((gateway) => sdk(gateway));
  for (const client of clients) await client.send(new s3.CreateBucketCommand({ Bucket: 'cost' }));
  const rates: [number[], number[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    for (const which of [0, 1] as const) rates[which].push(await rate(clients[which]!, `t${turn}`));
  }
  // The first turn warms both up.
  const [on, off] = rates.map((all) =>
    Number(
      percentile(
        all.slice(1).sort((a, b) => a - b),
        0.5,
      ),
    ),
  );
  console.log(`PUT of 1 KiB, ${AT_ONCE} at once: ${on!.toFixed(0)}/s with the engine, ${off!.toFixed(0)}/s without`);
  console.log(`ratio: ${(on! / off!).toFixed(2)}`);
  for (const client of clients) client.destroy();
  for (const gateway of gateways) await gateway.stop();
}

await latency();
await cost();
