/** Listings: pages of a thousand, and all of a large bucket. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Subject } from '../gateway.js';
import { bucket, bucketName, numbered, objects, once } from '../ground.js';
import { limits } from '../limits.js';
import { absolute, type Bench, measure } from '../measure.js';
import { bare, bareRead, findSorted } from '../references.js';
import { median, type Work } from '../row.js';
import { signedCall } from '../signed.js';
import { type Connection, open } from '../wire.js';

/** Asks for pages on a connection of its own. */
export interface Reader {
  /** One page; answers how many keys and prefixes came, and the token of the next. */
  page(bucket: string, query: Record<string, string>): Promise<{ count: number; token: string | undefined }>;
  close(): void;
}

/** A client that looks at no more than the ends of a page: what it took to read all of it would be measured with the gateway. */
export function reader(subject: Subject): Reader {
  let connection: Promise<Connection> | undefined;
  return {
    close: () => void connection?.then(({ close }) => close()),
    page: async (name, query) => {
      const { call } = await (connection ??= open(subject));
      const all: Record<string, string> = { 'list-type': '2', ...query };
      const encoded = Object.keys(all)
        .sort()
        .map((key) => `${key}=${encodeURIComponent(all[key]!)}`)
        .join('&');
      const asked = signedCall(subject, { method: 'GET', path: `/${name}`, query: encoded });
      const { body } = await call({ ...asked, keep: true });
      // What is told of the page as a whole stands before and behind its objects.
      const ends =
        body.length <= 8192
          ? body.toString('latin1')
          : `${body.toString('latin1', 0, 4096)} ${body.toString('latin1', body.length - 4096)}`;
      const count = Number(/<KeyCount>(\d+)</.exec(ends)?.[1]);
      const token = /<NextContinuationToken>([^<]+)</.exec(ends)?.[1];
      return { count, token: token?.replaceAll('&amp;', '&').replaceAll('&quot;', '"') };
    },
  };
}

interface PageLoad {
  name: string;
  keys: string[];
  query: Record<string, string>;
  /** Whether the reference descends. */
  deep: number;
}

const pageLoads: PageLoad[] = [
  { name: 'flat', keys: numbered('run-17/file-', 1000), query: { prefix: 'run-17/' }, deep: 0 },
  {
    name: 'delimiter',
    keys: [...numbered('year/station-', 500).map((name) => `${name}/data.nc`), ...numbered('year/file-', 500)],
    query: { prefix: 'year/', delimiter: '/' },
    deep: 0,
  },
  {
    name: 'deep',
    keys: numbered('', 1000).map((i) => `deep/${Number(i) % 10}/${Number(i) % 7}/x/file-${i}.nc`),
    query: { prefix: 'deep/' },
    deep: 1,
  },
];

/** The same page, one after the other. */
async function again(subject: Subject, name: string, query: Record<string, string>, seconds: number): Promise<Work> {
  const { page, close } = reader(subject);
  const from = performance.now();
  let operations = 0;
  try {
    do {
      const { count } = await page(name, query);
      if (count !== 1000) throw new Error(`${count} came instead of 1000`);
      operations++;
    } while (performance.now() - from < seconds * 1000);
  } finally {
    close();
  }
  return { operations, bytes: 0, seconds: (performance.now() - from) / 1000 };
}

/** Warm pages of 1,000 objects with metadata, one after the other. */
export async function pages(bench: Bench): Promise<void> {
  for (const { name, keys, query, deep } of pageLoads) {
    const prefix = query['prefix']!;
    await measure(bench, {
      load: `LIST page of 1000, ${name}, warm`,
      unit: 'ms',
      durability: 'none',
      per: 'us/op',
      async ready(subject) {
        await objects(subject, `list-${name}`, keys, 100);
        return () => again(subject, bucketName(`list-${name}`), query, bench.scale.seconds);
      },
      async compared(gateway) {
        const directory = join(gateway.process.path(bucketName(`list-${name}`)), prefix);
        const to = await bareRead('bare system calls and XML', 'list', directory, bench.scale.seconds, deep);
        return [{ to, limit: limits.listPage }];
      },
    });
  }
}

