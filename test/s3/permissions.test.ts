/** Who may do what, over HTTP: anna owns buckets, bert and nobody try. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Answer, element, elements, type Name, type Sent, type Stage, startStage } from '../http/stage.js';

const test = suite('permissions');
let stage: Stage;
let count = 0;
test.before(async () => {
  stage = await startStage();
});
test.after(() => stage.close());

const anna = '00000000-0000-0000-0000-00000000anna';
const bert = '00000000-0000-0000-0000-00000000bert';
type Who = Name | null;

const put = (url: string, sent: Sent = {}) => stage.send(url, { method: 'PUT', ...sent });
const get = (url: string, as: Who = 'anna', headers = {}) => stage.send(url, { as, headers });
const remove = (url: string, as: Who = 'anna') => stage.send(url, { method: 'DELETE', as });
const done = async (work: Promise<Answer>): Promise<Answer> => {
  const answer = await work;
  assert.ok(answer.status < 300, `${answer.status} ${answer.body}`);
  return answer;
};
const refused = async (work: Promise<Answer>, code: string): Promise<Answer> => {
  const answer = await work;
  assert.is(element(answer, 'Code'), code, `${answer.status} ${answer.body}`);
  return answer;
};
const denied = (work: Promise<Answer>) => refused(work, 'AccessDenied');

/** A new bucket of anna's with the objects `k` and `sub/k`. */
async function bucket(headers: Record<string, string> = {}): Promise<string> {
  const name = `b-${++count}`;
  await done(put(`/${name}`, { headers }));
  for (const key of ['k', 'sub/k']) await done(put(`/${name}/${key}`, { body: `content of ${key}` }));
  return name;
}
const acl = (path: string, value: string) => done(put(`${path}?acl`, { headers: { 'x-amz-acl': value } }));
const statement = (name: string, more: object = {}) => ({
  Effect: 'Allow',
  Principal: '*',
  Action: 's3:GetObject',
  Resource: [`arn:aws:s3:::${name}`, `arn:aws:s3:::${name}/*`],
  ...more,
});
const policy = (name: string, ...statements: object[]) =>
  done(put(`/${name}?policy`, { body: JSON.stringify({ Version: '2012-10-17', Statement: statements }) }));
const put403 = (path: string, as: Who, headers = {}) => denied(put(path, { as, headers, body: 'x' }));

test('without any document all is for the owner alone', async () => {
  const b = await bucket();
  for (const as of ['bert', null] as const) {
    await denied(get(`/${b}`, as));
    await denied(get(`/${b}/k`, as));
    await denied(get(`/${b}/absent`, as));
    await denied(get(`/${b}/k?acl`, as));
    await denied(get(`/${b}/k?tagging`, as));
    await denied(get(`/${b}/k?retention`, as));
    await put403(`/${b}/new`, as);
    await denied(remove(`/${b}/k`, as));
    await denied(remove(`/${b}`, as));
    await denied(put(`/${b}?acl`, { as, headers: { 'x-amz-acl': 'public-read-write' } }));
    await denied(put(`/${b}?policy`, { as, body: '{}' }));
    await denied(stage.send(`/${b}/k?uploads`, { method: 'POST', as }));
    assert.is((await stage.send(`/${b}/k`, { method: 'HEAD', as })).status, 403);
  }
  assert.is((await get(`/${b}/k`)).body, 'content of k');
  await refused(get(`/${b}/absent`), 'NoSuchKey');
  await denied(get('/', null));
});

test('canned ACLs of a bucket', async () => {
  const b = await bucket({ 'x-amz-acl': 'public-read' });
  assert.equal(elements(await done(get(`/${b}`, null)), 'Key'), ['k', 'sub/k']);
  // READ of the bucket is the listing, not the objects; but whoever may list is told what is not there.
  await denied(get(`/${b}/k`, null));
  await refused(get(`/${b}/absent`, null), 'NoSuchKey');
  await put403(`/${b}/new`, null);

  await acl(`/${b}`, 'public-read-write');
  await done(put(`/${b}/by-nobody`, { as: null, body: 'x' }));
  assert.is(element(await get(`/${b}/by-nobody?acl`), 'ID'), anna, 'nobody is no owner');
  await done(remove(`/${b}/by-nobody`, null));

  await acl(`/${b}`, 'authenticated-read');
  await denied(get(`/${b}`, null));
  await done(get(`/${b}`, 'bert'));
  await put403(`/${b}/new`, 'bert');

  await acl(`/${b}`, 'private');
  await denied(get(`/${b}`, 'bert'));
  assert.equal((await stage.storage.bucket(b))?.config, {}, 'the private ACL is none');
});

