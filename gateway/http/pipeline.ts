/**
 * The way of a request: target → resolve → authenticate → bucket → authorize → (100 Continue) → handler → reply. The one
 * place that catches, maps to S3's errors, and logs.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { nobody, unpackActAs } from '../../acl/act-as.js';
import type { Decision } from '../../acl/authorize.js';
import type { Account, Identity } from '../../acl/identity.js';
import { hoistedHeaders, unsignedPayload } from '../auth/authenticate.js';
import { S3Error } from '../errors.js';
import { createRequestLog, type RequestLine, withoutSecrets } from '../observe/requests.js';
import { accessOf } from '../s3/access.js';
import { createPermission, type Permission } from '../s3/permission.js';
import { type Recorded, recordChanges } from '../s3/recorded.js';
import { actionsOf, resolve } from '../s3/resolve.js';
import type { Context, Operation } from '../s3/types.js';
import type { Body, Bucket, Place, Storage } from '../storage/types.js';
import { type Caller, identify, nobodyInParticular, renew } from './caller.js';
import { factsOf } from './facts.js';
import type { PipelineOptions } from './options.js';
import { answerIam } from './query-api.js';
import { ClientGone, type Exchange, sendError, sendReply } from './reply.js';
import { type Request, wireBody } from './request.js';
import { hostId, newRequestId } from './request-id.js';
import { parseTarget, parseWire } from './target.js';
import { turn } from './turn.js';
import type { WireRequest } from './types.js';

export interface Pipeline {
  /** Answers one request. Never rejects. `awaitsContinue`: the client sent `Expect: 100-continue`. */
  handle(incoming: IncomingMessage, outgoing: ServerResponse, awaitsContinue: boolean): Promise<void>;
  /** From now on every reply ends its connection. */
  stop(): void;
  /** Requests in work. */
  readonly inFlight: number;
}

/** What is known of a request so far: for the log line, also of one that fails. */
interface Progress {
  operation?: { name: string };
  account?: Account;
  /** Address of the client, behind proxies that are believed. */
  client?: string;
  failures?: readonly S3Error[];
}

/** Bytes that come at once are stored without asking again. */
const LONG_MS = 1_000;
const noTrailers: ReadonlyMap<string, string> = new Map();
const noBody: Body = { length: 0, read: async () => {} };

export function createPipeline(options: PipelineOptions): Pipeline {
  const { maxRequests } = options;
  const requests = createRequestLog(options.log);
  let inFlight = 0;
  let stopping = false;

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse, awaitsContinue: boolean): Promise<void> {
    const started = performance.now();
    const path = incoming.url ?? '/';
    const mark = path.indexOf('?');
    const exchange: Exchange = {
      incoming,
      outgoing,
      requestId: newRequestId(),
      hostId,
      resource: mark < 0 ? path : path.slice(0, mark),
      bucket: undefined,
      key: undefined,
      awaitsContinue,
      last: () => stopping,
    };
    // A socket that breaks while nobody reads or writes must not become an uncaught exception.
    incoming.on('error', ignore);
    outgoing.on('error', ignore);
    const progress: Progress = {};
    let failure: unknown;
    let counted = inFlight < maxRequests;
    if (counted) inFlight++;
    const release = () => {
      if (counted) inFlight--;
      counted = false;
    };
    // Nobody's uploads, refused and then not sent, must not take the places of others while they are waited for.
    exchange.answered = release;
    try {
      if (!counted) throw new S3Error('SlowDown', { headers: { 'retry-after': '1' } });
      failure = await answer(options, exchange, progress);
    } catch (error) {
      failure = await tell(exchange, error);
    } finally {
      release();
    }
    const ms = performance.now() - started;
    requests.record(() => lineOf(exchange, progress, ms), failure, progress.failures);
  }

  return {
    handle,
    stop() {
      stopping = true;
    },
    get inFlight() {
      return inFlight;
    },
  };
}

function ignore(): void {}

