import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDocuments } from '../../../gateway/storage/posix/documents.js';
import { countCalls } from '../../../gateway/storage/posix/libc.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';
import type { Pool } from '../../../gateway/storage/posix/pool-types.js';
import type { Documents } from '../../../gateway/storage/types.js';
import { tempDir } from '../../support/temp.js';
import { until, withTimeout } from '../../support/time.js';

interface Context {
  root: string;
  pool: Pool;
  documents: Documents;
  other: Documents;
  warnings: string[];
}
interface Doc {
  n: number;
  deep?: { list: string[] };
}

const test = suite<Context>('documents');

test.before((context) => {
  context.pool = createPool({ workers: 2 });
});
test.after(({ pool }) => pool.close());
test.before.each((context) => {
  context.root = tempDir();
  context.warnings = [];
  context.documents = createDocuments(context.root, context.pool, { warn: (text) => context.warnings.push(text) });
  context.other = createDocuments(context.root, context.pool);
});

const code = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'nothing';
};

test('on a filesystem that may not answer the thread that asks touches nothing', async ({ root, pool, documents }) => {
  await documents.create('keys', 'a', { n: 1 });
  const calls = async (types: string[]) => {
    const asked = createDocuments(root, pool, { mounts: { at: () => ({ key: '', types }) } });
    const counted = new Int32Array(2);
    countCalls(counted);
    assert.equal(await asked.get('keys', 'a'), { n: 1 });
    return counted[1]!;
  };
  assert.is(await calls(['ext4', 'fuse.glusterfs']), 0);
  assert.is(await calls([]), 0);
  // Whatever lies there really, it was looked at.
  assert.ok((await calls(['ext4'])) > 0);
});

test('nothing there: undefined, no directories are made by asking', async ({ root, documents }) => {
  assert.is(await documents.get('keys', 'a'), undefined);
  assert.equal(await documents.list('keys'), []);
  assert.is(await documents.update('keys', 'a', () => ({ n: 1 })), undefined);
  assert.equal(readdirSync(root), []);
});

test('created once, read back, private modes, nothing left beside it', async ({ root, documents, other }) => {
  assert.is(await documents.create('keys', 'a', { n: 1 }), true);
  assert.is(await documents.create('keys', 'a', { n: 2 }), false);
  assert.is(await other.create('keys', 'a', { n: 3 }), false);
  assert.equal(await other.get('keys', 'a'), { n: 1 });
  assert.equal(readdirSync(join(root, '.tidegate/keys')), ['a.json']);
  assert.is(statSync(join(root, '.tidegate')).mode & 0o777, 0o700);
  assert.is(statSync(join(root, '.tidegate/keys')).mode & 0o777, 0o700);
  assert.is(statSync(join(root, '.tidegate/keys/a.json')).mode & 0o777, 0o600);
});

test('a change of one is in force for the other at its next get; undefined deletes', async ({ documents, other }) => {
  await documents.create<Doc>('keys', 'a', { n: 0 });
  for (let n = 1; n <= 50; n++) {
    assert.equal(await documents.update<Doc>('keys', 'a', (doc) => ({ ...doc, n })), { n });
    assert.equal(await other.get('keys', 'a'), { n });
  }
  assert.is(await other.update<Doc>('keys', 'a', () => undefined), undefined);
  assert.is(await documents.get('keys', 'a'), undefined);
  assert.is(await documents.update<Doc>('keys', 'a', () => ({ n: 1 })), undefined);
  assert.is(await documents.create('keys', 'a', { n: 7 }), true);
  assert.equal(await other.get('keys', 'a'), { n: 7 });
});

test('what is handed out cannot be changed, what change() is given counts', async ({ documents }) => {
  await documents.create<Doc>('keys', 'a', { n: 0, deep: { list: ['x'] } });
  const got = (await documents.get<Doc>('keys', 'a'))!;
  assert.throws(() => got.deep!.list.push('for everybody'), TypeError);
  const [listed] = await documents.list<Doc>('keys');
  assert.throws(() => listed!.value.deep!.list.push('for everybody'), TypeError);
  assert.equal(await documents.get('keys', 'a'), { n: 0, deep: { list: ['x'] } });
  await documents.update<Doc>('keys', 'a', (doc) => {
    doc.deep!.list.push('y');
    return doc;
  });
  assert.equal(await documents.get('keys', 'a'), { n: 0, deep: { list: ['x', 'y'] } });
});

test('a change that throws changes nothing and keeps no lock; an equal value does not touch the file', async (context) => {
  const { documents, other, root } = context;
  await documents.create<Doc>('keys', 'a', { n: 1 });
  const thrown = documents.update('keys', 'a', () => {
    throw Object.assign(new Error(), { code: 'mine' });
  });
  assert.is(await code(thrown), 'mine');
  const { ino } = statSync(join(root, '.tidegate/keys/a.json'));
  assert.equal(
    await withTimeout(
      'update',
      5_000,
      other.update<Doc>('keys', 'a', (doc) => doc),
    ),
    { n: 1 },
  );
  assert.is(statSync(join(root, '.tidegate/keys/a.json')).ino, ino);
});

/** Changes are told of until the turn of the loop began in which somebody asks. */
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test('the cache does not survive an exchange that keeps size and mtime', async ({ root, documents }) => {
  await documents.create<Doc>('keys', 'a', { n: 1 });
  const path = join(root, '.tidegate/keys/a.json');
  const past = new Date('2020-01-01');
  utimesSync(path, past, past);
  assert.equal(await documents.get('keys', 'a'), { n: 1 });
  writeFileSync(path, readFileSync(path, 'utf8').replace('1', '2'));
  utimesSync(path, past, past);
  await nextTurn();
  assert.equal(await documents.get('keys', 'a'), { n: 2 });
  writeFileSync(`${path}.new`, readFileSync(path, 'utf8').replace('2', '3'));
  utimesSync(`${path}.new`, past, past);
  renameSync(`${path}.new`, path);
  await nextTurn();
  assert.equal(await documents.get('keys', 'a'), { n: 3 });
});