test('grants to an account, by header and document', async () => {
  const b = await bucket();
  await done(
    put(`/${b}?acl`, { headers: { 'x-amz-grant-write': `id=${bert}`, 'x-amz-grant-read-acp': `id="${bert}"` } }),
  );
  await done(put(`/${b}/of-bert`, { as: 'bert', body: 'mine' }));
  await denied(get(`/${b}`, 'bert'));
  const shown = await done(get(`/${b}?acl`, 'bert'));
  assert.equal(elements(shown, 'Permission').sort(), ['READ_ACP', 'WRITE']);
  assert.ok(elements(shown, 'DisplayName').includes('bert'));
  await put403(`/${b}/of-nobody`, null);

  // The owner gave up FULL_CONTROL of the list, not of the bucket.
  const document = shown.body.replace('>WRITE<', '>FULL_CONTROL<');
  await done(put(`/${b}?acl`, { body: document }));
  await done(get(`/${b}`, 'bert'));
  await done(put(`/${b}?acl`, { as: 'bert', headers: { 'x-amz-acl': 'private' } }));
  await denied(get(`/${b}`, 'bert'));

  await refused(put(`/${b}?acl`, { headers: { 'x-amz-grant-read': 'id=nobody-here' } }), 'InvalidArgument');
  await refused(put(`/${b}?acl`, { body: document.replaceAll(bert, 'nobody-here') }), 'InvalidArgument');
  await refused(put(`/${b}?acl`, { body: document.replace('FULL_CONTROL', 'EVERYTHING') }), 'MalformedACLError');
});

test('ACLs of objects: on upload and later', async () => {
  const b = await bucket();
  await done(put(`/${b}/open`, { body: 'for all', headers: { 'x-amz-acl': 'public-read' } }));
  assert.is((await get(`/${b}/open`, null)).body, 'for all');
  assert.is((await stage.send(`/${b}/open`, { method: 'HEAD', as: null })).headers['content-length'], '7');
  await denied(get(`/${b}/open?acl`, null));
  await denied(get(`/${b}/open?tagging`, null));
  await denied(remove(`/${b}/open`, null));
  await acl(`/${b}/open`, 'authenticated-read');
  await denied(get(`/${b}/open`, null));
  await done(get(`/${b}/open`, 'bert'));
  await done(put(`/${b}/open?acl`, { headers: { 'x-amz-grant-write-acp': `id=${bert}` } }));
  await denied(get(`/${b}/open`, 'bert'));
  await acl(`/${b}/open`, 'public-read').then(() => done(get(`/${b}/open`, null)));
  // A new object in its place begins closed, and so does a copy.
  await done(put(`/${b}/copied`, { headers: { 'x-amz-copy-source': `/${b}/open` } }));
  await denied(get(`/${b}/copied`, null));
  await done(put(`/${b}/open`, { body: 'again' }));
  await denied(get(`/${b}/open`, null));
  await done(put(`/${b}/copied`, { headers: { 'x-amz-copy-source': `/${b}/open`, 'x-amz-acl': 'public-read' } }));
  assert.is((await get(`/${b}/copied`, null)).body, 'again');
});

