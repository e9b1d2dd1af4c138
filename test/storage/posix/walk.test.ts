import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isStorableKey } from '../../../gateway/storage/keys.js';
import { listPage, type Page } from '../../../gateway/storage/listing.js';
import { listObjects, objectsOf } from '../../../gateway/storage/posix/list-ops.js';
import { type Names, namesFrom } from '../../../gateway/storage/posix/names.js';
import { type BucketDir, type Ground, prepareBucket, withBucket } from '../../../gateway/storage/posix/paths.js';
import { walk } from '../../../gateway/storage/posix/walk.js';
import type { ListedObject, ListRequest } from '../../../gateway/storage/types.js';
import { modelPage } from '../../suites/listing-model.js';
import { mark } from './store.js';

const test = suite('walk');
const made: string[] = [];

test.after(() => {
  for (const path of made) {
    // The program, because Node's own fails on paths longer than PATH_MAX.
    execFileSync('sh', ['-c', 'test -d "$0" || exit 0; chmod -R u+rwX "$0"; rm -rf "$0"', path]);
  }
});

/** A bucket's directory with these objects: files, and marked directories for keys that end in `/`. */
function bucketOf(keys: readonly string[] = []): Ground {
  const path = mkdtempSync(join(tmpdir(), 'tidegate-walk-'));
  made.push(path);
  const ground: Ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
  prepareBucket(ground);
  for (const key of keys) {
    if (key.endsWith('/')) {
      mkdirSync(join(path, key), { recursive: true });
      mark(ground, key);
    } else {
      mkdirSync(dirname(join(path, key)), { recursive: true });
      writeFileSync(join(path, key), key);
    }
  }
  return ground;
}

const request = (change: Partial<ListRequest>): ListRequest => ({
  prefix: '',
  delimiter: '',
  after: '',
  limit: 1000,
  ...change,
});

function page(ground: Ground, change: Partial<ListRequest> = {}) {
  const { objects, prefixes, next } = listObjects(ground, request(change));
  return { objects: objects.map(({ key }) => key), prefixes, next };
}

function everything(ground: Ground, change: Partial<ListRequest> = {}): string[] {
  const keys: string[] = [];
  let after = '';
  for (;;) {
    const found = page(ground, { ...change, after });
    keys.push(...found.objects, ...found.prefixes);
    if (found.next === undefined) return keys;
    after = found.next;
  }
}

const listOf = ({ items }: Names): string[] => Array.from({ length: items.count }, (_, i) => items.at(i));

const descriptors = () => readdirSync('/proc/self/fd').length;

/** What is left of `keys` when they are put one after another into directories: no `a` beside `a/b`. */
function compatible(keys: readonly string[]): string[] {
  const taken = new Set<string>();
  const directories = new Set<string>();
  for (const key of keys) {
    const parts = key.split('/');
    const above = parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join('/'));
    if (!isStorableKey(key) || above.some((path) => taken.has(path)) || directories.has(key)) continue;
    for (const path of above) directories.add(path);
    taken.add(key);
  }
  return [...taken];
}

const segment = fc.string({
  unit: fc.constantFrom('a', 'b', '!', '-', '.', '0', 'é', '日', '\uffff', '😀', '\n'),
  minLength: 1,
  maxLength: 2,
});
const key = fc
  .tuple(fc.array(segment, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([segments, directory]) => segments.join('/') + (directory && segments.length < 3 ? '/' : ''));
const keys = fc.array(key, { maxLength: 25 }).map(compatible);
const piece = fc.oneof(
  fc.constant(''),
  fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '!', 'é', '0'), maxLength: 3 }),
);
const asked = fc.record({
  prefix: piece,
  delimiter: fc.oneof(fc.constant('/'), fc.constant(''), piece),
  after: fc.oneof(piece, key),
  limit: fc.integer({ min: 0, max: 6 }),
});

