/** Bucket policies and roles, over HTTP. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { element, elements } from '../http/stage.js';
import {
  bert,
  bucket,
  denied,
  done,
  get,
  policy,
  put,
  putDenied,
  refused,
  remove,
  stage,
  statement,
  type Who,
} from './permissions.js';

const test = suite('permissions: policies');
test.after(() => stage.close());
const writeWithAcl = ['s3:PutObject', 's3:PutObjectAcl'];

test('a policy: put, shown as it was, obeyed, taken away', async () => {
  const b = await bucket();
  const text = `{\n "Version": "2012-10-17",\n "Statement": ${JSON.stringify(statement(b))} }`;
  assert.is((await done(put(`/${b}?policy`, { body: text }))).status, 204);
  const shown = await done(get(`/${b}?policy`));
  assert.is(shown.body, text);
  assert.is(shown.headers['content-type'], 'application/json');
  assert.is(element(await get(`/${b}?policyStatus`), 'IsPublic'), 'true');
  for (const as of ['bert', null] as const) {
    assert.is((await get(`/${b}/sub/k`, as)).body, 'content of sub/k');
    await denied(get(`/${b}/absent`, as));
    await denied(get(`/${b}`, as));
    await denied(get(`/${b}/k?tagging`, as));
  }
  assert.is((await remove(`/${b}?policy`)).status, 204);
  await denied(get(`/${b}/k`, null));
  await refused(get(`/${b}?policy`), 'NoSuchBucketPolicy');
  assert.is(element(await get(`/${b}?policyStatus`), 'IsPublic'), 'false');
});

test('whoever may list a prefix is told what is missing below it', async () => {
  const b = await bucket();
  const listing = { Action: 's3:ListBucket', Condition: { StringLike: { 's3:prefix': 'sub/*' } } };
  await policy(b, statement(b), statement(b, listing));
  await refused(get(`/${b}/sub/absent`, null), 'NoSuchKey');
  await denied(get(`/${b}/absent`, null));
  assert.equal(elements(await done(get(`/${b}?prefix=sub/`, null)), 'Key'), ['sub/k']);
  await denied(get(`/${b}`, null));
});

test('what fails is not taken for what is not there', async () => {
  const b = await bucket();
  await policy(b, statement(b));
  const { open } = stage.storage;
  stage.storage.open = () => Promise.reject(new S3Error('SlowDown'));
  try {
    await refused(get(`/${b}/absent`, null), 'SlowDown');
  } finally {
    stage.storage.open = open;
  }
  await denied(get(`/${b}/absent`, null));
});

test('of a Deny that asks for tags, who may list is told what is missing: clients ask so before they write', async () => {
  const b = await bucket();
  await done(put(`/${b}/good`, { body: 'x', headers: { 'x-amz-tagging': 'scan=clean' } }));
  await policy(
    b,
    statement(b, { Action: ['s3:GetObject', 's3:ListBucket'] }),
    statement(b, {
      Effect: 'Deny',
      Condition: { StringNotEquals: { 's3:ExistingObjectTag/scan': 'clean' } },
    }),
  );
  for (const as of [undefined, 'bert'] as const) {
    await done(get(`/${b}/good`, as));
    await denied(get(`/${b}/k`, as));
    await refused(get(`/${b}/absent`, as), 'NoSuchKey');
    assert.is((await stage.send(`/${b}/absent`, { method: 'HEAD', ...(as && { as }) })).status, 404);
  }
});

test('what a policy says that is not evaluated is refused and named', async () => {
  const b = await bucket();
  const refuses = async (body: string, message: RegExp) => {
    const answer = await refused(put(`/${b}?policy`, { body }), 'MalformedPolicy');
    assert.match(element(answer, 'Message') ?? '', message);
    await refused(get(`/${b}?policy`), 'NoSuchBucketPolicy');
  };
  const one = (more: object) => JSON.stringify({ Version: '2012-10-17', Statement: statement(b, more) });
  await refuses('', /valid JSON/);
  await refuses('{"Version"', /valid JSON/);
  await refuses(one({ Action: 's3:Fly' }), /s3:Fly/);
  await refuses(one({ Condition: { StringEquals: { 'aws:MultiFactorAuthAge': '1' } } }), /MultiFactorAuthAge/);
  await refuses(one({ Condition: { Roughly: { 'aws:UserAgent': '1' } } }), /Roughly/);
  await refuses(one({ Resource: 'arn:aws:s3:::another/*' }), /resource/i);
  await refuses(one({ Extra: 1 }), /Extra/);
  await refuses(one({ Sid: 'x'.repeat(21_000) }), /20480/);
});

test('a Deny holds for the owner too, who cannot lock himself out', async () => {
  const b = await bucket();
  await policy(b, statement(b, { Effect: 'Deny', Action: 's3:*' }));
  await denied(get(`/${b}/k`));
  await denied(get(`/${b}`));
  await denied(remove(`/${b}`));
  await denied(put(`/${b}/k`, { body: 'x' }));
  await done(get(`/${b}?policy`));
  await policy(b, statement(b));
  await policy(b, statement(b, { Effect: 'Deny', Action: 's3:*' }));
  await done(remove(`/${b}?policy`));
  assert.is((await get(`/${b}/k`)).body, 'content of k');
});

test('a stored policy that cannot be read denies', async () => {
  const b = await bucket({ 'x-amz-acl': 'public-read' });
  const stored = await stage.storage.bucket(b);
  await stage.storage.putConfig(stored!, 'policy', '{"Version":"2042-01-01"}');
  await denied(get(`/${b}`, null));
  await denied(get(`/${b}/k`));
  await done(remove(`/${b}?policy`));
  await done(get(`/${b}`, null));
});

test('conditions: address, agent, tags of the object and of the request', async () => {
  const b = await bucket();
  const open = { body: 'x', headers: { 'x-amz-tagging': 'secret=no' } };
  await done(put(`/${b}/open`, open));
  await done(put(`/${b}/closed`, { body: 'x', headers: { 'x-amz-tagging': 'secret=yes' } }));
  await policy(b, statement(b, { Condition: { StringEquals: { 's3:ExistingObjectTag/secret': 'no' } } }));
  await done(get(`/${b}/open`, null));
  await denied(get(`/${b}/closed`, null));
  await denied(get(`/${b}/k`, null));

  await policy(b, statement(b, { Condition: { IpAddress: { 'aws:SourceIp': '127.0.0.0/8' } } }));
  await done(get(`/${b}/k`, null));
  await policy(b, statement(b, { Condition: { IpAddress: { 'aws:SourceIp': '192.0.2.0/24' } } }));
  await denied(get(`/${b}/k`, null));
  await policy(b, statement(b, { Condition: { StringLike: { 'aws:UserAgent': 'good*' } } }));
  await done(get(`/${b}/k`, null, { 'user-agent': 'good one' }));
  await denied(get(`/${b}/k`, null, { 'user-agent': 'bad one' }));

  const tagged = { Action: ['s3:PutObject', 's3:PutObjectTagging'], Principal: { AWS: bert } };
  await policy(b, statement(b, { ...tagged, Condition: { StringEquals: { 's3:RequestObjectTag/by': 'bert' } } }));
  await done(put(`/${b}/t`, { as: 'bert', body: 'x', headers: { 'x-amz-tagging': 'by=bert' } }));
  await putDenied(`/${b}/t2`, 'bert');
  await putDenied(`/${b}/t2`, 'bert', { 'x-amz-tagging': 'by=anna' });
  const tags = (value: string) => ({
    as: 'bert' as const,
    body: `<Tagging><TagSet><Tag><Key>by</Key><Value>${value}</Value></Tag></TagSet></Tagging>`,
  });
  await done(put(`/${b}/k?tagging`, tags('bert')));
  await denied(put(`/${b}/k?tagging`, tags('anna')));
  assert.is(element(await get(`/${b}/k?tagging`), 'Value'), 'bert');

  await policy(
    b,
    statement(b, { Action: writeWithAcl, Condition: { StringEquals: { 's3:x-amz-acl': 'public-read' } } }),
  );
  await putDenied(`/${b}/a`, null);
  await done(put(`/${b}/a`, { as: null, body: 'x', headers: { 'x-amz-acl': 'public-read' } }));
});

test('conditions on tags, where nothing else depends on the object', async () => {
  const b = await bucket({ 'x-amz-object-ownership': 'BucketOwnerEnforced' });
  const tags = (value: string) => `<Tagging><TagSet><Tag><Key>by</Key><Value>${value}</Value></Tag></TagSet></Tagging>`;
  await done(put(`/${b}/kept`, { body: 'x', headers: { 'x-amz-tagging': 'keep=yes' } }));
  const kept = (more: object) =>
    statement(b, { Condition: { StringEquals: { 's3:ExistingObjectTag/keep': 'yes' } }, ...more });
  await policy(b, kept({}), kept({ Effect: 'Deny', Action: 's3:DeleteObject' }));
  await done(get(`/${b}/kept`, 'bert'));
  await denied(get(`/${b}/k`, 'bert'));
  await denied(remove(`/${b}/kept`));
  await denied(put(`/${b}/kept?acl`, { as: 'bert', headers: { 'x-amz-acl': 'private' } }));
  await done(remove(`/${b}/k`));
  await done(remove(`/${b}/absent`));
  const body = '<Delete><Object><Key>kept</Key></Object><Object><Key>sub/k</Key></Object></Delete>';
  const deleted = await done(stage.send(`/${b}?delete`, { method: 'POST', body }));
  assert.match(deleted.body, /<Deleted><Key>sub\/k<\/Key><\/Deleted><Error><Key>kept<\/Key><Code>AccessDenied</);

  const byBert = { StringEquals: { 's3:RequestObjectTag/by': 'bert' } };
  await policy(b, statement(b, { Action: 's3:PutObjectTagging', Condition: byBert }));
  await denied(put(`/${b}/kept?tagging`, { as: 'bert', body: tags('anna') }));
  await done(put(`/${b}/kept?tagging`, { as: 'bert', body: tags('bert') }));
  await done(put(`/${b}/kept?tagging`, { as: null, body: tags('bert') }));
});

test('copies need to read the source and to write the destination', async () => {
  const [from, to] = [await bucket(), await bucket()];
  const copy = (key: string, as: Who = 'bert', more = {}) =>
    put(`/${to}/copy`, { as, headers: { 'x-amz-copy-source': `/${from}/${key}`, ...more } });
  await denied(copy('k'));
  await policy(to, statement(to, { Action: 's3:PutObject', Principal: { AWS: bert } }));
  await denied(copy('k'));
  await denied(copy('absent'));
  await policy(from, statement(from, { Principal: { AWS: bert }, Resource: `${from}/k` }));
  await done(copy('k'));
  await denied(copy('sub/k'));
  await denied(copy('%73ub/k'));
  assert.is((await get(`/${to}/copy`, 'bert')).body, 'content of k', 'the copy is his who made it');
  await denied(get(`/${to}/copy`));
  // Tags are read of the source, too.
  await done(
    put(`/${from}/k?tagging`, { body: '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>' }),
  );
  await denied(copy('k'));
  await done(copy('k', 'bert', { 'x-amz-tagging-directive': 'REPLACE' }));

  const upload = element(await done(stage.send(`/${to}/big?uploads`, { method: 'POST', as: 'bert' })), 'UploadId');
  const part = (key: string) =>
    put(`/${to}/big?uploadId=${upload}&partNumber=1`, {
      as: 'bert',
      headers: { 'x-amz-copy-source': `/${from}/${key}` },
    });
  await done(part('k'));
  await denied(part('sub/k'));
  await policy(from, statement(from), statement(from, { Effect: 'Deny', Principal: { AWS: bert } }));
  await denied(part('k'));
  await denied(copy('k'));
});

test('DeleteObjects asks for each key', async () => {
  const b = await bucket();
  await policy(b, statement(b, { Action: 's3:DeleteObject', Principal: { AWS: bert }, Resource: `${b}/sub/*` }));
  const body = '<Delete><Object><Key>k</Key></Object><Object><Key>sub/k</Key></Object></Delete>';
  const answer = await done(stage.send(`/${b}?delete`, { method: 'POST', as: 'bert', body }));
  assert.match(answer.body, /<Deleted><Key>sub\/k<\/Key><\/Deleted>/);
  assert.match(answer.body, /<Error><Key>k<\/Key><Code>AccessDenied<\/Code>/);
  await done(get(`/${b}/k`));
  await refused(get(`/${b}/sub/k`), 'NoSuchKey');
  await done(remove(`/${b}?policy`));
  await denied(stage.send(`/${b}?delete`, { method: 'POST', as: null, body }));
  const none = await done(stage.send(`/${b}?delete`, { method: 'POST', as: 'bert', body }));
  assert.is(elements(none, 'Code').length, 2);
});

test('a role lets in, and what its holder writes is the bucket owner’s', async () => {
  const b = await bucket();
  const stored = await stage.storage.bucket(b);
  const roles = (role: string) =>
    stage.storage.putConfig(stored!, 'roles', JSON.stringify({ version: 1, bindings: [{ account: bert, role }] }));
  await roles('reader');
  await done(get(`/${b}/k`, 'bert'));
  await putDenied(`/${b}/new`, 'bert');
  await roles('writer');
  await done(put(`/${b}/new`, { as: 'bert', body: 'of all' }));
  assert.is((await get(`/${b}/new`)).body, 'of all');
  await denied(get(`/${b}?policy`, 'bert'));
  await denied(get(`/${b}/k`, null));
});

test('a form needs PutObject on its key, and may bring an ACL', async () => {
  const b = await bucket();
  const post = (key: string, more: Record<string, string> = {}) => {
    const fields = { key, ...more };
    const parts = Object.entries(fields).map(
      ([name, value]) => `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    );
    const body = `${parts.join('')}--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhello\r\n--x--\r\n`;
    const headers = { 'content-type': 'multipart/form-data; boundary=x' };
    return stage.send(`/${b}`, { method: 'POST', as: null, headers, body });
  };
  await denied(post('in/a'));
  const condition = { Condition: { StringEquals: { 's3:x-amz-acl': 'public-read' } } };
  await policy(b, statement(b, { Action: writeWithAcl, Resource: `${b}/in/*`, ...condition }));
  await denied(post('out/a', { acl: 'public-read' }));
  await denied(post('in/a'));
  await done(post('in/a', { acl: 'public-read' }));
  assert.is((await get(`/${b}/in/a`, null)).body, 'hello');
});

test('whoever began an upload may look at it and end it', async () => {
  const b = await bucket();
  await policy(b, statement(b, { Action: 's3:PutObject', Principal: { AWS: bert } }));
  const begin = (as: Who) => done(stage.send(`/${b}/big?uploads`, { method: 'POST', as }));
  const of = async (as: Who) => `/${b}/big?uploadId=${element(await begin(as), 'UploadId')}`;
  const [his, hers] = [await of('bert'), await of('anna')];
  await done(put(`${his}&partNumber=1`, { as: 'bert', body: 'x' }));
  await done(get(his, 'bert'));
  await denied(get(his, null));
  await denied(get(hers, 'bert'));
  await denied(remove(hers, 'bert'));
  await denied(remove(`/${b}/big?uploadId=absent`, 'bert'));
  await done(remove(his, 'bert'));
  await refused(get(his), 'NoSuchUpload');
  await done(remove(hers));
});

test.run();
