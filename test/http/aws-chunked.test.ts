import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { authenticate } from '../../gateway/auth/authenticate.js';
import type { PayloadCheck } from '../../gateway/auth/types.js';
import { S3Error } from '../../gateway/errors.js';
import { chunkDecoder } from '../../gateway/http/aws-chunked.js';
import { chunkedBody, signV4, wireRequest } from '../auth/signer.js';

const now = Date.UTC(2026, 10, 23);
const keys = { accessKey: 'AK', secret: 'S', now };
type Chunks = Extract<PayloadCheck, { kind: 'chunks' }>;

/** A signed request, as payload check and as what the producer signs with. */
async function signed(trailer: boolean) {
  const kind = `STREAMING-AWS4-HMAC-SHA256-PAYLOAD${trailer ? '-TRAILER' : ''}`;
  const { headers, signing } = signV4({ method: 'PUT', url: '/b/k', headers: { host: 'h' } }, keys, kind);
  const request = wireRequest('PUT', '/b/k', headers);
  const fresh = async () => {
    const result = await authenticate({
      request,
      target: { bucket: 'b', key: 'k', style: 'path' },
      headers: request.headers,
      now,
      lookup: async () => keys.secret,
    });
    return result!.payload as Chunks;
  };
  return { signing, fresh };
}

const unsigned: Chunks = { kind: 'chunks', trailer: true, verify: undefined };

/** Decodes pieces; `slow` gives a sink that takes its time. */
async function decode(payload: Chunks, pieces: Uint8Array[], length: number, announced: string[] = [], slow = false) {
  const out: Buffer[] = [];
  const trailers = new Map<string, string>();
  const sink = slow
    ? async (piece: Uint8Array) => {
        await new Promise((resolve) => setImmediate(resolve));
        out.push(Buffer.from(piece));
      }
    : (piece: Uint8Array) => void out.push(Buffer.from(piece));
  const decoder = chunkDecoder({ payload, length, announced, trailers, sink });
  for (const piece of pieces) await decoder.write(piece);
  decoder.end();
  return { data: Buffer.concat(out), trailers };
}

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
  return 'accepted';
}

function cut(coded: Buffer, points: number[]): Buffer[] {
  const places = [...new Set([0, ...points.map((point) => point % (coded.length + 1)), coded.length])].sort(
    (a, b) => a - b,
  );
  return places.slice(1).map((end, i) => coded.subarray(places[i]!, end));
}

const t = suite('aws-chunked');

t('property: any payload, any chunk size, cut anywhere', async () => {
  const { signing, fresh } = await signed(true);
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 1, max: 100 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      fc.boolean(),
      fc.boolean(),
      async (payload, chunkSize, points, isSigned, slow) => {
        const trailers = { 'x-amz-checksum-crc32': 'AAAAAA==' };
        const coded = chunkedBody(payload, { chunkSize, trailers, ...(isSigned && { signing }) });
        const check = isSigned ? await fresh() : unsigned;
        const result = await decode(check, cut(coded, points), payload.length, ['x-amz-checksum-crc32'], slow);
        assert.equal(result.data, Buffer.from(payload));
        assert.equal([...result.trailers], [['x-amz-checksum-crc32', 'AAAAAA==']]);
      },
    ),
    { numRuns: 150 },
  );
});

t('property: no byte of a signed body can be changed, none left out', async () => {
  const { signing, fresh } = await signed(true);
  const payload = Buffer.from('some payload of two chunks');
  const trailers = { 'x-amz-checksum-crc32': 'AAAAAA==' };
  const coded = chunkedBody(payload, { chunkSize: 16, signing, trailers });
  const announced = ['x-amz-checksum-crc32'];
  for (let at = 0; at < coded.length; at++) {
    const other = Buffer.from(coded);
    other[at] = other[at]! ^ 1;
    const result = await code(
      decode(await fresh(), [other], payload.length, announced).then(({ data, trailers }) => {
        // Only what means the same may pass: the framing's own line ends.
        assert.equal(data, payload);
        assert.equal([...trailers], [['x-amz-checksum-crc32', 'AAAAAA==']]);
      }),
    );
    if (result === 'accepted') assert.ok('\r\n'.includes(String.fromCharCode(coded[at]!)), `byte ${at} was changed`);
  }
  for (let end = 0; end < coded.length - 4; end++) {
    assert.is.not(await code(decode(await fresh(), [coded.subarray(0, end)], payload.length, announced)), 'accepted');
  }
});