/** Sends the error. The result is what is to be logged of it. */
async function tell(exchange: Exchange, error: unknown): Promise<unknown> {
  if (error instanceof ClientGone) return error;
  const known = error instanceof S3Error ? error : new S3Error('InternalError', { cause: error });
  try {
    if (known.status >= 500 && known.code === 'InternalError') exchange.last = () => true;
    await sendError(exchange, known);
    return known;
  } catch (second) {
    exchange.outgoing.destroy();
    return new S3Error('InternalError', { cause: new AggregateError([error, second], 'the error could not be sent') });
  }
}

/** What the log tells of the request itself. */
function lineOf(
  { incoming, outgoing, requestId }: Exchange,
  { operation, account, client }: Progress,
  ms: number,
): RequestLine {
  return {
    requestId,
    method: incoming.method,
    url: incoming.url === undefined ? undefined : withoutSecrets(incoming.url),
    operation: operation?.name,
    status: outgoing.headersSent ? outgoing.statusCode : undefined,
    account: account?.uuid,
    peer: client ?? incoming.socket?.remoteAddress,
    ms: Math.round(ms * 10) / 10,
  };
}

// ---- from the wire to the reply ----------------------------------------------------------------------------------

async function answer(options: PipelineOptions, exchange: Exchange, progress: Progress): Promise<S3Error | undefined> {
  await turn();
  const wire = parseWire(exchange.incoming);
  wire.remoteAddress = options.addresses.client(wire.remoteAddress, wire.headers.get('x-forwarded-for'));
  progress.client = wire.remoteAddress;
  if (!options.addresses.served(wire.remoteAddress)) throw unreachable('the gateway', wire);
  const target = parseTarget(wire, options.hostStyle);
  exchange.bucket = target.bucket;
  exchange.key = target.key;
  // A presigned URL carries headers in its query, and `x-amz-copy-source` among them makes another operation of it.
  const presigned = wire.query.has('X-Amz-Signature') || wire.query.has('AWSAccessKeyId');
  const headers = presigned ? hoistedHeaders(wire, wire.headers) : wire.headers;
  const operation = resolve({ method: wire.method, target, query: wire.query, headers }, options.operations);
  progress.operation = operation;

  const request: Request = { options, exchange, wire, target, headers, operation, now: Date.now() };
  if (operation.api) return answerIam(request, progress);
  if (target.bucket !== undefined && !operation.open) {
    // While the caller is looked up: one message to the workers for both.
    request.looked = options.storage.bucket(target.bucket);
    request.looked.catch(ignore);
  }
  const caller: Caller = operation.open ? nobodyInParticular() : await identify(request);
  progress.account = caller.identity.account;
  const permission = permissionOf(request, caller);
  const permitted = await permittedPlace(request, caller, permission);
  if (!operation.handler) {
    throw new S3Error('NotImplemented', { message: `The operation ${operation.name} is not implemented` });
  }
  const reply = await operation.handler(createContext(request, caller, permission, permitted));
  progress.failures = reply.failures;
  const sent = sendReply(exchange, reply);
  return sent && (await sent);
}

function permissionOf({ options, exchange, wire, headers, operation, now }: Request, caller: Caller): Permission {
  const { identity, authenticated, form } = caller;
  const { socket } = exchange.incoming;
  return createPermission({
    storage: options.storage,
    identity,
    policies: () => caller.policies,
    ownerOf: ({ owner }) => caller.owners.get(owner),
    facts: (known) => factsOf({ operation: operation.name, wire, headers, socket, now, authenticated, form }, known),
  });
}

/** What it opens is asked for, what it changes is recorded. One prototype for all requests: to V8 a new one is much work. */
function storageFor(request: Request, { identity }: Caller, { guarded }: Permission): Storage {
  const store: Storage = Object.create(request.options.storage);
  // What is guarded comes last: nothing may take its place.
  return Object.assign(store, recordedBy(request, identity), guarded);
}

