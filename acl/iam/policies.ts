/**
 * Managed policies: documents of the kind `policies`, one each, in the namespace of an accounting group.
 *
 * What holds a policy (an account, a policy group) names its ARN. A policy goes only when nothing holds it: it is marked
 * first, then its holders are looked for, and whoever attaches looks again after he has attached. So one of the two
 * always sees the other, on whatever gateways they are.
 */
import { randomBytes } from 'node:crypto';
import type { Documents } from '../../gateway/storage/types.js';
import { AccountError } from '../account-error.js';
import { parsePolicy } from '../policy/parse.js';
import { AWS, builtIn, builtInPolicy } from './managed.js';
import { arnOf, byName, checkName, checkPath, documentId, fold, parsePolicyArn } from './names.js';

export interface ManagedPolicy {
  /** IAM's PolicyId. */
  id: string;
  namespace: string;
  name: string;
  path: string;
  description: string;
  /** As it was given. */
  document: string;
  /** ISO 8601. */
  created: string;
  /** The mark of whoever is about to delete it: it counts still, but nothing can be given it. */
  deleting?: string;
}

export interface NewPolicy {
  name: string;
  path?: string | undefined;
  description?: string | undefined;
  document: string;
}

export interface Policies {
  /** @throws AccountError EntityAlreadyExists, LimitExceeded, InvalidInput; S3Error MalformedPolicy */
  create(namespace: string, policy: NewPolicy): Promise<ManagedPolicy>;
  /** Of this namespace, or one that is there for everybody. @throws AccountError NoSuchEntity */
  get(namespace: string, arn: string): Promise<ManagedPolicy>;
  /** Of a namespace, or (undefined) of all, by name. */
  list(namespace?: string): Promise<ManagedPolicy[]>;
  /**
   * @param holders says who holds it, one of them or nobody
   * @throws AccountError NoSuchEntity, DeleteConflict, InvalidInput for one that is there for everybody
   */
  remove(namespace: string, arn: string, holders: () => Promise<string | undefined>): Promise<void>;
}

/** "Customer managed policies in an AWS account: 1,500". */
export const MAX_POLICIES = 1500;
/** "The size of each managed policy cannot exceed 6,144 characters", white space not counted. */
const MAX_SIZE = 6144;

export const policyArn = ({ namespace, path, name }: Pick<ManagedPolicy, 'namespace' | 'path' | 'name'>): string =>
  arnOf(namespace, `policy${path}${name}`);

/** Characters as IAM counts them. @throws AccountError LimitExceeded */
export function checkSize(what: string, texts: readonly string[], most: number): void {
  const size = texts.reduce((sum, text) => sum + text.replace(/\s/g, '').length, 0);
  if (size > most) throw new AccountError('LimitExceeded', `${what} may have ${most} characters, not ${size}`);
}

export const newId = (prefix: string): string => `${prefix}${randomBytes(8).toString('hex').toUpperCase()}`;

/** A name is unique in its namespace whatever the path, so path is no part of it. */
const idOf = (namespace: string, name: string): string => documentId(namespace, fold(name));

export function createPolicies(documents: Documents): Policies {
  const gone = (arn: string) => new AccountError('NoSuchEntity', `Policy ${arn} does not exist or is not attachable.`);

  async function get(namespace: string, arn: string): Promise<ManagedPolicy> {
    const there = builtInPolicy(arn);
    if (there) return there;
    const named = parsePolicyArn(arn);
    // Of other namespaces nothing is told, not even whether it is there.
    if (named?.namespace !== namespace) throw gone(arn);
    const found = await documents.get<ManagedPolicy>('policies', idOf(namespace, named.name));
    if (!found || policyArn(found) !== arn) throw gone(arn);
    return found;
  }

  async function list(namespace?: string): Promise<ManagedPolicy[]> {
    const stored = (await documents.list<ManagedPolicy>('policies')).map(({ value }) => value);
    const wanted = namespace === AWS ? builtIn : stored;
    return wanted
      .filter((each) => namespace === undefined || each.namespace === namespace)
      .sort(byName(({ name }) => name));
  }

  return {
    get,
    list,

    async create(namespace, { name, path = '/', description = '', document }) {
      const policy: ManagedPolicy = {
        id: newId('ANPA'),
        namespace,
        name: checkName('the name of a policy', name, 128),
        path: checkPath(path),
        description,
        document,
        created: new Date().toISOString(),
      };
      if (namespace === AWS) throw new AccountError('InvalidInput', `the group ${AWS} cannot have policies of its own`);
      checkSize('a policy', [document], MAX_SIZE);
      parsePolicy(document, 'identity');
      if ((await list(namespace)).length >= MAX_POLICIES) {
        throw new AccountError('LimitExceeded', `a group may have ${MAX_POLICIES} policies`);
      }
      if (await documents.create('policies', idOf(namespace, name), policy)) return policy;
      throw new AccountError(
        'EntityAlreadyExists',
        `A policy called ${name} already exists. Duplicate names are not allowed.`,
      );
    },

    async remove(namespace, arn, holders) {
      const { id, name, namespace: owner } = await get(namespace, arn);
      if (owner === AWS) throw new AccountError('InvalidInput', `${arn} is there for everybody, and stays`);
      const change = (to: (policy: ManagedPolicy) => ManagedPolicy | undefined) =>
        documents.update<ManagedPolicy>('policies', idOf(namespace, name), (policy) =>
          policy.id === id ? to(policy) : policy,
        );
      const mark = newId('');
      let removed = false;
      await change((policy) => ({ ...policy, deleting: mark }));
      const holder = await holders();
      await change((policy) => {
        // Of two that delete it the later mark counts: the other one's look at the holders is not the last.
        if (policy.deleting !== mark) return policy;
        removed = holder === undefined;
        const { deleting: _, ...kept } = policy;
        return removed ? undefined : kept;
      });
      const why =
        holder === undefined ? 'somebody else is about to delete it' : `it is attached to entities: ${holder}`;
      if (!removed) throw new AccountError('DeleteConflict', `Cannot delete the policy: ${why}`);
    },
  };
}
