import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { authenticate, hoistedHeaders, unsignedPayload } from '../../gateway/auth/authenticate.js';
import type { Authenticated } from '../../gateway/auth/types.js';
import { S3Error } from '../../gateway/errors.js';
import { parseTarget } from '../../gateway/http/target.js';
import { processorMs } from '../support/processor.js';
import { presignV2, presignV4, type SignerKeys, signV2, signV4, type Unsigned, wireRequest } from './signer.js';

const now = Date.UTC(2026, 10, 23, 6, 0, 0);
const keys: SignerKeys = { accessKey: 'AKIDTEST', secret: 'sécret+/=', now };
const domains = ['s3.example.com'];

interface Options {
  at?: number;
  secret?: string;
  buckets?: string[];
}

async function check(
  method: string,
  url: string,
  headers: Record<string, string> | string[],
  options: Options = {},
): Promise<Authenticated | undefined> {
  const request = wireRequest(method, url, headers);
  return authenticate({
    request,
    target: parseTarget(request, domains),
    headers: request.headers,
    now: options.at ?? now,
    lookup: async (key) => (key === keys.accessKey ? (options.secret ?? keys.secret) : undefined),
    ...(options.buckets && { isBucket: async (name: string) => options.buckets!.includes(name) }),
  });
}

async function refused(promise: Promise<unknown>): Promise<S3Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof S3Error) return error;
    throw error;
  }
  throw new Error('the request was accepted');
}

async function code(promise: Promise<unknown>): Promise<string> {
  return (await refused(promise)).code;
}

const host = '127.0.0.1:9000';
const get = (url: string, headers: Record<string, string> = {}): Unsigned => ({
  method: 'GET',
  url,
  headers: { host, ...headers },
});

const v4 = suite('authenticate: version 4 header');

v4('many spaces are no work', async () => {
  // A header of 60,000 spaces inside once kept the gateway busy for 14 seconds, whoever had signed it.
  const spaces = `a${' '.repeat(60_000)}b`;
  const request = get('/b/k', { 'x-amz-meta-a': spaces });
  const started = processorMs();
  const wrong = { ...keys, secret: 'other' };
  assert.is(await code(check('GET', '/b/k', signV4(request, wrong).headers)), 'SignatureDoesNotMatch');
  assert.is(await code(check('GET', '/b/k', signV2(request, wrong))), 'SignatureDoesNotMatch');
  assert.ok(processorMs() - started < 500);
});

v4('no authentication is anonymous', async () => {
  assert.is(await check('GET', '/b/k', { host }), undefined);
  assert.is(await check('GET', '/b/k', { host, authorization: '' }), undefined);
});

v4('keys of every kind, any region, both styles of address', async () => {
  for (const url of [
    '/b/%E3%81%82%20%2B%25%F0%9F%98%80',
    '/b//x/../y',
    '/b/a+b',
    "/b/a(1)!*'",
    '/b?list-type=2&prefix=%E3%81%82',
  ]) {
    for (const region of ['us-east-1', 'US', 'osakau', '']) {
      const { headers } = signV4(get(url), { ...keys, region });
      assert.is((await check('GET', url, headers))?.scheme, 'v4', url);
    }
  }
  const request = { method: 'GET', url: '/k%20x', headers: { host: 'my.bucket.s3.example.com' } };
  assert.ok(await check('GET', '/k%20x', signV4(request, keys).headers));
});

v4('clients that sign the path as sent', async () => {
  const url = "/b/a+b(1)!%e3%81%82'*";
  assert.ok(await check('GET', url, signV4(get(url), keys, 'UNSIGNED-PAYLOAD', { asSent: true }).headers));
  // …but a path that only decodes to what was signed as an escape is another key.
  const { headers } = signV4(get('/b/a%2520b'), keys);
  assert.is(await code(check('GET', '/b/a%20b', headers)), 'SignatureDoesNotMatch');
});

