/** What the benchmark's client reads of a reply. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { plainCall } from './signed.js';
import { open } from './wire.js';

const test = suite('the client of the benchmark');

const long = `${'x'.repeat(300_000)}the end`;
const replies: Record<string, string[]> = {
  '/length': [long.toUpperCase()],
  '/chunks': [long, '\r\n0\r\n', 'z'],
  '/none': [''],
  '/nothing': [],
};

test('a body that is wanted comes whole, by length or in chunks, one after the other on one connection', async () => {
  const server = createServer(async (request, response) => {
    const pieces = replies[request.url!]!;
    if (pieces.length === 1) response.setHeader('content-length', pieces[0]!.length);
    response.flushHeaders();
    for (const piece of pieces) {
      if (piece !== '') response.write(piece);
      // Each in a segment of its own.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  const { call, close } = await open(address);
  try {
    for (const path of ['/chunks', '/length', '/none', '/nothing', '/chunks', '/length']) {
      const { bytes, body } = await call({ ...plainCall(address, path), keep: true });
      const expected = replies[path]!.join('');
      assert.is(bytes, expected.length, path);
      assert.ok(body.toString('latin1') === expected, path);
    }
    const { bytes, body } = await call(plainCall(address, '/length'));
    assert.equal([bytes, body.length], [long.length, 0]);
  } finally {
    close();
    server.close();
  }
});

test.run();
