/** `tidegate inventory` against S3's form, and against what really is in the bucket. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runHere } from '../support/cli.js';
import { createKey, type Key } from '../support/gateway.js';
import { tempDir } from '../support/temp.js';

process.env['TIDEGATE_SYNC_QUIET'] = '0s';
const test = suite('inventory');
const md5 = (content: string | Buffer): string => createHash('md5').update(content).digest('hex');
let root = '';
let key: Key;
let path = '';
test.before.each(async () => {
  root = tempDir();
  key = await createKey(root);
  await tidegate('bucket', 'create', '-k', key.accessKey, '-b', 'results');
  path = join(root, key.uuid, 'results');
});

const tidegate = async (...args: string[]): Promise<string> => {
  const ran = await runHere([...args, '--root', root]);
  assert.is(ran.code, 0, ran.stderr);
  return ran.stdout;
};
const put = (name: string, content: string): void => {
  mkdirSync(dirname(join(path, name)), { recursive: true });
  writeFileSync(join(path, name), content);
};
const fieldsOf = (file: string): string[][] =>
  gunzipSync(readFileSync(file))
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => line.slice(1, -1).split('","'));

test('manifest, checksum and list fit together and to the files', async () => {
  const names = ['a+b %.txt', 'd/"q",.nc', 'z/海/🌊', 'line\nend'];
  for (const name of names) put(name, name);
  await tidegate('sync', '-b', 'results');
  put('unhashed', 'new');
  const out = tempDir();
  const printed = JSON.parse(await tidegate('inventory', '-b', 'results', '--out', out, '--json'));
  assert.equal([printed.objects, printed.manifest.startsWith(join(out, 'results/20'))], [5, true]);
  assert.match(printed.manifest, /\/results\/\d{4}-\d\d-\d\dT\d\d-\d\dZ\/manifest\.json$/);

  const text = readFileSync(printed.manifest, 'utf8');
  assert.is(readFileSync(join(dirname(printed.manifest), 'manifest.checksum'), 'utf8'), md5(text));
  const manifest = JSON.parse(text);
  assert.equal(
    [manifest.sourceBucket, manifest.version, manifest.fileFormat, manifest.files.length],
    ['results', '2016-11-30', 'CSV', 1],
  );
  assert.ok(Math.abs(Number(manifest.creationTimestamp) - Date.now()) < 60_000);
  const columns: string[] = manifest.fileSchema.split(', ');
  const [file] = manifest.files;
  const bytes = readFileSync(join(out, file.key));
  assert.equal([file.size, file.MD5checksum], [bytes.length, md5(bytes)]);

  const rows = fieldsOf(join(out, file.key)).map((fields) =>
    Object.fromEntries(fields.map((value, i) => [columns[i], value])),
  );
  assert.equal(
    rows.map((row) => [decodeURIComponent(row['Key']!), row['Size'], row['ETag'], row['IsMultipartUploaded']]),
    [...names, 'unhashed']
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map((name) => [
        name,
        String(Buffer.byteLength(name === 'unhashed' ? 'new' : name)),
        name === 'unhashed' ? rows.at(-2)!['ETag'] : md5(name),
        'false',
      ]),
  );
  assert.match(rows.at(-2)!['ETag']!, /-0$/);
  assert.is(rows[0]!['Key'], 'a%2Bb%20%25.txt');
  assert.equal(
    [rows[0]!['Bucket'], rows[0]!['StorageClass'], rows[0]!['ObjectOwner']],
    ['results', 'STANDARD', key.uuid],
  );
  assert.match(rows[0]!['LastModifiedDate']!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('a single file; into the bucket itself; of more than a page', async () => {
  for (let i = 0; i < 2500; i++) put(`d${i % 10}/${i}`, 'x');
  const file = join(path, 'lists/inventory.csv.gz');
  assert.is(await tidegate('inventory', '-b', 'results', '--out', file), `2500 objects, 2.4 KiB: ${file}\n`);
  assert.is(new Set(fieldsOf(file).map(([, name]) => name)).size, 2500);
  assert.equal(readdirSync(dirname(file)), ['inventory.csv.gz']);
  assert.match(await tidegate('inventory', '-b', 'results', '--out', file), /^2501 objects/);
});

test('an empty bucket has an empty list; what goes wrong leaves nothing', async () => {
  const out = join(tempDir(), 'new/e.csv.gz');
  assert.match(await tidegate('inventory', '-b', 'results', '--out', out), /^0 objects, 0 B: /);
  assert.is(gunzipSync(readFileSync(out)).length, 0);
  writeFileSync(join(dirname(out), 'plain'), '');
  for (const [args, code] of [
    [['-b', 'nowhere', '--out', out], 1],
    [['-b', 'results', '--out', join(dirname(out), 'plain/x.csv.gz')], 1],
    [['-b', 'results', '--out', out, '--format', 'parquet'], 2],
    [['-b', 'results'], 2],
  ] as const) {
    const ran = await runHere(['inventory', ...args, '--root', root]);
    assert.equal([ran.code, ran.stdout], [code, ''], ran.stderr);
  }
  assert.equal(readdirSync(dirname(out)).sort(), ['e.csv.gz', 'plain']);
});

test.run();
