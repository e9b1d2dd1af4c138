import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../../gateway/errors.js';
import { createHasher, type Hasher, type HasherOptions, MOST_THREADS } from '../../../gateway/storage/md5/hasher.js';
import { createMemory, PAGE } from '../../../gateway/storage/md5/memory.js';
import { run } from '../../support/programs.js';
import { tempDir } from '../../support/temp.js';
import { withTimeout } from '../../support/time.js';

const test = suite('md5 hasher');
const memory = createMemory((MOST_THREADS + 400) * PAGE);
const ground = MOST_THREADS * PAGE;
const md5 = (content: Uint8Array) => createHash('md5').update(content).digest('hex');
const hex = (digest: Uint8Array) => Buffer.from(digest).toString('hex');
const codeOf = (error: unknown) => (error instanceof S3Error ? error.code : String(error));
const chunkAt = (at: number, length: number) => new Uint8Array(memory.buffer, ground + at, length);

const withHasher = async (options: HasherOptions, work: (hasher: Hasher) => Promise<void>): Promise<void> => {
  const hasher = createHasher(memory, options);
  try {
    await withTimeout('the hasher', 20_000, work(hasher));
  } finally {
    await hasher.close();
  }
};
/** A thread that does this instead. */
const thread = (source: string) =>
  new URL(`data:text/javascript,${encodeURIComponent(`import { parentPort } from 'node:worker_threads';${source}`)}`);

for (const threads of [1, 3]) {
  test(`many streams, each with chunks of its own that are filled again, ${threads} thread(s)`, () =>
    withHasher({ threads }, async (hasher) => {
      const stream = async (number: number): Promise<void> => {
        const content = randomBytes(3_000_000 + 12_345 * number);
        const size = 200_000 + number;
        const hashing = hasher.begin();
        const passed: Promise<void>[] = [];
        for (let from = 0, i = 0; from < content.length; from += size, i++) {
          await passed[i - 2];
          const part = content.subarray(from, from + size);
          const chunk = chunkAt((2 * number + (i % 2)) * 250_000, part.length);
          chunk.set(part);
          // Once it is told that nobody reads it, it may be anything.
          passed.push(hashing.update(chunk, () => chunk.fill(number)));
        }
        await Promise.all(passed);
        assert.is(hex(await hashing.finish()), md5(content), `stream ${number}`);
      };
      await Promise.all(Array.from({ length: 20 }, (_, i) => stream(i)));
    }));
}

test('what nobody wants any more is let go of, and disturbs no other', () =>
  withHasher({ threads: 1 }, async (hasher) => {
    const content = chunkAt(0, 4_000_000).fill(7);
    const [kept, left] = [hasher.begin(), hasher.begin()];
    let ends = 0;
    const passed = Array.from({ length: 5 }, () => left.update(content, () => ends++));
    const own = kept.update(content, () => {});
    await left.drop();
    assert.is(ends, 5, 'when it is dropped, nobody reads its bytes');
    await Promise.all([...passed, own]);
    assert.is(hex(await kept.finish()), md5(content));
    await left.drop();
    assert.match(String(await left.finish().catch((error) => error)), /has ended/);
    assert.match(String(await left.update(content, () => ends++).catch((error) => error)), /has ended/);
    assert.is(ends, 6);
  }));

test('bytes of another memory are refused', () =>
  withHasher({ threads: 1 }, async (hasher) => {
    const hashing = hasher.begin();
    let ends = 0;
    const other = new Uint8Array(new SharedArrayBuffer(64));
    assert.match(String(await hashing.update(other, () => ends++).catch((error) => error)), /another memory/);
    assert.is(ends, 1);
    assert.is(hex(await hashing.finish()), md5(Buffer.alloc(0)));
  }));

test('a thread that is lost fails what it was at, and another one takes its place', () =>
  withHasher(
    { threads: 1, thread: thread(`parentPort.once('message', () => { throw new Error('lost'); });`) },
    async (hasher) => {
      for (let round = 0; round < 2; round++) {
        const [first, second] = [hasher.begin(), hasher.begin()];
        let ends = 0;
        const update = first.update(chunkAt(0, 64), () => ends++);
        const error = await update.catch((reason: unknown) => reason as S3Error);
        assert.is(codeOf(error), 'InternalError');
        assert.match(String((error as S3Error).cause), /lost/);
        assert.is(ends, 1);
        // Its state is gone: another thread must not go on as if it knew it.
        assert.is(await first.finish().catch(codeOf), 'InternalError');
        assert.is(await second.update(chunkAt(0, 64), () => ends++).catch(codeOf), 'InternalError');
        assert.is(ends, 2);
        await second.drop();
      }
    },
  ));

test('at the end whoever waits is told, and nobody begins', async () => {
  const hasher = createHasher(memory, { thread: thread(`parentPort.on('message', () => {});`) });
  const hashing = hasher.begin();
  let ends = 0;
  const update = hashing.update(chunkAt(0, 64), () => ends++).catch(codeOf);
  await hasher.close();
  assert.is(await update, 'ServiceUnavailable');
  assert.is(ends, 1);
  assert.throws(
    () => hasher.begin(),
    (error: S3Error) => error.code === 'ServiceUnavailable',
  );
});

test('a process waits for a digest, and for nothing else of it', async () => {
  const at = new URL('../../../gateway/storage/md5/', import.meta.url);
  const source = `
    const { createHasher } = await import('${new URL('hasher.js', at)}');
    const { createMemory } = await import('${new URL('memory.js', at)}');
    const memory = createMemory(1 << 20);
    const hashing = createHasher(memory).begin();
    hashing.update(new Uint8Array(memory.buffer, 1 << 19, 1 << 19), () => {});
    hashing.finish().then((digest) => console.log(Buffer.from(digest).toString('hex')));`;
  const program = join(tempDir(), 'digest.mjs');
  writeFileSync(program, source);
  const { code, stdout } = await run(process.execPath, [program], { seconds: 10 });
  assert.equal([code, stdout.trim()], [0, md5(Buffer.alloc(1 << 19))]);
});

test.run();
