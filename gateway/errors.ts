/**
 * The one error table and the one error class. Codes and messages are AWS's
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
 */

const table = {
  AccessDenied: [403, 'Access Denied'],
  InternalError: [500, 'We encountered an internal error. Please try again.'],
  NoSuchBucket: [404, 'The specified bucket does not exist'],
  NoSuchKey: [404, 'The specified key does not exist.'],
  NotImplemented: [501, 'A header you provided implies functionality that is not implemented'],
} as const satisfies Record<string, readonly [status: number, message: string]>;

export type ErrorCode = keyof typeof table;

export interface ErrorDetails {
  /** Replaces AWS's standard message: says what to do. */
  message?: string;
  cause?: unknown;
  /** Further elements of the error XML, e.g. `{ ArgumentName: 'max-keys', ArgumentValue: 'x' }`. */
  fields?: Record<string, string>;
  /** Further response headers, e.g. a content-range. */
  headers?: Record<string, string>;
}

export class S3Error extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly fields: Record<string, string>;
  readonly headers: Record<string, string>;

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    super(details.message ?? table[code][1], { cause: details.cause });
    this.name = 'S3Error';
    this.code = code;
    this.status = table[code][0];
    this.fields = details.fields ?? {};
    this.headers = details.headers ?? {};
  }
}
