/**
 * Sends the events of one bucket to its webhooks, where the bucket is led. It runs in the engine's thread: nothing here
 * needs the main thread but what `bucket` and `destination` ask it.
 *
 *     const deliveries = createDeliveries({
 *       directory: syncDirectory(root, bucket), region, log,
 *       bucket: () => …,                 // as registered now: a change of its configuration is seen within `pollMs`
 *       destination: (name) => …,        // webhooks.destination(name) of the main thread, or openDestination(document)
 *     });
 *     feed.append(events); deliveries.wake();
 *     await deliveries.stop();           // when the bucket is given up or deleted, before the lease is
 *
 * Each configuration has its position in the feed, its own pace and its own troubles. A message is repeated until it is
 * taken, and the next one waits: at least once, in the order of the feed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Bucket } from '../gateway/storage/types.js';
import { type Delivery, startDelivery } from './delivery.js';
import { forgetStates } from './delivery-state.js';
import { NOTIFICATION, unpackNotifications } from './notification.js';
import { createSender, type Destination } from './webhooks.js';

export interface DeliveriesOptions {
  /** `syncDirectory` of the bucket. */
  directory: string;
  region: string;
  /** Undefined: it is deleted. */
  bucket(): Promise<Bucket | undefined>;
  destination(name: string): Promise<Destination | undefined>;
  log: { warn(details: object, message: string): void };
  /** Events of a message. Default 100. */
  batch?: number;
  /** Milliseconds. Defaults: 1 s between two looks at the configuration, 10 s for a request, pauses of 1 s to 5 min. */
  pollMs?: number;
  timeoutMs?: number;
  minPauseMs?: number;
  maxPauseMs?: number;
}

export interface Deliveries {
  /** There is something new in the feed. */
  wake(): void;
  /** Ends what is under way; it will be sent again. */
  stop(): Promise<void>;
}

export function createDeliveries(options: DeliveriesOptions): Deliveries {
  const { directory, log, pollMs = 1000 } = options;
  const sender = createSender(options);
  const tasks = new Map<string, Delivery>();
  const end = new AbortController();
  /** The ids whose states are kept. */
  let known: string | undefined;

  /** Fits the tasks to the bucket's configuration as it is now. */
  async function refresh(): Promise<void> {
    const bucket = await options.bucket();
    const wanted = new Map(unpackNotifications(bucket?.config[NOTIFICATION]).map((each) => [each.id, each]));
    for (const [id, task] of tasks) {
      if (isDeepStrictEqual(wanted.get(id), task.notification)) continue;
      tasks.delete(id);
      await task.stop();
    }
    if (!bucket || end.signal.aborted) return;
    const ids = [...wanted.keys()].sort().join('\n');
    if (ids !== known) forgetStates(directory, new Set(wanted.keys()));
    known = ids;
    for (const [id, notification] of wanted) {
      if (!tasks.has(id)) tasks.set(id, startDelivery({ ...options, bucket, notification, sender }));
    }
  }

  const running = (async () => {
    let said = '';
    while (!end.signal.aborted) {
      try {
        await refresh();
        said = '';
      } catch (error) {
        // Of a filesystem that hangs for a day, one line.
        if (String(error) !== said)
          log.warn({ err: error, directory }, 'the notification configuration cannot be read');
        said = String(error);
      }
      await delay(pollMs, undefined, { signal: end.signal }).catch(() => {});
    }
    await Promise.all([...tasks.values()].map((task) => task.stop()));
    sender.close();
  })();

  return {
    wake() {
      for (const task of tasks.values()) task.wake();
    },
    async stop() {
      end.abort();
      await running;
    },
  };
}
