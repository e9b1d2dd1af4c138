// timeout: 300
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ChangelogState } from '../../sync/changelog.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { type Context, clearedAll, converged, hub, shown, started } from './changelog-hub.js';
import { lustre, MDT0, MDT1 } from './lustre.js';
import { mirror } from './mirror.js';
import { random } from './random-tree.js';

const test = suite<Context>('changelog');
test.before.each((context) => {
  context.fs = lustre();
  context.fs.mkdir('s3');
  context.fs.mkdir('s3/b');
  context.running = [];
  context.stop = [];
  context.logged = [];
});
test.after.each(async ({ running, stop }) => {
  for (const each of stop) each();
  for (const each of running) await each.stop();
});

test('names come, go and move; the records are cleared when everything is settled', async (context) => {
  const { fs } = context;
  const store: { state?: ChangelogState } = {};
  const seen = await started(hub(context, store), fs);
  fs.mkdir('s3/b/d');
  fs.write('s3/b/d/a file', '1');
  fs.write('s3/b/d/\xff\xfe\n2', '1');
  fs.symlink('/etc', 's3/b/l');
  fs.link('s3/b/d/a file', 's3/b/hard');
  fs.mkdir('s3/b/d/e');
  fs.write('s3/b/d/e/x', '');
  await converged(seen);
  await clearedAll(fs);
  assert.is(store.state!.mdts[MDT0]!.next, fs.last() + 1);
  seen.clear();
  fs.rename('s3/b/d', 's3/b/D');
  await clearedAll(fs);
  seen.clear();
  fs.write('s3/b/D/e/new', '2');
  fs.write('s3/b/D/a file', 'written under both its names');
  await converged(seen);
  await clearedAll(fs);
  assert.ok(shown(seen).includes('D/e/|new'), shown(seen).join());
  assert.ok(shown(seen).includes('|hard'), shown(seen).join());
  seen.clear();
  fs.mkdir('elsewhere');
  fs.rename('s3/b/D/e', 'elsewhere/e');
  fs.write('elsewhere/e/unseen', '');
  fs.unlink('s3/b/hard');
  fs.rmdir('s3/b/D');
  fs.write('s3/b/.tidegate', 'never');
  fs.write('s3/beside', '');
  await clearedAll(fs);
  await converged(seen);
  assert.not(
    shown(seen).some((hint) => /unseen|tidegate|beside/.test(hint)),
    shown(seen).join(),
  );
  assert.equal(seen.losses, []);
});

test('every kind of change of a file leads to it; opening and reading does not', async (context) => {
  const { fs } = context;
  const seen = await started(hub(context, {}), fs);
  fs.mkdir('s3/b/d');
  fs.write('s3/b/d/f', '1');
  await clearedAll(fs);
  for (const type of 'CLOSE LYOUT TRUNC SATTR XATTR HSM MTIME CTIME FLRW RESYNC'.split(' ')) {
    seen.clear();
    fs.record(type, fs.fid('s3/b/d/f'), type === 'XATTR' ? ' ef=0xf u=0:0 nid=0@lo x=user.tidegate' : '');
    await clearedAll(fs);
    assert.equal(shown(seen), ['d/|f'], type);
  }
  seen.clear();
  for (const type of ['OPEN', 'NOPEN', 'ATIME', 'GXATR']) fs.record(type, fs.fid('s3/b/d/f'));
  // Gone, all of it: no error, and no hint.
  fs.record('CLOSE', '[0x200000400:0xffffffff:0x0]');
  fs.record('UNLNK', '[0x200000400:0xfffffffe:0x0]', ' p=[0x200000400:0xfffffffd:0x0] x');
  await clearedAll(fs);
  assert.equal(shown(seen), []);
  fs.record('MARK', '[0x10001:0x0:0x0]', ' p=[0:0x0:0x0] mdd_obd-test-MDT0000-0');
  await clearedAll(fs);
  assert.match(seen.losses[0]!.why, /switched/);
});

