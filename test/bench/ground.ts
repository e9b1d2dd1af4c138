/** What loads find there before they begin: a bucket, objects, files. Made once for each server. */
import { randomBytes } from 'node:crypto';
import { ask, type Subject } from './gateway.js';
import type { Bench } from './measure.js';
import { signedCall, type Target } from './signed.js';
import { type Call, drive } from './wire.js';

const suffix = randomBytes(4).toString('hex');

/** Its own on each run: on a foreign server nothing of others is touched. */
export const bucketName = (name: string): string => `bench-${name}-${suffix}`;

const made = new Map<string, Promise<void>>();

/** Does something once for a server, whichever process serves it. */
export function once(subject: Subject, what: string, make: () => Promise<void>): Promise<void> {
  const id = `${subject.process ? 'gateway' : 'other'} ${what}`;
  let known = made.get(id);
  if (!known) made.set(id, (known = make()));
  return known;
}

/** The bucket of this name, made when it is not there. */
export async function bucket(subject: Subject, name: string): Promise<string> {
  const full = bucketName(name);
  await once(subject, full, async () => {
    await ask(subject, 'PUT', `/${full}`);
  });
  return full;
}

/** What clients commonly send with an object. */
export const metadata = {
  'content-type': 'application/x-netcdf',
  'x-amz-meta-mtime': '1764057600.123456789',
  'x-amz-meta-origin': 'model-run-17',
  'x-amz-meta-owner': 'climate',
};

/** Objects of `size` bytes with metadata. Answers their paths on the wire. */
export async function objects(
  subject: Subject,
  name: string,
  keys: readonly string[],
  size: number,
): Promise<string[]> {
  const full = await bucket(subject, name);
  const paths = keys.map((key) => `/${full}/${key}`);
  await once(subject, `objects ${full} ${keys[0]} ${size}`, async () => {
    const body = randomBytes(size);
    const calls = paths.map((path) => signedCall(subject, { method: 'PUT', path, headers: metadata }, body));
    await drive(subject, calls, { connections: 16 });
  });
  return paths;
}

/** Keys that no run has used before. */
let run = 0;
export function freshKeys(count: number): string[] {
  run++;
  return Array.from({ length: count }, (_, i) => `new-${run}/k${i}`);
}

export const gets = (target: Target, paths: readonly string[], method: 'GET' | 'HEAD' = 'GET'): Call[] =>
  paths.map((path) => signedCall(target, { method, path }));

export const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`);

/** Removes from a foreign server what was put there. The gateway's root is removed as a whole. */
export async function clear(bench: Bench): Promise<void> {
  const { other } = bench;
  if (!other) return;
  for (const id of made.keys()) {
    const name = /^other (bench-\S+)$/.exec(id)?.[1];
    if (name === undefined) continue;
    for (;;) {
      const page = await ask(other, 'GET', `/${name}`, 'list-type=2');
      const keys = [...page.matchAll(/<Key>([^<]+)<\/Key>/g)].map((match) => match[1]!);
      if (keys.length === 0) break;
      const calls = keys.map((key) => signedCall(other, { method: 'DELETE', path: `/${name}/${key}` }));
      await drive(other, calls, { connections: 16 });
    }
    await ask(other, 'DELETE', `/${name}`);
  }
}
