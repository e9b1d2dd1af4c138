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

test.run();
