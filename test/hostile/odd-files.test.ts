// timeout: 240
/** Files as jobs leave them lying about, by mistake or on purpose: one of them must not spoil the rest of its bucket. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HeadObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runHere } from '../support/cli.js';
import { createKey } from '../support/gateway.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { openTwoDoors, type TwoDoors, told } from '../support/two-doors.js';

const test = suite('hostile: odd files');
const listed = async ({ client, bucket: Bucket }: TwoDoors) =>
  (await client.send(new ListObjectsV2Command({ Bucket }))).Contents?.map(({ Key }) => Key);

for (const [where, root, time] of [
  ['ext4', tempDir, '2400-01-01T00:00:00Z'],
  ['tmpfs, which keeps any time', () => mkdtempSync('/dev/shm/tidegate-'), '@9000000000000'],
] as const) {
  test(`a file that says it is of the far future or past: ${where}`, async () => {
    const path = root();
    const world = await openTwoDoors({ root: path });
    try {
      const { client, bucket: Bucket } = world;
      for (const key of ['a', 'far', 'past', 'z']) world.write(key, key);
      execFileSync('touch', ['-d', time, world.file('far')]);
      execFileSync('touch', ['-d', '1066-10-14T00:00:00Z', world.file('past')]);
      const { State, Errors } = await world.sync();
      assert.equal([State, Errors], ['done', '0']);
      assert.equal(await listed(world), ['a', 'far', 'past', 'z']);
      const events = await world.eventsAfter(4);
      assert.equal(
        events.map(told).sort(),
        ['a', 'far', 'past', 'z'].map((key) => `filesystem Created:Put ${key}`),
      );
      for (const Key of ['far', 'past']) {
        const { LastModified } = await client.send(new HeadObjectCommand({ Bucket, Key }));
        assert.ok(Number.isFinite(LastModified?.getTime()), Key);
      }
      // Both are beyond what 64 bits of nanoseconds hold, and the ctime tells all the same.
      execFileSync('touch', ['-d', time, '-r', world.file('far'), world.file('far')]);
      writeFileSync(world.file('far'), 'FAR');
      execFileSync('touch', ['-d', time, world.file('far')]);
      assert.equal((await world.sync()).Errors, '0');
      assert.is(world.state().totals?.bytes, 'a'.length + 'FAR'.length + 'past'.length + 'z'.length);
    } finally {
      await world.end();
      rmSync(path, { recursive: true, force: true });
    }
  });
}

const user = 60_101;

test('a directory that may be listed and not entered: nothing in it is gone, and nothing else waits for it', async () => {
  if (process.getuid?.() !== 0) return;
  const root = tempDir();
  chmodSync(root, 0o755);
  const key = await createKey(root, 'test', ['--fsuid', `${user}:${user}`]);
  const world = await openTwoDoors({ root, key });
  const write = (name: string) => {
    world.write(name, name);
    chownSync(world.file(name), user, user);
  };
  try {
    for (const name of ['a/x', 'a/y', 'z']) write(name);
    chownSync(world.file('a'), user, user);
    await world.sync();
    for (const mode of [0o444, 0o000, 0o111]) {
      chmodSync(world.file('a'), mode);
      write(`after-${mode.toString(8)}`);
      const { State, Added, Deleted, Message } = await world.sync();
      assert.equal([State, Added, Deleted], ['done', '1', '0'], mode.toString(8));
      assert.match(Message ?? '', 'a/: the owner of the bucket may not read this directory');
      // By the watcher alone, in a directory beside it.
      write(`b/after-${mode.toString(8)}`);
      const name = `filesystem Created:Put b/after-${mode.toString(8)}`;
      await until(name, 5_000, () => world.events().map(told).includes(name) || undefined);
    }
    chmodSync(world.file('a'), 0o755);
    // What a terminal would take for an order, or for a line of the command's own.
    const evil = 'evil\x1b[2J\nall is well';
    mkdirSync(world.file(evil), { mode: 0 });
    const { code, stderr } = await runHere(['sync', '-b', world.bucket, '--root', root]);
    assert.is(code, 1);
    assert.match(stderr, 'evil\\x1b[2J\\x0aall is well');
    assert.not.ok(stderr.includes('\x1b') || stderr.includes('\nall is well'), stderr);
    rmSync(world.file(evil), { recursive: true });
    assert.equal((await world.sync()).Deleted, '0');
    const events = world.events().map(told);
    assert.is(events.length, 9);
    assert.equal(new Set(events).size, 9, 'each once');
    rmSync(world.file('a'), { recursive: true });
    assert.equal((await world.eventsAfter(11)).slice(9).map(told).sort(), [
      'filesystem Removed:Delete a/x',
      'filesystem Removed:Delete a/y',
    ]);
  } finally {
    await world.end();
  }
});

test('a filesystem within a bucket that is not mounted any more has not lost its files', async () => {
  if (process.getuid?.() !== 0) return;
  const world = await openTwoDoors();
  const at = world.file('d/mnt');
  const held = tempDir();
  for (const name of ['a', 'b/c', 'b/e']) {
    mkdirSync(join(held, 'b'), { recursive: true });
    writeFileSync(join(held, name), name);
  }
  const mount = (): void => {
    execFileSync('mount', ['--bind', held, at]);
  };
  try {
    mkdirSync(at, { recursive: true });
    world.write('beside', 'x');
    mount();
    await world.sync();
    const created = world.events().map(told).sort();
    assert.equal(
      created,
      ['beside', 'd/mnt/a', 'd/mnt/b/c', 'd/mnt/b/e'].map((key) => `filesystem Created:Put ${key}`),
    );
    execFileSync('umount', [at]);
    rmSync(world.file('beside'));
    assert.equal(await listed(world), undefined);
    await world.restart('stop');
    const { State, Deleted, Message } = await world.sync();
    assert.is(State, 'done');
    assert.ok(Number(Deleted) <= 1, 'the one beside it, unless the first scan was quicker');
    assert.match(Message ?? '', 'the filesystem that was mounted at');
    assert.equal((await world.eventsAfter(5)).slice(4).map(told), ['filesystem Removed:Delete beside']);
    assert.is(world.state().totals?.objects, 3);

    mount();
    await world.sync();
    assert.is(world.events().length, 5, 'and when it is back, nothing has happened');
    execFileSync('umount', [at]);
    const forGood = await world.sync({ query: '&prefix=d/mnt/' });
    assert.equal([forGood['State'], forGood['Deleted']], ['done', '3']);
    assert.is((await world.eventsAfter(8)).length, 8);
  } finally {
    try {
      execFileSync('umount', [at], { stdio: 'ignore' });
    } catch {
      // It is not mounted, as it should be.
    }
    await world.end();
  }
});

test.run();