v4('a Date header without x-amz-date', async () => {
  const date = new Date(now).toUTCString();
  const { headers } = signV4(get('/b', { date }), keys, 'UNSIGNED-PAYLOAD', { plainDate: true });
  assert.is(headers['x-amz-date'], undefined);
  assert.ok(await check('GET', '/b', headers));
  const later = new Date(now + 1000).toUTCString();
  assert.is(await code(check('GET', '/b', { ...headers, date: later })), 'SignatureDoesNotMatch');
});

v4('payload promises', async () => {
  const body = Buffer.from('hello');
  const put = { method: 'PUT', url: '/b/k', headers: { host } };
  const payload = async (value: Uint8Array | string) =>
    (await check('PUT', '/b/k', signV4(put, keys, value).headers))!.payload;
  assert.is((await payload('UNSIGNED-PAYLOAD')).kind, 'none');
  assert.equal(await payload(body), {
    kind: 'sha256',
    hex: '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
  });
  const unsigned = await payload('STREAMING-UNSIGNED-PAYLOAD-TRAILER');
  assert.ok(unsigned.kind === 'chunks' && unsigned.trailer && unsigned.verify === undefined);
  const signed = await payload('STREAMING-AWS4-HMAC-SHA256-PAYLOAD');
  assert.ok(signed.kind === 'chunks' && !signed.trailer && signed.verify !== undefined);
  assert.is(await code(payload('nonsense')), 'InvalidArgument');
  assert.is(await code(payload('STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD')), 'NotImplemented');
});

v4("AWS's codes", async () => {
  const good = () => signV4(get('/b/k', { 'x-amz-meta-a': '1  2' }), keys).headers;
  const changed = (name: string, value: string | undefined) => {
    const headers: Record<string, string> = good();
    if (value === undefined) delete headers[name];
    else headers[name] = value;
    return check('GET', '/b/k', headers);
  };
  const authorization = good()['authorization']!;
  assert.ok(await check('GET', '/b/k', good()));
  assert.is(await code(changed('x-amz-content-sha256', undefined)), 'InvalidRequest');
  assert.is(await code(changed('x-amz-date', undefined)), 'AccessDenied');
  assert.is(await code(changed('x-amz-date', 'Bad Date')), 'AccessDenied');
  assert.is(await code(changed('x-amz-acl', 'public-read')), 'AccessDenied');
  assert.is((await refused(changed('x-amz-acl', 'public-read'))).fields['HeadersNotSigned'], 'x-amz-acl');
  assert.is(await code(changed('x-amz-security-token', 'x')), 'InvalidToken');
  assert.is(await code(changed('host', 'evil.example.com')), 'SignatureDoesNotMatch');
  assert.is(await code(changed('host', undefined)), 'MissingSecurityHeader');
  assert.is(await code(changed('authorization', authorization.replace('host;', ''))), 'AccessDenied');
  assert.is(await code(changed('authorization', authorization.replace('AKIDTEST', 'AKIDOTHER'))), 'InvalidAccessKeyId');
  for (const [from, to] of [
    ['/s3/', '/ec2/'],
    ['aws4_request', 'aws4'],
    ['/20261123/', '/20261122/'],
    ['/20261123/', '/'],
    ['Credential=', 'Kredential='],
    ['Credential=AKIDTEST', 'Credential='],
    [', Signature=', ', S='],
    ['SignedHeaders=', 'SignedHeaders'],
  ] as const) {
    assert.is(
      await code(changed('authorization', authorization.replace(from, to))),
      'AuthorizationHeaderMalformed',
      to,
    );
  }
  // What stands in front of the signature is known by now: nothing else is taken for granted.
  const front = authorization.replace(/[0-9a-f]+$/, '');
  for (const [signature, why] of [
    ['', 'AuthorizationHeaderMalformed'],
    ['00', 'SignatureDoesNotMatch'],
    [`00 ${authorization.slice(front.length)}`, 'SignatureDoesNotMatch'],
    [`00, Signature=${authorization.slice(front.length)}`, 'AuthorizationHeaderMalformed'],
    [`${authorization.slice(front.length)},x`, 'AuthorizationHeaderMalformed'],
  ] as const) {
    assert.is(await code(changed('authorization', front + signature)), why, signature);
  }
  assert.is((await changed('authorization', authorization))?.accessKey, 'AKIDTEST');
  assert.is(await code(changed('authorization', 'Bearer x')), 'InvalidArgument');
  for (const minutes of [16, -16]) {
    const error = await refused(check('GET', '/b/k', good(), { at: now + minutes * 60000 }));
    assert.is(error.code, 'RequestTimeTooSkewed');
    assert.is(error.fields['MaxAllowedSkewMilliseconds'], '900000');
  }
  assert.ok(await check('GET', '/b/k', good(), { at: now + 14 * 60000 }));
  assert.is(await code(check('GET', '/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256', good())), 'InvalidArgument');
  assert.is(await code(check('GET', '/b/k?Signature=x', good())), 'InvalidArgument');
});

