import { execFileSync, fork } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Catalog, openCatalog, removeCatalog } from '../../sync/catalog.js';
import { isWholeDatabase } from '../../sync/catalog-check.js';
import { openAside } from '../../sync/catalog-open.js';
import { decodeEntry, encodeEntry, keyOf, placeOf } from '../../sync/entry-codec.js';
import type { Entry, EventDraft } from '../../sync/types.js';
import { tempDir } from '../support/temp.js';

const catalogs = suite('catalog');

const entry = (change: Partial<Entry> = {}): Entry => ({
  size: 3,
  mtimeNs: 1_700_000_000_123_456_789n,
  ctimeNs: 1_700_000_000_223_456_789n,
  ino: 77n,
  etag: 'd41d8cd98f00b204e9800998ecf8427e',
  write: '',
  ...change,
});
const event = (key: string): EventDraft => ({ name: 'ObjectCreated:Put', key, door: 'filesystem', time: 1 });

const withCatalog = async (work: (catalog: Catalog, directory: string) => void | Promise<void>) => {
  const directory = tempDir();
  const catalog = openCatalog(directory, 0);
  try {
    await work(catalog, directory);
  } finally {
    await catalog.close();
  }
};

catalogs('entries and places come back as they were', () => {
  const text = fc.stringMatching(/^[!-~]{0,60}$/);
  const fields = {
    size: fc.maxSafeNat(),
    mtimeNs: fc.bigInt({ min: -(1n << 62n), max: 1n << 62n }),
    ctimeNs: fc.bigInt({ min: 0n, max: 1n << 62n }),
    ino: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    etag: fc.oneof(text, fc.constant('0123456789abcdef0123456789abcdef'), fc.constant('')),
    write: fc.constantFrom('', 'Put-0123456789abcdef0123456789abcdef'),
  };
  const arbitrary = fc.record(fields, { noNullPrototype: true });
  fc.assert(fc.property(arbitrary, (value) => assert.equal(decodeEntry(encodeEntry(value)), value)));
  // A job may write any ETag of up to 128 characters into the attribute.
  const forged = 'x'.repeat(127);
  assert.is(decodeEntry(encodeEntry(entry({ etag: forged, write: 'w' }))).etag, forged);
  assert.equal(decodeEntry(encodeEntry(entry({ etag: `${forged}x`, write: 'w' }))), entry({ etag: '', write: 'w' }));
  for (const key of ['a', 'a/b', 'a/b/', 'a/', 'é/\xff', 'a b/c!']) assert.is(keyOf(placeOf(key)), key);
});

catalogs('tells which directories of its objects it does not know', () =>
  withCatalog((catalog) => {
    const keys = ['a', 'a/b/c', 'a/b/d', 'x/y/z/1', 'x/y/z/2', 'x/w', 'k/l'];
    catalog.commit({ objects: keys.map((key, i) => [key, entry({ ino: BigInt(i + 1) })]) });
    const directory = { ino: 1n, mtimeNs: 2n, ctimeNs: 3n };
    catalog.commit({ directories: ['', 'a/', 'a/b/', 'x/'].map((dir) => [dir, directory]) });
    assert.equal(catalog.unknownAbove('a/b/new'), []);
    assert.equal(catalog.unknownAbove('new'), []);
    assert.equal(catalog.unknownAbove('x/y/z/1').sort(), ['x/y/', 'x/y/z/']);
    assert.equal(catalog.unknownDirectories().sort(), ['k/', 'x/y/', 'x/y/z/']);
    catalog.commit({ directories: catalog.unknownDirectories().map((dir) => [dir, directory]) });
    assert.equal(catalog.unknownDirectories(), []);
  }),
);

