// timeout: 180
/** What the owner of a bucket may not look at, and what that means for everything else in it. Needs root. */
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFeedReader } from '../../sync/feed-reader.js';
import { feedDirectory } from '../../sync/places.js';
import { isRoot, type Person, startTown, type Town } from '../support/people.js';
import { until } from '../support/time.js';
import { md5, syncBucket, told } from '../support/two-doors.js';

const suiteOf = suite('sync and permissions');
const test = isRoot ? suiteOf : suiteOf.skip;
let town: Town;
let anna: Person;
let path: string;

suiteOf.before(async () => {
  if (!isRoot) return;
  town = await startTown([
    '--log-level',
    'warn',
    '--sync-quiet',
    '0s',
    '--sync-watch',
    'off',
    '--sync-quick-scan',
    'never',
  ]);
  anna = await town.person('anna', 60101, 60101);
  path = await town.bucket('shared', anna, 'owner', []);
  await until('the first scan', 20_000, () => {
    try {
      const state = JSON.parse(readFileSync(join(town.gateway.root, '.tidegate/syncs/shared.json'), 'utf8'));
      return state.lastFullScan !== undefined || undefined;
    } catch {
      return undefined;
    }
  });
});
suiteOf.after(async () => {
  if (isRoot) assert.is(await town?.close(), 0);
});

const write = (key: string, text: string): void => {
  const at = join(path, key);
  mkdirSync(join(at, '..'), { recursive: true });
  writeFileSync(at, text);
  for (const each of [at, join(at, '..')]) chownSync(each, anna.uid, anna.gid);
};
const sync = () => syncBucket({ ...town.gateway, ...anna }, 'shared');
const events = () => {
  const area = join(town.gateway.root, '.tidegate/sync');
  return openFeedReader(feedDirectory(join(area, readdirSync(area)[0]!)))
    .read(0, 1000)
    .events.map(told);
};

test('directories that may not be read, or not be searched, keep nothing else from being synced, and lose nothing', async () => {
  for (const key of ['first', 'no-search/1', 'no-read/1', 'nothing/1', 'zlast/1']) write(key, key);
  let run = await sync();
  assert.equal([run['State'], run['Added'], run['Errors']], ['done', '5', '0']);
  const before = events().length;
  chmodSync(join(path, 'no-search'), 0o444);
  chmodSync(join(path, 'no-read'), 0o111);
  chmodSync(join(path, 'nothing'), 0);
  write('zlast/2', 'new');
  run = await sync();
  assert.equal(
    [run['State'], run['Added'], run['Deleted'], run['Errors']],
    ['done', '1', '0', '3'],
    JSON.stringify(run),
  );
  assert.match(run['Message']!, /^no-(read|search)\/: /);
  assert.equal(events().slice(before), ['filesystem Created:Put zlast/2']);
  const { ETag } = await anna.client.send(new s3.HeadObjectCommand({ Bucket: 'shared', Key: 'zlast/2' }));
  assert.is(ETag, `"${md5('new')}"`);
  for (const dir of ['no-search', 'no-read', 'nothing']) chmodSync(join(path, dir), 0o755);
  run = await sync();
  assert.equal([run['Unchanged'], run['Added'], run['Deleted'], run['Errors']], ['6', '0', '0', '0']);
});

suiteOf.run();
