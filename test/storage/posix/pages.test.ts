/** Pages that several threads make: what happens between their steps, and to whom they leave a worker. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { countOf } from '../../../gateway/storage/elements.js';
import type { StoreContext } from '../../../gateway/storage/posix/context.js';
import { listOps } from '../../../gateway/storage/posix/list-ops.js';
import { createPages } from '../../../gateway/storage/posix/pages.js';
import { type Ground, prepareBucket } from '../../../gateway/storage/posix/paths.js';
import type { Bucket, ElementForm, ElementPage, ListRequest } from '../../../gateway/storage/types.js';
import { tempDir } from '../../support/temp.js';
import { me } from './store.js';

const test = suite('pages by several threads');

const form: ElementForm = { name: 'C', extra: '', encoded: false, owner: false };
const asked = (change: Partial<ListRequest>): ListRequest => ({
  ...{ prefix: '', delimiter: '', after: '', limit: 1000 },
  ...change,
});
/** Whether the filesystem is a disk of this machine. */
let local = false;
const named = (i: number): string => `f-${1000 + i}`;

/** A bucket, and its pages by the real operations in this very thread, with something done before each. */
function bench(free: number, before: (op: string, calls: number) => void = () => {}) {
  const path = tempDir();
  const ground: Ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
  prepareBucket(ground);
  const calls: string[] = [];
  const run = async (op: keyof typeof listOps, args: never) => {
    calls.push(op);
    before(op, calls.length);
    return (listOps[op] as (...args: unknown[]) => unknown)(...(args as unknown[]));
  };
  const inBucket = ((_at, work) => work(ground, { free, run } as never)) as StoreContext['inBucket'];
  const { listElements } = createPages({ inBucket }, () => local);
  const at = { bucket: { path } as Bucket, actor: me };
  return { path, calls, page: (request: Partial<ListRequest>) => listElements(at, asked(request), form) };
}

const keys = ({ parts }: ElementPage): string[] =>
  parts.flatMap(({ objects }) =>
    [
      ...Buffer.from(objects)
        .toString()
        .matchAll(/<Key>([^<]*)</g),
    ].map(([, key]) => key!),
  );
const prefixes = ({ parts }: ElementPage): string[] =>
  parts.flatMap((part) =>
    [
      ...Buffer.from(part.prefixes)
        .toString()
        .matchAll(/<Prefix>([^<]*)</g),
    ].map(([, key]) => key!),
  );

test('what vanishes after it was named is made up for by what follows', async () => {
  const { path, page, calls } = bench(4, (op, count) => {
    // The second piece has not been looked at yet.
    if (op !== 'lookElements' || count !== 2) return;
    for (let i = 0; i < 100; i++) if (i % 3 > 0) rmSync(join(path, named(i)), { force: true });
  });
  for (let i = 0; i < 300; i++) writeFileSync(join(path, named(i)), '');
  const first = await page({ limit: 100 });
  const left = Array.from({ length: 300 }, (_, i) => i).filter((i) => i >= 100 || i % 3 === 0);
  assert.equal(keys(first), left.slice(0, 100).map(named));
  assert.is(first.next, named(left[99]!));
  assert.is(first.nextIsKey, true);
  assert.is(calls.at(-1), 'listElements');
  const rest = await page({ after: first.next! });
  assert.equal(keys(rest), left.slice(100).map(named));
  assert.is(rest.next, undefined);
});

test('directories that hold nothing fill no page, and end none', async () => {
  const { path, page } = bench(4);
  for (let i = 0; i < 200; i++) {
    mkdirSync(join(path, named(i)));
    if (i % 4 === 0) writeFileSync(join(path, named(i), 'x'), '');
  }
  const first = await page({ delimiter: '/', limit: 40 });
  assert.equal(
    prefixes(first),
    Array.from({ length: 40 }, (_, i) => `${named(i * 4)}/`),
  );
  assert.is(first.next, `${named(156)}/`);
  assert.is(first.nextIsKey, false);
  const rest = await page({ delimiter: '/', limit: 10, after: first.next! });
  assert.is(countOf(rest), 10);
  // Behind the last one there are only empty ones.
  assert.is(rest.next, undefined);
});

test('a directory that becomes a file, a file that becomes a directory', async () => {
  const { path, page } = bench(4, (op, count) => {
    if (op !== 'lookElements' || count !== 2) return;
    rmSync(join(path, named(5)), { recursive: true });
    writeFileSync(join(path, named(5)), '');
    rmSync(join(path, named(50)));
    mkdirSync(join(path, named(50)));
    writeFileSync(join(path, named(50), 'x'), '');
  });
  for (let i = 0; i < 80; i++) {
    if (i < 10) mkdirSync(join(path, named(i)));
    writeFileSync(join(path, named(i), ...(i < 10 ? ['x'] : [])), '');
  }
  // What was named has gone; what has come may be on the page or not.
  const found = await page({ delimiter: '/' });
  assert.not(prefixes(found).includes(`${named(5)}/`));
  assert.not(keys(found).includes(named(50)));
  assert.is(countOf(found), 78);
});

test('nobody else free, or little to look at: one thread does it all', async () => {
  for (local of [true, false]) {
    for (const free of [0, 1]) {
      const crowded = bench(free);
      for (let i = 0; i < 200; i++) writeFileSync(join(crowded.path, named(i)), '');
      assert.is(countOf(await crowded.page({})), 200);
      assert.equal(crowded.calls, ['planElements']);
    }
  }
  const small = bench(8);
  for (let i = 0; i < 32; i++) writeFileSync(join(small.path, named(i)), '');
  assert.is(countOf(await small.page({})), 32);
  assert.equal(small.calls, ['planElements']);
});

test('a worker is left to others; on local disks there are no more at it than cores', async () => {
  const { path, page, calls } = bench(7);
  for (let i = 0; i < 500; i++) writeFileSync(join(path, named(i)), '');
  assert.is(countOf(await page({})), 500);
  assert.equal(calls.splice(0), ['planElements', ...Array(6).fill('lookElements')]);
  local = true;
  assert.is(countOf(await page({})), 500);
  local = false;
  const cores = Math.min(7, availableParallelism());
  assert.equal(calls, ['planElements', ...(cores > 1 ? Array(cores).fill('lookElements') : [])]);
});

test.run();
