/** Small requests: what a request costs beside its bytes. */
import { createHash, randomBytes } from 'node:crypto';
import type { Durability } from '../gateway.js';
import { bucket, freshKeys, gets, metadata, numbered, objects } from '../ground.js';
import { limits } from '../limits.js';
import { type Bench, measure } from '../measure.js';
import { present } from '../process.js';
import { barePut, rawDelete, rawHttp } from '../references.js';
import type { Limit } from '../row.js';
import { signedCall } from '../signed.js';
import { drive } from '../wire.js';
import { blast } from '../wrk.js';

const KiB = 1024;
const sizes = [
  ['1 KiB', KiB],
  ['64 KiB', 64 * KiB],
  ['1 MiB', KiB * KiB],
] as const;

const without = (program: string) => (present(program) ? undefined : `no ${program}: this process generates the load`);

/** wrk reads 8 KiB at a time: what is larger costs it too much. */
const generator = (size: number) => (size < 64 * KiB ? blast : drive);

/** GET and HEAD of objects with metadata. */
export async function reads(bench: Bench): Promise<void> {
  const { seconds, objects: count } = bench.scale;
  const read = async (
    method: 'GET' | 'HEAD',
    name: string,
    size: number,
    connections: number,
    limit?: Limit,
    processes = 1,
  ) =>
    measure(bench, {
      load: `${method} ${name}, ${connections} conn.${processes > 1 ? `, ${processes} processes` : ''}`,
      unit: 'op/s',
      durability: 'full',
      processes,
      per: 'us/op',
      async ready(subject) {
        const keys = numbered(`s${size}-`, size > KiB ? 32 : count);
        const calls = gets(subject, await objects(subject, 'small', keys, size), method);
        return () => generator(size)(subject, calls, { connections, seconds });
      },
      compared: async () => [{ to: rawHttp(method, size, connections, seconds), limit }],
      // What generates the load of HEADs is compiled.
      note: size === KiB ? without(method === 'HEAD' ? 'cc' : 'wrk') : undefined,
    });
  for (const connections of [16, 64]) {
    await read('GET', '1 KiB', KiB, connections, limits.smallGet);
    await read('HEAD', '1 KiB', KiB, connections, limits.smallHead);
  }
  for (const [name, size] of sizes.slice(1)) await read('GET', name, size, 16);
  // One process takes one core for small requests, and leaves the other to the client.
  for (const connections of [16, 64]) {
    await read('GET', '1 KiB', KiB, connections, limits.smallGet, 2);
    await read('HEAD', '1 KiB', KiB, connections, limits.smallHead, 2);
  }
}

/** Uploads of new objects, signed with their payload and with metadata. */
export async function writes(bench: Bench, durability: Durability): Promise<void> {
  const { scale } = bench;
  const sync = durability === 'full';
  const write = async (name: string, size: number, connections: number, limit?: Limit) => {
    const body = randomBytes(size);
    const payload = createHash('sha256').update(body).digest('hex');
    await measure(bench, {
      load: `PUT ${name}, ${connections} conn., durability ${durability}`,
      unit: 'us',
      durability,
      per: 'us/op',
      async ready(subject) {
        const full = await bucket(subject, 'put');
        const keys = freshKeys(Math.ceil(Math.max(1, scale.seconds) * (size > KiB ? 400 : 6000)));
        const calls = keys.map((key) =>
          signedCall(subject, { method: 'PUT', path: `/${full}/${key}`, headers: metadata, payload }, body),
        );
        return () => generator(size)(subject, calls, { connections, seconds: scale.seconds });
      },
      compared: async () => {
        const { seconds } = scale;
        // Without fsync it is work, and more threads in one directory make it slower. An fsync is waiting: the kernel
        // answers many at once, so there have to be as many as the gateway has.
        const to = await barePut(bench.scratch, { size, threads: sync ? connections : 1, seconds, sync });
        return [{ to, limit }];
      },
      note: size === KiB ? without('wrk') : undefined,
    });
  };
  for (const connections of [16, 64]) {
    await write('1 KiB', KiB, connections, sync ? limits.smallPutFull : limits.smallPutNone);
  }
  for (const [name, size] of sizes.slice(1)) await write(name, size, 16);
}

/** Each object once: a DELETE of what is gone is another thing. */
export async function deletes(bench: Bench, durability: Durability): Promise<void> {
  const { deletes: count } = bench.scale;
  for (const connections of [16, 64]) {
    await measure(bench, {
      load: `DELETE, ${connections} conn., durability ${durability}`,
      unit: 'op/s',
      durability,
      per: 'us/op',
      async ready(subject) {
        const paths = await objects(subject, 'delete', freshKeys(count), KiB);
        const calls = paths.map((path) => signedCall(subject, { method: 'DELETE', path }));
        return () => drive(subject, calls, { connections });
      },
      compared: async () => [{ to: rawDelete(count, connections) }],
    });
  }
}
