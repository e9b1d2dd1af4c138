/**
 * Who signed a browser's form POST, and whether the form is what the signer allowed.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html
 */
import { S3Error } from '../errors.js';
import { signatureV2 } from './sigv2.js';
import { sameSignature, signature, signingKey } from './sigv4/key.js';
import { parseCredential, refuseToken } from './sigv4/verify.js';
import { parseBasic, parseExtended } from './time.js';
import type { SecretLookup } from './types.js';

/** Form fields by lower-case name, in the order of the form, variables expanded. */
export type FormFields = ReadonlyMap<string, string>;

export interface PostPolicy {
  accessKey: string;
  scheme: 'v4' | 'v2';
  /** What `content-length-range` allows, in bytes, both inclusive. */
  range: { min: number; max: number } | undefined;
}

export interface PolicyInput {
  /** The bucket that the request is addressed to. */
  bucket: string;
  /** Milliseconds since the epoch. */
  now: number;
  lookup: SecretLookup;
}

/**
 * Verifies signature and policy of a form. Undefined: the form has neither (anonymous).
 * Throws InvalidArgument for a form that lacks a field, InvalidAccessKeyId, SignatureDoesNotMatch,
 * InvalidPolicyDocument, and AccessDenied "Invalid according to Policy: …".
 */
export async function verifyPostPolicy(fields: FormFields, input: PolicyInput): Promise<PostPolicy | undefined> {
  const v4 = ['x-amz-algorithm', 'x-amz-credential', 'x-amz-signature'].some((name) => fields.has(name));
  const v2 = ['awsaccesskeyid', 'signature'].some((name) => fields.has(name));
  if (!v4 && !v2 && !fields.has('policy')) return undefined;
  if (v4 && v2) {
    throw new S3Error('InvalidArgument', {
      message:
        'Only one auth mechanism allowed; only the x-amz-signature or the signature form field should be specified',
    });
  }
  const policy = required(fields, 'policy', 'policy');
  refuseToken(fields.get('x-amz-security-token'));
  const accessKey = v4 ? await checkV4(fields, policy, input) : await checkV2(fields, policy, input);
  const range = checkPolicy(policy, fields, input);
  return { accessKey, scheme: v4 ? 'v4' : 'v2', range };
}

function required(fields: FormFields, name: string, shown: string): string {
  const value = fields.get(name);
  if (value !== undefined && value !== '') return value;
  throw new S3Error('InvalidArgument', {
    message: `Bucket POST must contain a field named '${shown}'.  If it is specified, please check the order of the fields.`,
    fields: { ArgumentName: shown, ArgumentValue: '' },
  });
}

async function secretOf(accessKey: string, lookup: SecretLookup): Promise<string> {
  const secret = await lookup(accessKey);
  if (secret === undefined) throw new S3Error('InvalidAccessKeyId', { fields: { AWSAccessKeyId: accessKey } });
  return secret;
}

function mismatch(accessKey: string, policy: string, provided: string): S3Error {
  return new S3Error('SignatureDoesNotMatch', {
    fields: { AWSAccessKeyId: accessKey, StringToSign: policy, SignatureProvided: provided },
  });
}

/** The string to sign is the policy's base64 text as it stands in the form. */
async function checkV2(fields: FormFields, policy: string, input: PolicyInput): Promise<string> {
  const accessKey = required(fields, 'awsaccesskeyid', 'AWSAccessKeyId');
  const provided = required(fields, 'signature', 'signature');
  const secret = await secretOf(accessKey, input.lookup);
  if (!sameSignature(signatureV2(secret, policy), provided)) throw mismatch(accessKey, policy, provided);
  return accessKey;
}

async function checkV4(fields: FormFields, policy: string, input: PolicyInput): Promise<string> {
  const algorithm = required(fields, 'x-amz-algorithm', 'X-Amz-Algorithm');
  const credentialText = required(fields, 'x-amz-credential', 'X-Amz-Credential');
  const provided = required(fields, 'x-amz-signature', 'X-Amz-Signature');
  const date = required(fields, 'x-amz-date', 'X-Amz-Date');
  const invalid = (name: string, value: string, message: string) =>
    new S3Error('InvalidArgument', { message, fields: { ArgumentName: name, ArgumentValue: value } });
  if (algorithm !== 'AWS4-HMAC-SHA256') {
    throw invalid('X-Amz-Algorithm', algorithm, 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"');
  }
  const credential = parseCredential(credentialText);
  if (
    credential === undefined ||
    credential.accessKey === '' ||
    credential.service !== 's3' ||
    credential.terminal !== 'aws4_request'
  ) {
    throw invalid(
      'X-Amz-Credential',
      credentialText,
      'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/s3/aws4_request".',
    );
  }
  if (parseBasic(date) === undefined || date.slice(0, 8) !== credential.date) {
    throw invalid('X-Amz-Date', date, 'X-Amz-Date must be an ISO8601 basic date of the day of the credential');
  }
  const secret = await secretOf(credential.accessKey, input.lookup);
  const key = signingKey(credential.accessKey, secret, credential);
  if (!sameSignature(signature(key, policy), provided)) throw mismatch(credential.accessKey, policy, provided);
  return credential.accessKey;
}

function invalidPolicy(why: string): S3Error {
  return new S3Error('InvalidPolicyDocument', { message: `Invalid Policy: ${why}` });
}

function denied(why: string): S3Error {
  return new S3Error('AccessDenied', { message: `Invalid according to Policy: ${why}` });
}

/** Names of the members are case-sensitive, as are `eq` and `starts-with` in values; operators and fields are not. */
function parsePolicy(policy: string): { expiration: number; conditions: unknown[] } {
  let document: unknown;
  try {
    const text = Buffer.from(policy, 'base64').toString('utf8');
    // AWS allows two escapes that JSON does not have: `\$`, and `\v` for the vertical tab.
    document = JSON.parse(
      text.replace(/\\([\s\S])/g, (all, char) => (char === '$' ? '$' : char === 'v' ? '\\u000b' : all)),
    );
  } catch {
    throw invalidPolicy('Invalid JSON.');
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document))
    throw invalidPolicy('Invalid JSON.');
  const { expiration, conditions } = document as Record<string, unknown>;
  if (expiration === undefined) throw invalidPolicy('Policy missing expiration.');
  const time = typeof expiration === 'string' ? parseExtended(expiration) : undefined;
  if (time === undefined) throw invalidPolicy(`Invalid 'expiration' value: '${String(expiration)}'`);
  if (!Array.isArray(conditions)) throw invalidPolicy('Policy missing conditions.');
  return { expiration: time, conditions };
}

