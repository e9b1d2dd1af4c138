/** The run of the random test: lanes that work beside each other, gateways that are killed, and quiet points in between. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import * as assert from 'uvu/assert';
import { openFeedReader } from '../../sync/feed-reader.js';
import { feedDirectory } from '../../sync/places.js';
import type { SyncState } from '../../sync/types.js';
import { command, type Gateway, startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';
import { until } from '../support/time.js';
import { syncBucket } from '../support/two-doors.js';
import { checkCatalog, checkEvents, createReplay, differences, list } from './checks.js';
import { type Lane, operate } from './doors.js';
import { type Content, createDice, createModel } from './model.js';

export interface RunOptions {
  seed: number;
  operations: number;
  /** Gateways are killed so often, spread over the run. */
  kills: number;
  gateways: number;
  /** What jobs write is seen after a sync only (`--visibility synced`). */
  synced?: boolean;
  lanes?: number;
  /** Of the gateways, beside those that make a test quick. */
  flags?: readonly string[];
}

export interface Figures {
  operations: number;
  kills: number;
  events: number;
  quietPoints: number;
  objects: number;
  /** Longest time from the last change until everything was told, milliseconds. */
  slowest: number;
}

const none = (what: string, found: readonly string[]): void => {
  if (found.length > 0) throw new Error(`${what}:\n${found.slice(0, 10).join('\n')}`);
};

/** Longer than a leader is waited for that was killed between taking over and writing who it is (`leaseTimes`: 31 s). */
const CONVERGED_MS = 45_000;
/** Longer than anything that was seen twice would take to be told twice. */
const TRAILING_MS = 700;

