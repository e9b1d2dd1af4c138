/**
 * THE table of IAM: every action that there is, one row each. What has no row is answered InvalidAction. Adding an action:
 * its handler, its row here, its name in `acl/policy/actions.ts`, its test.
 */
import { groupPolicies, userPolicies } from './attached.js';
import * as groups from './groups.js';
import * as keys from './keys.js';
import * as policies from './policies.js';
import type { IamAction, IamHandler, Subject } from './types.js';
import * as users from './users.js';

/** @param takes names of parameters; those with `!` are required */
function row(name: string, about: Subject, takes: string, handler: IamHandler): IamAction {
  const words = takes.split(' ').filter((word) => word !== '');
  const required = words.filter((word) => word.endsWith('!')).map((word) => word.slice(0, -1));
  return { name, about, required, optional: words.filter((word) => !word.endsWith('!')), handler };
}

const paged = 'Marker MaxItems';

const rows: readonly IamAction[] = [
  row('GetUser', 'self', 'UserName', users.getUser),
  row('ListUsers', 'users', `PathPrefix ${paged}`, users.listUsers),
  row('CreateUser', 'user', 'UserName! Path', users.createUser),
  row('UpdateUser', 'user', 'UserName! NewUserName NewPath', users.updateUser),
  row('DeleteUser', 'user', 'UserName!', users.deleteUser),
  row('GetAccountSummary', 'account', '', users.getAccountSummary),

  row('CreateAccessKey', 'self', 'UserName', keys.createAccessKey),
  row('ListAccessKeys', 'self', `UserName ${paged}`, keys.listAccessKeys),
  row('UpdateAccessKey', 'self', 'UserName AccessKeyId! Status!', keys.updateAccessKey),
  row('DeleteAccessKey', 'self', 'UserName AccessKeyId!', keys.deleteAccessKey),

  row('CreatePolicy', 'policy', 'PolicyName! PolicyDocument! Path Description', policies.createPolicy),
  row('GetPolicy', 'policy', 'PolicyArn!', policies.getPolicy),
  row('ListPolicies', 'policies', `Scope OnlyAttached PathPrefix PolicyUsageFilter ${paged}`, policies.listPolicies),
  row('DeletePolicy', 'policy', 'PolicyArn!', policies.deletePolicy),
  row('GetPolicyVersion', 'policy', 'PolicyArn! VersionId!', policies.getPolicyVersion),
  row('ListPolicyVersions', 'policy', `PolicyArn! ${paged}`, policies.listPolicyVersions),
  row(
    'ListEntitiesForPolicy',
    'policy',
    `PolicyArn! EntityFilter PolicyUsageFilter ${paged}`,
    policies.listEntitiesForPolicy,
  ),

  row('AttachUserPolicy', 'user', 'UserName! PolicyArn!', userPolicies.attach),
  row('DetachUserPolicy', 'user', 'UserName! PolicyArn!', userPolicies.detach),
  row('ListAttachedUserPolicies', 'user', `UserName! PathPrefix ${paged}`, userPolicies.listAttached),
  row('PutUserPolicy', 'user', 'UserName! PolicyName! PolicyDocument!', userPolicies.put),
  row('GetUserPolicy', 'user', 'UserName! PolicyName!', userPolicies.get),
  row('ListUserPolicies', 'user', `UserName! ${paged}`, userPolicies.list),
  row('DeleteUserPolicy', 'user', 'UserName! PolicyName!', userPolicies.remove),

  row('CreateGroup', 'group', 'GroupName! Path', groups.createGroup),
  row('GetGroup', 'group', `GroupName! ${paged}`, groups.getGroup),
  row('ListGroups', 'groups', `PathPrefix ${paged}`, groups.listGroups),
  row('UpdateGroup', 'group', 'GroupName! NewGroupName NewPath', groups.updateGroup),
  row('DeleteGroup', 'group', 'GroupName!', groups.deleteGroup),
  row('AddUserToGroup', 'group', 'GroupName! UserName!', groups.addUserToGroup),
  row('RemoveUserFromGroup', 'group', 'GroupName! UserName!', groups.removeUserFromGroup),
  row('ListGroupsForUser', 'user', `UserName! ${paged}`, groups.listGroupsForUser),
  row('AttachGroupPolicy', 'group', 'GroupName! PolicyArn!', groupPolicies.attach),
  row('DetachGroupPolicy', 'group', 'GroupName! PolicyArn!', groupPolicies.detach),
  row('ListAttachedGroupPolicies', 'group', `GroupName! PathPrefix ${paged}`, groupPolicies.listAttached),
  row('PutGroupPolicy', 'group', 'GroupName! PolicyName! PolicyDocument!', groupPolicies.put),
  row('GetGroupPolicy', 'group', 'GroupName! PolicyName!', groupPolicies.get),
  row('ListGroupPolicies', 'group', `GroupName! ${paged}`, groupPolicies.list),
  row('DeleteGroupPolicy', 'group', 'GroupName! PolicyName!', groupPolicies.remove),
];

/** By name. */
export const iamTable: ReadonlyMap<string, IamAction> = new Map(rows.map((each) => [each.name, each]));