test('nothing is cleared before its hints and all earlier ones are settled', async (context) => {
  const { fs } = context;
  const waiting: (() => void)[] = [];
  const names: string[] = [];
  const store = {};
  const made = hub(context, store);
  await made.source(join(fs.mount, 's3/b')).start({
    hint({ name, settled }) {
      names.push(name!);
      waiting.push(settled!);
    },
    lost: (_dir, _why, settled) => settled?.(),
  });
  const before = fs.last();
  fs.write('s3/b/one', '');
  await until('the first', 20_000, () => (names.includes('one') ? true : undefined));
  fs.write('s3/b/two', '');
  await until('the second', 20_000, () => (names.includes('two') ? true : undefined));
  const settleAll = (name: string) => {
    for (const [i, each] of names.entries()) if (each === name) waiting[i]!();
  };
  settleAll('two');
  settleAll('two');
  await sleep(500);
  assert.ok(fs.cleared() <= before + 1, `${fs.cleared()}`);
  settleAll('one');
  await clearedAll(fs);
});

test('a reader that is killed: the next one begins where all was durable, and nothing is lost', async (context) => {
  const { fs, stop } = context;
  const stateFile = join(tempDir(), 'state.json');
  const bucket = join(fs.mount, 's3/b');
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'changelog-child.js'), fs.mount, bucket, stateFile],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  stop.push(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await until('it runs', 20_000, () => (said.includes('started') ? true : undefined));
  const seen = mirror(bucket);
  // Those that begin with `s` it settles, the others never.
  fs.write('s3/b/s1', '');
  await until('the settled are cleared', 20_000, () => (fs.cleared() === fs.last() ? true : undefined));
  const durable = fs.last();
  fs.write('s3/b/x1', '');
  fs.write('s3/b/x2', '');
  await until('it has read them', 20_000, () => (said.includes('x2') ? true : undefined));
  child.kill('SIGKILL');
  fs.write('s3/b/x3', '');
  assert.is(fs.cleared(), durable);
  const store = { state: JSON.parse(readFileSync(stateFile, 'utf8')) as ChangelogState };
  assert.is(store.state.mdts[MDT0]!.next, durable + 1);
  await hub(context, store).source(bucket).start(seen);
  await clearedAll(fs);
  assert.equal(shown(seen), ['|x1', '|x2', '|x3']);
  assert.equal(seen.losses, []);
});

test('records that somebody else has cleared are told as lost; a batch of them or a few', async (context) => {
  const { fs } = context;
  const seen = await started(hub(context, {}), fs);
  fs.write('s3/b/a', '');
  await clearedAll(fs);
  for (const [i, count] of [3, 5_000].entries()) {
    fs.skip(count);
    fs.write(`s3/b/after${i}`, '');
    await clearedAll(fs);
    assert.is(seen.losses.length, i + 1);
    assert.match(seen.losses.at(-1)!.why, /^records \d+ to \d+ of test-MDT0000 were cleared by somebody else$/);
  }
  assert.equal(seen.differences(), []);
});

test('the numbers begin anew: told as lost, and read from the beginning', async (context) => {
  const { fs } = context;
  const store: { state?: ChangelogState } = {
    state: { mdts: { [MDT0]: { next: 90_000, time: '2020.01.01 00:00:00.1' } }, buckets: {} },
  };
  const seen = await started(hub(context, store), fs);
  await until('lost', 20_000, () => seen.losses.find(({ why }) => /begun anew/.test(why)));
  fs.write('s3/b/a', '');
  await clearedAll(fs);
  assert.ok(shown(seen).includes('|a'));
  assert.is(store.state!.mdts[MDT0]!.next, fs.last() + 1);
});

test('after a new beginning nothing is cleared that is not settled', async (context) => {
  const { fs } = context;
  const store = { state: { mdts: { [MDT0]: { next: 90_000, time: '2020.01.01 00:00:00.1' } }, buckets: {} } };
  let hints = 0;
  const sink = { hint: () => hints++, lost: (_dir: string, _why: string, settled?: () => void) => settled?.() };
  fs.write('s3/b/a', '');
  await hub(context, store).source(join(fs.mount, 's3/b')).start(sink);
  await until('a hint', 20_000, () => (hints > 0 ? true : undefined));
  await sleep(300);
  // To Lustre, record 0 means the newest.
  assert.is(fs.cleared(), 0);
});

