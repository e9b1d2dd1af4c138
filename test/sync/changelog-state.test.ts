// timeout: 120
/** Where the changelog's state is kept: by one reader, whoever begins last. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import { type ChangelogState, createChangelog } from '../../sync/changelog.js';
import { changelogState } from '../../sync/changelog-state.js';
import { until } from '../support/time.js';
import { type Context, clearedAll, hub, shown, started } from './changelog-hub.js';
import { lustre, MDT0 } from './lustre.js';

const test = suite<Context>('changelog state');
test.before.each((context) => {
  Object.assign(context, { fs: lustre(), running: [], logged: [], stop: [] });
  context.fs.mkdir('s3');
  context.fs.mkdir('s3/b');
  context.fs.mkdir('s3/c');
});
test.after.each(async ({ running }) => {
  for (const each of running) await each.stop();
});

const users = { [MDT0]: 'cl1' };
const state = (next: number): ChangelogState => ({
  mdts: { [MDT0]: { next, time: 'x' } },
  buckets: { '/b': 'served' },
});
const refused = async (work: Promise<unknown>): Promise<void> => {
  try {
    await work;
  } catch (error) {
    assert.match(String(error), /another gateway reads the changelog as test-MDT0000:cl1/);
    return;
  }
  assert.unreachable();
};

test('comes back as it was, also after a restart; other users have their own', async () => {
  const { documents } = createMemoryStorage();
  const first = changelogState(documents, users);
  assert.is(await first.load(), undefined);
  await first.save(state(5));
  await first.save(state(6));
  const again = changelogState(documents, users);
  const loaded = (await again.load())!;
  assert.equal(loaded, state(6));
  loaded.buckets['/c'] = 'owed';
  await again.save(loaded);
  assert.equal((await changelogState(documents, users).load())!.buckets, { '/b': 'served', '/c': 'owed' });
  assert.is(await changelogState(documents, { [MDT0]: 'cl2' }).load(), undefined);
});

test('of two that read as the same users the one that began first writes nothing any more', async () => {
  const { documents } = createMemoryStorage();
  const first = changelogState(documents, users);
  await first.load();
  await first.save(state(5));
  const second = changelogState(documents, users);
  await second.load();
  await refused(first.save(state(90)));
  await second.save(state(6));
  await refused(first.save(state(90)));
  assert.equal(await changelogState(documents, users).load(), state(6));
});

test('also when both began at a time when nothing was kept', async () => {
  const { documents } = createMemoryStorage();
  const [first, second] = [changelogState(documents, users), changelogState(documents, users)];
  await Promise.all([first.load(), second.load()]);
  await second.save(state(3));
  await refused(first.save(state(9)));
});

test('a second gateway with the same users: the first says so, and clears no record that the second has not settled', async (context) => {
  const { fs, logged } = context;
  const { documents } = createMemoryStorage();
  const b = await started(hub(context, {}, changelogState(documents, users)), fs);
  fs.write('s3/b/one', '');
  await clearedAll(fs);
  assert.ok(shown(b).includes('|one'));
  const settled: (() => void)[] = [];
  const names: string[] = [];
  const second = hub(context, {}, changelogState(documents, users));
  await second.source(join(fs.mount, 's3/c')).start({
    hint({ name, settled: done }) {
      names.push(name!);
      if (done) settled.push(done);
    },
    lost: (_dir, _why, done) => done?.(),
  });
  const before = fs.cleared();
  fs.write('s3/c/two', '');
  await until('it is said', 20_000, () => logged.find((line) => /another gateway reads/.test(line)));
  await until('the second hears', 20_000, () => names.includes('two') || undefined);
  assert.ok(fs.cleared() < fs.last(), `${fs.cleared()} of ${fs.last()}, ${before} before`);
  for (const each of settled) each();
  await clearedAll(fs);
});

test('a state that could not be read is read when the next bucket is served', async ({ fs, running }) => {
  let tries = 0;
  const made = createChangelog({
    mount: fs.mount,
    users,
    async load() {
      if (++tries === 1) throw new Error('the filesystem hangs');
      return undefined;
    },
    async save() {},
    log: { info() {}, warn() {} },
    command: ['/bin/false'],
  });
  running.push(made);
  const sink = { hint() {}, lost() {} };
  const source = made.source(join(fs.mount, 's3/b'));
  try {
    await source.start(sink);
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /hangs/);
  }
  await source.start(sink);
  assert.is(tries, 2);
});

test.run();
