/** The bucket whose events `deliver-child.ts` sends. */
import type { Bucket } from '../../gateway/storage/types.js';
import { NOTIFICATION, packNotifications } from '../../sync/notification.js';

const configuration = packNotifications([
  {
    id: 'child',
    kind: 'Topic',
    arn: 'arn:aws:sns:us-east-1:0:child',
    events: ['s3:ObjectCreated:*'],
    prefix: '',
    suffix: '',
    since: 0,
  },
])!;

export const childBucket: Bucket = {
  name: 'results',
  owner: 'anna',
  path: '/x',
  created: '2026-01-01T00:00:00.000Z',
  config: { [NOTIFICATION]: configuration },
};