test('as the reference model, whatever is asked of whatever tree', () => {
  const before = descriptors();
  fc.assert(
    fc.property(keys, fc.array(asked, { minLength: 1, maxLength: 12 }), fc.nat(), (all, questions, n) => {
      const ground = bucketOf(all);
      for (const question of questions) {
        const known = { ...question, after: all[n % Math.max(1, all.length)] ?? '' };
        const within = { ...question, prefix: known.after.slice(0, n % 4) };
        for (const one of [question, known, within]) {
          if (!one.prefix.isWellFormed()) continue;
          assert.equal(page(ground, one), modelPage(all, one), JSON.stringify([all, one]));
        }
      }
      rmSync(ground.path, { recursive: true });
    }),
    { numRuns: 60 },
  );
  made.length = 0;
  assert.is(descriptors(), before);
});

test('names in stretches: a full walk with the smallest memory', async () => {
  const all = Array.from({ length: 300 }, (_, i) => `d/${(i * 7919) % 1000}${i % 3 === 0 ? '/x' : ''}`);
  const ground = bucketOf(all);
  const expected = modelPage(all, request({})).objects;
  const paged = (bucket: BucketDir, stretch: number, limit: number) => {
    const found: string[] = [];
    for (let after: string | undefined = ''; after !== undefined; ) {
      const cursor = walk(bucket, '', false, stretch);
      const page: Page<ListedObject> = listPage(objectsOf(bucket, cursor), request({ after, limit }));
      found.push(...page.objects.map((object) => object.key));
      cursor.close();
      assert.ok(found.length <= expected.length);
      after = page.next;
    }
    return found;
  };
  const check = () =>
    withBucket(ground, 'read', (bucket) => {
      for (const stretch of [1, 200, 1000, 5000]) {
        for (const limit of [1000, 7]) assert.equal(paged(bucket, stretch, limit), expected);
      }
    });
  check();
  // Once more when the directories have settled, so that stretches are kept.
  await new Promise((resolve) => setTimeout(resolve, 2100));
  check();
  check();
});

test('a stretch holds the smallest names from a point on', () => {
  const ground = bucketOf(Array.from({ length: 1000 }, (_, i) => `n${(i * 7919) % 1000}`));
  const sorted = Array.from({ length: 1000 }, (_, i) => `n${i}`).sort();
  for (const from of ['', 'n5', 'n500', 'n999', 'o']) {
    const fd = openSync(ground.path, 'r');
    const names = namesFrom(fd, from, 4000);
    closeSync(fd);
    const expected = sorted.filter((name) => name >= from);
    assert.ok(names.from <= from);
    // A stretch that is known already may begin before it.
    const all = listOf(names);
    const found = all.filter((name) => name >= from);
    assert.equal(found, expected.slice(0, found.length));
    assert.ok(found.length > 0 || expected.length === 0);
    assert.ok(names.complete === (all.at(-1) === sorted.at(-1) || expected.length === 0));
    assert.ok(names.items.bytes <= 4000);
  }
});

test('a stretch that ends between a file and a directory that begin alike holds nothing behind a gap', () => {
  const ends = ['!', '-', '.', '/', '.y', '~'];
  // A directory sorts behind what has such a byte where its name ends.
  const sorted = Array.from({ length: 180 }, (_, i) => `n${i % 30}${ends[Math.floor(i / 30)]}`).sort();
  const ground = bucketOf(sorted.map((item) => (item.endsWith('/') ? `${item}x` : item)));
  for (let limit = 40; limit < 1600; limit += 7) {
    // What is known of it must not answer instead.
    utimesSync(ground.path, limit, limit);
    const fd = openSync(ground.path, 'r');
    const found = listOf(namesFrom(fd, '', limit));
    closeSync(fd);
    assert.equal(found, sorted.slice(0, found.length), `${limit}`);
  }
});

