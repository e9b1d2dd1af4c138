// timeout: 240
import { type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Source } from '../../sync/types.js';
import { createWatcher } from '../../sync/watch.js';
import { tempDir } from '../support/temp.js';
import { until, withTimeout } from '../support/time.js';
import { type Mirror, mirror } from './mirror.js';
import { randomTree } from './random-tree.js';

const test = suite<{ stop: (() => void | Promise<void>)[] }>('watch');
test.before.each((context) => {
  context.stop = [];
});
test.after.each(async ({ stop }) => {
  for (const each of stop) await each();
});

const quick = { debounceMs: 20, modifyMs: 100, checkMs: 200 };

/** Files that the test makes only to hear of them. */
const MARK = '.mark-';

interface Watching extends Mirror {
  root: string;
}

/** What is told of a directory, but for marks. */
function listening(root: string): Watching {
  const seen = Object.assign(mirror(root), { root });
  const { hint } = seen;
  seen.hint = (told) => {
    hint(told);
    if (told.name?.startsWith(MARK)) seen.hints.pop();
  };
  return seen;
}

/** A watched directory and what is known of it. */
async function watching(stop: Source['stop'][], root = tempDir(), options = quick): Promise<Watching> {
  const seen = listening(root);
  const source = createWatcher(options).source(root);
  await withTimeout('start', 30_000, source.start(seen));
  stop.push(() => source.stop());
  return seen;
}

/** Waits until everything is known. */
const converged = (seen: Mirror) =>
  until('all changes are known', 30_000, () => (seen.differences().length === 0 ? true : undefined)).catch((error) => {
    throw new Error(`${error.message}; differing: ${seen.differences().slice(0, 10).join(' | ')}`);
  });

/**
 * Waits until all is told of what was done until now. A tree may be known before its last hint comes (an earlier hint is
 * followed by a look at what stands there by then), so nothing else may have come for half a second in which the watcher was
 * at work: it has told of marks meanwhile.
 */
async function told(seen: Watching): Promise<void> {
  for (let marks = 0, before = -1; marks < 5; ) {
    await converged(seen);
    marks = before === seen.hints.length ? marks + 1 : 0;
    before = seen.hints.length;
    await sleep(100);
    writeFileSync(join(seen.root, `${MARK}${marks}`), `${performance.now()}`);
  }
  await converged(seen);
}

/** Forgets the hints of what was done until now. */
async function forget(seen: Watching): Promise<void> {
  await told(seen);
  seen.clear();
}

const shown = (seen: Mirror): string[] =>
  seen.hints.map(({ dir, name, deep }) => `${dir}|${name ?? '*'}${deep ? ' deep' : ''}`).sort();
/** What was written to in two steps between which another had the processor is told of twice. */
const places = (seen: Mirror): string[] => [...new Set(shown(seen))];

test('what is done to files is told by directory and name, each once', async ({ stop }) => {
  const root = tempDir();
  mkdirSync(join(root, 'a/b'), { recursive: true });
  for (const name of ['old', 'gone', 'mode', 'time', 'grown', 'linked']) writeFileSync(join(root, 'a/b', name), 'x');
  // All that follows is done before any of it is told.
  const seen = await watching(stop, root, { ...quick, debounceMs: 1_000, modifyMs: 1_000 });
  const at = (name: string) => join(root, 'a/b', name);
  writeFileSync(at('new'), 'x');
  renameSync(at('old'), join(root, 'renamed'));
  unlinkSync(at('gone'));
  chmodSync(at('mode'), 0o600);
  utimesSync(at('time'), 1, 1);
  appendFileSync(at('grown'), 'more');
  linkSync(at('linked'), join(root, 'a/link'));
  writeFileSync(Buffer.concat([Buffer.from(`${root}/a/`), Buffer.from([0xff, 0xfe, 0x0a])]), '');
  writeFileSync(join(root, 'ファイル'), '');
  await told(seen);
  const name = Buffer.from('ファイル').toString('latin1');
  assert.equal(
    shown(seen),
    [
      ...['gone', 'grown', 'mode', 'new', 'old', 'time'].map((name) => `a/b/|${name}`),
      'a/|link',
      'a/|\xff\xfe\n',
      '|renamed',
      `|${name}`,
    ].sort(),
  );
  assert.equal(seen.losses, []);
});

