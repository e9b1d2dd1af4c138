/** What somebody with some rights tries in order to have more, over HTTP. */
import http from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { element } from '../http/stage.js';
import { anna, bert, bucket, denied, done, get, policy, put, refused, stage, statement } from './permissions.js';

const test = suite('permissions: hostile callers');
test.after(() => stage.close());

const byBert = (more: object) => ({ Principal: { CanonicalUser: bert }, ...more });
const shared = (ownership?: string) =>
  bucket({ 'x-amz-acl': 'public-read-write', ...(ownership && { 'x-amz-object-ownership': ownership }) });

/** Sends the headers, and the body when `meanwhile` is done. */
function slowly(url: string, body: string, meanwhile: () => Promise<unknown>): Promise<string> {
  const headers = { ...stage.sign(url, { method: 'PUT', as: 'bert', body }), 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const request = http.request(
      { port: stage.port, host: '127.0.0.1', method: 'PUT', path: url, headers },
      (reply) => {
        let text = '';
        reply.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        reply.on('end', () => resolve(`${reply.statusCode} ${text}`));
      },
    );
    request.on('error', reject);
    request.flushHeaders();
    setTimeout(() => meanwhile().then(() => request.end(body), reject), 100);
  });
}

const owned = (grant: string) =>
  `<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>${bert}</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>${grant}</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>`;

test('the ACL for one’s own object does not land on another’s that took its place meanwhile', async () => {
  const b = await shared();
  await done(put(`/${b}/x`, { as: 'bert', body: 'of bert' }));
  const answer = await slowly(`/${b}/x?acl`, owned(bert), () => done(put(`/${b}/x`, { body: 'of anna' })));
  assert.match(answer, /AccessDenied|OperationAborted/);
  await denied(get(`/${b}/x`, 'bert'));
});

test('tags do not land on an object whose own forbid it, and that took the place of another meanwhile', async () => {
  const b = await bucket();
  const secret = { StringEquals: { 's3:ExistingObjectTag/class': 'secret' } };
  const Action = ['s3:GetObject', 's3:PutObjectTagging'];
  const deny = { Effect: 'Deny', Action, Condition: secret };
  await policy(b, statement(b, byBert({ Action })), statement(b, byBert(deny)));
  const tagging = '<Tagging><TagSet><Tag><Key>class</Key><Value>public</Value></Tag></TagSet></Tagging>';
  await done(put(`/${b}/k?tagging`, { as: 'bert', body: tagging }));
  const { storage } = stage;
  const { updateMeta } = storage;
  let meanwhile = 0;
  try {
    storage.updateMeta = async (...args) => {
      if (meanwhile++ === 0) {
        await done(put(`/${b}/k`, { body: 'secret', headers: { 'x-amz-tagging': 'class=secret' } }));
      }
      return updateMeta(...args);
    };
    await denied(put(`/${b}/k?tagging`, { as: 'bert', body: tagging }));
  } finally {
    storage.updateMeta = updateMeta;
  }
  assert.is(meanwhile, 1);
  await denied(get(`/${b}/k`, 'bert'));
});

test('a denied PutObjectAcl or PutObjectTagging is denied to uploads with an ACL or tags too', async () => {
  const b = await shared();
  const deny = (Action: string) => statement(b, byBert({ Effect: 'Deny', Action }));
  await policy(b, deny('s3:PutObjectAcl'), deny('s3:PutObjectTagging'));
  const pairs: [string, string][] = [
    ['x-amz-acl', 'public-read'],
    ['x-amz-grant-read', `id=${anna}`],
    ['x-amz-tagging', 'a=b'],
  ];
  for (const headers of pairs.map((pair) => Object.fromEntries([pair]))) {
    await denied(put(`/${b}/y`, { as: 'bert', body: 'y', headers }));
    await denied(stage.send(`/${b}/y?uploads`, { method: 'POST', as: 'bert', headers }));
  }
  await done(put(`/${b}/y`, { as: 'bert', body: 'y' }));
  const source = { 'x-amz-copy-source': `/${b}/y` };
  await denied(put(`/${b}/z`, { as: 'bert', headers: { ...source, 'x-amz-acl': 'public-read' } }));
  const replaced = { 'x-amz-tagging-directive': 'REPLACE', 'x-amz-tagging': 'a=b' };
  await denied(put(`/${b}/z`, { as: 'bert', headers: { ...source, ...replaced } }));
});

test('who may only write what is the owner’s of the bucket publishes and tags nothing', async () => {
  const b = await bucket({ 'x-amz-object-ownership': 'BucketOwnerEnforced' });
  const write = statement(b, byBert({ Action: 's3:PutObject' }));
  const tagged = { 'x-amz-tagging': 'public=yes' };
  await policy(b, write);
  await done(put(`/${b}/y`, { as: 'bert', body: 'y' }));
  await denied(put(`/${b}/y`, { as: 'bert', body: 'y', headers: tagged }));
  await policy(b, write, statement(b, byBert({ Action: 's3:PutObjectTagging' })));
  await done(put(`/${b}/y`, { as: 'bert', body: 'y', headers: tagged }));
});

test('the tags that a copy brings along are tags that somebody sets', async () => {
  const b = await shared();
  await done(put(`/${b}/mine`, { as: 'bert', body: 'y', headers: { 'x-amz-tagging': 'a=b' } }));
  await policy(b, statement(b, byBert({ Effect: 'Deny', Action: 's3:PutObjectTagging' })));
  const headers = { 'x-amz-copy-source': `/${b}/mine` };
  await denied(put(`/${b}/copy`, { as: 'bert', headers }));
  await done(put(`/${b}/copy`, { as: 'bert', headers: { ...headers, 'x-amz-tagging-directive': 'REPLACE' } }));
  const condition = { StringEquals: { 's3:RequestObjectTag/a': 'b' } };
  const deny = { Effect: 'Deny', Action: 's3:PutObjectTagging', Condition: condition };
  await policy(b, statement(b, byBert(deny)));
  await denied(put(`/${b}/copy`, { as: 'bert', headers }));
});

