/** What requests change is written down before they are told, and nothing else is. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import type { Bucket } from '../../gateway/storage/types.js';
import { createRecorder } from '../../sync/inbox.js';
import { drain } from '../../sync/inbox-reader.js';
import { inboxDirectory, syncDirectory } from '../../sync/places.js';
import type { S3Change } from '../../sync/types.js';
import { type Answer, element, type Sent, startStage } from '../http/stage.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const test = suite('s3/recorded');
const root = tempDir();
const storage = createMemoryStorage();
const recorder = createRecorder({ root });
const stage = await startStage({ storage, changes: recorder });
test.after(async () => {
  await stage.close();
  await recorder.close();
});

const anna = '00000000-0000-0000-0000-00000000anna';
const done = async (url: string, sent: Sent): Promise<Answer> => {
  const answer = await stage.send(url, sent);
  assert.ok(answer.status < 300, `${answer.status} ${answer.body}`);
  return answer;
};
const bucketOf = async (name: string): Promise<Bucket> => (await storage.bucket(name))!;
const inboxOf = (bucket: Bucket) => drain(inboxDirectory(syncDirectory(root, bucket)), {});
const written = (bucket: Bucket): S3Change[] => inboxOf(bucket).changes;
const metaOf = async (key: string, name = 'bkt') => {
  const bucket = await bucketOf(name);
  return (await storage.head({ bucket, actor: { uid: 1000, gid: 1000, groups: [] } }, key)).meta;
};
/** The changes that one piece of work adds. */
async function changesOf(work: () => Promise<unknown>, name = 'bkt'): Promise<S3Change[]> {
  const before = written(await bucketOf(name)).length;
  await work();
  return written(await bucketOf(name)).slice(before);
}
await done('/bkt', { method: 'PUT' });

test('PutObject, with everything that is known', async () => {
  const started = Date.now();
  let answer: Answer | undefined;
  const changes = await changesOf(async () => {
    answer = await done('/bkt/a%20b/%E3%81%8C', { method: 'PUT', body: 'hello' });
  });
  assert.is(changes.length, 1);
  const { write, time, ...rest } = changes[0]!;
  assert.match(write, /^Put-[0-9a-f]{32}$/);
  assert.ok(time >= started && time <= Date.now());
  assert.equal(rest, {
    name: 'ObjectCreated:Put',
    key: 'a b/が',
    size: 5,
    etag: '5d41402abc4b2a76b9719d911017c592',
    requester: anna,
    sourceIp: '127.0.0.1',
    requestId: answer?.headers['x-amz-request-id'],
  });
  assert.is((await metaOf('a b/が')).write, write, 'and in the object itself');
});

