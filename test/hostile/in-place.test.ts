// timeout: 120
/** A job works on a file while a slow client reads it, and no digest of the content is known. */
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  openSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { Readable } from 'node:stream';
import { CreateBucketCommand, GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Gateway, startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';

const test = suite('hostile: files that change while they are read');
const size = 64 << 20;
const Bucket = 'jobs';
const Key = 'file';
let gateway: Gateway;
test.before(async () => {
  gateway = await startGateway({ flags: ['--sync', 'off', '--log-level', 'silent'] });
  const client = sdk(gateway);
  await client.send(new CreateBucketCommand({ Bucket }));
  client.destroy();
});
test.after(async () => {
  await gateway.stop();
});

/** The bytes that came; `whole` when the answer came to its end. */
async function readWhile(change: () => void): Promise<{ bytes: Buffer; whole: boolean; etag: string }> {
  const client = sdk(gateway);
  const reply = await client.send(new GetObjectCommand({ Bucket, Key }));
  const body = reply.Body as Readable;
  const chunks: Buffer[] = [];
  let whole = true;
  let changed = false;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      // More stands in no socket's buffer by then than the rest of it.
      if (!changed) change();
      changed = true;
    }
  } catch {
    whole = false;
  }
  client.destroy();
  return { bytes: Buffer.concat(chunks), whole, etag: reply.ETag! };
}

const overwrite = (path: string, length: number): void => {
  const fd = openSync(path, 'r+');
  const block = Buffer.alloc(1 << 20, 'b');
  for (let at = 0; at < length; at += block.length) writeSync(fd, block, 0, block.length, at);
  closeSync(fd);
};

for (const [what, change] of [
  ['overwritten in place', (path: string) => overwrite(path, size)],
  ['cut off', (path: string) => truncateSync(path, size / 2)],
  [
    'cut off and written anew',
    (path: string) => {
      const fd = openSync(path, 'r+');
      ftruncateSync(fd, 0);
      closeSync(fd);
      overwrite(path, size);
    },
  ],
] as const) {
  test(`one that is ${what} is not handed out as if nothing had happened`, async () => {
    const path = `${gateway.bucketPath(Bucket)}/${Key}`;
    writeFileSync(path, Buffer.alloc(size, 'a'));
    const { bytes, whole, etag } = await readWhile(() => change(path));
    assert.match(etag, /-0"$/);
    assert.not.ok(whole, `${bytes.length} bytes, the last of them ${String.fromCharCode(bytes.at(-1)!)}`);
  });
}

for (const [what, change] of [
  ['appended to', (path: string) => appendFileSync(path, Buffer.alloc(1 << 20, 'b'))],
  [
    'replaced by another',
    (path: string) => {
      writeFileSync(`${path}.new`, 'b');
      renameSync(`${path}.new`, path);
    },
  ],
] as const) {
  test(`of one that is ${what} comes what was there`, async () => {
    const path = `${gateway.bucketPath(Bucket)}/${Key}`;
    const content = Buffer.alloc(size, 'a');
    writeFileSync(path, content);
    const { bytes, whole, etag } = await readWhile(() => change(path));
    assert.ok(whole && bytes.equals(content));
    const client = sdk(gateway);
    assert.is.not((await client.send(new HeadObjectCommand({ Bucket, Key }))).ETag, etag);
    client.destroy();
  });
}

test.run();
