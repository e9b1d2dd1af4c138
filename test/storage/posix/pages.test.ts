/** Pages that several threads look at: what happens between their steps, who looks, and into whose memory. */
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { countOf } from '../../../gateway/storage/elements.js';
import { COARSE } from '../../../gateway/storage/posix/clock.js';
import type { StoreContext } from '../../../gateway/storage/posix/context.js';
import { canSwitch } from '../../../gateway/storage/posix/identity.js';
import { listOps } from '../../../gateway/storage/posix/list-ops.js';
import { createPages } from '../../../gateway/storage/posix/pages.js';
import { type Ground, prepareBucket } from '../../../gateway/storage/posix/paths.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import type { Pool } from '../../../gateway/storage/posix/pool-types.js';
import type { Actor, Bucket, ListRequest } from '../../../gateway/storage/types.js';
import { etagsIn, form, keysIn, prefixesIn } from '../../suites/element-page.js';
import { tempDir } from '../../support/temp.js';
import { mark, me } from './store.js';

const test = suite('pages by several threads');

/** From the second entry on everything is left to others. */
const soon = { after: 0, worth: 0, alone: 0 };
const asked = (change: Partial<ListRequest>): ListRequest => ({
  ...{ prefix: '', delimiter: '', after: '', limit: 1000 },
  ...change,
});
const named = (i: number): string => `f-${1000 + i}`;

function newBucket(): Ground {
  const ground: Ground = {
    path: tempDir(),
    durability: 'none',
    sidecars: false,
    fileMode: 0o644,
    directoryMode: 0o755,
  };
  prepareBucket(ground);
  return ground;
}

interface Stepping {
  free?: number;
  local?: boolean;
  /** Nobody else has work for the workers, or for the main thread. */
  idle?: boolean;
  calm?: boolean;
  sharing?: typeof soon | undefined;
  /** Done before each operation. */
  before?(op: string, calls: number): void;
}

/** A bucket, and its pages by the real operations in this very thread, step by step. */
function stepping({ free = 8, local = false, idle = false, calm = false, sharing = soon, before }: Stepping = {}) {
  const ground = newBucket();
  const calls: string[] = [];
  const run = async (op: keyof typeof listOps, args: never) => {
    calls.push(op);
    before?.(op, calls.length);
    return (listOps[op] as (...args: unknown[]) => unknown)(...(args as unknown[]));
  };
  const inBucket = ((_at, work) => work(ground, { free, idle, run } as never)) as StoreContext['inBucket'];
  const { listElements } = createPages(
    { inBucket },
    () => local,
    sharing,
    () => calm,
  );
  const at = { bucket: { path: ground.path } as Bucket, actor: me };
  const page = (change: Partial<ListRequest>) => listElements(at, asked(change), form);
  return { ground, path: ground.path, calls, page };
}

test('what vanishes after it was named is made up for by what follows', async () => {
  const { path, page, calls } = stepping({
    before: (op, count) => {
      // The second piece has not been looked at yet.
      if (op !== 'lookElements' || count !== 3) return;
      for (let i = 0; i < 100; i++) if (i % 3 > 0) rmSync(join(path, named(i)), { force: true });
    },
  });
  for (let i = 0; i < 300; i++) writeFileSync(join(path, named(i)), '');
  const first = await page({ limit: 100 });
  assert.is(calls.at(-1), 'listElements');
  // Of those that were looked at before that, one for itself and a quarter of the others.
  const seen = (i: number) => i <= 25 || i >= 100 || i % 3 === 0;
  const left = Array.from({ length: 300 }, (_, i) => i).filter(seen);
  assert.equal(keysIn(first), left.slice(0, 100).map(named));
  assert.is(first.next, named(left[99]!));
  assert.is(first.nextIsKey, true);
  const rest = await page({ after: first.next! });
  assert.equal(keysIn(rest), left.slice(100).map(named));
  assert.is(rest.next, undefined);
});

test('a page that ends with a directory that is an object says that the next one begins behind a key', async () => {
  const { ground, path, page } = stepping();
  mkdirSync(join(path, 'a', 'b'), { recursive: true });
  writeFileSync(join(path, 'a', 'b', 'x'), '');
  for (const key of ['a/', 'a/b/']) mark(ground, key);
  for (const [limit, last] of ['a/', 'a/b/'].entries()) {
    const first = await page({ limit: limit + 1 });
    assert.equal([first.next, first.nextIsKey, keysIn(first).at(-1)], [last, true, last]);
  }
});