v4('SignatureDoesNotMatch shows what was expected', async () => {
  const { headers } = signV4(get('/b/k'), { ...keys, secret: 'other' });
  const error = await refused(check('GET', '/b/k', headers));
  assert.is(error.status, 403);
  assert.is(error.fields['AWSAccessKeyId'], 'AKIDTEST');
  assert.match(
    error.fields['StringToSign']!,
    /^AWS4-HMAC-SHA256\n20261123T060000Z\n20261123\/us-east-1\/s3\/aws4_request\n/,
  );
  assert.match(error.fields['CanonicalRequest']!, /^GET\n\/b\/k\n\nhost:127\.0\.0\.1:9000\n/);
  assert.match(error.fields['StringToSignBytes']!, /^41 57 53 34 2d/);
  assert.not.match(JSON.stringify(error.fields), keys.secret);
});

v4('a secret that was reset is dead at once', async () => {
  const { headers } = signV4(get('/b'), keys);
  assert.ok(await check('GET', '/b', headers));
  assert.is(await code(check('GET', '/b', headers, { secret: 'new' })), 'SignatureDoesNotMatch');
  assert.ok(await check('GET', '/b', headers));
});

v4('values with UTF-8, in its bytes or as latin1', async () => {
  const text = 'é à 日本';
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const { headers } = signV4(get('/b/k', { 'x-amz-meta-n': bytes }), keys);
  assert.ok(await check('GET', '/b/k', headers));
  const latin = signV4(get('/b/k', { 'x-amz-meta-n': Buffer.from('é').toString('latin1') }), keys).headers;
  assert.ok(await check('GET', '/b/k', { ...latin, 'x-amz-meta-n': 'é' }), 'signed as UTF-8, sent as latin1');
});

const path = fc
  .array(
    fc.constantFrom(
      'a',
      'Z',
      '0',
      '/',
      '.',
      '~',
      '%20',
      '%2B',
      '+',
      '%E3%81%82',
      '%25',
      '%2F',
      '(',
      '!',
      '%F0%9F%98%80',
    ),
    { maxLength: 12 },
  )
  .map((parts) => `/b/k${parts.join('')}`);
const query = fc
  .array(
    fc.tuple(
      fc.constantFrom('prefix', 'acl', 'versionId', 'a%20b', '%E3%81%82', 'x-id'),
      fc.option(fc.constantFrom('', '1', 'a+b', '%2B', '%e3%81%82', 'a=b', '%', '~*')),
    ),
    { maxLength: 4 },
  )
  .map((pairs) => pairs.map(([name, value]) => (value === null ? name : `${name}=${value}`)).join('&'));

