/** The Principal and NotPrincipal elements: whom a statement of a bucket policy is about. */
import type { Account, Identity } from '../identity.js';
import { isObject, malformed, quote, strings } from './document.js';

/** Accounts that a list names. Anonymous callers are only in "everybody". */
interface Named {
  everybody: boolean;
  /** Canonical ids: CanonicalUser, DDN. */
  ids: Set<string>;
  /** Accounts as AWS sees them: a canonical id, or the name of a group for all accounts in it. */
  accounts: Set<string>;
  /** `account/name`: a display name, or the canonical id, within an account or group. */
  users: Set<string>;
}

export interface Principals {
  matches: (identity: Identity) => boolean;
  /** `*` without more: anybody at all. */
  everybody: boolean;
}

/**
 * `*`; `{"AWS": "*" | account | arn}` where account is a canonical id or a group, and arn one of
 * `arn:aws:iam::ACCOUNT:root`, `arn:aws:iam::ACCOUNT:user/NAME`, `arn:aws:iam:::user/ID`; `{"CanonicalUser": id}`;
 * `{"DDN": uuid}`, as EXAScaler's S3 data service writes it. Lists of all of these.
 * @throws S3Error MalformedPolicy
 */
export function compilePrincipals(element: unknown, negated: boolean): Principals {
  const named: Named = { everybody: false, ids: new Set(), accounts: new Set(), users: new Set() };
  if (element === '*') named.everybody = true;
  else if (isObject(element) && Object.keys(element).length > 0) {
    for (const [type, value] of Object.entries(element)) {
      for (const each of strings(`Principal.${type}`, value)) add(named, type, each);
    }
  } else {
    throw malformed(`Invalid principal in policy: ${quote(element)}`);
  }
  return {
    matches: ({ account }) => includes(named, account) !== negated,
    everybody: named.everybody,
  };
}

function includes({ everybody, ids, accounts, users }: Named, account: Account | undefined): boolean {
  if (everybody) return true;
  if (!account) return false;
  const { uuid, group, displayName } = account;
  return (
    ids.has(uuid) ||
    accounts.has(uuid) ||
    accounts.has(group) ||
    (users.size > 0 &&
      (users.has(`/${uuid}`) ||
        [uuid, group].some((outer) => users.has(`${outer}/${uuid}`) || users.has(`${outer}/${displayName}`))))
  );
}

/** An id or a name as it may stand in a policy. Wildcards other than a lone `*` are not allowed in principals. */
const word = /^[^\s*?:/"]{1,128}$/;

function add(named: Named, type: string, value: string): void {
  if (type !== 'AWS' && type !== 'CanonicalUser' && type !== 'DDN') {
    throw malformed(`Invalid principal in policy: the type ${quote(type)} is not supported`);
  }
  if (value === '*' && type !== 'CanonicalUser') named.everybody = true;
  else if (type !== 'AWS' && word.test(value)) named.ids.add(value);
  else if (type === 'AWS' && word.test(value)) named.accounts.add(value);
  else if (type !== 'AWS' || !addArn(named, value)) throw malformed(`Invalid principal in policy: ${quote(value)}`);
}

function addArn(named: Named, arn: string): boolean {
  const [, account, resource = ''] = /^arn:aws:iam::([^:]*):(.*)$/s.exec(arn) ?? [];
  if (account === undefined || (account !== '' && !word.test(account))) return false;
  if (resource === 'root' && account !== '') {
    named.accounts.add(account);
    return true;
  }
  // IAM users may lie in a path: `user/division/NAME`.
  const name = /^user\/(?:[^*?"]*\/)?([^*?"/]{1,128})$/.exec(resource)?.[1];
  if (name === undefined) return false;
  named.users.add(`${account}/${name}`);
  return true;
}
