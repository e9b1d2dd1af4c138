/** Leads a feed: appends as fast as it can, some of it again, and tells its parent of what is on disk. Is killed. */
import { setImmediate as turn } from 'node:timers/promises';
import { openFeed } from '../../sync/feed.js';
import { events } from './changes.js';

const feed = openFeed(process.argv[2]!, { rollBytes: 30_000, durable: false });
for (let count = 0; ; count++) {
  const last = feed.newest();
  // As an outbox whose entries were not yet removed when its leader was killed.
  feed.append(events(Math.max(1, last - (count % 7)), last + 1 + ((count * 31) % 50)));
  process.send!(feed.newest());
  await turn();
}
