/** Changes and events for tests. */
import { randomBytes } from 'node:crypto';
import type { FeedEvent, S3Change } from '../../sync/types.js';

export const change = (key: string, more: Partial<S3Change> = {}): S3Change => ({
  write: `Put-${randomBytes(16).toString('hex')}`,
  name: 'ObjectCreated:Put',
  key,
  time: Date.now(),
  size: 1,
  etag: 'e'.repeat(32),
  ...more,
});

export const event = (seq: number, more: Partial<FeedEvent> = {}): FeedEvent => ({
  seq,
  name: 'ObjectCreated:Put',
  key: `k${seq}`,
  door: 's3',
  time: 1_700_000_000_000 + seq,
  size: seq,
  etag: 'e'.repeat(32),
  ...more,
});

export const events = (from: number, to: number): FeedEvent[] =>
  Array.from({ length: to - from + 1 }, (_, at) => event(from + at));
