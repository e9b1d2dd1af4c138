/** Replies of pages that a store gives in parts. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { pageReply } from '../../gateway/s3/listing-reply.js';
import type { Context } from '../../gateway/s3/types.js';
import { countOf, writeElements } from '../../gateway/storage/elements.js';
import type { ElementPage, ListedObject, Sink } from '../../gateway/storage/types.js';

const test = suite('listing replies');

const form = { name: 'Contents', extra: '', encoded: false, owner: true };
const object = (key: string, owner: string): ListedObject => ({ key, owner, size: 1, lastModified: 0, etag: 'e' });
const context = { displayName: async (id: string) => `name of ${id}` } as Partial<Context> as Context;

async function reply(count: number): Promise<{ text: string; page: ElementPage; done: number; length?: number }> {
  const names = (prefix: string) => Array.from({ length: count }, (_, i) => `${prefix}${10_000 + i}`);
  const parts = ['a', 'b', 'c'].flatMap((part) => [
    ...writeElements({ objects: names(part).map((key) => object(key, `of ${part}`)), prefixes: [`${part}/`] }, form)
      .parts,
  ]);
  let done = 0;
  const page: ElementPage = { parts, nextIsKey: false, done: () => void done++ };
  const { body } = await pageReply(context, page, { ListBucketResult: { KeyCount: countOf(page), Name: 'bucket' } });
  if (!body || !('send' in body))
    return { text: Buffer.from((body as { bytes: Uint8Array }).bytes).toString(), page, done };
  assert.is(done, 0, 'not before it is sent');
  const pieces: Buffer[] = [];
  await body.send((async (piece: Uint8Array) => void pieces.push(Buffer.from(piece))) as Sink);
  assert.is(done, 0, 'not before it is closed');
  await body.close?.();
  return { text: Buffer.concat(pieces).toString(), page, done, length: body.length! };
}

for (const count of [2, 500]) {
  test(`${count} objects in each of three parts: all of them, each with its owner, then all prefixes`, async () => {
    const { text, done, length } = await reply(count);
    const keys = [...text.matchAll(/<Key>([^<]*)<\/Key>.*?<Owner><ID>of (.)<\/ID><DisplayName>name of of (.)</g)];
    assert.is(keys.length, 3 * count);
    for (const [, key, owner, name] of keys) assert.equal([owner, name], [key![0], key![0]]);
    assert.equal(
      keys.map(([, key]) => key).sort(),
      keys.map(([, key]) => key),
    );
    assert.match(
      text,
      /<\/Contents><CommonPrefixes><Prefix>a\/.*<Prefix>b\/.*<Prefix>c\/<\/Prefix><\/CommonPrefixes><\//,
    );
    assert.match(text, new RegExp(`<KeyCount>${3 * count + 3}</KeyCount>`));
    assert.is(done, 1);
    if (length !== undefined) assert.is(Buffer.byteLength(text), length);
  });
}

test.run();
