/** The only place that writes to a response: headers, XML, streams, errors, and how a connection goes on or ends. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { S3Error } from '../errors.js';
import type { Reply, XmlValue } from '../s3/types.js';
import { declaration, writeXml } from '../s3/xml/write.js';
import type { Sink, SinkSocket } from '../storage/types.js';

/** A request and its response, with what a reply must know of them. */
export interface Exchange {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  requestId: string;
  hostId: string;
  /** For the element Resource of errors: the raw path. */
  resource: string;
  /** Elements that AWS adds to some errors, where they are known. */
  bucket: string | undefined;
  key: string | undefined;
  /** The client waits for `100 Continue`, and did not get it yet. */
  awaitsContinue: boolean;
  /** Asked when the reply begins: the gateway is stopping, and the connection ends with it. */
  last: () => boolean;
  /** Called when the reply is out, and only what the client still sends is waited for. */
  answered?: () => void;
  /** The document of an error, of APIs that have a form of their own. Default: S3's. */
  errorDocument?: (error: S3Error, requestId: string) => { [root: string]: XmlValue };
  /** Milliseconds between the spaces of a slow reply, and before the first. */
  pace?: { first: number; every: number };
}

/** The client closed the connection: nobody is left to tell anything. */
export class ClientGone extends Error {
  constructor() {
    super('the client closed the connection');
    this.name = 'ClientGone';
  }
}

/** Above this, what the client still wants to send is not waited for on a connection that goes on. */
const keepAliveRemainder = 1024 * 1024;
/** Node joins a head only with text into one write; up to 16 KiB in all without memory of its own. Latin-1 is the bytes as they are. */
const oneWriteBytes = 8 * 1024;
/** So much, so long is read and thrown away of a refused upload, so that the client comes to read the reply. */
const drainBytes = 64 * 1024 * 1024;
const drainMs = 10_000;

/**
 * Sends the reply and resolves when it is out, the body closed, the rest of the request drained; undefined when it is already.
 * The result is the error of a slow reply whose 200 was already on its way.
 * @throws what the body failed with before anything was sent; `ClientGone`; what broke a stream (the socket is destroyed)
 */
export function sendReply(exchange: Exchange, reply: Reply): Promise<S3Error | undefined> | undefined {
  const { body } = reply;
  const status = reply.status ?? 200;
  if (body && 'slowXml' in body) return sendSlowly(exchange, reply, body.slowXml);
  if (body && 'send' in body) return sendAndClose(exchange, status, reply.headers, body);
  if (!body) return sendBytes(exchange, status, reply.headers, undefined, reply.length);
  const [bytes, type] =
    'xml' in body ? [Buffer.from(writeXml(body.xml), 'utf8'), 'application/xml'] : [body.bytes, body.type];
  const headers = type === undefined ? reply.headers : { 'content-type': type, ...reply.headers };
  return sendBytes(exchange, status, headers, bytes);
}

/** The S3 error document; for HEAD only its length, and none for 304. Does nothing when a reply has begun: then the socket is destroyed. */
export async function sendError(exchange: Exchange, error: S3Error): Promise<void> {
  if (exchange.outgoing.headersSent) {
    exchange.outgoing.destroy();
    return;
  }
  // RFC 9110 section 15.4.5: a 304 has no content.
  if (error.status === 304) return sendBytes(exchange, 304, error.headers, undefined);
  const { errorDocument, requestId } = exchange;
  const content = errorDocument?.(error, requestId) ?? { Error: errorElements(exchange, error) };
  const document = Buffer.from(writeXml(content), 'utf8');
  const headers = { 'content-type': 'application/xml', ...error.headers };
  // Clients of Node's begin a new connection behind a HEAD without a length.
  await sendBytes(exchange, error.status, headers, document, document.byteLength);
}

function errorElements({ resource, requestId, hostId, bucket, key }: Exchange, error: S3Error): XmlValue {
  const named: Record<string, string | undefined> = {};
  if (error.code === 'NoSuchBucket') named['BucketName'] = bucket;
  if (error.code === 'NoSuchKey') named['Key'] = key;
  return {
    Code: error.code,
    Message: error.message,
    ...named,
    ...error.fields,
    Resource: resource,
    RequestId: requestId,
    HostId: hostId,
  };
}

