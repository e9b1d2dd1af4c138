import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compareUtf8, fromBytes, toBytes } from '../../gateway/storage/keys.js';
import { type KeyCursor, listPage, sortedCursor, uploadPage } from '../../gateway/storage/listing.js';
import type { ListRequest, Upload } from '../../gateway/storage/types.js';
import { modelPage } from '../suites/listing-model.js';

const test = suite('listing');
const request = (change: Partial<ListRequest>): ListRequest => ({
  prefix: '',
  delimiter: '',
  after: '',
  limit: 1000,
  ...change,
});

function page(keys: readonly string[], change: Partial<ListRequest>) {
  const sorted = keys.map(toBytes).sort();
  const { objects, prefixes, next } = listPage(sortedCursor(sorted, fromBytes), request(change));
  return { objects, prefixes, next };
}

/** Letters that make the traps: around `/`, and around the surrogates. */
const text = (maxLength: number) =>
  fc.string({
    unit: fc.constantFrom('a', 'b', '/', '/', '!', '-', '.', '0', 'é', '日', '\ue000', '\uffff', '😀'),
    maxLength,
  });
const keys = fc.uniqueArray(
  fc.oneof(text(6), fc.string({ unit: 'grapheme', maxLength: 5 })).filter((key) => key !== ''),
  { maxLength: 40 },
);

test('as the reference model, whatever is asked', () => {
  fc.assert(
    fc.property(
      keys,
      text(2),
      text(2),
      text(4),
      fc.nat(6),
      fc.boolean(),
      fc.nat(),
      (all, prefix, delimiter, free, limit, known, n) => {
        const after = known && all.length > 0 ? all[n % all.length]! : free;
        const asked = request({ prefix, delimiter, after, limit });
        const found = page(all, asked);
        assert.equal(found, modelPage(all, asked));
      },
    ),
    { numRuns: 5000 },
  );
});

test('every page size gives the same union', () => {
  fc.assert(
    fc.property(keys, text(1), fc.constantFrom('', '/', '/', 'a', '😀', 'a/'), (all, prefix, delimiter) => {
      const whole = page(all, { prefix, delimiter, limit: 1000 });
      for (let limit = 1; limit <= 5; limit++) {
        const objects: string[] = [];
        const prefixes: string[] = [];
        let after = '';
        for (let round = 0; ; round++) {
          assert.ok(round < 100, 'paging does not end');
          const found = page(all, { prefix, delimiter, after, limit });
          objects.push(...found.objects);
          prefixes.push(...found.prefixes);
          if (found.next === undefined) break;
          assert.is(found.objects.length + found.prefixes.length, limit);
          assert.ok(compareUtf8(found.next, after) > 0);
          after = found.next;
        }
        assert.equal({ objects, prefixes, next: undefined }, whole);
      }
    }),
    { numRuns: 1000 },
  );
});

test('a directory sorts as `a/`', () => {
  assert.equal(page(['a/x', 'a.txt', 'a!', 'a-b', 'a0', 'a'], {}).objects, ['a', 'a!', 'a-b', 'a.txt', 'a/x', 'a0']);
});

test('after a common prefix, or within one', () => {
  const all = ['asdf', 'boo/bar', 'boo/baz/xyzzy', 'cquux/thud', 'cquux/bla'];
  const at = (after: string) => page(all, { delimiter: '/', after, limit: 1 });
  assert.equal(at(''), { objects: ['asdf'], prefixes: [], next: 'asdf' });
  assert.equal(at('asdf'), { objects: [], prefixes: ['boo/'], next: 'boo/' });
  assert.equal(at('boo'), { objects: [], prefixes: ['boo/'], next: 'boo/' });
  assert.equal(at('boo/'), { objects: [], prefixes: ['cquux/'], next: undefined });
  assert.equal(at('boo/bar'), { objects: [], prefixes: ['cquux/'], next: undefined });
  assert.equal(page(all, { delimiter: '/', prefix: 'boo/', after: 'boo/bar' }), {
    objects: [],
    prefixes: ['boo/baz/'],
    next: undefined,
  });
  assert.equal(page(all, { after: 'boo/' }).objects, ['boo/bar', 'boo/baz/xyzzy', 'cquux/bla', 'cquux/thud']);
});

