/**
 * The actions of S3, as in the service authorisation reference ("Actions, resources, and condition keys for Amazon
 * S3"), and BucketSync, which S3 does not have. A pattern in a policy must match one of them, and a request's action must be one
 * of them.
 */
const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');
const s3 = (text: string): string[] => words(text).map((word) => `s3:${word}`);

const services = s3(`
  ListAllMyBuckets ListAllMyDirectoryBuckets CreateBucket
  GetAccountPublicAccessBlock PutAccountPublicAccessBlock GetAccelerateConfiguration PutAccelerateConfiguration
  ListAccessPoints ListMultiRegionAccessPoints ListJobs CreateJob ListStorageLensConfigurations CreateStorageLensGroup
  GetAccessPoint CreateAccessPoint DeleteAccessPoint GetAccessPointPolicy PutAccessPointPolicy DeleteAccessPointPolicy
  GetAccessPointPolicyStatus DescribeJob UpdateJobPriority UpdateJobStatus
`);

const buckets = s3(`
  ListBucket ListBucketVersions ListBucketMultipartUploads DeleteBucket GetBucketLocation CreateSession
  GetBucketAcl PutBucketAcl GetBucketPolicy PutBucketPolicy DeleteBucketPolicy GetBucketPolicyStatus
  GetBucketPublicAccessBlock PutBucketPublicAccessBlock GetBucketOwnershipControls PutBucketOwnershipControls
  GetBucketCORS PutBucketCORS GetBucketLogging PutBucketLogging GetBucketNotification PutBucketNotification
  GetBucketObjectLockConfiguration PutBucketObjectLockConfiguration GetBucketRequestPayment PutBucketRequestPayment
  GetBucketTagging PutBucketTagging GetBucketVersioning PutBucketVersioning
  GetBucketWebsite PutBucketWebsite DeleteBucketWebsite GetBucketAbac PutBucketAbac
  GetLifecycleConfiguration PutLifecycleConfiguration GetEncryptionConfiguration PutEncryptionConfiguration
  GetReplicationConfiguration PutReplicationConfiguration GetAnalyticsConfiguration PutAnalyticsConfiguration
  GetInventoryConfiguration PutInventoryConfiguration GetMetricsConfiguration PutMetricsConfiguration
  GetIntelligentTieringConfiguration PutIntelligentTieringConfiguration
  GetBucketMetadataTableConfiguration CreateBucketMetadataTableConfiguration DeleteBucketMetadataTableConfiguration
  UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration
  ListTagsForResource TagResource UntagResource
  GetBucketSync PutBucketSync
`);

/** Actions on what the bucket's owner disposes of, whoever owns the object. */
const keys = s3(`
  PutObject DeleteObject DeleteObjectVersion AbortMultipartUpload ListMultipartUploadParts RestoreObject
  PutObjectRetention PutObjectLegalHold BypassGovernanceRetention ObjectOwnerOverrideToBucketOwner
  ReplicateObject ReplicateDelete ReplicateTags InitiateReplication WriteGetObjectResponse UpdateObjectEncryption
`);

/** Actions on an existing object that belong to the object's owner. */
const contents = s3(`
  GetObject GetObjectVersion GetObjectAttributes GetObjectVersionAttributes GetObjectTorrent GetObjectVersionTorrent
  GetObjectAcl PutObjectAcl GetObjectVersionAcl PutObjectVersionAcl
  GetObjectTagging PutObjectTagging DeleteObjectTagging
  GetObjectVersionTagging PutObjectVersionTagging DeleteObjectVersionTagging
  GetObjectRetention GetObjectLegalHold GetObjectVersionForReplication
`);

/** Every action, spelt as AWS spells it. */
export const actions: ReadonlySet<string> = new Set([...services, ...buckets, ...keys, ...contents]);

/** What is asked of the IAM endpoint (`gateway/iam/actions.ts`), as IAM spells it. Only policies of accounts may name them. */
export const iamActions: ReadonlySet<string> = new Set(
  words(`
  GetUser ListUsers CreateUser UpdateUser DeleteUser GetAccountSummary
  CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey
  CreatePolicy GetPolicy ListPolicies DeletePolicy GetPolicyVersion ListPolicyVersions ListEntitiesForPolicy
  AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies
  PutUserPolicy GetUserPolicy ListUserPolicies DeleteUserPolicy
  CreateGroup GetGroup ListGroups UpdateGroup DeleteGroup AddUserToGroup RemoveUserFromGroup ListGroupsForUser
  AttachGroupPolicy DetachGroupPolicy ListAttachedGroupPolicies
  PutGroupPolicy GetGroupPolicy ListGroupPolicies DeleteGroupPolicy
`).map((word) => `iam:${word}`),
);

/** Lower case of every action, for patterns: IAM compares actions without case. */
const byLowerCase = (all: Iterable<string>): ReadonlyMap<string, string> =>
  new Map([...all].map((action) => [action.toLowerCase(), action]));
export const actionsByLowerCase = byLowerCase(actions);
export const accountActionsByLowerCase = byLowerCase([...actions, ...iamActions]);

/** The actions that an object's owner, and not the bucket's, decides about. */
export const contentActions: ReadonlySet<string> = new Set(contents);

const ofVersions: ReadonlyMap<string, string> = new Map(
  s3(`
    GetObject DeleteObject GetObjectAttributes GetObjectTorrent GetObjectAcl PutObjectAcl
    GetObjectTagging PutObjectTagging DeleteObjectTagging
  `).map((action) => [action, action.replace(/(?<=:(Get|Put|Delete)Object)/, 'Version')]),
);

/**
 * What a request needs that names a version: "To retrieve a specific version, you need s3:GetObjectVersion", and not
 * s3:GetObject. The action itself where there is no such pair.
 * @param versionId as the request has it, perhaps ''; undefined when it names none
 */
export const versionAction = (action: string, versionId: string | undefined): string =>
  versionId === undefined ? action : (ofVersions.get(action) ?? action);

/** An owner keeps them whatever his bucket's policy says: else a slip would make the bucket unmanageable for good. */
export const policyCalls: ReadonlySet<string> = new Set(s3('GetBucketPolicy PutBucketPolicy DeleteBucketPolicy'));
