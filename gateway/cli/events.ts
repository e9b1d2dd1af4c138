/** `tidegate events …`: the feed of a bucket, as whoever has the root can read it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { deliveryStates } from '../../sync/delivery-state.js';
import { droppedMessage, eventRecord } from '../../sync/event-message.js';
import { openFeedReader } from '../../sync/feed-reader.js';
import { feedDirectory, syncDirectory } from '../../sync/places.js';
import type { FeedEvent } from '../../sync/types.js';
import { Complaint } from '../complaint.js';
import { type Service, withService } from '../main.js';
import type { Bucket } from '../storage/types.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { printable, table } from './table.js';

interface EventOptions extends CommonOptions {
  bucket?: string;
  from?: string;
  limit?: string;
}

/** Milliseconds between two looks at the feed, and at whether the bucket is still there. */
const pauseMs = 200;
const lookMs = 2000;

export function addEventCommands(parent: Command): void {
  example(
    onBucket(
      parent,
      'follow',
      'print what changes in a bucket, through S3 and on the filesystem, as it happens',
      follow,
    )
      .option('--from <SEQ|now|oldest>', 'behind this number, from now on, or from the oldest that is kept', 'now')
      .option('--limit <N>', 'end after so many events')
      .addHelpText('after', '\nWith --json a line is an event as S3 sends it, without the Records around it.'),
    'tidegate events follow -b results',
    'tidegate events follow -b results --from oldest --json',
    'tidegate events follow -b results --from 1200 --limit 10',
  );
  example(
    onBucket(parent, 'status', 'show the first and last event of a bucket, and how far its webhooks are', status),
    'tidegate events status -b results',
  );
}

function onBucket(
  parent: Command,
  verb: string,
  description: string,
  action: (service: Service, bucket: Bucket, options: EventOptions) => Promise<void>,
): Command {
  return subCommand(parent, verb, description)
    .requiredOption('-b, --bucket <BUCKET>', 'the bucket')
    .action(async (_: unknown, command: Command) => {
      const options: EventOptions = command.optsWithGlobals();
      const name = options.bucket ?? '';
      await withService(options, { make: false }, async (service) => {
        const bucket = await service.storage.bucket(name);
        if (bucket === undefined) throw new Complaint(`there is no bucket ${name}: 'tidegate bucket list' shows them`);
        await action(service, bucket, options);
      });
    });
}

function wholeNumber(flag: string, text: string, words = ''): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Complaint(`${flag} takes a whole number${words}, not ${JSON.stringify(text)}`, 2);
}

async function follow(service: Service, bucket: Bucket, options: EventOptions): Promise<void> {
  const { from = 'now', json = false } = options;
  const { region, root } = service.config;
  const context = { bucket, region };
  const reader = openFeedReader(feedDirectory(syncDirectory(root, bucket)));
  let left = options.limit === undefined ? Number.POSITIVE_INFINITY : wholeNumber('--limit', options.limit);
  let after = from === 'now' ? reader.newest() : from === 'oldest' ? Math.max(0, reader.oldest() - 1) : -1;
  if (after < 0) after = wholeNumber('--from', from, ', now or oldest');
  for (let looked = Date.now(); left > 0; ) {
    const { events, dropped, last } = reader.read(after, Math.min(left, 500));
    if (dropped) {
      const line = json ? JSON.stringify(droppedMessage(context, dropped, Date.now())) : droppedLine(dropped);
      process.stdout.write(`${line}\n`);
    }
    for (const event of events) {
      process.stdout.write(`${json ? JSON.stringify(eventRecord(event, context)) : eventLine(event)}\n`);
    }
    after = last;
    left -= events.length;
    if (events.length > 0) continue;
    await delay(pauseMs);
    if (Date.now() - looked < lookMs) continue;
    looked = Date.now();
    const now = await service.storage.bucket(bucket.name);
    if (now?.created !== bucket.created) throw new Complaint(`bucket ${bucket.name} was deleted`);
  }
}

const droppedLine = ({ from, to }: { from: number; to: number }): string =>
  `events ${from} to ${to} were dropped before they were read`;

/** `17  2026-01-02T03:04:05.678Z  filesystem  ObjectCreated:Put  12  a/b`: the key last, whatever is in it. */
function eventLine({ seq, time, door, name, size, key, renamedFrom }: FeedEvent): string {
  const from = renamedFrom === undefined ? '' : `  (was ${printable(renamedFrom)})`;
  const when = new Date(time).toISOString();
  return `${seq}  ${when}  ${door}  ${name}  ${size ?? '-'}  ${printable(key)}${from}`;
}

async function status({ config }: Service, bucket: Bucket, options: EventOptions): Promise<void> {
  const directory = syncDirectory(config.root, bucket);
  const reader = openFeedReader(feedDirectory(directory));
  const newest = reader.newest();
  const deliveries = deliveryStates(directory).map((state) => ({ ...state, lag: Math.max(0, newest - state.seq) }));
  const row = { bucket: bucket.name, oldest: reader.oldest(), newest, deliveries };
  const cells = deliveries.map(({ id, webhook, seq, lag, delivered, lastDelivered, failing }) => [
    id,
    webhook,
    String(seq),
    String(lag),
    String(delivered),
    lastDelivered ?? '',
    failing ? `${failing.message} (${failing.attempts} times since ${failing.since})` : '',
  ]);
  const head = ['configuration', 'webhook', 'at', 'lag', 'delivered', 'last delivered', 'trouble'];
  const feed = `oldest event ${row.oldest}, newest ${newest}\n`;
  print(options, row, deliveries.length === 0 ? feed : feed + table(cells, head));
}
