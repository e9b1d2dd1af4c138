/** Requests that name a version, conditional writes that a policy demands, forms signed in a header: over HTTP. */
import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bucket, denied, done, get, policy, put, refused, remove, stage, statement } from './permissions.js';

const test = suite('permissions: versions, conditional writes, signed forms');
test.after(() => stage.close());

const other = '3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH';
const tagging = '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>';
const deleteOf = (versionId: string) =>
  `<Delete><Object><Key>sub/k</Key>${versionId && `<VersionId>${versionId}</VersionId>`}</Object></Delete>`;

/** What bert sends, with `?versionId=null` and without, and the action that each needs (service authorisation reference). */
const calls: [
  name: string,
  plain: string,
  versioned: string,
  send: (b: string, version: string) => Promise<unknown>,
][] = [
  ['GetObject', 'GetObject', 'GetObjectVersion', (b, v) => done(get(`/${b}/k?x-id=1${v}`, 'bert'))],
  [
    'HeadObject',
    'GetObject',
    'GetObjectVersion',
    async (b, v) => assert.is((await stage.send(`/${b}/k?x-id=1${v}`, { method: 'HEAD', as: 'bert' })).status, 200),
  ],
  ['GetObjectAcl', 'GetObjectAcl', 'GetObjectVersionAcl', (b, v) => done(get(`/${b}/k?acl${v}`, 'bert'))],
  [
    'PutObjectAcl',
    'PutObjectAcl',
    'PutObjectVersionAcl',
    (b, v) => done(put(`/${b}/k?acl${v}`, { as: 'bert', headers: { 'x-amz-acl': 'private' } })),
  ],
  [
    'PutObjectTagging',
    'PutObjectTagging',
    'PutObjectVersionTagging',
    (b, v) => done(put(`/${b}/k?tagging${v}`, { as: 'bert', body: tagging })),
  ],
  [
    'GetObjectTagging',
    'GetObjectTagging',
    'GetObjectVersionTagging',
    (b, v) => done(get(`/${b}/k?tagging${v}`, 'bert')),
  ],
  [
    'DeleteObjectTagging',
    'DeleteObjectTagging',
    'DeleteObjectVersionTagging',
    (b, v) => done(remove(`/${b}/k?tagging${v}`, 'bert')),
  ],
  [
    'CopyObject, of its source',
    'GetObject',
    'GetObjectVersion',
    async (b, v) => {
      const to = `/of-bert/${Math.random()}`;
      const source = `/${b}/k${v.replace('&', '?')}`;
      // A copy brings tags along, if it may: there are none here.
      await done(
        put(to, { as: 'bert', headers: { 'x-amz-copy-source': source, 'x-amz-tagging-directive': 'REPLACE' } }),
      );
    },
  ],
  [
    'DeleteObjects',
    'DeleteObject',
    'DeleteObjectVersion',
    async (b, v) => {
      const sent = { method: 'POST', as: 'bert' as const, body: deleteOf(v && 'null') };
      assert.not.match((await done(stage.send(`/${b}?delete`, sent))).body, '<Error>');
    },
  ],
  ['DeleteObject', 'DeleteObject', 'DeleteObjectVersion', (b, v) => done(remove(`/${b}/k?x-id=1${v}`, 'bert'))],
];

test('a request that names a version needs the action of versions, and only that', async () => {
  await done(put('/of-bert', { as: 'bert' }));
  for (const [name, plain, versioned, send] of calls) {
    const b = await bucket();
    for (const [allowed, works, fails] of [
      [plain, '', '&versionId=null'],
      [versioned, '&versionId=null', ''],
    ] as const) {
      await policy(b, statement(b, { Action: [`s3:${allowed}`] }));
      let refusal: unknown;
      await send(b, fails).catch((error: unknown) => (refusal = error));
      assert.ok(refusal, `${name}: ${allowed} must not do for "${fails}"`);
      await send(b, works);
      for (const key of ['k', 'sub/k']) await put(`/${b}/${key}`, { body: 'again' });
    }
  }
});

test('GetObjectAttributes of a version needs both actions of versions', async () => {
  const b = await bucket();
  const ask = (query: string) => get(`/${b}/k?attributes${query}`, 'bert', { 'x-amz-object-attributes': 'ObjectSize' });
  await policy(
    b,
    statement(b, { Action: ['s3:GetObject', 's3:GetObjectAttributes', 's3:GetObjectVersionAttributes'] }),
  );
  await denied(ask('&versionId=null'));
  await policy(b, statement(b, { Action: ['s3:GetObjectVersion', 's3:GetObjectVersionAttributes'] }));
  await done(ask('&versionId=null'));
  await denied(ask(''));
});

test('there is one version, null: others are not there, and what is none is refused', async () => {
  const b = await bucket();
  await refused(get(`/${b}/k?versionId=${other}`), 'NoSuchVersion');
  await refused(get(`/${b}/k?versionId=`), 'InvalidArgument');
  await refused(get(`/${b}/k?versionId=x`), 'InvalidArgument');
  await done(remove(`/${b}/k?versionId=${other}`));
  await done(get(`/${b}/k`));
});

test('a denied PutObjectTagging by request tag is denied for the null version too', async () => {
  const b = await bucket();
  const Condition = { StringEquals: { 's3:RequestObjectTag/a': 'b' } };
  const all = { Action: 's3:PutObject*Tagging' };
  await policy(b, statement(b, all), statement(b, { ...all, Effect: 'Deny', Condition }));
  await denied(put(`/${b}/k?tagging`, { as: 'bert', body: tagging }));
  await denied(put(`/${b}/k?tagging&versionId=null`, { as: 'bert', body: tagging }));
  await done(put(`/${b}/k?tagging&versionId=null`, { as: 'bert', body: tagging.replace('>b<', '>c<') }));
});