test('what did not change is not looked at again, until any process changes it in any way', async ({ root, pool }) => {
  let looks = 0;
  const run: Pool['run'] = (op, args, options) => {
    looks++;
    return pool.run(op, args, options);
  };
  const documents = createDocuments(root, { run });
  await documents.create<Doc>('keys', 'a', { n: 1 });
  await documents.create<Doc>('keys', 'b', { n: 100 });
  const area = join(root, '.tidegate');
  const n = async () => (await documents.get<Doc>('keys', 'a'))?.n;
  /** Also those of the others are not looked at for it. */
  const looksOf = async (times: number) => {
    const before = looks;
    for (let i = 0; i < times; i++) await n();
    return looks - before;
  };
  assert.is(await n(), 1);
  assert.ok((await looksOf(100)) < 10, 'each get asks a worker');

  const changes: [string, number | undefined][] = [
    [`echo '{"n":2}' > keys/a.json`, 2],
    [`echo '{"n":3}' > keys/new && mv keys/new keys/a.json`, 3],
    ['rm keys/a.json', undefined],
    [`echo '{"n":4}' > keys/new && ln keys/new keys/a.json`, 4],
    [`cp -a keys other && mv keys gone && echo '{"n":5}' > other/a.json && mv other keys`, 5],
    [`echo '{"n":6}' > keys/a.json`, 6],
    ['rm -r keys', undefined],
    [`mkdir keys && echo '{"n":7}' > keys/a.json`, 7],
  ];
  for (const [command, expected] of changes) {
    execFileSync('sh', ['-ec', command], { cwd: area });
    await nextTurn();
    assert.is(await n(), expected, command);
    if (expected !== undefined) assert.ok((await looksOf(100)) < 10, `after ${command} each get asks a worker`);
  }
  // Nothing tells of this one: as when a backup is restored.
  execFileSync('sh', ['-ec', `cp -a .tidegate copy && mv .tidegate old && mv copy .tidegate`], { cwd: root });
  writeFileSync(join(area, 'keys/a.json'), '{"n":8}');
  await until('the other area', 3_000, async () => (await n()) === 8 || undefined);
});

test('ids that are no names: unknown when asked for, refused when made', async ({ root, documents }) => {
  for (const id of ['', '.', '..', '.lock', '../x', 'a/b', 'a\0', 'ä', 'x'.repeat(251), 'a b', '%2e']) {
    assert.is(await documents.get('keys', id), undefined, id);
    assert.is(await code(documents.create('keys', id, {})), 'InvalidArgument', id);
    assert.is(await code(documents.update('keys', id, () => ({}))), 'InvalidArgument', id);
  }
  assert.equal(readdirSync(root), []);
  const longest = 'x'.repeat(250);
  assert.is(await documents.create('keys', longest, { n: 1 }), true);
  assert.equal(await documents.get('keys', longest), { n: 1 });
});

test('list: in byte order, what is no document left out and told of once, changes seen', async (context) => {
  const { root, documents, other, warnings } = context;
  for (const id of ['b', 'a-', 'a.b', 'a', 'B', '_']) await documents.create('keys', id, { id });
  const dir = join(root, '.tidegate/keys');
  writeFileSync(join(dir, 'broken.json'), '{"n":');
  writeFileSync(join(dir, 'readme.txt'), 'x');
  writeFileSync(join(dir, '.tmp-0123'), 'x');
  mkdirSync(join(dir, 'dir.json'));
  const ids = async (from: Documents) => (await from.list('keys')).map(({ id }) => id);
  assert.equal(await ids(documents), ['B', '_', 'a', 'a-', 'a.b', 'b']);
  assert.equal(await ids(documents), ['B', '_', 'a', 'a-', 'a.b', 'b']);
  assert.is(warnings.length, 3);
  await other.update('keys', 'a', () => ({ id: 'changed' }));
  await other.update('keys', 'b', () => undefined);
  assert.equal((await documents.list('keys')).find(({ id }) => id === 'a')!.value, { id: 'changed' });
  assert.equal(await ids(documents), ['B', '_', 'a', 'a-', 'a.b']);
  assert.is(await code(documents.get('keys', 'broken')), 'InternalError');
});

test('an area that others can write is refused', async ({ root, documents }) => {
  mkdirSync(join(root, '.tidegate'));
  chmodSync(join(root, '.tidegate'), 0o777);
  assert.is(await code(documents.create('keys', 'a', {})), 'InternalError');
});

test('three processes: no update is lost, each id is made once', async ({ root, documents }) => {
  const times = 60;
  await documents.create('keys', 'counter', { n: 0 });
  const script = fileURLToPath(new URL('./documents-hammer.js', import.meta.url));
  const runs = ['p', 'q', 'r'].map((self) => promisify(execFile)(process.execPath, [script, root, `${times}`, self]));
  const made = await withTimeout('hammering', 60_000, Promise.all(runs));
  assert.equal(await documents.get('keys', 'counter'), { n: 3 * times, p: times, q: times, r: times });
  assert.is(
    made.reduce((sum, { stdout }) => sum + Number(stdout), 0),
    times,
  );
  assert.is((await documents.list('accounts')).length, times);
  const left = readdirSync(join(root, '.tidegate/keys')).filter((name) => name.startsWith('.tmp-'));
  assert.equal(left, []);
});

test.run();
