/** Stamping beside jobs that write, and where something is in the way: never a false ETag. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { StampResult } from '../../sync/hash.js';
import { md5, noise, put } from '../suites/storage-tools.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { bigints, fingerprintOf, openStamping, type StampBench, stamped } from './stamping.js';

const test = suite('stamping beside jobs');
const isRoot = process.getuid!() === 0;
const synthetic = /^[0-9a-f]{32}-0$/;
const MIB = 1 << 20;
let bench: StampBench;
/** Reads 8 MiB a second: there is time to interfere. */
let slow: StampBench;

test.before(async () => {
  bench = await openStamping();
  slow = await openStamping({ hashRate: 8 * MIB, hashers: 1 });
});
test.after(async () => {
  await bench.close();
  await slow.close();
});

const etagOf = async (of: StampBench, key: string) => (await of.storage.head(of.at, key)).meta.etag;
const isBusy = (result: StampResult) => assert.is(result.outcome, 'busy', JSON.stringify(result, bigints));

test('a file that is not quiet yet is asked for again in time', async () => {
  const path = bench.file('fresh');
  writeFileSync(path, 'content');
  // Times that a job sets say nothing about when it wrote.
  utimesSync(path, 1, 1);
  // Long enough for a busy machine to start the first thread within.
  const quietMs = 2_000;
  const result = await bench.stamp('fresh', { quietMs });
  if (result.outcome !== 'busy') throw new Error(result.outcome);
  assert.ok(result.retryMs > 50 && result.retryMs <= quietMs, `${result.retryMs}`);
  await pause(result.retryMs + 20);
  assert.is((await stamped(bench.stamp('fresh', { quietMs }))).etag, md5('content'));
});

test('a file that somebody has open for writing is left alone, and the writer is not held up', async () => {
  const path = bench.file('open');
  writeFileSync(path, 'content');
  const fd = openSync(path, 'r+');
  isBusy(await bench.stamp('open'));
  writeSync(fd, 'CONTENT', 0);
  isBusy(await bench.stamp('open'));
  closeSync(fd);
  const reader = openSync(path, 'r');
  assert.is((await stamped(bench.stamp('open'))).etag, md5('CONTENT'), 'readers do not matter');
  closeSync(reader);
});