export async function runWorlds(options: RunOptions): Promise<Figures> {
  const { seed, operations, kills, gateways: count, synced = false, lanes: laneCount = 5, flags = [] } = options;
  const dice = createDice(seed);
  const allFlags = ['--log-level', 'warn', '--sync-quiet', '0s', '--durability', 'none', ...flags];
  const first = await startGateway({ flags: allFlags });
  const { root } = first;
  const start = () => startGateway({ root, flags: allFlags });
  const gateways: (Gateway | undefined)[] = [first];
  while (gateways.length < count) gateways.push(await start());
  const clients = gateways.map((gateway) => sdk(gateway!, { requestHandler: { requestTimeout: 30_000 } }));
  const bucket = 'worlds';
  await clients[0]!.send(new s3.CreateBucketCommand({ Bucket: bucket }));
  const state = (): SyncState => JSON.parse(readFileSync(join(root, '.tidegate/syncs', `${bucket}.json`), 'utf8'));
  const leader = (other?: string) =>
    until('a leader', CONVERGED_MS, () => {
      const since = existsSync(join(root, '.tidegate/syncs', `${bucket}.json`)) ? state().leader?.since : undefined;
      return since === other ? undefined : since;
    });
  if (synced) {
    const since = await leader();
    await command('tidegate', ['bucket', 'set', bucket, '--visibility', 'synced'], root);
    // Until it is noticed, files of jobs are taken up as before.
    await leader(since);
  }
  const path = first.bucketPath(bucket);
  let restarting: Promise<unknown> = Promise.resolve();
  const output: string[] = [];

  const lanes = Array.from({ length: laneCount }, (_, i): Lane => {
    const own = createDice(seed * 31 + i);
    return {
      top: `l${i}/`,
      dice: own,
      model: createModel(synced),
      bucket,
      path,
      client() {
        const up = clients.filter((_, at) => gateways[at]);
        return up.length > 0 ? own.of(up) : clients[0]!;
      },
      settled: async () => {
        // What was killed is quite gone, and its successor is there.
        await new Promise((resolve) => setTimeout(resolve, 20));
        await restarting;
      },
    };
  });

  async function kill(at: number): Promise<void> {
    const gateway = gateways[at];
    if (!gateway) return;
    gateways[at] = undefined;
    const old = clients[at]!;
    await gateway.kill9();
    output.push(gateway.output());
    gateways[at] = await start();
    clients[at] = sdk(gateways[at]!, { requestHandler: { requestTimeout: 30_000 } });
    old.destroy();
  }

  const sync = () => {
    const [name] = readdirSync(join(root, '.tidegate/sync')).filter((each) => !each.startsWith('.'));
    return join(root, '.tidegate/sync', name!);
  };
  const expected = () => new Map<string, Content>(lanes.flatMap(({ model }) => [...model.keys]));
  const replay = createReplay();
  const reader = await until('the feed', 20_000, () => {
    try {
      return openFeedReader(feedDirectory(sync()));
    } catch {
      return undefined;
    }
  });
  const figures: Figures = { operations: 0, kills: 0, events: 0, quietPoints: 0, objects: 0, slowest: 0 };

  /** Uploads at once, and of what jobs have put there nothing. */
  async function checkVisible(): Promise<void> {
    const shown = await list(clients.find((_, at) => gateways[at])!, bucket, 1000);
    const wrong: string[] = [];
    for (const [key, { hidden = false }] of expected()) {
      if (hidden !== 'perhaps' && shown.has(key) === hidden) wrong.push(`${key} is ${hidden ? 'shown' : 'not shown'}`);
      shown.delete(key);
    }
    none('before the sync', [...wrong, ...[...shown.keys()].map((key) => `${key} should not be there`)]);
  }

  async function publish(): Promise<void> {
    const { status } = await syncBucket(gateways.find((gateway) => gateway)!, bucket);
    assert.is(status, '200');
  }

  async function quiet(): Promise<void> {
    const wanted = expected();
    const since = performance.now();
    let left: string[] = [];
    if (synced) await checkVisible();
    await until('all is told', CONVERGED_MS, async () => {
      if (synced) await publish();
      replay.advance(reader);
      left = differences(wanted, replay.keys);
      return left.length === 0 || undefined;
    }).catch((error) => {
      const keys = new Set(left.map((text) => text.slice(0, text.search(/ (is missing|has|should)/))));
      const context = replay.fresh.filter(({ key }) => keys.has(key)).map((event) => JSON.stringify(event));
      throw new Error(
        `${error}: ${left.length} of ${wanted.size}\n${left.slice(0, 10).join('\n')}\n${context.slice(0, 40).join('\n')}`,
      );
    });
    figures.slowest = Math.max(figures.slowest, Math.round(performance.now() - since));
    await new Promise((resolve) => setTimeout(resolve, TRAILING_MS));
    replay.advance(reader);
    none('what comes after it', differences(wanted, replay.keys));
    const context = replay.fresh.filter(({ key }) => replay.wrong.includes(key)).map((event) => JSON.stringify(event));
    if (context.length > 0) throw new Error(`removals of what was not there:\n${context.join('\n')}`);
    const touched = new Map(lanes.flatMap(({ model }) => [...model.touched]));
    checkEvents(
      replay.fresh,
      lanes.flatMap(({ model }) => model.asked),
      touched,
    );
    const client = clients.find((_, at) => gateways[at])!;
    let wrong: string[] = [];
    // A file that was renamed or had a chmod may be digested once more, without an event.
    await until('the listing', 10_000, async () => {
      wrong = differences(wanted, await list(client, bucket, dice.of([1000, 1000, 7, 50])), true);
      return wrong.length === 0 || undefined;
    }).catch(() => none('the listing', wrong));
    const bytes = [...wanted.values()].reduce((sum, { body }) => sum + body.length, 0);
    await until('the counts', 10_000, () => {
      const { totals } = state();
      return (totals?.objects === wanted.size && totals.bytes === bytes) || undefined;
    });
    replay.fresh.length = 0;
    for (const content of wanted.values()) delete content.hidden;
    for (const { model } of lanes) {
      model.touched.clear();
      model.asked.length = 0;
    }
    figures.quietPoints++;
    figures.objects = wanted.size;
  }

  async function stopAndCompare(): Promise<void> {
    for (const gateway of gateways) {
      const code = await gateway!.stop();
      output.push(gateway!.output());
      assert.is(code, 0);
    }
    await checkCatalog(sync(), expected());
  }

  try {
    const rounds = Math.max(1, Math.ceil(Math.max(kills / 5, operations / 1500)));
    const killsIn = (round: number) =>
      Math.floor(((round + 1) * kills) / rounds) - Math.floor((round * kills) / rounds);
    for (let round = 0; round < rounds; round++) {
      let left = Math.floor(operations / rounds);
      figures.operations += left;
      const stretch = Math.floor(left / (killsIn(round) + 1));
      let nextKill = left - stretch;
      let killsLeft = killsIn(round);
      await Promise.all(
        lanes.map(async (lane) => {
          while (left > 0) {
            left--;
            if (killsLeft > 0 && left <= nextKill) {
              killsLeft--;
              nextKill -= stretch;
              figures.kills++;
              restarting = restarting.then(() => kill(dice.below(count)));
              // Sometimes a lane goes on with what needs no gateway, sometimes all wait.
            }
            await operate(lane);
          }
        }),
      );
      await restarting;
      await quiet();
      if (round % 4 === 3 || round === rounds - 1) {
        await stopAndCompare();
        if (round === rounds - 1) break;
        for (let at = 0; at < count; at++) {
          gateways[at] = await start();
          clients[at]!.destroy();
          clients[at] = sdk(gateways[at]!, { requestHandler: { requestTimeout: 30_000 } });
        }
      }
    }
    figures.events = replay.read;
    const said = output
      .join('')
      .split('\n')
      .filter((line) => /"level":"(error|fatal)"|uncaught/i.test(line));
    assert.equal(said.slice(0, 3), [], 'nothing in the log');
    return figures;
  } catch (error) {
    const said = [...output, ...gateways.map((gateway) => gateway?.output() ?? '')].join('').split('\n');
    throw new Error(
      `seed ${seed}, after about ${figures.operations} operations and ${figures.kills} kills: ${(error as Error).message}\n${said.slice(-15).join('\n')}`,
    );
  } finally {
    for (const client of clients) client.destroy();
    for (const gateway of gateways) await gateway?.kill9().catch(() => {});
  }
}