// ---- head --------------------------------------------------------------------------------------------------------

const noHeaders = {};

/** @param length of the body; 'unknown': of one that a HEAD does not get; undefined: it is sent as it comes, or there can be none */
function writeHead(
  exchange: Exchange,
  status: number,
  headers: Reply['headers'],
  length: number | 'unknown' | undefined,
): void {
  const { outgoing, incoming, requestId, hostId } = exchange;
  // Names and values in turns: half the work of an object for node.
  const all = ['server', 'Tidegate', 'x-amz-request-id', requestId, 'x-amz-id-2', hostId];
  for (const name of Object.keys(headers ?? noHeaders)) {
    const value = headers?.[name];
    // Two lengths would be two messages to somebody (RFC 9112 section 6.3).
    if (value !== undefined && !(name === 'content-length' && length !== undefined)) all.push(name, value);
  }
  if (length === 'unknown') {
    // Also in reply to a HEAD (RFC 9112 section 6.1): clients of Node's begin a new connection behind one that tells nothing.
    if (incoming.httpVersion !== '1.0') all.push('transfer-encoding', 'chunked');
  } else if (length !== undefined) all.push('content-length', String(length));
  // A client that was never told to continue may or may not send its body: the next bytes would be ambiguous.
  const unfinished = !incoming.complete && declaredBody(incoming) && (exchange.awaitsContinue || !isShort(incoming));
  if (unfinished || exchange.last()) all.push('connection', 'close');
  outgoing.writeHead(status, all);
}

function isShort({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length']) <= keepAliveRemainder;
}

function declaredBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function sendBytes(
  exchange: Exchange,
  status: number,
  headers: Reply['headers'],
  bytes: Uint8Array | undefined,
  headLength?: number,
): Promise<undefined> | undefined {
  const { outgoing, incoming } = exchange;
  const isHead = incoming.method === 'HEAD';
  const bodiless = status === 204 || status === 304;
  const whole = isHead ? (headLength ?? 'unknown') : (bytes?.byteLength ?? 0);
  const length = bodiless ? undefined : whole;
  writeHead(exchange, status, headers, length);
  const rest = finish(exchange, bodiless || isHead ? undefined : bytes);
  const out = () => (outgoing.writableFinished || outgoing.destroyed ? undefined : over(outgoing));
  return rest ? rest.then(out) : out();
}

/** Resolves when everything is handed to the kernel, or the connection is closed: both end with this event. */
function over(outgoing: ServerResponse): Promise<undefined> {
  return new Promise((resolve) => void outgoing.once('close', () => resolve(undefined)));
}

// ---- streams -----------------------------------------------------------------------------------------------------

/**
 * Waits until the bytes have been handed to the kernel: only then may the chunk be used again, and only so fast does the
 * source read.
 */
function write(outgoing: ServerResponse, chunk: Uint8Array | string): Promise<void> {
  if (chunk.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    if (outgoing.destroyed || outgoing.writableEnded) return reject(new ClientGone());
    const gone = () => reject(new ClientGone());
    outgoing.once('close', gone);
    outgoing.write(chunk, (error) => {
      outgoing.off('close', gone);
      if (error) gone();
      else resolve();
    });
  });
}

type Stream = Extract<Reply['body'], { send: unknown }>;

async function sendAndClose(
  exchange: Exchange,
  status: number,
  headers: Reply['headers'],
  body: Stream,
): Promise<undefined> {
  try {
    await sendStream(exchange, status, headers, body);
  } finally {
    await body.close();
  }
  return undefined;
}

async function sendStream(exchange: Exchange, status: number, headers: Reply['headers'], body: Stream): Promise<void> {
  const { outgoing, incoming } = exchange;
  if (incoming.method === 'HEAD' || body.length === 0) {
    writeHead(exchange, status, headers, body.length);
    return finish(exchange, undefined);
  }
  let sent = 0;
  const count = (bytes: number): void => {
    sent += bytes;
    if (sent > body.length) throw new Error('the object is longer than its Content-Length');
  };
  const sink: Sink = (chunk) => {
    // Only with the first bytes in hand: a read that fails at once still gets its proper status.
    if (!outgoing.headersSent) writeHead(exchange, status, headers, body.length);
    count(chunk.byteLength);
    return write(outgoing, chunk);
  };
  sink.socket = socketBehind(exchange, count);
  try {
    await body.send(sink);
    if (sent !== body.length) throw new Error(`the object ended after ${sent} of ${body.length} bytes`);
  } catch (error) {
    // Ending here would look like a complete object to careless clients.
    if (outgoing.headersSent) outgoing.destroy();
    throw error;
  }
  await finish(exchange, undefined);
}

