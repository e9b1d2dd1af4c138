/**
 * Events as S3 sends them (user guide, "Event message structure"), so that what reads S3's messages reads ours. What S3
 * has no word for stands in the member `tidegate`. Pure.
 */
import type { FeedEvent } from './types.js';

export interface MessageContext {
  bucket: { name: string; owner: string };
  region: string;
  /** Id of the notification configuration; '' when none asked for it. */
  configurationId?: string;
}

export interface EventRecord {
  eventVersion: '2.1';
  eventSource: 'aws:s3';
  awsRegion: string;
  /** ISO 8601. */
  eventTime: string;
  /** Without `s3:`. */
  eventName: string;
  userIdentity: { principalId: string };
  requestParameters: { sourceIPAddress: string };
  responseElements: { 'x-amz-request-id': string; 'x-amz-id-2': string };
  s3: {
    s3SchemaVersion: '1.0';
    configurationId: string;
    bucket: { name: string; ownerIdentity: { principalId: string }; arn: string };
    object: { key: string; size?: number; eTag?: string; sequencer: string };
  };
  tidegate: {
    source: FeedEvent['door'];
    /** Place in the bucket's feed. */
    seq: number;
    /** Encoded as `key` is. */
    renamedFrom?: string;
  };
}

/** S3 itself stands in these places where a lifecycle rule and no request was the cause. */
const FILESYSTEM = 'filesystem.tidegate';

export function eventRecord(event: FeedEvent, { bucket, region, configurationId = '' }: MessageContext): EventRecord {
  const { seq, door, renamedFrom } = event;
  const filesystem = door === 'filesystem';
  // "compare two sequencer strings … lexicographically": of one length, and growing over the whole bucket.
  const sequencer = seq.toString(16).toUpperCase().padStart(16, '0');
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    awsRegion: region,
    eventTime: new Date(event.time).toISOString(),
    eventName: event.name,
    userIdentity: { principalId: event.requester ?? (filesystem ? FILESYSTEM : 'Anonymous') },
    requestParameters: { sourceIPAddress: event.sourceIp ?? (filesystem ? FILESYSTEM : '') },
    responseElements: { 'x-amz-request-id': event.requestId ?? sequencer, 'x-amz-id-2': '' },
    s3: {
      s3SchemaVersion: '1.0',
      configurationId,
      bucket: { name: bucket.name, ownerIdentity: { principalId: bucket.owner }, arn: `arn:aws:s3:::${bucket.name}` },
      object: {
        key: encodeKey(event.key),
        ...(event.size !== undefined && { size: event.size }),
        ...(event.etag !== undefined && { eTag: event.etag }),
        sequencer,
      },
    },
    tidegate: { source: door, seq, ...(renamedFrom !== undefined && { renamedFrom: encodeKey(renamedFrom) }) },
  };
}

export const eventMessage = (events: readonly FeedEvent[], context: MessageContext): { Records: EventRecord[] } => ({
  Records: events.map((event) => eventRecord(event, context)),
});

const unreserved = /[A-Za-z0-9\-_.*/]/;

/** "The s3 key … is URL encoded. For example, "red flower.jpg" becomes "red+flower.jpg"". A slash stays a slash. */
export function encodeKey(key: string): string {
  let encoded = '';
  for (const byte of Buffer.from(key, 'utf8')) {
    const character = String.fromCharCode(byte);
    if (unreserved.test(character)) encoded += character;
    else encoded += byte === 0x20 ? '+' : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** What S3 sends when a notification configuration is put. */
export const testMessage = (bucket: string, requestId: string, now: number): object => ({
  Service: 'Amazon S3',
  Event: 's3:TestEvent',
  Time: new Date(now).toISOString(),
  Bucket: bucket,
  RequestId: requestId,
  HostId: '',
});

/** The bounded feed has dropped events before they were delivered. Numbers are those of `tidegate.seq`, both inclusive. */
export const droppedMessage = (
  { bucket, configurationId }: MessageContext,
  { from, to }: { from: number; to: number },
  now: number,
): object => ({
  Service: 'Tidegate',
  Event: 'tidegate:EventsDropped',
  Time: new Date(now).toISOString(),
  Bucket: bucket.name,
  ConfigurationId: configurationId,
  From: from,
  To: to,
});