function recordedBy({ options, exchange, wire, operation }: Request, { account }: Identity): Recorded | undefined {
  const { storage, changes, log } = options;
  const { requestId } = exchange;
  // Safe in the sense of RFC 9110 section 9.2.1: they change nothing.
  if (!changes || wire.method === 'GET' || wire.method === 'HEAD') return undefined;
  return recordChanges({
    storage,
    changes,
    operation: operation.name,
    requester: account?.uuid,
    sourceIp: wire.remoteAddress,
    requestId,
    next: turn,
    failed: (err, { name, key }) => log.error({ err, requestId, event: name, key }, 'change not recorded'),
  });
}

/** Where the request works, and what let the caller in; nothing of both on rows without a bucket. */
interface Permitted {
  place?: Place;
  decision?: Decision;
}

/**
 * The bucket of the request, when the caller may do there what the operation needs.
 * @param known the place of this request when it is asked again: it becomes what it is now
 * @throws NoSuchBucket, AccessDenied
 */
async function permittedPlace(
  request: Request,
  caller: Caller,
  permission: Permission,
  known?: Place,
): Promise<Permitted> {
  const { operation, target } = request;
  if (operation.open) return {};
  if (operation.level === 'service' || operation.bucketOptional) {
    return { decision: permission.permitAccount(operation.action, target.bucket) };
  }
  const now = await placeOf(request, caller, target.bucket ?? '');
  // The same place, for what was permitted in it is remembered by that.
  const place = known ? Object.assign(known, now) : now;
  const asked = permitted(request, caller, permission, place);
  const decision = asked && (await asked);
  expectOwner(place, request.headers.get('x-amz-expected-bucket-owner'));
  return { place, decision };
}

function permitted(
  { operation, target, wire: { query } }: Request,
  { identity, form }: Caller,
  permission: Permission,
  place: Place,
): Promise<Decision> | undefined {
  const key = form ? form.fields.get('key') : target.key;
  const [action, ...also] = actionsOf(operation, query);
  if (operation.eachKey) {
    // Without a policy one key is as good as another: a document of a thousand keys is not read for nobody.
    const { bucketPolicy } = accessOf(place.bucket);
    return identity.account || bucketPolicy ? undefined : permission.permit(place, undefined, action);
  }
  if (operation.looks && key !== undefined) {
    permission.permitWhenOpened(place, key, [action, ...also]);
    return undefined;
  }
  if (operation.uploader && key !== undefined) {
    return permission.permitUploader(place, key, action, query.get('uploadId') ?? '');
  }
  return permission.permit(place, key, action);
}

/** "If the account ID that you provide does not match the actual owner of the bucket, the request fails with 403." */
function expectOwner({ bucket }: Place, expected: string | undefined): void {
  if (expected === undefined || expected === bucket.owner) return;
  throw new S3Error('AccessDenied', { cause: new Error(`the bucket is of ${bucket.owner}, not of ${expected}`) });
}

const unreachable = (what: string, { remoteAddress }: WireRequest): S3Error =>
  new S3Error('AccessDenied', { cause: new Error(`${what} is not reached from ${remoteAddress || 'nowhere known'}`) });

async function placeOf(request: Request, caller: Caller, name: string): Promise<Place> {
  const { options, wire } = request;
  const { looked } = request;
  // Once: what is asked later is to be true then.
  request.looked = undefined;
  const bucket = await (looked && name === request.target.bucket ? looked : options.storage.bucket(name));
  if (!bucket) throw new S3Error('NoSuchBucket', { fields: { BucketName: name } });
  // Before any permission, so that it holds for everybody: the owner, and whoever has a presigned URL.
  if (!options.addresses.reaches(bucket.config['access'], wire.remoteAddress))
    throw unreachable(`bucket ${name}`, wire);
  const own = caller.identity.account;
  return { bucket, actor: own?.uuid === bucket.owner ? own.actor : await actorOf(options, caller, bucket) };
}

