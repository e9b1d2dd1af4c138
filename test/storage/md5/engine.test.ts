import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createEngine, type Engine, type Md5, type Span } from '../../../gateway/storage/md5/engine.js';
import { createMemory, PAGE } from '../../../gateway/storage/md5/memory.js';
import { run } from '../../support/programs.js';
import { tempDir } from '../../support/temp.js';

const test = suite('md5 engine');
const memory = createMemory(4 * PAGE);
const engines = { vectors: createEngine(memory, 1), 'no vectors': createEngine(memory, 1, false) };
/** Where the contents lie: behind the page of the engine. */
const ground = 2 * PAGE;
const bytes = new Uint8Array(memory.buffer);
const hex = (digest: Uint8Array) => Buffer.from(digest).toString('hex');
const expected = (content: Uint8Array) => createHash('md5').update(content).digest('hex');

const digestOf = (engine: Engine, content: Uint8Array): string => {
  bytes.set(content, ground);
  const stream = { md5: engine.begin(), span: { at: ground, left: content.length } };
  while (stream.span.left > 0) engine.advance([stream], 1000);
  return hex(engine.finish(stream.md5));
};

/** Contents that begin at any address, and how each is cut. */
const contents = fc.array(
  fc.record({
    content: fc.uint8Array({ maxLength: 700 }),
    cuts: fc.array(fc.nat(700), { maxLength: 4 }),
    gap: fc.nat(9),
  }),
  { minLength: 1, maxLength: 12 },
);

for (const [name, engine] of Object.entries(engines)) {
  test(`the test suite of RFC 1321, appendix A.5, ${name}`, () => {
    const vectors = {
      '': 'd41d8cd98f00b204e9800998ecf8427e',
      a: '0cc175b9c0f1b6a831c399e269772661',
      abc: '900150983cd24fb0d6963f7d28e17f72',
      'message digest': 'f96b697d7cb7938d525a2f31aaf161d0',
      abcdefghijklmnopqrstuvwxyz: 'c3fcd3d76192e4007dfb496cca67e13b',
      ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789: 'd174ab98d277d9f5a5611c2c9f419d9f',
      '12345678901234567890123456789012345678901234567890123456789012345678901234567890':
        '57edf4a22be3c955ac49da2e2107b67a',
    };
    for (const [text, digest] of Object.entries(vectors)) assert.is(digestOf(engine, Buffer.from(text)), digest);
  });

  test(`every length up to some blocks, where the padding changes, ${name}`, () => {
    const content = Buffer.from(Array.from({ length: 260 }, (_, i) => (i * 151) ^ (i >> 3)));
    for (let length = 0; length <= content.length; length++) {
      const part = content.subarray(0, length);
      assert.is(digestOf(engine, part), expected(part), `${length} bytes`);
    }
  });

  test(`any number of streams, of any length and cut anywhere, in lanes, ${name}`, () => {
    fc.assert(
      fc.property(contents, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 8 }), (all, blocks, most) => {
        let at = ground;
        const streams = all.map(({ content, cuts, gap }) => {
          at += gap;
          bytes.set(content, at);
          const ends = [...cuts.filter((cut) => cut < content.length), content.length].sort((a, b) => a - b);
          let from = 0;
          const spans: Span[] = ends.map((end) => {
            const span = { at: at + from, left: end - from };
            from = end;
            return span;
          });
          at += content.length;
          return { md5: engine.begin(), spans, content };
        });
        const waiting = streams.filter(({ spans }) => spans.length > 0);
        for (let turns = 0; waiting.length > 0; turns++) {
          assert.ok(turns < 10_000, 'it comes to its end');
          const group = waiting.splice(0, most);
          engine.advance(
            group.map(({ md5, spans }) => ({ md5, span: spans[0]! })),
            blocks,
          );
          for (const stream of group) {
            if (stream.spans[0]!.left === 0) stream.spans.shift();
            if (stream.spans.length > 0) waiting.push(stream);
          }
        }
        for (const { md5, content } of streams) {
          assert.is(md5.length, content.length);
          assert.is(hex(engine.finish(md5)), expected(content));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test(`each number of streams at once, of blocks of random bytes, ${name}`, () => {
    const random = (seed: number) => {
      let state = seed;
      return Buffer.from(
        Array.from({ length: 64 * 50 }, () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16),
      );
    };
    for (let count = 1; count <= 8; count++) {
      const all = Array.from({ length: count }, (_, i) => random(100 * count + i));
      const streams = all.map((content, i) => {
        bytes.set(content, ground + 4096 * i);
        return { md5: engine.begin(), span: { at: ground + 4096 * i, left: content.length } };
      });
      engine.advance(streams, 1000);
      for (const [i, { md5, span }] of streams.entries()) {
        assert.is(span.left, 0);
        assert.is(hex(engine.finish(md5)), expected(all[i]!), `stream ${i} of ${count}`);
      }
    }
    const one = { md5: engine.begin(), span: { at: ground, left: 64 } };
    assert.throws(() => engine.advance(Array(9).fill(one), 1), /9 streams/);
  });

  test(`the engine writes to its own page only, ${name}`, () => {
    bytes.fill(0xa5, 0, PAGE);
    bytes.fill(0xa5, 2 * PAGE);
    const streams = Array.from({ length: 8 }, (_, i) => ({
      md5: engine.begin() as Md5,
      span: { at: ground + 100 * i, left: 64 * 100 + i },
    }));
    engine.advance(streams, 1000);
    for (const { md5 } of streams) engine.finish(md5);
    assert.ok(bytes.subarray(0, PAGE).every((byte) => byte === 0xa5));
    assert.ok(bytes.subarray(2 * PAGE).every((byte) => byte === 0xa5));
  });

  test(`lengths beyond 4 GiB count in 64 bits, ${name}`, () => {
    // As RFC 1321 pads: the state after so much is not known beforehand, but its last block is.
    const md5 = engine.begin();
    md5.length = 2 ** 32 * 5 + 64;
    const block = Buffer.alloc(64);
    block[0] = 0x80;
    block.writeBigUInt64LE((2n ** 32n * 5n + 64n) * 8n, 56);
    const other = { md5: engine.begin(), span: { at: ground, left: 64 } };
    bytes.set(block, ground);
    engine.advance([other], 1);
    const state = Buffer.alloc(16);
    for (const [i, word] of other.md5.state.entries()) state.writeUInt32LE(word, 4 * i);
    assert.is(hex(engine.finish(md5)), state.toString('hex'));
  });
}

test('machines without vectors get a program of integers', async () => {
  const at = new URL('../../../gateway/storage/md5/', import.meta.url);
  const source = `
    const { createEngine } = await import('${new URL('engine.js', at)}');
    const { createMemory } = await import('${new URL('memory.js', at)}');
    const memory = createMemory(1 << 18);
    new Uint8Array(memory.buffer, 1 << 17).fill(7);
    const engine = createEngine(memory, 0);
    const all = [1, 2, 3].map(() => ({ md5: engine.begin(), span: { at: 1 << 17, left: 6400 } }));
    engine.advance(all, 1000);
    for (const { md5 } of all) console.log(Buffer.from(engine.finish(md5)).toString('hex'));`;
  const program = join(tempDir(), 'engine.mjs');
  writeFileSync(program, source);
  // On another architecture V8 knows no such flag.
  const flags = process.arch === 'x64' ? ['--no-enable-sse4-1'] : [];
  const { code, stdout } = await run(process.execPath, [...flags, program], { seconds: 20 });
  assert.equal([code, new Set(stdout.trim().split('\n'))], [0, new Set([expected(Buffer.alloc(6400, 7))])]);
});

test.run();
