// timeout: 240
/** What stands in a file, and what S3 says of it: whoever writes, copies, appends or replaces. */
import { appendFileSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { haveProgram, mustRun } from '../support/programs.js';
import { until } from '../support/time.js';
import { keepingTime } from '../support/times.js';
import { md5, type TwoDoors, told, worldsOf } from '../support/two-doors.js';

const test = suite('two worlds: content');

const openWorld = worldsOf(test);

const get = async ({ client, bucket: Bucket }: TwoDoors, Key: string) => {
  const answer = await client.send(new s3.GetObjectCommand({ Bucket, Key }));
  const body = Buffer.from(await answer.Body!.transformToByteArray());
  return { body, etag: answer.ETag!.replaceAll('"', ''), answer };
};
/** An MD5 that is shown is that of what is sent with it. */
const honest = (etag: string, body: Buffer): void => {
  if (!etag.includes('-')) assert.is(etag, md5(body));
};

test('written in place with size and time as before, again and again: never an ETag of other bytes', async () => {
  const world = await openWorld();
  await world.put('a', 'content 000');
  for (let i = 1; i <= 60; i++) {
    const text = `content ${String(i).padStart(3, '0')}`;
    keepingTime(world.file('a'), () => writeFileSync(world.file('a'), text));
    // In the same tick of the filesystem's clock, sometimes; with the engine at work in between, sometimes.
    if (i % 4 === 0) await new Promise((resolve) => setTimeout(resolve, i * 5));
    const { body, etag } = await get(world, 'a');
    assert.is(body.toString(), text);
    honest(etag, body);
  }
  await until('the last', 20_000, () => world.events().at(-1)?.etag === md5('content 060') || undefined);
  assert.is((await get(world, 'a')).etag, md5('content 060'));
  const etags = world.events().map(({ etag }) => etag);
  assert.is(new Set(etags).size, etags.length, 'each content at most once');
});

test('two writes in one tick are two contents, and the second is told', async () => {
  const world = await openWorld();
  for (let i = 0; i < 40; i++) {
    writeFileSync(world.file(`k${i}`), 'one');
    writeFileSync(world.file(`k${i}`), 'two');
  }
  await world.put('end', '');
  await until('all', 20_000, () => {
    const last = new Map(world.events().map(({ key, etag }) => [key, etag]));
    return Array.from({ length: 40 }, (_, i) => last.get(`k${i}`)).every((etag) => etag === md5('two')) || undefined;
  });
  for (let i = 0; i < 40; i += 13) assert.is((await get(world, `k${i}`)).etag, md5('two'));
});

test('written to with all times put back, and moved before anybody looked: the digest is of what is there', async () => {
  const world = await openWorld({ flags: ['--sync-watch', 'off', '--sync-quick-scan', 'never'] });
  for (const key of ['file', 'kept', 'tree/file', 'tree/kept']) world.write(key, 'content 1');
  await world.put('tree/object', 'content 1');
  await world.sync();
  for (const key of ['file', 'tree/file', 'tree/object']) {
    keepingTime(world.file(key), () => writeFileSync(world.file(key), 'content 2'));
  }
  for (const [from, to] of [
    ['file', 'file2'],
    ['kept', 'kept2'],
    ['tree', 'tree2'],
  ] as const)
    renameSync(world.file(from), world.file(to));
  const run = await world.sync();
  assert.equal([run['Renamed'], run['Added'], run['Deleted']], ['5', '0', '0']);
  assert.is(run['BytesHashed'], String(4 * 9), 'all but the one that only its directory has moved');
  for (const [key, text] of [
    ['file2', 'content 2'],
    ['kept2', 'content 1'],
    ['tree2/file', 'content 2'],
    ['tree2/object', 'content 2'],
    ['tree2/kept', 'content 1'],
  ] as const)
    assert.equal([key, (await get(world, key)).etag], [key, md5(text)]);
});

test('a copy made by cp -a or rsync -X has its own identity', async () => {
  if (!haveProgram('rsync')) return;
  const world = await openWorld();
  const { client, bucket: Bucket } = world;
  const owner = await client.send(
    new s3.PutObjectCommand({
      Bucket,
      Key: 'orig',
      Body: 'original',
      Metadata: { secret: 'of the original' },
      Tagging: 'project=x',
      ACL: 'public-read',
      ContentType: 'application/x-orig',
    }),
  );
  assert.is(owner.ETag, `"${md5('original')}"`);
  await mustRun('cp', ['-a', world.file('orig'), world.file('cp')]);
  await mustRun('rsync', ['-aX', world.file('orig'), world.file('rsync')]);
  await mustRun('cp', ['-a', world.file('orig'), world.file('edited')]);
  appendFileSync(world.file('edited'), '!');
  const events = await world.eventsAfter(4);
  const etags = new Map(events.map(({ key, etag }) => [key, etag]));
  assert.equal(
    ['cp', 'rsync', 'edited'].map((key) => etags.get(key)),
    [md5('original'), md5('original'), md5('original!')],
  );
  for (const Key of ['cp', 'rsync', 'edited']) {
    const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key }));
    assert.equal(head.Metadata, {}, Key);
    const { TagSet } = await client.send(new s3.GetObjectTaggingCommand({ Bucket, Key }));
    assert.equal(TagSet, [], Key);
    const { Grants } = await client.send(new s3.GetObjectAclCommand({ Bucket, Key }));
    assert.is(
      Grants?.some(({ Grantee }) => Grantee?.URI),
      false,
      `${Key} is not public`,
    );
  }
  const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: 'orig' }));
  assert.equal([head.Metadata, head.ETag], [{ secret: 'of the original' }, `"${md5('original')}"`]);
  assert.equal(events.slice(1).map(told).sort(), [
    'filesystem Created:Put cp',
    'filesystem Created:Put edited',
    'filesystem Created:Put rsync',
  ]);
});

