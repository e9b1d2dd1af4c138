import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../../gateway/errors.js';
import {
  bucketTags,
  checkTags,
  objectTags,
  readCompleteMultipartUpload,
  readCreateBucketConfiguration,
  readDelete,
  readTagging,
} from '../../../gateway/s3/xml/shapes.js';

const test = suite('xml/shapes');
const code = (work: () => unknown) => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return (error as S3Error).code;
  }
};
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: S3Error) => error.code,
  );
const b = (text: string) => Buffer.from(text);

test('CreateBucketConfiguration', () => {
  assert.equal(readCreateBucketConfiguration(b('')), {});
  const xml = '<CreateBucketConfiguration><LocationConstraint>osakau</LocationConstraint></CreateBucketConfiguration>';
  assert.is(readCreateBucketConfiguration(b(xml)).locationConstraint, 'osakau');
  assert.is(
    code(() => readCreateBucketConfiguration(b('<X/>'))),
    'MalformedXML',
  );
  const directory = '<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>';
  assert.is(
    code(() => readCreateBucketConfiguration(b(directory))),
    'NotImplemented',
  );
});

test('Delete', async () => {
  const xml = `<Delete><Object><Key> a </Key><VersionId>null</VersionId></Object><Object><Key>&#10;</Key><ETag>"e"</ETag><Size>3</Size></Object><Quiet>true</Quiet></Delete>`;
  const { quiet, objects } = await readDelete(b(xml));
  assert.is(quiet, true);
  assert.is(objects[0]?.key, ' a ');
  assert.is(objects[0]?.versionId, 'null');
  assert.is(objects[1]?.key, '\n');
  assert.is(objects[1]?.size, 3);
  const many = (n: number) => `<Delete>${'<Object><Key>k</Key></Object>'.repeat(n)}</Delete>`;
  assert.is((await readDelete(b(many(1000)))).objects.length, 1000);
  for (const bad of [
    many(0),
    many(1001),
    '<Delete><Object/></Delete>',
    '<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>',
    '<Delete><Object><Key>a</Key></Object><Quiet>maybe</Quiet></Delete>',
    '<Delete><Object><Key>a</Key><Size>-1</Size></Object></Delete>',
  ]) {
    assert.is(await codeOf(readDelete(b(bad))), 'MalformedXML', bad.slice(0, 80));
  }
});

test('CompleteMultipartUpload', async () => {
  const part = (n: number | string, more = '') =>
    `<Part><PartNumber>${n}</PartNumber><ETag>"e${n}"</ETag>${more}</Part>`;
  const doc = (inner: string) => b(`<CompleteMultipartUpload>${inner}</CompleteMultipartUpload>`);
  assert.equal(await readCompleteMultipartUpload(doc(part(2, '<ChecksumCRC32>x==</ChecksumCRC32>') + part(1))), [
    { number: 2, etag: 'e2', checksums: { CRC32: 'x==' } },
    { number: 1, etag: 'e1', checksums: {} },
  ]);
  for (const bad of ['', part(0), part(10001), part('x'), part('-1'), '<Part><PartNumber>1</PartNumber></Part>']) {
    assert.is(await codeOf(readCompleteMultipartUpload(doc(bad))), 'MalformedXML', bad);
  }
});

test('Tagging', () => {
  const tag = (k: string, v: string) => `<Tag><Key>${k}</Key><Value>${v}</Value></Tag>`;
  const doc = (inner: string) => b(`<Tagging><TagSet>${inner}</TagSet></Tagging>`);
  assert.equal(
    readTagging(doc(tag('日本 x', 'a+b=c:/@_.-') + tag('__proto__', '')), objectTags),
    Object.fromEntries([
      ['日本 x', 'a+b=c:/@_.-'],
      ['__proto__', ''],
    ]),
  );
  assert.equal(readTagging(doc(''), objectTags), {});
  const bad = (inner: string, rules = objectTags) => code(() => readTagging(doc(inner), rules));
  assert.is(bad(tag('a', 'b') + tag('a', 'c')), 'InvalidTag');
  assert.is(bad(tag('aws:x', 'b')), 'InvalidTag');
  assert.is(bad(tag('', 'b')), 'InvalidTag');
  assert.is(bad(tag('a'.repeat(129), 'b')), 'InvalidTag');
  assert.is(bad(tag('a', 'b'.repeat(257))), 'InvalidTag');
  assert.is(bad(tag('a&amp;', 'b')), 'InvalidTag');
  assert.is(bad('<Tag><Key>a</Key></Tag>'), 'MalformedXML');
  assert.is(
    code(() => readTagging(b('<Tagging/>'), objectTags)),
    'MalformedXML',
  );
  const pairs = (n: number) => Array.from({ length: n }, (_, i) => [`k${i}`, 'v'] as const);
  assert.is(
    code(() => checkTags(pairs(10), objectTags)),
    'accepted',
  );
  assert.is(
    code(() => checkTags(pairs(11), objectTags)),
    'InvalidTag',
  );
  assert.is(
    code(() => checkTags(pairs(51), bucketTags)),
    'InvalidTag',
  );
});

test.run();
