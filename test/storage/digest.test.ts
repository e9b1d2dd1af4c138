import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type CrcAlgorithm, combineCrc, createDigests, loadDigests } from '../../gateway/storage/digest.js';
import type { Digest } from '../../gateway/storage/types.js';

const test = suite('digest');
const all: Digest[] = ['md5', 'sha1', 'sha256', 'crc32', 'crc32c', 'crc64nvme'];
const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');

function digestOf(names: readonly Digest[], ...chunks: Uint8Array[]) {
  const digests = createDigests(names);
  for (const chunk of chunks) digests.update(chunk);
  return digests.finish();
}

test.before(loadDigests);

test('check values of the catalogues', () => {
  const result = digestOf(all, Buffer.from('1234'), Buffer.from('56789'));
  // The "check" column of the CRC catalogue (reveng): each CRC of "123456789".
  assert.is(hex(result.crc32), 'cbf43926');
  assert.is(hex(result.crc32c), 'e3069283');
  assert.is(hex(result.crc64nvme), 'ae8b14860a799888');
  for (const name of ['md5', 'sha1', 'sha256'] as const) {
    assert.is(hex(result[name]), createHash(name).update('123456789').digest('hex'));
  }
});

test('nothing at all has digests too', () => {
  const result = digestOf(all);
  assert.is(hex(result.md5), 'd41d8cd98f00b204e9800998ecf8427e');
  assert.is(hex(result.crc32), '00000000');
  assert.is(hex(result.crc32c), '00000000');
  assert.is(hex(result.crc64nvme), '0000000000000000');
  assert.equal(Object.keys(digestOf([])), []);
});

test('memory shared between threads, at an offset', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(64), 7, 9);
  shared.set(Buffer.from('123456789'));
  const expected = digestOf(all, Buffer.from('123456789'));
  assert.equal(digestOf(all, shared), expected);
});

test('streams that take turns do not mix', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(3), fc.uint8Array({ maxLength: 40 })), { maxLength: 40 }),
      fc.array(fc.nat(3), { maxLength: 8 }),
      (updates, early) => {
        const streams = [0, 1, 2, 3].map(() => ({ digests: createDigests(all), chunks: [] as Uint8Array[] }));
        for (const [i, chunk] of updates) {
          streams[i]!.digests.update(chunk);
          streams[i]!.chunks.push(chunk);
        }
        // Finished in any order.
        for (const i of new Set([...early, 0, 1, 2, 3])) {
          const { digests, chunks } = streams[i]!;
          assert.equal(digests.finish(), digestOf(all, Buffer.concat(chunks)));
        }
      },
    ),
  );
});

test('the CRC of joined pieces', () => {
  const names: Record<CrcAlgorithm, Digest> = { CRC32: 'crc32', CRC32C: 'crc32c', CRC64NVME: 'crc64nvme' };
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 700 }), { minLength: 1, maxLength: 5 }), (pieces) => {
      for (const [algorithm, name] of Object.entries(names) as [CrcAlgorithm, Digest][]) {
        const joined = pieces.reduce<{ crc: Uint8Array }>(
          ({ crc }, piece) => ({ crc: combineCrc(algorithm, crc, digestOf([name], piece)[name]!, piece.length) }),
          { crc: digestOf([name])[name]! },
        );
        assert.is(hex(joined.crc), hex(digestOf([name], Buffer.concat(pieces))[name]));
      }
    }),
  );
});

test('the CRC of joined pieces beyond 4 GiB: in two ways the same', () => {
  const a = Buffer.from('cbf43926', 'hex');
  const zero = Buffer.alloc(4);
  const once = combineCrc('CRC32', a, zero, 2 ** 33 + 5);
  let steps: Uint8Array = a;
  for (let i = 0; i < 8; i++) steps = combineCrc('CRC32', steps, zero, 2 ** 30);
  assert.is(hex(combineCrc('CRC32', steps, zero, 5)), hex(once));
  assert.throws(() => combineCrc('CRC64NVME', a, zero, 1), /8 bytes/);
  assert.throws(() => combineCrc('CRC32', a, zero, -1), /length/);
});

test('a worker thread loads its own', async () => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(async ({ loadDigests, createDigests }) => {
      await loadDigests();
      const digests = createDigests(['crc64nvme', 'crc32']);
      digests.update(workerData.shared);
      parentPort.postMessage(digests.finish());
    });`;
  const shared = new Uint8Array(new SharedArrayBuffer(9));
  shared.set(Buffer.from('123456789'));
  const module = new URL('../../gateway/storage/digest.js', import.meta.url).href;
  const worker = new Worker(source, { eval: true, workerData: { module, shared } });
  const result = await new Promise<Record<string, Uint8Array>>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  assert.is(hex(result['crc64nvme']), 'ae8b14860a799888');
  assert.is(hex(result['crc32']), 'cbf43926');
  await worker.terminate();
});

test.run();
