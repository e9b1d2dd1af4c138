/** What is kept of buckets that are gone, and when it is believed that they are. */
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import { makeAside, syncDirectory } from '../../sync/places.js';
import { readState, requestRun } from '../../sync/runs.js';
import { createSweep } from '../../sync/sweep.js';
import type { SyncRequest } from '../../sync/types.js';
import { tempDir } from '../support/temp.js';

const all: SyncRequest = { ops: ['WRITE'], prefix: '', dryRun: false };
const named = (name: string, created = '2026-01-02T03:04:05.678Z') => ({ name, created });
type Named = ReturnType<typeof named>;

/** An area in which something is kept of each of these, as buckets or without. */
async function openArea(kept: readonly Named[]) {
  const root = tempDir();
  const { documents } = createMemoryStorage();
  const warned: string[] = [];
  const told: object[] = [];
  let buckets: Named[] = [...kept];
  const area = {
    root,
    documents,
    warned,
    told,
    stopping: false,
    /** Those that a listing tells of. */
    list: (...now: Named[]) => {
      buckets = now;
    },
    /** Files that are queued events to whoever reads them. */
    file: (bucket: Named) => join(syncDirectory(root, bucket), 'inbox', 'queued'),
    keep: async (bucket: Named) => {
      mkdirSync(join(syncDirectory(root, bucket), 'inbox'), { recursive: true });
      writeFileSync(area.file(bucket), 'an event');
      await requestRun(documents, bucket, all, '');
    },
    /** Whether all of it is there; undefined: a part of it. */
    has: async (bucket: Named) => {
      const found = [existsSync(area.file(bucket)), (await readState(documents, bucket)) !== undefined];
      return found.every(Boolean) ? true : found.some(Boolean) ? undefined : false;
    },
    drop: async (bucket: Named) => {
      buckets = buckets.filter((each) => each !== bucket);
      await documents.update('buckets', bucket.name, () => undefined);
    },
    restore: async (bucket: Named) => {
      buckets = [...buckets, bucket];
      await documents.create('buckets', bucket.name, bucket);
    },
    /** What `sweep` takes for the time. */
    later: 0,
    /** An hour after the one before. */
    sweep: () => {
      area.later += 3_600_000;
      return area.look();
    },
    look: createSweep({
      root,
      documents,
      listBuckets: async () => buckets,
      stopping: (): boolean => area.stopping,
      now: (): number => Date.now() + area.later,
      log: {
        info: (details) => void told.push(details),
        warn: (_, message) => void warned.push(message),
      },
    }),
  };
  for (const bucket of kept) {
    await documents.create('buckets', bucket.name, bucket);
    await area.keep(bucket);
  }
  return area;
}

test('what is kept of a bucket that is gone goes when that is seen twice, that of others stays', async () => {
  const [gone, there] = [named('gone.b'), named('there')];
  const area = await openArea([gone, there]);
  await area.drop(gone);
  await area.sweep();
  assert.is(await area.has(gone), true, 'seen once');
  for (let i = 0; i < 5; i++) await area.look();
  assert.is(await area.has(gone), true, 'seen again and again in one moment');
  await area.sweep();
  assert.is(await area.has(gone), false);
  assert.is(await area.has(there), true);
  assert.equal(area.told, [{ removed: ['gone.b.20260102T030405678Z'] }]);
  assert.equal(readdirSync(join(area.root, '.tidegate/sync')), ['there.20260102T030405678Z']);
  await area.sweep();
  assert.is(area.told.length, 1);
  assert.equal(area.warned, []);
});

test('one that was made anew keeps its own, and loses what was kept of the other', async () => {
  const [old, there] = [named('b'), named('there')];
  const area = await openArea([old, there]);
  await area.drop(old);
  const anew = named('b', '2026-02-02T00:00:00.000Z');
  area.list(anew, there);
  await area.documents.create('buckets', 'b', anew);
  await area.keep(anew);
  for (let i = 0; i < 2; i++) await area.sweep();
  assert.not.ok(existsSync(area.file(old)));
  assert.is(await area.has(anew), true);
});