test('a CopyObject and its source are two files: what is appended to one is not in the other', async () => {
  const world = await openWorld();
  const { client, bucket: Bucket } = world;
  const big = 'x'.repeat(3 << 20);
  await world.put('source', big);
  await client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/source` }));
  appendFileSync(world.file('copy'), 'appended');
  await world.eventsAfter(3);
  assert.equal([(await get(world, 'source')).body.length, (await get(world, 'source')).etag], [big.length, md5(big)]);
  assert.is((await get(world, 'copy')).etag, md5(`${big}appended`));
  appendFileSync(world.file('source'), 'other');
  const events = await world.eventsAfter(4);
  assert.equal([events[3]!.key, events[3]!.etag], ['source', md5(`${big}other`)]);
  assert.is(readFileSync(world.file('copy'), 'utf8'), `${big}appended`);
});

test('GET while a writer renames over the file: the one or the other, whole', async () => {
  const world = await openWorld();
  const size = 2 << 20;
  const letters = 'abcdefgh';
  let stop = false;
  let writes = 0;
  world.write('file', 'a'.repeat(size));
  const writer = (async () => {
    while (!stop) {
      writeFileSync(world.file('.next'), letters[writes++ % letters.length]!.repeat(size - (writes % 3) * 1000));
      renameSync(world.file('.next'), world.file('file'));
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  let whole = 0;
  for (let i = 0; i < 80; i++) {
    const { body, etag } = await get(world, 'file');
    const letter = body[0]!;
    assert.ok(
      body.every((byte) => byte === letter),
      'one file',
    );
    honest(etag, body);
    whole++;
  }
  stop = true;
  await writer;
  assert.ok(whole === 80 && writes > 20);
});

test('GET while a writer truncates, grows and overwrites in place: an answer that is complete is what its ETag says', async () => {
  const world = await openWorld();
  const { client, bucket: Bucket } = world;
  const size = 6 << 20;
  let complete = 0;
  let broken = 0;
  for (let i = 0; i < 24; i++) {
    const text = 'abc'[i % 3]!.repeat(size);
    writeFileSync(world.file('file'), text);
    // A file without a digest is handed out as it comes.
    await until('its digest', 20_000, async () => {
      const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key: 'file' }));
      return head.ETag === `"${md5(text)}"` || undefined;
    });
    const asked = get(world, 'file').then(
      ({ body, etag }) => {
        complete++;
        if (etag.endsWith('-0')) return;
        assert.is(md5(body), etag);
        assert.ok(body.equals(Buffer.from(text)), `mixed: ${body.length} bytes`);
      },
      (error: Error) => {
        if (error instanceof assert.Assertion) throw error;
        broken++;
      },
    );
    await new Promise((resolve) => setTimeout(resolve, i % 12));
    if (i % 3 === 0) truncateSync(world.file('file'), size / 2);
    else if (i % 3 === 1) appendFileSync(world.file('file'), 'z'.repeat(1000));
    else writeFileSync(world.file('file'), 'Q'.repeat(size), { flag: 'r+' });
    await asked;
  }
  assert.is(complete + broken, 24);
});

test.run();
