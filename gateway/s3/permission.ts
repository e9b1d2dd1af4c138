/**
 * Asks the evaluator for one request: gathers the documents of the bucket and, only where they matter, of the object.
 *
 * Who may read an object is decided by what was opened, not by what was looked at before: between the two another may
 * have put a private object in the place of a public one. So the store that a handler gets asks as it opens.
 */
import { authorize, type Decision, type Documents } from '../../acl/authorize.js';
import { aclNeeded } from '../../acl/grants.js';
import type { Account, Identity } from '../../acl/identity.js';
import { contentActions } from '../../acl/policy/actions.js';
import { REQUEST_TAG } from '../../acl/policy/condition-keys.js';
import {
  asksForTags,
  type ConditionTags,
  contextOf,
  type KnownTags,
  type RequestFacts,
  withValues,
} from '../../acl/policy/context.js';
import type { Policy, Context as PolicyContext } from '../../acl/policy/types.js';
import { S3Error } from '../errors.js';
import type { Bucket, MetaChange, ObjectInfo, OpenObject, Place, Storage } from '../storage/types.js';
import { accessOf, readAcl } from './access.js';

export interface Asker {
  storage: Storage;
  identity: Identity;
  /** The policies of the caller's account, as they are now. */
  policies: () => readonly Policy[];
  /** The account of a bucket's owner, where `policies` could open the bucket. */
  ownerOf: (bucket: Bucket) => Account | undefined;
  /** What conditions ask about; called only when there is a policy. `known`: what is not in the request itself. */
  facts: (known: KnownTags) => RequestFacts;
}

export interface Permission {
  /** Of actions without a bucket, or on one that is to be made. @throws S3Error AccessDenied */
  permitAccount(action: string, bucket: string | undefined): Decision;
  /**
   * Looks at the object where the decision depends on it.
   * @param object when it is known already
   * @throws S3Error AccessDenied; NoSuchKey for an action on an object that is not there, if the caller may list
   */
  permit(at: Place, key: string | undefined, action: string, object?: ObjectInfo): Promise<Decision>;
  /** As `permit`, and whoever began the upload is let in unless a statement denies it. @throws S3Error AccessDenied */
  permitUploader(at: Place, key: string, action: string, uploadId: string): Promise<Decision>;
  /**
   * As `permit` for actions on an existing object, but what only the object can tell is asked when `guarded` opens it.
   * @throws S3Error AccessDenied
   */
  permitWhenOpened(at: Place, key: string, actions: readonly string[]): void;
  /**
   * Of what a new object of `owner` gets besides its bytes.
   * @param tags that it gets, when the request does not name them itself
   * @throws S3Error AccessDenied
   */
  permitNew(at: Place, key: string, action: string, owner: string, tags?: ConditionTags): void;
  /** Methods in the place of the store's, which ask for what `permitWhenOpened` has left open. */
  guarded: Guarded;
}

/** What may be done with an object only if it is one that the caller may do it with. */
export type Guarded = Pick<Storage, 'head' | 'open' | 'updateMeta'>;

interface First {
  decision: Decision;
  byTags: boolean;
  holds: boolean;
}

/** What is left to ask of one object. */
interface Guard {
  key: string;
  actions: readonly string[];
  /** Any object of the bucket's owner is fine, whatever its ACL and tags. */
  granted: boolean;
  /** Its tags could change the decision. */
  byTags: boolean;
  /** The object that was asked about, but for tags that a request sets. */
  passed?: ObjectInfo;
}

