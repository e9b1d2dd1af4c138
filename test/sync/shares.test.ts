import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createMounts } from '../../gateway/storage/posix/mounts.js';
import type { Bucket } from '../../gateway/storage/types.js';
import { createShares } from '../../sync/shares.js';

const mount = (id: number, parent: number, device: string, point: string) =>
  `${id} ${parent} ${device} / ${point} rw - nfs4 server rw`;
const mounts = (points: string[]) =>
  createMounts(() =>
    [mount(1, 0, '8:1', '/'), ...points.map((point, i) => mount(10 + i, 1, `0:${100 + i}`, point))].join('\n'),
  );
const bucket = (name: string, path: string): Bucket => ({ name, path, owner: 'o', created: '', config: {} });
const names = (buckets: readonly Bucket[]) => buckets.map(({ name }) => name);

const buckets = [
  bucket('home', '/root/o/home'),
  bucket('away', '/away/b'),
  bucket('also-away', '/away/c'),
  bucket('mixed', '/root/o/mixed'),
];
const two = mounts(['/away', '/root/o/mixed/sub']);

test('each filesystem but that of the root has its engine, and every bucket is in one share', () => {
  const home = createShares({ root: '/root' }, two)(buckets);
  assert.equal(names(home.mine), ['home']);
  assert.equal([...home.elsewhere], ['away', 'also-away', 'mixed']);
  assert.is(home.filesystems.length, 2);
  const others = home.filesystems.map((filesystem) => createShares({ root: '/root', filesystem }, two)(buckets));
  assert.equal(others.map(({ mine }) => names(mine)).sort(), [['away', 'also-away'], ['mixed']]);
});

test('a bucket of a command is its own share; a changelog keeps together what lies on its filesystem', () => {
  const only = createShares({ root: '/root', only: 'away' }, two)(buckets);
  assert.equal([names(only.mine), only.filesystems], [['away'], []]);
  const changelog = { mount: '/', users: {} };
  const home = createShares({ root: '/root', changelog }, two)(buckets);
  assert.equal(names(home.mine), ['home', 'mixed']);
});

test('there is a limit to engines: what is beyond it stays with that of the root', () => {
  const points = Array.from({ length: 40 }, (_, i) => `/m${i}`);
  const many = mounts(points);
  const all = points.map((point, i) => bucket(`b${i}`, `${point}/b`));
  const home = createShares({ root: '/root' }, many)(all);
  assert.is(home.filesystems.length, 16);
  const shares = home.filesystems.map((filesystem) => createShares({ root: '/root', filesystem }, many)(all).mine);
  const led = [...home.mine, ...shares.flat()];
  assert.is(home.mine.length, 24);
  assert.equal(names(led).sort(), names(all).sort());
});

test.run();
