/** `tidegate webhook …`: where events of buckets may be sent. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { testMessage } from '../../sync/event-message.js';
import { NOTIFICATION, unpackNotifications, webhookOf } from '../../sync/notification.js';
import { createSender, type Webhook } from '../../sync/webhooks.js';
import { Complaint, reasonOf } from '../complaint.js';
import { type Service, withService } from '../main.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface WebhookOptions extends CommonOptions {
  url?: string;
  secret?: string;
  force?: boolean;
}

export function addWebhookCommands(parent: Command): void {
  example(
    subCommand(parent, 'create <NAME>', 'register an address that events of buckets may be sent to')
      .requiredOption('--url <URL>', 'http or https; redirects are not followed')
      .option('--secret <SECRET>', 'signs each message: x-tidegate-signature is sha256= and the HMAC-SHA256 of')
      .addHelpText('after', '\nSigned is the header x-tidegate-timestamp, a dot, and the body.')
      .action(async (name: string, _: unknown, command: Command) => create(name, command.optsWithGlobals())),
    'tidegate webhook create ingest --url https://ingest.example.org/events --secret S3CRET',
    'aws s3api put-bucket-notification-configuration --bucket results --notification-configuration \\',
    '  \'{"TopicConfigurations":[{"TopicArn":"arn:aws:sns:us-east-1:0:ingest","Events":["s3:ObjectCreated:*"]}]}\'',
  );
  example(
    subCommand(parent, 'list', 'show the webhooks').action(async (_: unknown, command: Command) => {
      const options: WebhookOptions = command.optsWithGlobals();
      await withService(options, { make: false }, async ({ webhooks }) => {
        const all = (await webhooks.list()).map(shown);
        print(options, all, table(all.map(cells), columns));
      });
    }),
    'tidegate webhook list --json',
  );
  onWebhook(parent, 'show', 'show a webhook, and the buckets that send to it', show);
  onWebhook(parent, 'test', 'send a test message, and say whether it was taken', test);
  onWebhook(parent, 'delete', 'delete a webhook that no bucket sends to', remove).option(
    '--force',
    'also one that buckets send to: their events wait until it is there again',
  );
}

function onWebhook(
  parent: Command,
  verb: string,
  description: string,
  action: (service: Service, webhook: Webhook, options: WebhookOptions) => Promise<void>,
): Command {
  return example(
    subCommand(parent, `${verb} <NAME>`, description).action(async (name: string, _: unknown, command: Command) => {
      const options: WebhookOptions = command.optsWithGlobals();
      await withService(options, { make: false }, async (service) => {
        const webhook = await service.webhooks.find(name);
        if (!webhook) throw new Complaint(`there is no webhook ${name}: 'tidegate webhook list' shows them`);
        await action(service, webhook, options);
      });
    }),
    `tidegate webhook ${verb} ingest`,
  );
}

const columns = ['name', 'url', 'signed', 'created'];
/** The secret is never shown: who has lost it makes another webhook. */
const shown = ({ name, url, sealedSecret, created }: Webhook) => ({
  name,
  url,
  signed: sealedSecret !== undefined,
  created,
});
const cells = ({ name, url, signed, created }: ReturnType<typeof shown>) => [name, url, signed ? 'yes' : 'no', created];

async function create(name: string, options: WebhookOptions): Promise<void> {
  await withService(options, { make: false }, async ({ webhooks }) => {
    const { url = '', secret } = options;
    if (secret === '') throw new Complaint('--secret must not be empty', 2);
    let made: boolean;
    try {
      made = await webhooks.create({ name, url, secret });
    } catch (error) {
      if (error instanceof TypeError) throw new Complaint(reasonOf(error), 2, error);
      throw error;
    }
    if (!made) throw new Complaint(`there is a webhook ${name} already: delete it first`);
    const row = shown((await webhooks.find(name))!);
    print(options, row, table([cells(row)], columns));
  });
}

/** Names of the buckets whose notification configuration names it. */
async function users({ storage }: Service, name: string): Promise<string[]> {
  const sends = (text: string | undefined) => unpackNotifications(text).some(({ arn }) => webhookOf(arn) === name);
  return (await storage.listBuckets()).filter(({ config }) => sends(config[NOTIFICATION])).map((bucket) => bucket.name);
}

async function show(service: Service, webhook: Webhook, options: WebhookOptions): Promise<void> {
  const row = { ...shown(webhook), buckets: await users(service, webhook.name) };
  const text = Object.entries({ ...row, signed: row.signed ? 'yes' : 'no', buckets: row.buckets.join(',') });
  print(options, row, table(text));
}

async function test({ webhooks }: Service, { name, url }: Webhook, options: WebhookOptions): Promise<void> {
  const sender = createSender();
  try {
    const id = randomUUID();
    const destination = await webhooks.destination(name);
    if (!destination) throw new Complaint(`there is no webhook ${name} any more`);
    await sender.send(destination, { body: testMessage('', id, Date.now()), id });
  } catch (error) {
    throw error instanceof Complaint ? error : new Complaint(`${name} (${url}): ${reasonOf(error)}`, 1, error);
  } finally {
    sender.close();
  }
  print(options, { name, url, taken: true }, `${name} (${url}) has taken the test message\n`);
}

async function remove(service: Service, { name }: Webhook, options: WebhookOptions): Promise<void> {
  const buckets = await users(service, name);
  if (buckets.length > 0 && options.force !== true) {
    throw new Complaint(`buckets send to ${name}: ${buckets.join(', ')}; --force deletes it all the same`);
  }
  await service.webhooks.remove(name);
  print(options, { deleted: name, buckets }, `deleted webhook ${name}\n`);
}
