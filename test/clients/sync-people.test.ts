// timeout: 180
/** What the owner of a bucket may not look at, and what that means for everything else in it. Needs root. */
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFeedReader } from '../../sync/feed-reader.js';
import { feedDirectory } from '../../sync/places.js';
import type { SyncState } from '../../sync/types.js';
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
  await until('the first scan', 20_000, () => stateOf('shared')?.lastFullScan);
});
suiteOf.after(async () => {
  if (isRoot) assert.is(await town?.close(), 0);
});

const stateOf = (bucket: string): SyncState | undefined => {
  try {
    return JSON.parse(readFileSync(join(town.gateway.root, `.tidegate/syncs/${bucket}.json`), 'utf8'));
  } catch {
    return undefined;
  }
};
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

test('where several users work as themselves, the files of each get their digests', async () => {
  const bert = await town.person('bert', 60102, 60102);
  const at = await town.bucket('both', anna, 'owner', [bert]);
  const { since } = await until('it is led', 20_000, () => stateOf('both')?.leader);
  await town.tidegate('bucket', 'set', 'both', '--act-as', 'requester');
  await until('it is led anew', 20_000, () => stateOf('both')!.leader!.since !== since || undefined);
  chmodSync(at, 0o777);
  const job = (key: string, text: string, who: Person, mode: number): void => {
    const file = join(at, key);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, text);
    chownSync(file, who.uid, who.gid);
    chmodSync(file, mode);
  };
  await bert.client.send(new s3.PutObjectCommand({ Bucket: 'both', Key: 'upload', Body: 'by bert' }));
  appendFileSync(join(at, 'upload'), '!');
  job('anna', '1', anna, 0o600);
  job('bert', '2', bert, 0o644);
  job('only-bert', '3', bert, 0o600);
  mkdirSync(join(at, 'closed'));
  chownSync(join(at, 'closed'), anna.uid, anna.gid);
  // Bert may not go there any more: then it is done as anna, who may read it and not write its attribute.
  job('closed/bert', '4', bert, 0o644);
  chmodSync(join(at, 'closed'), 0o700);
  const before = statSync(join(at, 'bert'), { bigint: true });
  const run = await syncBucket({ ...town.gateway, ...anna }, 'both');
  assert.equal([run['State'], run['Errors']], ['done', '2'], JSON.stringify(run));
  const etagOf = async (client: s3.S3Client, Key: string) =>
    (await client.send(new s3.HeadObjectCommand({ Bucket: 'both', Key }))).ETag;
  assert.is(await etagOf(bert.client, 'upload'), `"${md5('by bert!')}"`);
  assert.is(await etagOf(anna.client, 'anna'), `"${md5('1')}"`);
  for (const { client } of [anna, bert]) assert.is(await etagOf(client, 'bert'), `"${md5('2')}"`);
  assert.match((await etagOf(bert.client, 'only-bert'))!, /-0"$/, 'nothing is told of what the owner may not read');
  assert.match((await etagOf(anna.client, 'closed/bert'))!, /-0"$/);
  const after = statSync(join(at, 'bert'), { bigint: true });
  assert.equal([after.uid, after.mode, after.mtimeNs], [before.uid, before.mode, before.mtimeNs]);
});

suiteOf.run();