export function createPermission({ storage, identity, policies, ownerOf, facts }: Asker): Permission {
  let guards: Map<Place, Guard> | undefined;

  const documentsOf = (bucket: Bucket) => {
    const identityPolicies = policies();
    return identityPolicies.length === 0 ? accessOf(bucket) : { ...accessOf(bucket), identityPolicies };
  };
  const conditions = (known: KnownTags): PolicyContext => contextOf(facts(known));

  function ask(
    bucket: Bucket,
    key: string | undefined,
    action: string,
    object?: Pick<ObjectInfo, 'meta'>,
    requestTags?: ConditionTags,
  ): Decision {
    const access = documentsOf(bucket);
    const owner = object?.meta.owner ?? bucket.owner;
    const documents =
      object?.meta.acl === undefined ? access : { ...access, objectAcl: readAcl(object.meta.acl, owner) };
    return authorize({
      identity,
      action,
      resource: { bucket: bucket.name, key },
      bucketOwner: bucket.owner,
      bucketOwnerAccount: ownerOf(bucket),
      objectOwner: object && owner,
      context: hasPolicies(access) ? conditions({ existingTags: object?.meta.tags, requestTags }) : undefined,
      documents,
    });
  }

  /** NoSuchKey is told to those who could list the key: others are told what they may not do. */
  function mayMiss(bucket: Bucket, key: string): Decision {
    const access = documentsOf(bucket);
    const asPrefix = hasPolicies(access) ? withValues(conditions({}), 's3:prefix', [key]) : undefined;
    return authorize({
      identity,
      action: 's3:ListBucket',
      resource: { bucket: bucket.name },
      bucketOwner: bucket.owner,
      bucketOwnerAccount: ownerOf(bucket),
      context: asPrefix,
      documents: access,
    });
  }

  /**
   * The decision for an object of the bucket's owner with a private ACL; whether its tags could change it; whether it
   * `holds` for every object.
   */
  function first({ bucket }: Place, key: string, action: string): First {
    const { bucketPolicy, ownership } = accessOf(bucket);
    const decision = ask(bucket, key, action);
    if ([...policies(), ...(bucketPolicy ? [bucketPolicy] : [])].some((each) => asksForObject(each, action))) {
      return { decision, byTags: true, holds: false };
    }
    const byObject = contentActions.has(action) && ownership !== 'BucketOwnerEnforced';
    const denied = decision.statement?.effect === 'Deny' || refusedByAccount(decision);
    // Nobody is no object's owner: where no ACL could give it either, there is nothing to look for.
    const hopeless = !decision.allow && !identity.account && !aclNeeded(action);
    return { decision, byTags: false, holds: !byObject || denied || hopeless };
  }

  async function permit(at: Place, key: string | undefined, action: string, known?: ObjectInfo): Promise<Decision> {
    if (key === undefined) return demand(ask(at.bucket, key, action));
    if (known) return demand(ask(at.bucket, key, action, known));
    const { decision, holds } = first(at, key, action);
    if (holds) return demand(decision);
    const object = await storage.head(at, key).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (object) return demand(ask(at.bucket, key, action, object));
    if (!contentActions.has(action)) return demand(decision);
    demand(mayMiss(at.bucket, key));
    if (!decision.allow) throw new S3Error('NoSuchKey', { fields: { Key: key } });
    return decision;
  }

  /** "By default, the bucket owner and the initiator of the multipart upload are allowed to perform this action." */
  async function permitUploader(at: Place, key: string, action: string, uploadId: string): Promise<Decision> {
    const { decision } = first(at, key, action);
    const { account } = identity;
    const refused = decision.by === 'deny' || refusedByAccount(decision);
    if (decision.allow || refused || !account) return permit(at, key, action);
    const upload = await storage.upload(at, key, uploadId).catch((error: unknown) => {
      if (error instanceof S3Error && error.code === 'NoSuchUpload') return undefined;
      throw error;
    });
    if (upload?.initiator !== account.uuid) return permit(at, key, action);
    return { ...decision, allow: true, by: 'owner', reason: `${account.displayName} began the upload ${uploadId}` };
  }

  function permitWhenOpened(at: Place, key: string, actions: readonly string[]): void {
    let granted = true;
    let byTags = false;
    for (const action of actions) {
      const { decision, holds, ...asked } = first(at, key, action);
      if (holds) demand(decision);
      byTags ||= asked.byTags;
      granted &&= decision.allow && !asked.byTags;
    }
    guards ??= new Map();
    guards.set(at, { key, actions, granted, byTags });
  }

  function permitNew({ bucket }: Place, key: string, action: string, owner: string, tags?: ConditionTags): void {
    const object = { meta: { etag: '', headers: {}, user: {}, owner } };
    const decision = ask(bucket, key, action, object, tags);
    // WRITE on a bucket is for objects with all that belongs to them; of the anonymous they are the bucket owner's.
    const whole = decision.by === 'default' && ask(bucket, key, 's3:PutObject', object).by === 'acl';
    if (!whole) demand(decision);
  }

  function check({ bucket }: Place, guard: Guard, object: ObjectInfo, requestTags?: ConditionTags): void {
    // An ACL only gives: what is allowed without one is allowed with any.
    const others = object.meta.owner !== undefined && object.meta.owner !== bucket.owner;
    if (!guard.granted || others) {
      for (const action of guard.actions) demand(ask(bucket, guard.key, action, object, requestTags));
    }
    guard.passed = object;
  }

  function guardOf(at: Place, key: string): Guard | undefined {
    const guard = guards?.get(at);
    if (guard && guard.key !== key) throw new Error(`permission was asked for ${guard.key}, and ${key} is opened`);
    return guard;
  }

  /** As the caller may know it: who may list the key is told that it is free, whatever else is denied to him. */
  function told({ bucket }: Place, { key }: Guard, error: unknown): unknown {
    if (isMissing(error)) demand(mayMiss(bucket, key));
    return error;
  }

  async function head(at: Place, guard: Guard): Promise<ObjectInfo> {
    try {
      return await storage.head(at, guard.key);
    } catch (error) {
      throw told(at, guard, error);
    }
  }

  const guarded: Guarded = {
    async head(at, key) {
      const guard = guardOf(at, key);
      if (!guard) return storage.head(at, key);
      const info = await head(at, guard);
      check(at, guard, info);
      return info;
    },
    async open(at, key) {
      const guard = guardOf(at, key);
      if (!guard) return storage.open(at, key);
      let object: OpenObject | undefined;
      try {
        object = await storage.open(at, key);
        check(at, guard, object.info);
        return object;
      } catch (error) {
        if (!object) throw told(at, guard, error);
        await object.close();
        throw error;
      }
    },
    async updateMeta(at, key, change) {
      const guard = guardOf(at, key);
      // The caller may have taken its time since: what stands there now may be another's.
      if (guard?.passed) return storage.updateMeta(at, key, { ...change, of: meant(guard, guard.passed) });
      if (!guard) return storage.updateMeta(at, key, change);
      for (let tries = 1; ; tries++) {
        const info = await head(at, guard);
        check(at, guard, info, change.tags ?? undefined);
        try {
          return await storage.updateMeta(at, key, { ...change, of: meant(guard, info) });
        } catch (error) {
          // The sync engine gives files of jobs an owner at any moment: that is asked about once more, and no conflict.
          if (tries === 3 || !(error instanceof S3Error && error.code === 'OperationAborted')) throw error;
        }
      }
    },
  };

  return {
    permitAccount: (action, bucket) =>
      demand(
        authorize({
          identity,
          action,
          resource: { bucket },
          bucketOwner: undefined,
          context: policies().length > 0 ? conditions({}) : undefined,
          documents: { identityPolicies: policies() },
        }),
      ),
    permit,
    permitUploader,
    permitWhenOpened,
    permitNew,
    guarded,
  };
}

