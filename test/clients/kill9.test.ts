// timeout: 400
/**
 * The gateway is killed with SIGKILL again and again in the middle of uploads and overwrites, and started again.
 * Afterwards every object must be one whole content that somebody sent, with the metadata of that very content, and
 * never older than the last one that was acknowledged. TIDEGATE_SEED repeats a run.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Gateway, startGateway } from '../support/gateway.js';
import { sdk } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const test = suite('kill -9');
const Bucket = 'killed';
const seed = Number(process.env.TIDEGATE_SEED ?? 20_260_719);
const writes = 1000;
const kills = 12;
const keyCount = 60;
const partSize = 5 * 1024 * 1024;

/** mulberry32: small, seeded, good enough to choose sizes and moments. */
function randomFrom(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One write that was sent. The bytes follow from the version, so that any content found tells whose it is. */
interface Write {
  version: number;
  size: number;
  parts: number;
  state: 'sent' | 'acknowledged';
}

function content({ version, size }: Pick<Write, 'version' | 'size'>): Buffer {
  return Buffer.alloc(size, `version ${version}. `);
}

const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest();

function etagOf(write: Write): string {
  const bytes = content(write);
  if (write.parts === 0) return `"${md5(bytes).toString('hex')}"`;
  const sums = Array.from({ length: write.parts }, (_, index) =>
    md5(bytes.subarray(index * partSize, (index + 1) * partSize)),
  );
  return `"${md5(Buffer.concat(sums)).toString('hex')}-${write.parts}"`;
}

test('a thousand writes through a dozen kills', async () => {
  const random = randomFrom(seed);
  const root = tempDir('tidegate-root-');
  let gateway: Gateway = await startGateway({ root, flags: ['--log-level', 'warn'] });
  const { port } = gateway;
  // The port stays the same, so the one client does not need to know of the kills.
  const client = sdk(gateway);
  await client.send(new s3.CreateBucketCommand({ Bucket }));

  const history = new Map<string, Write[]>();
  const busy = new Set<string>();
  const counts = { acknowledged: 0, failed: 0 };
  let version = 0;

  const size = (): [size: number, parts: number] => {
    const kind = random();
    if (kind < 0.02) return [partSize + Math.floor(random() * 200_000), 2];
    if (kind < 0.1) return [1_000_000 + Math.floor(random() * 2_000_000), 0];
    if (kind < 0.4) return [100_000 + Math.floor(random() * 200_000), 0];
    return [Math.floor(random() * 20_000), 0];
  };

  const send = async (Key: string, write: Write): Promise<void> => {
    const Body = content(write);
    const Metadata = { version: `${write.version}` };
    if (write.parts === 0) {
      await client.send(new s3.PutObjectCommand({ Bucket, Key, Body, Metadata }));
      return;
    }
    const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key, Metadata }));
    const Parts: s3.CompletedPart[] = [];
    for (let index = 0; index < write.parts; index += 1) {
      const part = Body.subarray(index * partSize, (index + 1) * partSize);
      const { ETag } = await client.send(
        new s3.UploadPartCommand({ Bucket, Key, UploadId, PartNumber: index + 1, Body: part }),
      );
      Parts.push({ ETag, PartNumber: index + 1 });
    }
    await client.send(new s3.CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
  };

  let down: Promise<void> | undefined;
  const writer = async (): Promise<void> => {
    while (version < writes) {
      await down;
      const free = Array.from({ length: keyCount }, (_, index) => index).filter((index) => !busy.has(`k/${index}`));
      const Key = `k/${free[Math.floor(random() * free.length)]}`;
      const [bytes, parts] = size();
      version += 1;
      const write: Write = { version, size: bytes, parts, state: 'sent' };
      history.set(Key, [...(history.get(Key) ?? []), write]);
      busy.add(Key);
      try {
        await send(Key, write);
        write.state = 'acknowledged';
        counts.acknowledged += 1;
      } catch (error) {
        // Only a kill may break a write: an answer with an error of the server would be a finding.
        if (error instanceof s3.S3ServiceException && error.$metadata.httpStatusCode !== undefined) {
          throw new Error(`${Key} version ${write.version}: ${error.name}: ${error.message}`);
        }
        counts.failed += 1;
        await sleep(20);
      } finally {
        busy.delete(Key);
      }
    }
  };

  let finished = false;
  const killer = async (): Promise<void> => {
    for (let kill = 0; kill < kills; kill += 1) {
      const at = Math.floor((writes / (kills + 1)) * (kill + random()));
      while (version < at && !finished) await sleep(2);
      if (finished) return;
      await sleep(random() * 30);
      down = (async () => {
        await gateway.kill9();
        gateway = await startGateway({ root, port, flags: ['--log-level', 'warn'] });
      })();
      await down;
      down = undefined;
    }
  };
  const killing = killer();
  await Promise.all(Array.from({ length: 8 }, writer)).finally(() => {
    finished = true;
  });
  await killing;
  await gateway.kill9();

  assert.is(version >= writes, true);
  console.log(`seed ${seed}: ${JSON.stringify(counts)}, ${kills} kills`);
  assert.ok(counts.acknowledged > writes / 2, `seed ${seed}: ${JSON.stringify(counts)}`);
  assert.ok(counts.failed > 0, 'no kill hit a write: nothing was tested');

  // A crash may leave garbage, but only in the staging area; made older than the age, it is reaped at the next start.
  const staging = join(gateway.bucketPath(Bucket), '.tidegate/staging');
  const staged = () => (existsSync(staging) ? readdirSync(staging) : []);
  for (const name of staged()) utimesSync(join(staging, name), 1, 1);
  gateway = await startGateway({ root, port, flags: ['--log-level', 'warn', '--staging-age', '1m'] });

  const listed = new Map<string, s3._Object>();
  for await (const page of s3.paginateListObjectsV2({ client }, { Bucket, MaxKeys: 7 })) {
    for (const entry of page.Contents ?? []) listed.set(entry.Key!, entry);
  }
  for (const [Key, sent] of history) {
    const acknowledged = sent.filter((write) => write.state === 'acknowledged');
    const last = acknowledged.at(-1);
    const entry = listed.get(Key);
    const about = `${Key}, seed ${seed}`;
    if (entry === undefined) {
      assert.is(last, undefined, `acknowledged and lost: ${about}`);
      continue;
    }
    const reply = await client.send(new s3.GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
    const bytes = Buffer.from(await reply.Body!.transformToByteArray());
    const found = sent.find((write) => write.size === bytes.length && content(write).equals(bytes));
    assert.ok(found, `torn: ${about}: ${bytes.length} bytes that nobody sent`);
    // A write that was cut may have been published all the same, but nothing older than what was acknowledged last.
    if (last) assert.ok(sent.indexOf(found) >= sent.indexOf(last), `an older version is back: ${about}`);
    assert.is(reply.ETag, etagOf(found), `ETag of another content: ${about}`);
    assert.is(entry.ETag, reply.ETag, about);
    assert.is(entry.Size, bytes.length, about);
    assert.equal(reply.Metadata, { version: `${found.version}` }, `metadata of another content: ${about}`);
    assert.ok(readFileSync(join(gateway.bucketPath(Bucket), Key)).equals(bytes), about);
  }
  assert.is(
    [...listed.keys()].every((key) => history.has(key)),
    true,
    'a key that nobody wrote',
  );

  await until('the staging area is empty', 30_000, () => staged().length === 0 || undefined);
  assert.ok(statSync(gateway.bucketPath(Bucket)).isDirectory());
  client.destroy();
  assert.is(await gateway.stop(), 0);
});

test.run();
