// timeout: 180
/** Who writes something down for a leader is heard, also where nothing has happened for so long that nobody looks. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createBell, createBellHearer } from '../../sync/bells.js';
import { openFeedReader } from '../../sync/feed-reader.js';
import { hostHash } from '../../sync/inbox.js';
import { feedDirectory } from '../../sync/places.js';
import type { SyncState } from '../../sync/types.js';
import { startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const test = suite('bells');

test('each bucket is heard once for any number of rings, and again for later ones', async () => {
  const root = tempDir();
  const [bell, hearer, other] = [createBell(root), createBellHearer(root), createBellHearer(root)];
  assert.equal([...hearer.hear()], []);
  for (let i = 0; i < 1000; i++) bell.ring({ name: i % 2 === 0 ? 'even' : 'odd' });
  const heard = await until('the first ring', 2_000, () => {
    const names = hearer.hear();
    return names.size > 0 ? names : undefined;
  });
  assert.equal([...heard].sort(), ['even', 'odd']);
  assert.equal([...hearer.hear()], []);
  bell.ring({ name: 'late' });
  assert.equal(await until('the next', 2_000, () => [...hearer.hear()][0]), 'late');
  bell.ring({ name: 'last' });
  await bell.close();
  await until('the last', 2_000, () => hearer.hear().has('last') || undefined);
  assert.equal([...other.hear()].sort(), ['even', 'last', 'late', 'odd'], 'who listens later hears all');
});

test('a bell does not grow, and goes when its gateway has ended', async () => {
  const root = tempDir();
  const [bell, hearer] = [createBell(root), createBellHearer(root)];
  bell.ring({ name: 'x' });
  await until('a ring', 2_000, () => hearer.hear().has('x') || undefined);
  const directory = join(root, '.tidegate/bells');
  const [file] = readdirSync(directory);
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 10_000; i++) bell.ring({ name: `bucket-number-${i}` });
    await until('all of them', 5_000, () => hearer.hear().size > 0 || undefined);
    await pause(200);
    hearer.hear();
  }
  assert.ok(statSync(join(directory, file!)).size < 2 << 20);

  const child = spawn('true');
  await once(child, 'exit');
  writeFileSync(join(directory, `${hostHash}-${child.pid}-00000000.bell`), 'of-one-that-died\n');
  assert.ok(hearer.hear().has('of-one-that-died'));
  hearer.hear();
  assert.equal(readdirSync(directory), [file]);
});

test('a request through another gateway wakes the leader of a bucket in which nothing has happened', async () => {
  const flags = ['--log-level', 'warn', '--durability', 'none', '--sync-quiet', '0s'];
  const first = await startGateway({ flags });
  const { root } = first;
  const client = sdk(first);
  const buckets = ['idle-a', 'idle-b', 'idle-c', 'idle-d'];
  for (const Bucket of buckets) await client.send(new CreateBucketCommand({ Bucket }));
  const state = (bucket: string): SyncState | undefined => {
    try {
      return JSON.parse(readFileSync(join(root, '.tidegate/syncs', `${bucket}.json`), 'utf8'));
    } catch {
      return undefined;
    }
  };
  for (const each of buckets) await until('the first scan', 30_000, () => state(each)?.lastFullScan);
  const second = await startGateway({ root, flags });
  const elsewhere = sdk(second);
  await pause(12_000);
  assert.ok(buckets.every((each) => state(each)!.leader?.pid === first.pid));
  const begun = Date.now();
  await Promise.all(buckets.map((Bucket) => elsewhere.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))));
  const names = readdirSync(join(root, '.tidegate/sync'));
  for (const each of buckets) {
    const name = names.find((one) => one.startsWith(`${each}.`))!;
    const feed = openFeedReader(feedDirectory(join(root, '.tidegate/sync', name)));
    await until(`an event in ${each}`, 20_000, () => (feed.newest() > 0 ? true : undefined));
  }
  const ms = Date.now() - begun;
  assert.ok(ms < 2_500, `told after ${ms} ms`);
  client.destroy();
  elsewhere.destroy();
  assert.is(await second.stop(), 0);
  assert.is(await first.stop(), 0);
});

test.run();
