// timeout: 240
/** Names that come, go, move, collide, or are no objects at all. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';
import { until } from '../support/time.js';
import { md5, type TwoDoors, told, worldsOf } from '../support/two-doors.js';

const test = suite('two worlds: names');

const openWorld = worldsOf(test);

const listed = async ({ client, bucket: Bucket }: TwoDoors): Promise<string[]> => {
  const { Contents = [] } = await client.send(new s3.ListObjectsV2Command({ Bucket, EncodingType: undefined }));
  return Contents.map(({ Key }) => Key!);
};
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** What a reader of the feed believes to be there. */
const replayed = (world: TwoDoors): string[] => {
  const keys = new Set<string>();
  for (const { name, key } of world.events()) {
    if (name === 'ObjectRemoved:Delete') keys.delete(key);
    else keys.add(key);
  }
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
};

test('a tree that was moved is recognised: nothing is hashed again, and each name is told once', async () => {
  const world = await openWorld({ flags: ['--sync-watch', 'off', '--sync-quick-scan', 'never'] });
  for (let i = 0; i < 30; i++) world.write(`tree/${i % 3}/${i}`, `file ${i}`);
  for (let i = 0; i < 5; i++) await world.put(`tree/s3/${i}`, `object ${i}`);
  let run = await world.sync();
  assert.equal([run['Added'], run['Errors']], ['30', '0']);
  renameSync(world.file('tree'), world.file('moved'));
  run = await world.sync();
  assert.equal([run['Renamed'], run['BytesHashed'], run['Added'], run['Deleted']], ['35', '0', '0', '0']);
  const events = world.events().slice(35).map(told);
  assert.is(events.length, 70);
  assert.is(new Set(events).size, 70);
  assert.ok(events.includes('filesystem Created:Put moved/1/4 from tree/1/4'));
  assert.ok(events.includes('filesystem Removed:Delete tree/s3/2'));
  run = await world.sync();
  assert.equal([run['Unchanged'], run['BytesHashed']], ['35', '0']);
});

test('a path that is removed and made again', async () => {
  const world = await openWorld();
  world.write('d/a', 'first');
  await world.eventsAfter(1);
  for (let i = 0; i < 10; i++) {
    rmSync(world.file('d'), { recursive: true });
    if (i % 2) await pause(700);
    world.write('d/a', `content ${i}`);
    await until('the new content', 10_000, () => world.events().at(-1)?.etag === md5(`content ${i}`) || undefined);
  }
  await pause(1000);
  const texts = world
    .events()
    .map(({ etag }) => etag)
    .filter((etag) => etag !== undefined);
  assert.is(new Set(texts).size, texts.length, 'each content once');
  assert.equal(replayed(world), ['d/a']);
});

test('multipart: a part that is not listed is not there, and two completions are one event', async () => {
  const world = await openWorld();
  const { client, bucket: Bucket } = world;
  const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: 'm' }));
  const at = { Bucket, Key: 'm', UploadId };
  const part = async (PartNumber: number, Body: Buffer) => {
    const { ETag } = await client.send(new s3.UploadPartCommand({ ...at, PartNumber, Body }));
    return { PartNumber, ETag };
  };
  const five = (letter: string) => Buffer.alloc(5 << 20, letter);
  const one = await part(1, five('a'));
  await part(2, five('b'));
  const three = await part(3, Buffer.from('end'));
  const complete = () =>
    client.send(new s3.CompleteMultipartUploadCommand({ ...at, MultipartUpload: { Parts: [one, three] } })).then(
      ({ ETag }) => ETag,
      (error: s3.S3ServiceException) => error.name,
    );
  // A retry of a part races with the completions.
  const late = part(1, five('x')).then(
    () => 'uploaded',
    (error: s3.S3ServiceException) => error.name,
  );
  const answers = await Promise.all([complete(), complete(), late.then(complete)]);
  const etags = new Set(answers.filter((answer) => answer?.startsWith('"')));
  const object = await client.send(new s3.GetObjectCommand({ Bucket, Key: 'm' })).catch(() => undefined);
  if (etags.size > 0) {
    assert.is(etags.size, 1, answers.join());
    const body = Buffer.from(await object!.Body!.transformToByteArray());
    assert.ok(body.equals(Buffer.concat([five('a'), Buffer.from('end')])), 'parts 1 and 3');
  } else
    assert.ok(
      answers.every((answer) => answer === 'InvalidPart' || answer === 'NoSuchUpload'),
      answers.join(),
    );
  await pause(1500);
  assert.equal(world.events().map(told), etags.size > 0 ? ['s3 Created:CompleteMultipartUpload m'] : []);
});

