// timeout: 180
/** Deliveries to real servers that fail, hang, die and come back. */
import { fork } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Bucket } from '../../gateway/storage/types.js';
import { deliveryStates } from '../../sync/delivery-state.js';
import { type Feed, type FeedOptions, openFeed } from '../../sync/feed.js';
import { NOTIFICATION, type Notification, packNotifications } from '../../sync/notification.js';
import { feedDirectory } from '../../sync/places.js';
import { createDeliveries, type Deliveries, type DeliveriesOptions } from '../../sync/webhook.js';
import { createSender, type Destination } from '../../sync/webhooks.js';
import { tempDir } from '../support/temp.js';
import { until, withTimeout } from '../support/time.js';
import { event, events } from './changes.js';
import { childBucket } from './deliver-bucket.js';
import { type Received, type Receiver, startReceiver } from './receiver.js';

const test = suite('sync/webhook');
const receivers: Receiver[] = [];
const receiver = async () => {
  const made = await startReceiver();
  receivers.push(made);
  return made;
};
const running: Deliveries[] = [];
test.after.each(async () => {
  // A test that failed must not keep the process alive.
  for (const each of running.splice(0)) await each.stop();
  for (const each of receivers.splice(0)) await each.die().catch(() => {});
});

const notification = (id: string, more: Partial<Notification> = {}): Notification => ({
  id,
  kind: 'Topic',
  arn: `arn:aws:sns:us-east-1:0:${id}`,
  events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:*'],
  prefix: '',
  suffix: '',
  since: 0,
  ...more,
});

/** A bucket that is led here; webhooks are called as their configuration. */
function lead(configurations: Notification[], hooks: Record<string, Destination>, feedOptions: FeedOptions = {}) {
  const directory = tempDir();
  const warnings: string[] = [];
  const world = {
    directory,
    hooks,
    warnings,
    feed: openFeed(feedDirectory(directory), { durable: false, ...feedOptions }) as Feed,
    configure(list: Notification[]) {
      const text = packNotifications(list);
      bucket.config = text === undefined ? {} : { [NOTIFICATION]: text };
    },
    start(options: Partial<DeliveriesOptions> = {}): Deliveries {
      const deliveries = createDeliveries({
        directory,
        region: 'us-east-1',
        bucket: async () => structuredClone(bucket),
        destination: async (name) => hooks[name],
        log: { warn: (_, message) => warnings.push(message) },
        pollMs: 30,
        minPauseMs: 20,
        maxPauseMs: 100,
        timeoutMs: 300,
        ...options,
      });
      running.push(deliveries);
      return deliveries;
    },
    state: (id: string) => deliveryStates(directory).find((each) => each.id === id),
  };
  const bucket: Bucket = {
    name: 'results',
    owner: 'anna',
    path: '/x',
    created: '2026-01-01T00:00:00.000Z',
    config: {},
  };
  world.configure(configurations);
  return world;
}
const taken = (hook: Receiver, count: number) =>
  until(`${count} events taken`, 10_000, () => (hook.seqs().length >= count ? hook.seqs() : undefined));
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const messages = (hook: Receiver, name: string): Received['body'][] =>
  hook.taken.map(({ body }) => body).filter(({ Event }) => Event === name);