test('names that look like records clear nothing and hide nothing', async (context) => {
  const { fs } = context;
  const store: { state?: ChangelogState } = {};
  const seen = await started(hub(context, store), fs);
  await clearedAll(fs);
  const forged = (index: number) =>
    `x\n${index} 01CREAT 1:1:1.1 2024.08.20 0x0 t=[0x1:0x1:0x0]`.replace('1:1:1.1', '01:01:01.1');
  // Beyond the end, of numbers that are yet to come, and in the middle of a batch.
  for (const jump of [1, 2, 5, 900]) {
    fs.record('CREAT', '[0x200000400:0xfffffff0:0x0]', ` p=${fs.fid('s3/b')} ${forged(fs.last() + 1 + jump)}`);
    await clearedAll(fs);
    assert.is(store.state!.mdts[MDT0]!.next, fs.last() + 1, `${jump}`);
  }
  for (const jump of [1, 3, 900, -2]) {
    fs.record('CREAT', '[0x200000400:0xfffffff0:0x0]', ` p=${fs.fid('s3/b')} ${forged(fs.last() + 1 + jump)}`);
    fs.write(`s3/b/after${jump}`, '');
  }
  await converged(seen);
  await clearedAll(fs);
  assert.equal(seen.losses, []);
});

test('several MDTs: a tree renamed on one is found again for the records of the other', async (context) => {
  const { fs } = context;
  fs.mkdir('s3/c');
  const made = hub(context, {}, { users: { [MDT0]: 'cl1', [MDT1]: 'cl1' } });
  const [b, c] = [await started(made, fs), await started(made, fs, 's3/c')];
  fs.mkdir('s3/b/t', MDT0);
  fs.mkdir('s3/b/t/u', MDT1);
  fs.write('s3/b/t/u/f', '1', MDT1);
  await converged(b);
  fs.rename('s3/b/t', 's3/c/t', MDT0);
  fs.write('s3/c/t/u/f', '22', MDT1);
  fs.write('s3/c/t/u/g', '1', MDT1);
  await converged(b);
  await converged(c);
  await clearedAll(fs, MDT0);
  await clearedAll(fs, MDT1);
  assert.equal([...b.losses, ...c.losses], []);
  // A directory above the buckets.
  fs.rename('s3', 's4');
  await until('lost', 20_000, () => (b.losses.length === 1 && c.losses.length === 1 ? true : undefined));
});

test('lfs that fails, ends half-way, hangs or is old: tried again, said once, nothing lost', async (context) => {
  const { fs, logged } = context;
  const made = hub(context, {}, { timeoutMs: 1_500 });
  const seen = await started(made, fs);
  await clearedAll(fs);
  for (const mode of ['fail', 'cut', 'hang'] as const) {
    logged.length = 0;
    fs.mode(mode);
    fs.write(`s3/b/${mode}`, '');
    await until(`${mode} is said`, 20_000, () => (logged.length > 0 ? true : undefined));
    await sleep(300);
    // Reading and clearing, each once.
    const said = logged.map((line) => line.split(':')[0]);
    assert.is(new Set(said).size, said.length, logged.join('\n'));
    assert.match(
      logged[0]!,
      {
        fail: /exit code 19.*No such device/,
        cut: /exit code 5.*Input\/output error/,
        hang: /not finished after 1500 ms/,
      }[mode],
    );
    fs.mode('');
    await converged(seen);
    await clearedAll(fs);
    await until('it is read again', 20_000, () => logged.find((line) => line.includes('read again')));
  }
  fs.mode('old');
  fs.mkdir('s3/b/p');
  fs.mkdir('s3/b/q');
  fs.write('s3/b/p/1', '');
  fs.write('s3/b/q/1', '');
  await converged(seen);
  await clearedAll(fs);
  assert.equal(seen.losses, []);
});