/** The connection itself, for whoever can write to it without this thread. @param count of what it takes that way */
function socketBehind({ incoming, outgoing }: Exchange, count: (bytes: number) => void): SinkSocket {
  const { socket } = incoming;
  return {
    descriptor() {
      // The head and all chunks have reached the kernel, and nothing but this reply is written: no refusal of what comes
      // behind the request (`clientError`) either, as long as the request is complete.
      const clear = outgoing.headersSent && outgoing.writableLength === 0 && socket.writableLength === 0;
      const ours = outgoing.socket === socket && incoming.complete && socket.writable && !outgoing.chunkedEncoding;
      if (!clear || !ours || 'encrypted' in socket) return undefined;
      const fd = (socket as { _handle?: { fd?: number } })._handle?.fd;
      return fd !== undefined && fd >= 0 ? fd : undefined;
    },
    sent(bytes) {
      count(bytes);
      if (outgoing.destroyed || !socket.writable) throw new ClientGone();
      // Node counts the silence of a connection, and has not heard of these.
      if (bytes > 0 && socket.timeout) socket.setTimeout(socket.timeout);
    },
  };
}

async function sendSlowly(
  exchange: Exchange,
  { status, headers }: Reply,
  work: Promise<{ [root: string]: XmlValue }>,
): Promise<S3Error | undefined> {
  const { outgoing, pace = { first: 2_000, every: 5_000 } } = exchange;
  const cancel = new AbortController();
  const patience = delay(pace.first, undefined, { signal: cancel.signal }).catch(() => undefined);
  const early = await Promise.race([work, patience]).finally(() => cancel.abort());
  if (early) return sendReply(exchange, { status, headers, body: { xml: early } });

  writeHead(exchange, status ?? 200, { 'content-type': 'application/xml', ...headers }, undefined);
  outgoing.write(`${declaration} `);
  const timer = setInterval(() => outgoing.write(' '), pace.every);
  let failure: S3Error | undefined;
  let document: { [root: string]: XmlValue };
  try {
    document = await work;
  } catch (error) {
    failure = error instanceof S3Error ? error : new S3Error('InternalError', { cause: error });
    document = { Error: errorElements(exchange, failure) };
  } finally {
    clearInterval(timer);
  }
  await finish(exchange, Buffer.from(writeXml(document, false), 'utf8'));
  return failure;
}

// ---- the end of an exchange --------------------------------------------------------------------------------------

/** Sends the last bytes. What the client still sends is read up to a bound, else it sees a reset and not the reply. */
function finish(exchange: Exchange, bytes: Uint8Array | undefined): Promise<void> | undefined {
  const { incoming, outgoing } = exchange;
  // What has arrived and was not read counts as unread: whoever stopped in the middle learns by it that it is over.
  const allRead = incoming.readableEnded || (incoming.complete && incoming.readableLength === 0);
  if (allRead || !declaredBody(incoming) || exchange.awaitsContinue || incoming.destroyed) {
    if (!bytes || bytes.length > oneWriteBytes) {
      outgoing.end(bytes);
      return undefined;
    }
    if (bytes.length > 0) {
      outgoing.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'), 'latin1');
      // Now: `end` would put an empty piece behind it, and both into a list.
      outgoing.socket?.uncork();
    }
    outgoing.end();
    return undefined;
  }
  if (bytes) outgoing.write(bytes);
  else outgoing.flushHeaders();
  exchange.answered?.();
  return drain(incoming).then(() => void outgoing.end());
}

function drain(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let left = drainBytes;
    const done = () => {
      clearTimeout(timer);
      incoming.off('data', onData).off('end', done).off('close', done).off('error', done);
      resolve();
    };
    const onData = (piece: Buffer) => {
      left -= piece.length;
      if (left <= 0) done();
    };
    const timer = setTimeout(done, drainMs);
    incoming.on('data', onData).once('end', done).once('close', done).once('error', done);
    incoming.resume();
  });
}