v4('property: what is signed is accepted, and a changed byte is not', async () => {
  await fc.assert(
    fc.asyncProperty(
      path,
      query,
      fc.string({ maxLength: 8 }),
      fc.nat(),
      fc.nat(),
      async (path, query, value, where, by) => {
        const url = query === '' ? path : `${path}?${query.replaceAll('+', '%20')}`;
        const meta = Buffer.from(value.replace(/[^ -~]/g, ''))
          .toString('latin1')
          .trim();
        const { headers } = signV4(get(url, { 'x-amz-meta-v': meta }), keys);
        assert.ok(await check('GET', url, headers), url);
        // One character of the target becomes another one. What decodes to the same is the same request.
        const at = 1 + (where % (url.length - 1));
        const char = String.fromCharCode(0x61 + (by % 26));
        const other = url.slice(0, at) + char + url.slice(at + 1);
        if (meaning(other) !== meaning(url)) {
          await refused(check('GET', other, headers));
        }
        // One character of one header.
        const names = Object.keys(headers);
        const name = names[where % names.length]!;
        const old = headers[name]!;
        if (old === '') return;
        const spot = by % old.length;
        const fresh = old.slice(0, spot) + (old[spot] === 'q' ? 'w' : 'q') + old.slice(spot + 1);
        await refused(check('GET', url, { ...headers, [name]: fresh }));
      },
    ),
    { numRuns: 300 },
  );
});

