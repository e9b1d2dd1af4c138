/** Where requests come from, through the whole gateway over the memory store. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packAccess } from '../../acl/addresses.js';
import { presignV4 } from '../auth/signer.js';
import { element, keys, type Stage, startStage } from './stage.js';

const test = suite('http/addresses');

async function staged(options: Parameters<typeof startStage>[0], work: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = await startStage(options);
  try {
    await work(stage);
  } finally {
    await stage.close();
  }
}
const from = (address: string, more: Record<string, string> = {}) => ({ 'x-forwarded-for': address, ...more });

test('the list of the listener: nobody else is served, neither S3 nor the service endpoints', () =>
  staged({ allowFrom: ['192.0.2.0/24'], trustedProxies: ['127.0.0.1'] }, async (stage) => {
    for (const url of ['/', '/bkt', '/.tidegate/live', '/.tidegate/ready']) {
      const reply = await stage.send(url, { headers: from('198.51.100.1') });
      assert.is(reply.status, 403, url);
      assert.is(element(reply, 'Code'), 'AccessDenied');
      assert.is((await stage.send(url, { headers: {} })).status, 403, 'the proxy itself is not on the list');
    }
    assert.is((await stage.send('/', { headers: from('192.0.2.7') })).status, 200);
    assert.is((await stage.send('/.tidegate/live', { headers: from('192.0.2.7'), as: null })).status, 200);
    assert.is((await stage.send('/', { headers: from('192.0.2.7, 198.51.100.1') })).status, 403);
    const told = stage.log.filter(({ peer }) => peer === '198.51.100.1');
    assert.ok(told.length > 0, 'the log names the client and not the proxy');
  }));

test('a client whose trusted proxy does not say where it is, is not served', () =>
  staged({ trustedProxies: ['127.0.0.1'] }, async (stage) => {
    assert.is((await stage.send('/', { headers: from('unknown') })).status, 403);
    assert.is((await stage.send('/', { headers: from('unknown, 192.0.2.1') })).status, 200);
  }));

test('the header of strangers is not believed', () =>
  staged({ allowFrom: ['192.0.2.0/24'] }, async (stage) => {
    assert.is((await stage.send('/', { headers: from('192.0.2.7') })).status, 403);
  }));

test('the access mode of a bucket holds for its owner, presigned URLs, copies and from the next request on', () =>
  staged({ trustedProxies: ['127.0.0.1'] }, async (stage) => {
    await stage.send('/bkt', { method: 'PUT' });
    await stage.send('/bkt/key', { method: 'PUT', body: 'secret' });
    await stage.send('/open', { method: 'PUT' });
    const bucket = (await stage.storage.bucket('bkt'))!;
    const host = `127.0.0.1:${stage.port}`;
    const url = presignV4({ method: 'GET', url: '/bkt/key', headers: { host } }, keys.anna, 600);
    const statuses = async (address: string) => [
      (await stage.send('/bkt/key', { headers: from(address) })).status,
      (await stage.send('/bkt?list-type=2', { headers: from(address) })).status,
      (await stage.send(url, { headers: from(address), as: null })).status,
      (await stage.send('/open/copy', { method: 'PUT', headers: from(address, { 'x-amz-copy-source': 'bkt/key' }) }))
        .status,
    ];
    const all = (status: number) => [status, status, status, status];
    assert.equal(await statuses('203.0.113.1'), all(200), 'a bucket is public unless somebody said otherwise');
    await stage.storage.putConfig(bucket, 'access', packAccess({ mode: 'private' }));
    assert.equal(await statuses('203.0.113.1'), all(403));
    assert.equal(await statuses('10.1.2.3'), all(200));
    await stage.storage.putConfig(
      bucket,
      'access',
      packAccess({ mode: 'custom', cidr: ['203.0.113.0/31', 'fd00::/8'] }),
    );
    assert.equal(await statuses('203.0.113.1'), all(200));
    assert.equal(await statuses('203.0.113.2'), all(403));
    assert.equal(await statuses('fd12::1'), all(200));
    assert.is((await stage.send('/bkt', { method: 'DELETE', headers: from('10.1.2.3') })).status, 403);
    assert.is((await stage.send('/open', { headers: from('10.1.2.3') })).status, 200);
  }));

test.run();
