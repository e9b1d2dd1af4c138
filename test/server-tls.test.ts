/** https: the certificate, its renewal without a restart, and nothing older than TLS 1.2. */
import { readFileSync } from 'node:fs';
import https from 'node:https';
import tls from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPosixStorage } from '../gateway/storage/posix/index.js';
import { type Stage, startStage } from './http/stage.js';
import { tempDir } from './support/temp.js';
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

test('an object of several MiB goes through TLS: no worker writes to such a connection', async () => {
  const storage = await createPosixStorage({ root: tempDir(), workers: 2, durability: 'none' });
  const actor = { uid: process.getuid!(), gid: process.getgid!(), groups: [] };
  // The accounts of the stage are nobody's on this machine.
  const open: typeof storage.open = (at, key) => storage.open({ ...at, actor }, key);
  const files = await startStage({ tls: pair('first'), storage: { ...storage, open } });
  try {
    const bytes = Buffer.alloc(5_000_001, 'through TLS');
    const bucket = await storage.createBucket({ name: 'large', owner: '00000000-0000-0000-0000-00000000anna' }, actor);
    const body = { length: bytes.length, read: async (sink: (chunk: Buffer) => unknown) => void (await sink(bytes)) };
    const seal = () => ({ etag: 'x-1', headers: {}, user: {} });
    await storage.put({ bucket, actor }, 'object', body, { digests: [], seal });
    const got = await new Promise<Buffer>((resolve, reject) => {
      const headers = files.sign('/large/object');
      const to = { host: '127.0.0.1', port: files.port, path: '/large/object', headers, rejectUnauthorized: false };
      https
        .get(to, (reply) => {
          const pieces: Buffer[] = [];
          reply.on('data', (piece) => pieces.push(piece)).on('error', reject);
          reply.on('end', () => resolve(Buffer.concat(pieces)));
        })
        .on('error', reject);
    });
    assert.ok(got.equals(bytes), `${got.length} bytes: ${got.toString('latin1', 0, 300)}`);
  } finally {
    await files.close();
  }
});

test.run();
