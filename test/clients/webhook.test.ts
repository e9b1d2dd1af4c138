// timeout: 180
/** Events of a real gateway at a real webhook: configured through S3, from both doors, past deaths of all who take part. */
import { createHmac } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { command } from '../support/gateway.js';
import { until } from '../support/time.js';
import { openTwoDoors, type TwoDoors } from '../support/two-doors.js';
import { type Receiver, startReceiver } from '../sync/receiver.js';

const test = suite('webhooks of a gateway');

let world: TwoDoors;
let hook: Receiver;
test.before(async () => {
  world = await openTwoDoors();
  hook = await startReceiver();
  const { client, bucket: Bucket, gateway } = world;
  await command('tidegate', ['webhook', 'create', 'ingest', '--url', hook.url, '--secret', 'S3CRET'], gateway.root);
  await client.send(
    new s3.PutBucketNotificationConfigurationCommand({
      Bucket,
      NotificationConfiguration: {
        TopicConfigurations: [
          {
            Id: 'all',
            TopicArn: 'arn:aws:sns:us-east-1:0:ingest',
            Events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:*'],
          },
        ],
      },
    }),
  );
  await until(
    'the test event',
    10_000,
    () => hook.taken.some(({ body }) => body.Event === 's3:TestEvent') || undefined,
  );
});
test.after(async () => {
  await world?.end();
  await hook?.die();
});

const range = (to: number) => Array.from({ length: to }, (_, i) => i + 1);
/** All that was told has arrived, each number once and in order. */
const arrived = async (count: number): Promise<void> => {
  await world.eventsAfter(count);
  await until(`${count} events at the webhook`, 20_000, () => (hook.seqs().length >= count ? true : undefined));
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(hook.seqs(), range(count));
};
const feedDescriptors = (): string[] => {
  const of = `/proc/${world.gateway.pid}/fd`;
  return readdirSync(of)
    .map((fd) => {
      try {
        return readlinkSync(join(of, fd));
      } catch {
        return '';
      }
    })
    .filter((path) => path.includes('/feed/'));
};

test('what S3 clients and jobs do arrives, signed', async () => {
  await world.put('up/load', 'through S3');
  world.write('run/out.nc', 'by a job');
  await arrived(2);
  const { headers, text } = hook.taken.at(-1)!;
  const hmac = createHmac('sha256', 'S3CRET').update(`${headers['x-tidegate-timestamp']}.${text}`).digest('hex');
  assert.is(headers['x-tidegate-signature'], `sha256=${hmac}`);
});

test('a dead webhook, and a gateway that is killed meanwhile: nothing is lost', async () => {
  await hook.die();
  world.write('while/dead', '1');
  await world.eventsAfter(3);
  await world.restart('kill9', () => world.write('while/killed', '2'));
  await world.eventsAfter(4);
  await hook.revive();
  await arrived(4);
});

test('a bucket that cannot be led for a while: nothing is left open by the attempts, and nothing is sent twice', async () => {
  const sync = join(world.gateway.root, '.tidegate/sync');
  const [name] = readdirSync(sync).filter((each) => !each.startsWith('.'));
  const catalog = join(sync, name!, 'catalog.mdb');
  await world.restart('stop', () => {
    renameSync(catalog, `${catalog}.away`);
    mkdirSync(catalog);
    world.write('while/away', '3');
  });
  await until('attempts', 10_000, () => world.gateway.output().includes('cannot be led') || undefined);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  assert.ok(feedDescriptors().length <= 1, `${feedDescriptors().length} descriptors of the feed`);
  assert.is(world.gateway.output().split('cannot be led').length, 2, 'told once');
  rmSync(catalog, { recursive: true });
  renameSync(`${catalog}.away`, catalog);
  await arrived(5);
  appendFileSync(world.file('while/away'), '!');
  await arrived(6);
});

test.run();
