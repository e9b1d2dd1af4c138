// timeout: 240
/** What operators and users are told of usage: `tidegate usage`, `show_cs_usage`, `show_cs_quota`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hourOf, openSampleWriter } from '../../sync/samples.js';
import { runHere } from '../support/cli.js';
import { runCommand } from '../support/commands.js';
import { createKey, type Key } from '../support/gateway.js';
import { tempDir } from '../support/temp.js';

process.env['TIDEGATE_SYNC_QUIET'] = '0s';
const test = suite('usage commands');
const root = tempDir();
let climate: Key;
let ocean: Key;

const tidegate = async (...args: string[]): Promise<string> => {
  const ran = await runHere([...args, '--root', root]);
  assert.is(ran.code, 0, ran.stderr);
  return ran.stdout;
};
const json = async (...args: string[]) => JSON.parse(await tidegate(...args, '--json'));
const show = async (name: string, ...args: string[]): Promise<string> => {
  const ran = await runCommand(name.replaceAll('_', '-'), [...args, '--root', root]);
  assert.is(ran.code, 0, ran.stderr);
  return ran.stdout;
};

test.before(async () => {
  climate = await createKey(root, 'climate');
  ocean = await createKey(root, 'ocean');
  for (const [{ accessKey, uuid }, bucket, files] of [
    [climate, 'one', 3],
    [climate, 'two', 2],
    [ocean, 'three', 1],
    [ocean, 'uncounted', 1],
  ] as const) {
    await tidegate('bucket', 'create', '-k', accessKey, '-b', bucket);
    mkdirSync(join(root, uuid, bucket, 'd'));
    for (let i = 0; i < files; i++) writeFileSync(join(root, uuid, bucket, 'd', `${i}`), 'x'.repeat(1000));
    if (bucket !== 'uncounted') await tidegate('sync', '-b', bucket);
  }
});

test('buckets, accounts, groups and all together', async () => {
  const buckets = await json('usage');
  assert.equal(
    buckets.map((row: Record<string, unknown>) => [row['bucket'], row['group'], row['objects'], row['bytes']]),
    [
      ['one', 'climate', 3, 3000],
      ['three', 'ocean', 1, 1000],
      ['two', 'climate', 2, 2000],
      ['uncounted', 'ocean', null, null],
    ],
  );
  assert.match(
    await tidegate('usage'),
    /\| one +\| \S+ +\| climate \| 3 +\| 3000 +\| 0\.001 \| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \|/,
  );
  assert.match(await tidegate('usage', '-b', 'uncounted'), /\| - +\| - +\| - +\| never +\|/);
  const groups = await json('usage', '--by', 'group');
  assert.equal(
    groups.map((row: Record<string, unknown>) => [
      row['name'],
      row['buckets'],
      row['objects'],
      row['bytes'],
      row['uncounted'],
    ]),
    [
      ['climate', 2, 5, 5000, 0],
      ['ocean', 2, 1, 1000, 1],
    ],
  );
  const [account] = await json('usage', '--by', 'account', '--account', climate.uuid);
  assert.equal([account.name, account.bytes], [climate.uuid, 5000]);
  const total = await json('usage', '--total');
  assert.equal([total.buckets, total.objects, total.bytes], [4, 6, 6000]);
  assert.is((await json('usage', '--total', '--group', 'nobody')).bytes, 0);
  assert.is((await json('usage', '--group', 'ocean', '--total')).bytes, 1000);
  for (const [args, code, message] of [
    [['-b', 'nowhere'], 1, /there is no bucket nowhere/],
    [['-b', 'one', '--group', 'ocean'], 1, /no bucket one of this account and group/],
    [['--by', 'moon'], 2, /--by takes bucket, account or group/],
    [['--month', '2026-13'], 2, /--month takes a month/],
  ] as const) {
    const ran = await runHere(['usage', ...args, '--root', root]);
    assert.equal([ran.code, ran.stdout], [code, '']);
    assert.match(ran.stderr, message);
  }
});

test('the sync wrote the sample of this hour; a bill goes on from what was sampled', async () => {
  const month = new Date().toISOString().slice(0, 7);
  const now = await json('usage', '--by', 'group', '--month', month);
  assert.equal(
    now.map((row: Record<string, unknown>) => [row['name'], row['counted'], row['peak']]),
    [
      ['climate', 2, 5000],
      ['ocean', 1, 1000],
    ],
  );
  const GIB = 1024 ** 3;
  const start = hourOf(Date.parse('2026-02-01T00:00:00Z'));
  const gone = openSampleWriter(root, { name: 'gone', created: '2026-01-01T00:00:00.000Z' });
  for (let i = 0; i < 48; i++) {
    gone.write({ hour: start + i, objects: 1, bytes: 30 * GIB, account: ocean.uuid, group: 'ocean' });
  }
  const [bill] = await json('usage', '--month', '2026-02', '--bucket', 'gone');
  assert.equal(bill, { name: 'gone', gibHours: 1440, billed: 2, peak: 30 * GIB, counted: 48, carried: 0 });
  assert.match(
    await tidegate('usage', '--month', '2026-02', '--by', 'group'),
    /\| ocean \| 1440\.000 +\| 2\.000000 +\| 30\.000/,
  );
  assert.equal(await json('usage', '--month', '2026-02', '--group', 'climate'), []);
});

test('show_cs_usage: date, group, used(GiB)', async () => {
  const today = new Date().toISOString().slice(0, 10).replaceAll('-', '/');
  const lines = (await show('show_cs_usage')).trimEnd().split('\n').slice(1);
  assert.equal(
    lines.map((line) => line.split(/\s+/)),
    [
      ['Date', 'Group', 'used(GiB)'],
      [today, 'climate', '0.001'],
      [today, 'ocean', '0.001'],
    ],
  );
  assert.match(await show('show_cs_usage', '-d', '20260201', '-g', 'ocean'), /\n2026\/02\/01 +ocean +30\.000\n$/);
  assert.equal(JSON.parse(await show('show_cs_usage', '-d', '20260201', '--json')), [
    { date: '2026/02/01', group: 'ocean', objects: 1, bytes: 30 * 1024 ** 3 },
  ]);
  assert.not.match(await show('show_cs_usage', '-d', '20260204'), /ocean/);
  for (const day of ['20260231', '2026', '29990101']) {
    assert.is((await runCommand('show-cs-usage', ['-d', day, '--root', root])).code, 2, day);
  }
});

test('show_cs_quota: directory, used, limit and numbers of files by group', async () => {
  const text = await show('show_cs_quota', '-b', 'K');
  const lines = text.split('\n').map((line) => line.split(/\s+/));
  assert.match(text, /^Disk quotas for group climate\n/);
  assert.equal(lines[1], ['Directory', 'used(KiB)', 'limit(KiB)', 'used(nfiles)', 'limit(nfiles)']);
  assert.equal(lines[2], [join(root, climate.uuid, 'one'), '2.930', '-', '3', '-']);
  assert.match(await show('show_cs_quota', '-g', 'ocean'), /\/uncounted +- +- +- +-\n/);
  assert.match(await show('show_cs_quota', '--help'), /Quotas of buckets are not enforced/);
});

test.run();
