/**
 * A million files in one directory and a hundred thousand in a deep tree, listed completely through boto3.
 *
 *     node dist/test/bench/million.js [FILES] [TREE]
 *
 * Prints time and the gateway's peak memory (VmHWM). Needs python3 with boto3, and room for the files under TMPDIR.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { startGateway } from '../support/gateway.js';
import { mustRun } from '../support/programs.js';
import { sdk } from '../support/sdk.js';

const flat = Number(process.argv[2] ?? 1_000_000);
const deep = Number(process.argv[3] ?? 100_000);
const script = join(process.cwd(), 'test/bench/list_all.py');

/** Names that do not come in the order of their making, and some where UTF-16 order would be wrong. */
function flatName(index: number): string {
  const mixed = (Math.imul(index, 0x9e37_79b1) >>> 0).toString(36);
  const mark = index % 50 === 0 ? '～' : index % 50 === 1 ? '🌊' : 'f';
  return `${mark}${mixed}-${index}`;
}

/** Ten levels deep; directories `d` beside files `d!` and `d-`, which sort before and after what is inside. */
function deepName(index: number): string {
  const digits = index.toString().padStart(6, '0');
  const dirs = [...digits.slice(0, 4)].map((digit) => `d${digit}`).join('/x/');
  return `${dirs}/${index % 3 === 0 ? '!' : '-'}${digits.slice(4)}`;
}

function expected(names: string[]): string {
  const hash = createHash('sha256');
  for (const name of names.map((name) => Buffer.from(name)).sort(Buffer.compare)) hash.update(name).update('\n');
  return hash.digest('hex');
}

function peakMiB(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Math.round(Number(line?.[1]) / 1024);
}

const gateway = await startGateway({ flags: ['--log-level', 'warn'] });
const client = sdk(gateway);
const env = { ...process.env, AWS_ACCESS_KEY_ID: gateway.accessKey, AWS_SECRET_ACCESS_KEY: gateway.secretKey };
console.log(`idle: peak ${peakMiB(gateway.pid)} MiB`);

for (const [bucket, names] of [
  ['million', Array.from({ length: flat }, (_, index) => flatName(index))],
  ['deep-tree', Array.from({ length: deep }, (_, index) => deepName(index))],
] as const) {
  await client.send(new s3.CreateBucketCommand({ Bucket: bucket }));
  const base = gateway.bucketPath(bucket);
  const started = Date.now();
  const dirs = new Set(names.map((name) => name.slice(0, name.lastIndexOf('/') + 1)));
  for (const dir of dirs) mkdirSync(join(base, dir), { recursive: true });
  for (const name of names) closeSync(openSync(join(base, name), 'wx'));
  console.log(`${bucket}: ${names.length} files made in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  const args = [script, gateway.endpoint, bucket, `${names.length}`];
  const { stdout } = await mustRun('python3', args, { env, seconds: 3600 });
  const result = JSON.parse(stdout);
  if (result.sha256 !== expected([...names])) throw new Error(`${bucket}: the names listed are not the names there`);
  console.log(`${bucket}: complete and in order: ${JSON.stringify({ ...result, sha256: undefined })}`);
  console.log(`${bucket}: gateway's peak ${peakMiB(gateway.pid)} MiB`);
}
client.destroy();
await gateway.stop();
