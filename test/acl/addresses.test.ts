/** From where requests may come: proxies that are believed, the listener's list, the access mode of a bucket. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createAddresses, packAccess, unpackAccess } from '../../acl/addresses.js';

const test = suite('acl/addresses');

test('without trusted proxies the header means nothing', () => {
  const { client } = createAddresses({});
  assert.is(client('192.0.2.1', '10.0.0.1'), '192.0.2.1');
  assert.is(client('::ffff:192.0.2.1', undefined), '192.0.2.1');
  assert.is(client('2001:db8::1', '::1'), '2001:db8::1');
  assert.is(client('', '10.0.0.1'), '');
});

test('X-Forwarded-For is read from right to left, as far as trusted proxies vouch for it', () => {
  const { client } = createAddresses({ trustedProxies: ['10.0.0.0/24', '::1', '2001:db8:1::/48'] });
  for (const [peer, forwarded, expected, why] of [
    ['203.0.113.9', '10.1.1.1', '203.0.113.9', 'a stranger is not believed'],
    ['10.0.0.1', undefined, '10.0.0.1', 'the proxy speaks for itself'],
    ['10.0.0.1', '203.0.113.9', '203.0.113.9', 'the client behind one proxy'],
    ['::ffff:10.0.0.1', '203.0.113.9', '203.0.113.9', 'a listener on :: sees IPv4 so'],
    ['10.0.0.1', '192.168.0.1, 203.0.113.9', '203.0.113.9', 'what the client itself wrote is left of it'],
    ['10.0.0.1', '203.0.113.9, 10.0.0.2', '203.0.113.9', 'two proxies'],
    ['10.0.0.1', '127.0.0.1, 203.0.113.9,10.0.0.2', '203.0.113.9', 'two proxies and an invention'],
    ['10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3', 'nobody but proxies: the farthest'],
    ['::1', '2001:db8:2::5', '2001:db8:2::5', 'IPv6'],
    ['::1', '[2001:db8:2::5]:443, 2001:db8:1::9', '2001:db8:2::5', 'with a port'],
    ['10.0.0.1', '203.0.113.9:5555', '203.0.113.9', 'IPv4 with a port'],
    ['10.0.0.1', 'unknown', '', 'a proxy that does not say'],
    ['10.0.0.1', '', '', 'an empty header'],
    ['10.0.0.1', '10.0.0.1, garbage', '', 'garbage hides nothing behind it'],
    ['10.0.0.1', 'garbage, 203.0.113.9', '203.0.113.9', 'garbage of the client does no harm'],
  ] as const) {
    assert.is(client(peer, forwarded), expected, why);
  }
});

test('whatever a client writes into the header, it counts as where it is', () => {
  const { client } = createAddresses({ trustedProxies: ['10.0.0.0/24'] });
  void fc.assert(
    fc.property(fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string())), (invented) => {
      assert.is(client('203.0.113.9', invented.join(',')), '203.0.113.9');
      assert.is(client('10.0.0.1', [...invented, '203.0.113.9'].join(',')), '203.0.113.9');
    }),
  );
});

test('the allow-list of the listener: empty is everybody', () => {
  assert.ok(createAddresses({}).served('203.0.113.9'));
  assert.not.ok(createAddresses({}).served(''), 'but for somebody who is nowhere');
  const { served } = createAddresses({ allowFrom: ['198.51.100.0/25', '2001:db8::/32'] });
  for (const inside of ['198.51.100.0', '198.51.100.127', '::ffff:198.51.100.1', '2001:db8::1', '2001:DB8:ffff::']) {
    assert.ok(served(inside), inside);
  }
  for (const outside of ['198.51.100.128', '::1', '127.0.0.1', '2001:db9::', '', 'x']) {
    assert.not.ok(served(outside), outside);
  }
});

test('access modes: public restricts nothing, private means the private networks, custom its own list', () => {
  const { reaches } = createAddresses({});
  const inside = ['127.0.0.1', '10.9.9.9', '172.16.0.1', '172.31.255.255', '192.168.1.1', '::1', 'fd00::1'];
  const outside = ['172.32.0.1', '8.8.8.8', '2001:db8::1', '::ffff:8.8.8.8', ''];
  const privately = packAccess({ mode: 'private' });
  for (const address of [...inside, ...outside]) assert.ok(reaches(undefined, address), address);
  for (const address of inside) assert.ok(reaches(privately, address), address);
  for (const address of outside) assert.not.ok(reaches(privately, address), address);
  assert.ok(createAddresses({ privateNetworks: ['8.8.8.0/24'] }).reaches(privately, '8.8.8.8'));
  assert.not.ok(createAddresses({ privateNetworks: ['8.8.8.0/24'] }).reaches(privately, '10.0.0.1'));
  const custom = packAccess({ mode: 'custom', cidr: ['8.8.8.0/24', '2001:db8::/64'] });
  for (const address of ['8.8.8.8', '::ffff:8.8.8.8', '2001:db8::1']) assert.ok(reaches(custom, address), address);
  for (const address of ['10.0.0.1', '8.8.9.8', '2001:db8:0:1::']) assert.not.ok(reaches(custom, address), address);
  assert.not.ok(reaches(packAccess({ mode: 'custom', cidr: [] }), '127.0.0.1'));
});

test('a document that is no access mode lets nobody in', () => {
  const { reaches } = createAddresses({});
  for (const text of [
    '',
    '{}',
    'null',
    '[]',
    '{"mode":"open"}',
    '{"mode":"custom"}',
    '{"mode":"custom","cidr":["x"]}',
  ]) {
    assert.not.ok(reaches(text, '127.0.0.1'), text);
    assert.is(unpackAccess(text), undefined);
  }
});

test('what is packed is read again', () => {
  assert.is(packAccess({ mode: 'public' }), undefined);
  assert.equal(unpackAccess(undefined), { mode: 'public' });
  for (const access of [{ mode: 'private' }, { mode: 'custom', cidr: ['10.0.0.0/8', '::1'] }] as const) {
    assert.equal(unpackAccess(packAccess(access)), access);
  }
});

test.run();
