/** What is logged of requests: nothing at `info` of those that went well, every failure of ours with its cause. */
import { S3Error } from '../errors.js';
import type { Log } from './log.js';

/** The members that every line of a request has. `ms`: how long it took. */
export interface RequestLine {
  requestId: string;
  method: string | undefined;
  url: string | undefined;
  operation: string | undefined;
  status: number | undefined;
  account: string | undefined;
  peer: string | undefined;
  ms: number;
}

export interface RequestLog {
  /**
   * `line`: called when there is something to log. `failure`: what the request was answered with, or (no S3Error) why it could not be answered. `parts`: failures within
   * a reply that is a success.
   */
  record(line: () => RequestLine, failure: unknown, parts?: readonly S3Error[]): void;
}

const secret = /^(x-amz-signature|x-amz-security-token|signature)$/i;

/** The request target without what would let a reader of the log send a presigned request himself. */
export function withoutSecrets(url: string): string {
  if (!url.includes('?')) return url;
  return url.replace(/(?<=[?&])([^=&]+)=[^&]+/g, (parameter, name: string) =>
    secret.test(decoded(name)) ? `${name}=…` : parameter,
  );
}

function decoded(name: string): string {
  return name.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** SlowDown comes in floods, and each line is written before anything else goes on: `pause` ms lie between two. */
export function createRequestLog(log: Log, pause = 1000): RequestLog {
  let timer: NodeJS.Timeout | undefined;
  let count = 0;
  let last: object = {};
  const rest = () => {
    timer = undefined;
    if (count > 0) tell();
  };
  const tell = () => {
    log.warn({ ...last, count }, 'slow down');
    count = 0;
    timer = setTimeout(rest, pause).unref();
  };

  const fail = (line: RequestLine, failure: S3Error) => {
    const { code } = failure;
    // The first is an answer that the table foresees, the second a state of the gateway that repeats with each request.
    if (code === 'NotImplemented') log.info({ ...line, code }, 'not implemented');
    else if (code === 'SlowDown') {
      count++;
      last = { ...line, code, err: failure.cause };
      if (timer === undefined) tell();
    } else log.error({ ...line, code, err: failure }, 'request failed');
  };

  return {
    record(line, failure, parts = []) {
      if (failure instanceof S3Error && failure.status >= 500) fail(line(), failure);
      else if (log.isLevelEnabled('debug')) {
        const code = failure instanceof S3Error ? failure.code : failure === undefined ? undefined : 'ClientGone';
        log.debug({ ...line(), code }, 'request');
      }
      for (const part of parts) if (part.status >= 500) fail(line(), part);
    },
  };
}