test('what another account wrote is his, until ownership says otherwise', async () => {
  const b = await bucket({ 'x-amz-grant-write': `id=${bert}`, 'x-amz-grant-full-control': `id=${anna}` });
  await done(put(`/${b}/his`, { as: 'bert', body: 'of bert' }));
  assert.is((await get(`/${b}/his`, 'bert')).body, 'of bert');
  await denied(get(`/${b}/his`));
  await denied(get(`/${b}/his?tagging`));
  await denied(put(`/${b}/his?tagging`, { body: '<Tagging><TagSet/></Tagging>' }));
  await denied(put(`/${b}/stolen`, { headers: { 'x-amz-copy-source': `/${b}/his` } }));
  await put(`/${b}/given`, { as: 'bert', body: 'x', headers: { 'x-amz-acl': 'bucket-owner-full-control' } });
  assert.is(elements(await done(get(`/${b}/given?acl`)), 'ID')[0], bert);
  assert.is((await get(`/${b}/given`)).body, 'x');
  // "…can delete any object": what costs him space is his to remove.
  await done(remove(`/${b}/given`));

  const controls = (value: string) =>
    put(`/${b}?ownershipControls`, {
      body: `<OwnershipControls><Rule><ObjectOwnership>${value}</ObjectOwnership></Rule></OwnershipControls>`,
    });
  await done(controls('BucketOwnerPreferred'));
  assert.is(element(await get(`/${b}?ownershipControls`), 'ObjectOwnership'), 'BucketOwnerPreferred');
  await put(`/${b}/given`, { as: 'bert', body: 'x', headers: { 'x-amz-acl': 'bucket-owner-full-control' } });
  assert.is(elements(await get(`/${b}/given?acl`), 'ID')[0], anna);
  await denied(get(`/${b}/his`));
  await refused(controls('BucketOwnerEnforced'), 'InvalidBucketAclWithObjectOwnership');
  await refused(controls('Sometimes'), 'MalformedXML');
  await acl(`/${b}`, 'private');
  await done(controls('BucketOwnerEnforced'));
  assert.is((await get(`/${b}/his`)).body, 'of bert');
  await denied(get(`/${b}/his`, 'bert'));
  await refused(put(`/${b}?acl`, { headers: { 'x-amz-acl': 'public-read' } }), 'AccessControlListNotSupported');
  const open = { body: 'x', headers: { 'x-amz-acl': 'public-read' } };
  await refused(put(`/${b}/k`, open), 'AccessControlListNotSupported');
  await done(put(`/${b}/k`, { body: 'x', headers: { 'x-amz-acl': 'bucket-owner-full-control' } }));
  assert.is((await remove(`/${b}?ownershipControls`)).status, 204);
  await refused(get(`/${b}?ownershipControls`), 'OwnershipControlsNotFoundError');
});

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
  await put403(`/${b}/t2`, 'bert');
  await put403(`/${b}/t2`, 'bert', { 'x-amz-tagging': 'by=anna' });
  const tags = (value: string) => ({
    as: 'bert' as const,
    body: `<Tagging><TagSet><Tag><Key>by</Key><Value>${value}</Value></Tag></TagSet></Tagging>`,
  });
  await done(put(`/${b}/k?tagging`, tags('bert')));
  await denied(put(`/${b}/k?tagging`, tags('anna')));
  assert.is(element(await get(`/${b}/k?tagging`), 'Value'), 'bert');

  await policy(
    b,
    statement(b, { Action: 's3:PutObject', Condition: { StringEquals: { 's3:x-amz-acl': 'public-read' } } }),
  );
  await put403(`/${b}/a`, null);
  await done(put(`/${b}/a`, { as: null, body: 'x', headers: { 'x-amz-acl': 'public-read' } }));
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

test('the public access block', async () => {
  const b = await bucket({ 'x-amz-acl': 'public-read' });
  await acl(`/${b}/k`, 'public-read');
  const block = (...set: string[]) =>
    done(
      put(`/${b}?publicAccessBlock`, {
        body: `<PublicAccessBlockConfiguration>${set.map((name) => `<${name}>true</${name}>`).join('')}</PublicAccessBlockConfiguration>`,
      }),
    );
  await done(get(`/${b}`, null));
  await block('IgnorePublicAcls');
  assert.is(element(await get(`/${b}?publicAccessBlock`), 'IgnorePublicAcls'), 'true');
  assert.is(element(await get(`/${b}?publicAccessBlock`), 'BlockPublicAcls'), 'false');
  await denied(get(`/${b}`, null));
  await denied(get(`/${b}/k`, null));
  await block('BlockPublicAcls', 'BlockPublicPolicy');
  await done(get(`/${b}/k`, null));
  await denied(put(`/${b}?acl`, { headers: { 'x-amz-acl': 'public-read' } }));
  await denied(put(`/${b}/k?acl`, { headers: { 'x-amz-acl': 'authenticated-read' } }));
  await denied(put(`/${b}/k`, { body: 'x', headers: { 'x-amz-acl': 'public-read' } }));
  await done(put(`/${b}/k`, { body: 'x', headers: { 'x-amz-acl': 'private' } }));
  await denied(put(`/${b}?policy`, { body: JSON.stringify({ Statement: statement(b) }) }));
  await policy(b, statement(b, { Principal: { AWS: bert } }));
  await block('RestrictPublicBuckets');
  await policy(b, statement(b));
  await denied(get(`/${b}/k`, null));
  await denied(get(`/${b}/k`, 'bert'));
  await done(get(`/${b}/k`));
  await done(remove(`/${b}?publicAccessBlock`));
  await done(get(`/${b}/k`, null));
  await refused(get(`/${b}?publicAccessBlock`), 'NoSuchPublicAccessBlockConfiguration');
  const nonsense =
    '<PublicAccessBlockConfiguration><BlockPublicAcls>perhaps</BlockPublicAcls></PublicAccessBlockConfiguration>';
  await refused(put(`/${b}?publicAccessBlock`, { body: nonsense }), 'MalformedXML');
});

