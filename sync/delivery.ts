/** One notification configuration: follows the feed, and sends what it asks for, one message after the other. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Bucket } from '../gateway/storage/types.js';
import { type DeliveryState, loadState, saveState, stateName } from './delivery-state.js';
import { droppedMessage, eventMessage } from './event-message.js';
import { type FeedReader, openFeedReader } from './feed-reader.js';
import { matches, type Notification, webhookOf } from './notification.js';
import { feedDirectory } from './places.js';
import type { FeedEvent } from './types.js';
import type { DeliveriesOptions } from './webhook.js';
import type { Sender } from './webhooks.js';

export interface Delivery {
  notification: Notification;
  wake(): void;
  /** Ends what is under way; it will be sent again. */
  stop(): Promise<void>;
}

export interface DeliveryOptions extends Omit<DeliveriesOptions, 'bucket'> {
  bucket: Bucket;
  notification: Notification;
  sender: Sender;
}

export function startDelivery(options: DeliveryOptions): Delivery {
  const { notification, directory, bucket, region, log, sender } = options;
  const { batch = 100, pollMs = 1000, minPauseMs = 1000, maxPauseMs = 300_000 } = options;
  const { id } = notification;
  const webhook = webhookOf(notification.arn) ?? '';
  const context = { bucket, region, configurationId: id };
  const end = new AbortController();
  const { signal } = end;
  let rouse = () => {};

  const pause = (ms: number) => delay(ms, undefined, { signal }).catch(() => {});
  /** Until somebody wakes us. */
  const idle = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(() => rouse(), ms);
      rouse = () => {
        clearTimeout(timer);
        rouse = () => {};
        resolve();
      };
    });

  function open(reader: FeedReader): DeliveryState {
    const known = loadState(directory, id);
    return known ? { ...known, webhook } : { id, webhook, seq: beginning(reader, notification), delivered: 0 };
  }

  async function follow(reader: FeedReader, state: DeliveryState): Promise<void> {
    let kept = { seq: -1, at: 0 };
    const keep = (): void => {
      kept = { seq: state.seq, at: Date.now() };
      try {
        saveState(directory, state);
      } catch (error) {
        // An old position means a message twice, and not one too few.
        log.warn({ err: error, webhook, configuration: id }, 'the position of a delivery cannot be kept');
      }
    };
    // At once: the beginning of a new configuration is worked out from a feed that goes on.
    keep();

    /** Until it is taken. @throws when the delivery is to end */
    async function deliver(body: object, last: number, count: number): Promise<void> {
      const message = { body, id: `${stateName(id)}-${last}`, signal };
      for (;;) {
        signal.throwIfAborted();
        try {
          const destination = await options.destination(webhook);
          if (!destination) throw new Error(`there is no webhook ${webhook}`);
          await sender.send(destination, message);
          state.seq = last;
          state.delivered += count;
          state.lastDelivered = new Date().toISOString();
          delete state.failing;
          keep();
          return;
        } catch (error) {
          signal.throwIfAborted();
          const { since, attempts } = state.failing ?? { since: new Date().toISOString(), attempts: 0 };
          if (attempts === 0)
            log.warn({ err: error, webhook, bucket: bucket.name, configuration: id }, 'webhook failed');
          state.failing = { since, attempts: attempts + 1, message: (error as Error).message };
          keep();
        }
        const ms = Math.min(maxPauseMs, minPauseMs * 2 ** Math.min(state.failing.attempts - 1, 30));
        // Half of it at random: webhooks that went down together do not get everything at once when they are back.
        await pause(ms * (0.5 + Math.random() / 2));
      }
    }

    while (!signal.aborted) {
      const { events, dropped, last } = reader.read(state.seq, 500);
      if (dropped) await deliver(droppedMessage(context, dropped, Date.now()), dropped.to, 0);
      const wanted = events.filter((event) => matches(notification, event));
      for (let at = 0; at < wanted.length; at += batch) {
        const group: FeedEvent[] = wanted.slice(at, at + batch);
        await deliver(eventMessage(group, context), group.at(-1)!.seq, group.length);
      }
      // What is for others is passed over. A position that is kept a little late is only read again.
      state.seq = last;
      const atEnd = events.length === 0 && !dropped;
      if (state.seq !== kept.seq && (atEnd || Date.now() - kept.at > 5000)) keep();
      if (atEnd) await idle(pollMs);
    }
    keep();
  }

  const running = (async () => {
    while (!signal.aborted) {
      try {
        const reader = openFeedReader(feedDirectory(directory));
        await follow(reader, open(reader));
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, webhook, configuration: id }, 'the feed cannot be delivered');
        await pause(Math.min(maxPauseMs, 10_000));
      }
    }
  })();

  return {
    notification,
    wake: () => rouse(),
    async stop() {
      end.abort();
      rouse();
      await running;
    },
  };
}

/** What was there when the configuration was put is not asked for. If that cannot be told any more, the loss is. */
function beginning(reader: FeedReader, { since }: Notification): number {
  const before = reader.before(since);
  return before === reader.oldest() - 1 ? 0 : before;
}
