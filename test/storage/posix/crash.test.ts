/** kill -9 in the middle of writing: whole objects and garbage in staging, nothing else. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { md5, noise, readFrom } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';
import { until } from '../../support/time.js';
import { openBench } from './store.js';

const crash = suite('crash');

crash('after kill -9 every object is whole, what was told stays, staging is reaped', async () => {
  const root = tempDir();
  const told = new Map<string, number>();
  for (let round = 0; round < 3; round++) {
    const child: ChildProcess = fork(fileURLToPath(new URL('./crash-child.js', import.meta.url)), [root, `${round}`]);
    let count = 0;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.on('message', ({ key, seed }: { key: string; seed: number }) => {
      told.set(key, Math.max(seed, told.get(key) ?? 0));
      // In the middle of what the others are doing.
      if (++count === 60 + round * 17) child.kill('SIGKILL');
    });
    await ended;
    assert.ok(count >= 60, `the child wrote ${count} objects`);
  }
  const storage = await reopen(root);
  const place = storage.at;
  const page = await storage.storage.list(place, { prefix: '', delimiter: '', after: '', limit: 1000 });
  const seen = new Set<string>();
  for (const { key } of page.objects) {
    const object = await storage.storage.open(place, key);
    const bytes = await readFrom(object);
    await object.close();
    const seed = Number(object.info.meta.user['seed']);
    assert.is(object.info.meta.etag, md5(bytes), `${key}: metadata and content are of one`);
    assert.is(md5(bytes), md5(noise(bytes.length, seed)), key);
    assert.ok(seed >= (told.get(key) ?? 0), `${key}: nothing older than what was told`);
    seen.add(key);
  }
  for (const key of told.keys()) assert.ok(seen.has(key), `${key} was told and is there`);
  await until('staging is empty', 20_000, () => (storage.area('staging').length === 0 ? true : undefined));
  await storage.storage.close();
});

/** Reaped at the start once the files are old enough: a second after their last change. */
const reopen = async (root: string) => {
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  return openBench({ root });
};

crash.run();