// ---- conditional writes ------------------------------------------------------------------------------------------

/** The policy of AWS's guide: new objects only, and multipart uploads that end so. */
const createOnly = (b: string) => [
  statement(b, { Action: 's3:PutObject', Condition: { Null: { 's3:if-none-match': 'false' } } }),
  statement(b, { Action: 's3:PutObject', Condition: { Bool: { 's3:ObjectCreationOperation': 'false' } } }),
];

const formType = { 'content-type': 'multipart/form-data; boundary=x' };
const formOf = (fields: Record<string, string>, file = 'text') => {
  const piece = (name: string, value: string, more = '') =>
    `--x\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;
  const pieces = Object.entries(fields).map(([name, value]) => piece(name, value));
  return `${pieces.join('')}${piece('file', file, '; filename="f"')}--x--\r\n`;
};

test('who may only create objects creates them, and replaces none', async () => {
  const b = await bucket();
  await policy(b, ...createOnly(b));
  const send = (key: string, headers: Record<string, string>) =>
    put(`/${b}/${key}`, { as: 'bert', body: 'x', headers });
  await denied(send('new', {}));
  await done(send('new', { 'if-none-match': '*' }));
  await refused(send('new', { 'if-none-match': '*' }), 'PreconditionFailed');
  // An ETag is a condition that another content does not meet: it must not open what `*` is demanded for.
  for (const value of ['"0123456789abcdef0123456789abcdef"', '', '**'])
    await denied(send('k', { 'if-none-match': value }));
  assert.is((await get(`/${b}/k`)).body, 'content of k');
  const source = { 'x-amz-copy-source': `/${b}/new` };
  await denied(put(`/${b}/k`, { as: 'bert', headers: source }));
  const begun = await done(stage.send(`/${b}/m?uploads`, { method: 'POST', as: 'bert' }));
  const id = /<UploadId>([^<]+)/.exec(begun.body)?.[1];
  const part = await done(put(`/${b}/m?partNumber=1&uploadId=${id}`, { as: 'bert', body: 'part' }));
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers.etag}</ETag></Part></CompleteMultipartUpload>`;
  const complete = (headers: Record<string, string>) =>
    stage.send(`/${b}/m?uploadId=${id}`, { method: 'POST', as: 'bert', body, headers });
  await denied(complete({}));
  await done(complete({ 'if-none-match': '*' }));
  // A form replaces whatever is there, so no field of it is a condition.
  const form = formOf({ key: 'k', 'if-none-match': '*' });
  await denied(stage.send(`/${b}`, { method: 'POST', as: null, body: form, headers: formType }));
  assert.is((await get(`/${b}/k`)).body, 'content of k');
});

test('who may delete only what he knows names its ETag', async () => {
  const b = await bucket();
  await policy(b, statement(b, { Action: 's3:DeleteObject', Condition: { Null: { 's3:if-match': 'false' } } }));
  await denied(remove(`/${b}/k`, 'bert'));
  const etag = createHash('md5').update('content of k').digest('hex');
  const conditional = (value: string) =>
    stage.send(`/${b}/k`, { method: 'DELETE', as: 'bert', headers: { 'if-match': value } });
  await refused(conditional('"0123456789abcdef0123456789abcdef"'), 'PreconditionFailed');
  await done(conditional(`"${etag}"`));
});

test('condition keys of AWS that are not evaluated are refused, and named', async () => {
  const b = await bucket();
  for (const key of [
    's3:BucketTag/a',
    's3:AccessPointNetworkOrigin',
    's3:DataAccessPointArn',
    's3:DataAccessPointAccount',
    's3:AccessGrantsInstanceArn',
    's3:InventoryAccessibleOptionalFields',
    's3:object-lock-remaining-retention-days',
    's3:isReplicationPauseRequest',
    's3:ExistingJobPriority',
    'aws:ResourceTag/a',
    'aws:RequestTag/a',
    'aws:TagKeys',
    'aws:SourceVpce',
    'aws:SourceArn',
    'aws:PrincipalOrgID',
    'aws:MultiFactorAuthPresent',
    'aws:PrincipalTag/a',
    'aws:ViaAWSService',
    's3:if-modified-since',
    's3:RequestObjectTag/',
    's3:__proto__',
  ]) {
    const body = JSON.stringify({
      Version: '2012-10-17',
      Statement: [statement(b, { Condition: { StringEquals: { [key]: 'x' } } })],
    });
    const answer = await refused(put(`/${b}?policy`, { body }), 'MalformedPolicy');
    assert.match(answer.body.replaceAll('&quot;', '"'), `"${key}"`);
  }
  await refused(get(`/${b}?policy`), 'NoSuchBucketPolicy');
});

// ---- forms signed in a header ------------------------------------------------------------------------------------

test('a form whose hash is signed in a header is stored; one that is another is not', async () => {
  const b = await bucket();
  const body = formOf({ key: 'k' });
  const headers = stage.sign(`/${b}`, { method: 'POST', body, headers: formType });
  for (const forged of [formOf({ key: 'k' }, 'evil'), formOf({ key: 'evil' }), `${body}\r\n`]) {
    await refused(
      stage.send(`/${b}`, { method: 'POST', as: null, body: forged, headers }),
      'XAmzContentSHA256Mismatch',
    );
  }
  assert.is((await get(`/${b}/k`)).body, 'content of k');
  await refused(get(`/${b}/evil`), 'NoSuchKey');
  await done(stage.send(`/${b}`, { method: 'POST', as: null, body, headers }));
  assert.is((await get(`/${b}/k`)).body, 'text');
});

test.run();