test('a writer that opens and closes all the time while the file is stamped never fails', async () => {
  const path = bench.file('hammered');
  writeFileSync(path, 'x'.repeat(100));
  const script =
    'import os,sys,time\nend=time.time()+2\nn=0\n' +
    'while time.time()<end:\n f=os.open(sys.argv[1],os.O_WRONLY)\n os.write(f,b"%08d"%n)\n os.close(f)\n n+=1\nprint(n)';
  const writer = spawn('python3', ['-c', script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  let written = '';
  writer.stdout.setEncoding('utf8').on('data', (text: string) => (written += text));
  let stampings = 0;
  const ended = once(writer, 'close');
  while (writer.exitCode === null) {
    if ((await bench.stamp('hammered')).outcome === 'stamped') stampings++;
    const { meta } = await bench.storage.head(bench.at, 'hammered');
    assert.ok(meta.etag !== '');
  }
  assert.equal(await ended, [0, null]);
  assert.ok(Number(written) > 100, written);
  await stamped(bench.stamp('hammered'));
  assert.is(await etagOf(bench, 'hammered'), md5(readFileSync(path)), `${stampings}`);
});

test('what was seen is no longer so: looked at again', async () => {
  const path = bench.file('seen');
  writeFileSync(path, 'content');
  const seen = fingerprintOf(path);
  appendFileSync(path, '!');
  isBusy(await bench.stamp('seen', {}, seen));
  assert.match(await etagOf(bench, 'seen'), synthetic);
});

const interferences: Record<string, (path: string) => void> = {
  'appends to it': (path) => appendFileSync(path, 'more'),
  'cuts it': (path) => truncateSync(path, 3 * MIB),
  'cuts off what was not read yet': (path) => truncateSync(path, 7 * MIB),
  'overwrites the beginning': (path) => writeFileSync(path, 'other', { flag: 'r+' }),
  'overwrites the end, and puts the times back': (path) => {
    const before = statSync(path, { bigint: true });
    const fd = openSync(path, 'r+');
    writeSync(fd, 'other', 8 * MIB - 100);
    closeSync(fd);
    execFileSync('touch', ['-d', new Date(0).toISOString(), path]);
    execFileSync('touch', ['-r', `${path}.times`, path]);
    assert.is(statSync(path, { bigint: true }).mtimeNs, before.mtimeNs);
  },
  'renames another file over it': (path) => {
    writeFileSync(`${path}.new`, 'another file');
    renameSync(`${path}.new`, path);
  },
  'renames it': (path) => renameSync(path, `${path}.moved`),
  'removes it': (path) => rmSync(path),
};
for (const [what, interfere] of Object.entries(interferences)) {
  test(`a job ${what} while it is read`, async () => {
    const key = `busy/${what}`;
    const path = slow.file(key);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, noise(8 * MIB));
    execFileSync('cp', ['-p', path, `${path}.times`]);
    execFileSync('touch', ['-r', `${path}.times`, path]);
    const result = slow.stamp(key);
    await pause(300);
    interfere(path);
    isBusy(await result);
    for (const name of readdirSync(slow.file('busy'))) {
      assert.match(await etagOf(slow, `busy/${name}`), synthetic, name);
    }
    // And once it has come to rest, it is what it is now.
    if (what === 'removes it' || what === 'renames it') {
      assert.equal(await slow.stamp(key, {}, fingerprintOf(`${path}.times`)), { outcome: 'gone' });
    } else {
      await stamped(bench.stamper.stamp(slow.at, key, fingerprintOf(path), { quietMs: 0, owner: 'o' }));
      assert.is(await etagOf(slow, key), md5(readFileSync(path)));
    }
    rmSync(slow.file('busy'), { recursive: true });
  });
}

test('S3 replaces a file while it is read', async () => {
  writeFileSync(slow.file('replaced'), noise(8 * MIB));
  const result = slow.stamp('replaced');
  await pause(200);
  await put(slow.storage, slow.at, 'replaced', 'by S3');
  isBusy(await result);
  assert.is(await etagOf(slow, 'replaced'), md5('by S3'));
});

test('the rate is kept, and small files do not wait for a large one', async () => {
  writeFileSync(slow.file('large'), noise(12 * MIB));
  const begun = performance.now();
  const large = slow.stamp('large').then(() => performance.now());
  const small = Array.from({ length: 20 }, async (_, i) => {
    writeFileSync(slow.file(`small-${i}`), `${i}`);
    await stamped(slow.stamp(`small-${i}`));
    return performance.now();
  });
  const lastSmall = Math.max(...(await Promise.all(small)));
  const largeAt = await large;
  assert.ok(lastSmall < largeAt, `${lastSmall - begun} ms, ${largeAt - begun} ms`);
  assert.ok(largeAt - begun > 1_300, `12 MiB at 8 MiB/s took ${largeAt - begun} ms`);
});

test('so many files a second, however small, and so many MiB', async () => {
  const gentle = await openStamping({ hashIops: 50, hashers: 2 });
  try {
    let halfWay = 0;
    const timed = async (names: readonly string[]): Promise<number> => {
      const begun = performance.now();
      let done = 0;
      const one = async (name: string) => {
        await stamped(gentle.stamp(name));
        if (++done === names.length >> 1) halfWay = performance.now() - begun;
      };
      await Promise.all(names.map(one));
      return performance.now() - begun;
    };
    const small = Array.from({ length: 60 }, (_, i) => `${i}`);
    for (const name of small) writeFileSync(gentle.file(name), name);
    const files = await timed(small);
    assert.ok(files > 900, `60 files at 50 a second took ${files} ms`);
    assert.ok(halfWay > 400, `30 of them came at once, after ${halfWay} ms`);
    writeFileSync(gentle.file('large'), noise(60 * MIB));
    const mib = await timed(['large']);
    assert.ok(mib > 900, `60 MiB at 50 a second took ${mib} ms`);
  } finally {
    await gentle.close();
  }
});

test('slices of a large file are paid by their bytes, and what was not read is not paid', async () => {
  const KIB = 1024;
  const both = await openStamping({ hashRate: 640 * KIB, hashIops: 5, hashers: 1 });
  try {
    writeFileSync(both.file('sliced'), noise(MIB));
    const begun = performance.now();
    await stamped(both.stamp('sliced'));
    const took = performance.now() - begun;
    // An operation for each of its 16 slices would be 3.2 s.
    assert.ok(took > 1_300 && took < 2_700, `1 MiB at 640 KiB a second took ${took} ms`);
  } finally {
    await both.close();
  }
  const known = await openStamping({ hashRate: 2 * MIB, hashers: 1 });
  try {
    const names = Array.from({ length: 20 }, (_, i) => `${i}`);
    const all = async (): Promise<number> => {
      const begun = performance.now();
      await Promise.all(names.map(async (name) => stamped(known.stamp(name))));
      return performance.now() - begun;
    };
    for (const name of names) writeFileSync(known.file(name), noise(200 * KIB));
    const first = await all();
    assert.ok(first > 1_400, `4 MiB at 2 MiB a second took ${first} ms`);
    const again = await all();
    assert.ok(again < 1_000, `nothing was read, in ${again} ms`);
  } finally {
    await known.close();
  }
});

test('files that wait for their turn are let be when it ends', async () => {
  const other = await openStamping({ hashIops: 10, hashers: 1 });
  const results = Array.from({ length: 60 }, async (_, i) => {
    writeFileSync(other.file(`${i}`), `${i}`);
    return other.stamp(`${i}`);
  });
  await pause(300);
  await other.stamper.close();
  const outcomes = (await Promise.all(results)).map(({ outcome }) => outcome);
  const done = outcomes.filter((outcome) => outcome === 'stamped').length;
  assert.ok(done >= 1 && done <= 10, `${done} were stamped`);
  assert.is(outcomes.filter((outcome) => outcome === 'busy').length, 60 - done);
  await other.storage.close();
});

test('what waits is counted, and closing ends all of it', async () => {
  const other = await openStamping({ hashRate: MIB, hashers: 1 });
  const results = Array.from({ length: 10 }, async (_, i) => {
    writeFileSync(other.file(`${i}`), noise(5 * MIB));
    return other.stamp(`${i}`);
  });
  assert.ok(other.stamper.waiting >= 8, `${other.stamper.waiting}`);
  await pause(200);
  const begun = performance.now();
  await other.stamper.close();
  assert.ok(performance.now() - begun < 2_000);
  for (const result of await Promise.all(results)) isBusy(result);
  isBusy(await other.stamp('1'));
  assert.match(await etagOf(other, '1'), synthetic);
  await other.storage.close();
});

test('the threads give way to everybody', async () => {
  const keys = Array.from({ length: 10 }, (_, i) => `many-${i}`);
  for (const key of keys) writeFileSync(bench.file(key), key);
  await Promise.all(keys.map((key) => stamped(bench.stamp(key))));
  const tasks = readdirSync('/proc/self/task').filter((tid) => {
    const fields = readFileSync(`/proc/self/task/${tid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return Number(fields[16]) === getPriority() + 5; // nice
  });
  assert.is(tasks.length, 3, 'two of one stamper, one of the other');
  for (const tid of tasks) assert.match(execFileSync('ionice', ['-p', tid]).toString(), /best-effort: prio 7/);
});

if (isRoot) {
  test('files that may not be read or not be written', async () => {
    const actor = { uid: 12_345, gid: 12_345, groups: [] };
    const other = await openStamping();
    try {
      execFileSync('chown', ['-R', '12345:12345', other.at.bucket.path]);
      for (const part of [other.root, join(other.at.bucket.path, '..')]) chmodSync(part, 0o755);
      const stamp = (key: string) =>
        other.stamper.stamp({ ...other.at, actor }, key, fingerprintOf(other.file(key)), { quietMs: 0, owner: 'o' });
      writeFileSync(other.file('closed'), 'content', { mode: 0o600 });
      assert.equal(await stamp('closed'), { outcome: 'failed', reason: 'EACCES' });
      writeFileSync(other.file('mine'), 'content');
      chownSync(other.file('mine'), 12_345, 12_345);
      await stamped(stamp('mine'));
      writeFileSync(other.file('readable'), 'content', { mode: 0o644 });
      const before = fingerprintOf(other.file('readable'));
      const stat = { ...before };
      const expected = { outcome: 'unstorable', stat, etag: md5('content'), bytes: 7, reason: 'EACCES' };
      assert.equal(await stamp('readable'), expected);
      assert.equal(fingerprintOf(other.file('readable')), before);
      assert.match(await etagOf(other, 'readable'), synthetic);
    } finally {
      await other.close();
    }
  });

  const mounted = async (options: { sidecars: boolean }, work: (other: StampBench, mount: string) => Promise<void>) => {
    const mount = tempDir();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=755', 'tidegate-test', mount]);
    try {
      const other = await openStamping({ ...options, root: join(mount, 'root') });
      try {
        await work(other, mount);
      } finally {
        await other.close();
      }
    } finally {
      execFileSync('umount', ['-l', mount]);
    }
  };

  test('a disk that is full: the digest is known, the file as it was', () =>
    mounted({ sidecars: true }, async (other, mount) => {
      writeFileSync(other.file('x'), 'content');
      await stamped(other.stamp('x'));
      writeFileSync(other.file('y'), 'content y');
      try {
        writeFileSync(join(mount, 'filler'), Buffer.alloc(4 * MIB));
      } catch {
        // ENOSPC, as it shall be.
      }
      const result = await other.stamp('y');
      if (result.outcome !== 'unstorable') throw new Error(JSON.stringify(result, bigints));
      assert.equal([result.reason, result.etag], ['ENOSPC', md5('content y')]);
      assert.match(await etagOf(other, 'y'), synthetic);
      assert.is(await etagOf(other, 'x'), md5('content'));
      rmSync(join(mount, 'filler'));
      await stamped(other.stamp('y'));
      assert.is(await etagOf(other, 'y'), md5('content y'));
    }));

  test('a filesystem that is mounted read-only', () =>
    mounted({ sidecars: false }, async (other, mount) => {
      writeFileSync(other.file('x'), 'content');
      execFileSync('mount', ['-o', 'remount,ro', mount]);
      const result = await other.stamp('x');
      execFileSync('mount', ['-o', 'remount,rw', mount]);
      if (result.outcome !== 'unstorable') throw new Error(JSON.stringify(result, bigints));
      assert.equal([result.reason, result.etag], ['EROFS', md5('content')]);
    }));
}

test('killed at any moment: every file is stamped or it is not', async () => {
  const root = tempDir();
  const first = await openStamping({ root });
  const bytes = (i: number) => noise(1 + ((i * 7919) % 300_000), i);
  for (let i = 0; i < 150; i++) writeFileSync(first.file(`f${i}`), bytes(i));
  try {
    let complete = 0;
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'hash-child.js'), root, '150'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let begun = false;
      child.stdout.on('data', () => {
        begun = true;
      });
      await until('the child', 20_000, () => (begun || child.exitCode !== null ? true : undefined));
      await pause(round * 5);
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      complete = 0;
      for (let i = 0; i < 150; i++) {
        const etag = await etagOf(first, `f${i}`);
        if (!synthetic.test(etag)) complete++;
        assert.ok(synthetic.test(etag) || etag === md5(bytes(i)), `f${i}: ${etag}`);
        assert.is(statSync(first.file(`f${i}`)).size, bytes(i).length);
      }
      if (complete === 150) break;
    }
    assert.ok(complete > 0);
    for (let i = 0; i < 150; i++) {
      await stamped(first.stamp(`f${i}`));
      assert.is(await etagOf(first, `f${i}`), md5(bytes(i)));
    }
  } finally {
    await first.close();
  }
});

test.run();