test('a change is seen at once, however soon it comes', () => {
  const ground = bucketOf(Array.from({ length: 400 }, (_, i) => `f${1000 + i}`));
  // The directory has settled, so its names are kept.
  execFileSync('touch', ['-d', '1 hour ago', ground.path]);
  for (let round = 0; round < 50; round++) {
    const name = `g${1000 + round}`;
    assert.is(everything(ground).length, 400 + round);
    writeFileSync(join(ground.path, name), '');
    assert.is(everything(ground).at(-1), name);
  }
});

test('names that are kept are kept only while nothing changes', async () => {
  const ground = bucketOf(Array.from({ length: 400 }, (_, i) => `f${1000 + i}`));
  await new Promise((resolve) => setTimeout(resolve, 2100));
  const names = () => {
    const fd = openSync(ground.path, 'r');
    try {
      return namesFrom(fd, '');
    } finally {
      closeSync(fd);
    }
  };
  const first = names();
  assert.is(names(), first);
  writeFileSync(join(ground.path, 'new'), '');
  assert.is(names().items.count, 401);
  rmSync(join(ground.path, 'new'));
  assert.equal(listOf(names()), listOf(first));
});

test('what is no object is not listed, and disturbs nothing', async () => {
  const ground = bucketOf(['a', 'b/c', 'z']);
  const at = (name: string) => join(ground.path, name);
  mkdirSync(at('empty/deeper'), { recursive: true });
  mkdirSync(at('b/.tidegate'));
  writeFileSync(at('b/.tidegate/secret'), '');
  execFileSync('mkfifo', [at('fifo')]);
  symlinkSync('/etc', at('outside'));
  symlinkSync('a', at('inside'));
  symlinkSync('loop', at('loop'));
  symlinkSync('nowhere', at('dangling'));
  symlinkSync(ground.path, at('b/up'));
  writeFileSync(Buffer.concat([Buffer.from(`${ground.path}/`), Buffer.of(0xff, 0x61)]), '');
  mkdirSync(Buffer.concat([Buffer.from(`${ground.path}/`), Buffer.of(0x62, 0xc3)]));
  writeFileSync(Buffer.concat([Buffer.from(`${ground.path}/`), Buffer.of(0x62, 0xc3, 0x2f, 0x61)]), '');
  const server = createServer().listen(at('socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  assert.equal(page(ground), { objects: ['a', 'b/c', 'z'], prefixes: [], next: undefined });
  assert.equal(page(ground, { delimiter: '/' }), { objects: ['a', 'z'], prefixes: ['b/'], next: undefined });
  for (const prefix of [
    'empty/',
    'outside/',
    'inside/',
    'loop/',
    'b/up/',
    '.tidegate/',
    'b/.tidegate/',
    'fifo/',
    'a/',
  ]) {
    assert.equal(page(ground, { prefix }).objects, [], prefix);
    assert.equal(page(ground, { prefix, delimiter: '/' }), { objects: [], prefixes: [], next: undefined }, prefix);
  }
  await new Promise((resolve) => server.close(resolve));
});

test('a prefix that no path can hold lists nothing, least of all another one', () => {
  const ground = bucketOf(['a/b', 'c']);
  for (const prefix of [
    './',
    'a/./',
    'a/../',
    '../',
    '/',
    '//',
    'a//',
    '/a',
    'a\0/',
    `${'x'.repeat(300)}/`,
    'a/b/',
    '\ud800/',
  ]) {
    for (const delimiter of ['', '/']) {
      assert.equal(
        page(ground, { prefix, delimiter }),
        { objects: [], prefixes: [], next: undefined },
        JSON.stringify(prefix),
      );
    }
  }
  for (const after of ['./', 'a/../', '..', '/', '//', '.'])
    assert.equal(page(ground, { after }).objects, ['a/b', 'c']);
  assert.equal(page(ground, { after: 'a//' }).objects, ['a/b', 'c']);
  assert.equal(page(ground, { after: 'a/./x' }).objects, ['a/b', 'c']);
});

test('what is told of an object', () => {
  const ground = bucketOf(['dir/', 'file']);
  const [directory, file] = listObjects(ground, request({})).objects;
  assert.equal(directory, {
    key: 'dir/',
    size: 0,
    lastModified: 1_700_000_000_000,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
  });
  assert.is(file!.key, 'file');
  assert.is(file!.size, 4);
  assert.match(file!.etag, /-/);
  assert.ok(Math.abs(file!.lastModified - Date.now()) < 60_000);
});

test('a copied directory is not the object that it was copied from', () => {
  const ground = bucketOf(['dir/', 'dir/x']);
  execFileSync('cp', ['-a', join(ground.path, 'dir'), join(ground.path, 'copy')]);
  assert.equal(page(ground).objects, ['copy/x', 'dir/', 'dir/x']);
});

test('unreadable directories are left out, unreadable files are not', () => {
  if (process.getuid?.() === 0) return; // root reads everything: tried with an actor in the suite of the store
  const ground = bucketOf(['a', 'closed/x', 'z']);
  chmodSync(join(ground.path, 'closed'), 0);
  chmodSync(join(ground.path, 'a'), 0);
  assert.equal(page(ground).objects, ['a', 'z']);
  assert.equal(page(ground, { delimiter: '/' }).prefixes, []);
});

test('trees that are too deep for a key or a path: no error, few descriptors', () => {
  const ground = bucketOf(['top']);
  // 1000 levels, and 600; relative steps, because the whole path is longer than PATH_MAX.
  for (const [name, half, files] of [
    ['dddddd', 500, ': > f'],
    ['e', 300, ': > z; : > a'],
  ] as const) {
    const make = `for half in 1 2; do
        mkdir -p $(printf '${name}/%.0s' $(seq ${half})) || exit 1
        for i in $(seq ${half}); do cd -P ${name} && { ${files}; } || exit 1; done
      done`;
    execFileSync('sh', ['-c', make], { cwd: ground.path });
  }
  const before = descriptors();
  const found = everything(ground, { limit: 100 });
  const shortest = (name: string, file: string) => {
    const all: string[] = [];
    for (let prefix = `${name}/`; prefix.length + file.length <= 1024; prefix += `${name}/`) all.push(prefix + file);
    return all;
  };
  const expected = [...shortest('dddddd', 'f'), ...shortest('e', 'a'), ...shortest('e', 'z'), 'top'];
  assert.equal(found, expected.sort());
  assert.equal(page(ground, { delimiter: '/' }).prefixes, ['dddddd/', 'e/']);
  const deep = `${'e/'.repeat(500)}`;
  assert.equal(page(ground, { prefix: deep, delimiter: '/' }), {
    objects: [`${deep}a`, `${deep}z`],
    prefixes: [`${deep}e/`],
    next: undefined,
  });
  assert.is(descriptors(), before);
});

test('a page costs the same wherever it begins', () => {
  const ground = bucketOf();
  for (let d = 0; d < 10; d++) {
    mkdirSync(join(ground.path, `d${10 + d}`));
    for (let i = 0; i < 500; i++) closeSync(openSync(join(ground.path, `d${10 + d}/f${1000 + i}`), 'w'));
  }
  const cost = (after: string) => {
    const start = performance.now();
    assert.is(page(ground, { after, limit: 10 }).objects.length, 10);
    return performance.now() - start;
  };
  cost('');
  const early = Math.min(...Array.from({ length: 5 }, () => cost('d10/f1200')));
  const late = Math.min(...Array.from({ length: 5 }, () => cost('d19/f1200')));
  assert.ok(late < early * 5 + 2, `${early} ms at the beginning, ${late} ms at the end`);
  assert.equal(everything(ground).length, 5000);
  assert.equal(everything(ground, { limit: 77 }), everything(ground));
});

test.run();
