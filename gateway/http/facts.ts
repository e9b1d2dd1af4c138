/** What the conditions of policies ask about a request. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ConditionTags, KnownTags, RequestFacts } from '../../acl/policy/context.js';
import type { Authenticated } from '../auth/types.js';
import { parseCopySource } from '../s3/copy-source.js';
import { decodeHeader } from '../s3/header-text.js';
import { headerTags } from '../s3/object-headers.js';
import { objectTags, readTagging } from '../s3/xml/shapes.js';
import type { Headers, WireRequest } from './types.js';

export interface FactsInput {
  /** AWS's name of what is asked for. */
  operation: string;
  wire: WireRequest;
  /** With those that a presigned URL carries in its query. */
  headers: Headers;
  socket: Socket;
  now: number;
  authenticated: Authenticated | undefined;
  /** The fields of a form, and whether they were signed. */
  form: { fields: ReadonlyMap<string, string>; signed: boolean } | undefined;
}

/** Everything that costs something is worked out when a condition asks for it. */
export function factsOf(input: FactsInput, known: KnownTags): RequestFacts {
  const { wire, headers, socket, now, form } = input;
  return {
    sourceIp: wire.remoteAddress,
    now,
    secure: wire.secure,
    tlsVersion: (socket as Partial<TLSSocket>).getProtocol?.()?.replace(/^TLSv/, ''),
    header: (name) => {
      if (form && !ofRequest.has(name)) return conditional.has(name) ? undefined : field(form.fields, name);
      const value = text(headers.get(name));
      return name === 'if-none-match' && creates.get(input.operation) && value !== '*' ? undefined : value;
    },
    query: (name) => wire.query.get(name),
    copySource() {
      const value = headers.get('x-amz-copy-source');
      if (value === undefined) return undefined;
      const { bucket, key } = parseCopySource(value);
      return `${bucket}/${key}`;
    },
    signature: signatureOf(input),
    createsObject: creates.get(input.operation),
    existingTags: known.existingTags,
    requestTags: () => known.requestTags ?? requestTags(input),
  };
}

const text = (value: string | undefined): string | undefined => (value === undefined ? undefined : decodeHeader(value));

/** "For multipart uploads you must specify the s3:ObjectCreationOperation condition key to exempt" what only prepares one. */
const creates: ReadonlyMap<string, boolean> = new Map([
  ...['PutObject', 'CopyObject', 'PostObject', 'CompleteMultipartUpload'].map((name) => [name, true] as const),
  ...['CreateMultipartUpload', 'UploadPart', 'UploadPartCopy'].map((name) => [name, false] as const),
]);

/**
 * A form has no conditions: a field of such a name guards nothing, so no policy that demands one is met with it. Neither is
 * it with `If-None-Match: "etag"`, which S3 does not take on a write, and which lets another object be replaced.
 */
const conditional: ReadonlySet<string> = new Set(['if-match', 'if-none-match']);

/** What a form says nothing about; all else is taken from its fields alone, as it is stored. */
const ofRequest: ReadonlySet<string> = new Set(['user-agent', 'referer']);

/** In a form the canned ACL is the field `acl`; all others are called as the headers that they stand for. */
function field(fields: ReadonlyMap<string, string>, name: string): string | undefined {
  return (name === 'x-amz-acl' ? fields.get('acl') : undefined) ?? fields.get(name);
}

/** The tags of an upload. A copy has those of its source, unless it replaces them. */
function requestTags({ headers, form }: FactsInput): ConditionTags | undefined {
  if (form) {
    const tagging = form.fields.get('tagging');
    return tagging ? readTagging(Buffer.from(tagging, 'utf8'), objectTags) : undefined;
  }
  const copies = headers.has('x-amz-copy-source') && headers.get('x-amz-tagging-directive') !== 'REPLACE';
  return copies ? undefined : headerTags(headers);
}

function signatureOf({ authenticated, form, wire, now }: FactsInput): RequestFacts['signature'] {
  if (!authenticated) {
    if (!form?.signed) return undefined;
    const version = form.fields.has('x-amz-signature') ? 'AWS4-HMAC-SHA256' : 'AWS';
    return { version, type: 'POST' };
  }
  const { scheme } = authenticated;
  const version = scheme.startsWith('v4') ? 'AWS4-HMAC-SHA256' : 'AWS';
  if (!scheme.endsWith('-query')) return { version, type: 'REST-HEADER' };
  const [, y, mo, d, h, mi, s] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(wire.query.get('X-Amz-Date') ?? '') ?? [];
  const signed = y === undefined ? Number.NaN : Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
  return { version, type: 'REST-QUERY-STRING', age: Number.isNaN(signed) ? undefined : Math.max(0, now - signed) };
}
