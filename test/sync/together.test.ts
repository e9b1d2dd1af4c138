/**
 * From a request to a webhook, with the smallest of leaders in between: as `inbox-reader.ts`, `feed.ts` and `webhook.ts`
 * say that they are put together.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import { openFeed } from '../../sync/feed.js';
import { createRecorder } from '../../sync/inbox.js';
import { drain, forget, type Positions } from '../../sync/inbox-reader.js';
import { feedDirectory, inboxDirectory, syncDirectory } from '../../sync/places.js';
import { createDeliveries } from '../../sync/webhook.js';
import { createWebhooks } from '../../sync/webhooks.js';
import { startStage } from '../http/stage.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { startReceiver } from './receiver.js';

const test = suite('sync/together');

test('a bucket’s uploads and deletions arrive as S3’s messages', async () => {
  const root = tempDir();
  const storage = createMemoryStorage();
  const sealer = { seal: (_: string, secret: string) => secret, open: (_: string, sealed: string) => sealed };
  const webhooks = createWebhooks(storage.documents, sealer);
  const hook = await startReceiver();
  await webhooks.create({ name: 'ingest', url: hook.url, secret: 'S3CRET' });

  let lead = () => {};
  const recorder = createRecorder({ root, onRecorded: () => lead() });
  const stage = await startStage({ storage, changes: recorder });
  await stage.send('/bkt', { method: 'PUT' });
  const bucket = (await storage.bucket('bkt'))!;
  const directory = syncDirectory(root, bucket);
  const feed = openFeed(feedDirectory(directory));
  const deliveries = createDeliveries({
    directory,
    region: 'us-east-1',
    bucket: () => storage.bucket('bkt'),
    destination: webhooks.destination,
    log: { warn: (details, message) => assert.unreachable(`${message} ${JSON.stringify(details)}`) },
    pollMs: 20,
  });
  let positions: Positions = {};
  lead = () => {
    const inbox = inboxDirectory(directory);
    const drained = drain(inbox, positions);
    let seq = feed.newest();
    feed.append(drained.changes.map((change) => ({ ...change, door: 's3', seq: ++seq })));
    ({ positions } = drained);
    forget(inbox, positions);
    deliveries.wake();
  };

  const body =
    '<NotificationConfiguration><TopicConfiguration><Id>i</Id><Topic>arn:aws:sns:us-east-1:0:ingest</Topic>' +
    '<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></TopicConfiguration></NotificationConfiguration>';
  assert.is((await stage.send('/bkt?notification', { method: 'PUT', body })).status, 200);
  const put = await stage.send('/bkt/a%20b', { method: 'PUT', body: 'hello' });
  await stage.send('/bkt/a%20b', { method: 'DELETE' });
  const records = await until('two events', 10_000, () => {
    const found = hook.taken.flatMap(({ body: { Records = [] } }) => Records as Record<string, unknown>[]);
    return found.length >= 2 ? found : undefined;
  });
  assert.equal(
    records.map(({ eventName }) => eventName),
    ['ObjectCreated:Put', 'ObjectRemoved:Delete'],
  );
  const [first] = records;
  assert.equal(first!['responseElements'], {
    'x-amz-request-id': put.headers['x-amz-request-id'],
    'x-amz-id-2': '',
  });
  const { sequencer: _, ...object } = (first!['s3'] as { object: Record<string, unknown> }).object;
  assert.equal(object, { key: 'a+b', size: 5, eTag: '5d41402abc4b2a76b9719d911017c592' });
  assert.match(String(hook.taken.at(-1)?.headers['x-tidegate-signature']), 'sha256=');
  await deliveries.stop();
  await stage.close();
  await recorder.close();
  await hook.die();
  feed.close();
});

test.run();
