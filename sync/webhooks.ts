/**
 * The webhooks that the operator has registered (documents of the kind `webhooks`), and sending to one. S3 users name
 * them; they never give an address, so nobody can have the gateway call what he likes.
 */
import { createHmac } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { SecretSealer } from '../acl/registry.js';
import type { Documents } from '../gateway/storage/types.js';
import { webhookNameForm } from './notification.js';

/** As it is stored. */
export interface Webhook {
  name: string;
  url: string;
  /** With what bodies are signed, sealed with the master key. */
  sealedSecret?: string;
  /** ISO 8601. */
  created: string;
}

/** As it is called. */
export interface Destination {
  url: string;
  secret?: string | undefined;
}

export interface Webhooks {
  /** Answers false when the name is taken. @throws TypeError that says what is wrong with name or address */
  create(webhook: { name: string; url: string; secret?: string | undefined }): Promise<boolean>;
  find(name: string): Promise<Webhook | undefined>;
  /** Where to send to now. */
  destination(name: string): Promise<Destination | undefined>;
  /** By name. */
  list(): Promise<Webhook[]>;
  remove(name: string): Promise<Webhook | undefined>;
}

/** A webhook's secret does not open as an access key's, nor under another name. */
const sealedAs = (name: string): string => `webhook/${name}`;

export function createWebhooks(documents: Documents, sealer: SecretSealer): Webhooks {
  const find = async (name: string) =>
    webhookNameForm.test(name) ? documents.get<Webhook>('webhooks', name) : undefined;
  return {
    find,
    create({ name, url, secret }) {
      if (!webhookNameForm.test(name)) throw new TypeError('a name has 1 to 64 of the characters A-Z a-z 0-9 _ -');
      const problem = urlProblem(url);
      if (problem !== undefined) throw new TypeError(`${JSON.stringify(url)} is no address of a webhook: ${problem}`);
      return documents.create<Webhook>('webhooks', name, {
        name,
        url,
        ...(secret && { sealedSecret: sealer.seal(sealedAs(name), secret) }),
        created: new Date().toISOString(),
      });
    },
    async destination(name) {
      const found = await find(name);
      return found && openDestination(found, sealer);
    },
    list: async () => (await documents.list<Webhook>('webhooks')).map(({ value }) => value),
    async remove(name) {
      const found = await find(name);
      if (found) await documents.update<Webhook>('webhooks', name, () => undefined);
      return found;
    },
  };
}

export const openDestination = ({ name, url, sealedSecret }: Webhook, sealer: SecretSealer): Destination => ({
  url,
  secret: sealedSecret === undefined ? undefined : sealer.open(sealedAs(name), sealedSecret),
});

function urlProblem(text: string): string | undefined {
  if (!URL.canParse(text)) return 'it must be like https://host/path';
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'it must begin with http:// or https://';
  // It is shown in lists, and is not sealed.
  if (url.username !== '' || url.password !== '') return 'it must not hold a password: give a --secret';
  if (url.hash !== '') return 'a fragment is not sent';
  return undefined;
}

// ---- sending -----------------------------------------------------------------------------------------------------

export interface Sender {
  /** Resolves on a 2xx. @throws Error that says what happened */
  send(destination: Destination, message: Sent): Promise<void>;
  close(): void;
}

export interface Sent {
  body: object;
  /** Names this very message, also when it is sent again: receivers can tell repetitions by it. */
  id: string;
  signal?: AbortSignal;
}

/** `x-tidegate-signature: sha256=HMAC-SHA256(secret, timestamp + '.' + body)` in hex; the timestamp is in seconds. */
export const signature = (secret: string, timestamp: string, body: string): string =>
  `sha256=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`;

/** A reply is looked at for its status alone. */
const maxReplyBytes = 64 << 10;

/** @param timeoutMs of a whole request, name lookup and connecting included */
export function createSender({ timeoutMs = 10_000 }: { timeoutMs?: number } = {}): Sender {
  const agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': new https.Agent({ keepAlive: true }) };

  const once = (
    { url: text, secret }: Destination,
    bytes: Buffer,
    fixed: http.OutgoingHttpHeaders,
    signal: AbortSignal,
  ) =>
    new Promise<'done' | 'stale'>((resolve, reject) => {
      const url = new URL(text);
      const { request } = url.protocol === 'https:' ? https : http;
      const timestamp = String(Math.floor(Date.now() / 1000));
      const signed = secret && {
        'x-tidegate-timestamp': timestamp,
        'x-tidegate-signature': signature(secret, timestamp, bytes.toString('utf8')),
      };
      const agent = agents[url.protocol as keyof typeof agents];
      const outgoing = request(url, { method: 'POST', agent, signal, headers: { ...fixed, ...signed } });
      /** Known as soon as the status is; what becomes of the rest of the reply changes nothing. */
      let settle: (() => void) | undefined;
      outgoing.on('response', (reply) => {
        const { statusCode: status = 0 } = reply;
        const more = status >= 300 && status < 400 ? ', and redirects are not followed' : '';
        settle =
          status >= 200 && status < 300
            ? () => resolve('done')
            : () => reject(new Error(`it answered ${status}${more}`));
        let size = 0;
        reply.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > maxReplyBytes) reply.destroy();
        });
        reply.on('error', () => {});
        reply.on('close', settle);
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (settle) settle();
        // The other side may close an idle connection at the very moment at which it is used again.
        else if (outgoing.reusedSocket && error.code === 'ECONNRESET') resolve('stale');
        else reject(signal.aborted ? signal.reason : error);
      });
      outgoing.end(bytes);
    });

  return {
    async send(destination, { body, id, signal }) {
      const bytes = Buffer.from(JSON.stringify(body), 'utf8');
      const headers = {
        'content-type': 'application/json',
        'content-length': bytes.length,
        'user-agent': 'Tidegate',
        'x-tidegate-delivery': id,
      };
      const end = new AbortController();
      const timer = setTimeout(() => end.abort(new Error(`no answer after ${timeoutMs} ms`)), timeoutMs);
      const cancel = () => end.abort(signal?.reason);
      signal?.addEventListener('abort', cancel, { once: true });
      try {
        end.signal.throwIfAborted();
        while ((await once(destination, bytes, headers, end.signal)) === 'stale');
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', cancel);
      }
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}