catalogs('finds the children, the descendants and the directories of a directory, whatever sorts between them', () =>
  withCatalog((catalog) => {
    const keys = ['a', 'a!', 'a!/x', 'a.txt', 'a/0', 'a/', 'a/b/c', 'a/b!/c', 'a0', 'b/c/d/e', '\xe3\x81\x82/x'];
    catalog.commit({
      objects: keys.map((key, i) => [key, entry({ ino: BigInt(i + 1) })]),
      directories: ['', 'a/', 'a!/', 'a/b/', 'a/b!/', 'b/', 'b/c/', 'b/c/d/'].map((dir) => [
        dir,
        { ino: 1n, mtimeNs: 2n, ctimeNs: 3n },
      ]),
    });
    const children = (dir: string) => [...catalog.children(dir)].map(([name]) => name);
    const below = (dir: string) => [...catalog.below(dir)].map(([key]) => key).sort();
    assert.equal(children(''), ['a', 'a!', 'a.txt', 'a0']);
    assert.equal(children('a/'), ['', '0']);
    assert.equal(below('a/'), ['a/', 'a/0', 'a/b!/c', 'a/b/c']);
    assert.equal(below(''), [...keys].sort());
    assert.equal(below('a!/'), ['a!/x']);
    assert.equal(catalog.subdirectories(''), ['a/', 'a!/', 'b/']);
    assert.equal(catalog.subdirectories('a/'), ['b/', 'b!/']);
    assert.equal(catalog.totals(), { objects: keys.length, bytes: 3 * keys.length });
    catalog.commit({ directories: [['b/', undefined]] });
    assert.equal(catalog.subdirectories('b/'), []);
    assert.is(catalog.directory('b/c/d/'), undefined);
    assert.ok(catalog.directory('a/b!/'));
  }),
);

catalogs('knows a file by its inode under all its names', () =>
  withCatalog((catalog) => {
    const long = `${'d'.repeat(200)}/${'e'.repeat(200)}/${'f'.repeat(250)}/${'g'.repeat(250)}`;
    catalog.commit({
      objects: [
        ['a', entry()],
        ['b', entry()],
        [long, entry()],
      ],
    });
    assert.equal(catalog.keysOf(77n).sort(), ['a', 'b', long].sort());
    catalog.commit({
      objects: [
        ['a', entry({ ino: 78n })],
        ['b', undefined],
      ],
    });
    assert.equal(catalog.keysOf(77n), [long]);
    assert.equal(catalog.keysOf(78n), ['a']);
    assert.not.ok(catalog.knows(79n));
  }),
);

catalogs(
  'a range that is read slowly while commits go on gives what stands there, and does not make the file grow',
  () =>
    withCatalog((catalog, directory) => {
      const names = Array.from({ length: 2_500 }, (_, i) => `f${String(i).padStart(5, '0')}`);
      catalog.commit({ objects: names.map((name, i) => [name, entry({ ino: BigInt(i + 1) })]) });
      const file = join(directory, 'catalog.mdb');
      const { size } = statSync(file);
      const seen: string[] = [];
      for (const [name] of catalog.children('')) {
        seen.push(name);
        catalog.commit({ objects: [[name, entry({ mtimeNs: BigInt(seen.length) })]], notes: { any: seen.length } });
      }
      assert.equal(seen, names);
      assert.ok(statSync(file).size < 4 * size, `${size} bytes have become ${statSync(file).size}`);
      const below = catalog.below('');
      const first = Array.from({ length: 700 }, () => below.next().value?.[0]);
      catalog.commit({ objects: names.map((name) => [name, undefined]) });
      const rest = [...below].map(([name]) => name);
      assert.equal([...first, ...rest], names.slice(0, first.length + rest.length));
      assert.is(catalog.totals().objects, 0);
    }),
);

catalogs('counts are those of what is there, whatever happens', () =>
  withCatalog((catalog) => {
    const operation = fc.tuple(fc.constantFrom('a', 'b', 'd/a', 'd/', 'e/f/g'), fc.option(fc.nat(1000)));
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
        catalog.commit({
          objects: operations.map(([key, size]) => [key, size === null ? undefined : entry({ size })]),
        });
        assert.equal(catalog.totals(), catalog.count());
      }),
    );
  }),
);

catalogs('events have places without gaps, stay until they are delivered, and go on from the feed', async () => {
  const directory = tempDir();
  let catalog = openCatalog(directory, 41);
  assert.equal(
    catalog.commit({ events: [event('a'), event('b')] }).map(({ seq }) => seq),
    [42, 43],
  );
  await catalog.close();
  catalog = openCatalog(directory, 0);
  assert.not.ok(catalog.isNew);
  assert.equal(
    catalog.outbox().map(({ seq, key }) => [seq, key]),
    [
      [42, 'a'],
      [43, 'b'],
    ],
  );
  catalog.delivered(42);
  assert.equal(
    catalog.outbox().map(({ seq }) => seq),
    [43],
  );
  assert.equal(
    catalog.commit({ events: [event('c')] }).map(({ seq }) => seq),
    [44],
  );
  await catalog.close();
});

