/** Which events of a bucket are sent, and where. The operator registers webhooks by name; no client gives an address. */
import { testMessage } from '../../../sync/event-message.js';
import {
  NOTIFICATION,
  type Notification,
  packNotifications,
  unpackNotifications,
  webhookOf,
} from '../../../sync/notification.js';
import { S3Error } from '../../errors.js';
import { readDocument } from '../payload.js';
import type { Context, Handler } from '../types.js';
import { notificationConfiguration, readNotificationConfiguration } from '../xml/notification-shapes.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketNotificationConfiguration.html */
export const getBucketNotification: Handler = async ({ place }) => ({
  body: { xml: notificationConfiguration(unpackNotifications(place.bucket.config[NOTIFICATION])) },
});

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html */
export const putBucketNotification: Handler = async (context) => {
  const { storage, place, headers, requestId, bucketName, now, testEvent } = context;
  const wanted = readNotificationConfiguration(await readDocument(context, 1024 * 1024), now);
  const webhooks = await destinations(context, wanted);
  await storage.putConfig(place.bucket, NOTIFICATION, (text) => {
    const before = new Map(unpackNotifications(text).map(({ id, since }) => [id, since]));
    // What was there goes on: nothing that waits for a webhook is lost by putting the configuration again.
    return packNotifications(wanted.map((one) => ({ ...one, since: before.get(one.id) ?? one.since })));
  });
  if (headers.get('x-amz-skip-destination-validation')?.toLowerCase() !== 'true') {
    for (const webhook of webhooks) testEvent?.(webhook, testMessage(bucketName, requestId, now));
  }
  return {};
};

/** @throws S3Error InvalidArgument for a destination that is no registered webhook */
async function destinations({ storage }: Context, wanted: readonly Notification[]): Promise<Set<string>> {
  const names = new Set<string>();
  for (const { arn } of wanted) {
    const name = webhookOf(arn);
    if (name === undefined || (await storage.documents.get('webhooks', name)) === undefined) {
      throw new S3Error('InvalidArgument', {
        message: 'Unable to validate the following destination configurations',
        fields: { ArgumentName1: arn, ArgumentValue1: 'The destination is not a registered webhook' },
      });
    }
    names.add(name);
  }
  return names;
}
