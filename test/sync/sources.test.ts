/** Sources that fail, start slowly, and are stopped meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createChangelog } from '../../sync/changelog.js';
import { createSources } from '../../sync/sources.js';
import type { Source } from '../../sync/types.js';
import { createWatcher } from '../../sync/watch.js';
import { tempDir } from '../support/temp.js';
import { until, withTimeout } from '../support/time.js';

const test = suite('sync/sources');

function stage(...sources: Source[]) {
  const told: string[] = [];
  const failures: string[] = [];
  const made = createSources({
    sources,
    sink: {
      hint: ({ name }) => told.push(`hint ${name}`),
      lost: (dir, why) => told.push(`lost '${dir}': ${why}`),
    },
    failed: (error) => failures.push(String(error)),
    againMs: 30,
  });
  return { made, told, failures };
}

test('one that cannot be started is tried again, told once, and makes up for what was missed; others work', async () => {
  let tries = 0;
  const late: Source = {
    async start() {
      if (++tries < 4) throw new Error('no inotify instance');
    },
    stop() {},
  };
  const good: Source = { start: async (sink) => sink.hint({ dir: '', name: 'x' }), stop() {} };
  const { made, told, failures } = stage(late, good);
  await made.start();
  assert.equal([told, failures], [['hint x'], ['Error: no inotify instance']]);
  await until('it is started', 5_000, () => told.length > 1 || undefined);
  assert.equal([tries, told[1], failures.length], [4, "lost '': it could not be watched before", 1]);
  await made.stop();
});

test('stopped between two attempts: there is no other', async () => {
  let tries = 0;
  const never: Source = {
    async start() {
      tries++;
      throw new Error('never');
    },
    stop() {},
  };
  const { made } = stage(never);
  await made.start();
  await made.stop();
  await sleep(100);
  assert.is(tries, 1);
});

test('a watcher that has not seen all of its tree is stopped at once', async () => {
  const { made, failures } = stage(createWatcher().source(tempDir()));
  const starting = made.start();
  await withTimeout('stopping', 5_000, made.stop());
  await withTimeout('starting', 5_000, starting);
  assert.equal(failures, [], 'that is no failure');
});

test('a changelog whose state is still read when it is stopped serves nothing afterwards', async () => {
  const mount = tempDir();
  let read = () => {};
  const states: object[] = [];
  const changelog = createChangelog({
    mount,
    users: {},
    load: () =>
      new Promise((resolve) => {
        read = () => resolve({ mdts: {}, buckets: { [`${mount}/b`]: 'owed' } });
      }),
    save: async (state) => void states.push(state),
    log: { info() {}, warn() {} },
  });
  const { made, told } = stage(changelog.source(`${mount}/b`));
  const starting = made.start();
  await made.stop();
  read();
  await withTimeout('starting', 5_000, starting);
  // It would be told as lost to whoever serves it next, and is: it was not taken for served.
  const next = stage(changelog.source(`${mount}/b`));
  await next.made.start();
  assert.is(next.told.length, 1);
  assert.ok(told.length <= 1);
  await next.made.stop();
  await changelog.stop();
});

test.run();