catalogs('a commit that fails changes nothing, not even the counts', () =>
  withCatalog((catalog) => {
    catalog.commit({ objects: [['a', entry()]], events: [event('a')] });
    const broken = { name: 'ObjectCreated:Put', key: 'x', door: 's3', time: 1n } as unknown as EventDraft;
    assert.throws(() => catalog.commit({ objects: [['b', entry()]], events: [broken] }));
    assert.is(catalog.get('b'), undefined);
    assert.equal(catalog.totals(), { objects: 1, bytes: 3 });
    assert.equal(
      catalog.commit({ events: [event('c')] }).map(({ seq }) => seq),
      [2],
    );
  }),
);

catalogs('what is no catalog is made anew', async () => {
  const directory = tempDir();
  writeFileSync(join(directory, 'catalog.mdb'), createHash('sha256').update('x').digest());
  const catalog = openCatalog(directory, 0);
  assert.ok(catalog.isNew);
  catalog.commit({ objects: [['a', entry()]] });
  await catalog.close();
  removeCatalog(directory);
  const again = openCatalog(directory, 0);
  assert.ok(again.isNew);
  await again.close();
});

catalogs('one that was not closed is looked through: whatever page is damaged, and never a whole one', async () => {
  const directory = tempDir();
  const file = join(directory, 'catalog.mdb');
  const catalog = openCatalog(directory, 0);
  // Trees of several levels, files with several names, and values that take pages of their own.
  for (let i = 0; i < 20_000; i += 500) {
    const keys = Array.from({ length: 500 }, (_, at) => `dir${i % 7}/a-file-with-a-name-${i + at}`);
    catalog.commit({
      objects: keys.map((key, at) => [key, entry({ ino: BigInt((i + at) % 50 === 0 ? 7 : i + at + 1) })]),
      events: keys.slice(0, 20).map(event),
      notes: { long: 'x'.repeat(i) },
    });
    if (i % 5_000 === 0) catalog.delivered(Math.floor(i / 50));
    assert.ok(isWholeDatabase(file, true), `while it is written, ${i}`);
  }
  for (let i = 0; i < 20_000; i += 40)
    catalog.commit({ objects: [[`dir${(i - (i % 500)) % 7}/a-file-with-a-name-${i}`, undefined]] });
  await catalog.close();
  const whole = readFileSync(file);
  assert.ok(isWholeDatabase(file, true));
  const pages = whole.length / 4096;
  let missed = 0;
  for (let page = 2; page < pages; page++) {
    const damaged = Buffer.from(whole);
    randomFillSync(damaged, page * 4096 + (page % 2 === 0 ? 0 : 16), 4080);
    writeFileSync(file, damaged);
    if (isWholeDatabase(file, true)) missed++;
  }
  // Pages that are free, and the space within pages that take a long value.
  assert.ok(missed < pages / 4, `${missed} of ${pages}`);
  for (const length of [0, 100, 8192, whole.length >> 1]) {
    writeFileSync(file, whole.subarray(0, length));
    assert.not.ok(isWholeDatabase(file, true), `cut off at ${length}`);
  }

  // Of one that was not closed that is found before LMDB meets it; it would end this process.
  writeFileSync(join(directory, 'catalog.open'), '');
  const damaged = Buffer.from(whole);
  for (let page = 2; page < pages; page += 3) randomFillSync(damaged, page * 4096 + 16, 4080);
  writeFileSync(file, damaged);
  const made = openCatalog(directory, 5);
  assert.equal([made.isNew, made.totals().objects, made.lastSeq()], [true, 0, 5]);
  await made.close();
});

catalogs('one of another version is made anew', async () => {
  const directory = tempDir();
  const catalog = openCatalog(directory, 0);
  catalog.commit({ objects: [['a', entry()]], notes: { version: 99 } });
  await catalog.close();
  const again = openCatalog(directory, 7);
  assert.ok(again.isNew);
  assert.equal([again.get('a'), again.totals().objects, again.lastSeq()], [undefined, 0, 7]);
  again.commit({ objects: [['b', entry()]] });
  await again.close();
  const third = openCatalog(directory, 0);
  assert.not(third.isNew);
  assert.ok(third.get('b'));
  await third.close();
});