test('a missing lfs and an unknown changelog user are said', async (context) => {
  const { fs, logged } = context;
  await started(hub(context, {}, { command: ['/nonexistent/lfs'] }), fs);
  await until('said', 20_000, () => logged.find((line) => /cannot be read.*ENOENT/.test(line)));
  const seen = await started(hub(context, {}, { users: { [MDT0]: 'cl7' } }), fs);
  fs.write('s3/b/x', '');
  await converged(seen);
  await until('said', 20_000, () => logged.find((line) => /cannot be cleared.*no changelog user: cl7/.test(line)));
  assert.is(fs.cleared(), 0);
});

test('a bucket that nobody led, or that was stopped with open hints, is owed a look at everything', async (context) => {
  const { fs } = context;
  fs.mkdir('s3/c');
  const store: { state?: ChangelogState } = {};
  const made = hub(context, store);
  const c = await started(made, fs, 's3/c');
  const source = made.source(join(fs.mount, 's3/b'));
  let hints = 0;
  await source.start({ hint: () => hints++, lost: () => {} });
  fs.write('s3/b/open', '');
  await until('a hint', 20_000, () => (hints > 0 ? true : undefined));
  await source.stop();
  // The other bucket is not held up by it.
  fs.write('s3/c/x', '');
  await converged(c);
  await clearedAll(fs);
  assert.is(store.state!.buckets[join(fs.mount, 's3/b')], 'owed');
  const b = await started(made, fs);
  assert.equal(b.losses, [{ dir: '', why: 'changes came while this was not watched' }]);
  await until('paid', 20_000, () => store.state!.buckets[join(fs.mount, 's3/b')] === 'served' || undefined);
  await made.stop();
  // After a restart only one is led.
  const again = hub(context, store);
  const c2 = await started(again, fs, 's3/c');
  fs.write('s3/b/meanwhile', '');
  fs.write('s3/c/y', '');
  await converged(c2);
  await clearedAll(fs);
  assert.is(store.state!.buckets[join(fs.mount, 's3/b')], 'owed');
  assert.is((await started(again, fs)).losses.length, 1);
});

test('random changes of trees on two MDTs, with a reader that is replaced now and then', async (context) => {
  const { fs } = context;
  const next = random(7);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)]!;
  const name = () => `${pick(['a', 'b b', 'c\nc', '\xe3\x81', "d'"])}${pick(['', '1'])}`;
  const mdt = () => pick([MDT0, MDT1]);
  const seen = mirror(join(fs.mount, 's3/b'));
  const store: { state?: ChangelogState } = {};
  const dirs = (): string[] => [
    '',
    ...[...now.known].filter(([, what]) => what === 'directory').map(([path]) => `/${path}`),
  ];
  const files = (): string[] =>
    [...now.known].filter(([, what]) => what.startsWith('file')).map(([path]) => `/${path}`);
  let now = mirror(join(fs.mount, 's3/b'));
  for (let round = 0; round < 5; round++) {
    const made = hub(context, store, { users: { [MDT0]: 'cl1', [MDT1]: 'cl1' }, batch: 37 });
    await made.source(join(fs.mount, 's3/b')).start(seen);
    for (let i = 0; i < 60; i++) {
      now = mirror(join(fs.mount, 's3/b'));
      const target = `s3/b${pick(dirs())}/${name()}`;
      const dice = next();
      try {
        if (dice < 0.3) fs.mkdir(target, mdt());
        else if (dice < 0.6) fs.write(target, String(next()), mdt());
        else if (dice < 0.85) fs.rename(`s3/b${pick(dirs().slice(1))}`, target, mdt());
        else if (dice < 0.93) fs.rename(`s3/b${pick(files())}`, target, mdt());
        else fs.unlink(`s3/b${pick(files())}`);
      } catch {
        // A directory into itself, a file onto a directory: no change, no record.
      }
      if (i % 20 === 0) await sleep(60);
    }
    if (round < 4) await made.stop();
  }
  await converged(seen, 60_000);
  await clearedAll(fs, MDT0);
  await clearedAll(fs, MDT1);
  assert.equal(seen.losses, []);
});

test('a directory that is not below the mount is refused', async (context) => {
  const source = hub(context, {}).source('/elsewhere/b');
  try {
    await source.start({ hint: () => {}, lost: () => {} });
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /is not below/);
  }
});

test.run();
