/** A client that sends requests faster than they are answered does not fill our memory with them. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withTimeout } from '../support/time.js';
import { startStage } from './stage.js';

const test = suite('http: pipelined requests');

test('no more are read than come in one piece', async () => {
  const stage = await startStage();
  let [begun, open, most] = [0, 0, 0];
  const start = () => {
    begun++;
    most = Math.max(most, ++open);
  };
  const finish = () => open--;
  subscribe('http.server.request.start', start);
  subscribe('http.server.response.finish', finish);
  try {
    const one = (connection: string) =>
      `GET /bkt/k HTTP/1.1\r\nHost: h\r\nX-Fill: ${'x'.repeat(60)}\r\nConnection: ${connection}\r\n\r\n`;
    const count = 6_000;
    const socket = connect(stage.port, '127.0.0.1');
    socket.resume();
    socket.write(one('keep-alive').repeat(count) + one('close'));
    await withTimeout('the last reply', 60_000, once(socket, 'close'));
    assert.is(begun, count + 1);
    // Node reads 64 KiB at a time, and the next piece may be on its way.
    const piece = Math.ceil(65_536 / one('keep-alive').length);
    assert.ok(most <= 2 * piece + 2, `${most} at once, a piece has ${piece}`);
  } finally {
    unsubscribe('http.server.request.start', start);
    unsubscribe('http.server.response.finish', finish);
    await stage.close();
  }
});

test.run();