/**
 * "Each form field that you specify in a form (except x-amz-signature, file, policy, and field names that have an
 * x-ignore- prefix) must appear in the list of conditions." Version 2 has its own two. A checksum can only make an
 * upload fail, and whoever signs the policy cannot know it.
 */
function exempt(name: string): boolean {
  return (
    name === 'x-amz-signature' ||
    name === 'signature' ||
    name === 'awsaccesskeyid' ||
    name === 'file' ||
    name === 'policy' ||
    name.startsWith('x-ignore-') ||
    /^x-amz-checksum-(?:crc32|crc32c|crc64nvme|sha1|sha256)$/.test(name)
  );
}

function checkPolicy(policy: string, fields: FormFields, input: PolicyInput): PostPolicy['range'] {
  const { expiration, conditions } = parsePolicy(policy);
  if (input.now >= expiration) throw denied('Policy expired.');
  // The bucket counts as a field of the form, whether the form names it or not, and it is the one of the address.
  if ((fields.get('bucket') ?? input.bucket) !== input.bucket) {
    throw denied(`Policy Condition failed: ["eq", "$bucket", "${input.bucket}"]`);
  }
  const uncovered = new Set([...fields.keys(), 'bucket'].filter((name) => !exempt(name)));
  const value = (name: string) => (name === 'bucket' ? input.bucket : (fields.get(name) ?? ''));
  let range: PostPolicy['range'];
  for (const condition of conditions) {
    const parsed = parseCondition(condition);
    if (parsed.operator === 'content-length-range') {
      // Several ranges all hold.
      range = { min: Math.max(range?.min ?? 0, parsed.min), max: Math.min(range?.max ?? Infinity, parsed.max) };
      continue;
    }
    uncovered.delete(parsed.name);
    const actual = value(parsed.name);
    const holds = parsed.operator === 'eq' ? actual === parsed.value : actual.startsWith(parsed.value);
    if (!holds) {
      throw denied(`Policy Condition failed: ${JSON.stringify([parsed.operator, `$${parsed.name}`, parsed.value])}`);
    }
  }
  if (uncovered.size > 0) throw denied(`Extra input fields: ${[...uncovered].join(', ')}`);
  return range;
}

type Condition =
  | { operator: 'eq' | 'starts-with'; name: string; value: string }
  | { operator: 'content-length-range'; min: number; max: number };

function parseCondition(condition: unknown): Condition {
  if (Array.isArray(condition)) return parseArray(condition);
  if (typeof condition !== 'object' || condition === null) {
    throw invalidPolicy('Invalid Condition: Conditions must be objects or arrays.');
  }
  const entries = Object.entries(condition);
  if (entries.length !== 1) {
    throw invalidPolicy('Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.');
  }
  const [name, value] = entries[0]!;
  if (typeof value !== 'string') throw invalidPolicy('Invalid Simple-Condition: value must be a string.');
  return { operator: 'eq', name: name.toLowerCase(), value };
}

function parseArray(condition: unknown[]): Condition {
  const [operator, first, second] = condition;
  if (condition.length !== 3 || typeof operator !== 'string') {
    throw invalidPolicy(`Invalid ${String(operator)}: expected an operation and exactly two arguments.`);
  }
  const name = operator.toLowerCase();
  if (name === 'content-length-range') {
    const [min, max] = [bytes(first), bytes(second)];
    return { operator: name, min, max };
  }
  if (name !== 'eq' && name !== 'starts-with') throw invalidPolicy(`Invalid operator '${operator}'.`);
  if (typeof first !== 'string' || !first.startsWith('$') || typeof second !== 'string') {
    throw invalidPolicy(`Invalid ${name}: expected a field name beginning with $ and a string.`);
  }
  return { operator: name, name: first.slice(1).toLowerCase(), value: second };
}

function bytes(value: unknown): number {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text)) {
    throw invalidPolicy('Invalid content-length-range: the limits must be non-negative integers.');
  }
  return Number(text);
}
