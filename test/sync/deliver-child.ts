/** Delivers the events of a feed that its parent writes. Is killed. */
import { createDeliveries } from '../../sync/webhook.js';
import { childBucket } from './deliver-bucket.js';

const [directory, url] = process.argv.slice(2) as [string, string];
createDeliveries({
  directory,
  region: 'us-east-1',
  bucket: async () => childBucket,
  destination: async () => ({ url }),
  log: { warn: () => {} },
  batch: 5,
  pollMs: 5,
});