test('directories that hold nothing fill no page, and end none', async () => {
  const { path, page } = stepping();
  for (let i = 0; i < 200; i++) {
    mkdirSync(join(path, named(i)));
    if (i % 4 === 0) writeFileSync(join(path, named(i), 'x'), '');
  }
  const first = await page({ delimiter: '/', limit: 40 });
  assert.equal(
    prefixesIn(first),
    Array.from({ length: 40 }, (_, i) => `${named(i * 4)}/`),
  );
  assert.is(first.next, `${named(156)}/`);
  assert.is(first.nextIsKey, false);
  const rest = await page({ delimiter: '/', limit: 10, after: first.next! });
  assert.is(countOf(rest), 10);
  // Behind the last one there are only empty ones.
  assert.is(rest.next, undefined);
});

test('a directory that becomes a file, a file that becomes a directory, one that vanishes with what is in it', async () => {
  const { path, page } = stepping({
    before: (op, count) => {
      if (op !== 'lookElements' || count !== 2) return;
      rmSync(join(path, named(5)), { recursive: true });
      writeFileSync(join(path, named(5)), '');
      rmSync(join(path, named(6)), { recursive: true });
      rmSync(join(path, named(50)));
      mkdirSync(join(path, named(50)));
      writeFileSync(join(path, named(50), 'x'), '');
    },
  });
  const fill = () => {
    for (let i = 0; i < 80; i++) {
      rmSync(join(path, named(i)), { recursive: true, force: true });
      if (i < 10) mkdirSync(join(path, named(i)));
      writeFileSync(join(path, named(i), ...(i < 10 ? ['x'] : [])), '');
    }
  };
  // What was named has gone; what has come may be on the page or not.
  fill();
  const grouped = await page({ delimiter: '/' });
  for (const i of [5, 6]) assert.not(prefixesIn(grouped).includes(`${named(i)}/`));
  assert.not(keysIn(grouped).includes(named(50)));
  assert.is(countOf(grouped), 77);
});

test('what was named in a directory that has gone has gone', async () => {
  const { path, page } = stepping({
    before: (op, count) => {
      if (op === 'lookElements' && count === 2) rmSync(join(path, 'd'), { recursive: true });
    },
  });
  for (const dir of ['c', 'd', 'e']) {
    mkdirSync(join(path, dir));
    for (let i = 0; i < 20; i++) writeFileSync(join(path, dir, named(i)), '');
  }
  const names = Array.from({ length: 20 }, (_, i) => named(i));
  assert.equal(keysIn(await page({})), [...names.map((name) => `c/${name}`), ...names.map((name) => `e/${name}`)]);
});

test('directories that are objects themselves are looked at like files', async () => {
  const { ground, path, page, calls } = stepping();
  const all = Array.from({ length: 40 }, (_, i) => [`${named(i)}/`, `${named(i)}/x`]).flat();
  for (const key of all) {
    if (!key.endsWith('/')) writeFileSync(join(path, key), '');
    else {
      mkdirSync(join(path, key));
      mark(ground, key);
    }
  }
  assert.equal(keysIn(await page({})), all);
  assert.ok(calls.includes('lookElements'));
});

test('with nobody else free, or where it is not worth it, one thread does it all', async () => {
  for (const [local, free, sharing] of [
    [true, 0, soon],
    [true, 1, soon],
    [false, 3, soon],
    [false, 8, { ...soon, worth: 1e6 }],
    [false, 8, { ...soon, after: 1e6 }],
  ] as const) {
    const { path, page, calls } = stepping({ local, free, sharing });
    for (let i = 0; i < 200; i++) writeFileSync(join(path, named(i)), '');
    assert.is(countOf(await page({})), 200);
    assert.equal(calls, ['planElements']);
  }
});

test('where nobody else has work, less is worth it', async () => {
  for (const [idle, calm, alone, shared] of [
    [true, true, 0, true],
    [true, false, 0, false],
    [false, true, 0, false],
    [true, true, 1e6, false],
  ] as const) {
    const { path, page, calls } = stepping({ idle, calm, sharing: { after: 0, worth: 1e6, alone } });
    for (let i = 0; i < 200; i++) writeFileSync(join(path, named(i)), '');
    assert.is(countOf(await page({})), 200);
    assert.is(calls.length > 1, shared, `${idle} ${calm} ${alone}`);
  }
});

