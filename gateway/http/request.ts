/** A request on its way through the pipeline, and its payload. */
import type { PayloadCheck } from '../auth/types.js';
import type { Operation } from '../s3/types.js';
import type { Body, Bucket } from '../storage/types.js';
import { createBody } from './body.js';
import type { PipelineOptions } from './options.js';
import type { Exchange } from './reply.js';
import type { Headers, Target, WireRequest } from './types.js';

export interface Request {
  options: PipelineOptions;
  exchange: Exchange;
  wire: WireRequest;
  target: Target;
  headers: Headers;
  operation: Operation;
  now: number;
  /** The bucket that it names, as it was looked up when the request came. */
  looked?: Promise<Bucket | undefined> | undefined;
}

/** The payload as the signature protects it. `100 Continue` goes out when somebody begins to read. */
export function wireBody(request: Request, payload: PayloadCheck = { kind: 'none' }): ReturnType<typeof createBody> {
  const { exchange, headers, options } = request;
  const { body, trailers } = createBody(exchange.incoming, { payload, headers, idleMs: options.idleMs });
  const read: Body['read'] = (sink) => {
    if (exchange.awaitsContinue) {
      exchange.awaitsContinue = false;
      exchange.outgoing.writeContinue();
    }
    return body.read(sink);
  };
  return { body: { length: body.length, read }, trailers };
}
