/** The syncs that are asked for, as all processes of a root see them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import { createSyncControl } from '../../sync/control.js';
import {
  findRun,
  forgetState,
  MAX_QUEUED,
  noCounts,
  readState,
  requestRun,
  statesKept,
  takeRun,
  tellRun,
} from '../../sync/runs.js';
import type { SyncRequest } from '../../sync/types.js';

const test = suite('sync/runs');
const bucket = { name: 'results', created: '2026-01-01T00:00:00.000Z' };
const all: SyncRequest = { ops: ['WRITE', 'UPDATE', 'DELETE'], prefix: '', dryRun: false };
const MINUTE = 60_000;

/** Takes the next run and ends it at once. @param at milliseconds */
async function carryOut(documents: Parameters<typeof takeRun>[0], at = Date.now()): Promise<string> {
  const run = (await takeRun(documents, bucket, new Date(at)))!;
  await tellRun(documents, bucket, { ...run, state: 'done', finished: new Date(at).toISOString() });
  return run.id;
}

test('one that waits and does as much is joined; one that does something else, or has begun, is not', async () => {
  const { documents } = createMemoryStorage();
  const ask = async (change: Partial<SyncRequest> = {}) =>
    (await requestRun(documents, bucket, { ...all, ...change }, ''))!;
  const first = await ask();
  assert.not(first.joined);
  for (const same of [{}, { prefix: 'a/' }, { ops: ['DELETE', 'WRITE', 'UPDATE'] as const }])
    assert.equal(await ask(same), { run: first.run, joined: true });
  const narrow = await ask({ ops: ['WRITE'], prefix: 'a/' });
  for (const other of [narrow, await ask({ dryRun: true }), await ask({ ops: ['UPDATE'] })]) assert.not(other.joined);
  assert.ok((await ask({ ops: ['WRITE'], prefix: 'a/b' })).joined);
  assert.not((await ask({ ops: ['WRITE'], prefix: 'b' })).joined, 'it would not look there');
  assert.is((await takeRun(documents, bucket, new Date()))!.id, first.run.id);
  assert.not((await ask()).joined);
});

test('one that was left behind half-way is begun again, with nothing counted', async () => {
  const { documents } = createMemoryStorage();
  await requestRun(documents, bucket, all, 'anna');
  const run = (await takeRun(documents, bucket, new Date()))!;
  await tellRun(documents, bucket, { ...run, counts: { ...noCounts(), added: 7 } });
  const again = (await takeRun(documents, bucket, new Date()))!;
  assert.equal([again.id, again.counts.added, again.requester], [run.id, 0, 'anna']);
});

test('so many may wait and no more; of a bucket made anew under the name none does', async () => {
  const { documents } = createMemoryStorage();
  for (let i = 0; i < MAX_QUEUED; i++) assert.ok(await requestRun(documents, bucket, { ...all, prefix: `${i}/` }, ''));
  assert.is(await requestRun(documents, bucket, { ...all, prefix: 'more' }, ''), undefined);
  const anew = { ...bucket, created: '2026-02-02T00:00:00.000Z' };
  assert.is(await readState(documents, anew), undefined);
  assert.ok(await requestRun(documents, anew, all, ''));
  assert.is((await readState(documents, anew))!.queued.length, 1);
});

test('whoever waits hears of the end, also when many end between two of his looks; later they are forgotten', async () => {
  const { documents } = createMemoryStorage();
  const control = createSyncControl(documents, () => {});
  const now = Date.now();
  const asked = [];
  for (let i = 0; i < MAX_QUEUED; i++)
    asked.push((await requestRun(documents, bucket, { ...all, prefix: `${i}/` }, ''))!);
  const waiting = asked.map(({ run }) => control.wait(bucket as never, run.id));
  for (let i = 0; i < MAX_QUEUED; i++) await carryOut(documents, now);
  const ended = await Promise.all(waiting);
  assert.equal(
    ended.map((run) => run?.state),
    asked.map(() => 'done'),
  );
  // Those of long ago make room, but for the last.
  for (let i = 0; i < 30; i++) {
    await requestRun(documents, bucket, all, '');
    await carryOut(documents, now + 5 * MINUTE);
  }
  const state = await readState(documents, bucket);
  assert.is(state!.ended.length, 30);
  assert.is(findRun(state, asked[0]!.run.id), undefined);
  await requestRun(documents, bucket, all, '');
  await carryOut(documents, now + 60 * MINUTE);
  assert.is((await readState(documents, bucket))!.ended.length, 20);
});

test('the state of a bucket that is gone is forgotten, that of one made anew under its name is not', async () => {
  const { documents } = createMemoryStorage();
  const anew = { ...bucket, created: '2026-02-02T00:00:00.000Z' };
  await requestRun(documents, anew, all, '');
  assert.equal(await statesKept(documents), [{ name: anew.name, created: anew.created }]);
  await forgetState(documents, bucket);
  assert.is((await readState(documents, anew))!.queued.length, 1);
  await forgetState(documents, anew);
  assert.is(await readState(documents, anew), undefined);
});

test.run();