test('documents that are away for a while cost nothing', async () => {
  const [one, two] = [named('one'), named('two')];
  const area = await openArea([one, two]);
  const stays = async (why: string) => {
    await area.sweep();
    assert.is(await area.has(one), true, why);
  };
  await area.drop(one);
  await area.drop(two);
  await stays('no bucket at all');
  await stays('still none');
  await area.restore(two);
  await stays('one is missing');
  await area.restore(one);
  await stays('it is back');
  await area.drop(one);
  await stays('missing again: once');
  await area.drop(two);
  await stays('between two looks nobody could tell');
  await area.restore(two);
  await stays('so this is the first one again');
  await area.restore(one);
  area.list(two);
  for (const why of ['left out', 'left out again']) await stays(`${why}, but there when it is asked for by name`);
  assert.equal(area.told, []);
});

test('whose document cannot be read is not taken for gone, and others do not wait for it', async () => {
  const buckets = [named('damaged'), named('gone'), named('stuck'), named('there')];
  const [damaged, gone, stuck, there] = buckets as [Named, Named, Named, Named];
  const area = await openArea(buckets);
  for (const each of [damaged, gone, stuck]) await area.drop(each);
  const { get, update } = area.documents;
  area.documents.get = async (kind, id) => {
    if (kind === 'buckets' && id === 'damaged') throw new Error('no JSON');
    return get(kind, id);
  };
  area.documents.update = async (kind, id, change) => {
    if (id === 'stuck') throw new Error('no space');
    return update(kind, id, change);
  };
  for (let i = 0; i < 2; i++) await area.sweep();
  assert.is(await area.has(damaged), true);
  assert.is(await area.has(gone), false);
  assert.is(await area.has(there), true);
  assert.is(area.warned.length, 2);
  for (const [i, name] of ['damaged', 'stuck'].entries()) assert.match(area.warned[i]!, `of the bucket ${name}, which`);
  Object.assign(area.documents, { get, update });
  await area.sweep();
  assert.is(await area.has(stuck), false, 'the next time');
});

test("a document that is no state of any bucket is in nobody's way, and one that stops leaves the rest", async () => {
  const [gone, there] = [named('gone'), named('there')];
  const area = await openArea([gone, there]);
  for (const [i, odd] of [{}, { bucketCreated: null }, { bucketCreated: 5 }, null].entries())
    await area.documents.create('syncs', `odd${i}`, odd);
  await area.drop(gone);
  await area.sweep();
  area.stopping = true;
  await area.sweep();
  assert.is(await area.has(gone), true);
  area.stopping = false;
  for (let i = 0; i < 2; i++) await area.sweep();
  assert.is(await area.has(gone), false);
  assert.equal(area.warned, []);
});

test('what was left aside goes when nobody can use it any more', async () => {
  const area = await openArea([named('there')]);
  const aside = makeAside(join(area.root, '.tidegate/sync'));
  await area.look();
  assert.ok(existsSync(aside));
  const old = Date.now() / 1000 - 2 * 3600;
  utimesSync(aside, old, old);
  await area.look();
  assert.not.ok(existsSync(aside));
});

test('counts of months that are over go, also when the buckets cannot be listed', async () => {
  const area = await openArea([named('there')]);
  const usage = join(area.root, '.tidegate/usage');
  const now = new Date().toISOString().slice(0, 7);
  for (const month of ['2020-01', now]) mkdirSync(join(usage, month), { recursive: true });
  area.documents.list = () => Promise.reject(new Error('the disk does not answer'));
  await area.look();
  assert.equal(readdirSync(usage), [now]);
  assert.equal(area.warned, ['what is kept of buckets that are gone cannot be removed, to be tried again']);
});

test.run();
