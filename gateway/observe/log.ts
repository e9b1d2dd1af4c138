/** Logging: JSON lines by pino, without secrets and signatures. */
import { type DestinationStream, type Logger, pino, type SerializedError } from 'pino';
import { S3Error } from '../errors.js';

export type Log = Logger;

const hidden = '[redacted]';
/** In a query: whoever has a presigned URL may use it, so its signature and token are secrets. */
const secretParameters = /((?:^|[?&;\s"'])(?:x-amz-signature|x-amz-security-token|signature)=)[^&\s"']*/gi;
/** In text: an Authorization header, as messages and error fields may quote it. */
const authorizations = /(AWS4-HMAC-SHA256\b[^"\n]*?Signature=|AWS [^\s:"]+:)[^\s,"]+/g;

const secretNames = [
  'authorization',
  'cookie',
  'masterKey',
  'secret',
  'secretKey',
  'signature',
  'password',
  '["set-cookie"]',
  '["x-amz-security-token"]',
  '["x-amz-server-side-encryption-customer-key"]',
  '["x-amz-copy-source-server-side-encryption-customer-key"]',
];

/** Takes signatures and tokens out of a URL, a message or any other text. */
export function scrub(text: string): string {
  return text.replace(secretParameters, `$1${hidden}`).replace(authorizations, `$1${hidden}`);
}

/**
 * An error as it may stand in a log: its type, code, message, stack and chain of causes. Not its other members: those of
 * an S3Error may quote what the client sent.
 */
function serializeError(error: unknown, depth = 0): SerializedError | unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? scrub(error) : error;
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  return {
    type: error.name,
    message: scrub(error.message),
    code,
    errno,
    syscall,
    // Where an S3Error was thrown for a client's mistake says nothing; its cause has the stack that matters.
    stack: error instanceof S3Error && error.status < 500 ? undefined : error.stack && scrub(error.stack),
    cause: error.cause === undefined || depth > 5 ? undefined : serializeError(error.cause, depth + 1),
  };
}

export interface LogOptions {
  level: string;
  /** Standard error when not given, written at once so that nothing is lost when the process ends. */
  destination?: DestinationStream;
}

export function createLog({ level, destination }: LogOptions): Log {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: {
      err: (error: unknown) => serializeError(error),
      error: (error: unknown) => serializeError(error),
      url: (url: unknown) => (typeof url === 'string' ? scrub(url) : url),
      message: (message: unknown) => (typeof message === 'string' ? scrub(message) : message),
    },
    redact: {
      paths: secretNames.flatMap((name) => (name.startsWith('[') ? [name, `*${name}`] : [name, `*.${name}`])),
      censor: hidden,
    },
  };
  return pino(options, destination ?? pino.destination({ dest: 2, sync: true }));
}
