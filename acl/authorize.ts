/**
 * May this caller do this? Pure: everything it goes by is an argument.
 *
 * Two questions, both of which must be answered with yes:
 * 1. May the account do such a thing at all? Policies that managers attach to accounts and groups answer. Without any,
 *    yes, but for accounts that are `limited`. A Deny in them always counts; and once one of them allows something, only
 *    what they allow is left. What the policy of a bucket of a manager of the same group allows counts as well.
 * 2. Is it permitted there? The bucket's owner, the object's owner, the roles, the bucket's policy and the ACLs answer.
 *    An account's policy does not open other owners' buckets, with one exception: those of managers of the same group,
 *    for it is they who attach such policies.
 */
import { type Acl, aclNeeded, type Grant, grantFor, nameOf, privateAcl } from './grants.js';
import type { Account, Identity } from './identity.js';
import { defaultOwnership, type Ownership, type PublicAccessBlock } from './ownership.js';
import { actions, contentActions, policyCalls } from './policy/actions.js';
import { evaluate, evaluateAll } from './policy/evaluate.js';
import {
  type Context,
  type Effect,
  type Policy,
  type PolicyRequest,
  resourceArn,
  type Verdict,
} from './policy/types.js';

/** What speaks about the bucket and the object. Policies come compiled (`parsePolicy`, `rolesPolicy`). */
export interface Documents {
  bucketPolicy?: Policy | undefined;
  bucketAcl?: Acl | undefined;
  /** Of an existing object; without one only its owner is given anything. */
  objectAcl?: Acl | undefined;
  ownership?: Ownership | undefined;
  publicAccessBlock?: PublicAccessBlock | undefined;
  /** Attached to the caller's account and to its groups. */
  identityPolicies?: readonly Policy[] | undefined;
  roles?: Policy | undefined;
}

export interface Question {
  identity: Identity;
  /** IAM's name, e.g. `s3:PutObject`. */
  action: string;
  /** Needed wherever `documents` hold a policy. */
  resource?: { bucket?: string | undefined; key?: string | undefined };
  /** Canonical id of the bucket's owner; undefined where no bucket is concerned yet (ListBuckets, CreateBucket). */
  bucketOwner: string | undefined;
  /** The owner's account: only buckets of managers are opened by account policies. */
  bucketOwnerAccount?: Pick<Account, 'group' | 'kind'> | undefined;
  /** Canonical id of the existing object's owner; the bucket's owner where it is not known (files of jobs). */
  objectOwner?: string | undefined;
  /** Condition keys (`contextOf`). */
  context?: Context | undefined;
  documents?: Documents | undefined;
}

export interface Decision {
  allow: boolean;
  /** A sentence, for the log and for `tidegate explain`: never shown to the caller. */
  reason: string;
  /** A refusal `default`: nothing gives it; `identity-policy`: no policy of the account allows it, whatever else would. */
  by: 'owner' | 'policy' | 'acl' | 'role' | 'identity-policy' | 'deny' | 'default';
  /** The statement that decided. */
  statement?: { document: string; index: number; sid: string | undefined; effect: Effect };
  /** The grant that decided. */
  grant?: Grant;
}

const nothing: Context = { get: () => undefined };

/** @throws Error when there are policies and no resource to ask them about: a mistake of the caller */
export function authorize(question: Question): Decision {
  const { identity, action, documents = {}, bucketOwner } = question;
  const { account } = identity;
  if (account && !account.enabled) return say(question, 'default', false, 'the account is disabled');
  if (!actions.has(action)) return say(question, 'default', false, 'there is no such action');

  const request = requestOf(question);
  const byAccount = evaluateAll(account ? (documents.identityPolicies ?? []) : [], request);
  if (byAccount.effect === 'Deny') return byStatement(question, 'deny', accountPolicy(byAccount), byAccount);
  const limited = byAccount.limited || account?.limited === true;
  if (byAccount.effect === 'neither' && limited && !byManager(question, request)) {
    return say(question, 'identity-policy', false, 'none of the policies attached to the account allows it');
  }
  if (bucketOwner === undefined) {
    return account
      ? say(question, 'owner', true, 'it is about the own buckets of an account')
      : say(question, 'default', false, 'the caller is anonymous');
  }
  return askPlace(question, { ...request, bucketOwner }, byAccount);
}

function requestOf({ identity, action, resource, bucketOwner, context, documents }: Question): PolicyRequest {
  const policies = documents && (documents.bucketPolicy || documents.roles || documents.identityPolicies?.length);
  if (!resource && policies) throw new Error(`${action}: a policy cannot be asked without a resource`);
  return { identity, action, resource: resourceArn(resource ?? {}), bucketOwner, context: context ?? nothing };
}

/** The bucket is of a manager of the account's own group: of those who say what the account may do. */
const isManagers = ({ bucketOwnerAccount: owner, identity: { account } }: Question): boolean =>
  owner?.kind === 'manager' && owner.group === account?.group;

