/** Users, groups, policies and keys as IAM's XML shows them. */
import { groupArn, type PolicyGroup } from '../../acl/iam/groups.js';
import { parsePolicyArn, userArn, userName } from '../../acl/iam/names.js';
import { type ManagedPolicy, policyArn } from '../../acl/iam/policies.js';
import type { AccessKey, Account } from '../../acl/identity.js';
import type { S3Error } from '../errors.js';
import type { XmlValue } from '../s3/types.js';

const namespace = 'https://iam.amazonaws.com/doc/2010-05-08/';

/** Milliseconds are not in IAM's dates. */
const date = (text: string): string => text.replace(/\.\d+Z$/, 'Z');

export const userShape = (account: Account): XmlValue => ({
  Path: account.path ?? '/',
  UserName: userName(account),
  UserId: account.uuid,
  Arn: userArn(account),
  CreateDate: date(account.created),
});

export const groupShape = (group: string, each: PolicyGroup): XmlValue => ({
  Path: each.path,
  GroupName: each.name,
  GroupId: each.id,
  Arn: groupArn(group, each),
  CreateDate: date(each.created),
});

/** The one version that a policy has. */
export const VERSION_ID = 'v1';

export const policyShape = (policy: ManagedPolicy, attachments: number): XmlValue => ({
  PolicyName: policy.name,
  PolicyId: policy.id,
  Arn: policyArn(policy),
  Path: policy.path,
  DefaultVersionId: VERSION_ID,
  AttachmentCount: attachments,
  PermissionsBoundaryUsageCount: 0,
  IsAttachable: policy.deleting === undefined,
  ...(policy.description === '' ? {} : { Description: policy.description }),
  CreateDate: date(policy.created),
  UpdateDate: date(policy.created),
});

export const versionShape = ({ document, created }: ManagedPolicy, withDocument: boolean): XmlValue => ({
  ...(withDocument ? { Document: encoded(document) } : {}),
  VersionId: VERSION_ID,
  IsDefaultVersion: true,
  CreateDate: date(created),
});

/** "The policy document returned is URL-encoded compliant with RFC 3986". */
export const encoded = (document: string): string =>
  encodeURIComponent(document).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);

export const attachedShape = (arn: string): XmlValue => ({
  PolicyName: parsePolicyArn(arn)?.name ?? arn,
  PolicyArn: arn,
});

export const keyShape = (key: AccessKey, account: Account): { [name: string]: XmlValue } => ({
  UserName: userName(account),
  AccessKeyId: key.accessKey,
  Status: key.enabled ? 'Active' : 'Inactive',
  CreateDate: date(key.created),
});

/** A list is `<Users><member>…</member></Users>`, also an empty one. */
export const members = (items: readonly XmlValue[]): XmlValue => ({ member: [...items] });

export function replyDocument(action: string, result: { [name: string]: XmlValue } | undefined, requestId: string) {
  return {
    [`${action}Response`]: {
      '@xmlns': namespace,
      ...(result === undefined ? {} : { [`${action}Result`]: result }),
      ResponseMetadata: { RequestId: requestId },
    },
  };
}

/** What S3 calls otherwise. */
const codes: Readonly<Record<string, string>> = {
  InvalidAccessKeyId: 'InvalidClientTokenId',
  InvalidToken: 'InvalidClientTokenId',
  InternalError: 'ServiceFailure',
  SlowDown: 'Throttling',
  AuthorizationHeaderMalformed: 'IncompleteSignature',
  RequestTimeTooSkewed: 'SignatureDoesNotMatch',
  MaxMessageLengthExceeded: 'RequestEntityTooLarge',
};

export function errorDocument({ code, status, message }: S3Error, requestId: string) {
  return {
    ErrorResponse: {
      '@xmlns': namespace,
      Error: { Type: status >= 500 ? 'Receiver' : 'Sender', Code: codes[code] ?? code, Message: message },
      RequestId: requestId,
    },
  };
}
