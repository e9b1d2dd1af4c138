/**
 * AWS's Query protocol, which IAM speaks: a form in the body of `POST /`, or in the query of a GET, signed for the service.
 *
 * Clients of IAM do not send the hash that their signature is made over, so the body must be read before anybody is known:
 * so much only as a policy may need, and not before the key and the date are found good.
 */
import { createHash } from 'node:crypto';
import type { Account } from '../../acl/identity.js';
import { contextOf } from '../../acl/policy/context.js';
import { authenticateService } from '../auth/authenticate.js';
import type { Authenticated, AuthInput } from '../auth/types.js';
import { S3Error } from '../errors.js';
import { errorDocument } from '../iam/shapes.js';
import type { Body } from '../storage/types.js';
import { readAll } from './body.js';
import { accountFinder, callerOf } from './caller.js';
import { factsOf } from './facts.js';
import { sendReply } from './reply.js';
import { type Request, wireBody } from './request.js';
import type { WireRequest } from './types.js';

/** A policy of 6,144 characters, each of them escaped and with much white space. */
const maxFormBytes = 128 * 1024;

const formType = /^application\/x-www-form-urlencoded\s*(;|$)/i;

/** What the log hears of a request, also of one that fails. */
interface IamProgress {
  operation?: { name: string };
  account?: Account | undefined;
}

/** Of IAM everything but the signature is IAM's own. */
export async function answerIam(request: Request, progress: IamProgress): Promise<S3Error | undefined> {
  const { options, exchange, wire, target, headers, operation, now } = request;
  exchange.errorDocument = errorDocument;
  if (!options.iam) throw new S3Error('NotImplemented', { message: `The API ${operation.name} is not served here` });
  const finder = accountFinder(options);
  const input = { request: wire, target, headers: wire.headers, now, lookup: finder.lookup };
  const { authenticated, form } = await readQueryRequest(input, wireBody(request).body);
  // The sender decides how long the form takes: who it is, is asked when it is there.
  if (!(await finder.stands(authenticated.accessKey))) throw new S3Error('InvalidAccessKeyId');
  const { identity, policies } = await callerOf(options, finder, authenticated.accessKey);
  progress.account = identity.account;
  const { socket } = exchange.incoming;
  const reply = await options.iam({
    identity,
    policies,
    context: contextOf(
      factsOf({ operation: operation.name, wire, headers, socket, now, authenticated, form: undefined }, {}),
    ),
    form,
    requestId: exchange.requestId,
    named: (name) => {
      progress.operation = { name };
    },
  });
  return sendReply(exchange, reply);
}

/** @throws S3Error RequestEntityTooLarge, and what `authenticateService` throws */
async function readQueryRequest(
  input: Omit<AuthInput, 'service' | 'payloadHash'>,
  body: Body,
): Promise<{ authenticated: Authenticated; form: string }> {
  let bytes: Promise<Buffer> | undefined;
  const read = () => {
    bytes ??= input.request.method === 'POST' ? bounded(body) : Promise.resolve(Buffer.alloc(0));
    return bytes;
  };
  const payloadHash = async () =>
    createHash('sha256')
      .update(await read())
      .digest('hex');
  const authenticated = await authenticateService({ ...input, service: 'iam', payloadHash });
  return { authenticated, form: formOf(input.request, await read()) };
}

async function bounded(body: Body): Promise<Buffer> {
  try {
    return await readAll(body, maxFormBytes);
  } catch (error) {
    if (!(error instanceof S3Error) || error.code !== 'MaxMessageLengthExceeded') throw error;
    throw new S3Error('RequestEntityTooLarge', { message: `The request is larger than ${maxFormBytes} bytes` });
  }
}

function formOf({ method, rawQuery, headers }: WireRequest, body: Buffer): string {
  if (method !== 'POST') return rawQuery;
  const type = headers.get('content-type') ?? '';
  if (!formType.test(type)) {
    throw new S3Error('ValidationError', { message: 'The content type must be application/x-www-form-urlencoded' });
  }
  return body.toString('utf8');
}
