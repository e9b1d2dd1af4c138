/** What must hold when everything has come to rest: listing, events, counts and catalog say what the model says. */
import * as s3 from '@aws-sdk/client-s3';
import * as assert from 'uvu/assert';
import { fromBytes } from '../../gateway/storage/keys.js';
import { openCatalog } from '../../sync/catalog.js';
import type { FeedReader } from '../../sync/feed-reader.js';
import type { FeedEvent } from '../../sync/types.js';
import { isOf } from './doors.js';
import type { Asked, Content } from './model.js';

/** What whoever reads the feed from its beginning knows. */
export interface Replay {
  /** The ETag of every key. */
  keys: Map<string, string>;
  read: number;
  /** Events since the last quiet point. */
  fresh: FeedEvent[];
  /** Removals of keys that were not there. */
  wrong: string[];
  advance(reader: FeedReader): void;
}

export function createReplay(): Replay {
  const replay: Replay = {
    keys: new Map(),
    read: 0,
    fresh: [],
    wrong: [],
    advance(reader) {
      for (;;) {
        const { events, dropped } = reader.read(replay.read, 10_000);
        if (dropped) throw new Error(`events ${dropped.from} to ${dropped.to} are not in the feed`);
        if (events.length === 0) return;
        for (const event of events) {
          assert.is(event.seq, replay.read + 1, 'numbers without a gap');
          replay.read = event.seq;
          replay.fresh.push(event);
          if (event.name !== 'ObjectRemoved:Delete') replay.keys.set(event.key, event.etag ?? '');
          else if (!replay.keys.delete(event.key) && event.door === 'filesystem') replay.wrong.push(event.key);
        }
      }
    },
  };
  return replay;
}

/** Keys at which the two differ, with what each has. @param listed what S3 shows, which depends on what may be believed */
export function differences(
  expected: ReadonlyMap<string, Content>,
  shown: ReadonlyMap<string, string>,
  listed = false,
): string[] {
  const different: string[] = [];
  for (const [key, { etags, loose }] of expected) {
    const etag = shown.get(key);
    if (etag === undefined) different.push(`${key} is missing`);
    else if (!isOf(etags, etag) && !(listed && loose && etag.endsWith('-0')))
      different.push(`${key} has ${etag}, not ${[...etags].join(' or ')}`);
  }
  for (const key of shown.keys()) if (!expected.has(key)) different.push(`${key} should not be there`);
  return different;
}

/** Through S3, in pages of different sizes. */
export async function list(client: s3.S3Client, Bucket: string, MaxKeys: number): Promise<Map<string, string>> {
  const shown = new Map<string, string>();
  let last = '';
  for (let ContinuationToken: string | undefined; ; ) {
    const page = await client.send(
      new s3.ListObjectsV2Command({ Bucket, MaxKeys, ...(ContinuationToken && { ContinuationToken }) }),
    );
    for (const { Key, ETag } of page.Contents ?? []) {
      assert.ok(Buffer.compare(Buffer.from(last), Buffer.from(Key!)) < 0, `${Key} comes after ${last}`);
      last = Key!;
      shown.set(Key!, ETag!.replaceAll('"', ''));
    }
    if (!page.IsTruncated) return shown;
    ContinuationToken = page.NextContinuationToken;
  }
}

/** Each acknowledged change has its one event, and no event is without a change. */
export function checkEvents(
  fresh: readonly FeedEvent[],
  asked: readonly Asked[],
  touched: ReadonlyMap<string, number>,
): void {
  const trouble: string[] = [];
  const id = ({ requestId, key, name }: Pick<FeedEvent, 'key' | 'name' | 'requestId'>) => `${name} ${key} ${requestId}`;
  const unanswered = new Map<string, number>();
  const wanted = new Map<string, number>();
  for (const ask of asked) {
    if (ask.requestId !== undefined)
      wanted.set(id({ ...ask, name: ask.name as FeedEvent['name'], requestId: ask.requestId }), 0);
    else unanswered.set(ask.name, (unanswered.get(ask.name) ?? 0) + 1);
  }
  const jobs = new Map<string, number>();
  for (const event of fresh) {
    if (event.door === 'filesystem') {
      jobs.set(event.key, (jobs.get(event.key) ?? 0) + 1);
      continue;
    }
    const times = wanted.get(id(event));
    if (times !== undefined) wanted.set(id(event), times + 1);
    else {
      // Under another name, if a job renamed it before anybody could look.
      const left = unanswered.get(event.name) ?? 0;
      if (left === 0) trouble.push(`nobody asked for ${JSON.stringify(event)}`);
      unanswered.set(event.name, left - 1);
    }
  }
  for (const [what, times] of wanted) if (times !== 1) trouble.push(`${what}: ${times} events`);
  for (const [key, count] of jobs) {
    const changes = touched.get(key) ?? 0;
    if (count > changes) trouble.push(`${key}: ${count} events of the filesystem for ${changes} changes`);
  }
  if (trouble.length > 0) {
    const keys = new Set(trouble.map((text) => /l\d+\/[^"{}]*?(?=[:" ]|$)/.exec(text)?.[0]));
    const context = fresh.filter(({ key }) => keys.has(key)).map((event) => JSON.stringify(event));
    throw new Error(`events:\n${trouble.slice(0, 10).join('\n')}\n${context.slice(0, 60).join('\n')}`);
  }
}

/** Opened while nobody leads the bucket. */
export async function checkCatalog(directory: string, expected: ReadonlyMap<string, Content>): Promise<void> {
  const catalog = openCatalog(directory, 0);
  try {
    assert.is(catalog.isNew, false);
    const shown = new Map<string, string>();
    let bytes = 0;
    for (const [key, { etag, size, ino, ctimeNs }] of catalog.below('')) {
      const name = fromBytes(key);
      shown.set(name, etag);
      bytes += size;
      assert.ok(catalog.keysOf(ino).includes(key), `${name} is known by its inode`);
      assert.ok(ctimeNs > 0n, `${name} was looked at`);
      assert.is(size, expected.get(name)?.body.length ?? size, `${name} has its size`);
    }
    assert.equal(differences(expected, shown), [], 'the catalog');
    assert.equal(catalog.totals(), catalog.count());
    assert.equal(catalog.totals(), { objects: expected.size, bytes });
    assert.is(catalog.outbox().length, 0);
  } finally {
    await catalog.close();
  }
}
