/** Bucket operations and listings, through the whole pipeline over the memory store. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { element, elements, type Sent, type Stage, startStage } from '../http/stage.js';

const test = suite('s3/buckets');
let stage: Stage;
test.before(async () => {
  stage = await startStage({ maxBuckets: 20 });
});
test.after(() => stage.close());

const put = (url: string, sent: Sent = {}) => stage.send(url, { method: 'PUT', ...sent });
const remove = (url: string) => stage.send(url, { method: 'DELETE' });
async function fill(bucket: string, keys: string[]): Promise<void> {
  assert.is((await put(`/${bucket}`)).status, 200);
  for (const key of keys) {
    const path = key.split('/').map(encodeURIComponent).join('/');
    const reply = await put(`/${bucket}/${path}`, { body: key });
    assert.is(reply.status, 200, reply.body);
  }
}
async function empty(bucket: string): Promise<void> {
  const listed = elements(await stage.send(`/${bucket}?encoding-type=url`), 'Key');
  for (const key of listed.reverse()) assert.is((await remove(`/${bucket}/${key}`)).status, 204);
  assert.is((await remove(`/${bucket}`)).status, 204);
}

test('create, head, again, of another, delete', async () => {
  const made = await put('/cycle');
  assert.is(made.status, 200);
  assert.is(made.headers.location, '/cycle');
  assert.is((await put('/cycle')).status, 200);
  const others: Record<string, string>[] = [
    { 'x-amz-acl': 'public-read' },
    { 'x-amz-object-ownership': 'BucketOwnerEnforced' },
  ];
  for (const headers of others) {
    assert.is(element(await put('/cycle', { headers }), 'Code'), 'BucketAlreadyExists');
    assert.equal((await stage.storage.bucket('cycle'))?.config, {});
  }
  assert.is((await put('/cycle', { headers: { 'x-amz-acl': 'private' } })).status, 200);
  const other = await put('/cycle', { as: 'bert' });
  assert.is(other.status, 409);
  assert.is(element(other, 'Code'), 'BucketAlreadyExists');
  const head = await stage.send('/cycle', { method: 'HEAD' });
  assert.is(head.status, 200);
  assert.is(head.headers['x-amz-bucket-region'], 'us-east-1');
  assert.is((await stage.send('/cycle', { method: 'HEAD', as: 'bert' })).status, 403);
  assert.is((await stage.send('/cycle', { method: 'HEAD', as: null })).status, 403);
  assert.is((await remove('/cycle')).status, 204);
  assert.is((await stage.send('/cycle', { method: 'HEAD' })).status, 404);
  assert.is(element(await remove('/cycle'), 'Code'), 'NoSuchBucket');
});

test('not empty', async () => {
  await fill('full', ['a']);
  assert.is(element(await remove('/full'), 'Code'), 'BucketNotEmpty');
  await empty('full');
});

test('names', async () => {
  for (const name of [
    'ab',
    '-ab',
    'ab-',
    'A-b',
    'a_b',
    'a..b',
    'a.-b',
    'a-.b',
    '192.168.5.123',
    'xn--abc',
    'abc-s3alias',
    'a'.repeat(64),
    '_ab',
    '.abc',
    '%E3%81%82bc',
  ]) {
    assert.is(element(await put(`/${name}`), 'Code'), 'InvalidBucketName', name);
  }
  for (const name of ['abc', '0a-b.c9', 'a'.repeat(63)]) {
    assert.is((await put(`/${name}`)).status, 200, name);
    await empty(name);
  }
});

test('what CreateBucket takes and refuses', async () => {
  const region = (text: string) =>
    `<CreateBucketConfiguration><LocationConstraint>${text}</LocationConstraint></CreateBucketConfiguration>`;
  assert.is(
    (
      await put('/conf', {
        body: region('osakau'),
        headers: { 'x-amz-acl': 'private', 'x-amz-object-ownership': 'BucketOwnerEnforced' },
      })
    ).status,
    200,
  );
  await empty('conf');
  const refused: [headers: Record<string, string>, body: string, code: string][] = [
    [{}, '<Nonsense/>', 'MalformedXML'],
    [{ 'x-amz-acl': 'aws-exec-read' }, '', 'NotImplemented'],
    [{ 'x-amz-acl': 'public-read', 'x-amz-grant-read': 'id=1' }, '', 'InvalidRequest'],
    [{ 'x-amz-acl': 'public-ready' }, '', 'InvalidArgument'],
    [{ 'x-amz-grant-read': 'id=1' }, '', 'InvalidArgument'],
    [{ 'x-amz-grant-read': 'emailAddress=a@b' }, '', 'UnresolvableGrantByEmailAddress'],
    [{ 'x-amz-object-ownership': 'Nobody' }, '', 'InvalidArgument'],
    [
      { 'x-amz-acl': 'public-read', 'x-amz-object-ownership': 'BucketOwnerEnforced' },
      '',
      'InvalidBucketAclWithObjectOwnership',
    ],
    [{ 'x-amz-bucket-object-lock-enabled': 'true' }, '', 'NotImplemented'],
    [{ 'x-ddn-specified-directory': '/data/b2x' }, '', 'AccessDenied'],
    [{ 'x-ddn-specified-directory': '/data' }, '', 'AccessDenied'],
    [{ 'x-ddn-specified-directory': '/data/b2/../b3' }, '', 'InvalidArgument'],
    [{ 'x-ddn-specified-directory': 'data/b2' }, '', 'InvalidArgument'],
    [{ 'x-ddn-specified-directory': `/data/b2${'/'.repeat(5000)}x` }, '', 'InvalidArgument'],
    [{ 'x-ddn-specified-directory': '/data/b2/.tidegate' }, '', 'InvalidArgument'],
  ];
  for (const [headers, body, code] of refused) {
    assert.is(element(await put('/conf', { headers, body }), 'Code'), code, JSON.stringify(headers));
    assert.is((await stage.send('/conf', { method: 'HEAD' })).status, 404);
  }
  const tagged =
    '<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>';
  assert.is((await put('/conf', { body: tagged })).status, 200);
  assert.equal((await stage.storage.bucket('conf'))?.config, { tagging: '{"a":"b"}' });
  await empty('conf');
  assert.is((await put('/conf', { headers: { 'x-ddn-specified-directory': '/data/b2/project/' } })).status, 200);
  assert.is((await stage.storage.bucket('conf'))?.path, '/data/b2/project');
  const elsewhere = await put('/conf', { headers: { 'x-ddn-specified-directory': '/data/b2/other' } });
  assert.is(element(elsewhere, 'Code'), 'BucketAlreadyOwnedByYou');
  await empty('conf');
});

test('ListBuckets: own ones, paged; and too many', async () => {
  for (let i = 10; i < 30; i++) assert.is((await put(`/many${i}`)).status, 200);
  assert.is(element(await put('/many30'), 'Code'), 'TooManyBuckets');
  assert.is((await put('/other', { as: 'bert' })).status, 200);
  const all = await stage.send('/');
  assert.is(elements(all, 'Name').length, 20);
  assert.is(element(all, 'DisplayName'), 'anna');
  const seen: string[] = [];
  let token = '';
  do {
    const page = await stage.send(`/?max-buckets=7&prefix=many${token && `&continuation-token=${token}`}`);
    seen.push(...elements(page, 'Name'));
    token = element(page, 'ContinuationToken') ?? '';
  } while (token);
  assert.equal(
    seen,
    Array.from({ length: 20 }, (_, i) => `many${i + 10}`),
  );
  assert.is(element(await stage.send('/?max-buckets=0'), 'Code'), 'InvalidArgument');
  assert.is(element(await stage.send('/?continuation-token=xx'), 'Code'), 'InvalidArgument');
  assert.is(element(await stage.send('/', { as: null }), 'Code'), 'AccessDenied');
  for (let i = 10; i < 30; i++) await empty(`many${i}`);
  await stage.send('/other', { method: 'DELETE', as: 'bert' });
});

test('what clients probe', async () => {
  await put('/probe');
  const codes: Record<string, [status: number, text: string]> = {
    versioning: [
      200,
      '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></VersioningConfiguration>',
    ],
    location: [200, '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>'],
    logging: [200, '<BucketLoggingStatus'],
    notification: [200, '<NotificationConfiguration'],
    requestPayment: [200, '<Payer>BucketOwner</Payer>'],
    accelerate: [200, '<AccelerateConfiguration'],
    acl: [200, '<Permission>FULL_CONTROL</Permission>'],
    policy: [404, '<Code>NoSuchBucketPolicy</Code>'],
    policyStatus: [200, '<IsPublic>false</IsPublic>'],
    cors: [404, '<Code>NoSuchCORSConfiguration</Code>'],
    lifecycle: [404, '<Code>NoSuchLifecycleConfiguration</Code>'],
    website: [404, '<Code>NoSuchWebsiteConfiguration</Code>'],
    encryption: [404, '<Code>ServerSideEncryptionConfigurationNotFoundError</Code>'],
    replication: [404, '<Code>ReplicationConfigurationNotFoundError</Code>'],
    'object-lock': [404, '<Code>ObjectLockConfigurationNotFoundError</Code>'],
    publicAccessBlock: [404, '<Code>NoSuchPublicAccessBlockConfiguration</Code>'],
    ownershipControls: [404, '<Code>OwnershipControlsNotFoundError</Code>'],
    tagging: [404, '<Code>NoSuchTagSet</Code>'],
    abac: [200, '<Status>Disabled</Status>'],
    inventory: [200, '<IsTruncated>false</IsTruncated></ListInventoryConfigurationsResult>'],
    'inventory&id=x': [404, '<Code>NoSuchConfiguration</Code>'],
    analytics: [200, '<IsTruncated>false</IsTruncated></ListBucketAnalyticsConfigurationResult>'],
    'analytics&id=x': [404, '<Code>NoSuchConfiguration</Code>'],
    metrics: [200, '<IsTruncated>false</IsTruncated></ListMetricsConfigurationsResult>'],
    'metrics&id=x': [404, '<Code>NoSuchConfiguration</Code>'],
    'intelligent-tiering': [200, '<IsTruncated>false</IsTruncated></ListBucketIntelligentTieringConfigurationsOutput>'],
    'intelligent-tiering&id=x': [404, '<Code>NoSuchConfiguration</Code>'],
    metadataTable: [501, '<Code>NotImplemented</Code>'],
  };
  for (const [name, [status, text]] of Object.entries(codes)) {
    const reply = await stage.send(`/probe?${name}`);
    assert.is(reply.status, status, `${name}: ${reply.body}`);
    assert.ok(reply.body.includes(text), `${name}: ${reply.body}`);
    assert.is((await stage.send(`/probe?${name}`, { as: 'bert' })).status, 403, name);
    assert.is((await stage.send(`/nothere?${name}`)).status, 404, name);
  }
  for (const name of [
    'policy',
    'cors',
    'lifecycle',
    'website',
    'encryption',
    'replication',
    'publicAccessBlock',
    'ownershipControls',
    'tagging',
  ]) {
    assert.is((await remove(`/probe?${name}`)).status, 204, name);
  }
  for (const kind of ['inventory', 'analytics', 'metrics', 'intelligent-tiering']) {
    assert.is(element(await remove(`/probe?${kind}&id=x`), 'Code'), 'NoSuchConfiguration', kind);
    const body = '<Configuration><Id>x</Id></Configuration>';
    assert.is((await put(`/probe?${kind}&id=x`, { body })).status, 501, kind);
  }
  assert.is((await stage.send('/probe', { method: 'HEAD' })).status, 200);
  await empty('probe');
});

test('locks of objects in a bucket that has no lock configuration', async () => {
  await fill('unlocked', ['k']);
  const body = '<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>';
  for (const name of ['retention', 'legal-hold']) {
    for (const reply of [
      await stage.send(`/unlocked/k?${name}`),
      await put(`/unlocked/k?${name}`, { body }),
      await stage.send(`/unlocked/absent?${name}`),
    ]) {
      assert.is(reply.status, 400, reply.body);
      assert.is(element(reply, 'Code'), 'InvalidRequest');
      assert.is(element(reply, 'Message'), 'Bucket is missing Object Lock Configuration');
    }
  }
  await empty('unlocked');
});

test('ACLs', async () => {
  await fill('acls', ['k']);
  const acl = await stage.send('/acls/k?acl');
  assert.ok(acl.body.includes('xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'));
  assert.is(element(acl, 'DisplayName'), 'anna');
  for (const path of ['/acls?acl', '/acls/k?acl']) {
    assert.is((await put(path, { headers: { 'x-amz-acl': 'private' } })).status, 200);
    assert.is((await put(path, { body: acl.body })).status, 200);
    assert.is((await put(path, { body: acl.body.replace('FULL_CONTROL', 'READ') })).status, 200);
    assert.is(element(await stage.send(path), 'Permission'), 'READ');
    assert.is(element(await put(path, { headers: { 'x-amz-grant-write': 'id=x' } }), 'Code'), 'InvalidArgument');
    assert.is(element(await put(path, { body: '<a' }), 'Code'), 'MalformedACLError');
    assert.is(element(await put(path, { body: acl.body.replaceAll('anna', 'bert') }), 'Code'), 'AccessDenied');
    const both = { headers: { 'x-amz-acl': 'private' }, body: acl.body };
    assert.is(element(await put(path, both), 'Code'), 'UnexpectedContent');
    assert.is(element(await put(path), 'Code'), 'MissingSecurityHeader');
  }
  assert.is(element(await stage.send('/acls/absent?acl'), 'Code'), 'NoSuchKey');
  await empty('acls');
});

test('bucket tags', async () => {
  await put('/tags');
  const body = '<Tagging><TagSet><Tag><Key>Hello</Key><Value>World</Value></Tag></TagSet></Tagging>';
  assert.is((await put('/tags?tagging', { body })).status, 204);
  assert.ok((await stage.send('/tags?tagging')).body.includes('<Tag><Key>Hello</Key><Value>World</Value></Tag>'));
  const wrong = await put('/tags?tagging', { body, headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } });
  assert.is(element(wrong, 'Code'), 'BadDigest');
  assert.is((await remove('/tags?tagging')).status, 204);
  assert.is((await stage.send('/tags?tagging')).status, 404);
  await empty('tags');
});

test('preflight', async () => {
  const ask = (headers: Record<string, string>) => stage.send('/any/k', { method: 'OPTIONS', headers, as: null });
  assert.is((await ask({})).status, 400);
  assert.is((await ask({ origin: 'http://x' })).status, 400);
  const reply = await ask({ origin: 'http://x', 'access-control-request-method': 'GET' });
  assert.is(reply.status, 403);
  assert.is(element(reply, 'Code'), 'AccessForbidden');
});

test('listing: V1, V2, versions with the same content in pages of every size', async () => {
  const keys = ['a', 'a b', 'a!', 'b/1', 'b/2', 'b/c/d', 'c+d', 'd%', 'é', '日本/x', '\u{1f600}'];
  await fill('list', keys);
  const order = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
  for (let size = 1; size <= 12; size++) {
    for (const kind of ['v1', 'v2', 'versions']) {
      const seen: string[] = [];
      let next = '';
      let guard = 0;
      do {
        const base = { v1: '/list?', v2: '/list?list-type=2&', versions: '/list?versions&' }[kind];
        const page = await stage.send(`${base}encoding-type=url&max-keys=${size}${next}`);
        assert.is(page.status, 200, page.body);
        const found = elements(page, 'Key').map(decodeURIComponent);
        assert.ok(found.length <= size);
        seen.push(...found);
        const truncated = element(page, 'IsTruncated') === 'true';
        if (kind === 'v1') {
          // "NextMarker … only if you have the delimiter": without, the last key is the marker.
          assert.is(element(page, 'NextMarker'), undefined);
          next = truncated ? `&marker=${encodeURIComponent(found.at(-1) ?? '')}` : '';
        } else if (kind === 'v2') {
          assert.is(element(page, 'KeyCount'), String(found.length));
          next = truncated ? `&continuation-token=${element(page, 'NextContinuationToken')}` : '';
        } else {
          next = truncated
            ? `&key-marker=${element(page, 'NextKeyMarker')}&version-id-marker=${element(page, 'NextVersionIdMarker')}`
            : '';
        }
      } while (next && guard++ < 50);
      assert.equal(seen, order, `${kind} ${size}`);
    }
  }
  const v1 = await stage.send('/list?delimiter=/&max-keys=4&encoding-type=url');
  assert.equal(elements(v1, 'Key'), ['a', 'a%20b', 'a%21']);
  assert.is(element(v1, 'NextMarker'), 'b/');
  assert.is(element(v1, 'Delimiter'), '/');
  assert.is(element(v1, 'EncodingType'), 'url');
  assert.is(elements(v1, 'ID').length, 3);
  const v2 = await stage.send('/list?list-type=2&delimiter=/&prefix=b/&start-after=b/1');
  assert.equal(elements(v2, 'Key'), ['b/2']);
  assert.ok(v2.body.includes('<CommonPrefixes><Prefix>b/c/</Prefix></CommonPrefixes>'));
  assert.is(element(v2, 'StartAfter'), 'b/1');
  assert.is(element(v2, 'KeyCount'), '2');
  assert.not(v2.body.includes('<Owner>'));
  assert.ok((await stage.send('/list?list-type=2&fetch-owner=true')).body.includes('<Owner>'));
  const versions = await stage.send('/list?versions&prefix=a&max-keys=1');
  assert.is(element(versions, 'VersionId'), 'null');
  assert.is(element(versions, 'IsLatest'), 'true');
  await empty('list');
});

test('listing: parameters', async () => {
  await fill('param', ['k']);
  const none = await stage.send('/param?max-keys=0&list-type=2');
  assert.is(element(none, 'IsTruncated'), 'false');
  assert.is(element(none, 'KeyCount'), '0');
  const plain = await stage.send('/param?delimiter=&prefix=');
  assert.is(element(plain, 'MaxKeys'), '1000');
  assert.is(element(plain, 'Prefix'), '');
  assert.is(element(plain, 'Marker'), '');
  assert.not(plain.body.includes('<Delimiter>'));
  assert.is(element(await stage.send('/param?max-keys=5000'), 'MaxKeys'), '1000');
  assert.is(element(await stage.send('/param?list-type=2&continuation-token='), 'ContinuationToken'), '');
  const bad: [query: string, argument: string][] = [
    ['max-keys=blah', 'max-keys'],
    ['max-keys=-1', 'max-keys'],
    ['max-keys=99999999999', 'max-keys'],
    ['encoding-type=base64', 'encoding-type'],
    ['list-type=2&continuation-token=nonsense', 'continuation-token'],
    ['versions&version-id-marker=null', 'version-id-marker'],
  ];
  for (const [query, argument] of bad) {
    const reply = await stage.send(`/param?${query}`);
    assert.is(element(reply, 'Code'), 'InvalidArgument', query);
    assert.is(element(reply, 'ArgumentName'), argument);
  }
  const controls = await stage.send('/param?delimiter=%0A&marker=%01&encoding-type=url');
  assert.is(element(controls, 'Delimiter'), '%0A');
  assert.is(element(controls, 'Marker'), '%01');
  await empty('param');
});

test.run();
