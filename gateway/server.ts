/** Puts the HTTP side together: listener, S3 plane, service endpoints. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo, ListenOptions, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { SecureContextOptions } from 'node:tls';
import { type AddressSettings, createAddresses } from '../acl/addresses.js';
import type { Identities, Registry } from '../acl/registry.js';
import type { SyncControl } from '../sync/control.js';
import type { ServiceListener } from './endpoints.js';
import { createPipeline } from './http/pipeline.js';
import { createIamService } from './iam/service.js';
import type { Log } from './observe/log.js';
import { operations } from './s3/operations.js';
import type { ChangeRecorder } from './s3/recorded.js';
import type { Context, Operation } from './s3/types.js';
import { writeXml } from './s3/xml/write.js';
import type { Storage } from './storage/types.js';

export interface GatewayOptions extends Partial<AddressSettings> {
  /** Is not closed by the gateway. */
  storage: Storage;
  /** Who an access key belongs to (`acl/registry.ts`). */
  identities: Identities;
  /** Serves IAM with it. */
  registry?: Registry;
  /** Access keys that a user may have. Default 10. */
  maxKeys?: number;
  log: Log;
  /** What GetBucketLocation and HeadBucket name; requests signed for any region are accepted. */
  region: string;
  /** Domains under which `BUCKET.DOMAIN` addresses a bucket. */
  hostStyle: readonly string[];
  /** Requests in work at once; more are answered SlowDown. */
  maxRequests: number;
  /** Buckets of an account; more are answered TooManyBuckets. */
  maxBuckets: number;
  /** Serves https with it. */
  tls?: Pick<SecureContextOptions, 'cert' | 'key'> | undefined;
  /** Milliseconds: silence of a client in the middle of a request or a reply. Default 120 s. */
  idleMs?: number;
  /** Milliseconds that `close` waits for requests in work. Default 30 s. */
  drainMs?: number;
  /** Writes down what requests change, for the sync engine; undefined: nothing is written down. */
  changes?: ChangeRecorder | undefined;
  /** Sends a message to a registered webhook, in the background. */
  testEvent?: Context['testEvent'];
  /** Carries out BucketSync; undefined where the sync engine is switched off. */
  sync?: SyncControl | undefined;
  /** The table, for tests. */
  operations?: readonly Operation[];
}

export interface Gateway {
  /**
   * Rejects with the errno error of the listener (EADDRINUSE, EACCES …). Port 0 takes a free one.
   * @param at an address, or the descriptor of a socket that is bound to one
   */
  listen(at: Pick<ListenOptions, 'host' | 'port'> | { fd: number }): Promise<{ port: number }>;
  /** Takes no more connections, waits for the requests in work, cuts what is left. May be called several times. */
  close(): Promise<void>;
  /** New connections get this certificate. */
  setCertificate(certificate: Pick<SecureContextOptions, 'cert' | 'key'>): void;
}

/** What a connection owes. */
interface Owing {
  /** The response that it is busy with, or was: then its head has been sent. */
  now?: ServerResponse;
  /** That of the last request that came: a later one where requests are pipelined. */
  last?: ServerResponse;
}

/** S3 allows 8 KB of headers; presigned URLs, cookies and signed headers together come above it. */
const maxHeaderSize = 64 * 1024;

/** By then most who ask while it starts have their answer. */
const LATER_MS = 1_000;

const serverOptions: http.ServerOptions = {
  maxHeaderSize,
  noDelay: true,
  keepAlive: true,
  headersTimeout: 60_000,
  // An upload may take hours: its silence is limited (`idleMs`), not its time.
  requestTimeout: 0,
  // Longer than the idle time of common load balancers (60 s): they must be the ones to close.
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 10_000,
};