/** Everything that decoding keeps; the order of parameters is none of it. */
function meaning(url: string): string {
  const request = wireRequest('GET', url, []);
  const plain = (text: string) => {
    const decoded = text.replace(/%([0-9a-fA-F]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
    return Buffer.from(decoded, 'latin1').toString('hex');
  };
  const inQuery = (text: string) => plain(text.replaceAll('+', ' '));
  const params = request.query.params.map((p) => `${inQuery(p.rawName)}=${inQuery(p.rawValue ?? '')}`);
  return `${plain(request.rawPath)}?${params.sort().join('&')}`;
}

v4.run();

const presigned = suite('authenticate: version 4 query');

presigned('accepted until it expires', async () => {
  const url = presignV4(get('/b/%E3%81%82%20%2B?response-content-type=a%2Fb'), keys, 60);
  assert.is((await check('GET', url, { host }))?.scheme, 'v4-query');
  assert.ok(await check('GET', url, { host }, { at: now + 59000 }));
  const error = await refused(check('GET', url, { host }, { at: now + 60000 }));
  assert.is(error.code, 'AccessDenied');
  assert.is(error.message, 'Request has expired');
  assert.is(await code(check('GET', url, { host }, { at: now - 16 * 60000 })), 'AccessDenied');
});

presigned("AWS's codes", async () => {
  const url = presignV4(get('/b/k'), keys, 60);
  assert.is(await code(check('PUT', url, { host })), 'SignatureDoesNotMatch');
  assert.is(await code(check('GET', url.replace('/k', '/j'), { host })), 'SignatureDoesNotMatch');
  assert.is(await code(check('GET', url, { host: 'other' })), 'SignatureDoesNotMatch');
  assert.is(await code(check('GET', `${url}&uploadId=1`, { host })), 'SignatureDoesNotMatch');
  assert.is(await code(check('GET', url.replace('Expires=60', 'Expires=61'), { host })), 'SignatureDoesNotMatch');
  assert.is(await code(check('GET', url, { host, 'x-amz-acl': 'private' })), 'AccessDenied');
  const wrong = (from: string | RegExp, to: string) => code(check('GET', url.replace(from, to), { host }));
  assert.is(await wrong('Expires=60', 'Expires=604801'), 'AuthorizationQueryParametersError');
  assert.is(await wrong('Expires=60', 'Expires=-1'), 'AuthorizationQueryParametersError');
  assert.is(await wrong('Expires=60', 'Expires=x'), 'AuthorizationQueryParametersError');
  assert.is(await wrong('Expires=60', 'Expires=0'), 'AccessDenied');
  assert.is(await wrong(/&X-Amz-Signature=.*/, ''), 'AuthorizationQueryParametersError');
  assert.is(await wrong('20261123T060000Z', 'yesterday'), 'AuthorizationQueryParametersError');
  assert.is(await wrong('%2Fs3%2F', '%2Fec2%2F'), 'AuthorizationQueryParametersError');
  assert.is(await wrong('AWS4-HMAC-SHA256', 'AWS4-X'), 'AuthorizationQueryParametersError');
  assert.is(await wrong('AKIDTEST', 'OTHER'), 'InvalidAccessKeyId');
});

presigned('a payload hash that was signed holds', async () => {
  const url = presignV4({ method: 'PUT', url: '/b/k', headers: { host } }, keys, 60);
  assert.equal((await check('PUT', url, { host }))?.payload, { kind: 'none' });
  assert.is(
    await code(check('PUT', url, { host, 'x-amz-content-sha256': 'a'.repeat(64) })),
    'SignatureDoesNotMatch',
    'a hash that was not signed',
  );
});

presigned('headers that were moved into the query', () => {
  const request = wireRequest('PUT', '/b/k?x-amz-acl=private&X-Amz-Meta-A=%C3%A9&X-Amz-Signature=x&content-type=a', {
    host,
    'x-amz-acl': 'real',
  });
  const headers = hoistedHeaders(request, request.headers);
  assert.is(headers.get('x-amz-acl'), 'real');
  assert.is(headers.get('x-amz-meta-a'), Buffer.from('é').toString('latin1'));
  assert.is(headers.get('x-amz-signature'), undefined);
  assert.is(headers.get('content-type'), undefined);
  const plain = wireRequest('GET', '/b/k', { host });
  assert.is(hoistedHeaders(plain, plain.headers), plain.headers);
});

presigned('payloads without a version 4 signature', () => {
  const of = (value?: string) =>
    unsignedPayload(wireRequest('PUT', '/', value === undefined ? {} : { 'x-amz-content-sha256': value }).headers);
  assert.is(of().kind, 'none');
  assert.is(of('STREAMING-UNSIGNED-PAYLOAD-TRAILER').kind, 'chunks');
  assert.throws(
    () => of('STREAMING-AWS4-HMAC-SHA256-PAYLOAD'),
    (e: S3Error) => e.code === 'InvalidArgument',
  );
});

presigned.run();

const v2 = suite('authenticate: version 2');

v2('header', async () => {
  const put: Unsigned = {
    method: 'PUT',
    url: '/b/k%20x',
    headers: { host, 'content-type': 'text/plain', 'content-md5': 'x==', 'x-amz-meta-b': '2', 'x-amz-acl': 'private' },
  };
  const headers = signV2(put, keys);
  assert.is((await check('PUT', put.url, headers))?.scheme, 'v2');
  for (const name of ['content-type', 'content-md5', 'x-amz-meta-b', 'x-amz-acl', 'date']) {
    const value = name === 'date' ? new Date(now + 1000).toUTCString() : 'changed';
    assert.is(await code(check('PUT', put.url, { ...headers, [name]: value })), 'SignatureDoesNotMatch', name);
  }
  assert.is(await code(check('PUT', put.url, { ...headers, 'x-amz-meta-c': '1' })), 'SignatureDoesNotMatch');
  assert.is(await code(check('PUT', '/b/other', headers)), 'SignatureDoesNotMatch');
  assert.is(await code(check('DELETE', put.url, headers)), 'SignatureDoesNotMatch');
});

v2('virtual-host style', async () => {
  const request: Unsigned = { method: 'GET', url: '/k', headers: { host: 'My.Bucket.s3.example.com:9000' } };
  assert.ok(await check('GET', '/k', signV2(request, keys, '/my.bucket/k')));
  const bucket: Unsigned = { ...request, url: '/?acl' };
  assert.ok(await check('GET', '/?acl', signV2(bucket, keys, '/my.bucket/?acl')));
  assert.is(await code(check('GET', '/k', signV2(request, keys, '/other/k'))), 'SignatureDoesNotMatch');
});

v2('dates', async () => {
  const iso = new Date(now).toUTCString();
  const dated = (date: string, extra: Record<string, string> = {}) => signV2(get('/b', { date, ...extra }), keys);
  for (const date of [iso, iso.replace('GMT', 'UTC'), iso.replace('GMT', '+0000'), 'Mon, 23 Nov 2026 15:00:00 +0900']) {
    assert.ok(await check('GET', '/b', dated(date)), date);
  }
  // x-amz-date takes the place of Date, however wrong that is.
  assert.ok(await check('GET', '/b', dated('Tue, 07 Jul 2010 21:53:04 GMT', { 'x-amz-date': iso })));
  for (const [date, expected] of [
    ['Tue, 07 Jul 2010 21:53:04 GMT', 'RequestTimeTooSkewed'],
    ['Tue, 07 Jul 9999 21:53:04 GMT', 'RequestTimeTooSkewed'],
    ['Tue, 07 Jul 1950 21:53:04 GMT', 'AccessDenied'],
    ['Bad Date', 'AccessDenied'],
    ['', 'AccessDenied'],
    ['1', 'AccessDenied'],
  ] as const) {
    assert.is(await code(check('GET', '/b', dated(iso, { 'x-amz-date': date }))), expected, date);
  }
});

v2('malformed', async () => {
  for (const authorization of ['AWS HAHAHA', 'AWS :x', 'AWS x:']) {
    assert.is(await code(check('GET', '/b', { host, date: 'x', authorization })), 'InvalidArgument');
  }
  assert.is(await code(check('GET', '/b', signV2(get('/b'), { ...keys, accessKey: 'X' }))), 'InvalidAccessKeyId');
});

v2('paths as sent, raw UTF-8 and decoded', async () => {
  const raw = '/b/%e6%97%a5%e6%9c%ac%20x%2B';
  for (const resource of [raw, '/b/%E6%97%A5%E6%9C%AC%20x%2B', '/b/日本%20x%2B', '/b/日本 x+']) {
    assert.ok(await check('GET', raw, signV2(get(raw), keys, resource)), resource);
  }
  // The key `a%20b`, signed decoded, reads like the key `a b` as sent: only the wire form counts.
  assert.is(
    await code(check('GET', '/b/a%2520b', signV2(get('/b/a%2520b'), keys, '/b/a%20b'))),
    'SignatureDoesNotMatch',
  );
  assert.is(
    await code(check('GET', '/b/a%3Fdelete', signV2(get('/b/a%3Fdelete'), keys, '/b/a?delete'))),
    'SignatureDoesNotMatch',
  );
});

v2('sub-resources must be signed, but for the few that clients leave out', async () => {
  const attempt = async (method: string, url: string, resource: string) =>
    check(method, url, signV2({ method, url, headers: { host } }, keys, resource));
  for (const [method, url, resource] of [
    ['PUT', '/b/k?tagging', '/b/k'],
    ['PUT', '/b/k?tagging', '/b/k?tagging'],
    ['PUT', '/b?cors', '/b'],
    ['GET', '/b/?location', '/b/'],
    ['GET', '/b/?location=', '/b/?location'],
    ['GET', '/b?encryption', '/b'],
    ['PUT', '/b?sync', '/b'],
    ['POST', '/b/k?uploads=', '/b/k?uploads'],
    ['POST', '/b/k?uploads=', '/b/k?uploads='],
    ['PUT', '/b/k?uploadId=a%2Fb&partNumber=1', '/b/k?partNumber=1&uploadId=a/b'],
    ['GET', '/b/k?response-content-type=a%20b&x=1', '/b/k?response-content-type=a b'],
    ['GET', '/b?prefix=x&marker=y', '/b/'],
  ] as const) {
    assert.ok(await attempt(method, url, resource), `${method} ${url} signed as ${resource}`);
  }
  for (const sub of [
    'uploads',
    'delete',
    'versionId=1',
    'uploadId=1',
    'uploadId=1&partNumber=1',
    'acl',
    'policy',
    'retention',
    'legal-hold',
    'lifecycle',
    'versioning',
    'restore',
    'encryption',
    'renameObject',
    'location',
    'torrent',
    'object-lock',
    'publicAccessBlock',
  ]) {
    for (const method of ['PUT', 'POST', 'DELETE']) {
      assert.is(await code(attempt(method, `/b/k?${sub}`, '/b/k')), 'SignatureDoesNotMatch', `${method} ${sub}`);
    }
  }
  for (const sub of [
    'versionId=1',
    'uploadId=1',
    'uploads',
    'acl',
    'policy',
    'partNumber=1',
    'response-content-type=x',
    'versions',
  ]) {
    assert.is(await code(attempt('GET', `/b/k?${sub}`, '/b/k')), 'SignatureDoesNotMatch', sub);
  }
  assert.is(await code(attempt('PUT', '/b/k?tagging&versionId=1', '/b/k')), 'SignatureDoesNotMatch');
  assert.is(await code(attempt('PUT', '/b?sync', '/b?sync')), 'SignatureDoesNotMatch');
});

v2("Debian's s3curl signs the host", async () => {
  const put: Unsigned = { method: 'PUT', url: '/b/k', headers: { host } };
  assert.ok(await check('PUT', '/b/k', signV2(put, keys, '/127.0.0.1/b/k')));
  const named: Unsigned = { ...put, headers: { host: 'gateway:9000' } };
  const headers = signV2(named, keys, '/gateway/b/k');
  assert.ok(await check('PUT', '/b/k', headers, { buckets: ['b'] }));
  // A request for the key `b/k` of a bucket `gateway` must not be turned into one for bucket `b` by a forged Host.
  assert.is(await code(check('PUT', '/b/k', headers, { buckets: ['b', 'gateway'] })), 'SignatureDoesNotMatch');
  assert.is(await code(check('PUT', '/b/k', headers)), 'SignatureDoesNotMatch', 'nobody can tell');
});

v2('presigned', async () => {
  const expires = now / 1000 + 60;
  const url = presignV2(
    get('/b/%E3%81%82?response-content-type=a%2Fb'),
    keys,
    expires,
    '/b/%E3%81%82?response-content-type=a/b',
  );
  assert.is((await check('GET', url, { host }))?.scheme, 'v2-query');
  const expired = await refused(check('GET', url, { host }, { at: now + 60000 }));
  assert.is(expired.code, 'AccessDenied');
  assert.is(expired.message, 'Request has expired');
  assert.is(await code(check('GET', url.replace('a%2Fb', 'c'), { host })), 'SignatureDoesNotMatch');
  assert.is(
    await code(check('GET', url.replace(`Expires=${expires}`, `Expires=${expires + 1}`), { host })),
    'SignatureDoesNotMatch',
  );
  assert.is(await code(check('GET', url.replace(`Expires=${expires}`, 'Expires=x'), { host })), 'AccessDenied');
  assert.is(await code(check('GET', '/b/k?AWSAccessKeyId=AKIDTEST', { host })), 'AccessDenied');
  assert.is(await code(check('GET', url.replace('AKIDTEST', 'OTHER'), { host })), 'InvalidAccessKeyId');
  // botocore moves headers into the query; they are signed as headers.
  const put = presignV2(
    { method: 'PUT', url: '/b/k', headers: { host, 'content-type': 'text/plain', 'x-amz-acl': 'private' } },
    keys,
    expires,
  );
  assert.ok(await check('PUT', `${put}&x-amz-acl=private&content-type=text%2Fplain`, { host }));
  assert.is(
    await code(check('PUT', `${put}&x-amz-acl=public-read&content-type=text%2Fplain`, { host })),
    'SignatureDoesNotMatch',
  );
});

v2('property: a changed byte of the target or of a header is refused', async () => {
  await fc.assert(
    fc.asyncProperty(path, fc.nat(), fc.nat(), async (url, where, by) => {
      const headers = signV2(get(url, { 'x-amz-meta-v': 'value', 'content-type': 'a/b' }), keys);
      assert.ok(await check('GET', url, headers), url);
      const at = 3 + (where % (url.length - 3));
      const other = url.slice(0, at) + String.fromCharCode(0x61 + (by % 26)) + url.slice(at + 1);
      if (meaning(other) !== meaning(url)) await refused(check('GET', other, headers));
      const name = ['authorization', 'x-amz-meta-v', 'content-type', 'date'][where % 4]!;
      const old = headers[name]!;
      const spot = by % old.length;
      await refused(
        check('GET', url, {
          ...headers,
          [name]: old.slice(0, spot) + (old[spot] === 'q' ? 'w' : 'q') + old.slice(spot + 1),
        }),
      );
    }),
    { numRuns: 200 },
  );
});

v2.run();
