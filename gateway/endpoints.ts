/** What whoever runs the service asks, beside S3: a bucket cannot begin with a dot, so these paths are nobody's. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import type { Storage } from './storage/types.js';

export type ServiceListener = (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>;

/** `/.tidegate/live`: the process answers. `/.tidegate/ready`: it can serve, the storage answers too. */
export function serviceEndpoints(storage: Storage, isClosing: () => boolean): ServiceListener {
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    // Nobody reads a body here: what follows on the connection would be taken for a request.
    const { raw } = context.req;
    if (raw.headers.has('content-length') || raw.headers.has('transfer-encoding'))
      context.header('connection', 'close');
  });
  app.get('/.tidegate/live', (context) => context.json({ status: 'live' }));
  app.get('/.tidegate/ready', async (context) => {
    if (isClosing()) return context.json({ status: 'stopping' }, 503);
    const cancel = new AbortController();
    const late = delay(5_000, false, { signal: cancel.signal }).catch(() => false);
    // A mount that hangs must not hang whoever asks.
    const looked = storage.documents.get('service', 'ready').then(
      () => true,
      () => false,
    );
    const ready = await Promise.race([looked, late]).finally(() => cancel.abort());
    return ready ? context.json({ status: 'ready' }) : context.json({ status: 'storage does not answer' }, 503);
  });
  app.notFound((context) => context.json({ status: 'not found' }, 404));
  // HTTP/1.0 knows no Host.
  return getRequestListener(app.fetch, { hostname: 'localhost' });
}