/** Files of another's bucket are worked on as its owner, whoever the caller is, or (`actAs: requester`) as the caller. */
async function actorOf(
  { identities }: PipelineOptions,
  { identity: { account }, policies, owners }: Caller,
  { owner, config }: Bucket,
): Promise<Place['actor']> {
  const asRequester = unpackActAs(config['actAs']) === 'requester';
  const limited = policies.length > 0 || account?.limited;
  const other = asRequester && !limited ? undefined : await identities.byId(owner);
  if (other) owners.set(owner, other);
  if (asRequester) return account?.actor ?? nobody;
  if (!other) throw new S3Error('AccessDenied', { cause: new Error(`the owner ${owner} of the bucket is no account`) });
  return other.actor;
}

// ---- what a handler gets -----------------------------------------------------------------------------------------

const nowheres = new Map<string, Place>();
/** Rows without a place do not look at it; reading it there is a mistake that shall not go unnoticed. One for each of them. */
function nowhere({ name }: Operation): Place {
  const get = (_: Place, asked: string | symbol) => {
    throw new Error(`${name} has no place, but its handler asks for '${String(asked)}' of it`);
  };
  const made = nowheres.get(name) ?? new Proxy({} as Place, { get });
  nowheres.set(name, made);
  return made;
}

function createContext(
  request: Request,
  caller: Caller,
  permission: Permission,
  { place, decision }: Permitted,
): Context {
  const { options, exchange, wire, target, headers, operation, now } = request;
  const { identity, authenticated, form } = caller;
  const { identities, region, maxBuckets, sync } = options;
  const reads = operation.body === 'xml' || operation.body === 'stream';
  // The anonymous sign nothing, but their clients send payloads in chunks too, and say what its SHA-256 is.
  const payload = reads ? (authenticated?.payload ?? unsignedPayload(headers)) : undefined;
  const { body, trailers } = reads ? wireBody(request, payload) : { body: noBody, trailers: noTrailers };
  let known: Map<string, Promise<string>> | undefined;
  // Its sender decides how long a document takes: what it may do is asked for when it is complete, of what is there then.
  const asked = (sent: Body, within: number): Body => ({
    length: sent.length,
    async read(sink) {
      const began = performance.now();
      await sent.read(sink);
      if (performance.now() - began < within) return;
      await renew(options, caller);
      if (operation.body === 'xml') await permittedPlace(request, caller, permission, place);
    },
  });
  return {
    storage: storageFor(request, caller, permission),
    identity,
    headers,
    query: wire.query,
    bucketName: target.bucket ?? '',
    key: target.key ?? '',
    place: place ?? nowhere(operation),
    async otherPlace(bucketName, key, action) {
      const other = await placeOf(request, caller, bucketName);
      permission.permitWhenOpened(other, key, [action]);
      expectOwner(other, headers.get('x-amz-source-expected-bucket-owner'));
      return other;
    },
    async permit(at, key, action, object) {
      await permission.permit(at, key, action, object);
    },
    permitNew: permission.permitNew,
    byRole: decision?.by === 'role',
    body: form ? asked(form.file, LONG_MS) : asked(body, operation.body === 'xml' ? 0 : LONG_MS),
    form,
    trailers,
    payloadSha256: payload?.kind === 'sha256' ? payload.hex : undefined,
    now,
    objectUrl(key) {
      const origin = `${wire.secure ? 'https' : 'http'}://${headers.get('host') ?? 'localhost'}`;
      const names = [...(target.style === 'host' ? [] : [target.bucket ?? '']), ...key.split('/')];
      return `${origin}/${names.map(encodeURIComponent).join('/')}`;
    },
    requestId: exchange.requestId,
    region,
    maxBuckets,
    displayName(id) {
      if (id === identity.account?.uuid) return Promise.resolve(identity.account.displayName);
      known ??= new Map();
      let name = known.get(id);
      if (!name) {
        name = identities.byId(id).then((account) => account?.displayName ?? '');
        known.set(id, name);
      }
      return name;
    },
    testEvent: options.testEvent,
    sync,
    isAccount: async (id) => id === identity.account?.uuid || (await identities.byId(id)) !== undefined,
  };
}
