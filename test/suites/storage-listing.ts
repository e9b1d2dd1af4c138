/** Listings of a `Storage`, compared with the reference model. */
import * as assert from 'uvu/assert';
import { encodeKey, timestamp } from '../../gateway/reply-text.js';
import { writeElement } from '../../gateway/s3/xml/write.js';
import { countOf, withOwners } from '../../gateway/storage/elements.js';
import type { ListRequest, Place, Storage } from '../../gateway/storage/types.js';
import { form, keysIn, prefixesIn } from './element-page.js';
import { modelPage } from './listing-model.js';
import type { Tests } from './storage.js';
import { md5, put } from './storage-tools.js';

const keys = [
  'a!',
  'a-b',
  'a.txt',
  'a/',
  'a/x',
  'a/y/1',
  'a/y/2',
  'a0',
  'asdf',
  'boo/bar',
  'boo/baz/xyzzy',
  'cquux/bla',
  'cquux/thud',
  'empty/',
  'é/é',
  '日本/語',
  '\uffff',
  '😀',
  '😀!/x',
];

const request = (change: Partial<ListRequest>): ListRequest => ({
  prefix: '',
  delimiter: '',
  after: '',
  limit: 1000,
  ...change,
});

async function page(storage: Storage, at: Place, asked: ListRequest) {
  const { objects, prefixes, next } = await storage.list(at, asked);
  return { objects: objects.map(({ key }) => key), prefixes, next };
}

