// timeout: 300
/** What nobody could watch: an overflow, a gateway that is down, a bucket's directory that is not there, a disk that is full. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isRoot } from '../support/people.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { md5, openTwoDoors, type TwoDoors, told, worldsOf } from '../support/two-doors.js';

const test = suite('two worlds: away');

const openWorld = worldsOf(test);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** From the last change to the last event; measured is far less. */
const BOUND_MS = 20_000;

const queueLimit = '/proc/sys/fs/inotify/max_queued_events';
const canOverflow = (() => {
  try {
    const now = readFileSync(queueLimit, 'utf8');
    writeFileSync(queueLimit, now);
    return isRoot;
  } catch {
    return false;
  }
})();

(canOverflow ? test : test.skip)('an overflow of the watcher loses nothing, and repeats nothing', async () => {
  const before = readFileSync(queueLimit, 'utf8');
  const restore = () => writeFileSync(queueLimit, before);
  // It is a setting of the whole machine: given back however this process ends, short of a kill.
  process.once('exit', restore);
  // The limit is that of when the queue was made.
  writeFileSync(queueLimit, '16');
  let world: TwoDoors;
  try {
    world = await openWorld();
  } finally {
    restore();
    process.off('exit', restore);
  }
  for (let i = 0; i < 2000; i++) world.write(`d${i % 20}/${i}`, `${i}`);
  for (let i = 0; i < 2000; i += 10) rmSync(world.file(`d${i % 20}/${i}`));
  const wrong = () => {
    const keys = new Map(world.events().map(({ key, etag }) => [key, etag]));
    return Array.from({ length: 2000 }, (_, i) => `d${i % 20}/${i}`).filter((key, i) =>
      i % 10 ? keys.get(key) !== md5(`${i}`) : keys.get(key) !== undefined,
    );
  };
  await until('all is told', 2 * BOUND_MS, () => wrong().length === 0 || undefined).catch((error) => {
    throw new Error(`${error}: ${wrong().slice(0, 5)}`);
  });
  await pause(1500);
  const events = world.events().map(told);
  assert.is(new Set(events).size, events.length, 'each once');
  await until('the overflow is told', 5_000, () => /changes were missed/.test(world.gateway.output()) || undefined);
});

test('changes while the gateway is down: the last state of each, once', async () => {
  const world = await openWorld();
  for (let i = 0; i < 60; i++) {
    if (i % 2) world.write(`d/${i}`, `${i}`);
    else await world.put(`d/${i}`, `${i}`);
  }
  await world.eventsAfter(60);
  await world.restart('kill9', () => {
    for (let i = 0; i < 60; i += 3) rmSync(world.file(`d/${i}`));
    for (let i = 1; i < 60; i += 3) {
      appendFileSync(world.file(`d/${i}`), '!');
      appendFileSync(world.file(`d/${i}`), '!');
    }
    renameSync(world.file('d'), world.file('e'));
    for (let i = 0; i < 5; i++) world.write(`new/${i}`, 'new');
  });
  const begun = performance.now();
  await world.eventsAfter(60 + 60 + 40 + 5);
  assert.ok(performance.now() - begun < BOUND_MS);
  await pause(1500);
  const events = world.events().slice(60);
  assert.is(events.length, 105);
  const etags = new Map(events.map(({ key, etag }) => [key, etag]));
  assert.is(etags.get('e/1'), md5('1!!'));
  assert.is(etags.get('e/2'), md5('2'));
  assert.is(events.filter(({ renamedFrom }) => renamedFrom !== undefined).length, 20, 'what was only renamed');
});

test('a directory that came by S3 and went before anybody had looked at it', async () => {
  const world = await openWorld({ flags: ['--sync-watch', 'off'] });
  for (let i = 0; i < 3; i++) {
    await world.put(`new${i}/below/object`, 'content');
    await world.eventsAfter(2 * i + 1);
    rmSync(world.file(`new${i}`), { recursive: true });
    await world.restart('kill9');
    await world.eventsAfter(2 * i + 2);
    assert.is(told(world.events()[2 * i + 1]!), `filesystem Removed:Delete new${i}/below/object`);
  }
});