test('no limit, no page', () => {
  assert.equal(page(['a', 'b'], { limit: 0 }), { objects: [], prefixes: [], next: undefined });
});

test('what has gone by the time it is looked at is left out', () => {
  const cursor = sortedCursor(['a', 'b', 'c', 'd'], (key) => (key === 'b' ? undefined : key));
  assert.equal(listPage(cursor, request({ limit: 2 })), { objects: ['a', 'c'], prefixes: [], next: 'c' });
});

test('what lies below a common prefix is not read', () => {
  const sorted = Array.from({ length: 100_000 }, (_, i) => `${i % 10}/${String(i).padStart(6, '0')}`).sort();
  let read = 0;
  const inner = sortedCursor(sorted, (key) => key);
  const cursor: KeyCursor<string> = {
    ...inner,
    next() {
      read++;
      return inner.next();
    },
  };
  assert.is(listPage(cursor, request({ delimiter: '/' })).prefixes.length, 10);
  assert.ok(read <= 11, `${read} keys read`);
});

// ---- uploads ------------------------------------------------------------------------------------------------------

const upload = (key: string, id: string): Upload => ({
  key,
  id,
  initiated: 0,
  initiator: 'x',
  meta: { headers: {}, user: {} },
});

test('uploads: every page size gives the same union, in order', () => {
  const uploads = fc.uniqueArray(fc.tuple(text(4), fc.constantFrom('1', '2', '3')), {
    selector: (pair) => pair.join('|'),
    maxLength: 25,
  });
  fc.assert(
    fc.property(uploads, text(1), fc.constantFrom('', '/', 'a'), (pairs, prefix, delimiter) => {
      const all = pairs.filter(([key]) => key !== '').map(([key, id]) => upload(key, id));
      const asked = { prefix, delimiter, keyMarker: '', uploadIdMarker: '', limit: 1000 };
      const whole = uploadPage(all, asked);
      const grouped = (key: string) => delimiter !== '' && key.indexOf(delimiter, prefix.length) >= 0;
      const expected = all
        .filter(({ key }) => key.startsWith(prefix) && !grouped(key))
        .sort((a, b) => compareUtf8(a.key, b.key) || (a.id < b.id ? -1 : 1));
      assert.equal(whole.uploads, expected);
      for (let limit = 1; limit <= 4; limit++) {
        const found: Upload[] = [];
        const prefixes: string[] = [];
        let marker = { keyMarker: '', uploadIdMarker: '' };
        for (let round = 0; ; round++) {
          assert.ok(round < 100, 'paging does not end');
          const part = uploadPage(all, { ...asked, ...marker, limit });
          found.push(...part.uploads);
          prefixes.push(...part.prefixes);
          if (!part.next) break;
          marker = { keyMarker: part.next.key, uploadIdMarker: part.next.uploadId };
        }
        assert.equal(found, whole.uploads);
        assert.equal(prefixes, whole.prefixes);
      }
    }),
  );
});

test('uploads: a key marker alone leaves its key out, an id alone is ignored', () => {
  const all = [upload('a', '1'), upload('a', '2'), upload('b', '1')];
  const asked = { prefix: '', delimiter: '', keyMarker: '', uploadIdMarker: '', limit: 10 };
  assert.equal(uploadPage(all, { ...asked, keyMarker: 'a' }).uploads, [all[2]]);
  assert.equal(uploadPage(all, { ...asked, keyMarker: 'a', uploadIdMarker: '1' }).uploads, [all[1], all[2]]);
  assert.is(uploadPage(all, { ...asked, uploadIdMarker: '9' }).uploads.length, 3);
  assert.equal(uploadPage(all, { ...asked, limit: 0 }), { uploads: [], prefixes: [] });
});

test.run();
