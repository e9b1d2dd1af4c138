/** What a leader writes of its bucket, opened together: the feed, and the catalog beside it. */
import { type Catalog, openCatalog } from './catalog.js';
import { type Feed, type FeedOptions, openFeed } from './feed.js';
import { openFeedReader } from './feed-reader.js';
import type { Positions } from './inbox-reader.js';
import type { Lease } from './leader.js';
import { feedDirectory } from './places.js';
import type { FeedEvent } from './types.js';

export interface Stores {
  feed: Feed;
  catalog: Catalog;
  /** How far the inboxes were read. */
  positions: Positions;
  /** The last events, oldest first, also those that are not in the feed yet: a catalog that was lost has lost them too. */
  recent: readonly FeedEvent[];
}

/** Somebody else may lead by now: nothing is written then. */
export class LeaseLost extends Error {}

/** How many of the last events are read for `recent`. */
const REREAD = 20_000;

/**
 * Opens both, or makes them; all or nothing, as it is tried again every second. Writing throws `LeaseLost` when the lease
 * is lost.
 * @param directory `syncDirectory` of the bucket @throws errno errors, and those of LMDB
 */
export function openStores(directory: string, lease: Lease, options: FeedOptions): Stores {
  const path = feedDirectory(directory);
  const feed = openFeed(path, options);
  let catalog: Catalog | undefined;
  try {
    catalog = openCatalog(directory, feed.newest());
    const positions = catalog.note<Positions>('inbox') ?? {};
    return { ...guarded(feed, catalog, lease), positions, recent: [...eventsIn(path), ...catalog.outbox()] };
  } catch (error) {
    feed.close();
    void catalog?.close();
    throw error;
  }
}

function* eventsIn(feed: string): Generator<FeedEvent> {
  const reader = openFeedReader(feed);
  const newest = reader.newest();
  for (let after = Math.max(0, newest - REREAD); after < newest; ) {
    const { events, last } = reader.read(after, 1000);
    yield* events;
    if (last <= after) return;
    after = last;
  }
}

function guarded(feed: Feed, catalog: Catalog, lease: Lease): Pick<Stores, 'feed' | 'catalog'> {
  const held = <A extends unknown[], R>(write: (...args: A) => R) => {
    return (...args: A): R => {
      if (!lease.held()) throw new LeaseLost('another process leads the bucket');
      return write(...args);
    };
  };
  return {
    feed: { ...feed, append: held(feed.append) },
    catalog: { ...catalog, commit: held(catalog.commit), delivered: held(catalog.delivered) },
  };
}
