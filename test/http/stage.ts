/** A gateway over the memory store for tests: two accounts, signed and raw requests. */
import http from 'node:http';
import type { Account } from '../../acl/identity.js';
import { createLog } from '../../gateway/observe/log.js';
import { createGateway, type Gateway, type GatewayOptions } from '../../gateway/server.js';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import type { Storage } from '../../gateway/storage/types.js';
import { signV4 } from '../auth/signer.js';

export const keys = {
  anna: { accessKey: 'AKIAANNA', secret: 'secret-of-anna' },
  bert: { accessKey: 'AKIABERT', secret: 'secret-of-bert' },
};
export type Name = keyof typeof keys;

function account(name: Name): Account {
  return {
    uuid: `00000000-0000-0000-0000-00000000${name}`,
    displayName: name,
    group: 'g',
    kind: 'user',
    actor: { uid: 1000, gid: 1000, groups: [] },
    fspaths: ['/data/b2'],
    enabled: true,
    created: '2026-01-01T00:00:00.000Z',
  };
}
const accounts = { anna: account('anna'), bert: account('bert') };

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}

export interface Sent {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Whose signature; null: anonymous. Default anna. */
  as?: Name | null;
}

export interface Stage {
  port: number;
  gateway: Gateway;
  storage: Storage;
  /** Log lines, parsed. */
  log: Record<string, unknown>[];
  send(url: string, sent?: Sent): Promise<Answer>;
  /** The headers that `send` would use: for raw sockets. */
  sign(url: string, sent?: Sent): Record<string, string>;
  close(): Promise<void>;
}

export async function startStage(
  options: Partial<GatewayOptions> & { logLevel?: string; port?: number } = {},
): Promise<Stage> {
  const storage = options.storage ?? createMemoryStorage();
  const log: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void log.push(JSON.parse(line)) };
  const byKey = new Map((Object.keys(keys) as Name[]).map((name) => [keys[name].accessKey, name]));
  const gateway = createGateway({
    region: 'us-east-1',
    hostStyle: [],
    maxRequests: 100,
    maxBuckets: 999,
    identities: {
      byAccessKey: async (accessKey) => {
        const name = byKey.get(accessKey);
        return name && { account: accounts[name], secret: keys[name].secret };
      },
      policiesOf: async () => [],
      byId: async (uuid) => Object.values(accounts).find((each) => each.uuid === uuid),
    },
    log: createLog({ level: options.logLevel ?? 'debug', destination }),
    ...options,
    storage,
  });
  const { port } = await gateway.listen({ port: options.port ?? 0, host: '127.0.0.1' });
  const agent = new http.Agent({ keepAlive: true });

  const sign: Stage['sign'] = (url, { method = 'GET', headers = {}, body = '', as = 'anna' } = {}) => {
    const all = { host: `127.0.0.1:${port}`, ...headers };
    return as === null ? all : signV4({ method, url, headers: all }, keys[as], Buffer.from(body)).headers;
  };
  const send: Stage['send'] = (url, sent = {}) =>
    new Promise((resolve, reject) => {
      const { method = 'GET', body } = sent;
      const headers: Record<string, string | number> = sign(url, sent);
      if (body !== undefined) headers['content-length'] = Buffer.byteLength(body);
      const request = http.request({ port, host: '127.0.0.1', method, path: url, headers, agent }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(pieces).toString(),
          }),
        );
      });
      request.on('error', reject);
      request.end(body);
    });

  return {
    port,
    gateway,
    storage,
    log,
    send,
    sign,
    async close() {
      agent.destroy();
      await gateway.close();
      await storage.close();
    },
  };
}

/** The text of the first element of that name. */
export function element({ body }: Answer, name: string): string | undefined {
  return new RegExp(`<${name}[^>]*>([^<]*)</${name}>`).exec(body)?.[1];
}

export function elements({ body }: Answer, name: string): string[] {
  return [...body.matchAll(new RegExp(`<${name}[^>]*>([^<]*)</${name}>`, 'g'))].map(([, text]) => text ?? '');
}