/** Every page of a bucket. */
async function all(subject: Subject, name: string, expected: number): Promise<Work & { times: number[] }> {
  const times: number[] = [];
  let seen = 0;
  const { page, close } = reader(subject);
  const from = performance.now();
  try {
    for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
      const began = performance.now();
      const answer = await page(name, token === undefined ? {} : { 'continuation-token': token });
      times.push(performance.now() - began);
      seen += answer.count;
      token = answer.token;
    }
  } finally {
    close();
  }
  if (seen !== expected) throw new Error(`${seen} keys were listed, ${expected} are there`);
  return { operations: 1, bytes: 0, seconds: (performance.now() - from) / 1000, times };
}

/** A bucket with many files of jobs: made through the other door. */
export async function largeBucket(
  bench: Bench,
  subject: Required<Subject>,
  name: string,
  per: number,
): Promise<string> {
  const full = await bucket(subject, name);
  await once(subject, `files ${name}`, async () => {
    const directory = subject.process.path(full);
    mkdirSync(directory, { recursive: true });
    await bare('make', directory, bench.scale.files, per);
  });
  return full;
}

/** As a job does whose scratch file comes and goes: what is known of the names of its directory holds no more. */
function changeNames(directory: string): void {
  const scratch = join(directory, 'zz-scratch');
  writeFileSync(scratch, '');
  rmSync(scratch);
}

/** A million keys in one directory, and spread over many: all pages, as a fresh gateway and as one that knows them. */
export async function everything(bench: Bench): Promise<void> {
  const { files, perDirectory } = bench.scale;
  const shapes = [
    ['wide', `${files} keys in one directory`, 0],
    ['spread', `${files} keys in ${files / perDirectory} directories`, perDirectory],
  ] as const;
  for (const [name, words, per] of shapes) {
    let times: number[] = [];
    const directory = (gateway: Required<Subject>) => gateway.process.path(bucketName(name));
    const listing = (subject: Subject) => async () => {
      const work = await all(subject, bucketName(name), files);
      times = work.times;
      return work;
    };
    // A foreign server has no file door to make so many files through.
    const gatewayOnly = { ...bench, other: undefined };
    // A fresh gateway has its code to compile; one that serves knows only that the directory is not what it was.
    for (const cold of per === 0 ? [true, false] : []) {
      await measure(gatewayOnly, {
        load: `first page of ${words}, ${cold ? 'cold' : 'after a job was there'}`,
        unit: 'ms',
        durability: 'none',
        per: 'us/op',
        cold,
        ready: async (subject) => {
          if (!cold) changeNames(directory(subject as Required<Subject>));
          return async () => {
            const { page, close } = reader(subject);
            const from = performance.now();
            await page(bucketName(name), {}).finally(close);
            return { operations: 1, bytes: 0, seconds: (performance.now() - from) / 1000 };
          };
        },
        async compared(gateway) {
          await largeBucket(bench, gateway, name, per);
          const to = await bareRead('a getdents pass', 'names', directory(gateway), 0);
          return [{ to, limit: limits.firstPage }];
        },
      });
    }
    for (const warm of [false, true]) {
      await measure(gatewayOnly, {
        load: `all ${words}, ${warm ? 'warm' : 'cold'}`,
        unit: 's',
        durability: 'none',
        per: 'us/op',
        cold: !warm,
        rounds: bench.scale.quick ? 1 : 2,
        ready: async (subject) => listing(subject),
        async compared(gateway) {
          await largeBucket(bench, gateway, name, per);
          return [{ to: findSorted(directory(gateway)), limit: limits.fullListing }];
        },
      });
    }
    const pagesAfter = `next pages of ${words}, warm`;
    if (times.length > 1) absolute(bench, pagesAfter, median(times.slice(1)), 'ms', limits.nextPage);
  }
}
