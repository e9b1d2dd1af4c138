// timeout: 180
/** The same names through both doors, listed: in S3's order, in pages of every size, also while others change them. */
import { rmSync } from 'node:fs';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { haveProgram, mustRun } from '../support/programs.js';
import { type TwoDoors, worldsOf } from '../support/two-doors.js';

const test = suite('two worlds: listing');

const openWorld = worldsOf(test);

/** In UTF-16 the last two are the other way round; `!`, `-` and `.` come before `/`. */
const keys = [
  '2024-01/y',
  '2024/x',
  '2024/z/deep',
  'a!',
  'a-b',
  'a.txt',
  'a/0',
  'a/1',
  'a/2',
  'a/3',
  'a/4',
  'a0',
  'ￎ',
  '😀',
];

const fill = async (world: TwoDoors): Promise<void> => {
  for (const [i, key] of keys.entries()) {
    if (i % 2) await world.put(key, key);
    else world.write(key, key);
  }
};

/** What S3 says it should be: keys and common prefixes together, in order of their bytes. */
const model = (delimiter: string, prefix: string): string[] => {
  const shown = keys
    .filter((key) => key.startsWith(prefix))
    .map((key) => {
      const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      return end < 0 ? key : key.slice(0, end + 1);
    });
  return [...new Set(shown)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
};

interface Page {
  Contents?: s3._Object[] | undefined;
  CommonPrefixes?: s3.CommonPrefix[] | undefined;
  IsTruncated?: boolean | undefined;
}
const shownOn = ({ Contents = [], CommonPrefixes = [] }: Page): string[] =>
  [...Contents.map(({ Key }) => Key!), ...CommonPrefixes.map(({ Prefix }) => Prefix!)].sort((a, b) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );

test('order and pages: every size, both versions, with and without a delimiter', async () => {
  const world = await openWorld();
  const { client, bucket: Bucket } = world;
  await fill(world);
  for (const [delimiter, prefix] of [
    ['', ''],
    ['/', ''],
    ['/', 'a'],
    ['', 'a/'],
    ['/', '2024'],
    ['-', ''],
  ] as const) {
    const want = model(delimiter, prefix);
    const asked = { Bucket, ...(delimiter && { Delimiter: delimiter }), Prefix: prefix };
    for (let MaxKeys = 1; MaxKeys <= keys.length + 1; MaxKeys++) {
      const what = `${MaxKeys} of '${prefix}' by '${delimiter}'`;
      const two: string[] = [];
      for (let ContinuationToken: string | undefined; ; ) {
        const page = await client.send(new s3.ListObjectsV2Command({ ...asked, MaxKeys, ContinuationToken }));
        const shown = shownOn(page);
        assert.is(page.KeyCount, shown.length, what);
        assert.ok(shown.length <= MaxKeys && (shown.length === MaxKeys || !page.IsTruncated), what);
        two.push(...shown);
        if (!page.IsTruncated) break;
        ContinuationToken = page.NextContinuationToken;
      }
      assert.equal(two, want, `V2: ${what}`);
      const one: string[] = [];
      for (let Marker: string | undefined; ; ) {
        const page = await client.send(new s3.ListObjectsCommand({ ...asked, MaxKeys, Marker }));
        one.push(...shownOn(page));
        if (!page.IsTruncated) break;
        Marker = page.NextMarker ?? one.at(-1);
      }
      assert.equal(one, want, `V1: ${what}`);
    }
  }
});

test('boto3 sees the same', async () => {
  if (
    !haveProgram('python3') ||
    (await mustRun('python3', ['-c', 'import boto3']).catch(() => undefined)) === undefined
  ) {
    if (process.env['CI'] === 'true') throw new Error('boto3 is missing, and CI must have it');
    return;
  }
  const world = await openWorld();
  await fill(world);
  const { endpoint, accessKey, secretKey } = world.gateway;
  const script = `
import boto3, json, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3], region_name='us-east-1')
out = {}
for op in ('list_objects', 'list_objects_v2'):
    for delimiter in ('', '/'):
        for size in range(1, 16):
            pages = s3.get_paginator(op).paginate(Bucket='doors', Delimiter=delimiter, PaginationConfig={'PageSize': size})
            seen = []
            for page in pages:
                seen += [o['Key'] for o in page.get('Contents', [])] + [p['Prefix'] for p in page.get('CommonPrefixes', [])]
            out[f'{op} {delimiter} {size}'] = seen
print(json.dumps(out))`;
  const ran = await mustRun('python3', ['-c', script, endpoint, accessKey, secretKey]);
  const sorted = (all: string[]) => all.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const [what, seen] of Object.entries<string[]>(JSON.parse(ran.stdout))) {
    assert.equal(sorted(seen), model(what.split(' ')[1]!, ''), what);
  }
});

test('who pages sees once what was there all the time, whatever others do meanwhile', async () => {
  const world = await openWorld();
  const { client, bucket: Bucket } = world;
  const name = (i: number) => `d${i % 4}/${String(i).padStart(3, '0')}`;
  for (let i = 0; i < 120; i++) world.write(name(i), `${i}`);
  const stays = new Set(
    Array.from({ length: 120 }, (_, i) => i)
      .filter((i) => i % 3)
      .map(name),
  );
  const seen: string[] = [];
  let round = 0;
  for (let ContinuationToken: string | undefined; ; ) {
    const page = await client.send(new s3.ListObjectsV2Command({ Bucket, MaxKeys: 7, ContinuationToken }));
    seen.push(...shownOn(page));
    if (!page.IsTruncated) break;
    ContinuationToken = page.NextContinuationToken;
    for (const i of [round * 6, round * 6 + 3]) {
      if (i >= 120) continue;
      if (round % 2) await client.send(new s3.DeleteObjectCommand({ Bucket, Key: name(i) }));
      else rmSync(world.file(name(i)));
    }
    world.write(`d${round % 4}/new${round}`, 'new');
    await world.put(`d${(round + 2) % 4}/put${round}`, 'new');
    round++;
  }
  assert.ok(round > 10);
  assert.is(new Set(seen).size, seen.length, 'nothing twice');
  assert.equal(
    [...stays].filter((key) => !seen.includes(key)),
    [],
  );
});

test.run();