test('half of the workers are left to others; on local disks there are no more at it than cores', async () => {
  for (const local of [false, true]) {
    const { path, page, calls } = stepping({ local, free: 6 });
    for (let i = 0; i < 500; i++) writeFileSync(join(path, named(i)), '');
    assert.is(countOf(await page({})), 500);
    const most = local ? Math.min(6, availableParallelism()) : 3;
    assert.equal(calls, ['planElements', ...(most > 1 ? Array(most).fill('lookElements') : [])]);
  }
});

/** The same by the threads of a pool. */
async function withThreads(use: (threads: ReturnType<typeof threading>) => Promise<void>): Promise<void> {
  const pool = createPool({ workers: 6 });
  try {
    await pool.ready();
    await use(threading(pool));
  } finally {
    await pool.close();
  }
}
function threading(pool: Pool) {
  const inBucket = ((at, work) => work(grounds.get(at.bucket.path)!, pool)) as StoreContext['inBucket'];
  const grounds = new Map<string, Ground>();
  const pages = createPages({ inBucket }, () => false, soon);
  const bucket = (): Bucket => {
    const ground = newBucket();
    grounds.set(ground.path, ground);
    return { path: ground.path } as Bucket;
  };
  return { pages, grounds, bucket };
}

const user = (uid: number): Actor => ({ uid, gid: uid, groups: [] });
const [owner, other] = [user(60_131), user(60_132)];
(canSwitch ? test : test.skip)('all pieces are looked at as the one who asks', () =>
  withThreads(async ({ pages, grounds, bucket }) => {
    const { path } = bucket();
    const ground = grounds.get(path)!;
    chmodSync(path, 0o755);
    for (const [dir, mode] of [
      ['closed', 0o700],
      ['named', 0o744],
      ['open', 0o755],
      ['searched', 0o711],
    ] as const) {
      mkdirSync(join(path, dir));
      for (let i = 0; i < 40; i++) {
        const file = join(path, dir, named(i));
        writeFileSync(file, `${i}`, { mode: i % 2 ? 0o600 : 0o644 });
        chownSync(file, owner.uid, owner.gid);
      }
      chownSync(join(path, dir), owner.uid, owner.gid);
      chmodSync(join(path, dir), mode);
    }
    // What has changed just now has an ETag of the moment.
    await new Promise((resolve) => setTimeout(resolve, 2 * Number(COARSE / 1_000_000n) + 50));
    for (const actor of [owner, other]) {
      const at = { bucket: { path } as Bucket, actor };
      for (const delimiter of ['', '/']) {
        const { objects, prefixes } = await pages.list(at, asked({ delimiter }));
        assert.is(
          objects.length + prefixes.length,
          { '': actor === owner ? 160 : 40, '/': actor === owner ? 4 : 1 }[delimiter],
        );
        for (let round = 0; round < 3; round++) {
          const page = await pages.listElements(at, asked({ delimiter }), form);
          assert.ok(delimiter !== '' || page.parts.length > 3);
          assert.equal(
            keysIn(page),
            objects.map(({ key }) => key),
          );
          assert.equal(
            etagsIn(page),
            objects.map(({ etag }) => etag),
          );
          assert.equal(prefixesIn(page), prefixes);
          page.done?.();
        }
      }
      // None of them is published, and nobody can say so of a file that he may not read.
      Object.assign(ground, { synced: true });
      assert.equal(keysIn(await pages.listElements(at, asked({}), form)), []);
      Object.assign(ground, { synced: false });
    }
  }),
);

test('a page stays as it is until it is done with, whatever other pages are made', () =>
  withThreads(async ({ pages, bucket }) => {
    const ats = ['one', 'two'].map((name) => {
      const at = { bucket: bucket(), actor: me };
      for (let i = 0; i < 300; i++) writeFileSync(join(at.bucket.path, `${name}-${named(i)}`), '');
      return { name, at };
    });
    const client = async (n: number) => {
      for (let round = 0; round < 30; round++) {
        const { name, at } = ats[(n + round) % 2]!;
        const page = await pages.listElements(at, asked({}), form);
        await new Promise((resolve) => setTimeout(resolve, (n * 7 + round) % 10));
        assert.equal(
          keysIn(page),
          Array.from({ length: 300 }, (_, i) => `${name}-${named(i)}`),
        );
        page.done?.();
      }
    };
    await Promise.all([1, 2, 3, 4, 5].map(client));
  }));

test.run();