test('another directory in the place of the bucket: nothing is taken for deleted until somebody says so', async () => {
  const world = await openWorld();
  for (let i = 0; i < 20; i++) world.write(`d${i % 3}/${i}`, `${i}`);
  await world.put('s3', 'object');
  await world.eventsAfter(21);
  const path = join(world.file('.'), '.');
  const { uid, gid, mode } = statSync(path);
  // As when its filesystem is not mounted.
  renameSync(path, `${path}.away`);
  mkdirSync(path, { mode: mode & 0o7777 });
  execFileSync('chown', [`${uid}:${gid}`, path]);
  await pause(1500);
  await world.restart('stop');
  await world.scanned();
  const run = await world.sync({ ops: 'WRITE,UPDATE' });
  assert.is(run['State'], 'done');
  await pause(1500);
  assert.is(world.events().length, 21, 'nothing was told');
  rmSync(path, { recursive: true });
  renameSync(`${path}.away`, path);
  await world.restart('stop', () => world.write('late', 'late'));
  await world.eventsAfter(22);
  await pause(1000);
  assert.equal(world.events().slice(21).map(told), ['filesystem Created:Put late']);

  renameSync(path, `${path}.away`);
  mkdirSync(path, { mode: mode & 0o7777 });
  execFileSync('chown', [`${uid}:${gid}`, path]);
  const deletion = await world.sync();
  assert.equal([deletion['State'], deletion['Deleted']], ['done', '22']);
  assert.is(world.events().length, 44);
});

test('a write through one of two names of a file is told of both', async () => {
  const world = await openWorld();
  world.write('a/one', 'first');
  mkdirSync(world.file('b'));
  linkSync(world.file('a/one'), world.file('b/two'));
  await world.eventsAfter(2);
  await pause(500);
  appendFileSync(world.file('a/one'), '!');
  const events = await world.eventsAfter(4);
  assert.equal(events.slice(2).map(told).sort(), ['filesystem Created:Put a/one', 'filesystem Created:Put b/two']);
  assert.equal([events[2]!.etag, events[3]!.etag], [md5('first!'), md5('first!')]);
});

test('a file that is written for long is told once it rests, and keeps nobody waiting', async () => {
  const world = await openWorld();
  const files = Array.from({ length: 30 }, (_, i) => openSync(world.file(`log${i}`), 'w'));
  for (let round = 0; round < 12; round++) {
    for (const fd of files) writeSync(fd, `line ${round}\n`);
    await pause(300);
    world.write(`done/${round}`, `${round}`);
  }
  await until('the others', 10_000, () => world.events().length >= 12 || undefined);
  assert.is(world.events().filter(({ key }) => key.startsWith('log')).length, 0, 'still open for writing');
  const { closeSync } = await import('node:fs');
  for (const fd of files) closeSync(fd);
  await world.eventsAfter(42);
  await pause(1500);
  assert.is(world.events().length, 42);
});

test('a bucket that is deleted and made anew while it is synced begins a feed of its own', async () => {
  const world = await openWorld();
  const { client, bucket: Bucket } = world;
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 40; i++) world.write(`f${i}`, `${round} ${i}`);
    await pause(round * 200);
    for (let i = 0; i < 40; i++) rmSync(world.file(`f${i}`));
    await client.send(new s3.DeleteBucketCommand({ Bucket }));
    await client.send(new s3.CreateBucketCommand({ Bucket }));
  }
  const sync = join(world.gateway.root, '.tidegate/sync');
  await until('only the new one', 15_000, () => readdirSync(sync).length === 1 || undefined);
  world.write('last', 'last');
  await until('its event', 15_000, () => world.events().some(({ key }) => key === 'last') || undefined);
  assert.equal(world.events().map(told), ['filesystem Created:Put last']);
  assert.is(world.events()[0]!.seq, 1);
});

test('a bucket that is being deleted, its directory first, its document a moment later: nobody is alarmed', async () => {
  const world = await openWorld();
  const { client, gateway } = world;
  const area = join(gateway.root, '.tidegate');
  const names = ['gone-1', 'gone-2', 'gone-3'];
  for (const Bucket of names) await client.send(new s3.CreateBucketCommand({ Bucket }));
  await until('they are led', 15_000, () => {
    const led = readdirSync(join(area, 'sync')).filter((name) => existsSync(join(area, 'sync', name, 'catalog.mdb')));
    return names.every((name) => led.some((each) => each.startsWith(`${name}.`))) || undefined;
  });
  for (const name of names) {
    const directory = gateway.bucketPath(name);
    mkdirSync(join(directory, 'd'));
    writeFileSync(join(directory, 'd/of-a-job'), 'content');
    rmSync(directory, { recursive: true });
    await pause(300);
    rmSync(join(area, 'buckets', `${name}.json`));
  }
  await pause(3000);
  const alarms = gateway.output().match(/^.*"level":"(warn|error)".*gone-.*$/gm);
  assert.equal(alarms, null);
  world.write('after', 'content');
  await world.eventsAfter(1);
});

