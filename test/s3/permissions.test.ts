/** ACLs, owners and public access blocks, over HTTP. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { element, elements } from '../http/stage.js';
import {
  acl,
  anna,
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

const test = suite('permissions: ACLs');
test.after(() => stage.close());

test('without any document all is for the owner alone', async () => {
  const b = await bucket();
  for (const as of ['bert', null] as const) {
    await denied(get(`/${b}`, as));
    await denied(get(`/${b}/k`, as));
    await denied(get(`/${b}/absent`, as));
    await denied(get(`/${b}/k?acl`, as));
    await denied(get(`/${b}/k?tagging`, as));
    await denied(get(`/${b}/k?retention`, as));
    await denied(get(`/${b}/absent?retention`, as));
    await denied(get(`/${b}/absent?acl`, as));
    await putDenied(`/${b}/new`, as);
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
  await putDenied(`/${b}/new`, null);

  await acl(`/${b}`, 'public-read-write');
  await done(put(`/${b}/by-nobody`, { as: null, body: 'x' }));
  assert.is(element(await get(`/${b}/by-nobody?acl`), 'ID'), anna, 'nobody is no owner');
  await done(remove(`/${b}/by-nobody`, null));

  await acl(`/${b}`, 'authenticated-read');
  await denied(get(`/${b}`, null));
  await done(get(`/${b}`, 'bert'));
  await putDenied(`/${b}/new`, 'bert');

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
  await putDenied(`/${b}/of-nobody`, null);

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
test('GetObjectAttributes needs GetObject, too', async () => {
  const b = await bucket();
  const ask = (as: Who) => get(`/${b}/k?attributes`, as, { 'x-amz-object-attributes': 'ETag' });
  await policy(b, statement(b, { Action: 's3:GetObjectAttributes' }));
  await denied(ask('bert'));
  await policy(b, statement(b, { Action: ['s3:GetObjectAttributes', 's3:GetObject'] }));
  await done(ask('bert'));
});

test.run();
