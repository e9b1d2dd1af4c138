import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../../gateway/errors.js';
import {
  createHasher,
  type Hasher,
  type HasherOptions,
  type Hashing,
  MOST_THREADS,
} from '../../../gateway/storage/md5/hasher.js';
import { createMemory, PAGE } from '../../../gateway/storage/md5/memory.js';
import { run } from '../../support/programs.js';
import { tempDir } from '../../support/temp.js';
import { until, withTimeout } from '../../support/time.js';

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
const beginIn = (hasher: Hasher): Hashing => {
  const hashing = hasher.begin();
  assert.ok(hashing, 'no thread can be started');
  return hashing!;
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
        const hashing = beginIn(hasher);
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
    const [kept, left] = [beginIn(hasher), beginIn(hasher)];
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
    const hashing = beginIn(hasher);
    let ends = 0;
    const other = new Uint8Array(new SharedArrayBuffer(64));
    assert.match(String(await hashing.update(other, () => ends++).catch((error) => error)), /another memory/);
    assert.is(ends, 1);
    assert.is(hex(await hashing.finish()), md5(Buffer.alloc(0)));
  }));

test('a thread that is lost fails what it was at, and another one takes its place', () =>
  withHasher(
    {
      threads: 1,
      thread: thread(`
        parentPort.once('message', ({ call }) => {
          parentPort.postMessage([{ call }]);
          parentPort.once('message', () => { throw new Error('lost'); });
        });`),
    },
    async (hasher) => {
      for (let round = 0; round < 2; round++) {
        const [first, second] = [beginIn(hasher), beginIn(hasher)];
        await first.update(chunkAt(0, 64), () => {});
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

/** A thread that cannot start, as long as there is no such file, and writes down when each attempt was, in milliseconds. */
const failing = (starts: string, may: string) =>
  thread(`
    import { appendFileSync, existsSync } from 'node:fs';
    appendFileSync(${JSON.stringify(starts)}, process.hrtime.bigint() / 1_000_000n + '\\n');
    if (!existsSync(${JSON.stringify(may)})) throw new Error('no memory');
    await import(${JSON.stringify(new URL('../../../gateway/storage/md5/md5-thread.js', import.meta.url).href)});`);

test('where no thread can start nothing fails: it is tried again after a pause, and told once', async () => {
  const dir = tempDir();
  const [starts, may] = [join(dir, 'starts'), join(dir, 'may')];
  const attempts = () => (existsSync(starts) ? readFileSync(starts, 'utf8').trim().split('\n').map(Number) : []);
  const told: string[] = [];
  const warn = (details: object, message: string) =>
    told.push(`${message}: ${(details as { err: Error }).err.message}`);
  const content = randomBytes(3_000_000);
  chunkAt(0, content.length).set(content);
  /** Two uploads at once, in pieces. */
  const digest = async (hashing: Hashing): Promise<void> => {
    let ends = 0;
    const size = 1_000_001;
    for (let at = 0; at < content.length; at += size) {
      const piece = chunkAt(at, Math.min(size, content.length - at));
      const done = hashing.update(piece, () => ends++);
      if (at > 0) await done;
    }
    assert.is(hex(await hashing.finish()), md5(content));
    assert.is(ends, 3);
  };
  const pauseMs = 300;
  await withHasher({ threads: 1, thread: failing(starts, may), pauseMs, warn }, async (hasher) => {
    // Nobody knows yet: what they had given to the thread is not lost.
    const [first, second, dropped] = [beginIn(hasher), beginIn(hasher), beginIn(hasher)];
    let ends = 0;
    const update = dropped.update(chunkAt(0, 64), () => ends++);
    await Promise.all([digest(first), digest(second), dropped.drop()]);
    await update;
    assert.is(ends, 1);
    for (let tries = 1; tries < 3; tries++) {
      assert.is(attempts().length, tries);
      const again = await until('another try', 10_000, () => hasher.begin());
      assert.is(hasher.begin(), undefined, 'the others do not wait for what may fail again');
      await digest(again);
    }
    assert.equal(told, [`${told[0]!.split(':')[0]}: no memory`]);
    writeFileSync(may, '');
    const [at, next, last] = attempts() as [number, number, number];
    assert.ok(next - at >= pauseMs - 1 && last - next >= 2 * pauseMs - 1, `at ${at}, ${next} and ${last} ms`);
    const good = await until('a thread that starts', 10_000, () => hasher.begin());
    await digest(good);
    assert.is(attempts().length, 4);
    await Promise.all(Array.from({ length: 3 }, () => digest(beginIn(hasher))));
    assert.is(attempts().length, 4, 'they have the one that runs');
  });
  assert.is(told.length, 1);
});

test('nor does anything fail where the system has no room for a thread', () =>
  withHasher({ threads: 2, thread: new URL('https://localhost/'), pauseMs: 60_000 }, async (hasher) => {
    for (let i = 0; i < 3; i++) assert.is(hasher.begin(), undefined);
  }));

test('at the end whoever waits is told, and nobody begins', async () => {
  const hasher = createHasher(memory, { thread: thread(`parentPort.on('message', () => {});`) });
  const hashing = beginIn(hasher);
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