test('.tidegate is neither watched nor told of; what comes out of it is; links are not followed', async ({ stop }) => {
  const root = tempDir();
  const elsewhere = tempDir();
  mkdirSync(join(root, '.tidegate/staging'), { recursive: true });
  mkdirSync(join(root, 'd/.tidegate'), { recursive: true });
  symlinkSync(elsewhere, join(root, 'link'));
  const seen = await watching(stop, root);
  writeFileSync(join(root, '.tidegate/staging/x'), '');
  writeFileSync(join(root, '.tidegate/y'), '');
  writeFileSync(join(root, 'd/.tidegate/z'), '');
  rmSync(join(root, 'd/.tidegate'), { recursive: true });
  mkdirSync(join(root, 'd/.tidegate'));
  writeFileSync(join(root, 'd/.tidegate/z'), '');
  writeFileSync(join(elsewhere, 'far'), '');
  symlinkSync(elsewhere, join(root, 'later'));
  writeFileSync(join(elsewhere, 'far2'), '');
  renameSync(join(root, '.tidegate/staging/x'), join(root, 'd/x'));
  await told(seen);
  assert.equal(shown(seen), ['d/|x', '|later']);
});

test('mkdir -p and files at once: nothing is lost', async ({ stop }) => {
  const seen = await watching(stop);
  for (let i = 0; i < 300; i++) {
    const dir = join(seen.root, `r${i}`, 'a', 'b', 'c');
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'x'), String(i));
    if (i % 10 === 0) await sleep(1);
  }
  await converged(seen);
  assert.equal(seen.losses, []);
  await forget(seen);
  appendFileSync(join(seen.root, 'r7/a/b/c/x'), 'later');
  await converged(seen);
  assert.equal(places(seen), ['r7/a/b/c/|x']);
});

test('a renamed tree is told in its old and new place, and goes on under its new name', async ({ stop }) => {
  const root = tempDir();
  mkdirSync(join(root, 'a/b/c'), { recursive: true });
  mkdirSync(join(root, 'z'));
  writeFileSync(join(root, 'a/b/c/f'), '1');
  const seen = await watching(stop, root);
  renameSync(join(root, 'a'), join(root, 'z/moved'));
  await told(seen);
  assert.equal(shown(seen), ['z/|moved deep', '|a deep']);
  seen.clear();
  writeFileSync(join(root, 'z/moved/b/c/f'), '22');
  await told(seen);
  assert.equal(places(seen), ['z/moved/b/c/|f']);
  seen.clear();
  // A name that is used again at once stands for another directory.
  renameSync(join(root, 'z/moved/b'), join(root, 'b'));
  mkdirSync(join(root, 'z/moved/b'));
  writeFileSync(join(root, 'z/moved/b/new'), '');
  writeFileSync(join(root, 'b/c/g'), '');
  await forget(seen);
  writeFileSync(join(root, 'b/c/h'), '');
  writeFileSync(join(root, 'z/moved/b/new'), '3');
  await converged(seen);
  assert.equal(places(seen), ['b/c/|h', 'z/moved/b/|new']);
});

test('moved out: told as gone and watched no more; moved in: told and watched', async ({ stop }) => {
  const root = tempDir();
  const outside = tempDir();
  mkdirSync(join(root, 'a/b'), { recursive: true });
  mkdirSync(join(outside, 'in/deep'), { recursive: true });
  writeFileSync(join(outside, 'in/deep/f'), '');
  const seen = await watching(stop, root);
  renameSync(join(root, 'a'), join(outside, 'a'));
  renameSync(join(outside, 'in'), join(root, 'in'));
  await told(seen);
  assert.equal(shown(seen), ['|a deep', '|in deep']);
  await sleep(1_500);
  await forget(seen);
  writeFileSync(join(outside, 'a/b/x'), '');
  writeFileSync(join(root, 'in/deep/g'), '');
  await told(seen);
  assert.equal(places(seen), ['in/deep/|g']);
});

test('removed and made again under the same name, many times', async ({ stop }) => {
  const seen = await watching(stop);
  const dir = join(seen.root, 'd');
  for (let i = 0; i < 200; i++) {
    mkdirSync(join(dir, 'e'), { recursive: true });
    writeFileSync(join(dir, 'e/f'), String(i));
    rmSync(dir, { recursive: true });
  }
  mkdirSync(join(dir, 'e'), { recursive: true });
  await forget(seen);
  writeFileSync(join(dir, 'e/last'), '');
  await converged(seen);
  assert.equal(places(seen), ['d/e/|last']);
});

