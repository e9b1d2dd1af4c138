/** Hints of many names at once, as far as the look that follows them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BucketDir, withBucket } from '../../gateway/storage/posix/paths.js';
import { openCatalog } from '../../sync/catalog.js';
import type { Cause } from '../../sync/held.js';
import { createHints } from '../../sync/hints.js';
import type { Finding } from '../../sync/look.js';
import { createMounts } from '../../sync/mounts.js';
import type { Reconciler } from '../../sync/reconcile.js';
import { noCounts } from '../../sync/runs.js';
import { createTasks } from '../../sync/tasks.js';
import { tempDir } from '../support/temp.js';

const test = suite('hints');

test('trees among more than a thousand names are looked at to their ends, also after a failure', async () => {
  const [path, sync] = [tempDir(), tempDir()];
  mkdirSync(join(path, '.tidegate'));
  mkdirSync(join(path, 'came/from/elsewhere'), { recursive: true });
  writeFileSync(join(path, 'came/from/elsewhere/file'), '');
  const ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 } as const;
  const catalog = openCatalog(sync, 0);
  const found: Finding[] = [];
  let away = true;
  const tasks = createTasks({
    catalog,
    mounts: createMounts(catalog),
    reconciler: { take: (findings: readonly Finding[]) => found.push(...findings), busy: 0 } as unknown as Reconciler,
    inside<T>(work: (bucket: BucketDir) => T): T {
      if (away) throw new Error('the server is away');
      return withBucket(ground, 'service', work);
    },
    createCause: () => ({ counts: noCounts(), open: 0, complain: assert.unreachable }) as unknown as Cause,
  });
  const hints = createHints({ restMs: 0 });
  hints.add({ dir: '', name: 'came', deep: true });
  for (let i = 0; i < 1_200; i++) hints.add({ dir: '', name: `file${i}` });
  hints.add({ dir: 'came/', name: 'gone', deep: true });
  for (let tries = 0; tries < 2; tries++) {
    const due = hints.due(10);
    try {
      tasks.follow(due);
      for (let step = 0; step < 100; step++) await tasks.step();
    } catch {
      hints.putBack(due);
    }
    // The first batch needs nothing of the bucket to be followed, the second one does, and is not lost.
    assert.is(hints.size, tries === 0 ? 1 : 0);
    away = false;
  }
  for (let step = 0; step < 100; step++) await tasks.step();
  assert.equal(
    found.map(({ key, kind }) => `${kind} ${key}`),
    ['appeared came/from/elsewhere/file'],
  );
  await catalog.close();
});

const opened = () => {
  let time = 0;
  const hints = createHints({ restMs: 10, mostMs: 30, now: () => time });
  const due = (ms: number) => {
    time += ms;
    return hints
      .due(100)
      .map(({ dir, names, deep }) => [
        dir,
        names && [...names].sort(),
        typeof deep === 'object' ? [...deep].sort() : deep,
      ]);
  };
  return { hints, due };
};

test('names of a directory come together when it rests, and not for ever later', () => {
  const { hints, due } = opened();
  hints.add({ dir: 'a/', name: 'x' });
  assert.equal(due(9), []);
  hints.add({ dir: 'a/', name: 'y' });
  assert.equal(due(9), []);
  hints.add({ dir: 'a/', name: 'x', deep: true });
  assert.equal(due(9), []);
  hints.add({ dir: 'a/', name: 'z' });
  assert.equal(due(3), [['a/', ['x', 'y', 'z'], ['x']]]);
  assert.is(hints.wait(), Number.POSITIVE_INFINITY);
});

test('what is to be looked at with everything below stays so beside the whole directory, in either order', () => {
  const { hints, due } = opened();
  hints.add({ dir: 'a/', name: 'tree', deep: true });
  hints.add({ dir: 'a/' });
  hints.add({ dir: 'b/' });
  hints.add({ dir: 'b/', name: 'tree', deep: true });
  assert.equal(due(10), [
    ['a/', undefined, ['tree']],
    ['b/', undefined, ['tree']],
  ]);
  for (let i = 0; i < 1001; i++) hints.add({ dir: 'c/', name: `n${i}`, deep: i === 7 });
  assert.equal(due(10), [['c/', undefined, ['n7']]]);
});

test('too many trees become the directory with everything below', () => {
  const { hints, due } = opened();
  hints.add({ dir: 'a/' });
  for (let i = 0; i < 1001; i++) hints.add({ dir: 'a/', name: `n${i}`, deep: true });
  assert.equal(due(10), [['a/', undefined, true]]);
});

test.run();
