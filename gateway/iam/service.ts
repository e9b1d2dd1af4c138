/**
 * The way of a request to IAM, when its sender is known: form → action → parameters → permission → handler → reply. The one
 * place that asks whether the caller may.
 */
import { authorizeIam } from '../../acl/iam/authorize.js';
import { groupArn, type PolicyGroup } from '../../acl/iam/groups.js';
import { noUser } from '../../acl/iam/iam.js';
import { arnOf, userArn } from '../../acl/iam/names.js';
import type { Account, Identity } from '../../acl/identity.js';
import type { Context, Policy } from '../../acl/policy/types.js';
import { S3Error } from '../errors.js';
import type { Reply } from '../s3/types.js';
import { iamTable } from './actions.js';
import { actionOf, checkParams, iamError, readForm } from './params.js';
import { replyDocument } from './shapes.js';
import type { IamAction, IamParts, Params } from './types.js';

export interface IamRequest {
  identity: Identity;
  /** Of the caller's account. */
  policies: readonly Policy[];
  /** What conditions ask about. */
  context: Context;
  /** `Action=…&…`, from the body or the query. */
  form: string;
  requestId: string;
  /** Hears the name of the action as soon as it is known: for the log. */
  named: (action: string) => void;
}

export type IamService = (request: IamRequest) => Promise<Reply>;

export function createIamService(parts: IamParts): IamService {
  return async (request) => {
    try {
      return await answer(parts, request);
    } catch (error) {
      throw iamError(error);
    }
  };
}

async function answer(parts: IamParts, request: IamRequest): Promise<Reply> {
  const { identity, form: text, requestId, named } = request;
  const form = readForm(text);
  const action = actionOf(iamTable, form);
  named(action.name);
  const { account: caller } = identity;
  if (!caller) throw new S3Error('MissingAuthenticationToken');
  const params = checkParams(action, form);
  const target = await targetOf(parts, action, params, caller);
  permit(request, action, target);
  const renamed = renamedTo(action, params, target, caller.group);
  if (renamed !== undefined) permit(request, action, { ...target, resource: renamed });
  const result = await action.handler({
    ...parts,
    params,
    need: (name) => params.get(name) ?? '',
    caller,
    namespace: caller.group,
    user() {
      if (!target.user) throw noUser(params.get('UserName') ?? '');
      return target.user;
    },
  });
  const body = { xml: replyDocument(action.name, result, requestId) };
  return { headers: { 'content-type': 'text/xml' }, body };
}

interface Target {
  resource: string;
  /** The existing group that the request names. */
  group?: PolicyGroup | undefined;
  /** The existing account that the request names, or the caller where it may name none. */
  user: Account | undefined;
  /** Whom the decision is about: not the user that a group is given. */
  account: Account | undefined;
}

/** Nothing outside of the caller's namespace is ever found. */
async function targetOf(
  { registry: { iam } }: IamParts,
  { about, name: action }: IamAction,
  params: Params,
  caller: Account,
): Promise<Target> {
  const namespace = caller.group;
  const name = params.get('UserName');
  const named =
    name === undefined || action === 'CreateUser' ? undefined : await iam.user(namespace, name).catch(onlyIfThere);
  const user = name === undefined && about === 'self' ? caller : named;
  const target = (resource: string, account?: Account): Target => ({ resource, user, account });
  switch (about) {
    case 'self':
    case 'user':
      return target(user ? userArn(user) : arnOf(namespace, `user${params.get('Path') ?? '/'}${name}`), user);
    case 'group': {
      const group = params.get('GroupName') ?? '';
      const found = action === 'CreateGroup' ? undefined : await iam.groups.get(namespace, group).catch(onlyIfThere);
      // Who is put into a group gets what it allows, or is denied what it denies: of managers not for others to decide.
      const resource = groupArn(namespace, found ?? { path: params.get('Path') ?? '/', name: group });
      return { ...target(resource, user), group: found };
    }
    case 'policy': {
      const made = arnOf(namespace, `policy${params.get('Path') ?? '/'}${params.get('PolicyName')}`);
      return target(params.get('PolicyArn') ?? made);
    }
    case 'account':
      return target('*');
    default:
      // "ListUsers … user*": the list as such.
      return target(arnOf(namespace, `${about === 'policies' ? 'policy' : about.slice(0, -1)}/`));
  }
}

/**
 * What a user or group will be called: "the requester must have appropriate permissions on both the source object and the
 * target object" (UpdateUser, UpdateGroup). By a name or path of his choice somebody would get what policies give to it.
 */
function renamedTo(
  { name }: IamAction,
  params: Params,
  { resource, user, group }: Target,
  namespace: string,
): string | undefined {
  let wanted: string | undefined;
  if (name === 'UpdateUser' && user) {
    const [path = user.path, called] = [params.get('NewPath'), params.get('NewUserName')];
    wanted = userArn({ ...user, path, ...(called !== undefined && { displayName: called, named: true as const }) });
  } else if (name === 'UpdateGroup' && group) {
    wanted = groupArn(namespace, {
      path: params.get('NewPath') ?? group.path,
      name: params.get('NewGroupName') ?? group.name,
    });
  }
  return wanted === resource ? undefined : wanted;
}

function onlyIfThere(error: unknown): undefined {
  if ((error as { code?: unknown }).code === 'NoSuchEntity') return undefined;
  throw error;
}

function permit({ identity, policies, context }: IamRequest, { name }: IamAction, { resource, account }: Target): void {
  const action = `iam:${name}`;
  const decision = authorizeIam({ identity, action, resource, target: account, policies, context });
  if (decision.allow) return;
  const who = identity.account ? userArn(identity.account) : 'anonymous';
  throw new S3Error('AccessDenied', {
    message: `User: ${who} is not authorized to perform: ${action} on resource: ${resource}`,
    cause: new Error(decision.reason),
  });
}