test('each name of many in a directory is told once; a storm of writes is told now and then', async ({ stop }) => {
  const root = tempDir();
  writeFileSync(join(root, 'log'), '');
  const seen = await watching(stop, root, { ...quick, debounceMs: 1_000, modifyMs: 1_000 });
  for (let i = 0; i < 500; i++) writeFileSync(join(root, `n${i}`), '');
  await converged(seen);
  // A directory as a whole costs a look at each of its entries, and there may be a million.
  const names = seen.hints.map(({ dir, name }) => `${dir}|${name}`);
  assert.equal(names.sort(), Array.from({ length: 500 }, (_, i) => `|n${i}`).sort());
  await forget(seen);
  const fd = openSync(join(root, 'log'), 'a');
  for (let i = 0; i < 20_000; i++) writeSync(fd, 'line\n');
  await converged(seen);
  assert.ok(seen.hints.length <= 20, `${seen.hints.length} hints`);
  assert.ok(seen.hints.every(({ name }) => name === 'log'));
  closeSync(fd);
  assert.equal(seen.losses, []);
});

test('two buckets, one inside the other, share a watcher; stopping one leaves the other', async ({ stop }) => {
  const outer = tempDir();
  const inner = join(outer, 'x/inner');
  mkdirSync(join(inner, 'd'), { recursive: true });
  const watcher = createWatcher(quick);
  const [a, b] = [listening(outer), listening(inner)];
  const [sourceA, sourceB] = [watcher.source(outer), watcher.source(inner)];
  await Promise.all([sourceA.start(a), sourceB.start(b)]);
  stop.push(() => sourceB.stop());
  writeFileSync(join(inner, 'd/f'), '');
  await told(a);
  await told(b);
  assert.equal(places(a), ['x/inner/d/|f']);
  assert.equal(places(b), ['d/|f']);
  await sourceA.stop();
  a.clear();
  b.clear();
  writeFileSync(join(inner, 'd/g'), '');
  await told(b);
  assert.equal(places(b), ['d/|g']);
  assert.equal(shown(a), []);
});

test("the bucket's own directory moved away, removed, put back: told as lost, and watched again", async ({ stop }) => {
  const above = tempDir();
  const root = join(above, 'p/bucket');
  mkdirSync(join(root, 'd'), { recursive: true });
  const seen = await watching(stop, root);
  const lost = (why: RegExp) =>
    until(`lost: ${why}`, 30_000, () => (seen.losses.some((loss) => why.test(loss.why)) ? true : undefined));
  renameSync(root, join(above, 'elsewhere'));
  // Or it is found out at the next check, if that comes before the event is read.
  await lost(/was moved|another directory/);
  renameSync(join(above, 'elsewhere'), root);
  await lost(/come back/);
  writeFileSync(join(root, 'd/f'), '');
  await forget(seen);
  // Without an event of its own: a directory above is renamed.
  renameSync(join(above, 'p'), join(above, 'q'));
  mkdirSync(join(root, 'other'), { recursive: true });
  await lost(/another directory/);
  await lost(/come back/);
  writeFileSync(join(root, 'other/g'), '');
  await forget(seen);
  rmSync(root, { recursive: true });
  await lost(/removed|another directory/);
  await sleep(700);
  assert.is(seen.losses.length, 1);
});

const seeds = [1, 2, 3, 4];
for (const seed of seeds) {
  test(`random operations, seed ${seed}: what was told leads to the very tree`, async ({ stop }) => {
    const root = tempDir();
    const outside = tempDir();
    const tree = randomTree(root, outside, seed);
    for (let i = 0; i < 300; i++) tree.step();
    const seen = await watching(stop, root);
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 300; i++) tree.step();
      if (round % 3 === 0) await sleep(30);
    }
    // Everything is watched under its present name.
    await forget(seen);
    for (const dir of tree.directories()) writeFileSync(join(dir, 'probe'), String(seed));
    await converged(seen);
    assert.ok(
      seen.hints.every(({ deep, name }) => !deep && (name === 'probe' || name === undefined)),
      shown(seen).join(),
    );
    assert.equal(seen.losses, []);
  });
}

const knob = '/proc/sys/fs/inotify/max_queued_events';
const asRoot = process.getuid?.() === 0 ? test : test.skip;