test('events arrive in order, signed, in messages of S3', async () => {
  const hook = await receiver();
  const world = lead([notification('all')], { all: { url: hook.url, secret: 'S3CRET' } });
  world.feed.append(events(1, 250));
  const deliveries = world.start();
  assert.equal(await taken(hook, 250), range(1, 250));
  world.feed.append([event(251, { key: 'a b/が' })]);
  deliveries.wake();
  await taken(hook, 251);
  assert.equal(
    hook.taken.map(({ body }) => body.Records?.length),
    [100, 100, 50, 1],
  );
  const last = hook.taken.at(-1)!;
  assert.is(last.body.Records?.[0]?.s3.object.key, 'a+b/%E3%81%8C');
  assert.is(last.headers['content-type'], 'application/json');
  const timestamp = last.headers['x-tidegate-timestamp'];
  const hmac = createHmac('sha256', 'S3CRET').update(`${timestamp}.${last.text}`).digest('hex');
  assert.is(last.headers['x-tidegate-signature'], `sha256=${hmac}`);
  assert.ok(Math.abs(Number(timestamp) - Date.now() / 1000) < 60);
  await deliveries.stop();
  assert.is(world.state('all')?.seq, 251);
  assert.is(world.state('all')?.delivered, 251);
  // Whoever goes on after that has nothing to repeat.
  const again = world.start();
  await sleep(150);
  await again.stop();
  assert.is(hook.requests, 4);
});

test('filters: by event, prefix and suffix; what is for nobody is passed over', async () => {
  const [made, gone] = [await receiver(), await receiver()];
  const world = lead(
    [
      notification('made', { events: ['s3:ObjectCreated:Copy'], prefix: 'in/', suffix: '.nc' }),
      notification('gone', { events: ['s3:ObjectRemoved:*'] }),
    ],
    { made: { url: made.url }, gone: { url: gone.url } },
  );
  const name = 'ObjectCreated:Copy';
  world.feed.append([
    event(1, { key: 'in/a.nc' }),
    event(2, { key: 'in/b.nc', name }),
    event(3, { key: 'in/b.txt', name }),
    event(4, { key: 'out/b.nc', name }),
    event(5, { name: 'ObjectRemoved:Delete' }),
    event(6),
  ]);
  const deliveries = world.start();
  await taken(made, 1);
  await taken(gone, 1);
  await until('both are at the end', 5000, () =>
    deliveryStates(world.directory).every(({ seq }) => seq === 6) ? true : undefined,
  );
  await deliveries.stop();
  assert.equal([made.seqs(), gone.seqs()], [[2], [5]]);
  assert.is(made.taken[0]?.headers['x-tidegate-signature'], undefined, 'without a secret nothing is signed');
});

test('a webhook that fails, redirects, hangs, loses its answer: everything, in order, the others meanwhile', async () => {
  const [bad, good] = [await receiver(), await receiver()];
  const world = lead([notification('bad'), notification('good')], {
    bad: { url: bad.url },
    good: { url: good.url },
  });
  bad.behave(500);
  const deliveries = world.start({ batch: 10 });
  world.feed.append(events(1, 100));
  assert.equal(await taken(good, 100), range(1, 100));
  const failing = await until('it is told', 5000, () => world.state('bad')?.failing);
  assert.match(failing.message, 'it answered 500');
  assert.is(bad.taken.length, 0);
  for (const how of [302, 'hang', 403, 'cut'] as const) {
    const { requests } = bad;
    bad.behave(how, 2);
    const before = good.seqs().length;
    const next = world.feed.newest() + 1;
    // Only now: it may have taken all that there was since it answers again.
    world.feed.append(events(next, next + 19));
    await until(`tried against ${how}`, 10_000, () => (bad.requests >= requests + 2 ? true : undefined));
    await taken(good, before + 20);
  }
  const end = world.feed.newest();
  await until('all of it', 10_000, () => (bad.seqs().at(-1) === end ? true : undefined));
  await deliveries.stop();
  const unique = [...new Set(bad.seqs())];
  assert.equal(unique, range(1, end), 'at least once, first arrivals in order');
  assert.ok(bad.seqs().length > end, 'a lost answer is a repetition');
  // A repetition is the same message, and can be told by its id.
  const ids = new Map<string, string>();
  for (const { headers, text } of bad.taken) {
    const id = String(headers['x-tidegate-delivery']);
    assert.is(ids.get(id) ?? text, text);
    ids.set(id, text);
  }
  assert.ok(ids.size < bad.taken.length);
  assert.is(good.seqs().length, end, 'the other has each once');
  assert.is(world.state('bad')?.failing, undefined);
  assert.equal(
    world.warnings.filter((line) => line !== 'webhook failed'),
    [],
  );
});

