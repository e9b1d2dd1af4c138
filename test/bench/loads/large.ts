/** Large objects: what a gigabyte costs. */
import type { Durability, Subject } from '../gateway.js';
import { ask } from '../gateway.js';
import { bucket, freshKeys, gets, once } from '../ground.js';
import { limits } from '../limits.js';
import { absolute, type Bench, type Compared, measure } from '../measure.js';
import { bareWrite, oneCore, type Reference, sendfile } from '../references.js';
import type { Limit, Work } from '../row.js';
import { type Protection, upload } from '../signed.js';
import { drive } from '../wire.js';

const MiB = 1 << 20;
const sizeName = (mib: number) => (mib % 1024 === 0 ? `${mib / 1024} GiB` : `${mib} MiB`);
const conn = (connections: number) => `${connections} conn.`;

export async function largeGets(bench: Bench): Promise<void> {
  const { scale } = bench;
  for (const mib of [64, scale.huge]) {
    for (const connections of [1, 4]) {
      const load = `GET ${sizeName(mib)}, ${conn(connections)}`;
      const key = `large-${mib}`;
      const prepare = async (subject: Subject) => {
        const full = await bucket(subject, 'large');
        const path = `/${full}/${key}`;
        await once(subject, path, async () => {
          await drive(subject, [upload(subject, { method: 'PUT', path }, mib)], { connections: 1 });
        });
        return { full, path };
      };
      await measure(bench, {
        load,
        unit: 'MB/s',
        durability: 'full',
        per: 'ms/GB',
        async ready(subject) {
          const { path } = await prepare(subject);
          return () => drive(subject, gets(subject, [path]), { connections, seconds: scale.seconds });
        },
        async compared(gateway) {
          const { full } = await prepare(gateway);
          const directory = gateway.process.path(full);
          const to = sendfile(directory, key, bench.scratch, { connections, seconds: scale.seconds });
          return [{ to, limit: mib === 64 ? limits.largeGet : undefined }];
        },
      });
      const cpu = bench.rows.find((row) => row.load === load)?.cpu;
      if (mib === 64 && cpu != null) absolute(bench, `${load}: CPU per GB`, cpu, 'ms/GB', limits.largeGetCpu);
    }
  }
}

async function puts(
  subject: Subject,
  { mib, connections, protection }: { mib: number; connections: number; protection: Protection },
  seconds: number,
  full?: string,
): Promise<() => Promise<Work>> {
  full ??= await bucket(subject, 'large-put');
  // The same keys again: what was there is replaced, or the disk would fill.
  const calls = Array.from({ length: connections }, (_, i) =>
    upload(subject, { method: 'PUT', path: `/${full}/${protection}-${i}` }, mib, protection),
  );
  return async () => {
    const work = await drive(subject, calls, { connections, seconds });
    return { ...work, bytes: work.operations * mib * MiB };
  };
}

export async function largePuts(bench: Bench, durability: Durability): Promise<void> {
  const { scale } = bench;
  const sync = durability === 'full';
  for (const mib of scale.quick ? [64] : [64, scale.huge]) {
    for (const connections of [1, 4]) {
      const put = (protection: Protection, compared: Compared[]) =>
        measure(bench, {
          load: `PUT ${sizeName(mib)}, ${protection}, ${conn(connections)}, durability ${durability}`,
          unit: 'MB/s',
          durability,
          per: 'ms/GB',
          // A GiB of several streams takes its time.
          rounds: mib > 64 ? Math.min(2, scale.rounds) : scale.rounds,
          ready: (subject) => puts(subject, { mib, connections, protection }, mib > 64 ? 0 : scale.seconds),
          compared: async () => compared,
        });
      const limited = (limit: Limit) => (mib === 64 ? limit : undefined);
      const disk = bareWrite(bench.scratch, mib, connections, sync);
      await put('plain', [
        {
          to: oneCore('md5', Math.min(mib, 256)),
          limit: limited(connections === 1 ? limits.largePut : limits.largePut4),
        },
        { suffix: ' (disk)', to: disk },
      ]);
      // The slower of the two that have to be computed.
      await put('signed', [{ to: oneCore('md5', Math.min(mib, 256)) }]);
      const plain: Reference = {
        name: 'the plain PUT',
        async run() {
          const subject = await bench.host.gateway(durability);
          const run = await puts(subject, { mib, connections, protection: 'plain' }, mib > 64 ? 0 : scale.seconds);
          return run();
        },
      };
      await put('chunked', [{ to: plain, limit: limited(limits.chunkedPut) }]);
    }
  }
}

