import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compositeChecksum, fullObjectChecksum, receivedChecksum } from '../../gateway/s3/checksums.js';
import { parseCopyRange, parseCopySource } from '../../gateway/s3/copy-source.js';
import { bareEtag, isMd5Etag, multipartEtag } from '../../gateway/s3/etag.js';
import { createDigests, loadDigests } from '../../gateway/storage/digest.js';
import type { Digest } from '../../gateway/storage/types.js';

const test = suite('checksums, ETags, copy sources');
await loadDigests();

test('the full-object checksum of any parts is that of their bytes', () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(
      fc.constantFrom('CRC32', 'CRC32C', 'CRC64NVME'),
      fc.array(bytes, { minLength: 1, maxLength: 6 }),
      (algorithm, parts) => {
        const of = (piece: Uint8Array) => {
          const running = createDigests([algorithm.toLowerCase() as Digest]);
          running.update(piece);
          return receivedChecksum(algorithm, { size: piece.length, digests: running.finish() }).value;
        };
        const joined = fullObjectChecksum(
          algorithm,
          parts.map((piece) => ({ value: of(piece), size: piece.length })),
        );
        assert.is(joined.value, of(Buffer.concat(parts)));
      },
    ),
  );
});

test('a composite checksum is one over the raw values', () => {
  const raw = ['a', 'b'].map((text) => createHash('sha1').update(text).digest());
  const expected = createHash('sha1').update(Buffer.concat(raw)).digest('base64');
  const values = raw.map((each) => each.toString('base64'));
  assert.equal(compositeChecksum('SHA1', values), { algorithm: 'SHA1', type: 'COMPOSITE', value: `${expected}-2` });
});

test('ETags', () => {
  for (const written of ['abc', '"abc"', ' "abc" ', 'W/"abc"']) assert.is(bareEtag(written), 'abc');
  assert.is(bareEtag('"'), '"');
  assert.ok(isMd5Etag('acbd18db4cc2f85cedef654fccc4a4d8'));
  for (const other of ['acbd18db4cc2f85cedef654fccc4a4d8-1', 'ACBD18DB4CC2F85CEDEF654FCCC4A4D8', 'x'.repeat(32)]) {
    assert.not(isMd5Etag(other));
  }
  assert.is(
    multipartEtag(['acbd18db4cc2f85cedef654fccc4a4d8']),
    `${createHash('md5').update(Buffer.from('acbd18db4cc2f85cedef654fccc4a4d8', 'hex')).digest('hex')}-1`,
  );
});

test('copy sources: any key comes back, encoded', () => {
  const key = fc.string({ unit: 'grapheme', minLength: 1 }).filter((each) => each.isWellFormed());
  fc.assert(
    fc.property(key, fc.boolean(), (name, slash) => {
      const source = parseCopySource(`${slash ? '/' : ''}bucket/${encodeURIComponent(name)}`);
      assert.equal(source, { bucket: 'bucket', key: name, versionId: undefined });
    }),
  );
  assert.equal(parseCopySource('b/k%3FversionId=x?versionId=null'), {
    bucket: 'b',
    key: 'k?versionId=x',
    versionId: 'null',
  });
  for (const bad of ['', '/', 'b', 'b/', '/b/', '//k', 'b/%e3%81', 'b/%']) {
    assert.throws(
      () => parseCopySource(bad),
      (error: { code?: string }) => error.code === 'InvalidArgument',
    );
  }
});

test('copy ranges', () => {
  assert.equal(parseCopyRange('bytes=0-0', 1), { start: 0, length: 1 });
  assert.equal(parseCopyRange('bytes=2-4', 10), { start: 2, length: 3 });
  assert.throws(
    () => parseCopyRange('bytes=0-0', 0),
    (error: { code?: string }) => error.code === 'InvalidRange',
  );
});

test.run();