test('no more than one message under way, and pauses that grow', async () => {
  const hook = await receiver();
  const world = lead([notification('slow')], { slow: { url: hook.url } });
  hook.behave(503);
  world.feed.append(events(1, 10));
  const deliveries = world.start({ minPauseMs: 50, maxPauseMs: 10_000 });
  await sleep(1000);
  // 50, 100, 200, 400, 800 ms, of which half at random.
  assert.ok(hook.requests >= 4 && hook.requests <= 7, `${hook.requests} requests`);
  await withTimeout('stopping in a pause', 500, deliveries.stop());
});

test('it dies, the gateway dies, both come back: nothing is lost', async () => {
  const hook = await receiver();
  const world = lead([notification('all')], { all: { url: hook.url } });
  let deliveries = world.start({ batch: 5 });
  let next = 1;
  for (let round = 0; round < 6; round++) {
    world.feed.append(events(next, (next += 23) - 1));
    deliveries.wake();
    await sleep(round * 9);
    if (round % 2 === 0) await hook.die();
    // Without a word of what is under way: as after a kill, but for the file that is replaced by rename.
    await deliveries.stop();
    deliveries = world.start({ batch: 5 });
    await sleep(30);
    if (round % 2 === 0) await hook.revive();
  }
  await until('everything', 10_000, () => (new Set(hook.seqs()).size === next - 1 ? true : undefined));
  assert.equal([...new Set(hook.seqs())], range(1, next - 1));
  await deliveries.stop();
});

test('what the feed drops while a webhook is dead is told to it', async () => {
  const hook = await receiver();
  const world = lead([notification('all')], { all: { url: hook.url } }, { maxBytes: 10_000, rollBytes: 2000 });
  world.feed.append(events(1, 5));
  const deliveries = world.start();
  await taken(hook, 5);
  await hook.die();
  for (let seq = 6; seq < 500; seq += 10) {
    world.feed.append(events(seq, seq + 9));
    deliveries.wake();
    await sleep(2);
  }
  await hook.revive();
  const end = world.feed.newest();
  await until('the end', 10_000, () => (hook.seqs().at(-1) === end ? true : undefined));
  await deliveries.stop();
  const told = new Set(hook.seqs());
  const dropped = messages(hook, 'tidegate:EventsDropped');
  assert.ok(dropped.length > 0);
  for (const { From, To, Bucket, ConfigurationId } of dropped) {
    assert.equal([Bucket, ConfigurationId], ['results', 'all']);
    for (let seq = From!; seq <= To!; seq++) told.add(seq);
  }
  assert.is(told.size, end, 'each is delivered, or told as dropped');
});

test('the configuration changes while it runs', async () => {
  const [one, two] = [await receiver(), await receiver()];
  const world = lead([], { one: { url: one.url }, two: { url: two.url } });
  world.feed.append(events(1, 10));
  const deliveries = world.start();
  // From the moment on at which it was put.
  world.configure([notification('one', { since: event(6).time })]);
  assert.equal(await taken(one, 5), range(6, 10));
  world.configure([
    notification('one', { since: 0, arn: 'arn:aws:sqs:::two' }),
    notification('late', { arn: 'arn:aws:sns:::x' }),
  ]);
  await until('the other webhook is known', 5000, () => (world.state('one')?.webhook === 'two' ? true : undefined));
  world.feed.append(events(11, 12));
  deliveries.wake();
  assert.equal(await taken(two, 2), [11, 12], 'the same configuration goes on where it was');
  const failing = await until('a webhook that is not there', 5000, () => world.state('late')?.failing);
  assert.is(failing.message, 'there is no webhook x');
  world.hooks['x'] = { url: one.url };
  await until('it is there', 5000, () => (one.seqs().length === 5 + 12 ? true : undefined));
  world.configure([]);
  await until('positions are forgotten', 5000, () =>
    readdirSync(join(world.directory, 'deliveries')).length === 0 ? true : undefined,
  );
  world.feed.append(events(13, 14));
  deliveries.wake();
  await sleep(100);
  await deliveries.stop();
  assert.equal([one.seqs().length, two.seqs().length], [17, 2]);
});