test('`a` and `a/b`, from two gateways and the filesystem: one of them, and everybody is told which', async () => {
  const world = await openWorld();
  const { gateway, bucket: Bucket } = world;
  const second = await startGateway({
    root: gateway.root,
    flags: ['--log-level', 'warn', '--sync-quiet', '0s', '--durability', 'none'],
  });
  const other = sdk(second);
  try {
    for (let i = 0; i < 25; i++) {
      const a = `k${i}/a`;
      const tries = [
        world.put(a, 'file'),
        other.send(new s3.PutObjectCommand({ Bucket, Key: `${a}/b`, Body: 'below' })),
        (async () => {
          await pause(i % 5);
          if (i % 2) writeFileSync(world.file(a), 'job');
          else mkdirSync(world.file(a), { recursive: true });
        })(),
      ];
      await Promise.allSettled(tries);
    }
    let shown: string[] = [];
    await until('all is told', 15_000, async () => {
      shown = await listed(world);
      return JSON.stringify(shown) === JSON.stringify(replayed(world)) || undefined;
    });
    assert.ok(shown.length >= 20, `${shown.length}`);
    for (const key of shown) assert.ok(!shown.includes(`${key}/b`), key);
    const { Contents = [] } = await other.send(new s3.ListObjectsV2Command({ Bucket }));
    assert.equal(
      Contents.map(({ Key }) => Key),
      shown,
    );
  } finally {
    other.destroy();
    assert.is(await second.stop(), 0);
  }
});

test('what is no plain file is no object, and odd names are names', async () => {
  const world = await openWorld();
  const long = 'l'.repeat(255);
  const odd = ['line\nbreak', long, 'tab\tand "quotes" & <tags>', '..dots', '日本語', 'trailing ', '%2F', 'a+b'];
  for (const name of odd) world.write(`odd/${name}`, name);
  execFileSync('mkfifo', [world.file('odd/fifo')]);
  symlinkSync('loop', world.file('odd/loop'));
  symlinkSync('nowhere', world.file('odd/dangling'));
  symlinkSync('..', world.file('odd/up'));
  writeFileSync(Buffer.concat([Buffer.from(world.file('odd/')), Buffer.from([0xff, 0xfe, 0x41])]), 'not UTF-8');
  const server = createServer().listen(world.file('odd/s'));
  await until('the socket', 5000, () => server.listening || undefined);
  try {
    execFileSync('setfattr', ['-n', 'user.other', '-v', 'foreign', world.file('odd/a+b')]);
    const wanted = odd.map((name) => `odd/${name}`).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    await until('the events', 15_000, () => replayed(world).length >= odd.length || undefined);
    await pause(1500);
    assert.equal(replayed(world), wanted);
    assert.is(world.events().length, odd.length);
    assert.equal(await listed(world), wanted);
    for (const Key of wanted) {
      const { Body, ETag } = await world.client.send(new s3.GetObjectCommand({ Bucket: world.bucket, Key }));
      assert.is(await Body!.transformToString(), Key.slice(4));
      assert.is(ETag, `"${md5(Key.slice(4))}"`);
    }
    const kept = execFileSync('getfattr', ['--only-values', '-n', 'user.other', world.file('odd/a+b')]).toString();
    assert.is(kept, 'foreign');
    const { Contents = [] } = await world.client.send(
      new s3.ListObjectsV2Command({ Bucket: world.bucket, EncodingType: 'url' }),
    );
    assert.is(Contents.length, odd.length);
  } finally {
    server.close();
  }
});

test.run();