test('what is kept for the engine is removed while it runs: it begins anew, without a storm', async () => {
  const world = await openWorld();
  for (let i = 0; i < 20; i++) world.write(`f${i}`, `${i}`);
  await world.eventsAfter(20);
  rmSync(join(world.gateway.root, '.tidegate/sync'), { recursive: true });
  await until('it is there again', 15_000, () => {
    try {
      return world.events().length === 0 || undefined;
    } catch {
      return undefined;
    }
  });
  await until('it works', 20_000, async () => {
    world.write('fresh', `${Math.random()}`);
    await pause(500);
    return world.events().length > 0 || undefined;
  });
  await world.put('object', 'content');
  await until('S3 is heard', 20_000, () => world.events().some(({ key }) => key === 'object') || undefined);
  assert.equal([...new Set(world.events().map(({ key }) => key))].sort(), ['fresh', 'object']);
});

test('a damaged catalog is made again', async () => {
  const world = await openWorld();
  for (let i = 0; i < 200; i++) world.write(`d${i % 9}/${i}`, `${i}`);
  await world.eventsAfter(200);
  await world.restart('stop', () => {
    const sync = join(world.gateway.root, '.tidegate/sync');
    const path = join(sync, readdirSync(sync)[0]!, 'catalog.mdb');
    const bytes = readFileSync(path);
    // Its pages behind the two that say what the file is.
    bytes.fill(0xa5, 2 * 4096);
    writeFileSync(path, bytes);
  });
  // What is written before it has begun anew is taken up without a word.
  await until('it goes on', 60_000, async () => {
    world.write('after', `${Math.random()}`);
    await pause(500);
    return world.events().some(({ key }) => key === 'after') || undefined;
  });
  await until('the counts', 20_000, () => world.state().totals?.objects === 201 || undefined);
  await pause(1000);
  assert.equal(
    world.events().filter(({ key }, i) => i >= 200 && key !== 'after'),
    [],
    'no storm',
  );
});

const mount = (size: string): string => {
  const at = tempDir('tidegate-full-');
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'tmpfs', at], { stdio: 'ignore' });
  return at;
};
(isRoot ? test : test.skip)(
  'a full disk: what could not be written down is told when there is room again',
  async () => {
    const full = mount('48m');
    try {
      await fillUp(full);
    } finally {
      execFileSync('umount', ['-l', full]);
    }
  },
);

async function fillUp(full: string): Promise<void> {
  const world = await openTwoDoors({ root: full });
  try {
    for (let i = 0; i < 50; i++) world.write(`before/${i}`, `${i}`);
    await world.eventsAfter(50);
    try {
      for (let i = 0; ; i++) writeFileSync(join(full, `ballast${i}`), Buffer.alloc(1 << 20));
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
    execFileSync('sh', ['-c', `cat /dev/zero > ${full}/ballast || true`], { stdio: 'ignore' });
    for (let i = 0; i < 50; i++) renameSync(world.file(`before/${i}`), world.file(`before/moved${i}`));
    for (let i = 0; i < 10; i++) await world.put(`put${i}`, 'x'.repeat(5000)).catch(() => {});
    await pause(3000);
    for (const name of readdirSync(full)) if (name.startsWith('ballast')) rmSync(join(full, name));
    await until('all is told', 40_000, () => {
      const keys = new Set<string>();
      for (const { name, key } of world.events()) {
        if (name === 'ObjectRemoved:Delete') keys.delete(key);
        else keys.add(key);
      }
      return (keys.has('before/moved49') && !keys.has('before/0') && keys.size >= 50) || undefined;
    });
    await pause(1500);
    const names = world.events().map(told);
    assert.is(new Set(names).size, names.length, 'each once');
    assert.equal(
      world.events().map(({ seq }) => seq),
      names.map((_, i) => i + 1),
    );
  } finally {
    await world.end();
  }
}

test.run();
