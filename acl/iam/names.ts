/**
 * How IAM names what there is here. An accounting group is what AWS calls an account: the namespace of its users, policies
 * and policy groups, and its managers are the root of it.
 */
import { createHash } from 'node:crypto';
import { AccountError } from '../account-error.js';
import type { Account } from '../identity.js';

/**
 * IAM's UserName. Accounts without a name of their own (`s3dskey create`) may share it with others, and an ARN must not
 * mean two of them: their id stands for it.
 */
export const userName = ({ named, displayName, uuid }: Account): string => (named ? displayName : uuid);

/** `arn:aws:iam::GROUP:user/NAME`; of a manager `arn:aws:iam::GROUP:root`. */
export function userArn(account: Account): string {
  const { group, kind, path = '/' } = account;
  return kind === 'manager' ? arnOf(group, 'root') : arnOf(group, `user${path}${userName(account)}`);
}

/** @param resource `policy/a/path/NAME` */
export const arnOf = (namespace: string, resource: string): string => `arn:aws:iam::${namespace}:${resource}`;

/** Namespace and name of a policy's ARN; undefined for what is none. */
export function parsePolicyArn(arn: string): { namespace: string; name: string } | undefined {
  const [, namespace, name] = /^arn:aws:iam::([^:]+):policy\/(?:[^:]*\/)?([^:/]+)$/.exec(arn) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/** "Names are not distinguished by case": what is compared. */
export const fold = (name: string): string => name.toLowerCase();

/** Id of a document: names are any Unicode, ids are not. */
export const documentId = (...names: string[]): string =>
  createHash('sha256').update(names.join('\0')).digest('hex').slice(0, 40);

/** By name, whatever its case; equal ones stay in a fixed order. */
export const byName = <T>(nameOf: (each: T) => string): ((a: T, b: T) => number) => {
  return (a, b) => compare(fold(nameOf(a)), fold(nameOf(b))) || compare(nameOf(a), nameOf(b));
};
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** @throws AccountError InvalidInput for what may not be the name of something new */
export function checkName(what: string, name: string, most: number): string {
  if (/^[\w+=,.@-]+$/.test(name) && name.length <= most) return name;
  const rule = `${what} has 1 to ${most} letters, digits and _+=,.@-`;
  throw new AccountError('InvalidInput', `${rule}, not ${JSON.stringify(name)}`);
}

/** @throws AccountError InvalidInput. Wildcards and what divides ARNs would let a path be taken for something else. */
export function checkPath(path: string): string {
  if (/^\/(?:[!-.0-9;-~]+\/)*$/.test(path) && !/[*?"\\]/.test(path) && path.length <= 512) return path;
  throw new AccountError('InvalidInput', `a path begins and ends with '/', not ${JSON.stringify(path)}`);
}