/** An ETag that is no MD5 leaves the disk as the only limit. */
export async function fastPuts(bench: Bench): Promise<void> {
  const { scale, scratch } = bench;
  for (const connections of [1, 4]) {
    await measure(bench, {
      load: `PUT 64 MiB, ETag policy fast, ${conn(connections)}, durability full`,
      unit: 'MB/s',
      durability: 'full',
      per: 'ms/GB',
      async ready(subject) {
        const full = await bucket(subject, 'fast-put');
        await once(subject, `policy of ${full}`, async () => subject.process?.configure(full, ['--etag', 'fast']));
        return puts(subject, { mib: 64, connections, protection: 'plain' }, scale.seconds, full);
      },
      compared: async () => [{ to: bareWrite(scratch, 64, connections, true), limit: limits.largePutFast }],
    });
  }
}

/** One object in parts of 16 MiB, four at a time, with Create and Complete. */
export async function multipart(bench: Bench): Promise<void> {
  const { scale } = bench;
  const partMiB = 16;
  const parts = scale.huge / partMiB;
  await measure(bench, {
    load: `multipart ${sizeName(scale.huge)} in ${partMiB} MiB parts, 4 conn., durability full`,
    unit: 'MB/s',
    durability: 'full',
    per: 'ms/GB',
    rounds: Math.min(3, scale.rounds),
    ready: async (subject) => async () => {
      const full = await bucket(subject, 'multipart');
      const path = `/${full}/object`;
      const from = performance.now();
      const created = await ask(subject, 'POST', path, 'uploads=');
      const id = /<UploadId>([^<]+)</.exec(created)?.[1];
      if (id === undefined) throw new Error(`no upload: ${created}`);
      const query = (part: number) => `partNumber=${part}&uploadId=${encodeURIComponent(id)}`;
      const calls = Array.from({ length: parts }, (_, i) =>
        upload(subject, { method: 'PUT', path, query: query(i + 1) }, partMiB),
      );
      await drive(subject, calls, { connections: 4 });
      // What a part's ETag is, is known: all have the same content.
      const listed = await ask(subject, 'GET', path, `uploadId=${encodeURIComponent(id)}`);
      const etags = [...listed.matchAll(/<ETag>([^<]+)<\/ETag>/g)].map((match) => match[1]!);
      const xml = etags.map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${etag}</ETag></Part>`).join('');
      const body = `<CompleteMultipartUpload>${xml}</CompleteMultipartUpload>`;
      await ask(subject, 'POST', path, `uploadId=${encodeURIComponent(id)}`, body);
      const seconds = (performance.now() - from) / 1000;
      return { operations: 1, bytes: parts * partMiB * MiB, seconds };
    },
    compared: async () => [
      { to: bareWrite(bench.scratch, scale.huge, 1, true) },
      { suffix: ' (MD5)', to: oneCore('md5', 256) },
    ],
  });
}

/** Many at once: what is held for one must be small. Objects of 16 MiB down, of 8 MiB up. */
export async function memory(bench: Bench): Promise<void> {
  const loads = [
    ['64 conn. of GET 16 MiB', true],
    ['64 conn. of PUT 8 MiB', false],
  ] as const;
  for (const [load, down] of loads) {
    await measure(bench, {
      load,
      unit: 'MB/s',
      durability: 'none',
      per: 'ms/GB',
      rounds: 1,
      async ready(subject) {
        const full = await bucket(subject, 'memory');
        if (!down) {
          const calls = freshKeys(64).map((_, i) => upload(subject, { method: 'PUT', path: `/${full}/up-${i}` }, 8));
          return async () => {
            const work = await drive(subject, calls, { connections: 64 });
            return { ...work, bytes: work.operations * 8 * MiB };
          };
        }
        const path = `/${full}/down`;
        await once(subject, path, async () => {
          await drive(subject, [upload(subject, { method: 'PUT', path }, 16)], { connections: 1 });
        });
        return () => drive(subject, gets(subject, [path]), { connections: 64, seconds: bench.scale.seconds });
      },
      compared: async () => [{ to: { name: '', missing: 'for its memory' } }],
    });
  }
}