/** An instance takes the limit when it is made. */
async function watchingWithQueueOf(events: number, stop: Source['stop'][], root: string): Promise<Mirror> {
  const before = readFileSync(knob, 'latin1');
  try {
    writeFileSync(knob, String(events));
    return await watching(stop, root);
  } finally {
    writeFileSync(knob, before);
  }
}

asRoot('an overflowed queue is told, and directories that came up in it are watched', async ({ stop }) => {
  const root = tempDir();
  const seen = await watchingWithQueueOf(16, stop, root);
  let made = 0;
  await until('an overflow', 20_000, () => {
    for (let i = 0; i < 200; i++, made++) mkdirSync(join(root, `m${made}/n`), { recursive: true });
    return seen.losses.find(({ why }) => /overflow/.test(why));
  });
  await converged(seen);
  await sleep(300);
  for (let i = 0; i < made; i += 97) {
    writeFileSync(join(root, `m${i}/n/probe`), '');
    await sleep(5);
  }
  await converged(seen);
});

for (const seed of seeds) {
  asRoot(
    `random operations in a queue that overflows, seed ${seed}: what was told leads to the very tree`,
    async ({ stop }) => {
      const root = tempDir();
      const tree = randomTree(root, tempDir(), seed);
      const seen = await watchingWithQueueOf(16, stop, root);
      for (let round = 0; round < 40; round++) {
        for (let i = 0; i < 40; i++) tree.step();
        if (round % 3 === 0) await sleep(20);
      }
      await converged(seen);
      assert.ok(seen.losses.length > 0);
      await sleep(100);
      for (const dir of tree.directories()) {
        writeFileSync(join(dir, 'probe'), String(seed));
        await sleep(2);
      }
      await converged(seen);
    },
  );
}

/** The watcher in a process of its own, perhaps another user's: its lines as they come. */
async function child(stop: (() => void)[], root: string, command: string[], options: SpawnOptions = {}) {
  const [program, ...rest] = [...command, process.execPath, join(import.meta.dirname, 'watch-child.js'), root];
  const process_ = spawn(program!, rest, { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  stop.push(() => process_.stdin!.destroy());
  const lines: string[] = [];
  createInterface(process_.stdout!).on('line', (line) => lines.push(line));
  const said = (what: RegExp) => until(`${what}`, 30_000, () => lines.find((line) => what.test(line)));
  await said(/^ready/);
  return { lines, said };
}

const nobody = { uid: 65_534, gid: 65_534, cwd: '/' };
const nobodyCan = process.getuid?.() === 0 && spawnSync('test', ['-r', import.meta.filename], nobody).status === 0;

(nobodyCan ? test : test.skip)('an ordinary user: what cannot be read is left out, until it can', async ({ stop }) => {
  const root = tempDir();
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'closed/d'), { recursive: true });
  mkdirSync(join(root, 'open'));
  chmodSync(join(root, 'closed'), 0o700);
  const { lines, said } = await child(stop, root, [], nobody);
  writeFileSync(join(root, 'closed/d/f'), '');
  writeFileSync(join(root, 'open/f'), '');
  await said(/^open\/\|f/);
  assert.equal([...new Set(lines.slice(1))], ['open/|f']);
  chmodSync(join(root, 'closed'), 0o755);
  await said(/^\|closed deep/);
  writeFileSync(join(root, 'closed/d/g'), '');
  await said(/^closed\/d\/\|g/);
  assert.not(lines.some((line) => line.startsWith('lost')));
});

// In a user namespace of its own the limit is nobody else's.
const few = ['unshare', '-Ur', 'sh', '-c', 'echo 5 > /proc/sys/user/max_inotify_watches && exec "$@"', 'sh'];
const namespaces = spawnSync(few[0]!, [...few.slice(1), 'true']).status === 0;

(namespaces ? test : test.skip)('too few watches: said once, by name; the rest goes on', async ({ stop }) => {
  const root = tempDir();
  for (let i = 0; i < 20; i++) mkdirSync(join(root, `d${i}`));
  const { lines, said } = await child(stop, root, few);
  assert.match(await said(/^lost/), /^lost \| fs\.inotify\.max_user_watches \(\d+\) is reached/);
  writeFileSync(join(root, 'f'), '');
  await said(/^\|f/);
  mkdirSync(join(root, 'another'));
  await said(/^\|another deep/);
  assert.is(lines.filter((line) => line.startsWith('lost')).length, 1);
});

test.run();