/** A form of nobody. */
function form(b: string, fields: [string, string][], headers = {}) {
  const piece = ([name, value]: [string, string]) =>
    `--x\r\ncontent-disposition: form-data; name="${name}"${name === 'file' ? '; filename="f"' : ''}\r\n\r\n${value}\r\n`;
  const body = `${[...fields, ['file', 'text'] as [string, string]].map(piece).join('')}--x--\r\n`;
  const type = { 'content-type': 'multipart/form-data; boundary=x' };
  return stage.send(`/${b}`, { method: 'POST', as: null, body, headers: { ...type, ...headers } });
}

test('conditions are asked about the ACL with which a form is stored', async () => {
  const b = await shared();
  const condition = { StringLike: { 's3:x-amz-acl': 'public-*' } };
  await policy(b, statement(b, { Effect: 'Deny', Action: 's3:PutObject', Condition: condition }));
  await denied(
    form(b, [
      ['key', 'f'],
      ['acl', 'public-read'],
    ]),
  );
  await denied(
    form(b, [
      ['key', 'f'],
      ['x-amz-acl', 'public-read'],
    ]),
  );
  for (const both of [
    ['acl', 'x-amz-acl'],
    ['x-amz-acl', 'acl'],
  ] as const) {
    for (const values of [
      ['private', 'public-read'],
      ['public-read', 'private'],
    ] as const) {
      const fields: [string, string][] = [
        ['key', 'f'],
        [both[0], values[0]],
        [both[1], values[1]],
      ];
      assert.is.not((await form(b, fields)).status, 204, JSON.stringify(fields));
    }
  }
  // A header of the request says nothing about what is stored.
  const c = await bucket();
  const wanted = { StringEquals: { 's3:x-amz-acl': 'bucket-owner-full-control' } };
  await policy(c, statement(c, { Action: 's3:PutObject', Condition: wanted }));
  await denied(form(c, [['key', 'f']], { 'x-amz-acl': 'bucket-owner-full-control' }));
  assert.is(
    (
      await form(c, [
        ['key', 'f'],
        ['acl', 'bucket-owner-full-control'],
      ])
    ).status,
    204,
  );
});

test('nobody puts parts into an upload that will be another’s object, or completes it', async () => {
  const b = await shared();
  const started = await done(stage.send(`/${b}/m?uploads`, { method: 'POST' }));
  const id = element(started, 'UploadId') ?? '';
  const part = `/${b}/m?partNumber=1&uploadId=${id}`;
  await done(put(part, { body: 'of anna' }));
  await done(put(`/${b}/of-bert`, { as: 'bert', body: 'of bert' }));
  for (const as of ['bert', null] as const) {
    await denied(get(`/${b}/m?uploadId=${id}`, as === null ? 'bert' : as));
    await denied(put(part, { as, body: 'forged' }));
    await denied(put(part, { as: 'bert', headers: { 'x-amz-copy-source': `/${b}/of-bert` } }));
    const body =
      '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>';
    await denied(stage.send(`/${b}/m?uploadId=${id}`, { method: 'POST', as, body }));
  }
  const theirs = element(await done(stage.send(`/${b}/n?uploads`, { method: 'POST', as: 'bert' })), 'UploadId');
  await done(put(`/${b}/n?partNumber=1&uploadId=${theirs}`, { as: 'bert', body: 'of bert' }));
  await refused(put(`/${b}/n?partNumber=1&uploadId=gone`, { as: 'bert', body: 'of bert' }), 'NoSuchUpload');
});

test('the configuration of a bucket does not land on another account’s of the same name', async () => {
  const b = 'made-anew';
  await done(put(`/${b}`, { as: 'bert' }));
  const text = JSON.stringify({ Version: '2012-10-17', Statement: [statement(b, { Action: 's3:*' })] });
  const answer = await slowly(`/${b}?policy`, text, async () => {
    await done(stage.send(`/${b}`, { method: 'DELETE', as: 'bert' }));
    await done(put(`/${b}`));
  });
  assert.match(answer, /NoSuchBucket|AccessDenied/);
  await refused(get(`/${b}?policy`), 'NoSuchBucketPolicy');
});

test('rights that are taken away while a document comes are not used', async () => {
  const b = await bucket();
  const stored = await stage.storage.bucket(b);
  const bind = (bindings: object[]) =>
    stage.storage.putConfig(stored!, 'roles', JSON.stringify({ version: 1, bindings }));
  const given = () => bind([{ account: bert, role: 'maintainer' }]);
  await given();
  const open = JSON.stringify({ Version: '2012-10-17', Statement: [statement(b)] });
  assert.match(await slowly(`/${b}?policy`, open, () => bind([])), /AccessDenied/);
  await refused(get(`/${b}?policy`), 'NoSuchBucketPolicy');
  await given();
  const block = `<PublicAccessBlockConfiguration><BlockPublicPolicy>true</BlockPublicPolicy></PublicAccessBlockConfiguration>`;
  const blocked = () => done(put(`/${b}?publicAccessBlock`, { body: block }));
  assert.match(await slowly(`/${b}?policy`, open, blocked), /AccessDenied/);
});

test.run();