test('CopyObject and CompleteMultipartUpload, whose repetition is none', async () => {
  await done('/bkt/source', { method: 'PUT', body: 'content' });
  const source = (await metaOf('source')).write;
  const [copy] = await changesOf(() =>
    done('/bkt/copy', { method: 'PUT', headers: { 'x-amz-copy-source': '/bkt/source' } }),
  );
  assert.is(copy?.name, 'ObjectCreated:Copy');
  assert.match(copy?.write ?? '', /^Copy-/);
  assert.is((await metaOf('copy')).write, copy?.write);
  assert.is((await metaOf('source')).write, source);

  const changes = await changesOf(async () => {
    const id = element(await done('/bkt/large?uploads', { method: 'POST' }), 'UploadId') ?? '';
    const { headers } = await done(`/bkt/large?uploadId=${id}&partNumber=1`, { method: 'PUT', body: 'part' });
    const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${headers.etag}</ETag></Part></CompleteMultipartUpload>`;
    for (let times = 0; times < 2; times++) await done(`/bkt/large?uploadId=${id}`, { method: 'POST', body });
  });
  assert.equal(
    changes.map(({ name, key, size }) => [name, key, size]),
    [['ObjectCreated:CompleteMultipartUpload', 'large', 4]],
  );
  assert.match(changes[0]?.write ?? '', /^CompleteMultipartUpload-/);
  assert.is((await metaOf('large')).write, changes[0]?.write);
});

test('PostObject', async () => {
  await done('/bkt?acl', { method: 'PUT', headers: { 'x-amz-acl': 'public-read-write' } });
  const form =
    '--XX\r\nContent-Disposition: form-data; name="key"\r\n\r\nposted\r\n--XX\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--XX--\r\n';
  const [change] = await changesOf(() =>
    done('/bkt', {
      method: 'POST',
      as: null,
      headers: { 'content-type': 'multipart/form-data; boundary=XX' },
      body: form,
    }),
  );
  assert.is(change?.name, 'ObjectCreated:Post');
  assert.is(change?.requester, undefined);
  assert.is((await metaOf('posted')).write, change?.write);
});

test('removals of what was there', async () => {
  for (const key of ['x', 'y', 'z']) await done(`/bkt/${key}`, { method: 'PUT', body: key });
  const changes = await changesOf(async () => {
    for (let times = 0; times < 2; times++) await done('/bkt/x', { method: 'DELETE' });
    const body = `<Delete>${['y', 'z', 'never'].map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`;
    await done('/bkt?delete', { method: 'POST', body });
  });
  assert.equal(changes.map(({ name, key }) => `${name} ${key}`).sort(), [
    'ObjectRemoved:Delete x',
    'ObjectRemoved:Delete y',
    'ObjectRemoved:Delete z',
  ]);
  for (const { write } of changes) assert.match(write, /^Delete-[0-9a-f]{32}$/);
});

test('a deletion is written down before it is made, and when nothing comes of it', async () => {
  await done('/before', { method: 'PUT' });
  const bucket = await bucketOf('before');
  await done('/before/k', { method: 'PUT', body: 'x' });
  const { remove } = storage;
  const told: string[] = [];
  storage.remove = async (...args) => {
    told.push(...inboxOf(bucket).removals.map(({ removal, key }) => `${removal} ${key}`));
    return remove(...args);
  };
  try {
    await stage.send('/before/k', { method: 'DELETE', headers: { 'if-match': '"0"' } });
    await done('/before/never', { method: 'DELETE' });
    await done('/before/k', { method: 'DELETE' });
  } finally {
    storage.remove = remove;
  }
  await until('all that is written', 10_000, () => inboxOf(bucket).removals.length === 5 || undefined);
  const { removals, changes } = inboxOf(bucket);
  assert.equal(told.slice(0, 1), ['begun k']);
  assert.is(told.filter((line) => line.startsWith('begun')).length, 1 + 2 + 3);
  const of = (write: string) => removals.filter((each) => each.write === write).map(({ removal }) => removal);
  const writes = [...new Set(removals.map(({ write }) => write))];
  assert.equal(writes.map(of), [['begun', 'over'], ['begun', 'over'], ['begun']]);
  assert.equal(
    changes.slice(1).map(({ name, write }) => [name, write]),
    [['ObjectRemoved:Delete', writes[2]]],
  );
});

test('what is refused, reads and tags are no changes', async () => {
  const changes = await changesOf(async () => {
    await stage.send('/bkt/x', { method: 'PUT', body: 'x', headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } });
    await stage.send('/bkt/source', { method: 'PUT', body: 'x', headers: { 'if-none-match': '*' } });
    await stage.send('/bkt/source', { method: 'DELETE', as: 'bert', headers: { 'if-match': '"0"' } });
    await done('/bkt/source', {});
    const body = '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>';
    await done('/bkt/source?tagging', { method: 'PUT', body });
  });
  assert.equal(changes, []);
  assert.match((await metaOf('source')).write ?? '', /^Put-/, 'tags leave the write as it is');
});

test('what cannot be written down is told as done all the same, and logged', async () => {
  await done('/full', { method: 'PUT' });
  const directory = syncDirectory(root, await bucketOf('full'));
  writeFileSync(directory, 'in the way');
  await done('/full/k', { method: 'PUT', body: 'x' });
  const line = stage.log.find(({ level }) => level === 'error');
  assert.is(line?.['msg'], 'change not recorded');
  assert.is(line?.['key'], 'k');
  rmSync(directory);
  assert.is((await changesOf(() => done('/full/k', { method: 'DELETE' }), 'full')).length, 1);
});

test('a bucket takes what was written of it along', async () => {
  await done('/gone', { method: 'PUT' });
  await done('/gone/k', { method: 'PUT', body: 'x' });
  await done('/gone/k', { method: 'DELETE' });
  const directory = syncDirectory(root, await bucketOf('gone'));
  assert.ok(existsSync(join(directory, 'inbox')));
  await done('/gone', { method: 'DELETE' });
  assert.not.ok(existsSync(directory));
});

test.run();