test('a position that cannot be read is begun anew; a configuration that cannot be read is told, once', async () => {
  const hook = await receiver();
  const world = lead([notification('all')], { all: { url: hook.url } });
  world.feed.append(events(1, 3));
  let deliveries = world.start();
  await taken(hook, 3);
  await deliveries.stop();
  const [name] = readdirSync(join(world.directory, 'deliveries'));
  writeFileSync(join(world.directory, 'deliveries', name!), '{"id":');
  deliveries = world.start({
    bucket: async () => {
      throw new Error('the filesystem hangs');
    },
  });
  await sleep(200);
  await deliveries.stop();
  assert.equal(world.warnings, ['the notification configuration cannot be read']);
  deliveries = world.start();
  await taken(hook, 6);
  await deliveries.stop();
});

test('kill -9 of whoever delivers, at any moment', async () => {
  const hook = await receiver();
  const world = lead([], {});
  let next = 1;
  for (let round = 0; round < 6; round++) {
    const path = fileURLToPath(new URL('./deliver-child.js', import.meta.url));
    const child = fork(path, [world.directory, hook.url]);
    const ended = new Promise((resolve) => child.once('close', resolve));
    const before = hook.seqs().length;
    for (let times = 0; times < 5; times++) {
      world.feed.append(events(next, (next += 17) - 1));
      await sleep(7);
    }
    await until('something arrives', 20_000, () => (hook.seqs().length > before ? true : undefined));
    await sleep((round * 3) % 11);
    child.kill('SIGKILL');
    await ended;
  }
  const deliveries = world.start({
    bucket: async () => ({ ...childBucket, config: { ...childBucket.config } }),
    destination: async () => ({ url: hook.url }),
  });
  await until('everything', 10_000, () => (new Set(hook.seqs()).size === next - 1 ? true : undefined));
  await deliveries.stop();
  assert.equal([...new Set(hook.seqs())], range(1, next - 1));
  const repeated = hook.seqs().length - (next - 1);
  assert.ok(repeated <= 6 * 5, `${repeated} repeated: a message for each kill at most`);
});

test('what was dropped before the first delivery is told as well', async () => {
  const hook = await receiver();
  const world = lead([notification('all', { since: event(1).time })], { all: { url: hook.url } });
  world.feed.append(events(41, 45));
  const deliveries = world.start();
  assert.equal(await taken(hook, 5), range(41, 45));
  await deliveries.stop();
  assert.equal(
    messages(hook, 'tidegate:EventsDropped').map(({ From, To }) => [From, To]),
    [[1, 40]],
  );
});

test('a reply without an end does not hold the next message up for longer than the time limit', async () => {
  const server = createServer((incoming, outgoing) => {
    incoming.resume();
    outgoing.writeHead(200);
    const timer = setInterval(() => outgoing.write('x'), 5);
    outgoing.on('close', () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const sender = createSender({ timeoutMs: 200 });
  await withTimeout('sending', 2000, sender.send({ url: `http://127.0.0.1:${port}/` }, { body: {}, id: '1' }));
  sender.close();
  server.closeAllConnections();
  server.close();
});

test('positions are kept as files of the gateway alone', async () => {
  const hook = await receiver();
  const world = lead([notification('a/../b')], { 'a/../b': { url: hook.url } });
  mkdirSync(join(world.directory, 'deliveries'), { mode: 0o700 });
  const deliveries = world.start();
  await until('a state', 5000, () => world.state('a/../b'));
  await deliveries.stop();
  assert.match(readdirSync(join(world.directory, 'deliveries')).join(), /^[0-9a-f]{32}\.json$/);
});

test.run();
