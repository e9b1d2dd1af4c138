/** The parameters of a request, checked before anything is done with them. */
import { AccountError } from '../../acl/account-error.js';
import { S3Error } from '../errors.js';
import type { IamAction, Params } from './types.js';

/** "https://iam.amazonaws.com/?Action=…&Version=2010-05-08". */
export const VERSION = '2010-05-08';

const invalid = (message: string): S3Error => new S3Error('ValidationError', { message });

/** What a value must look like; every name that a row may take has one. Names of what exists may be any that it has. */
const forms: Readonly<Record<string, RegExp>> = {
  AccessKeyId: /^\w{16,128}$/,
  Description: /^[^\p{Cc}]{0,1000}$/u,
  EntityFilter: /^(User|Group|LocalManagedPolicy|AWSManagedPolicy)$/,
  GroupName: /^[^\p{Cc}/:*?"]{1,128}$/u,
  Marker: /^[\w-]{1,1024}$/,
  MaxItems: /^([1-9]\d{0,2}|1000)$/,
  NewGroupName: /^.{1,128}$/s,
  NewPath: /^.{1,512}$/s,
  NewUserName: /^.{1,64}$/s,
  OnlyAttached: /^(true|false)$/,
  Path: /^.{1,512}$/s,
  PathPrefix: /^\/[!-~]{0,511}$/,
  PolicyArn: /^.{1,2048}$/s,
  PolicyDocument: /^.{1,131072}$/s,
  PolicyName: /^[\w+=,.@-]{1,128}$/,
  PolicyUsageFilter: /^PermissionsPolicy$/,
  Scope: /^(All|AWS|Local)$/,
  SetAsDefault: /^(true|false)$/,
  Status: /^(Active|Inactive)$/,
  UserName: /^[^\p{Cc}/:*?"]{1,128}$/u,
  VersionId: /^v[1-9][0-9]*$/,
};

/** `application/x-www-form-urlencoded`. A name that comes twice would let two readers see two requests. @throws S3Error */
export function readForm(text: string): Map<string, string> {
  const params = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (params.has(name)) throw invalid(`The parameter ${name} is given more than once`);
    params.set(name, value);
  }
  return params;
}

/** @throws S3Error InvalidAction */
export function actionOf(table: ReadonlyMap<string, IamAction>, form: Params): IamAction {
  const [name = '', version = VERSION] = [form.get('Action'), form.get('Version')];
  const action = version === VERSION ? table.get(name) : undefined;
  if (action) return action;
  const what = name.length > 128 ? `${name.slice(0, 128)}…` : name;
  throw new S3Error('InvalidAction', {
    message: `Could not find operation ${what} for version ${version.slice(0, 32)}`,
  });
}

/** What is left out silently would be a lie about what was done. @throws S3Error ValidationError */
export function checkParams({ name, required, optional }: IamAction, form: Params): Params {
  const params = new Map<string, string>();
  for (const [key, value] of form) {
    if (key === 'Action' || key === 'Version') continue;
    const shown = key.length > 128 ? `${key.slice(0, 128)}…` : key;
    if (!required.includes(key) && !optional.includes(key)) {
      throw invalid(`The parameter ${shown} of ${name} is not supported`);
    }
    if (!forms[key]!.test(value)) throw invalid(`The value of ${shown} is not one that it may have`);
    params.set(key, value);
  }
  for (const key of required) if (!params.has(key)) throw invalid(`The parameter ${key} is missing`);
  return params;
}

/** A page of a list: `MaxItems` from behind `Marker`, which stands for the last entry of the page before. */
export function page<T>(
  items: readonly T[],
  params: Params,
  keyOf: (item: T) => string,
): { items: T[]; IsTruncated: boolean; Marker: string | undefined } {
  const most = Number(params.get('MaxItems') ?? 100);
  const marker = params.get('Marker');
  let from = 0;
  if (marker !== undefined) {
    const key = Buffer.from(marker, 'base64url').toString();
    from = items.findIndex((item) => keyOf(item) === key) + 1;
    if (from === 0) {
      // It may have been deleted meanwhile; what sorts behind it comes next.
      const next = items.findIndex((item) => keyOf(item).toLowerCase() > key.toLowerCase());
      from = next < 0 ? items.length : next;
    }
  }
  const shown = items.slice(from, from + most);
  const truncated = from + shown.length < items.length;
  const last = shown.at(-1);
  const Marker = truncated && last !== undefined ? Buffer.from(keyOf(last)).toString('base64url') : undefined;
  return { items: shown, IsTruncated: truncated, Marker };
}

/** Errors of accounts and policies in IAM's terms. */
export function iamError(error: unknown): unknown {
  if (error instanceof AccountError) return new S3Error(error.code, { message: error.message });
  if (error instanceof S3Error && error.code === 'MalformedPolicy') {
    return new S3Error('MalformedPolicyDocument', { message: error.message, cause: error.cause });
  }
  return error;
}
