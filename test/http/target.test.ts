import type { IncomingMessage } from 'node:http';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../gateway/errors.js';
import { parseTarget, parseWire } from '../../gateway/http/target.js';
import type { WireRequest } from '../../gateway/http/types.js';

const wire = (url: string, headers: string[] = ['Host', 'localhost']): WireRequest =>
  parseWire({ method: 'GET', url, rawHeaders: headers, socket: {} } as unknown as IncomingMessage);
const target = (url: string, host = 'localhost', domains: string[] = []) =>
  parseTarget(wire(url, ['Host', host]), domains);
const fails = (url: string, code: string) =>
  assert.throws(
    () => target(url),
    (e: S3Error) => e.code === code,
    url,
  );

const t = suite('target');

t('raw pieces', () => {
  const r = wire('/b/%2e%2e/c?a=1&b&&c=%zz&d=a+b%2B&a=2', ['HoSt', 'h', 'X-A', '1', 'x-a', ' 2']);
  assert.is(r.rawPath, '/b/%2e%2e/c');
  assert.is(r.rawQuery, 'a=1&b&&c=%zz&d=a+b%2B&a=2');
  assert.is(r.headers.get('host'), 'h');
  assert.is(r.headers.get('x-a'), '1, 2');
  assert.is(r.query.get('a'), '1');
  assert.is(r.query.get('b'), '');
  assert.is(r.query.get('c'), '%zz', 'a bad escape stands for itself');
  assert.is(r.query.get('d'), 'a b+');
  assert.is(r.query.get('nothing'), undefined);
  assert.ok(r.query.has('b'));
  assert.is(r.query.params.length, 5);
  assert.is(r.query.params[1]!.rawValue, undefined);
});

t('absolute form', () => {
  const r = wire('http://Other:80/b/k?x', ['Host', 'h']);
  assert.is(r.rawPath, '/b/k');
  assert.is(r.rawQuery, 'x');
  assert.is(r.headers.get('host'), 'Other:80');
  assert.is(wire('http://h').rawPath, '/');
  assert.is(wire('http://h?acl').rawQuery, 'acl');
});

t('one host, and nothing else in its place', () => {
  const host = (value: string) => wire('/b/k', ['Host', value]).headers.get('host');
  for (const value of [
    '',
    'localhost:9000',
    'b_1.S3.example.com.',
    '127.0.0.1',
    '[::1]:9000',
    '[::ffff:1.2.3.4]',
    'h:',
  ])
    assert.is(host(value), value);
  const bad = (url: string, headers: string[]) =>
    assert.throws(
      () => wire(url, headers),
      (e: S3Error) => e.code === 'BadRequest' && e.status === 400,
      headers.join(),
    );
  for (const value of ['bucket/dir', 'a b', 'a@b', 'h:80:80', 'h?x', 'h#', 'b%2Fk', '\u00e9', '[::1', 'a,b'])
    bad('/b/k', ['Host', value]);
  bad('/b/k', ['Host', 'h', 'host', 'h']);
  bad('http://user@h/b', ['Host', 'h']);
});

t('path style', () => {
  assert.equal(target('/'), { bucket: undefined, key: undefined, style: 'path' });
  assert.equal(target('/b'), { bucket: 'b', key: undefined, style: 'path' });
  assert.equal(target('/b/'), { bucket: 'b', key: undefined, style: 'path' });
  assert.is(target('/b/k/').key, 'k/');
  assert.is(target('/b//x').key, '/x');
  assert.is(target('/b///').key, '//');
});

t('a key is decoded once, and nothing is resolved', () => {
  assert.is(target('/b/../c').key, '../c');
  assert.is(target('/b/%2e%2e/c').key, '../c');
  assert.is(target('/b/./x/../y').key, './x/../y');
  assert.is(target('/b/a+b%2B%20c').key, 'a+b+ c');
  assert.is(target('/b/%2541').key, '%41');
  assert.is(target('/b/%E6%97%A5%e6%9c%ac/%F0%9F%98%80').key, '日本/😀');
  assert.is(target('/b/a%2Fb').key, 'a/b');
  assert.is(target('/b/%EF%BB%BFx').key, '\ufeffx', 'a byte order mark is part of the name');
  // Raw UTF-8 arrives as one character per byte.
  assert.is(target(`/b/${Buffer.from('日').toString('latin1')}`).key, '日');
});

t('what is no address', () => {
  for (const url of ['/b/%', '/b/%4', '/b/%zz', '/b/%ff', '/b/%C3', '/b/%ED%A0%80', '/b/%C0%AF', '*'])
    fails(url, 'InvalidURI');
  for (const url of ['//x', '/a%2Fb/k', '/../k', '/./k', '/a%00/k', '/%2e%2e/k']) fails(url, 'InvalidBucketName');
});

t('virtual-host style', () => {
  const domains = ['s3.example.com', 'Example.COM'];
  const at = (url: string, host: string) => target(url, host, domains);
  assert.equal(at('/k%20x', 'b.s3.example.com'), { bucket: 'b', key: 'k x', style: 'host' });
  assert.equal(at('/', 'B.S3.Example.com:9000'), { bucket: 'b', key: undefined, style: 'host' });
  assert.is(at('/k', 'my.bucket.s3.example.com').bucket, 'my.bucket');
  assert.is(at('//k', 'b.s3.example.com').key, '/k');
  assert.is(at('/b/k', 's3.example.com:9000').style, 'path', 'the domain itself');
  assert.is(at('/k', 'b.example.com').bucket, 'b');
  assert.is(at('/b/k', 'other.org').style, 'path');
  assert.is(at('/b/k', '[::1]:9000').bucket, 'b');
  assert.is(at('/b/k', 'xs3.example.org').style, 'path');
});

t('a request through a real parser', async () => {
  const seen: WireRequest[] = [];
  const server = createServer((incoming, reply) => {
    seen.push(parseWire(incoming));
    reply.end();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve, reject) => {
    request({ port, host: '127.0.0.1', path: '/b/../%E3%81%82', headers: { 'X-Amz-Meta-A': ['1', '2'] } }, (reply) =>
      reply.resume().on('end', resolve),
    )
      .on('error', reject)
      .end();
  });
  server.close();
  assert.is(seen[0]!.rawPath, '/b/../%E3%81%82');
  assert.is(seen[0]!.headers.get('x-amz-meta-a'), '1,2');
  assert.is(seen[0]!.remoteAddress, '127.0.0.1');
  assert.is(seen[0]!.secure, false);
});

t.run();