t('chunks in another order, twice, or of another request', async () => {
  const { signing, fresh } = await signed(false);
  const coded = chunkedBody(Buffer.from('aabb'), { chunkSize: 2, signing });
  const size = '2;chunk-signature='.length + 64 + 2 + 2 + 2;
  const [a, b, rest] = [coded.subarray(0, size), coded.subarray(size, 2 * size), coded.subarray(2 * size)];
  assert.is(await code(decode(await fresh(), [a, b, rest], 4)), 'accepted');
  assert.is(await code(decode(await fresh(), [b, a, rest], 4)), 'SignatureDoesNotMatch');
  assert.is(await code(decode(await fresh(), [a, a, rest], 4)), 'SignatureDoesNotMatch');
  assert.is(await code(decode(await fresh(), [chunkedBody(Buffer.from('aabb'))], 4)), 'SignatureDoesNotMatch');
});

t('the declared length is held to', async () => {
  const coded = chunkedBody(Buffer.from('hello'), { chunkSize: 3 });
  assert.is(await code(decode(unsigned, [coded], 5)), 'accepted');
  assert.is(await code(decode(unsigned, [coded], 4)), 'IncompleteBody');
  assert.is(await code(decode(unsigned, [coded], 6)), 'IncompleteBody');
  assert.is(await code(decode(unsigned, [], 0)), 'IncompleteBody');
  assert.is(await code(decode(unsigned, [Buffer.from('ffffffffffff\r\n')], 5)), 'IncompleteBody');
});

t('malformed framing', async () => {
  for (const text of ['x\r\n', '-1\r\n', '\r\n', '1\r\nab\r\n0\r\n\r\n', `1;${'x'.repeat(5000)}`, '1 2\r\n']) {
    assert.is(await code(decode(unsigned, [Buffer.from(text)], 1)), 'InvalidRequest', text.slice(0, 20));
  }
});

t('trailers', async () => {
  const trailer = (text: string, announced: string[], payload = unsigned) =>
    code(decode(payload, [Buffer.from(`1\r\na\r\n0\r\n${text}`)], 1, announced));
  assert.is(await trailer('x-amz-checksum-sha1: v \r\n\r\n', ['x-amz-checksum-sha1']), 'accepted');
  assert.is(await trailer('X-Amz-Checksum-SHA1:v\n\r\n\r\n', ['x-amz-checksum-sha1']), 'accepted');
  assert.is(
    await trailer('\r\nx-amz-checksum-sha1:v\r\n\r\n', ['x-amz-checksum-sha1']),
    'accepted',
    'empty line first',
  );
  assert.is(await trailer('x-amz-checksum-sha1:v', ['x-amz-checksum-sha1']), 'accepted', 'no line end');
  assert.is(await trailer('\r\n', []), 'accepted');
  assert.is(await trailer('x-amz-checksum-sha1:v\r\n\r\n', []), 'MalformedTrailerError', 'not announced');
  assert.is(await trailer('\r\n', ['x-amz-checksum-sha1']), 'MalformedTrailerError', 'missing');
  assert.is(await trailer('x-a:1\r\nx-a:2\r\n\r\n', ['x-a']), 'MalformedTrailerError', 'twice');
  assert.is(await trailer('nonsense\r\n\r\n', ['x-a']), 'MalformedTrailerError');
  assert.is(await trailer(`x-a:${'y'.repeat(5000)}\r\n`, ['x-a']), 'InvalidRequest', 'too long');
  const plain: Chunks = { kind: 'chunks', trailer: false, verify: undefined };
  assert.is(await trailer('x-a:1\r\n\r\n', ['x-a'], plain), 'MalformedTrailerError', 'none promised');
});

t('a trailer line behind its signature is refused', async () => {
  const { signing, fresh } = await signed(true);
  const coded = chunkedBody(Buffer.from('a'), { signing, trailers: { 'x-a': '1' } });
  assert.is(await code(decode(await fresh(), [coded], 1, ['x-a'])), 'accepted');
  const more = Buffer.concat([coded.subarray(0, -2), Buffer.from('x-b:1\r\n\r\n')]);
  assert.is(await code(decode(await fresh(), [more], 1, ['x-a', 'x-b'])), 'MalformedTrailerError');
  const none = coded.subarray(0, coded.indexOf('x-amz-trailer-signature'));
  assert.is(await code(decode(await fresh(), [none], 1, ['x-a'])), 'SignatureDoesNotMatch');
});

t('megabytes in socket-sized pieces', async () => {
  const { signing, fresh } = await signed(false);
  const payload = Buffer.alloc(5_000_001, 'tide');
  const coded = chunkedBody(payload, { signing });
  const pieces = cut(
    coded,
    Array.from({ length: 90 }, (_, i) => i * 60001),
  );
  const { data } = await decode(await fresh(), pieces, payload.length);
  const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  assert.is(sha(data), sha(payload));
});

t.run();
