/** A bucket with both doors: the SDK on one side, plain files on the other, and what the sync engine makes of it. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { openFeedReader } from '../../sync/feed-reader.js';
import { feedDirectory } from '../../sync/places.js';
import type { FeedEvent, SyncState } from '../../sync/types.js';
import { signV4 } from '../auth/signer.js';
import { type Gateway, type GatewayOptions, startGateway } from './gateway.js';
import { sdk } from './sdk.js';
import { until } from './time.js';

export const md5 = (content: string | Uint8Array): string => createHash('md5').update(content).digest('hex');

/** `door name key`, and where a file had another name before, that. */
export const told = ({ door, name, key, renamedFrom }: FeedEvent): string =>
  `${door} ${name.replace('Object', '')} ${key}${renamedFrom === undefined ? '' : ` from ${renamedFrom}`}`;

export interface TwoDoors {
  gateway: Gateway;
  client: s3.S3Client;
  bucket: string;
  /** The path of a key's file. */
  file(key: string): string;
  /** Writes a file as a job does, with the directories above it. */
  write(key: string, content: string | Uint8Array): void;
  put(key: string, content: string): Promise<void>;
  /** All events so far. */
  events(): FeedEvent[];
  /** Waits until there are so many events, and answers them all. */
  eventsAfter(count: number): Promise<FeedEvent[]>;
  /** `PUT /bucket?sync`; the elements of the summary by name. */
  sync(request?: SyncCall): Promise<Record<string, string>>;
  state(): SyncState;
  /** Waits until the engine has looked at everything once. */
  scanned(): Promise<void>;
  /** Stops the gateway, or kills it, and starts it again over the same root; `meanwhile` runs in between. */
  restart(how: 'stop' | 'kill9', meanwhile?: () => void | Promise<void>): Promise<void>;
  end(): Promise<void>;
}

export interface SyncCall {
  ops?: string;
  body?: string;
  query?: string;
  method?: string;
}

/** `flags` beside those that make a test quick. */
export async function openTwoDoors(options: GatewayOptions = {}, bucket = 'doors'): Promise<TwoDoors> {
  const settings = {
    ...options,
    flags: ['--log-level', 'warn', '--sync-quiet', '0s', '--durability', 'none', ...(options.flags ?? [])],
  };
  let gateway = await startGateway(settings);
  let client = sdk(gateway);
  await client.send(new s3.CreateBucketCommand({ Bucket: bucket }));
  const { root } = gateway;
  const file = (key: string) => join(gateway.bucketPath(bucket), key);
  const feed = () => {
    const [name] = readdirSync(join(root, '.tidegate/sync')).filter((each) => each.startsWith(`${bucket}.`));
    return openFeedReader(feedDirectory(join(root, '.tidegate/sync', name!)));
  };
  const world: TwoDoors = {
    get gateway() {
      return gateway;
    },
    get client() {
      return client;
    },
    bucket,
    file,
    write(key, content) {
      mkdirSync(dirname(file(key)), { recursive: true });
      writeFileSync(file(key), content);
    },
    async put(Key, Body) {
      await client.send(new s3.PutObjectCommand({ Bucket: bucket, Key, Body }));
    },
    events: () => feed().read(0, 100_000).events,
    eventsAfter: (count) =>
      until(`${count} events`, 20_000, () => {
        const events = world.events();
        return events.length >= count ? events : undefined;
      }),
    sync: (call) => syncBucket(gateway, bucket, call),
    state: () => JSON.parse(readFileSync(join(root, '.tidegate/syncs', `${bucket}.json`), 'utf8')),
    async scanned() {
      await until('the first scan', 20_000, () => {
        try {
          return world.state().lastFullScan;
        } catch {
          return undefined;
        }
      });
    },
    async restart(how, meanwhile) {
      client.destroy();
      if (how === 'stop') await gateway.stop();
      else await gateway.kill9();
      await meanwhile?.();
      gateway = await startGateway({ ...settings, root });
      client = sdk(gateway);
    },
    async end() {
      client.destroy();
      const code = await gateway.stop();
      if (code !== 0) throw new Error(`the gateway ended with ${code}:\n${gateway.output()}`);
    },
  };
  await world.scanned();
  return world;
}

/** BucketSync. The elements of the summary by name, and `status`. */
export async function syncBucket(
  gateway: Gateway,
  bucket: string,
  { ops, body = '', query = '', method = 'PUT' }: SyncCall = {},
): Promise<Record<string, string>> {
  const headers: Record<string, string> = ops === undefined ? {} : { 'x-ddn-bucket-sync-ops': ops };
  const response = await signed(gateway, method, `/${bucket}?sync${query}`, { body, headers });
  const text = await response.text();
  const elements = [...text.matchAll(/<(\w+)>([^<]*)<\/\1>/g)].map(([, name, value]) => [name!, value!]);
  return { status: String(response.status), ...Object.fromEntries(elements) };
}

/** A request that the SDK does not know. */
function signed(
  { endpoint, accessKey, secretKey: secret }: Gateway,
  method: string,
  url: string,
  { body, headers }: { body: string; headers: Record<string, string> },
): Promise<Response> {
  const { host } = new URL(endpoint);
  const request = signV4({ method, url, headers: { host, ...headers } }, { accessKey, secret }, Buffer.from(body));
  const { host: _, ...sent } = request.headers;
  return fetch(endpoint + url, { method, headers: sent, ...(method === 'PUT' && { body }) });
}

/** Opens worlds for the tests of a suite, and ends them after each. */
export function worldsOf(suite: { after: { each(callback: () => Promise<void>): void } }): typeof openTwoDoors {
  const open: TwoDoors[] = [];
  suite.after.each(async () => {
    for (const world of open.splice(0)) await world.end();
  });
  return async (...args) => {
    const world = await openTwoDoors(...args);
    open.push(world);
    return world;
  };
}
