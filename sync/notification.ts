/** Which events of a bucket go to which webhook: the bucket's document `notification`. Pure. */
import type { FeedEvent } from './types.js';

/** Kind of the document in `Bucket.config`. */
export const NOTIFICATION = 'notification';

/** Those that S3 may ask for and that happen here. */
export const notifiable = [
  's3:ObjectCreated:*',
  's3:ObjectCreated:Put',
  's3:ObjectCreated:Post',
  's3:ObjectCreated:Copy',
  's3:ObjectCreated:CompleteMultipartUpload',
  's3:ObjectRemoved:*',
  's3:ObjectRemoved:Delete',
] as const;
export type Notifiable = (typeof notifiable)[number];

/** What S3 calls the destination. Here all of them are webhooks; what was put is given back as it came. */
export type DestinationKind = 'Topic' | 'Queue' | 'CloudFunction';

export interface Notification {
  id: string;
  kind: DestinationKind;
  arn: string;
  events: readonly Notifiable[];
  /** '' for none. */
  prefix: string;
  suffix: string;
  /** Milliseconds since the epoch: events from then on are delivered. */
  since: number;
}

interface Document {
  version: 1;
  configurations: readonly Notification[];
}

/** Undefined for none: the document goes. */
export const packNotifications = (configurations: readonly Notification[]): string | undefined =>
  configurations.length === 0 ? undefined : JSON.stringify({ version: 1, configurations } satisfies Document);

/** @throws Error for a document of another version */
export function unpackNotifications(text: string | undefined): readonly Notification[] {
  if (text === undefined) return [];
  const document = JSON.parse(text) as Partial<Document>;
  if (document.version === 1 && Array.isArray(document.configurations)) return document.configurations;
  throw new Error('the notification configuration is in a form that this version does not know');
}

export const webhookNameForm = /^[A-Za-z0-9_-]{1,64}$/;

/** The name of the webhook: the last part of an ARN. Undefined for what is no ARN of that kind. */
export function webhookOf(arn: string): string | undefined {
  const parts = arn.split(':');
  const last = parts.at(-1) ?? '';
  return parts[0] === 'arn' && parts.length >= 6 && webhookNameForm.test(last) ? last : undefined;
}

export function matches(
  { events, prefix, suffix }: Notification,
  { name, key }: Pick<FeedEvent, 'name' | 'key'>,
): boolean {
  return key.startsWith(prefix) && key.endsWith(suffix) && events.some((asked) => covers(asked, `s3:${name}`));
}

const covers = (asked: string, name: string): boolean =>
  asked === name || (asked.endsWith(':*') && name.startsWith(asked.slice(0, -1)));

/**
 * Whether one event could go to both. S3 refuses that: by prefix and by suffix each, without asking whether a key exists
 * that has them all.
 */
export function overlap(a: Notification, b: Notification): boolean {
  const common = a.events.some((one) => b.events.some((other) => covers(one, other) || covers(other, one)));
  const prefixes = a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix);
  const suffixes = a.suffix.endsWith(b.suffix) || b.suffix.endsWith(a.suffix);
  return common && prefixes && suffixes;
}