export const listingTests: Tests = (test, bench) => {
  test('a listing is what the model says, for any prefix, delimiter, marker, size', async () => {
    const at = await bench.place();
    await Promise.all(keys.map((key) => put(bench.storage, at, key, key.endsWith('/') ? '' : key)));
    for (const prefix of ['', 'a', 'a/', 'a/y', 'boo/', 'b', 'é/', 'zzz', 'a//', '/', '日', 'a!', '../', './']) {
      for (const delimiter of ['', '/', 'a', 'y/', '😀', '!', 'o/b']) {
        for (const after of [
          '',
          'a',
          'a/',
          'a/x',
          'boo',
          'boo/',
          'boo/bar',
          'boo/zzz',
          'cquux/',
          'é/',
          '\uffff',
          '😀',
          'zzzz',
        ]) {
          const asked = request({ prefix, delimiter, after });
          assert.equal(await page(bench.storage, at, asked), modelPage(keys, asked), JSON.stringify(asked));
        }
        for (const limit of [1, 2, 5]) {
          const objects: string[] = [];
          const prefixes: string[] = [];
          for (let after: string | undefined = ''; after !== undefined; ) {
            const asked = request({ prefix, delimiter, after, limit });
            const found: Awaited<ReturnType<typeof page>> = await page(bench.storage, at, asked);
            assert.equal(found, modelPage(keys, asked), JSON.stringify(asked));
            objects.push(...found.objects);
            prefixes.push(...found.prefixes);
            after = found.next;
          }
          const { next: _, ...whole } = modelPage(keys, request({ prefix, delimiter }));
          assert.equal({ objects, prefixes }, whole);
        }
      }
    }
    assert.equal(await page(bench.storage, at, request({ limit: 0 })), { objects: [], prefixes: [], next: undefined });
  });

  test('what a listing tells of an object is what head tells', async () => {
    const at = await bench.place();
    await put(bench.storage, at, 'a', 'content', {
      owner: 'somebody',
      checksum: { algorithm: 'CRC32C', type: 'FULL_OBJECT', value: 'AAAAAA==' },
    });
    await put(bench.storage, at, 'b/', '');
    const { objects } = await bench.storage.list(at, request({}));
    const [a, b] = await Promise.all([bench.storage.head(at, 'a'), bench.storage.head(at, 'b/')]);
    assert.equal(objects[0], {
      key: 'a',
      size: 7,
      lastModified: a.lastModified,
      etag: md5('content'),
      owner: 'somebody',
      checksum: { algorithm: 'CRC32C', type: 'FULL_OBJECT' },
    });
    assert.equal(objects[1], { key: 'b/', size: 0, lastModified: b.lastModified, etag: md5('') });
  });

  test('a page in XML is the page, whatever is in its names, and with the right owners', async () => {
    const at = await bench.place();
    const names = ['a', 'a b+c', 'é&<>"\'', 'x\ny\rz', '日本', `${'語'.repeat(80)}`, '😀'];
    const all = [...names, ...names.map((name) => `${name}-d/${name}`), ...names.map((name) => `m/${name}`)];
    for (const [i, key] of all.entries()) {
      const owner = [undefined, 'one', 'two'][i % 3];
      const checksum = { algorithm: 'CRC32C', type: 'FULL_OBJECT', value: 'AAAAAA==' } as const;
      await put(bench.storage, at, key, key, { ...(owner !== undefined && { owner }), ...(i % 2 && { checksum }) });
    }
    const [nobody, one, two] = ['', '<One>', 'Zw\u00f6lf'].map((name) => ({ ID: name, DisplayName: name }));
    const named = (owner: string | undefined) => (owner === 'one' ? one : owner === 'two' ? two : nobody)!;
    for (const asked of [{}, { delimiter: '/' }, { limit: 5 }, { delimiter: '/', limit: 9 }, { prefix: 'nothing' }]) {
      for (const encoded of [false, true]) {
        for (const owner of [false, true]) {
          const form = { name: 'Contents', extra: '<X>1</X>', encoded, owner };
          const { objects, prefixes, next } = await bench.storage.list(at, request(asked));
          const page = await bench.storage.listElements(at, request(asked), form);
          const encode = encoded ? encodeKey : (text: string) => text;
          const contents = objects.map((object) => ({
            Key: encode(object.key),
            X: 1,
            LastModified: timestamp(object.lastModified),
            ETag: `"${object.etag}"`,
            ChecksumAlgorithm: object.checksum?.algorithm,
            ChecksumType: object.checksum?.type,
            Size: object.size,
            Owner: owner ? named(object.owner) : undefined,
            StorageClass: 'STANDARD',
          }));
          const written = page.parts.map((part) => {
            const elements = part.owners.map((id) => writeElement('Owner', named(id)));
            return Buffer.from(withOwners(part, elements)).toString();
          });
          assert.is(written.join(''), writeElement('Contents', contents));
          const below = prefixes.map((prefix) => ({ Prefix: encode(prefix) }));
          const grouped = page.parts.map((part) => Buffer.from(part.prefixes).toString());
          assert.is(grouped.join(''), writeElement('CommonPrefixes', below));
          assert.is(countOf(page), objects.length + prefixes.length);
          assert.is(page.next, next);
          assert.is(page.nextIsKey, next !== undefined && objects.some(({ key }) => key === next));
          // The next page may be written in its place, and must be no worse for that.
          page.done?.();
        }
      }
    }
  });

  test('a large page in XML is in order, whole, and ends where it should', async () => {
    const at = await bench.place();
    const numbers = Array.from({ length: 90 }, (_, i) => `${100 + i}`);
    const all = [
      ...numbers.flatMap((n) => [`d/${n}/a`, `d/${n}-file`, `d/${n}/b/c`]),
      ...numbers.filter((_, i) => i % 9 === 0).flatMap((n) => [`d/${n}/`, `d/${n}/é/`]),
      ...numbers.map((n) => `é-${n}`),
    ];
    for (let i = 0; i < all.length; i += 20) {
      await Promise.all(all.slice(i, i + 20).map((key) => put(bench.storage, at, key, key.endsWith('/') ? '' : key)));
    }
    for (const prefix of ['', 'd/', 'd/1', 'é']) {
      for (const delimiter of ['', '/', '-', '5']) {
        for (const limit of [1000, 200, 90, 33, 1]) {
          for (const after of ['', 'd/142', 'd/142/', 'd/188/b/c', 'é-188']) {
            const asked = request({ prefix, delimiter, after, limit });
            const { next, ...shown } = modelPage(all, asked);
            const page = await bench.storage.listElements(at, asked, form);
            assert.equal(
              { objects: keysIn(page), prefixes: prefixesIn(page), next: page.next },
              { ...shown, next },
              JSON.stringify(asked),
            );
            assert.is(page.nextIsKey, next !== undefined && shown.objects.includes(next));
            assert.is(
              page.parts.reduce((sum, part) => sum + part.ownerPlaces.length / 2, 0),
              shown.objects.length,
            );
            page.done?.();
          }
        }
      }
    }
  });

  test('a key is listed as soon as it is put, and not once it is deleted', async () => {
    const at = await bench.place();
    for (let i = 0; i < 20; i++) {
      await put(bench.storage, at, `d/${i}`);
      assert.ok((await page(bench.storage, at, request({}))).objects.includes(`d/${i}`));
      assert.equal((await page(bench.storage, at, request({ delimiter: '/' }))).prefixes, ['d/']);
    }
    for (let i = 0; i < 20; i++) await bench.storage.remove(at, `d/${i}`);
    assert.equal(await page(bench.storage, at, request({ delimiter: '/' })), {
      objects: [],
      prefixes: [],
      next: undefined,
    });
  });

  test('keys that stay are on their page, whatever comes and goes around them', async () => {
    const at = await bench.place();
    const stay = Array.from({ length: 60 }, (_, i) => `s/${100 + i}`);
    await Promise.all(stay.map((key) => put(bench.storage, at, key)));
    let done = false;
    const churn = (async () => {
      for (let i = 0; !done; i++) {
        await put(bench.storage, at, `s/${100 + (i % 60)}-x`);
        await bench.storage.remove(at, `s/${100 + (i % 60)}-x`);
      }
    })();
    for (let round = 0; round < 10; round++) {
      const found: string[] = [];
      for (let after: string | undefined = ''; after !== undefined; ) {
        const part: Awaited<ReturnType<typeof page>> = await page(bench.storage, at, request({ after, limit: 7 }));
        found.push(...part.objects);
        after = part.next;
      }
      assert.equal(
        found.filter((key) => !key.endsWith('x')),
        stay,
      );
    }
    done = true;
    await churn;
  });
};