export function createGateway(options: GatewayOptions): Gateway {
  const { log, tls, idleMs = 120_000, drainMs = 30_000 } = options;
  const addresses = createAddresses(options);
  const { storage, registry, maxKeys = 10 } = options;
  const iam = registry && createIamService({ registry, storage, maxKeys });
  const pipeline = createPipeline({ ...options, iam, addresses, operations: options.operations ?? operations, idleMs });
  // Loaded with the first request for it or soon, not before the first answer to anybody; nor much later, when another version
  // may be installed in the place of the files.
  let endpoints: Promise<ServiceListener> | undefined;
  const loadEndpoints = (): Promise<ServiceListener> => {
    endpoints ??= import('./endpoints.js').then((module) =>
      module.serviceEndpoints(storage, () => closing !== undefined),
    );
    endpoints.catch(() => (endpoints = undefined));
    return endpoints;
  };
  const service = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    try {
      const answer = await loadEndpoints();
      await answer(incoming, outgoing);
    } catch (error) {
      log.error({ err: error }, 'the service endpoints do not answer');
      outgoing.destroy();
    }
  };
  const secure = tls ? https.createServer({ ...serverOptions, minVersion: 'TLSv1.2', ...tls }) : undefined;
  const server: http.Server = secure ?? http.createServer(serverOptions);
  const owing = new WeakMap<Socket, Owing>();
  /** Node tells of each piece that comes behind the first garbage. */
  const spoilt = new WeakSet<Socket>();
  let closing: Promise<void> | undefined;

  const clientOf = ({ socket, headers }: IncomingMessage) =>
    addresses.client(socket.remoteAddress ?? '', headers['x-forwarded-for']?.toString());
  const serve = (incoming: IncomingMessage, outgoing: ServerResponse, awaitsContinue: boolean) => {
    const { socket } = incoming;
    let owes = owing.get(socket);
    if (!owes) owing.set(socket, (owes = {}));
    const { last: before } = owes;
    owes.last = outgoing;
    const begin = () => {
      // RFC 9112 section 9.6: after a reply with "close" the server "MUST NOT process any further requests".
      if (!socket.writable) return;
      if (owes.last === outgoing) socket.resume();
      owes.now = outgoing;
      // A bucket cannot begin with a dot, so this is nobody's. Whoever is not served is told so by the pipeline.
      if (incoming.url?.startsWith('/.tidegate/') && addresses.served(clientOf(incoming)))
        void service(incoming, outgoing);
      else void pipeline.handle(incoming, outgoing, awaitsContinue);
    };
    if (!before || before.closed) return begin();
    // Pipelined requests have the effect of one after the other; only safe ones might be worked on at once (RFC 9112
    // section 9.3.2). Until then nothing more is read, or a client that takes no replies could fill our memory.
    before.once('close', begin);
    // Not at once: node resumes it at the end of each message, of which the piece that has come may hold more.
    process.nextTick(() => owes.now !== owes.last && socket.pause());
  };
  server.on('request', (incoming, outgoing) => serve(incoming, outgoing, false));
  // Node would say "continue" by itself before anybody is known.
  server.on('checkContinue', (incoming, outgoing) => serve(incoming, outgoing, true));
  // RFC 9110 section 10.1.1: an unknown expectation MAY be answered 417; S3 goes on.
  server.on('checkExpectation', (incoming, outgoing) => serve(incoming, outgoing, false));
  server.on('clientError', (error, stream) => {
    const socket = stream as Socket;
    if (spoilt.has(socket)) return;
    spoilt.add(socket);
    const { last, now } = owing.get(socket) ?? {};
    // Garbage behind complete requests: those still get their answers, the last of which ends the connection.
    const answer = [last, now].find((outgoing) => outgoing?.req.complete && !outgoing.writableFinished);
    if (answer) answer.once('finish', () => socket.end());
    // Within a request whose answer has begun: what is written now would be taken for a part of that.
    else if (now?.headersSent && !now.writableFinished) socket.end();
    else refuse(error, socket);
  });
  server.on('connect', (_incoming, socket) => socket.destroy());
  // No listener for `upgrade`: "A server MAY ignore a received Upgrade header field" (RFC 9110 section 7.8), and clients
  // that would like HTTP/2 (Java's own, curl --http2) offer it on their first request.
  secure?.on('tlsClientError', (error) => log.debug({ err: error }, 'TLS handshake failed'));
  // Their size is limited; beyond a number of them node would leave out the rest in silence, an If-None-Match perhaps.
  server.maxHeadersCount = 0;
  server.timeout = idleMs;
  server.on('timeout', (socket) => {
    const outgoing = owing.get(socket)?.now;
    // We are the slow one: a store that takes its time is no fault of the client. Bodies have a time limit of their own.
    if (outgoing && !outgoing.headersSent) return;
    socket.destroy();
  });

  async function close(): Promise<void> {
    pipeline.stop();
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const cancel = new AbortController();
    // Connections that were between two requests at the moment of closing, or whose reply went out before `stop`.
    const sweep = setInterval(() => server.closeIdleConnections(), 250);
    const patience = delay(drainMs, undefined, { signal: cancel.signal }).then(
      () => {
        if (pipeline.inFlight > 0) log.warn(`${pipeline.inFlight} requests cut off after ${drainMs} ms`);
        server.closeAllConnections();
      },
      () => undefined,
    );
    await ended;
    clearInterval(sweep);
    cancel.abort();
    await patience;
  }

  return {
    listen(at) {
      return new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(at, () => {
          server.off('error', reject);
          server.on('error', (error) => log.error({ err: error }, 'listener failed'));
          setTimeout(() => void loadEndpoints().catch(() => {}), LATER_MS).unref();
          resolve({ port: (server.address() as AddressInfo).port });
        });
      });
    },
    close() {
      closing ??= close();
      return closing;
    },
    setCertificate(certificate) {
      secure?.setSecureContext({ minVersion: 'TLSv1.2', ...certificate });
    },
  };
}

/** What is no HTTP: answered as S3 would, if the socket still takes it. */
function refuse(error: NodeJS.ErrnoException, socket: import('node:stream').Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [
          'RequestHeaderSectionTooLarge',
          'Your request header section exceeds the maximum allowed request header section size.',
        ]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [
            'RequestTimeout',
            'Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.',
          ]
        : ['BadRequest', 'An error occurred when parsing the HTTP request.'];
  const document = writeXml({ Error: { Code: code, Message: message } });
  const head = [
    'HTTP/1.1 400 Bad Request',
    'Server: Tidegate',
    'Content-Type: application/xml',
    `Content-Length: ${Buffer.byteLength(document)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${document}`);
}
