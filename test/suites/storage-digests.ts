/** What a seal gets to see: the digests that were asked for, of every way in. And ETags that are no digest. */
import * as assert from 'uvu/assert';
import type { ObjectMeta } from '../../acl/metadata/types.js';
import { createDigests, loadDigests } from '../../gateway/storage/digest.js';
import type { Body, Digest, Part, Received } from '../../gateway/storage/types.js';
import type { Tests } from './storage.js';
import { bodyOf, get, newUpload, noise, put, refused } from './storage-tools.js';

const MiB = 1 << 20;

/** A body of known length from a sender that takes its time. */
const slow = (bytes: Uint8Array): Body => ({
  length: bytes.length,
  async read(sink) {
    await new Promise((resolve) => setTimeout(resolve, 60));
    await sink(bytes);
  },
});

const bodies: Record<string, (seed: number) => { content: Buffer; body: Body }> = {
  'an empty one': () => ({ content: Buffer.alloc(0), body: bodyOf('') }),
  'a small one': (seed) => {
    const content = noise(1000, seed);
    return { content, body: bodyOf(content) };
  },
  'a small one that is slow': (seed) => {
    const content = noise(1000, seed);
    return { content, body: slow(content) };
  },
  'one of unknown length': (seed) => {
    const content = noise(300_000, seed);
    return { content, body: bodyOf(content, { unknown: true }) };
  },
  'a large one': (seed) => {
    const content = noise(3 * MiB + 1, seed);
    return { content, body: bodyOf(content) };
  },
};

export const digestTests: Tests = (test, bench) => {
  for (const digests of [[], ['sha256'], ['md5', 'crc32']] satisfies Digest[][]) {
    test(`a seal gets the digests that were asked for, and no others: ${digests.join(', ') || 'none'}`, async () => {
      await loadDigests();
      const { storage } = bench;
      const at = await bench.place();
      const upload = await newUpload(storage, at, 'upload');
      const meta: ObjectMeta = { etag: 'given-0', headers: {}, user: {} };
      const part = { etag: `${'a'.repeat(32)}-0` };
      let seen: Received[] = [];
      const request = <T>(sealed: T) => ({
        digests,
        seal(received: Received): T {
          seen.push(structuredClone(received));
          return sealed;
        },
      });
      const expect = (content: Uint8Array, what: string) => {
        const running = createDigests(digests);
        running.update(content);
        const expected = { size: content.length, digests: running.finish() };
        assert.equal(
          seen.map(({ size, digests: found }) => ({ size, digests: plain(found) })),
          [{ size: expected.size, digests: plain(expected.digests) }],
          what,
        );
        seen = [];
      };
      let seed = 1;
      for (const [name, make] of Object.entries(bodies)) {
        const whole = make(seed++);
        const info = await storage.put(at, 'k', whole.body, request(meta));
        expect(whole.content, `put of ${name}`);
        assert.is(info.meta.etag, 'given-0');
        const sent = make(seed++);
        await storage.putPart(at, 'upload', upload.id, 1, sent.body, request(part));
        expect(sent.content, `part: ${name}`);
        const source = await storage.open(at, 'k');
        try {
          await storage.copy(source, at, 'copy', request(meta));
          expect(whole.content, `copy of ${name}`);
          const range = { start: 0, length: whole.content.length >> 1 };
          await storage.copyPart(source, range, at, 'upload', upload.id, 2, request(part));
          expect(whole.content.subarray(0, range.length), `part copied: ${name}`);
        } finally {
          await source.close();
        }
        assert.ok((await get(storage, at, 'copy')).equals(whole.content), name);
      }
    });
  }

  test('a part whose ETag is no MD5 is listed, replaced and completed by that ETag', async () => {
    const { storage } = bench;
    const at = await bench.place();
    const content = noise(200_000);
    const send = (id: string, number: number, digit: string, key = 'k'): Promise<Part> =>
      storage.putPart(at, key, id, number, bodyOf(content), {
        digests: [],
        seal: () => ({ etag: `${digit.repeat(32)}-0` }),
      });
    const meta: ObjectMeta = { etag: `${'f'.repeat(32)}-2`, headers: {}, user: {} };
    const upload = await newUpload(storage, at, 'k');
    const early = await send(upload.id, 1, 'a');
    const second = await send(upload.id, 2, 'b');
    assert.equal((await storage.listParts(at, 'k', upload.id, 0, 10)).parts, [early, second]);
    const first = await send(upload.id, 1, 'c');
    assert.is((await storage.listParts(at, 'k', upload.id, 0, 10)).parts[0]?.etag, `${'c'.repeat(32)}-0`);
    // The same bytes, and all the same not the part that the caller has looked at.
    await refused(storage.completeUpload(at, 'k', upload.id, [early, second], meta), 'InvalidPart');
    await storage.completeUpload(at, 'k', upload.id, [first, second], { ...meta, uploadId: upload.id });
    assert.ok((await get(storage, at, 'k')).equals(Buffer.concat([content, content])));
  });

  test('so is an upload of one such part, also when it failed before', async () => {
    const { storage } = bench;
    const at = await bench.place();
    const upload = await newUpload(storage, at, 'd/k');
    const etag = `${'7'.repeat(32)}-0`;
    const bytes = noise(100_000);
    const request = { digests: [], seal: () => ({ etag }) };
    const part = await storage.putPart(at, 'd/k', upload.id, 1, bodyOf(bytes), request);
    const meta: ObjectMeta = { etag: `${'f'.repeat(32)}-1`, headers: {}, user: {}, uploadId: upload.id };
    const complete = () => storage.completeUpload(at, 'd/k', upload.id, [part], meta);
    await put(storage, at, 'd', 'in the way');
    await refused(complete(), 'KeyConflict');
    assert.equal(
      (await storage.listParts(at, 'd/k', upload.id, 0, 10)).parts.map((each) => each.etag),
      [etag],
    );
    await storage.remove(at, 'd');
    await complete();
    assert.ok((await get(storage, at, 'd/k')).equals(bytes));
  });
};

const plain = (digests: Received['digests']) =>
  Object.fromEntries(Object.entries(digests).map(([name, value]) => [name, Buffer.from(value).toString('hex')]));
