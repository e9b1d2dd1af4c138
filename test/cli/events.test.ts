// timeout: 180
/** `tidegate webhook …` and `tidegate events …` over a real root. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPosixStorage } from '../../gateway/storage/posix/index.js';
import { openFeed } from '../../sync/feed.js';
import { NOTIFICATION, packNotifications } from '../../sync/notification.js';
import { feedDirectory, syncDirectory } from '../../sync/places.js';
import { createDeliveries } from '../../sync/webhook.js';
import { me } from '../storage/posix/store.js';
import { runHere } from '../support/cli.js';
import { runCommand } from '../support/commands.js';
import { tempDir } from '../support/temp.js';
import { until, withTimeout } from '../support/time.js';
import { event, events } from '../sync/changes.js';
import { startReceiver } from '../sync/receiver.js';

const test = suite('cli/events');
const root = tempDir();
const storage = await createPosixStorage({ root, workers: 1, durability: 'none' });
const bucket = await storage.createBucket({ name: 'results', owner: 'anna' }, me);
const directory = syncDirectory(root, bucket);
const feed = openFeed(feedDirectory(directory));
const hook = await startReceiver();
test.after(async () => {
  await hook.die();
  await storage.close();
  feed.close();
});

const tidegate = (...args: string[]) => runHere([...args, '--root', root]);
const good = async (...args: string[]) => {
  const ran = await tidegate(...args);
  assert.is(ran.code, 0, ran.stderr);
  return ran.stdout;
};
const bad = async (code: number, message: string, ...args: string[]) => {
  const ran = await tidegate(...args);
  assert.is(ran.code, code, ran.stdout + ran.stderr);
  assert.match(ran.stderr, message);
};

test('webhooks are registered; their secrets lie sealed', async () => {
  await good('webhook', 'create', 'ingest', '--url', hook.url, '--secret', 'S3CRET');
  await good('webhook', 'create', 'plain', '--url', 'https://example.invalid/x?y=1');
  const list = JSON.parse(await good('webhook', 'list', '--json'));
  assert.equal(
    list.map(({ name, url, signed }: Record<string, unknown>) => [name, url, signed]),
    [
      ['ingest', hook.url, true],
      ['plain', 'https://example.invalid/x?y=1', false],
    ],
  );
  const file = readFileSync(join(root, '.tidegate/webhooks/ingest.json'), 'utf8');
  for (const text of [file, await good('webhook', 'show', 'ingest'), await good('webhook', 'list')]) {
    assert.not.match(text, 'S3CRET');
  }
  await bad(1, 'already', 'webhook', 'create', 'ingest', '--url', hook.url);
  for (const url of ['ftp://x/', 'nowhere', 'http://user:pass@host/', 'http://host/#x', '']) {
    await bad(2, 'is no address of a webhook', 'webhook', 'create', 'other', '--url', url);
  }
  await bad(2, 'a name has', 'webhook', 'create', '../x', '--url', hook.url);
  await bad(2, '--secret must not be empty', 'webhook', 'create', 'other', '--url', hook.url, '--secret', '');
  await bad(1, 'there is no webhook nobody', 'webhook', 'show', 'nobody');
});

test('a webhook is tried, with its signature', async () => {
  assert.match(await good('webhook', 'test', 'ingest'), 'has taken the test message');
  assert.is(hook.taken.at(-1)?.body.Event, 's3:TestEvent');
  assert.match(String(hook.taken.at(-1)?.headers['x-tidegate-signature']), /^sha256=[0-9a-f]{64}$/);
  hook.behave(301, 1);
  await bad(1, 'it answered 301, and redirects are not followed', 'webhook', 'test', 'ingest');
});

test('one that buckets send to is not deleted', async () => {
  const configuration = {
    id: 'all',
    kind: 'Topic' as const,
    arn: 'arn:aws:sns:us-east-1:0:ingest',
    events: ['s3:ObjectCreated:*' as const],
    prefix: '',
    suffix: '',
    since: 0,
  };
  await storage.putConfig(bucket, NOTIFICATION, packNotifications([configuration]));
  assert.equal(JSON.parse(await good('webhook', 'show', 'ingest', '--json')).buckets, ['results']);
  await bad(1, 'buckets send to ingest: results', 'webhook', 'delete', 'ingest');
  await good('webhook', 'delete', 'plain');
  await good('webhook', 'delete', 'ingest', '--force');
  assert.equal(JSON.parse(await good('webhook', 'list', '--json')), []);
});

test('events follow: lines, JSON, from a number, with what was dropped', async () => {
  feed.append([
    event(5, { key: 'a b\u001b[31m', time: Date.UTC(2026, 0, 1), size: 12 }),
    event(6, { door: 'filesystem', renamedFrom: 'old', key: 'new' }),
    ...events(7, 9),
  ]);
  const oldest = await good('events', 'follow', '-b', 'results', '--from', 'oldest', '--limit', '2');
  const [first, second, ...none] = oldest.split('\n');
  assert.is(first, '5  2026-01-01T00:00:00.000Z  s3  ObjectCreated:Put  12  a b\\x1b[31m');
  assert.match(second ?? '', /^6 .* filesystem .* {2}new {2}\(was old\)$/);
  assert.equal(none, ['']);
  const lines = (await good('events', 'follow', '-b', 'results', '--from', '2', '--limit', '4', '--json'))
    .trim()
    .split('\n');
  const documents = lines.map((line) => JSON.parse(line));
  assert.equal([documents[0].Event, documents[0].From, documents[0].To], ['tidegate:EventsDropped', 3, 4]);
  assert.equal(
    documents.slice(1).map(({ tidegate }) => tidegate.seq),
    [5, 6, 7, 8],
  );
  assert.is(documents[1].eventSource, 'aws:s3');
  await bad(2, '--from takes a whole number, now or oldest', 'events', 'follow', '-b', 'results', '--from', 'x');
  await bad(2, '--limit takes a whole number', 'events', 'follow', '-b', 'results', '--limit', '-1');
  await bad(1, 'there is no bucket nothing', 'events', 'follow', '-b', 'nothing');
});

test('events follow waits for what comes', async () => {
  const args = ['events', 'follow', '-b', 'results', '--limit', '3', '--root', root];
  const running = runCommand('tidegate', args);
  const timer = setInterval(() => feed.append([event(feed.newest() + 1)]), 100);
  const ran = await withTimeout('following', 30_000, running).finally(() => clearInterval(timer));
  assert.is(ran.code, 0, ran.stderr);
  const seqs = ran.stdout
    .trim()
    .split('\n')
    .map((line) => Number.parseInt(line, 10));
  assert.is(seqs.length, 3);
  assert.ok(seqs[0]! > 9, 'from now on');
  assert.equal(seqs, [seqs[0]!, seqs[0]! + 1, seqs[0]! + 2]);
});

test('events status: how far webhooks are, and their troubles', async () => {
  const deliveries = createDeliveries({
    directory,
    region: 'us-east-1',
    bucket: () => storage.bucket('results'),
    destination: async () => ({ url: hook.url }),
    log: { warn: () => {} },
    minPauseMs: 20,
    maxPauseMs: 50,
  });
  const status = async () => JSON.parse(await good('events', 'status', '-b', 'results', '--json'));
  const newest = feed.newest();
  await until('all is taken', 10_000, () => (hook.seqs().at(-1) === newest ? true : undefined));
  hook.behave(500);
  feed.append(events(newest + 1, newest + 4));
  deliveries.wake();
  const failing = await until('the trouble is told', 10_000, async () => {
    const { deliveries: [one] = [] } = await status();
    return one?.failing ? one : undefined;
  });
  await deliveries.stop();
  assert.equal([failing.id, failing.webhook, failing.seq, failing.lag], ['all', 'ingest', newest, 4]);
  assert.match(failing.failing.message, 'it answered 500');
  const text = await good('events', 'status', '-b', 'results');
  assert.match(text, `oldest event 5, newest ${newest + 4}`);
  assert.match(text, /it answered 500 \(\d+ times since/);
});

test('events follow ends when the bucket does', async () => {
  const brief = await storage.createBucket({ name: 'brief', owner: 'anna' }, me);
  const running = tidegate('events', 'follow', '-b', 'brief');
  setTimeout(() => void storage.deleteBucket({ bucket: brief, actor: me }), 1000);
  const ran = await withTimeout('ending', 20_000, running);
  assert.is(ran.code, 1);
  assert.match(ran.stderr, 'bucket brief was deleted');
});

test.run();