test('a role lets in, and what its holder writes is the bucket owner’s', async () => {
  const b = await bucket();
  const stored = await stage.storage.bucket(b);
  const roles = (role: string) =>
    stage.storage.putConfig(stored!, 'roles', JSON.stringify({ version: 1, bindings: [{ account: bert, role }] }));
  await roles('reader');
  await done(get(`/${b}/k`, 'bert'));
  await put403(`/${b}/new`, 'bert');
  await roles('writer');
  await done(put(`/${b}/new`, { as: 'bert', body: 'of all' }));
  assert.is((await get(`/${b}/new`)).body, 'of all');
  await denied(get(`/${b}?policy`, 'bert'));
  await denied(get(`/${b}/k`, null));
});

test('the anonymous may send chunks, and are held to the SHA-256 that they state', async () => {
  const b = await bucket({ 'x-amz-acl': 'public-read-write' });
  const chunked = {
    'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'x-amz-decoded-content-length': '5',
    'content-encoding': 'aws-chunked',
    'x-amz-trailer': 'x-amz-checksum-crc32',
  };
  const body = '5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n';
  await done(put(`/${b}/chunked`, { as: null, headers: { ...chunked, 'x-amz-acl': 'public-read' }, body }));
  assert.is((await get(`/${b}/chunked`, null)).body, 'hello');
  await refused(
    put(`/${b}/wrong`, { as: null, headers: { 'x-amz-content-sha256': '0'.repeat(64) }, body: 'x' }),
    'XAmzContentSHA256Mismatch',
  );
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
  await policy(b, statement(b, { Action: 's3:PutObject', Resource: `${b}/in/*`, ...condition }));
  await denied(post('out/a', { acl: 'public-read' }));
  await denied(post('in/a'));
  await done(post('in/a', { acl: 'public-read' }));
  assert.is((await get(`/${b}/in/a`, null)).body, 'hello');
});

test('an object that is exchanged while it is asked for is judged as it was opened', async () => {
  const b = await bucket();
  await done(put(`/${b}/swap`, { body: 'open', headers: { 'x-amz-acl': 'public-read' } }));
  let running = true;
  const writer = (async () => {
    for (let i = 0; running; i++) {
      const open = i % 2 === 0;
      await put(`/${b}/swap`, {
        body: open ? 'open' : 'secret',
        headers: { 'x-amz-acl': open ? 'public-read' : 'private' },
      });
    }
  })();
  let [seen, shut] = [0, 0];
  for (let i = 0; i < 400; i++) {
    const answer = await get(`/${b}/swap`, null);
    if (answer.status === 200) {
      assert.is(answer.body, 'open');
      seen++;
    } else shut++;
  }
  running = false;
  await writer;
  assert.ok(seen > 0 && shut > 0, `${seen} ${shut}`);
});

test('the owner of a bucket without documents costs the store no look more', async () => {
  const b = await bucket();
  const heads: string[] = [];
  const { head } = stage.storage;
  stage.storage.head = (at, key) => {
    heads.push(key);
    return head(at, key);
  };
  try {
    await done(get(`/${b}/k`));
    await done(put(`/${b}/k`, { body: 'x' }));
    await done(get(`/${b}`));
    await done(remove(`/${b}/k`));
    await refused(get(`/${b}/k`), 'NoSuchKey');
    assert.equal(heads, []);
  } finally {
    stage.storage.head = head;
  }
});

test.run();
