/** What an action of IAM is: a row of the table in `actions.ts`, a handler, what it is given. */
import type { Account } from '../../acl/identity.js';
import type { Registry } from '../../acl/registry.js';
import type { XmlValue } from '../s3/types.js';
import type { Storage } from '../storage/types.js';

/** Parameters of a request by name. Only those that the action takes, each in its form (`params.ts`). */
export type Params = ReadonlyMap<string, string>;

export interface IamParts {
  registry: Registry;
  /** Tells who owns buckets. */
  storage: Storage;
  /** Access keys of a user. */
  maxKeys: number;
}

/** Everything a handler may use. It never decides who may do what: its resource is permitted already. */
export interface IamContext extends IamParts {
  params: Params;
  /** A parameter that the row demands. */
  need(name: string): string;
  caller: Account;
  /** The accounting group of the caller. */
  namespace: string;
  /** The existing user that the request is about: named, or the caller itself. @throws AccountError NoSuchEntity */
  user(): Account;
}

/** The elements of `…Result`; nothing for actions that answer nothing. */
export type IamHandler = (context: IamContext) => Promise<{ [name: string]: XmlValue } | undefined>;

/** What an action is about, for permission: an existing user (`self`: the caller if none is named), or what its name says. */
export type Subject = 'self' | 'user' | 'users' | 'group' | 'groups' | 'policy' | 'policies' | 'account';

export interface IamAction {
  /** IAM's name. */
  name: string;
  about: Subject;
  required: readonly string[];
  optional: readonly string[];
  handler: IamHandler;
}
