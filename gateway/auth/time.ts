/** Dates of signed requests. */
import { S3Error } from '../errors.js';

/** "Request must be within 15 minutes of the current time". Milliseconds. */
export const maxSkew = 15 * 60 * 1000;

const basic = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
/** RFC 9110 section 5.6.7 in its three forms, RFC 5322 zones, and `UTC`, which rclone writes. */
const internet =
  /^(?:[A-Za-z]{3,9},? )?(?:\d{1,2}[ -][A-Za-z]{3}[ -]\d{2,4} \d\d:\d\d:\d\d (?:GMT|UTC|Z|[+-]\d{4})|[A-Za-z]{3} [ \d]\d \d\d:\d\d:\d\d \d{4})$/;
const extended = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)$/;

/** Milliseconds of `20130524T000000Z`; undefined for anything else. */
export function parseBasic(text: string): number | undefined {
  const parts = basic.exec(text);
  if (parts === null) return undefined;
  const time = Date.parse(`${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}:${parts[5]}:${parts[6]}Z`);
  return Number.isNaN(time) ? undefined : time;
}

/** Milliseconds of a full ISO 8601 date and time with a zone. */
export function parseExtended(text: string): number | undefined {
  const time = extended.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

/** A `Date` or `x-amz-date` header in any of the forms in use. Nothing before 1970. */
export function parseDate(text: string): number | undefined {
  if (text === formatted.text) return formatted.time;
  const known = parseBasic(text) ?? parseExtended(text);
  if (known !== undefined) return known >= 0 ? known : undefined;
  if (!internet.test(text)) return undefined;
  // asctime has no zone and means GMT.
  const time = Date.parse(/\d{4}$/.test(text) && !/[+-]\d{4}$/.test(text) ? `${text} GMT` : text);
  return Number.isNaN(time) || time < 0 ? undefined : time;
}

/** `20130524T000000Z` */
export function formatBasic(time: number): string {
  // Most requests of one second bear the same.
  if (formatted.time !== time) {
    formatted = { time, text: `${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z` };
  }
  return formatted.text;
}
let formatted = { time: Number.NaN, text: '' };

/** The time of a request from its headers. Throws AccessDenied when there is none. */
export function requestTime(text: string | undefined): number {
  const time = text === undefined ? undefined : parseDate(text);
  if (time === undefined) {
    throw new S3Error('AccessDenied', {
      message: 'AWS authentication requires a valid Date or x-amz-date header',
    });
  }
  return time;
}

/** Throws RequestTimeTooSkewed. `text` is the time as the client wrote it. */
export function checkSkew(time: number, now: number, text: string): void {
  if (Math.abs(now - time) <= maxSkew) return;
  throw new S3Error('RequestTimeTooSkewed', {
    fields: {
      RequestTime: text,
      ServerTime: serverTime(now),
      MaxAllowedSkewMilliseconds: String(maxSkew),
    },
  });
}

/** The time as error documents show it. */
export function serverTime(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}
