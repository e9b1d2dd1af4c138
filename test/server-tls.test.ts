/** https: the certificate, its renewal without a restart, and nothing older than TLS 1.2. */
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Stage, startStage } from './http/stage.js';
import { withTimeout } from './support/time.js';

const test = suite('server-tls');
const read = (name: string) => readFileSync(`test/fixtures/tls/${name}`);
const pair = (name: string) => ({ cert: read(`${name}.crt`), key: read(`${name}.key`) });

let stage: Stage;
test.before(async () => {
  stage = await startStage({ tls: pair('first') });
});
test.after(() => stage.close());

/** One request over a fresh connection: the reply's first line, and the certificate's fingerprint. */
function ask(
  options: tls.ConnectionOptions = {},
): Promise<{ reply: string; fingerprint: string; protocol: string | null }> {
  return withTimeout(
    'TLS request',
    5000,
    new Promise((resolve, reject) => {
      const socket = tls.connect({ port: stage.port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
        const fingerprint = socket.getPeerCertificate().fingerprint256;
        const protocol = socket.getProtocol();
        let reply = '';
        socket.on('data', (piece) => {
          reply += piece;
        });
        socket.on('end', () => resolve({ reply, fingerprint, protocol }));
        socket.write('GET /.tidegate/live HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n');
      });
      socket.on('error', reject);
    }),
  );
}

test('serves, and takes up a new certificate for new connections', async () => {
  const before = await ask();
  assert.match(before.reply, /^HTTP\/1\.1 200 /);
  stage.gateway.setCertificate(pair('second'));
  const after = await ask();
  assert.match(after.reply, /^HTTP\/1\.1 200 /);
  assert.is.not(after.fingerprint, before.fingerprint);
});

test('TLS 1.2 and 1.3, not 1.1', async () => {
  assert.is((await ask({ maxVersion: 'TLSv1.2' })).protocol, 'TLSv1.2');
  assert.is((await ask()).protocol, 'TLSv1.3');
  const old = await ask({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }).then(
    () => 'connected',
    () => 'refused',
  );
  assert.is(old, 'refused');
});

test.run();
