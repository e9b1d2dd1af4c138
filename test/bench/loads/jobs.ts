/** What a job writes, and how soon clients see it as what it is: with the ETag of its bytes. */
import { closeSync, fchownSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readAttribute } from '../../../acl/metadata/xattr.js';
import type { Subject } from '../gateway.js';
import { bucket, freshKeys, gets, numbered, objects } from '../ground.js';
import { type Bench, measure } from '../measure.js';
import type { Work } from '../row.js';
import { blast } from '../wrk.js';

const PER_SECOND = 100;
const PATIENCE_MS = 120_000;

const isStamped = (path: string): boolean => {
  const fd = openSync(path, 'r');
  try {
    return typeof readAttribute(fd) !== 'number';
  } finally {
    closeSync(fd);
  }
};

/** As whom the bucket belongs to: `writer`. */
const write = (path: string, writer: { uid: number; gid: number }): void => {
  const fd = openSync(path, 'w');
  try {
    if (process.getuid?.() === 0) fchownSync(fd, writer.uid, writer.gid);
    writeSync(fd, path.padEnd(1024));
  } finally {
    closeSync(fd);
  }
};

/** A job that writes so many files a second: after how long 99 of 100 of them had their ETag. */
async function job(directory: string, seconds: number): Promise<Work> {
  const names = freshKeys(Math.round(seconds * PER_SECOND)).map((key) => key.replace('/', '-'));
  const writer = statSync(directory);
  const open: { path: string; since: number }[] = [];
  const waits: number[] = [];
  const from = performance.now();
  for (let made = 0; waits.length < names.length; ) {
    for (const due = ((performance.now() - from) / 1000) * PER_SECOND; made < Math.min(due, names.length); made++) {
      const path = join(directory, names[made]!);
      write(path, writer);
      open.push({ path, since: performance.now() });
    }
    for (const one of open.slice(0, PER_SECOND)) {
      if (!isStamped(one.path)) continue;
      waits.push(performance.now() - one.since);
      open.splice(open.indexOf(one), 1);
    }
    if (performance.now() - from > PATIENCE_MS) throw new Error(`${open.length} files have no ETag yet`);
    await sleep(2);
  }
  waits.sort((a, b) => a - b);
  // The figure of a row is the time of one.
  return {
    operations: waits.length,
    bytes: 0,
    seconds: (waits.length * waits[Math.floor(waits.length * 0.99)]!) / 1000,
  };
}

export async function jobs(bench: Bench): Promise<void> {
  const seconds = Math.max(1, bench.scale.seconds);
  const results = async (subject: Required<Subject>): Promise<string> => {
    const directory = subject.process.path(await bucket(subject, 'results'));
    // The engine starts after the gateway, and has to come to this bucket.
    await job(directory, 1 / PER_SECOND);
    return directory;
  };
  const words = `a job's file has its ETag, ${PER_SECOND} a second, 99 of 100`;
  const load = {
    unit: 'ms',
    durability: 'full',
    per: 'us/op',
  } as const;
  // A foreign server has no door for files.
  const gatewayOnly = { ...bench, other: undefined };
  await measure(gatewayOnly, {
    ...load,
    load: `${words}, beside GETs, 64 conn.`,
    async ready(subject) {
      const directory = await results(subject as Required<Subject>);
      const calls = gets(subject, await objects(subject, 'small', numbered('s1024-', bench.scale.objects), 1024));
      return async () => {
        // Longer than the job takes: the last of its files meet them too. The CPU column is that of both.
        const limits = { connections: 64, seconds: seconds + 2 };
        const [work] = await Promise.all([job(directory, seconds), blast(subject, calls, limits)]);
        return work;
      };
    },
    async compared(gateway) {
      const directory = await results(gateway);
      return [{ to: { name: 'nothing beside', run: () => job(directory, seconds) } }];
    },
  });
}