catalogs('what keeps a whole catalog from being opened does not cost it', async () => {
  const directory = tempDir();
  const catalog = openCatalog(directory, 0);
  catalog.commit({ objects: [['a', entry()]] });
  await catalog.close();
  const child = new URL('./catalog-starved.js', import.meta.url).pathname;
  const line = `ulimit -n 40 && exec "${process.execPath}" "${child}" "${directory}" starved`;
  assert.match(execFileSync('sh', ['-c', line], { encoding: 'utf8' }), /^refused: .*(open files|EMFILE)/);
  const again = openCatalog(directory, 0);
  assert.not(again.isNew);
  assert.ok(again.get('a'));
  await again.close();
});

catalogs('files that cannot be opened are an error, and not the end of the process', () => {
  const child = new URL('./catalog-starved.js', import.meta.url).pathname;
  const tried = (directory: string) => execFileSync(process.execPath, [child, directory], { encoding: 'utf8' });
  for (const name of ['catalog.mdb', 'catalog.mdb-lock']) {
    const directory = tempDir();
    mkdirSync(join(directory, name));
    assert.match(tried(directory), /^refused: .*EISDIR/);
  }
  assert.match(tried(join(tempDir(), 'gone')), /^refused: .*ENOENT/);
  assert.is(tried(tempDir()).trim(), 'opened');
});

catalogs('a directory that vanishes while its catalog is opened is not the end of the process', async () => {
  const base = tempDir();
  const [rounds, ends] = [200, [] as string[]];
  const child = fork(new URL('./catalog-removed.js', import.meta.url), [base, `${rounds}`]);
  child.on('message', (text: string) => {
    const [directory = '', end] = text.split(' ');
    if (end !== undefined) {
      ends.push(end);
      return;
    }
    const late = performance.now() + 1000;
    while (!existsSync(join(directory, 'catalog.mdb-lock')) && performance.now() < late);
    rmSync(directory, { recursive: true, force: true });
  });
  const [code, signal] = await once(child, 'exit');
  assert.equal([code, signal], [0, null]);
  assert.is(ends.length, rounds);
  assert.ok(ends.includes('ENOENT'), 'it was removed before it was open');
  assert.equal(
    [...new Set(ends)].filter((end) => end !== 'opened' && end !== 'ENOENT'),
    [],
  );
  assert.equal(
    readdirSync(base).filter((name) => name.startsWith('.')),
    [],
  );
});

catalogs('files of which there cannot be hard links are opened by their own names', () => {
  const directory = tempDir();
  const path = join(directory, 'catalog.mdb');
  // Of a directory there is none.
  mkdirSync(path);
  const opened: string[] = [];
  const open = (name: string) => {
    opened.push(name);
    return { close: async () => {} };
  };
  openAside(path, open);
  assert.equal(opened, [path]);
  assert.throws(() => openAside(join(directory, 'gone'), open), /ENOENT/);
  assert.is(opened.length, 1);
});

catalogs('a process that is killed loses nothing that it had committed, and leaves nothing half', async () => {
  const directory = tempDir();
  for (let round = 0; round < 6; round++) {
    const child = fork(new URL('./catalog-killed.js', import.meta.url), [directory], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    let told = 0;
    child.on('message', (seq: number) => {
      told = seq;
    });
    await once(child, 'message');
    setTimeout(() => child.kill('SIGKILL'), 20 + 35 * round);
    await once(child, 'exit');
    const catalog = openCatalog(directory, 0);
    const events = catalog.outbox();
    assert.ok(events.length >= told, `${events.length} events, ${told} told`);
    assert.equal(
      events.map(({ seq }) => seq),
      events.map((_, i) => i + 1),
    );
    // Each commit puts two objects and tells of them in one event.
    assert.equal(catalog.totals(), { objects: 2 * events.length, bytes: 6 * events.length });
    assert.equal(catalog.count(), catalog.totals());
    await catalog.close();
  }
});

catalogs.run();
