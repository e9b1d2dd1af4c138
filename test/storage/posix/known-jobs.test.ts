// timeout: 120
/** Whatever jobs and clients do, in any order and at any pace: a thread that remembers lists what one lists that knows nothing. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SETTLED_MS } from '../../../gateway/storage/posix/clock.js';
import { groundFor } from '../../../gateway/storage/posix/context.js';
import { canSwitch } from '../../../gateway/storage/posix/identity.js';
import { listObjects } from '../../../gateway/storage/posix/list-ops.js';
import { withBucket } from '../../../gateway/storage/posix/paths.js';
import { walk } from '../../../gateway/storage/posix/walk.js';
import type { Actor, ListRequest } from '../../../gateway/storage/types.js';
import { type Bench, me, openBench } from './store.js';

const jobs = suite('listings after jobs');

const settings = { durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 } as const;
let seed = 0;
const random = (below: number) => (seed = (seed * 48_271) % 0x7fffffff) % below;
const one = <T>(list: readonly T[]): T => list[random(list.length)]!;

const names = ['a', 'b', 'd', 'd2', 'e', '.x', 'a.b'];
const newKey = () => Array.from({ length: 1 + random(3) }, () => one(names)).join('/');

const user = (uid: number, groups: number[] = []): Actor => ({ uid, gid: uid, groups });
const actors = canSwitch ? [me, user(60_111), user(60_112), user(60_112, [60_111])] : [me];
const requests = (
  [
    ['', ''],
    ['', '/'],
    ['d/', '/'],
    ['a/d/', ''],
    ['d', '/'],
    ['', 'b'],
    ['', '', 'b', 3],
    ['', '/', 'a/', 2],
  ] as const
).map(([prefix, delimiter, after = '', limit = 1000]): ListRequest => ({ prefix, delimiter, after, limit }));
const asked = actors.flatMap((actor) => requests.map((request) => ({ actor, request })));

/** What jobs and clients do, by name; what is impossible just now throws. */
function deeds({ storage, at, file }: Bench): Record<string, () => unknown> {
  let count = 0;
  const there = () => {
    const all = fs.readdirSync(at.bucket.path, { recursive: true, encoding: 'utf8' });
    const found = all.filter((name) => !name.startsWith('.tidegate'));
    return found.length > 0 ? one(found) : newKey();
  };
  const path = () => file(there());
  const put = (key: string) => {
    const bytes = Buffer.from(key.endsWith('/') ? '' : `${'x'.repeat(random(5))}${count++}`);
    const meta = { etag: (count++).toString(16).padStart(32, '0'), headers: {}, user: {}, owner: one(['o', 'p']) };
    const checksum = { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'AAAAAA==' } as const;
    const seal = () => ({ ...meta, ...(random(2) && { checksum }) });
    return storage.put(at, key, { length: bytes.length, read: async (sink) => sink(bytes) }, { digests: [], seal });
  };
  const run = (...[program, ...args]: string[]) => execFileSync(program!, args, { stdio: 'ignore' });
  /** What keeps the size of a file, and puts its times back. */
  const hidden = (change: (at: string, bytes: string) => void) => {
    const target = path();
    const { size, atime, mtime } = fs.statSync(target);
    change(target, String(random(10)).repeat(size));
    fs.utimesSync(target, atime, mtime);
  };
  return {
    put: () => put(newKey()),
    marker: () => put(`${newKey()}/`),
    overwrite: () => put(there()),
    remove: () => storage.remove(at, there()),
    removeMarker: () => storage.remove(at, `${there()}/`),
    tags: () => storage.updateMeta(at, there(), { tags: { n: `${count++}` } }),
    acl: () => storage.updateMeta(at, there(), { acl: random(2) ? null : 'x'.repeat(3 + random(3000)) }),
    write: () => {
      const target = file(newKey());
      fs.mkdirSync(dirname(target), { recursive: true });
      fs.writeFileSync(target, `job ${count++}`);
    },
    rewrite: () => hidden((target, bytes) => fs.writeFileSync(target, bytes)),
    // Mostly with the same inode number.
    recreate: () =>
      hidden((target, bytes) => {
        fs.unlinkSync(target);
        fs.writeFileSync(target, bytes);
      }),
    append: () => fs.appendFileSync(path(), 'more'),
    rm: () => fs.rmSync(path(), { recursive: random(2) === 1 }),
    mkdir: () => fs.mkdirSync(file(newKey()), { recursive: true }),
    chmod: () => fs.chmodSync(path(), one([0o600, 0o644, 0, 0o700, 0o755, 0o711, 0o744, 0o777])),
    chown: () => fs.chownSync(path(), one(actors).uid, one(actors).gid),
    setfacl: () => run('setfacl', '-m', `u:${one(actors).uid}:${one(['rwx', '---', 'r-x', '--x', 'r--'])}`, path()),
    noacl: () => run('setfacl', '-b', path()),
    attribute: () => run('setfattr', '-n', 'user.other', '-v', `${count++}`, path()),
    noRecord: () => run('setfattr', '-x', 'user.tidegate', path()),
    copy: () => run('cp', '-a', path(), file(newKey())),
    over: () => fs.renameSync(path(), path()),
    rename: () => fs.renameSync(path(), file(newKey())),
    link: () => fs.linkSync(path(), file(newKey())),
    symlink: () => fs.symlinkSync(path(), file(newKey())),
    touch: () => fs.utimesSync(path(), 1e9, 1e9 + random(2)),
  };
}

