import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  decode,
  decodeMeta,
  encode,
  encodeMeta,
  encodeReference,
  type Packed,
  requireStorable,
} from '../../../acl/metadata/codec.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';

const codec = suite('metadata codec');

// biome-ignore lint/suspicious/noControlCharactersInRegex: what no header may carry
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((s) => !/[\0-\x08\x0a-\x1f\x7f]/.test(s));
const token = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'a', 'x-1', 'mtime'),
  fc.stringMatching(/^[a-z0-9_.-]{1,20}$/),
);
/** One character a byte. */
const wire = text.filter((s) => !/[^\0-\xff]/.test(s));
const dict = (key: fc.Arbitrary<string>, value = text) =>
  fc.array(fc.tuple(key, value), { maxLength: 5 }).map((pairs) => Object.fromEntries(pairs));
const optional = { noNullPrototype: true } as const;

const meta: fc.Arbitrary<ObjectMeta> = fc.record(
  {
    etag: fc.constantFrom('', 'd41d8cd98f00b204e9800998ecf8427e', 'd41d8cd98f00b204e9800998ecf8427e-7'),
    headers: fc.record(
      {
        contentType: text,
        cacheControl: text,
        contentDisposition: text,
        contentEncoding: text,
        contentLanguage: text,
        expires: text,
        websiteRedirectLocation: text,
      },
      { requiredKeys: [], ...optional },
    ),
    user: dict(token, wire),
    tags: dict(text),
    checksum: fc.record(
      {
        algorithm: fc.constantFrom('CRC32' as const, 'SHA256' as const),
        type: fc.constantFrom('COMPOSITE' as const, 'FULL_OBJECT' as const),
        value: fc.base64String(),
      },
      optional,
    ),
    parts: fc.array(
      fc.record(
        { number: fc.nat(10_000), size: fc.maxSafeNat(), checksum: fc.base64String() },
        { requiredKeys: ['number', 'size'], ...optional },
      ),
      { maxLength: 4 },
    ),
    uploadId: text,
    write: fc.constantFrom('Put', 'Copy').map((how) => `${how}-0123456789abcdef0123456789abcdef`),
    owner: text,
    acl: text,
  },
  { requiredKeys: ['etag', 'headers', 'user'], ...optional },
);

const big = fc.bigInt({ min: -(1n << 62n), max: (1n << 64n) - 1n });
const packed: fc.Arbitrary<Packed> = fc.record(
  {
    stamp: fc.record({ size: fc.maxSafeNat(), mtimeNs: big, ino: big, bound: big }, optional),
    meta,
    marker: fc.record(
      { modified: fc.maxSafeNat(), body: fc.constant('0123456789abcdef0123456789abcdef') },
      { requiredKeys: ['modified'], ...optional },
    ),
    made: fc.constant(true),
  },
  { requiredKeys: [], ...optional },
);

codec('what is encoded comes back', () => {
  fc.assert(fc.property(packed, (value) => assert.equal(decode(encode(value)), value)));
  fc.assert(fc.property(meta, (value) => assert.equal(decodeMeta(encodeMeta(value)), value)));
});

codec('any bytes give a record that could be encoded, or nothing, and touch no prototype', () => {
  const check = (bytes: Uint8Array) => {
    const value = decode(bytes);
    if (value) assert.ok(decode(encode(value)));
    const other = decodeMeta(bytes);
    if (other) requireStorable(other);
    assert.is(({} as Record<string, unknown>)['polluted'], undefined);
  };
  const versioned = (rest: Uint8Array) => Buffer.concat([Buffer.of(1), rest]);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => check(versioned(bytes))));
  fc.assert(fc.property(fc.json(), (json) => check(versioned(Buffer.from(json)))));
  // JSON of our own shape with values of all kinds in it.
  const value = fc.oneof(
    fc.jsonValue(),
    fc.array(fc.oneof(fc.string(), fc.integer(), fc.constantFrom('__proto__', 'a', 'CRC32'))),
  );
  const shape = fc.dictionary(
    fc.constantFrom('s', 'k', 'd', 'm', 'x', 'e', 'h', 'u', 't', 'c', 'p', 'i', 'w', 'o', '__proto__'),
    value,
  );
  fc.assert(fc.property(shape, (object) => check(versioned(Buffer.from(JSON.stringify(object))))));
  fc.assert(fc.property(shape, (object) => check(versioned(Buffer.from(JSON.stringify({ m: object }))))));
});

codec('a truncated or altered record is never another valid type', () => {
  const whole = encode({ made: true, meta: { etag: 'e', headers: { contentType: 'a/b' }, user: { k: 'v' } } });
  for (let length = 0; length < whole.length; length++) assert.is(decode(whole.subarray(0, length)), undefined);
  assert.is(decode(Buffer.concat([Buffer.of(2), whole.subarray(1)])), undefined, 'of a later version');
  assert.is(decode(Buffer.alloc(3 << 20, 0x20)), undefined, 'huge');
});

codec('user metadata named __proto__ is an own property, nothing else', () => {
  const back = decodeMeta(encodeMeta({ etag: 'e', headers: {}, user: Object.fromEntries([['__proto__', 'v']]) }))!;
  assert.equal(Object.entries(back.user), [['__proto__', 'v']]);
  assert.is(Object.getPrototypeOf(back.user), Object.prototype);
});

codec('a line end cannot get into a header, neither on the way in nor out', () => {
  const evil: ObjectMeta = { etag: 'e', headers: { contentType: 'text/html\r\nset-cookie: a=b' }, user: {} };
  assert.throws(
    () => requireStorable(evil),
    (error: { code: string }) => error.code === 'InvalidArgument',
  );
  assert.is(decodeMeta(encodeMeta(evil)), undefined);
  assert.is(decodeMeta(encodeMeta({ etag: 'e', headers: {}, user: { 'a\nb': 'c' } })), undefined);
  assert.is(decodeMeta(encodeMeta({ etag: 'a"b', headers: {}, user: {} })), undefined);
});

codec('what no header can hold is no value of one', () => {
  const of = (more: Partial<ObjectMeta>) => decodeMeta(encodeMeta({ etag: 'e', headers: {}, user: {}, ...more }));
  assert.is(of({ user: { a: '潮' } }), undefined);
  assert.equal(of({ user: { a: 'mar\xe9e' } })?.user, { a: 'mar\xe9e' });
  assert.is(of({ checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: '潮' } }), undefined);
  assert.is(of({ parts: [{ number: 1, size: 1, checksum: '潮' }] }), undefined);
});

codec('references name only files of our own form', () => {
  const hash = 'a'.repeat(64);
  assert.equal(decode(encodeReference({ made: true }, { name: 'b'.repeat(32), hash })), {
    made: true,
    overflow: { name: 'b'.repeat(32), hash },
  });
  const [overflow, unfit] = ['e', 'a"b'].map((etag) => ({ name: 'b'.repeat(32), hash, etag }));
  assert.equal(decode(encodeReference({}, overflow!))?.overflow, overflow);
  assert.is(decode(encodeReference({}, unfit!))?.overflow?.etag, undefined);
  const older = Buffer.from(`\x01{"x":["${'b'.repeat(32)}","${hash}"]}`);
  assert.equal(decode(older)?.overflow, { name: 'b'.repeat(32), hash });
  for (const name of ['../../../etc/passwd', '', 'B'.repeat(32), `${'b'.repeat(32)}/x`]) {
    assert.is(decode(encodeReference({}, { name, hash })), undefined, name);
  }
  const marker = (body: string) => decode(encode({ marker: { modified: 1, body } }));
  assert.is(marker('../x'), undefined);
});

codec.run();
