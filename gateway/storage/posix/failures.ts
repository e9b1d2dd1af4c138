/** Errors on their way from a worker thread to the main thread, where they are what they were. */
import { type ErrorCode, S3Error } from '../../errors.js';
import { errnoError, isErrno } from './syscalls.js';

/** An error on its way between threads. */
export type Failure =
  | { kind: 's3'; code: string; message: string; fields: Record<string, string>; headers: Record<string, string> }
  | { kind: 'errno'; code: string; errno: number; syscall: string; message: string }
  | { kind: 'busy' }
  | { kind: 'late' }
  | { kind: 'other'; message: string; stack: string | undefined };

/** Instead of a result. */
export interface Failed {
  id: number;
  failure: Failure;
  cause?: Failure;
}

const busy = Symbol('busy');

/**
 * Throw this from an op whose lock is held by somebody else: the worker goes on with other calls, and the pool calls
 * the op again a few milliseconds later (from its start, with the same arguments), for 10 s at most, then SlowDown.
 */
export const busyNow = (): never => {
  throw busy;
};

const describe = (error: unknown): Failure => {
  if (error === busy) return { kind: 'busy' };
  if (error instanceof S3Error) {
    return { kind: 's3', code: error.code, message: error.message, fields: error.fields, headers: error.headers };
  }
  if (isErrno(error)) {
    const { code, syscall, message } = error;
    return { kind: 'errno', code, errno: Math.abs(error.errno), syscall, message };
  }
  if (error instanceof Error) return { kind: 'other', message: error.message, stack: error.stack };
  return { kind: 'other', message: String(error), stack: undefined };
};

/** What is sent instead of a result. */
export const failed = (id: number, error: unknown): Failed => {
  const cause = error instanceof Error && error.cause !== undefined ? describe(error.cause) : undefined;
  return cause ? { id, failure: describe(error), cause } : { id, failure: describe(error) };
};

/** Undoes it, on the other side. */
export const revive = (failure: Failure): unknown => {
  if (failure.kind === 's3') {
    const { code, message, fields, headers } = failure;
    return new S3Error(code as ErrorCode, { message, fields, headers });
  }
  if (failure.kind === 'errno') {
    const { message, code } = failure;
    return Object.assign(errnoError(failure.errno, failure.syscall), { message, code });
  }
  if (failure.kind === 'other') {
    const error = new Error(failure.message);
    if (failure.stack !== undefined) error.stack = failure.stack;
    return error;
  }
  return new S3Error('SlowDown');
};