/** Lists all in a thread that has never listed anything. */
function listAnew(ground: unknown): Promise<string[]> {
  const code = `
    const { workerData: { base, ground, asked }, parentPort } = require('node:worker_threads');
    Promise.all(['list-ops.js', 'identity.js'].map((name) => import(base + name))).then(([{ listObjects }, { as }]) => {
      parentPort.postMessage(asked.map(({ actor, request }) => {
        try {
          return JSON.stringify(as(actor, () => listObjects(ground, request)));
        } catch (error) {
          return error.code;
        }
      }));
    });`;
  const base = new URL('../../../gateway/storage/posix/', import.meta.url).href;
  const worker = new Worker(code, { eval: true, workerData: { base, ground, asked }, trackUnmanagedFds: false });
  return new Promise<string[]>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
  }).finally(() => worker.terminate());
}

for (const visibility of ['live', 'synced'] as const) {
  jobs(`what is remembered holds: ${visibility}`, async () => {
    seed = 20_261 + visibility.length;
    const bench = await openBench({ workers: 1, reaps: false });
    try {
      const { storage } = bench;
      const bucket = { ...bench.at.bucket, config: { ...bench.at.bucket.config, visibility } };
      for (let path = bucket.path; path.startsWith(bench.root); path = dirname(path)) fs.chmodSync(path, 0o755);
      const ground = groundFor(bucket, settings);
      const see = async ({ actor, request }: (typeof asked)[number]) => {
        const page = await storage.list({ bucket, actor }, request).catch((error) => error.code);
        return typeof page === 'string' ? page : JSON.stringify(page);
      };
      const all = deeds({ ...bench, at: { ...bench.at, bucket } });
      for (let i = 0; i < 40; i++) await Promise.resolve(all['put']!()).catch(() => {});
      const done = new Set<string>();
      for (let round = 0; round < 24; round++) {
        const log: string[] = [];
        for (let step = 1 + random(8); step > 0; step--) {
          const [name, deed] = one(Object.entries(all));
          log.push(name);
          try {
            await deed();
            done.add(name);
          } catch {
            // Nothing of that kind is there.
          }
          if (random(2)) await sleep(random(25));
          for (let looks = random(4); looks > 0; looks--) await see(one(asked));
        }
        // What was seen within a tick of its change has no ETag that lasts. A thread that measures the ticks of a busy machine
        // may take them for much longer.
        await sleep(40);
        let anew = await listAnew(ground);
        for (const [i, each] of [...asked.entries(), ...asked.entries()]) {
          if ((await see(each)) === anew[i]) continue;
          await sleep(SETTLED_MS + 100);
          anew = await listAnew(ground);
          assert.is(await see(each), anew[i], `round ${round}: ${log}; ${JSON.stringify(each)}`);
        }
      }
      assert.ok(done.size > 15, [...done].join());
    } finally {
      await bench.storage.close();
    }
  });
}

jobs('a directory that is opened anew may be another one: nothing of it is remembered of the first', async () => {
  const { storage, at, file } = await openBench({ workers: 1 });
  try {
    const deep = `${'d/'.repeat(30)}`;
    fs.mkdirSync(file(`top/base/${deep}`), { recursive: true });
    for (const name of [`base/${deep}x`, 'base/old']) fs.writeFileSync(file(`top/${name}`), '');
    const seal = () => ({ etag: 'e'.repeat(32), headers: {}, user: {} });
    await storage.put(at, 'top/base/', { length: 0, read: async () => {} }, { digests: [], seal });
    fs.mkdirSync(file('other/base'), { recursive: true });
    fs.writeFileSync(file('other/base/new'), '');
    await sleep(SETTLED_MS + 100);
    const keys = (prefix: string) =>
      listObjects(ground, { prefix, delimiter: '', after: '', limit: 10 }).objects.map(({ key }) => key);
    const ground = groundFor(at.bucket, settings);
    withBucket(ground, 'read', (bucket) => {
      const cursor = walk(bucket, 'top/base/', false);
      cursor.seek('top/base/', true);
      assert.is(cursor.next(), 'top/base/');
      // So deep that the first directory is closed, unread.
      cursor.seek(`top/base/${deep}x`, true);
      assert.is(cursor.next(), `top/base/${deep}x`);
      fs.renameSync(file('top'), file('aside'));
      fs.renameSync(file('other'), file('top'));
      while (cursor.next() !== undefined);
      cursor.close();
    });
    assert.equal(keys('top/'), ['top/base/new']);
    assert.equal(keys('aside/'), ['aside/base/', `aside/base/${deep}x`, 'aside/base/old']);
  } finally {
    await storage.close();
  }
});

jobs.run();