const hasPolicies = ({ bucketPolicy, roles, identityPolicies = [] }: Documents): boolean =>
  bucketPolicy !== undefined || roles !== undefined || identityPolicies.length > 0;

/** None of the policies of the caller's account allows it: nothing about the object can change that. */
const refusedByAccount = ({ allow, by }: Decision): boolean => !allow && by === 'identity-policy';

/** Its conditions ask for the tags that the object has, or for those that the body of PutObjectTagging sets. */
function asksForObject(policy: Policy, action: string): boolean {
  if (asksForTags(policy)) return true;
  if (action !== 's3:PutObjectTagging' && action !== 's3:PutObjectVersionTagging') return false;
  return [...policy.keys].some((key) => key.startsWith(REQUEST_TAG) || key === 's3:requestobjecttagkeys');
}

/** What the decision for an object went by: what stands there when it is changed must be the same in that. */
function meant({ byTags }: Guard, { meta: { owner, acl, tags } }: ObjectInfo): MetaChange['of'] {
  const of: NonNullable<MetaChange['of']> = {};
  if (owner !== undefined) of.owner = owner;
  if (acl !== undefined) of.acl = acl;
  if (byTags) of.tags = tags ?? {};
  return of;
}

const isMissing = (error: unknown): boolean => error instanceof S3Error && error.code === 'NoSuchKey';

/** The reason is for the log: it would tell a stranger who has which rights. */
const denial = ({ reason }: Decision): S3Error => new S3Error('AccessDenied', { cause: new Error(reason) });

function demand(decision: Decision): Decision {
  if (!decision.allow) throw denial(decision);
  return decision;
}
