/** kill -9 in the middle of everything: whole objects and garbage in staging, nothing else. */
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bodyOf, get, md5, noise, readFrom, refused, request } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';
import { until } from '../../support/time.js';
import { me, openBench } from './store.js';

const crash = suite('crash');
/** More by hand: `CRASHES=200 node …/crash.test.js`. */
const rounds = Number(process.env['CRASHES'] ?? 5);

interface Told {
  key: string;
  /** 0: deleted. */
  seed: number;
  done: boolean;
}

for (const sidecars of [false, true]) {
  crash(`after kill -9 what was told stands, whole; ${sidecars ? 'sidecars' : 'attributes'}`, async () => {
    const root = tempDir();
    /** What may stand under a key: what was told last, and what had begun after it. */
    const possible = new Map<string, Set<number>>();
    for (let round = 0; round < rounds; round++) {
      const args = [root, `${round + 1}`, `${sidecars}`];
      const child: ChildProcess = fork(fileURLToPath(new URL('./crash-child.js', import.meta.url)), args);
      let count = 0;
      child.on('message', ({ key, seed, done }: Told) => {
        const before = possible.get(key) ?? new Set([0]);
        possible.set(key, done ? new Set([seed]) : before.add(seed));
        if (done) count++;
      });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      await until('the child writes', 20_000, () => (count > 10 ? true : undefined));
      // At any moment of what the others are doing.
      await sleep((round * 37) % 211);
      child.kill('SIGKILL');
      await ended;
    }
    // Reaped at the start once the files are old enough: a second after their last change.
    await sleep(1_500);
    const { storage, at, area } = await openBench({ root, sidecars, stagingAge: 1000 });
    try {
      for (const [key, seeds] of possible) {
        const object = await storage.open(at, key).catch(() => undefined);
        const seed = Number(object?.info.meta.user['seed'] ?? 0);
        assert.ok(seeds.has(seed), `${key}: ${seed} stands, and not one of ${[...seeds]}`);
        if (!object) continue;
        const bytes = await readFrom(object);
        await object.close();
        const { etag, user, tags } = object.info.meta;
        assert.is(md5(bytes), md5(noise(bytes.length, seed)), `${key}: metadata and content are of one`);
        // Killed between the rename and the last look at its ctime: nobody was told of this ETag.
        if (seeds.size === 1 || !etag.endsWith('-0')) assert.is(etag, md5(bytes), key);
        if (seed % 4 === 0) assert.is(user['big'], `${seed}:`.repeat(1000), key);
        if (tags?.['seed'] !== undefined) assert.is(tags['seed'], String(seed), key);
      }
      const { objects } = await storage.list(at, { prefix: '', delimiter: '', after: '', limit: 1000 });
      for (const { key } of objects) assert.ok(possible.has(key.replace(/\.tmp$/, '')), key);
      await until('staging is empty', 20_000, () => (area('staging').length === 0 ? true : undefined));
      const isUpload = (id: string) =>
        readdirSync(join(at.bucket.path, '.tidegate/uploads', id)).includes('upload.json');
      await until('what is left are uploads', 20_000, () => (area('uploads').every(isUpload) ? true : undefined));
      // A bucket that was being made or deleted is there or not, and can be made and deleted.
      const brief = await storage.bucket('brief');
      const make = storage.createBucket({ name: 'brief', owner: 'owner' }, me);
      const place = { bucket: await make.catch(() => brief!), actor: me };
      await storage.put(place, 'x', bodyOf('y'), request());
      assert.is(String(await get(storage, place, 'x')), 'y');
      for (const key of ['x', 'a/b']) await storage.remove(place, key);
      await storage.deleteBucket(place);
      await refused(storage.head(place, 'x'), 'NoSuchBucket');
      if (rounds > 5) console.log(`${area('meta').length} of ${objects.length} in meta/`);
    } finally {
      await storage.close();
    }
  });
}

crash.run();