/** "If a resource-based policy in the same account allows it, the final decision is Allow": the manager has said it there. */
const byManager = (question: Question, request: PolicyRequest): boolean =>
  isManagers(question) &&
  question.documents?.bucketPolicy !== undefined &&
  evaluate(question.documents.bucketPolicy, request).effect === 'Allow';

type ByAccount = ReturnType<typeof evaluateAll>;

/** What the policy that decided is called. */
export const accountPolicy = ({ label }: Pick<ByAccount, 'label'>): string =>
  label ? `account policy ${label}` : 'account policy';

function askPlace(
  question: Question,
  request: PolicyRequest & { bucketOwner: string },
  byAccount: ByAccount,
): Decision {
  const { identity, action, documents = {}, resource } = question;
  const { account } = identity;
  const { bucketOwner } = request;
  const ownership = documents.ownership ?? defaultOwnership;
  const isBucketOwner = account?.uuid === bucketOwner;

  const byPolicy = documents.bucketPolicy && evaluate(documents.bucketPolicy, request);
  if (byPolicy?.effect === 'Deny' && !(isBucketOwner && policyCalls.has(action))) {
    return byStatement(question, 'deny', 'bucket policy', byPolicy);
  }

  const aboutContent = contentActions.has(action) && resource?.key !== undefined;
  const objectOwner =
    ownership === 'BucketOwnerEnforced'
      ? bucketOwner
      : (question.objectOwner ?? documents.objectAcl?.owner ?? bucketOwner);
  // An object that another account wrote and kept is his: the bucket's owner, his policy and his roles can take it
  // away (delete, deny), but not give it ("a bucket policy applies only to objects that the bucket owner owns").
  const ofAnother = aboutContent && objectOwner !== bucketOwner;
  if (isBucketOwner && !ofAnother) return say(question, 'owner', true, 'the caller owns the bucket');
  if (aboutContent && account?.uuid === objectOwner) return say(question, 'owner', true, 'the caller owns the object');

  if (!ofAnother) {
    const byRole = documents.roles && evaluate(documents.roles, request);
    if (byRole?.effect === 'Allow') return byStatement(question, 'role', 'roles', byRole);
    if (isManagers(question) && byAccount.effect === 'Allow') {
      return byStatement(question, 'identity-policy', accountPolicy(byAccount), byAccount);
    }
  }
  // "Restricts access to … a bucket with a public policy to … authorized users within the bucket owner's account."
  if (documents.publicAccessBlock?.restrictPublicBuckets && documents.bucketPolicy?.public && !isBucketOwner) {
    return say(question, 'deny', false, 'the bucket has a public policy, and its public access block restricts it');
  }
  // Whoever may write the policy may do everything: `s3:*` for everybody must not hand the bucket over. S3 too wants
  // the caller of the policy operations to "belong to the bucket owner's account"; here a role says that somebody does.
  if (!ofAnother && byPolicy?.effect === 'Allow' && !policyCalls.has(action)) {
    return byStatement(question, 'policy', 'bucket policy', byPolicy);
  }
  const byAcl = ownership === 'BucketOwnerEnforced' ? undefined : askAcls(question, bucketOwner, objectOwner);
  return byAcl ?? say(question, 'default', false, refusal(isBucketOwner));
}

const refusal = (isBucketOwner: boolean): string =>
  isBucketOwner
    ? 'the object is another account’s, and no grant gives it to the owner of the bucket'
    : 'the caller is not the owner, and no role, policy or grant allows it';

function askAcls(
  { identity, action, documents = {}, ...question }: Question,
  bucketOwner: string,
  objectOwner: string,
) {
  const needed = aclNeeded(action);
  if (!needed) return undefined;
  const { bucketAcl = privateAcl(bucketOwner), objectAcl = privateAcl(objectOwner) } = documents;
  const acl = needed.acl === 'bucket' ? bucketAcl : objectAcl;
  const grant = grantFor(acl, identity, needed.permission, documents.publicAccessBlock?.ignorePublicAcls ?? false);
  if (!grant) return undefined;
  const why = `the ACL of the ${needed.acl} grants ${grant.permission} to ${nameOf(grant.grantee)}`;
  return { ...say({ identity, action, ...question }, 'acl', true, why), grant };
}

// ---- saying why --------------------------------------------------------------------------------------------------

function say({ identity, action, resource }: Question, by: Decision['by'], allow: boolean, why: string): Decision {
  const { account } = identity;
  const who = account ? `${account.displayName} (${account.uuid})` : 'an anonymous caller';
  const where = resource?.bucket === undefined ? '' : ` on ${resourceArn(resource)}`;
  return { allow, by, reason: `${action}${where} is ${allow ? 'allowed' : 'denied'} to ${who}: ${why}` };
}

function byStatement(question: Question, by: Decision['by'], document: string, verdict: Verdict): Decision {
  const { index, sid, effect } = verdict.statement!;
  const name = sid ? `${index + 1}, "${sid}",` : `${index + 1}`;
  const why = `statement ${name} of the ${document} ${effect === 'Allow' ? 'allows' : 'denies'} it`;
  return { ...say(question, by, effect === 'Allow', why), statement: { document, index, sid, effect } };
}
